"""SEANet: a waveform to a hidden sequence at 50 Hz and back, as EnCodec and AudioSeal use it, in any size.

Sources: Tagliasacchi et al., arXiv:2009.02095; Défossez et al., arXiv:2210.13438, section 3.1; San Roman
et al., arXiv:2401.17264, appendix A. Waveforms are float32 (batch, samples) at 16 kHz, samples a multiple of
`HOP`. Nothing looks across the batch, so that a clip in a batch gives what it gives alone.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm

RATIOS = (2, 4, 5, 8)  # by which the encoder goes down; the decoder goes up the other way round
HOP = 320  # samples, their product
LSTM_LAYERS = 2
HOST = 0.3  # of the host's hidden sequence, so that in the beginning a mark is mostly its message
SIGNED = 4.0  # deviation of a signature beside that of the hidden sequence it is added to
SLOPES = 2  # channels of a residual block's middle are a half


def conv(inputs: int, outputs: int, kernel: int, stride: int = 1, dilation: int = 1) -> nn.Module:
    """A weight-normed convolution (batch, inputs, n) -> (batch, outputs, n / stride), zeros at both ends."""
    span = (kernel - 1) * dilation + 1 - stride
    pad = nn.ConstantPad1d((span - span // 2, span // 2), 0.0)
    return nn.Sequential(pad, started(nn.Conv1d(inputs, outputs, kernel, stride, dilation=dilation)))


def started(layer: Any) -> nn.Module:
    """A convolution with a weight norm, that keeps the power of what comes in (He et al., 2015)."""
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    nn.init.zeros_(layer.bias)
    return weight_norm(layer)


class Residual(nn.Module):
    """ELU, convolution over 3, ELU, convolution over 1, added to what came in."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = channels // SLOPES
        self.body = nn.Sequential(nn.ELU(), conv(channels, hidden, 3), nn.ELU(), conv(hidden, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


class Memory(nn.Module):
    """Two LSTM layers over time with a way around them, (batch, channels, frames) both ways."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(channels, channels, LSTM_LAYERS, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.lstm(x.transpose(1, 2))[0].transpose(1, 2)


class Encoder(nn.Module):
    """(batch, samples) -> (batch, width, samples / HOP)."""

    def __init__(self, filters: int, width: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [conv(1, filters, 7)]
        for ratio in RATIOS:
            layers += [Residual(filters), nn.ELU(), conv(filters, 2 * filters, 2 * ratio, ratio)]
            filters *= 2
        layers += [Memory(filters), nn.ELU(), conv(filters, width, 7)]
        self.body = nn.Sequential(*layers)

    def forward(self, waveform: Tensor) -> Tensor:
        return self.body((waveform / level(waveform))[:, None])


class Up(nn.Module):
    """A transposed convolution (batch, inputs, n) -> (batch, outputs, n * ratio)."""

    def __init__(self, inputs: int, outputs: int, ratio: int) -> None:
        super().__init__()
        self.spread = nn.ConvTranspose1d(inputs, outputs, 2 * ratio, ratio)
        nn.init.normal_(self.spread.weight, std=(1 / inputs) ** 0.5)
        self.spread = weight_norm(self.spread)
        self.ratio = ratio

    def forward(self, x: Tensor) -> Tensor:
        left = self.ratio // 2
        return self.spread(x)[..., left : left + x.shape[-1] * self.ratio]


class Decoder(nn.Module):
    """(batch, width, frames) -> (batch, frames * HOP), without a last activation."""

    def __init__(self, filters: int, width: int) -> None:
        super().__init__()
        filters *= 2 ** len(RATIOS)
        layers: list[nn.Module] = [conv(width, filters, 7), Memory(filters)]
        for ratio in reversed(RATIOS):
            layers += [nn.ELU(), Up(filters, filters // 2, ratio), Residual(filters // 2)]
            filters //= 2
        self.body = nn.Sequential(*layers, nn.ELU(), conv(filters, 1, 7))

    def forward(self, hidden: Tensor) -> Tensor:
        return self.body(hidden)[:, 0]


class Bits(nn.Module):
    """A message of bits as a vector: a row of a table for each bit and value, summed (AudioSeal)."""

    def __init__(self, bits: int, width: int) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.randn(2 * bits, width))

    def forward(self, message: Tensor) -> Tensor:
        """(batch, bits) of -1 and 1 -> (batch, width)."""
        ones = (message + 1) / 2
        chosen = torch.stack([1 - ones, ones], dim=2).flatten(1)  # row 2 i + b for bit i of value b
        return chosen @ self.table


class Signature(nn.Module):
    """A generator's signature as a vector (FakeMark's ColProcessor)."""

    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(size, width), nn.ELU(), nn.Linear(width, width))
        self.last = nn.LayerNorm(width)
        nn.init.constant_(self.last.weight, SIGNED)

    def forward(self, signature: Tensor) -> Tensor:
        """(batch, size) -> (batch, width)."""
        return self.last(self.body(signature))


class WaveformGenerator(nn.Module):
    """Host (batch, samples) and message (batch, size) -> residual (batch, samples), before it is shaped."""

    def __init__(self, processor: nn.Module, filters: int, width: int) -> None:
        super().__init__()
        self.encoder, self.decoder = Encoder(filters, width), Decoder(filters, width)
        self.processor = processor

    def forward(self, host: Tensor, message: Tensor) -> Tensor:
        hidden = HOST * self.encoder(host) + self.processor(message)[:, :, None]
        return level(host) * self.decoder(hidden)


class SampleReader(nn.Module):
    """AudioSeal's detector: (batch, samples) -> whether each sample is marked and with which bits.

    The first output is a log-odds, positive where marked, (batch, samples); the second are logits of the
    bits, (batch, bits, samples).
    """

    def __init__(self, bits: int, filters: int, width: int, last: int = 32) -> None:
        super().__init__()
        self.encoder = Encoder(filters, width)
        self.spread = nn.ConvTranspose1d(width, last, HOP, HOP)
        self.head = nn.Conv1d(last, 2 + bits, 1)

    def forward(self, waveform: Tensor) -> tuple[Tensor, Tensor]:
        out = self.head(self.spread(self.encoder(waveform)))
        return out[:, 1] - out[:, 0], out[:, 2:]


def level(waveform: Tensor) -> Tensor:
    """The level that networks are relieved of, (batch, 1): rms, and never zero."""
    return (waveform.square().mean(1, keepdim=True) + 1e-10).sqrt()


def whole_hops(waveform: Tensor) -> Tensor:
    """(batch, samples) with zeros up to the next multiple of `HOP`."""
    return F.pad(waveform, (0, -waveform.shape[-1] % HOP))


def pad_all(clips: Sequence[Tensor]) -> Tensor:
    """Clips (samples,) of any length as (batch, samples), zeros behind the shorter ones."""
    return whole_hops(nn.utils.rnn.pad_sequence(list(clips), batch_first=True))
