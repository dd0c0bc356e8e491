"""AASIST against its authors' weights and scores, and its graphs against plain loops."""

import csv
import ctypes
import sys

import numpy as np
import pytest

from earwitness.audio.io import load

torch = pytest.importorskip("torch")

from earwitness.decision.heads.aasist import (  # noqa: E402
    AUTHORS_NAMES,
    SAMPLES,
    SIZES,
    Aasist,
    AasistHead,
    GraphAttention,
    GraphPool,
    HeterogeneousAttention,
    SpectroTemporalGraphs,
    fit_length,
    from_authors,
    options_of,
)


def parameters(network) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def authors_weights(shared, name):
    return torch.load(shared / "reference" / f"{name}.pth", map_location="cpu", weights_only=True)


def as_authors_name(state):
    """The inverse of `from_authors`."""
    theirs = {}
    for name, value in state.items():
        part = max((p for p in AUTHORS_NAMES.values() if f"{name}.".startswith(f"{p}.")), key=len)
        rest = name.removeprefix(part)
        if part == "encoder":
            rest = f"{rest[:2]}.0{rest[2:]}"
        authors = next(key for key, ours in AUTHORS_NAMES.items() if ours == part)
        theirs[authors + rest] = value
    return theirs


def test_sizes_are_those_of_the_paper():
    assert parameters(Aasist()) == 297_866  # the paper says 297k
    assert parameters(Aasist(**SIZES["aasist-l"])) == 85_306  # and 85k


def test_the_head_has_the_parameters_of_the_authors_code():
    def linear(inputs, outputs):
        return inputs * outputs + outputs

    def block(inputs, outputs, first=False):  # bn1, conv1, bn2, conv2, conv_downsample
        widened = 3 * inputs * outputs + outputs if inputs != outputs else 0
        norms = 2 * outputs + (0 if first else 2 * inputs)
        return norms + 6 * inputs * outputs + outputs + 6 * outputs**2 + outputs + widened

    encoder = block(1, 32, True) + block(32, 32) + block(32, 64) + 3 * block(64, 64)
    attention = linear(64, 128) + 2 * 128 + linear(128, 64)
    graph = 3 * linear(64, 64) + 64 + 2 * 64 + linear(64, 1)  # with its pooling

    def mixed(inputs):
        return 2 * linear(inputs, inputs) + 6 * linear(inputs, 32) + 4 * 32 + 2 * 32

    branch = 64 + mixed(64) + mixed(32) + 2 * linear(32, 1)
    expected = linear(1024, 128) + 2 + encoder + 2 * 64 + attention + 42 * 64 + 2 * graph + 2 * branch
    assert parameters(AasistHead(1024)) == expected + linear(160, 2) == 447_242


def test_only_the_idle_normalisations_are_frozen():
    for network in (Aasist(), AasistHead(16)):
        frozen = {name for name, p in network.named_parameters() if not p.requires_grad}
        assert frozen == {f"encoder.{i}.bn1.{kind}" for i in range(1, 6) for kind in ("weight", "bias")}


@pytest.mark.parametrize("size", SIZES)
def test_authors_names_are_known_and_tell_the_size(size):
    state = as_authors_name(Aasist(**SIZES[size]).state_dict())
    assert options_of(state) == SIZES[size]
    assert options_of({f"model.{name}": value for name, value in state.items()}) == SIZES[size]


def test_a_fine_tuned_front_end_is_left_out():
    head = AasistHead(16)
    state = {f"module.{name}": value for name, value in as_authors_name(head.state_dict()).items()}
    state["module.ssl_model.model.encoder.layer_norm.bias"] = torch.zeros(16)
    head.load_state_dict(from_authors(state))


def test_other_weights_are_refused():
    with pytest.raises(ValueError, match=r"conv1\.weight: expected weights of AASIST"):
        options_of({"conv1.weight": torch.zeros(1)})
    with pytest.raises(ValueError, match="neither size"):
        options_of(as_authors_name(Aasist(channels=8).state_dict()))


def test_attention_is_that_of_plain_loops():
    torch.manual_seed(0)
    layer = GraphAttention(3, 4, temperature=2.0).eval()
    nodes = torch.randn(1, 5, 3)
    with torch.no_grad():
        hidden = []
        for node in nodes[0]:
            scores = [layer.att_proj(node * other).tanh() @ layer.att_weight for other in nodes[0]]
            mean = (torch.softmax(torch.stack(scores) / 2.0, 0) * nodes[0]).sum(0)
            hidden.append(layer.proj_with_att(mean) + layer.proj_without_att(node))
        expected = torch.selu(torch.stack(hidden) / np.sqrt(1 + layer.bn.eps))  # mean 0, variance 1
        torch.testing.assert_close(layer(nodes)[0], expected)


