"""XLSR-Mamba: two columns of selective state-space blocks, one in each direction of time.

Source: Xiao and Das, "XLSR-Mamba: A Dual-Column Bidirectional State Space Model for Spoofing Attack
Detection", arXiv:2411.10027, IEEE Signal Processing Letters 2025, and the authors' code
(swagshaw/XLSR-Mamba); the blocks are those of Gu and Dao, "Mamba: Linear-Time Sequence Modeling
with Selective State Spaces", arXiv:2312.00752, sections 3.2 to 3.4. On 1,024-wide frames the
defaults hold 1,936,950 parameters, as theirs: 319.33 M with XLS-R 300M.

Departures, all but the last without effect on one clip alone: the scan is plain torch (theirs is a
CUDA kernel), each clip is reversed within its own length, and attention sees no padding; in training
the batch norm counts padding as zeros. Last: before the final normalisation the authors' code adds
the columns' input where the last blocks' output belongs, unreversed to the reversed column too, so
the last block of each column is idle. Here the last blocks count; `as_released` (idle blocks frozen)
is what their code computes and their weights need.
"""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from earwitness.decision.heads.output import HeadOutput

FAN = 4  # segments that make one on the next level of the scan
LEVELS = 3  # above frames: spans of FAN ** LEVELS frames read each other directly
STEP_RANGE = (1e-3, 0.1)  # of the step sizes at the start, Mamba section 3.6


