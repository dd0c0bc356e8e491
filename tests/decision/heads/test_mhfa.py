"""Multi-head factorised attentive pooling."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from earwitness.decision.heads.mhfa import Mhfa  # noqa: E402


def softmax(logits):
    return np.exp(logits) / np.exp(logits).sum()


def count(head):
    return sum(weights.numel() for weights in head.parameters())


@pytest.mark.parametrize(("width", "layers"), [(1024, 25), (768, 13)])
def test_sizes_are_those_of_the_authors(width, layers):
    pooling = 2 * layers + 2 * (width * 128 + 128) + (128 * 32 + 32) + (32 * 128 * 256 + 256)
    assert count(Mhfa(width, layers)) == pooling + (256 * 2 + 2)
    assert (width, pooling) in {(1024, 1_315_410), (768, 1_249_850)}


@pytest.fixture
def head():
    torch.manual_seed(0)
    head = Mhfa(6, 3, heads=4, compression=5, embedding=7).double()
    torch.nn.init.normal_(head.key_layers)
    torch.nn.init.normal_(head.value_layers)
    return head


def test_each_head_averages_the_values_of_its_frames(head):
    states = torch.randn(1, 3, 8, 6).double()
    given = {name: weights.detach().numpy() for name, weights in head.named_parameters()}
    key_shares, value_shares = softmax(given["key_layers"]), softmax(given["value_layers"])
    attention, values = np.zeros((8, 4)), np.zeros((8, 5))
    for frame, layers in enumerate(states[0].transpose(0, 1).numpy()):  # (layers, width)
        key = given["keys.weight"] @ (key_shares @ layers) + given["keys.bias"]
        attention[frame] = given["attend.weight"] @ key + given["attend.bias"]
        values[frame] = given["values.weight"] @ (value_shares @ layers) + given["values.bias"]
    pooled = np.concatenate([softmax(attention[:, one]) @ values for one in range(4)])
    expected = given["embed.weight"] @ pooled + given["embed.bias"]
    found = head(states, torch.ones(1, 8, dtype=torch.bool)).embedding[0]
    np.testing.assert_allclose(found.detach().numpy(), expected, atol=1e-12)


def test_the_order_of_frames_does_not_matter_and_that_of_layers_does(head):
    states, every = torch.randn(1, 3, 8, 6).double(), torch.ones(1, 8, dtype=torch.bool)
    logits = head(states, every).logits
    torch.testing.assert_close(head(states.flip(2), every).logits, logits)
    assert not torch.allclose(head(states.flip(1), every).logits, logits)
