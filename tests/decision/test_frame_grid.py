"""The grids that `frame_grid` names are those of the networks: as many frames, and where they react."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from tiny import ARCHITECTURES  # noqa: E402

from earwitness.decision.heads.output import HeadOutput  # noqa: E402
from earwitness.decision.importer import make_card  # noqa: E402
from earwitness.decision.logmel_cnn import LogMelCnn  # noqa: E402
from earwitness.decision.network import EVERY_STATE, FRAME_LEVEL, HEADS, Blueprint, Network, frame_grid  # noqa: E402
from earwitness.features.encoders import (  # noqa: E402
    FrontEnd,
    convolve,
    embed_whisper,
    front_end_grid,
)
from earwitness.features.frontends import least_samples  # noqa: E402

LOGMEL = Blueprint("logmel-cnn", options={"widths": [4, 4, 8, 8]})
BLUEPRINTS = {name: Blueprint("linear", each) for name, each in ARCHITECTURES.items()} | {"logmel": LOGMEL}


def lengths_of(grid, least):
    """Lengths around where a frame more fits in, and some between."""
    edges = [grid.length + grid.hop * k + off for k in (0, 1, 6) for off in (-1, 0, 1)]
    others = np.random.default_rng(0).integers(least, 5_000, 4)
    return sorted({max(least, int(n)) for n in [least, *edges, *others]})


@pytest.mark.parametrize("name", BLUEPRINTS)
def test_the_network_has_as_many_frames_as_its_grid_says(name):
    blueprint = BLUEPRINTS[name]
    torch.manual_seed(0)
    network = Network(blueprint).eval()
    grid = frame_grid(blueprint)
    least = least_samples(blueprint.front_end) if blueprint.front_end else 512
    sizes = lengths_of(grid, least)
    longest = max(sizes)
    waveform = torch.randn(len(sizes), longest) * 0.1
    lengths = torch.tensor(sizes)
    with torch.no_grad():
        for row, size in zip(waveform, sizes, strict=True):
            frames = network.describe(row[None, :size], torch.tensor([size])).frame_scores
            assert frames.shape[1] == grid.count(size), size
        together = network.describe(waveform, lengths).frame_scores
        assert together.shape[1] == grid.count(longest)
        if network.front_end is not None:
            _, mask = network.front_end(waveform, lengths)
            assert mask.sum(1).tolist() == [grid.count(size) for size in sizes]
        outside = np.arange(together.shape[1]) >= np.array([[grid.count(size)] for size in sizes])
        assert (together.numpy()[outside] == 0).all()


def without_sides(network):
    """The same network, but its convolutions hear what comes before as what comes behind."""
    for module in network.modules():
        if isinstance(module, (torch.nn.Conv1d, torch.nn.Conv2d)):
            module.weight.data = (module.weight + module.weight.flip(-1)).detach() / 2
    return network.eval()


def local_features(name, seed):
    """(batch, samples) -> (batch, frames, width), before anything looks at the whole clip."""
    torch.manual_seed(seed)
    if name == "logmel":
        network = without_sides(LogMelCnn((4, 4, 8, 8)))

        def run(waveform, lengths):
            x, frames = network.logmel(waveform, lengths)
            x = torch.relu(network.stem_norm(network.stem(x)))
            frames = (frames + 1) // 2
            for block in network.blocks:
                x, frames = block(x, frames)
            return x.flatten(1, 2).transpose(1, 2)

        return run
    front_end = FrontEnd(ARCHITECTURES[name]).eval()
    without_sides(front_end.body)
    family = ARCHITECTURES[name].family

    def run_front_end(waveform, lengths):
        if family == "w2v-bert":
            return front_end.mel(waveform, lengths)
        if family == "whisper":
            return embed_whisper(front_end.body, front_end.mel(waveform))
        return convolve(front_end.body.feature_extractor, waveform, lengths).transpose(1, 2)

    return run_front_end


@pytest.mark.parametrize("name", ["wav2vec2-base", "wav2vec2-large", "w2v-bert", "whisper", "logmel"])
def test_a_click_moves_the_frames_around_it(name):
    """Of networks that hear no side of a frame more, the response centres on the click."""
    grid = frame_grid(BLUEPRINTS[name])
    samples, errors = 12_800, []  # the small network hears 0.2 s to either side
    clicks = 6_080 + np.arange(0, 640, 40)  # at every place of a frame
    rng = np.random.default_rng(1)
    for seed in range(4):
        run = local_features(name, seed)
        quiet = rng.normal(0, 0.05, (1, samples)).astype(np.float32)
        loud = np.repeat(quiet, len(clicks), 0)
        loud[np.arange(len(clicks)), clicks] += 1
        both = torch.from_numpy(np.concatenate([quiet, loud]))
        with torch.no_grad():
            found = run(both, torch.full((len(both),), samples)).numpy()
        moved = ((found[1:] - found[:1]) ** 2).sum(2)
        moved = np.maximum(moved - 4 * np.median(moved, axis=1, keepdims=True), 0)  # what the level moves
        centre = (moved * grid.middles(moved.shape[1])).sum(1) / moved.sum(1)
        errors += (centre - clicks).tolist()
    assert abs(np.mean(errors)) < 0.05 * grid.hop, np.mean(errors)


def test_heads_say_which_frames_or_nothing():
    architecture = ARCHITECTURES["wavlm-base"]
    for name, head in HEADS.items():
        reads = head.READS
        front_end = None if reads == "waveform" else architecture
        blueprint = Blueprint(name, front_end, (0, 1) if reads in EVERY_STATE else (1,))
        grid, card = frame_grid(blueprint), make_card("x", blueprint, "")["output"]
        expected = name in FRAME_LEVEL or name == "attm"  # whose own head is an LSTM by default
        assert (grid is not None) == expected, name
        assert (card["frame_hop_s"] is not None) == expected, name
        if grid and front_end:
            assert grid == front_end_grid(architecture)
    assert frame_grid(Blueprint("attm", architecture, (1, 2), {"head": "ecapa"})) is None
    assert frame_grid(Blueprint(None, architecture)) is None


def test_cards_place_frames():
    cards = {name: make_card("x", blueprint, "")["output"] for name, blueprint in BLUEPRINTS.items()}
    seconds = {
        name: tuple(card[f"frame_{part}_s"] for part in ("hop", "length", "middle"))
        for name, card in cards.items()
    }
    assert seconds["hubert"] == (0.02, 0.025, 0.0125)
    assert seconds["w2v-bert"] == (0.02, 0.035, 0.0175)
    assert seconds["whisper"] == (0.02, 0.02, 0.0)
    assert seconds["logmel"] == (0.04, 0.032, 0.016)


def test_frame_scores_of_the_small_network_do_not_touch_its_score():
    torch.manual_seed(3)
    network = Network(LOGMEL).eval()
    waveform, lengths = torch.randn(2, 9_000) * 0.1, torch.tensor([9_000, 7_777])
    with torch.no_grad():
        found: HeadOutput = network.describe(waveform, lengths)
        score, frames, embedding = network.head.network(waveform, lengths)
    assert torch.equal(found.logits, torch.stack([-score, score], dim=1) / 2)
    assert torch.equal(found.embedding, embedding)
    assert found.frame_scores is not None
    assert torch.equal(found.frame_scores, frames)
