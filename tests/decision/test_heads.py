"""Every head, on a tiny front end: forward, backward, padding; export and scan on one convolution."""

import dataclasses

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("onnxscript")

from safetensors.torch import save_file  # noqa: E402
from tiny import ARCHITECTURES, shake  # noqa: E402

from earwitness import scan  # noqa: E402
from earwitness.decision.bundle import WEIGHTS, file_digest, write_card  # noqa: E402
from earwitness.decision.detector import load_detector  # noqa: E402
from earwitness.decision.importer import make_card  # noqa: E402
from earwitness.decision.network import EVERY_STATE, HEADS, Blueprint, Network, read_blueprint  # noqa: E402
from earwitness.decision.scoring import score_clips  # noqa: E402
from earwitness.errors import ModelError  # noqa: E402
from earwitness.operations.models import export_model  # noqa: E402

FRONT_END = dataclasses.replace(ARCHITECTURES["wav2vec2-large"], layers=1)
SMALL = {  # the same networks with fewer channels
    "aasist": {"channels": 8, "graph_width": 8},
    "aasist-ssl": {"features": 32, "channels": 8, "graph_width": 8},
    "ecapa": {"channels": 32, "pooled": 48, "attention": 16, "embedding": 24},
    "mamba": {"blocks": 1},
    "nes2net": {"groups": 4, "scale": 4},
    "rawnet2": {"filters": 8, "channels": [8, 16], "recurrent": 16, "recurrent_layers": 1},
    "resnet34": {"stem": 4, "widths": [4, 8, 8, 8], "blocks": [1, 1, 1, 1], "pooled": 16, "embedding": 16},
    "tcm": {"blocks": 2},
}


def blueprint_of(name: str) -> Blueprint:
    options = SMALL.get(name, {})
    if HEADS[name].READS == "waveform":
        return Blueprint(name, options=options)
    return Blueprint(name, FRONT_END, (0, 1) if HEADS[name].READS in EVERY_STATE else (1,), options)


def network_of(name: str) -> Network:
    torch.manual_seed(0)
    network = Network(blueprint_of(name)).eval()
    shake(network, by=0.02)
    for module in network.modules():  # as after training: statistics that are not 0 and 1
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.running_mean.uniform_(-0.1, 0.1)
            module.running_var.uniform_(0.8, 1.2)
    return network


def clips_for(card: dict) -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    sizes = [card["input"]["samples"]] * 2 if card["input"].get("samples") else [16_000, 23_456, 19_999]
    return [rng.normal(0, 0.1, size).astype(np.float32) for size in sizes]


@pytest.mark.parametrize("name", HEADS)
def test_forward_and_backward(name):
    network = network_of(name).train()
    card = make_card("x", blueprint_of(name), "")
    size = card["input"].get("samples") or 20_000
    waveform = torch.randn(3, size, generator=torch.Generator().manual_seed(2)) * 0.1
    found = network.describe(waveform, torch.tensor([size, size, size]))
    assert found.logits.shape == (3, 2)
    assert found.embedding.shape[0] == 3
    loss = torch.nn.functional.cross_entropy(found.logits, torch.tensor([0, 1, 0]))
    if found.frame_scores is not None:  # which may have a layer that the clip's loss does not reach
        loss = loss + torch.nn.functional.softplus(found.frame_scores).mean()
    loss.backward()
    for parameter_name, parameter in network.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, parameter_name
            assert torch.isfinite(parameter.grad).all(), parameter_name
    moved = [p for p in network.parameters() if p.grad is not None and p.grad.abs().max() > 0]
    assert len(moved) > 0.8 * len(list(network.parameters()))


class OneConvolution(torch.nn.Module):
    """Stands for a front end where it is exported, which takes ten times as long as a head does.

    Graphs of every front end: `test_graph.py`.
    """

    def __init__(self, architecture, states, empty):
        super().__init__()
        self.states = states or (architecture.layers,)
        with torch.device("meta" if empty else "cpu"):
            self.body = torch.nn.Conv1d(1, len(self.states) * architecture.width, 400, 320)

    def forward(self, waveform, lengths, states=None):
        frames = self.body(waveform[:, None]).unflatten(1, (len(self.states), -1)).transpose(2, 3)
        frames = frames[:, : len(states)] if states else frames
        count = torch.div(lengths - 400, 320, rounding_mode="floor") + 1
        return frames, torch.arange(frames.shape[2])[None] < count[:, None]


@pytest.mark.parametrize("name", HEADS)
def test_export_and_scan_with_either_engine(name, tmp_path, samples, monkeypatch):
    monkeypatch.setattr("earwitness.decision.network.FrontEnd", OneConvolution)
    network = network_of(name)
    card = make_card("tiny", blueprint_of(name), "")
    save_file({n: t.contiguous() for n, t in network.state_dict().items()}, tmp_path / WEIGHTS)
    card["files"] = {WEIGHTS: file_digest(tmp_path / WEIGHTS)}
    write_card(tmp_path, card)
    card = export_model(str(tmp_path))
    assert card["graph"]["difference_from_torch"] <= 1e-3
    by_engine = {engine: load_detector(tmp_path, engine=engine) for engine in ("torch", "onnx")}
    clips = clips_for(card)
    alone = [score_clips(by_engine["torch"], [clip])[0].score for clip in clips]
    assert np.std(alone) > 1e-6  # it hears a difference
    for detector in by_engine.values():
        scored = score_clips(detector, clips)
        assert [s.score for s in scored] == pytest.approx(alone, abs=1e-4)
        if detector.localisation:
            counts = [detector.localisation.grid.count(len(clip)) for clip in clips]
            assert [len(s.frame_scores) for s in scored] == counts
    verdicts = [
        scan(samples / "genuine-librispeech.flac", model=detector, timeline=True)
        for detector in by_engine.values()
    ]
    assert verdicts[0].llr == pytest.approx(verdicts[1].llr, abs=1e-3)
    assert verdicts[0].model == verdicts[1].model
    assert verdicts[0].verdict == verdicts[1].verdict != "error"
    taught = card["output"]["frame_hop_s"] is not None and name != "logmel-cnn"  # whose card says not how
    assert all((verdict.timeline is not None) == taught for verdict in verdicts)
    assert all(verdict.rule for verdict in verdicts)


def test_a_weighted_sum_of_layers_is_that_of_its_weights():
    front_end = dataclasses.replace(FRONT_END, layers=2)
    network = Network(Blueprint("linear", front_end, (0, 1, 2))).eval()
    assert network.mixture is not None
    torch.nn.init.constant_(network.mixture, 0)
    network.mixture.data[1] = 30  # all the weight on state 1
    single = Network(Blueprint("linear", front_end, (1,))).eval()
    single.load_state_dict({n: t for n, t in network.state_dict().items() if n != "mixture"})
    waveform, lengths = torch.randn(1, 9_000), torch.tensor([9_000])
    with torch.no_grad():
        torch.testing.assert_close(network(waveform, lengths)[0], single(waveform, lengths)[0])


def test_a_card_of_an_unknown_head_is_refused(tmp_path):
    card = {"architecture": {"front_end": None, "states": [], "head": "perceptron", "options": {}}}
    with pytest.raises(ModelError, match="no head is called 'perceptron'; one of linear"):
        read_blueprint(card, tmp_path)
    with pytest.raises(ModelError, match="describes no network"):
        read_blueprint({"architecture": "earwitness.decision.logmel_cnn.LogMelCnn"}, tmp_path)
