"""Attentive merging of layers, and the heads after it."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from earwitness.decision.heads.attm import HEADS, AttentiveMerge, AttM  # noqa: E402


def count(part):
    return sum(weights.numel() for weights in part.parameters())


def silu(values):
    return values / (1 + np.exp(-values))


@pytest.mark.parametrize(("layers", "expected"), [(12, 40_899_728), (24, 157_295_168)])
def test_sizes_are_those_of_the_authors(layers, expected):
    """Of their code, without the layer in it that is never applied."""
    wide = layers * 1024
    gates = 1024 + 2 * layers * (layers // 2)
    assert expected == gates + (wide * (wide // 4) + wide // 4) + (wide // 4 * 1024 + 1024)
    with torch.device("meta"):
        assert count(AttentiveMerge(1024, layers)) == expected


def test_it_is_the_merging_of_a_plain_loop():
    torch.manual_seed(0)
    merge = AttentiveMerge(8, 5).double()
    states = torch.randn(1, 5, 7, 8).double()
    given = {name: weights.detach().numpy() for name, weights in merge.named_parameters()}
    plain = states[0].numpy()
    squeezed = np.array([silu(layer.mean(0) @ given["squeeze"]) for layer in plain])
    gates = 1 / (1 + np.exp(-silu(squeezed @ given["narrow"]) @ given["widen"]))
    expected = []
    for frame in range(7):
        joined = np.stack([gate * layer[frame] for gate, layer in zip(gates, plain, strict=True)], axis=1)
        hidden = silu(given["project.0.weight"] @ joined.ravel() + given["project.0.bias"])
        expected.append(given["project.2.weight"] @ hidden + given["project.2.bias"])
    found = merge(states, torch.ones(1, 7, dtype=torch.bool))[0]
    np.testing.assert_allclose(found.detach().numpy(), expected, atol=1e-12)


def test_gates_are_of_the_clip_and_not_of_what_follows():
    torch.manual_seed(0)
    merge = AttentiveMerge(8, 5)
    states, mask = torch.randn(2, 5, 7, 8), torch.arange(7) < torch.tensor([[7], [3]])
    gates = merge.gates(states, mask)
    alone = merge.gates(states[1:, :, :3], torch.ones(1, 3, dtype=torch.bool))
    torch.testing.assert_close(gates[1:], alone)


@pytest.mark.parametrize("name", list(HEADS))
def test_each_head_hears_every_layer(name):
    torch.manual_seed(0)
    attm = AttM(64, 3, head=name).eval()
    assert count(attm) == count(AttentiveMerge(64, 3)) + count(HEADS[name](64))
    states = torch.randn(1, 3, 7, 64).repeat(4, 1, 1, 1)
    for layer in range(3):
        states[layer, layer] *= 2
    logits = attm(states, torch.ones(4, 7, dtype=torch.bool)).logits
    assert (logits[:3] != logits[3]).all()


def test_other_heads_are_refused():
    with pytest.raises(ValueError, match="'aasist'"):
        AttM(64, 3, head="aasist")
