import math

import pytest

torch = pytest.importorskip("torch")

from earwitness.decision.heads.vib import Bottleneck, draw, kl_to_standard_normal  # noqa: E402


def linear(inputs: int, outputs: int) -> int:
    return inputs * outputs + outputs


def small(dropout: float = 0.5) -> Bottleneck:
    torch.manual_seed(0)
    return Bottleneck(6, hidden=5, size=4, dropout=dropout)


def test_the_size_is_that_of_the_public_network_without_its_decoder():
    decoder = linear(64, 128) + linear(128, 128)
    encoder = linear(1024, 128) + 2 * linear(128, 128) + 2 * linear(128, 64)
    behind = 3 * linear(64, 64) + linear(64, 2)
    assert sum(p.numel() for p in Bottleneck(1024).parameters()) == encoder + behind == 193_346
    assert decoder == 24_832


def test_divergence_is_that_of_torch_distributions():
    mean, log_variance = torch.randn(2, 7, 4), torch.randn(2, 7, 4)
    normal = torch.distributions.Normal
    each = torch.distributions.kl_divergence(normal(mean, (log_variance / 2).exp()), normal(0.0, 1.0)).sum(2)
    mask = torch.arange(7) < torch.tensor([[7], [3]])
    expected = torch.stack([each[0].mean(), each[1, :3].mean()])
    torch.testing.assert_close(kl_to_standard_normal(mean, log_variance, mask), expected)


def test_divergence_has_its_closed_form_and_is_zero_only_for_the_standard_normal():
    mask = torch.ones(1, 1, dtype=torch.bool)
    zero = torch.zeros(1, 1, 3)
    assert kl_to_standard_normal(zero, zero, mask).item() == 0
    assert kl_to_standard_normal(zero + 2, zero, mask).item() == pytest.approx(3 * 2.0)  # mean ** 2 / 2 each
    widened = kl_to_standard_normal(zero, zero + math.log(4), mask).item()
    assert widened == pytest.approx(3 * (4 - 1 - math.log(4)) / 2)


def test_draws_have_the_mean_and_the_deviation_that_they_are_asked_for():
    torch.manual_seed(0)
    drawn = draw(torch.full((200_000,), 0.7), torch.full((200_000,), 2 * math.log(0.3)))
    assert drawn.mean().item() == pytest.approx(0.7, abs=0.005)
    assert drawn.std().item() == pytest.approx(0.3, abs=0.005)


def test_evaluation_passes_the_mean_and_training_a_draw():
    head, frames, mask = small(dropout=0.0), torch.randn(2, 5, 6), torch.ones(2, 5, dtype=torch.bool)
    with torch.no_grad():
        head.log_variance.bias.add_(2)
        mean, _ = head.bottleneck(frames, mask)
        expected = head.classify(mean, mask).logits
        torch.testing.assert_close(head.eval()(frames, mask).logits, expected)
        head.train()
        first, second = head(frames, mask).logits, head(frames, mask).logits
    assert (first - second).abs().max() > 1e-5


def test_training_as_described_moves_the_variance_both_by_score_and_by_divergence():
    head, frames, mask = small().train(), torch.randn(2, 5, 6), torch.ones(2, 5, dtype=torch.bool)
    mean, log_variance = head.bottleneck(frames, mask)
    bias = head.log_variance.bias
    by_score = torch.autograd.grad(
        head.classify(draw(mean, log_variance), mask).logits[:, 1].sum(), bias, retain_graph=True
    )[0]
    by_divergence = torch.autograd.grad(kl_to_standard_normal(mean, log_variance, mask).sum(), bias)[0]
    assert by_score.abs().max() > 0
    assert by_divergence.abs().max() > 0


def test_the_mean_of_the_frame_scores_is_the_score():
    head, frames = small().eval(), torch.randn(2, 5, 6)
    mask = torch.arange(5) < torch.tensor([[5], [2]])
    with torch.inference_mode():
        found = head(frames, mask)
    assert found.frame_scores is not None
    score = found.logits[:, 1] - found.logits[:, 0]
    torch.testing.assert_close(found.frame_scores.sum(1) / mask.sum(1), score)
    assert (found.frame_scores[1, 2:] == 0).all()


def test_only_in_training_is_the_divergence_a_penalty_on_each_clip():
    head, frames, mask = (
        small(dropout=0.0),
        torch.randn(2, 5, 6),
        torch.ones(2, 5, dtype=torch.bool),
    )
    assert head.eval()(frames, mask).penalty is None
    with torch.no_grad():
        expected = head.beta * kl_to_standard_normal(*head.bottleneck(frames, mask), mask)
        torch.testing.assert_close(head.train()(frames, mask).penalty, expected)
