"""ResNet34 on linear filter banks with a cosine classifier, trained by large-margin cosine loss.

The baseline that stands as "ResNet34 + LFB + LMCL" beside FakeMark (Ge, Wang and Yamagishi,
arXiv:2510.12042). It descends from Chen, Kumar, Nagarsheth, Sivaraman and Khoury, "Generalization
of Audio Deepfake Detection", Odyssey 2020; the loss is that of Wang et al., "CosFace: Large Margin
Cosine Loss for Deep Face Recognition", arXiv:1801.09414, equation 4.

The sizes of that checkpoint are not published. Those here are of the same group's
nii-yamagishilab/project-NN-Pytorch-scripts: network of sandbox/block_resnet.py, whose strides and
last convolution just consume 60 bands; filter banks of sandbox/util_frontend.py; scale 10 and
margin 0.35 of project/03-asvspoof-mega/lfb-lcnn-attention-am. With an embedding of 256 their
network has 22,558,450 parameters, ours 22,558,448: a cosine classifier has no biases.

Departures: deviation over time is weighted by the attention, where theirs is that of the weighted
frames with a little noise added; nothing beyond a clip's end is seen, so clips of different lengths
may share a batch.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from earwitness.decision.heads.output import HeadOutput, masked_mean_deviation
from earwitness.decision.logmel_cnn import SAMPLE_RATE, time_mask

WINDOW = 320  # samples, 20 ms
HOP = 160  # samples, 10 ms
POINTS = 512  # of the Fourier transform
BANDS = 60
PRE_EMPHASIS = 0.97
FLOOR = float(np.finfo(np.float32).eps)
MARGIN = 0.35


def linear_filters() -> np.ndarray:
    """Triangles with equally spaced corners from 0 to 8 kHz, each with peak 1, (bins, BANDS)."""
    corner = np.arange(BANDS + 2) * SAMPLE_RATE / 2 / (BANDS + 1)
    bins = np.arange(POINTS // 2 + 1) * SAMPLE_RATE / POINTS
    distance = np.abs(bins[:, None] - corner[1:-1]) / corner[1]  # from a peak, in widths
    return np.maximum(0.0, 1.0 - distance).astype(np.float32)


def hamming_kernels() -> np.ndarray:
    """Cosine and sine kernels under a periodic Hamming window, (2 * bins, 1, WINDOW)."""
    time = np.arange(WINDOW)
    angle = 2 * np.pi * np.arange(POINTS // 2 + 1)[:, None] * time / POINTS
    window = np.hamming(WINDOW + 1)[:-1]
    return (np.concatenate([np.cos(angle), np.sin(angle)]) * window)[:, None].astype(np.float32)


def large_margin_cosine_loss(cosines: Tensor, labels: Tensor, scale: float, margin: float = MARGIN) -> Tensor:
    """Mean cross entropy of scaled cosines, the labelled class's lowered by the margin.

    Args:
        cosines: between embeddings and class centres, (batch, classes); `ResNet34` gives them as
            logits / `scale`.
        labels: (batch,) int64.
        scale: s of CosFace.
        margin: m of CosFace.
    """
    labelled = F.one_hot(labels, cosines.shape[1]).to(cosines.dtype)
    return F.cross_entropy(scale * (cosines - margin * labelled), labels)


class LinearFilterBanks(nn.Module):
    """(batch, samples) -> log10 band powers (batch, 1, BANDS, frames), and counts of frames.

    Frame t is centred on sample 160 t; zeros stand before a clip and after it.
    """

    kernels: Tensor
    filters: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("kernels", torch.from_numpy(hamming_kernels()), persistent=False)
        self.register_buffer("filters", torch.from_numpy(linear_filters()), persistent=False)

    def forward(self, waveform: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        inside = time_mask(lengths, waveform.shape[1])[:, 0, 0]  # (batch, samples)
        waveform = waveform * inside
        waveform = (waveform - PRE_EMPHASIS * F.pad(waveform[:, :-1], (1, 0))) * inside
        padded = F.pad(waveform, (WINDOW // 2, WINDOW // 2))
        spectrum = F.conv1d(padded[:, None], self.kernels, stride=HOP)  # (batch, 2 * bins, frames)
        real, imaginary = spectrum.chunk(2, dim=1)
        power = (real * real + imaginary * imaginary).transpose(1, 2) @ self.filters
        frames = torch.div(lengths, HOP, rounding_mode="floor") + 1
        return torch.log10(power + FLOOR).transpose(1, 2)[:, None], frames


class PreActivationBlock(nn.Module):
    """Normalisation, activation and 3 x 3 convolution, twice, with a residual path."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.first_norm = nn.BatchNorm2d(inputs)
        self.first = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.second_norm = nn.BatchNorm2d(outputs)
        self.second = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        plain = stride == 1 and inputs == outputs
        self.shortcut = None if plain else nn.Conv2d(inputs, outputs, 1, stride, bias=False)

    def forward(self, x: Tensor, frames: Tensor) -> tuple[Tensor, Tensor]:
        """(batch, inputs, bands, frames) and counts; frames beyond a clip may hold anything."""
        hidden = F.relu(self.first_norm(x)) * time_mask(frames, x.shape[3])
        shortcut = x if self.shortcut is None else self.shortcut(hidden)
        hidden = self.first(hidden)
        if self.stride == 2:
            frames = torch.div(frames + 1, 2, rounding_mode="floor")
        hidden = F.relu(self.second_norm(hidden)) * time_mask(frames, hidden.shape[3])
        return self.second(hidden) + shortcut, frames


