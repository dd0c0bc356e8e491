"""Nes2Net: Res2Net blocks nested in the order of a Res2Net, without reducing the width first.

The features are split into groups; each group but the last is added to what the group before it
gave and passes through a Res2Net block of its own; all are joined, normalised and averaged.

Source: Liu, Truong, Das, Lee and Li, "Nes2Net: A Lightweight Nested Architecture for Foundation
Model Driven Speech Anti-spoofing", IEEE TIFS 2025, arXiv:2504.05657, and the authors' code
(Liu-Tianchi/Nes2Net and Nes2Net_ASVspoof_ITW). `variant="x"`, Nes2Net-X, replaces the sums within
a block by learned ones. Sizes are those of their models for speech: eight groups of eight, no
squeeze, dilation 2, mean pooling; their models for singing have dilation 1.

At width 1024 Nes2Net-X has 512,039 parameters and Nes2Net 511,794, as the sizes of their code give.
The 511k of their tables is with one logit, 1,025 parameters less. The last two steps are linear, so
the mean of the frame scores is the clip's score.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from earwitness.decision.heads.ecapa import KERNEL, Res2Block, SqueezeExcitation
from earwitness.decision.heads.output import HeadOutput, masked_mean


class FusedRes2Block(nn.Module):
    """The block of Nes2Net-X: groups are kept side by side and summed with learned weights.

    The last group starts alone. Then each other group in turn is set next to what is there, all
    that is there is convolved by one kernel, and its weighted sum is that group's output.
    (batch, channels, frames) -> the same.
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
            nn.Conv2d(self.group, self.group, (KERNEL, 1), dilation=(dilation, 1), padding=(dilation, 0))
            for _ in range(scale - 1)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(self.group) for _ in range(scale - 1))
        self.sums = nn.ParameterList(torch.full((count,), 1 / count) for count in range(2, scale + 1))
        self.leave = nn.Conv1d(inner, channels, 1)
        self.leave_norm = nn.BatchNorm1d(channels)
        self.excitation = SqueezeExcitation(channels, bottleneck)

    def convolve(self, signal: Tensor, inside: Tensor) -> Tensor:
        """The groups of (batch, inner, frames), one after the other."""
        groups = signal.split(self.group, dim=1)
        beside = groups[-1][..., None]  # (batch, group, frames, groups so far)
        done = []
        for convolution, norm, weights, group in zip(
            self.convolutions, self.norms, self.sums, groups[:-1], strict=True
        ):
            beside = torch.cat([beside, group[..., None]], dim=3)
            beside = norm(F.relu(convolution(beside * inside[..., None])))
            done.append((beside * weights).sum(3))
        return torch.cat([*done, groups[-1]], dim=1)

    def forward(self, signal: Tensor, inside: Tensor) -> Tensor:
        """`inside` (batch, 1, frames) is one inside a clip and zero beyond it."""
        hidden = self.enter_norm(F.relu(self.enter(signal)))
        hidden = self.leave_norm(F.relu(self.leave(self.convolve(hidden, inside))))
        return self.excitation(hidden, inside) + signal


BLOCKS = {"plain": Res2Block, "x": FusedRes2Block}


class Nes2Net(nn.Module):
    """(batch, frames, width) -> logits; the embedding is (batch, width)."""

    READS = "frames"
    MASKED = True

    def __init__(
        self,
        width: int,
        *,
        variant: str = "x",
        groups: int = 8,
        scale: int = 8,
        dilation: int = 2,
        squeeze: int = 1,
    ) -> None:
        """Build the head.

        Args:
            width: of the frames, a multiple of `groups` and at least `groups * scale`.
            variant: "x" for Nes2Net-X or "plain" for Nes2Net.
            groups: of features, outside the blocks.
            scale: groups of channels in a block.
            dilation: of the blocks' convolutions.
            squeeze: by how much squeeze and excitation narrows the channels.
        """
        super().__init__()
        if width % groups:
            raise ValueError(f"a width of {width} cannot be split into {groups} groups")
        if variant not in BLOCKS:
            raise ValueError(f"no variant is called {variant!r}; one of {', '.join(BLOCKS)}")
        self.group = width // groups
        self.blocks = nn.ModuleList(
            BLOCKS[variant](self.group, dilation=dilation, scale=scale, bottleneck=self.group // squeeze)
            for _ in range(groups - 1)
        )
        self.norms = nn.ModuleList(nn.BatchNorm1d(self.group) for _ in range(groups - 1))
        self.join_norm = nn.BatchNorm1d(width)
        self.classify = nn.Linear(width, 2)

    def forward(self, frames: Tensor, mask: Tensor) -> HeadOutput:
        signal = frames.masked_fill(~mask[:, :, None], 0.0).transpose(1, 2)
        inside = mask[:, None].to(signal.dtype)
        groups = signal.split(self.group, dim=1)
        carried = torch.zeros_like(groups[0])
        done = []
        for block, norm, group in zip(self.blocks, self.norms, groups[:-1], strict=True):
            carried = norm(F.relu(block(carried + group, inside)))
            done.append(carried)
        joined = F.relu(self.join_norm(torch.cat([*done, groups[-1]], dim=1))).transpose(1, 2)
        embedding = masked_mean(joined, mask)
        per_frame = self.classify(joined)  # (batch, frames, 2)
        frame_scores = (per_frame[..., 1] - per_frame[..., 0]) * mask.to(per_frame.dtype)
        return HeadOutput(self.classify(embedding), embedding, frame_scores)
