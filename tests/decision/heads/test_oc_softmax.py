"""One direction for bona fide speech, and the loss that trains it."""

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from earwitness.decision.heads.oc_softmax import OcSoftmax, oc_softmax_losses  # noqa: E402

EVERY = torch.ones(2, 9, dtype=torch.bool)


@pytest.fixture
def frames():
    return torch.randn(2, 9, 16, generator=torch.Generator().manual_seed(0))


def test_it_is_one_vector():
    head = OcSoftmax(1024)
    assert sum(weights.numel() for weights in head.parameters()) == 1024
    assert head.direction.norm().item() == pytest.approx(1)


def test_logits_are_the_cosine_and_its_negative(frames):
    head = OcSoftmax(16)
    logits = head(frames, EVERY).logits.detach().numpy()
    mean, direction = frames.mean(1).numpy(), head.direction.detach().numpy()
    expected = mean @ direction / np.linalg.norm(mean, axis=1) / np.linalg.norm(direction)
    np.testing.assert_allclose(logits, np.stack([-expected, expected], axis=1), atol=1e-6)


def test_only_directions_count(frames):
    head = OcSoftmax(16)
    before = head(frames, EVERY).logits
    with torch.no_grad():
        head.direction.mul_(7)
    torch.testing.assert_close(head(0.1 * frames, EVERY).logits, before)


def test_the_mean_of_the_frame_scores_is_the_score(frames):
    mask = torch.arange(9) < torch.tensor([[9], [4]])
    logits, _, scores, _ = OcSoftmax(16)(frames, mask)
    counts = mask.sum(1)
    torch.testing.assert_close(scores.sum(1) / counts, logits[:, 1] - logits[:, 0])
    assert not scores[1, 4:].any()


def test_the_loss_is_that_of_equation_5():
    cosine = np.array([0.95, 0.3, -0.4, 0.6])
    bona_fide = np.array([True, True, False, False])
    signed = np.where(bona_fide, 0.9 - cosine, -(0.2 - cosine))
    expected = np.mean(np.log(1 + np.exp(20 * signed)))
    loss = oc_softmax_losses(torch.from_numpy(cosine), torch.from_numpy(bona_fide)).mean()
    assert loss.item() == pytest.approx(expected)
    by_number = oc_softmax_losses(torch.from_numpy(cosine), torch.tensor([1, 1, 0, 0])).mean()
    assert by_number == loss


def test_at_the_margins_the_loss_is_a_coin_toss():
    loss = oc_softmax_losses(torch.tensor([0.8, -0.1]), torch.tensor([True, False]), 5, 0.8, -0.1).mean()
    assert loss.item() == pytest.approx(math.log(2))


def test_the_loss_parts_the_classes():
    cosine = torch.tensor([0.5, 0.5], requires_grad=True)
    oc_softmax_losses(cosine, torch.tensor([True, False])).mean().backward()
    assert cosine.grad[0] < 0 < cosine.grad[1]