class ResNet34(nn.Module):
    """(batch, samples) and lengths -> scaled cosines; the embedding is (batch, `embedding`).

    Logits are `scale` times the cosines between the embedding and two learnt class centres.

    Args:
        stem: channels of the first convolution.
        widths: channels of the four stages.
        blocks: residual blocks in each.
        pooled: channels that are pooled over time.
        embedding: size of the embedding.
        scale: of the cosines.
    """

    READS = "waveform"
    MASKED = True

    def __init__(
        self,
        *,
        stem: int = 16,
        widths: Sequence[int] = (64, 128, 256, 512),
        blocks: Sequence[int] = (3, 4, 6, 3),
        pooled: int = 256,
        embedding: int = 256,
        scale: float = 10.0,
    ) -> None:
        super().__init__()
        self.scale = scale
        self.filter_banks = LinearFilterBanks()
        self.stem = nn.Conv2d(1, stem, (9, 3), (3, 1), 1, bias=False)
        self.stem_norm = nn.BatchNorm2d(stem)
        self.blocks = nn.ModuleList()
        inputs = stem
        for stage, (width, count) in enumerate(zip(widths, blocks, strict=True)):
            for index in range(count):
                stride = 2 if stage > 0 and index == 0 else 1
                self.blocks.append(PreActivationBlock(inputs, width, stride))
                inputs = width
        self.collapse = nn.Conv2d(inputs, pooled, 3, 1, (0, 1), bias=False)  # 3 bands -> 1
        self.collapse_norm = nn.BatchNorm2d(pooled)
        self.attention = nn.Linear(pooled, 1, bias=False)
        self.embed = nn.Linear(2 * pooled, embedding)
        self.classify = nn.Linear(embedding, 2, bias=False)  # its rows are the class centres
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")

    def forward(self, waveform: Tensor, lengths: Tensor) -> HeadOutput:
        with torch.autocast(waveform.device.type, enabled=False):  # the spectrum needs float32
            x, frames = self.filter_banks(waveform.float(), lengths)
        x = F.relu(self.stem_norm(self.stem(x * time_mask(frames, x.shape[3]))))
        for block in self.blocks:
            x, frames = block(x, frames)
        x = self.collapse(x * time_mask(frames, x.shape[3]))
        x = F.relu(self.collapse_norm(x)).squeeze(2).transpose(1, 2)  # (batch, frames, pooled)
        mask = time_mask(frames, x.shape[1])[:, 0, 0, :, None]  # (batch, frames, 1)
        weights = torch.softmax(torch.tanh(self.attention(x)) + (mask - 1) * 1e4, dim=1)
        embedding = self.embed(masked_mean_deviation(x * mask, mask[:, :, 0], weights))
        cosines = F.linear(F.normalize(embedding), F.normalize(self.classify.weight))
        return HeadOutput(self.scale * cosines, embedding, None)
