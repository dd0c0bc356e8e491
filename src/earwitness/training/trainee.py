"""What a network is trained for, and the module that a step calls: one call, as DDP and FSDP want it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from earwitness.decision.heads.output import HeadOutput
from earwitness.decision.network import Network
from earwitness.training.frames import FrameTask


class Targets(NamedTuple):
    """What is right, of one batch."""

    labels: Tensor  # (batch,), 1 for bona fide
    frames: Tensor | None  # (batch, frames): 1 spoof or foreign, 0 not, -1 outside the clip


class Others(NamedTuple):
    """What networks beside the trained one say, (batch, 2) each."""

    reference: Tensor | None = None  # as the run began
    old: Tensor | None = None  # as it was at the last refresh


Losses = Callable[[HeadOutput, Targets, Others], Tensor]  # -> (batch,)


def utterance_losses(found: HeadOutput, targets: Targets, others: Others = Others()) -> Tensor:
    """Cross-entropy of the clips' logits, (batch,); that of OC-Softmax for its head."""
    return F.cross_entropy(found.logits.float(), targets.labels, reduction="none")


def frame_losses(found: HeadOutput, targets: Targets, others: Others = Others()) -> Tensor:
    """Binary cross-entropy, mean over the frames inside each clip, (batch,).

    A frame's score is the logit of its being bona fide, or not foreign: its target is 0 there.
    """
    assert found.frame_scores is not None
    assert targets.frames is not None
    wanted = targets.frames
    inside = (wanted >= 0).float()
    losses = F.binary_cross_entropy_with_logits(
        -found.frame_scores.float(), wanted.clamp(min=0), reduction="none"
    )
    return (losses * inside).sum(1) / inside.sum(1)


@dataclass(frozen=True)
class Task:
    """How a step is judged; networks of `beside` are kept as they are, for the losses that look at them."""

    losses: Losses = utterance_losses
    frames: FrameTask | None = None  # clips are spliced, and judged frame by frame
    beside: tuple[str, ...] = ()  # of "reference", "old"
    refresh: int = 0  # steps between two copies of the trained network into "old"
    interpolate: float = 1.0  # share of the trained weights in the result, the rest as it began


class Trainee(nn.Module):
    """A network and its loss, and frozen networks beside it."""

    def __init__(
        self,
        network: Network,
        losses: Losses = utterance_losses,
        reference: Network | None = None,
        old: Network | None = None,
    ) -> None:
        super().__init__()
        self.network, self.losses = network, losses
        self.reference = reference.requires_grad_(False) if reference else None
        self.old = old.requires_grad_(False) if old else None

    def train(self, mode: bool = True) -> "Trainee":
        """Only the network is ever in training."""
        super().train(mode)
        for frozen in (self.reference, self.old):
            if frozen is not None:
                frozen.eval()
        return self

    def forward(
        self,
        waveform: Tensor,
        lengths: Tensor,
        labels: Tensor | None = None,
        frames: Tensor | None = None,
    ) -> Tensor | tuple[Tensor, Tensor | None]:
        """(batch, samples), (batch,) and targets -> each clip's loss, (batch,).

        Without labels: scores (batch,), and frame scores (batch, frames) where the network has them.
        """
        found = self.network.describe(waveform, lengths)
        if labels is None:
            return (found.logits[:, 1] - found.logits[:, 0]).float(), found.frame_scores
        with torch.no_grad():
            reference, old = (
                None if frozen is None else frozen.describe(waveform, lengths).logits.float()
                for frozen in (self.reference, self.old)
            )
        if type(self.network.head).__name__ == "OcSoftmax":
            from earwitness.decision.heads.oc_softmax import oc_softmax_losses

            losses = oc_softmax_losses(found.logits[:, 1].float(), labels)
        else:
            losses = self.losses(found, Targets(labels, frames), Others(reference, old))
        return losses if found.penalty is None else losses + found.penalty

    @torch.no_grad()
    def refresh(self) -> None:
        """Copy the trained network into the old one."""
        assert self.old is not None
        own = self.network.state_dict()
        for name, tensor in self.old.state_dict().items():
            tensor.copy_(own[name])
