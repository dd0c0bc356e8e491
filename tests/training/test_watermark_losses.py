"""Losses against closed forms, and BS.1770's own filter."""

import numpy as np
import pytest
import torch
from scipy.signal import freqz

from earwitness.training import watermark_losses as quality


def noise(rows=2, samples=16_000, seed=0):
    return 0.1 * torch.randn(rows, samples, generator=torch.Generator().manual_seed(seed))


def test_nothing_costs_what_changes_nothing():
    host = noise()
    assert float(quality.multi_scale_mel(host, host)) == 0
    assert float(quality.multi_scale_mel(host * 1.01, host)) > 0


def test_the_logarithmic_part_of_the_mel_loss_is_that_of_a_gain():
    host = noise()
    gain = 10 ** (1 / 20)
    loss = float(quality.multi_scale_mel(host * gain, host))
    amplitude = [
        torch.einsum("bft,fm->bmt", (quality.power(host, size) + 1e-12).sqrt(), quality.filters_of(size, 64))
        for size in quality.MEL_SIZES
    ]
    floors = [(a > quality.FLOOR).float().mean() for a in amplitude]
    wanted = sum(
        float((gain - 1) * a.mean() + f * (1 / 20) ** 2) for a, f in zip(amplitude, floors, strict=True)
    )
    assert loss == pytest.approx(wanted / (2 * len(quality.MEL_SIZES)), rel=0.02)


@pytest.mark.parametrize("decibels", [-40.0, -20.0])
def test_the_loudness_of_a_scaled_host_is_the_scale_in_decibels(decibels):
    host = noise(3, 32_000)
    ratio = quality.loudness_ratio(host * 10 ** (decibels / 20), host)
    assert float(ratio) == pytest.approx(decibels, abs=0.3)


def test_the_k_weighting_is_that_of_the_recommendation():
    # ITU-R BS.1770-4, tables 1 and 2: the coefficients of both filters at 48 kHz
    shelf = (
        [1.53512485958697, -2.69169618940638, 1.19839281085285],
        [1, -1.69065929318241, 0.73248077421585],
    )
    cut = ([1.0, -2.0, 1.0], [1, -1.99004745483398, 0.99007225036621])
    hertz = np.array([62.5, 125, 500, 1_000, 2_000, 4_000, 7_000])
    wanted = sum(20 * np.log10(np.abs(freqz(b, a, hertz, fs=48_000)[1])) for b, a in (shelf, cut))
    got = 10 * np.log10(quality.k_weighting(1024).numpy()[np.round(hertz / 15.625).astype(int)])
    np.testing.assert_allclose(got, wanted, atol=0.15)


def test_what_residuals_have_in_common_is_one_for_a_fixed_pattern_and_a_share_for_noise():
    fixed = noise(1).expand(8, -1)
    assert float(quality.pattern(fixed)) == pytest.approx(1)
    assert float(quality.pattern(noise(8))) == pytest.approx(1 / 8, rel=0.1)
    assert float(quality.pattern(torch.cat([fixed[:4], -fixed[:4]]))) == pytest.approx(0, abs=1e-6)


def test_the_balancer_gives_each_loss_its_share_whatever_its_scale():
    audio = noise(4).requires_grad_(True)
    balancer = quality.Balancer({"one": 3.0, "other": 1.0}, total=2.0)
    left, right = torch.zeros_like(audio), torch.zeros_like(audio)
    left[:, :8_000], right[:, 8_000:] = 1.0, 1.0
    losses = {"one": 1e6 * (audio * left).sum(), "other": 1e-6 * (audio * right).sum()}
    slope = balancer.gradient(losses, audio)
    norms = slope[:, :8_000].norm(dim=1), slope[:, 8_000:].norm(dim=1)
    torch.testing.assert_close(norms[0], torch.full((4,), 2.0 * 3 / 4), rtol=1e-3, atol=0)
    torch.testing.assert_close(norms[1], torch.full((4,), 2.0 / 4), rtol=1e-3, atol=0)


def test_a_discriminator_learns_to_tell_and_a_generator_is_told():
    torch.manual_seed(0)
    judge = quality.Discriminator(4, (256, 128))
    optimiser = torch.optim.Adam(judge.parameters(), 5e-3)
    host = noise(2, 4_000)
    marked = host + 0.05 * torch.sin(2 * torch.pi * 1_000 / 16_000 * torch.arange(4_000))
    before = float(quality.judging(judge, marked, host).detach())
    for _ in range(120):
        optimiser.zero_grad()
        quality.judging(judge, marked, host).backward()
        optimiser.step()
    assert float(quality.judging(judge, marked, host).detach()) < 0.5 * before
    leaf = marked.clone().requires_grad_(True)
    fooled, features = quality.adversarial(judge, leaf, host)
    (fooled + features).backward()
    assert leaf.grad is not None
    assert leaf.grad.abs().sum() > 0
    assert float(quality.adversarial(judge, host, host)[1].detach()) == 0
