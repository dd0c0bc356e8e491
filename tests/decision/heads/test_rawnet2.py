"""RawNet2: its filters, sizes and blocks."""

from itertools import pairwise

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from earwitness.decision.heads.rawnet2 import (  # noqa: E402
    ASVSPOOF2021,
    RawNet2,
    ScaledBlock,
    sinc_filters,
)

SMALL = {"filters": 6, "kernel": 17, "channels": [6, 8], "recurrent": 5, "recurrent_layers": 2}


def count_by_hand(filters, narrow, wide):
    """Parameters, and those of them in first normalisations of blocks, from the layer table."""
    blocks = first_norms = 0
    widths = [filters, narrow, narrow, wide, wide, wide, wide]
    for index, (inputs, outputs) in enumerate(pairwise(widths)):
        blocks += 3 * inputs * outputs + outputs + 2 * outputs + 3 * outputs**2 + outputs
        blocks += inputs * outputs + outputs if inputs != outputs else 0
        blocks += outputs**2 + outputs  # feature-map scaling
        first_norms += 2 * inputs if index else 0
    gru = sum(3 * 1024 * (inputs + 1024) + 6 * 1024 for inputs in (wide, 1024, 1024))
    linear = 1024**2 + 1024 + 2 * 1024 + 2
    return 2 * filters + blocks + first_norms + 2 * wide + gru + linear, first_norms


@pytest.mark.parametrize(
    ("options", "by_hand", "total", "idle"),
    [
        ({}, (128, 128, 512), 25_433_602, 0),  # 25.43 M in the literature
        (ASVSPOOF2021, (20, 20, 128), 17_621_410, 848),
    ],
)
def test_sizes_are_those_of_the_authors(options, by_hand, total, idle):
    with torch.device("meta"):
        network = RawNet2(**options)
    assert sum(p.numel() for p in network.parameters()) == count_by_hand(*by_hand)[0] == total
    frozen = sum(p.numel() for p in network.parameters() if not p.requires_grad)
    assert frozen == (count_by_hand(*by_hand)[1] if options else 0) == idle


def test_filters_pass_their_mel_band_and_no_other():
    filters = sinc_filters(20, 1024)
    assert filters.shape == (20, 1, 1025)
    np.testing.assert_allclose(filters, filters[:, :, ::-1], atol=1e-7)
    edges = 700 * (10 ** (np.linspace(0, 2595 * np.log10(1 + 8000 / 700), 21) / 2595) - 1)
    frequencies = np.fft.rfftfreq(16_000, 1 / 16_000)
    for row, low, high in zip(filters[:, 0], edges[:-1], edges[1:], strict=True):
        gain = np.abs(np.fft.rfft(row, 16_000))
        skirt = 40.0  # Hz, more than the window's main lobe to each side
        np.testing.assert_allclose(
            gain[(frequencies > low + skirt) & (frequencies < high - skirt)], 1, atol=0.01
        )
        assert gain[(frequencies < low - skirt) | (frequencies > high + skirt)].max() < 0.01


def test_spare_bands_leave_the_top_of_the_spectrum_out():
    gain = np.abs(np.fft.rfft(sinc_filters(128, 1024, 2)[-1, 0], 16_000))
    top = 2595 * np.log10(1 + 8000 / 700)
    low, high = 700 * (10 ** (np.array([127, 128]) / 130 * top / 2595) - 1)
    assert low < gain.argmax() < high < 7_700


def test_a_block_is_that_of_numpy():
    torch.manual_seed(0)
    block = ScaledBlock(2, 3, first=False, pre_activation=True).eval()
    x = torch.randn(1, 2, 7)

    def convolve(layer, maps):
        weight, bias = layer.weight.detach().numpy(), layer.bias.detach().numpy()
        padded = np.pad(maps, ((0, 0), (weight.shape[2] // 2,) * 2))
        return np.stack(
            [
                sum(np.correlate(row, kernel, "valid") for row, kernel in zip(padded, rows, strict=True)) + b
                for rows, b in zip(weight, bias, strict=True)
            ]
        )

    def activate(maps):  # after a new normalisation: mean 0, variance 1
        maps = maps / np.sqrt(1 + 1e-5)
        return np.where(maps > 0, maps, 0.3 * maps)

    maps = x[0].numpy()
    hidden = convolve(block.conv2, activate(convolve(block.conv1, activate(maps))))
    hidden = (hidden + convolve(block.conv_downsample, maps))[:, :6].reshape(3, 2, 3).max(2)
    linear = block.fc_attention
    logits = linear.weight.detach().numpy() @ hidden.mean(1) + linear.bias.detach().numpy()
    scale = 1 / (1 + np.exp(-logits))[:, None]
    found, frames = block(x, torch.tensor([7]))
    assert frames.tolist() == [2]
    np.testing.assert_allclose(found[0].detach().numpy(), hidden * scale + scale, atol=1e-5)


def test_the_baseline_of_2021_ignores_its_first_normalisations():
    torch.manual_seed(0)
    wave, lengths = torch.randn(2, 4_000), torch.tensor([4_000, 3_000])
    for pre_activation in (True, False):
        network = RawNet2(**SMALL, pre_activation=pre_activation).eval()
        with torch.no_grad():
            before = network(wave, lengths).embedding
            network.blocks[3].bn1.bias += 1.0
            moved = (network(wave, lengths).embedding - before).abs().max() > 1e-4
        assert moved == pre_activation
