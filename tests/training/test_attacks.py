"""What happens to marked speech while training: shapes, gradients, seeds."""

import numpy as np
import pytest
import torch

from earwitness.training.attacks import FATES, WEIGHTS, attack, straight_through


def clip(seed=0, samples=10_240):
    rng = np.random.default_rng(seed)
    time = np.arange(samples) / 16_000
    voice = sum(np.sin(2 * np.pi * 140 * k * time) / k for k in range(1, 20))
    return torch.from_numpy((0.1 * voice + 0.003 * rng.standard_normal(samples)).astype(np.float32))


@pytest.mark.parametrize("fate", FATES, ids=lambda fate: fate.__name__)
@pytest.mark.parametrize("seed", [0, 1])
def test_a_fate_keeps_the_length_changes_something_passes_gradients_and_repeats(fate, seed):
    audio = clip().requires_grad_(True)
    after = fate(audio, np.random.default_rng(seed))
    again = fate(audio, np.random.default_rng(seed))
    assert after.shape == audio.shape
    assert after.dtype == torch.float32
    assert torch.isfinite(after).all()
    assert not torch.equal(after, audio)
    torch.testing.assert_close(after, again)
    after.square().sum().backward()
    assert audio.grad is not None
    assert audio.grad.abs().sum() > 0


@pytest.mark.parametrize("fate", FATES, ids=lambda fate: fate.__name__)
def test_silence_survives_every_fate(fate):
    after = fate(torch.zeros(10_240), np.random.default_rng(0))
    assert torch.isfinite(after).all()
    assert after.abs().max() < 1e-2


def test_straight_through_has_the_value_of_one_and_the_gradient_of_the_other():
    audio = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    after = straight_through(audio, np.array([5.0, 6.0]))
    torch.testing.assert_close(after.detach(), torch.tensor([5.0, 6.0, 0.0]))
    (after * torch.tensor([1.0, 2.0, 3.0])).sum().backward()
    torch.testing.assert_close(audio.grad, torch.tensor([1.0, 2.0, 3.0]))


def test_a_share_of_clips_is_spared():
    batch = torch.stack([clip(seed) for seed in range(40)])
    after = attack(batch, np.random.default_rng(0), 0.5)
    spared = sum(torch.equal(a, b) for a, b in zip(after, batch, strict=True))
    assert 10 <= spared <= 30
    assert torch.equal(attack(batch, np.random.default_rng(0), 0.0), batch)
    assert WEIGHTS.sum() == pytest.approx(1)
    assert len(WEIGHTS) == len(FATES)
