"""Watermarks in the magnitude of a short-time spectrum: networks of the Timbre style, in any size.

A fresh implementation after the published description (Liu et al., "Detecting Voice Cloning Attacks via
Timbre Watermarking", NDSS 2024) with one departure that the sign of FakeMark-T's published samples asks for:
a new magnitude is the old one times 1 + `MOST` tanh(.), so never negative and never far from it. Spectra are
(batch, bins, frames) of `SIZE` samples, `STEP` apart.
"""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from earwitness.features.filterbanks import fourier_basis
from earwitness.training.seanet import HOP

SIZE, STEP = 1024, 256  # samples
BINS = SIZE // 2 + 1
MOST = 0.12  # of a magnitude, by which it may change
FLOOR = 1e-5


def stft(waveform: Tensor) -> Tensor:
    """(batch, samples) -> complex (batch, bins, frames); frames are centred, zeros at both ends."""
    window = torch.hann_window(SIZE, device=waveform.device)
    return torch.stft(waveform, SIZE, STEP, window=window, pad_mode="constant", return_complex=True)


def istft(spectrum: Tensor, samples: int) -> Tensor:
    """What `stft` came from, (batch, samples)."""
    window = torch.hann_window(SIZE, device=spectrum.device)
    return torch.istft(spectrum, SIZE, STEP, window=window, length=samples)


class Gated(nn.Module):
    """A convolution times the sigmoid of another, with a way around where the shapes allow it."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 3) -> None:
        super().__init__()
        self.both = nn.Conv2d(inputs, 2 * outputs, kernel, padding=kernel // 2)
        self.around = inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        value, gate = self.both(x).chunk(2, dim=1)
        out = value * torch.sigmoid(gate)
        return x + out if self.around else out


class MagnitudeGenerator(nn.Module):
    """Magnitude (batch, bins, frames) and message (batch, size) -> factor on it (batch, bins, frames)."""

    def __init__(self, size: int, channels: int) -> None:
        super().__init__()
        self.look = nn.Sequential(Gated(1, channels), Gated(channels, channels), Gated(channels, channels))
        self.message = nn.Linear(size, BINS, bias=False)
        self.write = nn.Sequential(
            Gated(channels + 2, channels), Gated(channels, channels), Gated(channels, channels)
        )
        self.out = nn.Conv2d(channels, 1, 1)

    def forward(self, magnitude: Tensor, message: Tensor) -> Tensor:
        level = loudness_of(magnitude)
        spread = F.leaky_relu(self.message(message))[:, None, :, None].expand_as(level)
        found = self.write(torch.cat([self.look(level), level, spread], dim=1))
        return 1 + MOST * torch.tanh(self.out(found)[:, 0] + spread[:, 0])


class MagnitudeReader(nn.Module):
    """Magnitude (batch, bins, frames) -> soft bits of each frame (batch, frames, bits); their mean counts."""

    def __init__(self, bits: int, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            Gated(1, channels), *[Gated(channels, channels) for _ in range(4)], Gated(channels, 1)
        )
        self.head = nn.Linear(BINS, bits)

    def forward(self, magnitude: Tensor) -> Tensor:
        return self.head(self.body(loudness_of(magnitude))[:, 0].transpose(1, 2))


def loudness_of(magnitude: Tensor) -> Tensor:
    """Log magnitude about its mean over the clip, (batch, 1, bins, frames): its level is no matter."""
    level = torch.log(magnitude + FLOOR)
    return (level - level.mean((1, 2), keepdim=True))[:, None] / 2


class MagnitudeEar(nn.Module):
    """(batch, samples), a multiple of `HOP` -> what is in its magnitudes, (batch, width, samples / HOP).

    The transform is a convolution, so that a graph can hold it.
    """

    kernels: Tensor

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        kernels = fourier_basis(SIZE, SIZE) * np.hanning(SIZE + 1)[:-1]
        self.register_buffer("kernels", torch.from_numpy(kernels)[:, None].float(), persistent=False)
        self.body = nn.Sequential(
            Gated(1, channels), *[Gated(channels, channels) for _ in range(3)], Gated(channels, 1)
        )
        self.head = nn.Linear(BINS, width)

    def forward(self, waveform: Tensor) -> Tensor:
        with torch.autocast("cpu", enabled=False):  # a small change of a magnitude is what it is about
            padded = F.pad(waveform.float(), ((SIZE - HOP) // 2, (SIZE - HOP) // 2))
            real, imaginary = F.conv1d(padded[:, None], self.kernels, stride=HOP).chunk(2, dim=1)
            level = loudness_of((real * real + imaginary * imaginary + FLOOR**2).sqrt())
        return self.head(self.body(level)[:, 0].transpose(1, 2)).transpose(1, 2)