def scan(x: Tensor, step: Tensor, decay: Tensor, inward: Tensor, outward: Tensor) -> Tensor:
    """The selective scan, Mamba equation 2 and algorithm 2, for any number of frames.

    state[t] = exp(step[t] * decay) * state[t - 1] + step[t] * x[t] * inward[t], from zero;
    y[t] = sum over states of outward[t] * state[t].

    A loop over frames cannot be exported for a free number of them, and sums of logarithms lose all
    digits where `step * decay` is large. So frames are laid out as a tree, (spans, FAN, FAN, FAN),
    that `carry` goes up and down. Every factor is at most one: nothing overflows, nothing cancels.

    Args:
        x: (batch, frames, inner).
        step: (batch, frames, inner), positive.
        decay: (inner, states), negative.
        inward: (batch, frames, states).
        outward: (batch, frames, states).

    Returns:
        (batch, frames, inner).
    """
    frames, span = x.shape[1], FAN**LEVELS
    # At least two spans: the exporter takes a number that may be one for a constant.
    spans = torch.arange(frames // span + 2, device=x.device).reshape(-1, *[1] * LEVELS)
    place = spans * span + torch.arange(span, device=x.device).reshape([FAN] * LEVELS)
    inside = (place < frames)[..., None].to(x.dtype)
    place = place.clamp(max=frames - 1)
    step = step[:, place] * inside  # (batch, spans, FAN, FAN, FAN, inner)
    entering = (step * x[:, place])[..., None] * inward[:, place][..., None, :]
    states = carry(entering, step, decay).flatten(1, LEVELS + 1)  # before each frame
    states = states[:, torch.arange(frames, device=x.device) + 1]  # after it
    return (states * outward[:, :, None]).sum(-1)


def carry(entering: Tensor, steps: Tensor, decay: Tensor) -> Tensor:
    """The state before each segment, of what it leaves behind when the state before it is zero.

    Siblings are joined in order, the level above finds the state before the first of them, and a
    second pass over them starts there.

    Args:
        entering: (batch, spans, FAN, ..., inner, states), what each segment leaves.
        steps: (batch, spans, FAN, ..., inner), the sum of its steps.
        decay: (inner, states).

    Returns:
        As `entering`.
    """
    if steps.ndim == 3:
        return carry_spans(entering, steps, decay)
    gains = torch.exp(steps[..., None] * decay).unbind(-3)
    pieces = entering.unbind(-3)
    state = pieces[0]
    for gain, piece in zip(gains[1:], pieces[1:], strict=True):
        state = gain * state + piece
    states = [carry(state, steps.sum(-2), decay)]
    for gain, piece in zip(gains[:-1], pieces[:-1], strict=True):
        states.append(gain * states[-1] + piece)
    return torch.stack(states, -3)


def carry_spans(entering: Tensor, steps: Tensor, decay: Tensor) -> Tensor:
    """`carry` for spans, whose number is free: each reads all before it, past the steps between.

    Those are summed pair by pair, because differences of running sums would cancel.
    """
    number = torch.arange(steps.shape[1], device=steps.device)
    before = (number[:, None] > number)[..., None]  # (reader, read, 1)
    steps = torch.where(before, steps[:, :, None], 0.0)  # (batch, reader, read, inner)
    between = steps.cumsum(1).roll(1, 1)  # up to the reader, without its own
    weights = torch.where(before[..., None], torch.exp(between[..., None] * decay), 0.0)
    return (weights * entering[:, None]).sum(2)


def reverse(frames: Tensor, mask: Tensor) -> Tensor:
    """(batch, frames, width) -> each clip backwards within its own length; what follows it stays."""
    place = torch.arange(frames.shape[1], device=frames.device).expand(mask.shape)
    place = torch.where(mask, mask.sum(1, keepdim=True) - 1 - place, place)
    return frames.gather(1, place[..., None].expand(frames.shape))


def pool(score: nn.Linear, frames: Tensor, mask: Tensor) -> Tensor:
    """(batch, frames, width) -> (batch, width): a mean weighted by a softmax over frames inside."""
    weights = score(frames).masked_fill(~mask[..., None], -torch.inf).softmax(1)
    return (frames * weights).sum(1)


class Block(nn.Module):
    """Normalisation and one Mamba mixer (Mamba, figure 3); parameter names are those of mamba_ssm."""

    def __init__(self, size: int, states: int, kernel: int, expansion: int, depth: int) -> None:
        super().__init__()
        inner, rank = expansion * size, math.ceil(size / 16)
        self.norm = nn.RMSNorm(size, eps=1e-5)
        self.in_proj = nn.Linear(size, 2 * inner, bias=False)
        self.conv1d = nn.Conv1d(inner, inner, kernel, groups=inner)
        self.x_proj = nn.Linear(inner, rank + 2 * states, bias=False)
        self.dt_proj = nn.Linear(rank, inner)
        self.A_log = nn.Parameter(torch.arange(1.0, states + 1).log().repeat(inner, 1))
        self.D = nn.Parameter(torch.ones(inner))
        self.out_proj = nn.Linear(inner, size, bias=False)
        with torch.no_grad():
            self.out_proj.weight /= math.sqrt(depth)
            self.dt_proj.weight.uniform_(-(rank**-0.5), rank**-0.5)
            low, high = (math.log(bound) for bound in STEP_RANGE)
            start = torch.empty(inner).uniform_(low, high).exp()
            self.dt_proj.bias.copy_(torch.log(torch.expm1(start)))  # softplus gives `start` again

    def forward(self, residual: Tensor) -> Tensor:
        """(batch, frames, size) -> what the block adds to it. A frame sees only those before it."""
        x, gate = self.in_proj(self.norm(residual)).chunk(2, dim=-1)  # (batch, frames, inner) each
        x = F.pad(x.transpose(1, 2), (self.conv1d.kernel_size[0] - 1, 0))
        x = F.silu(self.conv1d(x)).transpose(1, 2)
        rank, states = self.dt_proj.in_features, self.A_log.shape[1]
        step, inward, outward = self.x_proj(x).split([rank, states, states], dim=-1)
        step = self.dt_proj(step)
        with torch.autocast(x.device.type, enabled=False):  # the recurrence needs float32
            decay = -torch.exp(self.A_log.float())
            parts = x.float(), F.softplus(step.float()), decay, inward.float(), outward.float()
            if self.training:  # keep no states for the way back, but make them again (section 3.3.2)
                y = checkpoint(scan, *parts, use_reentrant=False, preserve_rng_state=False)
            else:
                y = scan(*parts)
        return self.out_proj((y + self.D * x) * F.silu(gate))


class DualMamba(nn.Module):
    """(batch, frames, width) -> logits; the embedding is (batch, size).

    Args:
        width: of a frame.
        size: of the frames inside.
        blocks: in each column.
        states: of the recurrence, for each of `expansion` * `size` channels.
        kernel: frames of the causal convolution.
        expansion: channels of the recurrence for each of `size`.
        dropout: before the columns and before the last layer.
        as_released: as the authors' code computes it; see the head of this file.
    """

    READS = "frames"
    MASKED = True

    def __init__(
        self,
        width: int,
        *,
        size: int = 144,
        blocks: int = 6,
        states: int = 16,
        kernel: int = 4,
        expansion: int = 2,
        dropout: float = 0.1,
        as_released: bool = False,
    ) -> None:
        super().__init__()

        def column() -> nn.ModuleList:
            return nn.ModuleList(Block(size, states, kernel, expansion, blocks) for _ in range(blocks))

        self.as_released = as_released
        self.project = nn.Linear(width, size)
        self.norm = nn.BatchNorm2d(1)
        self.dropout = nn.Dropout(dropout)
        self.forward_blocks, self.backward_blocks = column(), column()
        self.final_norm = nn.RMSNorm(size, eps=1e-5)
        self.forward_pool, self.backward_pool = nn.Linear(size, 1), nn.Linear(size, 1)
        self.merge = nn.Linear(2 * size, size)
        self.classify = nn.Linear(size, 2)
        if as_released:
            self.forward_blocks[-1].requires_grad_(False)
            self.backward_blocks[-1].requires_grad_(False)

    def forward(self, frames: Tensor, mask: Tensor) -> HeadOutput:
        x = self.project(frames).masked_fill(~mask[..., None], 0)
        x = self.dropout(F.selu(self.norm(x[:, None])[:, 0])).float()  # the residual path, as theirs
        ahead = pool(self.forward_pool, self.column(self.forward_blocks, x, x), mask)
        back = pool(self.backward_pool, self.column(self.backward_blocks, reverse(x, mask), x), mask)
        embedding = self.dropout(self.merge(torch.cat([ahead, back], dim=1)))
        return HeadOutput(self.classify(embedding), embedding, None)

    def column(self, blocks: nn.ModuleList, residual: Tensor, entered: Tensor) -> Tensor:
        """(batch, frames, size) -> the same, normalised; `entered` is what `as_released` adds."""
        for block in blocks[:-1]:
            residual = residual + block(residual)
        return self.final_norm(residual + (entered if self.as_released else blocks[-1](residual)))


AUTHORS = {  # parts of their names, and of ours
    "conformer.LL.": "merge.",
    "LL.": "project.",
    "first_bn.": "norm.",
    "conformer.forward_layers.": "forward_blocks.",
    "conformer.backward_layers.": "backward_blocks.",
    ".mixer.": ".",
    "conformer.norm_f.": "final_norm.",
    "conformer.f_attention_pool.": "forward_pool.",
    "conformer.b_attention_pool.": "backward_pool.",
    "conformer.classifier.": "classify.",
}


def from_authors(tensors: Mapping[str, Any]) -> dict[str, Any]:
    """Tensors of a checkpoint of the authors by our names, without the front end's.

    Such weights were trained `as_released`.
    """
    found = {}
    for name, tensor in tensors.items():
        if name.startswith("ssl_model."):
            continue
        for theirs, ours in AUTHORS.items():
            name = name.replace(theirs, ours)
        found[name] = tensor
    return found
