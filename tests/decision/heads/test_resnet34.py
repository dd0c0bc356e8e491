"""ResNet34 on linear filter banks, and the large-margin cosine loss."""

import math
from itertools import pairwise

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from earwitness.decision.heads.resnet34 import (  # noqa: E402
    LinearFilterBanks,
    ResNet34,
    large_margin_cosine_loss,
    linear_filters,
)

SMALL = {"stem": 4, "widths": [4, 6, 8, 8], "blocks": [1, 1, 1, 1], "pooled": 8, "embedding": 6}


def test_size_is_that_of_the_layer_table():
    total, inputs = 9 * 3 * 16 + 2 * 16, 16
    for stage, (width, count) in enumerate([(64, 3), (128, 4), (256, 6), (512, 3)]):
        for index in range(count):
            total += 2 * inputs + 9 * inputs * width + 2 * width + 9 * width**2
            total += inputs * width if index == 0 and (stage or inputs != width) else 0
            inputs = width
    total += 9 * 512 * 256 + 2 * 256 + 256 + (512 * 256 + 256) + 2 * 256
    network = ResNet34()
    # sandbox/block_resnet.py has 22,558,450: two biases of its classifier more.
    assert sum(p.numel() for p in network.parameters()) == total == 22_558_448


def test_filter_banks_are_those_of_a_fourier_transform(speech):
    wave = torch.from_numpy(speech[:8_000].copy())
    emphasised = wave.clone()
    emphasised[1:] -= 0.97 * wave[:-1]
    window = torch.hamming_window(320)
    spectrum = torch.stft(emphasised, 512, 160, 320, window, pad_mode="constant", return_complex=True)
    expected = torch.log10(spectrum.abs().pow(2).T @ torch.from_numpy(linear_filters()) + 2.0**-23)
    found, frames = LinearFilterBanks()(wave[None], torch.tensor([8_000]))
    assert frames.tolist() == [51]
    torch.testing.assert_close(found[0, 0].T, expected, atol=1e-3, rtol=0)


def test_filters_are_triangles_that_share_their_corners():
    filters = linear_filters()
    assert filters.shape == (257, 60)
    inner = filters[9:-9].sum(1)  # between the first peak and the last
    np.testing.assert_allclose(inner, 1, atol=1e-5)
    centre = (filters * np.arange(257)[:, None]).sum(0) / filters.sum(0) * 16_000 / 512
    np.testing.assert_allclose(centre, np.arange(1, 61) * 8_000 / 61, atol=20)


def test_what_precedes_or_follows_a_clip_is_silence():
    torch.manual_seed(0)
    wave = torch.randn(1, 4_000)
    alone, frames = LinearFilterBanks()(wave[:, :1_001], torch.tensor([1_001]))
    beside, _ = LinearFilterBanks()(wave, torch.tensor([1_001]))
    torch.testing.assert_close(beside[..., : int(frames)], alone)


def test_loss_of_two_classes_in_closed_form():
    cosines, labels = torch.tensor([[0.8, -0.1], [0.3, 0.4]]), torch.tensor([0, 1])
    expected = [math.log1p(math.exp(-10 * (gap - 0.35))) for gap in (0.8 + 0.1, 0.4 - 0.3)]
    assert large_margin_cosine_loss(cosines, labels, 10.0, 0.35).item() == pytest.approx(np.mean(expected))


def test_loss_of_many_classes_in_closed_form():
    cosines = torch.tensor([[0.5, 0.2, -0.3, 0.0]], dtype=torch.float64)
    powers = [math.exp(30 * (0.2 - 0.4)), *(math.exp(30 * c) for c in (0.5, -0.3, 0.0))]
    expected = -math.log(powers[0] / sum(powers))
    assert large_margin_cosine_loss(cosines, torch.tensor([1]), 30.0, 0.4).item() == pytest.approx(expected)


def test_loss_without_margin_is_cross_entropy_and_grows_with_it():
    torch.manual_seed(0)
    cosines, labels = torch.rand(5, 3) * 2 - 1, torch.tensor([0, 1, 2, 1, 0])
    plain = torch.nn.functional.cross_entropy(10 * cosines, labels)
    torch.testing.assert_close(large_margin_cosine_loss(cosines, labels, 10.0, 0.0), plain)
    losses = [large_margin_cosine_loss(cosines, labels, 10.0, m) for m in (0.0, 0.1, 0.35, 0.5)]
    assert all(a < b for a, b in pairwise(losses))


def test_logits_are_scaled_cosines_with_the_class_centres():
    torch.manual_seed(0)
    network = ResNet34(**SMALL, scale=7.0).eval()
    with torch.no_grad():
        found = network(torch.randn(3, 4_000), torch.tensor([4_000, 3_000, 2_000]))
        for clip, embedding in enumerate(found.embedding):
            for kind, centre in enumerate(network.classify.weight):
                cosine = embedding @ centre / embedding.norm() / centre.norm()
                assert found.logits[clip, kind].item() == pytest.approx(7 * cosine.item(), abs=1e-5)