def test_attention_between_kinds_is_that_of_plain_loops():
    torch.manual_seed(0)
    layer = HeterogeneousAttention(3, 4, temperature=0.5).eval()
    first, second, master = torch.randn(1, 2, 3), torch.randn(1, 3, 3), torch.randn(1, 1, 3)
    pure = {(False, False): layer.att_weight11, (True, True): layer.att_weight22}

    def mean(scores):
        return (torch.softmax(torch.stack(scores) / 0.5, 0) * nodes).sum(0)

    with torch.no_grad():
        nodes = torch.cat([layer.proj_type1(first), layer.proj_type2(second)], dim=1)[0]
        hidden = []
        for i, node in enumerate(nodes):
            weights = [pure.get((i >= 2, j >= 2), layer.att_weight12) for j in range(5)]
            products = [layer.att_proj(node * other).tanh() for other in nodes]
            context = mean([product @ weight for product, weight in zip(products, weights, strict=True)])
            hidden.append(layer.proj_with_att(context) + layer.proj_without_att(node))
        expected = torch.selu(torch.stack(hidden) / np.sqrt(1 + layer.bn.eps))
        context = mean([layer.att_projM(node * master[0, 0]).tanh() @ layer.att_weightM for node in nodes])
        expected_master = layer.proj_with_attM(context) + layer.proj_without_attM(master[0, 0])
        one, other, found_master = layer(first, second, master)
    torch.testing.assert_close(torch.cat([one, other], dim=1)[0], expected)
    torch.testing.assert_close(found_master[0, 0], expected_master)


# 90 * 0.7 is a little less than 63 in floating point.
@pytest.mark.parametrize(
    ("ratio", "nodes", "kept"), [(0.7, 29, 20), (0.7, 90, 63), (0.4, 23, 9), (0.5, 1, 1)]
)
def test_pooling_keeps_the_best_nodes(ratio, nodes, kept):
    torch.manual_seed(0)
    pool, graph = GraphPool(4, ratio).eval(), torch.randn(2, nodes, 4)
    with torch.no_grad():
        found, scores = pool(graph), torch.sigmoid(pool.proj(graph))
    assert found.shape == (2, kept, 4)
    for clip in range(2):
        best = np.argsort(-scores[clip, :, 0].numpy())[:kept].copy()
        torch.testing.assert_close(found[clip], (graph * scores)[clip, best])


def test_time_has_no_order_in_the_graphs_but_bands_have():
    torch.manual_seed(0)
    graphs = SpectroTemporalGraphs(5, 8, 4, (0.5, 0.7, 0.5), (2.0, 2.0, 100.0)).eval()
    spectral, temporal = torch.randn(1, 5, 8), torch.randn(1, 11, 8)
    with torch.no_grad():
        whole = graphs(spectral, temporal)
        torch.testing.assert_close(graphs(spectral, temporal.flip(1)), whole, atol=1e-6, rtol=1e-5)
        assert (graphs(spectral.flip(1), temporal) - whole).abs().max() > 1e-3


def test_clips_are_cut_or_repeated():
    wave = torch.arange(5.0)
    assert fit_length(wave, 3).tolist() == [0, 1, 2]
    assert fit_length(wave, 5).tolist() == [0, 1, 2, 3, 4]
    assert fit_length(wave, 12).tolist() == [0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1]


@pytest.fixture
def keep_memory():
    """Let glibc keep freed memory: mapping the large feature maps anew would take half of the time."""
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "mallopt"):
        libc.mallopt(-4, 0)  # M_MMAP_MAX
        libc.mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD


@pytest.mark.shared
def test_authors_weights_give_the_authors_scores(shared, keep_memory):
    """Every third of 235 files; the scores come from the authors' own network, see reference/README.md."""
    with (shared / "reference" / "aasist_scores.csv").open() as file:
        expected = {row["id"]: float(row["score"]) for row in csv.DictReader(file)}
    demos = shared / "corpus" / "demos"
    with (demos / "manifest.csv").open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["id"] in expected]
    assert len(rows) == len(expected) == 235
    rows = rows[::3]
    state = authors_weights(shared, "AASIST")
    network = Aasist(**options_of(state)).eval()
    network.load_state_dict(from_authors(state))
    network = network.to(memory_format=torch.channels_last)  # faster, of the same value
    waves = torch.stack([fit_length(torch.from_numpy(load(demos / row["path"]))) for row in rows])
    with torch.inference_mode():
        logits = [network(pair, torch.full((len(pair),), SAMPLES)).logits for pair in waves.split(2)]
    scores = torch.cat(logits).diff(dim=1)[:, 0].numpy()
    np.testing.assert_allclose(scores, [expected[row["id"]] for row in rows], rtol=0, atol=1e-4)


@pytest.mark.shared
def test_authors_small_weights_load(shared):
    state = authors_weights(shared, "AASIST-L")
    assert options_of(state) == SIZES["aasist-l"]
    Aasist(**options_of(state)).load_state_dict(from_authors(state))
