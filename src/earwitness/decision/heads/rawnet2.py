"""RawNet2 for anti-spoofing: fixed sinc filters, residual blocks, a recurrent net; waveform in.

Source: Tak, Patino, Todisco, Nautsch, Evans and Larcher, "End-to-End anti-spoofing with RawNet2",
ICASSP 2021, arXiv:2011.01108, and the authors' code (eurecom-asp/rawnet2-antispoofing).
The defaults are theirs: 25,433,602 parameters, where the literature says 25.43 M. `ASVSPOOF2021`
holds the options of the ASVspoof 2021 baseline (asvspoof-challenge/2021, Baseline-RawNet2):
17,621,410 parameters, of which 848 are idle, because its residual blocks compute the
normalisation before their first convolution and then do not use it. Idle ones are frozen here.

Departures: the recurrent net is read at each clip's own last frame, and nothing beyond it is seen,
so clips of different lengths may share a batch; logits are not passed through a softmax. The
authors score the first 64,600 samples, shorter files tiled (`aasist.fit_length`).
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from earwitness.decision.heads.output import HeadOutput
from earwitness.decision.heads.recurrent import recur
from earwitness.decision.logmel_cnn import SAMPLE_RATE, time_mask

POOL = 3  # samples or frames that each max-pooling makes one

ASVSPOOF2021: dict[str, Any] = {
    "filters": 20,
    "kernel": 1024,
    "spare_bands": 0,
    "channels": [20, 128],
    "pre_activation": False,
}


def sinc_filters(filters: int, kernel: int, spare_bands: int = 0) -> np.ndarray:
    """Band-pass filters between neighbouring points of the mel scale, (filters, 1, odd kernel).

    Differences of ideal low-passes under a Hamming window. `spare_bands` more bands share the mel
    scale from 0 to 8 kHz, but get no filter: the top of the spectrum is then left out. An even
    kernel grows by one sample, to be symmetric.
    """
    kernel += 1 - kernel % 2
    top = 2595 * np.log10(1 + SAMPLE_RATE / 2 / 700)
    mel = np.linspace(0, top, filters + spare_bands + 1)[: filters + 1]
    cut = 2 * 700 * (10 ** (mel[:, None] / 2595) - 1) / SAMPLE_RATE  # of half the sample rate
    low_pass = cut * np.sinc(cut * (np.arange(kernel) - kernel // 2))  # (filters + 1, kernel)
    return (np.diff(low_pass, axis=0) * np.hamming(kernel))[:, None].astype(np.float32)


def pool(x: Tensor) -> Tensor:
    """(batch, channels, frames) -> a third of the frames; `max_pool1d` would fix their number on export."""
    return F.max_pool2d(x, (1, POOL))


def freeze(module: nn.Module) -> None:
    """For parameters that stand in a published network, but outside the way to its output."""
    for parameter in module.parameters():
        parameter.requires_grad_(False)


class ScaledBlock(nn.Module):
    """Two convolutions with a residual path, pooling by 3, then feature-map scaling.

    Scaling: each map x becomes x * s + s, where s is the sigmoid of a linear layer on the maps'
    means over time.
    """

    def __init__(self, inputs: int, outputs: int, first: bool, pre_activation: bool) -> None:
        super().__init__()
        self.pre_activation = pre_activation and not first
        self.bn1 = None if first else nn.BatchNorm1d(inputs)
        if self.bn1 is not None and not pre_activation:
            freeze(self.bn1)
        self.conv1 = nn.Conv1d(inputs, outputs, 3, padding=1)
        self.bn2 = nn.BatchNorm1d(outputs)
        self.conv2 = nn.Conv1d(outputs, outputs, 3, padding=1)
        self.conv_downsample = nn.Conv1d(inputs, outputs, 1) if inputs != outputs else nn.Identity()
        self.fc_attention = nn.Linear(outputs, outputs)

    def forward(self, x: Tensor, frames: Tensor) -> tuple[Tensor, Tensor]:
        """(batch, inputs, frames), zero outside each clip, and counts; both a third as long after."""
        mask = time_mask(frames, x.shape[2])[:, 0]  # (batch, 1, frames)
        hidden = x
        if self.pre_activation and self.bn1 is not None:
            hidden = F.leaky_relu(self.bn1(x), 0.3) * mask
        hidden = F.leaky_relu(self.bn2(self.conv1(hidden)), 0.3) * mask
        hidden = self.conv2(hidden) + self.conv_downsample(x)
        hidden = pool(hidden)
        frames = torch.div(frames, POOL, rounding_mode="floor").clamp(min=1)
        mask = time_mask(frames, hidden.shape[2])[:, 0]
        mean = (hidden * mask).sum(2) / frames[:, None].float()
        scale = torch.sigmoid(self.fc_attention(mean))[:, :, None]
        return (hidden * scale + scale) * mask, frames


class RawNet2(nn.Module):
    """(batch, samples) and lengths -> logits; the embedding is (batch, recurrent).

    A clip must hold at least 2,186 samples more than a filter: 2,315 by default, 0.15 s.

    Args:
        filters: sinc filters.
        kernel: samples in each of them.
        spare_bands: see `sinc_filters`.
        channels: of the first two and of the last four residual blocks.
        recurrent: width of the GRU and of the layer before the last.
        recurrent_layers: layers of the GRU.
        pre_activation: whether residual blocks begin with a normalisation and activation.
    """

    READS = "waveform"
    MASKED = True
    filters: Tensor

    def __init__(
        self,
        *,
        filters: int = 128,
        kernel: int = 128,
        spare_bands: int = 2,
        channels: Sequence[int] = (128, 512),
        recurrent: int = 1024,
        recurrent_layers: int = 3,
        pre_activation: bool = True,
    ) -> None:
        super().__init__()
        bank = torch.from_numpy(sinc_filters(filters, kernel, spare_bands))
        self.register_buffer("filters", bank, persistent=False)
        self.first_bn = nn.BatchNorm1d(filters)
        narrow, wide = channels
        widths = [filters, narrow, narrow, wide, wide, wide, wide]
        self.blocks = nn.ModuleList(
            ScaledBlock(inputs, outputs, first=index == 0, pre_activation=pre_activation)
            for index, (inputs, outputs) in enumerate(pairwise(widths))
        )
        self.bn_before_gru = nn.BatchNorm1d(wide)
        self.gru = nn.GRU(wide, recurrent, recurrent_layers, batch_first=True)
        self.fc1_gru = nn.Linear(recurrent, recurrent)
        self.fc2_gru = nn.Linear(recurrent, 2)

    def forward(self, waveform: Tensor, lengths: Tensor) -> HeadOutput:
        with torch.autocast(waveform.device.type, enabled=False):  # the filters need float32
            x = pool(F.conv1d(waveform.float()[:, None], self.filters).abs())
        samples = lengths - self.filters.shape[2] + 1
        frames = torch.div(samples, POOL, rounding_mode="floor").clamp(min=1)
        x = F.selu(self.first_bn(x)) * time_mask(frames, x.shape[2])[:, 0]
        for block in self.blocks:
            x, frames = block(x, frames)
        x = F.selu(self.bn_before_gru(x)).transpose(1, 2)
        states = recur(self.gru, x)  # (batch, frames, recurrent)
        last = (frames - 1)[:, None, None].expand(-1, 1, states.shape[2])
        embedding = self.fc1_gru(states.gather(1, last)[:, 0])
        return HeadOutput(self.fc2_gru(embedding), embedding, None)
