"""Attentive merging: layers weighed by a look at all of them, joined and projected to one sequence.

Source: Pan, Liu, Sailor and Wang, "Attentive Merging of Hidden Embeddings from Pre-trained Speech
Model for Anti-spoofing Detection", Interspeech 2024, arXiv:2406.10283, and the authors' code
(pandarialTJU/AttM_INTERSPEECH24). They merge the outputs of the transformer layers, not what
enters the first, and find the first 12 of WavLM Large enough.

The merging has 40,899,728 parameters for 12 layers of width 1024 and 157,295,168 for 24, as the
sizes of their code give; the head after it comes on top (`lstm`, `ecapa`, `nes2net`).

Departure: their code holds one more linear layer between the two projections, as the argument of
SiLU that says whether to work in place. It is never applied (9,440,256 idle parameters for 12
layers) and is left out.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from earwitness.decision.heads.ecapa import Ecapa
from earwitness.decision.heads.lstm import Lstm
from earwitness.decision.heads.nes2net import Nes2Net
from earwitness.decision.heads.output import HeadOutput

HEADS: dict[str, Any] = {"lstm": Lstm, "ecapa": Ecapa, "nes2net": Nes2Net}
NARROWING = 4  # of all layers' features, between the two projections


class AttentiveMerge(nn.Module):
    """(batch, layers, frames, width), mask -> (batch, frames, width)."""

    def __init__(self, width: int, layers: int) -> None:
        super().__init__()
        self.squeeze = nn.Parameter(torch.randn(width))
        self.narrow = nn.Parameter(torch.randn(layers, layers // 2))
        self.widen = nn.Parameter(torch.randn(layers // 2, layers))
        hidden = layers * width // NARROWING
        self.project = nn.Sequential(nn.Linear(layers * width, hidden), nn.SiLU(), nn.Linear(hidden, width))

    def gates(self, frames: Tensor, mask: Tensor) -> Tensor:
        """(batch, layers): the weight of each layer, between zero and one."""
        inside = mask[:, None, :, None].to(frames.dtype)
        mean = (frames * inside).sum(2) / inside.sum(2)  # (batch, layers, width)
        squeezed = F.silu(mean @ self.squeeze)
        return torch.sigmoid(F.silu(squeezed @ self.narrow) @ self.widen)

    def forward(self, frames: Tensor, mask: Tensor) -> Tensor:
        frames = frames.masked_fill(~mask[:, None, :, None], 0.0)
        weighed = frames * self.gates(frames, mask)[:, :, None, None]
        return self.project(weighed.permute(0, 2, 3, 1).flatten(2))


class AttM(nn.Module):
    """(batch, layers, frames, width) -> logits and embedding of the head that reads the merged layers."""

    READS = "layers"
    MASKED = True

    def __init__(self, width: int, layers: int, *, head: str = "lstm") -> None:
        super().__init__()
        if head not in HEADS:
            raise ValueError(f"no head is called {head!r}; one of {', '.join(HEADS)}")
        self.merge = AttentiveMerge(width, layers)
        self.head = HEADS[head](width)

    def forward(self, frames: Tensor, mask: Tensor) -> HeadOutput:
        return self.head(self.merge(frames, mask), mask)
