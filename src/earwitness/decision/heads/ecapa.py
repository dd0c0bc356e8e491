"""ECAPA-TDNN on frames of a self-supervised front end.

Source: Desplanques, Thienpondt and Demuynck, "ECAPA-TDNN: Emphasized Channel Attention,
Propagation and Aggregation in TDNN Based Speaker Verification", Interspeech 2020,
arXiv:2005.07143, in the form and sizes of Pan et al., arXiv:2406.10283
(pandarialTJU/AttM_INTERSPEECH24): a linear layer to 512 channels in place of the first
convolution, three blocks of dilation 2, 3 and 4, each of which reads the sum of all before it,
1536 channels, attentive statistics, an embedding of 192. 7,298,050 parameters at width 1024, as
the sizes of their code give.

Departures: standard deviations divide by the number of frames, not by one less, which one frame
would make undefined, and their floor is that of all heads here.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from earwitness.decision.heads.output import HeadOutput, masked_mean_deviation

KERNEL = 3


class SqueezeExcitation(nn.Module):
    """Each channel of (batch, channels, frames) scaled by what all channels are on average."""

    def __init__(self, channels: int, bottleneck: int) -> None:
        super().__init__()
        self.squeeze = nn.Linear(channels, bottleneck)
        self.excite = nn.Linear(bottleneck, channels)

    def forward(self, signal: Tensor, inside: Tensor) -> Tensor:
        """`inside` (batch, 1, frames) is one inside a clip and zero beyond it."""
        mean = (signal * inside).sum(2) / inside.sum(2)
        gates = torch.sigmoid(self.excite(F.relu(self.squeeze(mean))))
        return signal * gates[:, :, None]


class Res2Block(nn.Module):
    """Residual block in which groups of channels are convolved one after the other.

    Each group but the last, which passes unchanged, is added to what the group before it gave and
    then convolved, so that later groups see further. Convolutions are followed by ReLU, then batch
    normalisation. (batch, channels, frames) -> the same.
    """

    def __init__(self, channels: int, *, dilation: int, scale: int, bottleneck: int) -> None:
        super().__init__()
        self.group = channels // scale
        if self.group < 1:
            raise ValueError(f"{channels} channels cannot be split into {scale} groups")
        inner = self.group * scale
        self.enter = nn.Conv1d(channels, inner, 1)
        self.enter_norm = nn.BatchNorm1d(inner)
        self.convolutions = nn.ModuleList(
            nn.Conv1d(self.group, self.group, KERNEL, dilation=dilation, padding=dilation)
            for _ in range(scale - 1)
        )
        self.norms = nn.ModuleList(nn.BatchNorm1d(self.group) for _ in range(scale - 1))
        self.leave = nn.Conv1d(inner, channels, 1)
        self.leave_norm = nn.BatchNorm1d(channels)
        self.excitation = SqueezeExcitation(channels, bottleneck)

    def convolve(self, signal: Tensor, inside: Tensor) -> Tensor:
        """The groups of (batch, inner, frames), one after the other."""
        groups = signal.split(self.group, dim=1)
        carried = torch.zeros_like(groups[0])
        done = []
        for convolution, norm, group in zip(self.convolutions, self.norms, groups[:-1], strict=True):
            carried = norm(F.relu(convolution((carried + group) * inside)))
            done.append(carried)
        return torch.cat([*done, groups[-1]], dim=1)

    def forward(self, signal: Tensor, inside: Tensor) -> Tensor:
        """`inside` (batch, 1, frames) is one inside a clip and zero beyond it."""
        hidden = self.enter_norm(F.relu(self.enter(signal)))
        hidden = self.leave_norm(F.relu(self.leave(self.convolve(hidden, inside))))
        return self.excitation(hidden, inside) + signal


class AttentiveStatistics(nn.Module):
    """Mean and deviation of each channel over frames that count by channel and context.

    (batch, frames, channels) -> (batch, 2 * channels). The context is the plain mean and deviation
    of all channels, next to each frame.
    """

    def __init__(self, channels: int, bottleneck: int) -> None:
        super().__init__()
        self.enter = nn.Linear(3 * channels, bottleneck)
        self.norm = nn.BatchNorm1d(bottleneck)
        self.leave = nn.Linear(bottleneck, channels)

    def forward(self, frames: Tensor, mask: Tensor) -> Tensor:
        context = masked_mean_deviation(frames, mask)[:, None].expand(-1, frames.shape[1], -1)
        hidden = F.relu(self.enter(torch.cat([frames, context.to(frames.dtype)], dim=2)))
        hidden = torch.tanh(self.norm(hidden.transpose(1, 2)).transpose(1, 2))
        weights = self.leave(hidden).masked_fill(~mask[:, :, None], -torch.inf).softmax(1)
        return masked_mean_deviation(frames, mask, weights)


class Ecapa(nn.Module):
    """(batch, frames, width) -> logits; the embedding is (batch, embedding)."""

    READS = "frames"
    MASKED = True

    def __init__(
        self,
        width: int,
        *,
        channels: int = 512,
        dilations: Sequence[int] = (2, 3, 4),
        scale: int = 8,
        bottleneck: int = 128,
        pooled: int = 1536,
        attention: int = 256,
        embedding: int = 192,
    ) -> None:
        """Build the head.

        Args:
            width: of the frames.
            channels: of the blocks.
            dilations: of the blocks' convolutions, one block each.
            scale: groups of channels in a block.
            bottleneck: of squeeze and excitation.
            pooled: channels of which statistics are taken.
            attention: width between context and weights.
            embedding: width before the last layer.
        """
        super().__init__()
        self.project = nn.Linear(width, channels)
        self.project_norm = nn.BatchNorm1d(channels)
        self.blocks = nn.ModuleList(
            Res2Block(channels, dilation=dilation, scale=scale, bottleneck=bottleneck)
            for dilation in dilations
        )
        self.aggregate = nn.Linear(len(dilations) * channels, pooled)
        self.statistics = AttentiveStatistics(pooled, attention)
        self.statistics_norm = nn.BatchNorm1d(2 * pooled)
        self.embed = nn.Linear(2 * pooled, embedding)
        self.embed_norm = nn.BatchNorm1d(embedding)
        self.classify = nn.Linear(embedding, 2)

    def forward(self, frames: Tensor, mask: Tensor) -> HeadOutput:
        frames = frames.masked_fill(~mask[:, :, None], 0.0)
        total = self.project_norm(F.relu(self.project(frames)).transpose(1, 2))
        inside = mask[:, None].to(total.dtype)
        hidden = []
        for block in self.blocks:
            hidden.append(block(total, inside))
            total = total + hidden[-1]
        aggregated = F.relu(self.aggregate(torch.cat(hidden, dim=1).transpose(1, 2)))
        statistics = self.statistics_norm(self.statistics(aggregated, mask))
        embedding = self.embed_norm(self.embed(statistics))
        return HeadOutput(self.classify(embedding), embedding, None)
