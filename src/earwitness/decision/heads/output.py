"""What every head gives, and the means over time that most of them take.

A head is a function of frames: `forward(frames, mask) -> HeadOutput`. `frames` is
(batch, frames, width), or (batch, layers, frames, width) for heads that read several layers;
`mask` (batch, frames) is true inside a clip. Each head class says what it needs:

- `READS`: "frames" (one sequence), "layers" (all layers of the front end), "states both ways up"
  (those of the waveform, and all but the last of it with its spectrum upside down:
  `forward(states, turned, mask, waveform, lengths)`) or "waveform" (no front end:
  `forward(waveform, lengths)`).
- `MASKED`: whether frames beyond a clip's end cannot change its result. Where false, only clips
  of one length may share a batch.

Logits are [spoof, bona fide]; the score is their difference, higher for bona fide.
"""

from typing import NamedTuple

import torch
from torch import Tensor


class HeadOutput(NamedTuple):
    """Of one batch."""

    logits: Tensor  # (batch, 2): spoof, bona fide
    embedding: Tensor  # (batch, size): the input of the last layer
    frame_scores: Tensor | None  # (batch, frames), where the head can say which frames; else None
    penalty: Tensor | None = None  # (batch,), of a head in training that wants more than right answers


def masked_mean(frames: Tensor, mask: Tensor) -> Tensor:
    """(batch, frames, width) -> (batch, width): the mean over frames inside the clip."""
    inside = mask[:, :, None].to(frames.dtype)
    return (frames * inside).sum(1) / inside.sum(1)


def masked_mean_deviation(frames: Tensor, mask: Tensor, weights: Tensor | None = None) -> Tensor:
    """(batch, frames, width) -> (batch, 2 * width): mean and standard deviation over frames.

    `weights` (batch, frames, 1 or width) sum to one over frames and are zero outside the clip;
    without them every frame inside counts alike.
    """
    if weights is None:
        inside = mask[:, :, None].to(frames.dtype)
        weights = inside / inside.sum(1, keepdim=True)
    mean = (frames * weights).sum(1)
    variance = ((frames - mean[:, None]) ** 2 * weights).sum(1)
    return torch.cat([mean, torch.sqrt(variance.clamp(min=1e-7))], dim=1)
