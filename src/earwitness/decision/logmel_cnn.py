"""A small convolutional countermeasure on log-mel frames, waveform in, score out.

Convention: `waveform` is float32 (batch, samples) at 16 kHz, zero-padded at the end;
`lengths` (batch,) holds the valid samples. Every feature map is masked beyond a clip's end,
so a clip in a padded batch scores as it does alone. The waveform's mean is taken off and it is
divided by its RMS, so neither an offset nor the playback level can move a score; the mean of each
mel band over the clip is removed, so a fixed channel response moves it little.

The shape of the network (strided 2-D convolutions, then attentive mean and deviation over
time) follows common practice: attentive statistics pooling is Okabe et al., Interspeech 2018,
arXiv:1803.10963, section 3.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from earwitness.audio.frames import FrameGrid
from earwitness.decision.heads.output import HeadOutput

SAMPLE_RATE = 16_000
WINDOW = 512  # samples, 32 ms
HOP = 160  # samples, 10 ms
MELS = 80
FRAME_STRIDE = 4  # log-mel frames per output frame
GRID = FrameGrid(HOP * FRAME_STRIDE, WINDOW, WINDOW // 2)  # of the frame scores: 40 ms apart
EMBEDDING = 128


def mel_filters(bands: int = MELS, low_hz: float = 60.0, high_hz: float = 7_800.0) -> np.ndarray:
    """Triangular mel filters, (WINDOW // 2 + 1, bands), each summing to one.

    Mel scale of O'Shaughnessy 1987 (2595 log10(1 + f / 700)).
    """
    mel = np.linspace(2595 * math.log10(1 + low_hz / 700), 2595 * math.log10(1 + high_hz / 700), bands + 2)
    corners = 700 * (10 ** (mel / 2595) - 1)  # (bands + 2,)
    bins = np.arange(WINDOW // 2 + 1) * SAMPLE_RATE / WINDOW
    rise = (bins[:, None] - corners[:-2]) / (corners[1:-1] - corners[:-2])
    fall = (corners[2:] - bins[:, None]) / (corners[2:] - corners[1:-1])
    filters = np.maximum(0.0, np.minimum(rise, fall))
    return (filters / np.maximum(filters.sum(0), 1e-8)).astype(np.float32)


def fourier_kernels() -> np.ndarray:
    """Hann-windowed cosine and sine kernels, (2 * (WINDOW // 2 + 1), 1, WINDOW).

    A convolution with them is the short-time Fourier transform; ONNX engines run it faster
    and on more devices than their own STFT operator.
    """
    time = np.arange(WINDOW)
    angle = 2 * np.pi * np.arange(WINDOW // 2 + 1)[:, None] * time / WINDOW
    window = np.hanning(WINDOW + 1)[:-1]
    return (np.concatenate([np.cos(angle), np.sin(angle)]) * window)[:, None].astype(np.float32)


def time_mask(lengths: Tensor, size: int) -> Tensor:
    """(batch,) lengths -> (batch, 1, 1, size), one where a frame is inside its clip."""
    return (torch.arange(size, device=lengths.device)[None] < lengths[:, None])[:, None, None].float()


class LogMel(nn.Module):
    """Waveform (batch, samples) -> centred log-mel (batch, 1, MELS, frames) and frame counts."""

    kernels: Tensor
    filters: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("kernels", torch.from_numpy(fourier_kernels()))
        self.register_buffer("filters", torch.from_numpy(mel_filters()))

    def forward(self, waveform: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        inside = (torch.arange(waveform.shape[1], device=lengths.device)[None] < lengths[:, None]).float()
        count = lengths[:, None].float()
        offset = (waveform * inside).sum(1, keepdim=True) / count
        waveform = (waveform - offset) * inside
        power = (waveform * waveform).sum(1, keepdim=True) / count
        waveform = waveform / torch.sqrt(power + 1e-10)
        spectrum = F.conv1d(waveform[:, None], self.kernels, stride=HOP)  # (batch, 2 * bins, frames)
        real, imaginary = spectrum.chunk(2, dim=1)
        energy = (real * real + imaginary * imaginary).transpose(1, 2) @ self.filters
        # The floor, 70 dB under a full band, hides digital silence and codec noise floors.
        logmel = torch.log(energy + 1e-3).transpose(1, 2)[:, None]  # (batch, 1, MELS, frames)
        frames = torch.div(lengths - WINDOW, HOP, rounding_mode="floor") + 1
        mask = time_mask(frames, logmel.shape[3])
        mean = (logmel * mask).sum(3, keepdim=True) / frames[:, None, None, None].float()
        return (logmel - mean) * mask * 0.5, frames


class Block(nn.Module):
    """Two 3 x 3 convolutions with a residual path; halves frequency, and time where asked."""

    def __init__(self, inputs: int, outputs: int, time_stride: int) -> None:
        super().__init__()
        stride = (2, time_stride)
        self.time_stride = time_stride
        self.first = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.first_norm = nn.BatchNorm2d(outputs)
        self.second = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.second_norm = nn.BatchNorm2d(outputs)
        self.skip = nn.Conv2d(inputs, outputs, 1, stride, bias=False)

    def forward(self, x: Tensor, frames: Tensor) -> tuple[Tensor, Tensor]:
        if self.time_stride == 2:
            frames = torch.div(frames + 1, 2, rounding_mode="floor")
        hidden = F.relu(self.first_norm(self.first(x)))
        mask = time_mask(frames, hidden.shape[3])
        hidden = self.second_norm(self.second(hidden * mask))
        return F.relu(hidden + self.skip(x)) * mask, frames


class LogMelCnn(nn.Module):
    """`forward` gives score (batch,), frame_scores (batch, frames), embedding (batch, 128).

    The score is the logit of bona fide minus the logit of spoof: higher is more bona fide.
    Frames lie on `GRID`; those beyond a clip's end hold zero.
    """

    def __init__(self, widths: tuple[int, ...] = (24, 48, 96, 128), dropout: float = 0.3) -> None:
        super().__init__()
        self.logmel = LogMel()
        self.stem = nn.Conv2d(1, widths[0], 3, (2, 2), 1, bias=False)
        self.stem_norm = nn.BatchNorm2d(widths[0])
        self.blocks = nn.ModuleList(
            [
                Block(widths[0], widths[1], 1),
                Block(widths[1], widths[2], 2),
                Block(widths[2], widths[3], 1),
            ]
        )
        self.frame = nn.Conv1d(widths[3] * (MELS // 16), EMBEDDING, 1)
        self.attention = nn.Conv1d(EMBEDDING, 1, 1)
        self.frame_head = nn.Conv1d(EMBEDDING, 1, 1)
        self.embed = nn.Linear(2 * EMBEDDING, EMBEDDING)
        self.head = nn.Linear(EMBEDDING, 1)
        self.dropout = nn.Dropout(dropout)

    def forward(self, waveform: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        with torch.autocast(waveform.device.type, enabled=False):  # the spectrum needs float32
            x, frames = self.logmel(waveform, lengths)
        frames = torch.div(frames + 1, 2, rounding_mode="floor")
        x = F.relu(self.stem_norm(self.stem(x)))
        x = x * time_mask(frames, x.shape[3])
        for block in self.blocks:
            x, frames = block(x, frames)
        hidden = F.relu(self.frame(self.dropout(x.flatten(1, 2))))  # (batch, EMBEDDING, frames)
        mask = time_mask(frames, hidden.shape[2])[:, 0]  # (batch, 1, frames)
        frame_scores = (self.frame_head(hidden) * mask)[:, 0]
        weights = torch.softmax(self.attention(hidden) + (mask - 1) * 1e4, dim=2)
        mean = (hidden * weights).sum(2)
        variance = ((hidden - mean[:, :, None]) ** 2 * weights).sum(2)
        embedding = torch.tanh(self.embed(torch.cat([mean, torch.sqrt(variance + 1e-5)], dim=1)))
        return self.head(self.dropout(embedding))[:, 0], frame_scores, embedding


class LogMelHead(nn.Module):
    """The same network as a head of `network.py`: (batch, samples) and lengths -> logits.

    Its score is the difference of the logits, [-score / 2, score / 2]. Its frame scores have a layer
    of their own, which knows nothing until it is taught with frames.
    """

    READS = "waveform"
    MASKED = True

    def __init__(self, widths: Sequence[int] = (24, 48, 96, 128), dropout: float = 0.3) -> None:
        super().__init__()
        self.network = LogMelCnn(tuple(widths), dropout)  # type: ignore[arg-type]

    def forward(self, waveform: Tensor, lengths: Tensor) -> HeadOutput:
        score, frame_scores, embedding = self.network(waveform, lengths)
        return HeadOutput(torch.stack([-score, score], dim=1) / 2, embedding, frame_scores)
