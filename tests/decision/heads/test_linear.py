"""Mean over frames, then one linear layer."""

import pytest

torch = pytest.importorskip("torch")

from earwitness.decision.heads.linear import MeanLinear  # noqa: E402


def test_it_is_one_linear_layer():
    assert sum(weights.numel() for weights in MeanLinear(1024).parameters()) == 2 * 1024 + 2


def test_the_mean_of_the_frame_scores_is_the_score():
    torch.manual_seed(0)
    frames, mask = torch.randn(2, 9, 16), torch.arange(9) < torch.tensor([[9], [4]])
    logits, embedding, scores, _ = MeanLinear(16)(frames, mask)
    torch.testing.assert_close(embedding[1], frames[1, :4].mean(0))
    torch.testing.assert_close(scores[0].mean(), logits[0, 1] - logits[0, 0])
    torch.testing.assert_close(scores[1, :4].mean(), logits[1, 1] - logits[1, 0])
    assert not scores[1, 4:].any()
