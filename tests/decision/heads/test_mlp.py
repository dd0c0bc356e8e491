"""A perceptron on each frame, then the mean."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from earwitness.decision.heads.mlp import Mlp  # noqa: E402


def count(head):
    return sum(weights.numel() for weights in head.parameters())


def test_sizes_are_those_of_p3_and_gf():
    p3 = (1024 * 128 + 128) + 3 * (128 * 128 + 128) + (128 * 2 + 2)
    assert count(Mlp(1024)) == p3 == 180_994
    assert count(Mlp(1024, depth=0)) == (1024 * 128 + 128) + (128 * 2 + 2) == 131_458


@pytest.fixture
def head():
    torch.manual_seed(0)
    return Mlp(6, hidden=5, depth=2).eval()


def test_it_is_the_perceptron_of_each_frame(head):
    frames = torch.randn(1, 7, 6)
    weights = [weight.detach().numpy() for weight in head.parameters()]
    embeddings = []
    for frame in frames[0].numpy():
        hidden = weights[0] @ frame + weights[1]
        for weight, bias in zip(weights[2:6:2], weights[3:6:2], strict=True):
            hidden = weight @ hidden + bias
            hidden = np.where(hidden > 0, hidden, 0.01 * hidden)
        embeddings.append(hidden)
    embedding = np.mean(embeddings, axis=0)
    logits, found, _, _ = head(frames, torch.ones(1, 7, dtype=torch.bool))
    np.testing.assert_allclose(found[0].detach().numpy(), embedding, atol=1e-6)
    np.testing.assert_allclose(logits[0].detach().numpy(), weights[6] @ embedding + weights[7], atol=1e-6)


def test_the_mean_of_the_frame_scores_is_the_score(head):
    frames, mask = torch.randn(2, 9, 6), torch.arange(9) < torch.tensor([[9], [4]])
    logits, _, scores, _ = head(frames, mask)
    torch.testing.assert_close(scores.sum(1) / mask.sum(1), logits[:, 1] - logits[:, 0])
    assert not scores[1, 4:].any()


def test_dropout_is_for_training_only(head):
    frames, mask = torch.randn(2, 9, 6), torch.ones(2, 9, dtype=torch.bool)
    assert torch.equal(head(frames, mask).logits, head(frames, mask).logits)
    head.train()
    assert not torch.equal(head(frames, mask).logits, head(frames, mask).logits)
