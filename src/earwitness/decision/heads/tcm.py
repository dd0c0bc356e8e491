"""Conformer with temporal-channel modelling: head tokens join the frames in self-attention.

Source: Truong, Tao, Nguyen, Luong, Lee and Chng, "Temporal-Channel Modeling in Multi-head
Self-Attention for Synthetic Speech Detection", Interspeech 2024, arXiv:2406.17376, section 2, and the
authors' code (ductuantruong/tcm_add). The rest is the classifier of Rosello et al., "A
conformer-based classifier for variable-length utterance processing in anti-spoofing", Interspeech
2023. On 1,024-wide frames the defaults hold 2,382,628 parameters, as theirs; with XLS-R 300M and
the table of positions, which they keep as a parameter, 321.21 M.

Departures, without effect on one clip alone: positions are computed for any number of frames (their
table ends at 10,000), and padding is kept out of means, attention and convolutions. In training the
batch norms count padding as zeros.
"""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from earwitness.decision.heads.output import HeadOutput, masked_mean


def positions(frames: int, size: int, like: Tensor) -> Tensor:
    """(frames, size): sines and cosines by turns, of wavelengths from 2 pi to 20,000 pi."""
    rates = torch.exp(torch.arange(0, size, 2, device=like.device) * (-math.log(10_000) / size))
    angles = torch.arange(frames, device=like.device)[:, None] * rates
    return torch.stack([angles.sin(), angles.cos()], dim=2).flatten(1).to(like.dtype)


class ChannelAttention(nn.Module):
    """Self-attention over class token, frames and one head token for each head (section 2.2).

    Args:
        size: of a token; each head has size / heads channels of it.
        heads: of the attention.
    """

    def __init__(self, size: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(size)
        self.widen = nn.Linear(size // heads, size)
        self.widen_norm = nn.LayerNorm(size // heads)
        self.place = nn.Parameter(torch.zeros(heads, size))
        self.attend = nn.Linear(size, 3 * size, bias=False)
        self.project = nn.Linear(size, size)

    def head_tokens(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """(batch, heads, size): of each head, its channels' mean over tokens, widened."""
        channels = masked_mean(tokens, mask).unflatten(1, (self.heads, -1))
        wide = self.widen(channels).unflatten(2, (self.heads, -1))  # (batch, heads, heads, size / heads)
        return F.gelu(self.widen_norm(wide)).flatten(2) + self.place

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """(batch, 1 + frames, size), class token first -> the same; mask as long as the tokens."""
        tokens = self.norm(tokens)
        count = tokens.shape[1]
        together = torch.cat([tokens, self.head_tokens(tokens, mask)], dim=1)
        query, key, value = self.attend(together).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        seen = torch.cat([mask, mask.new_ones(mask.shape[0], self.heads)], dim=1)
        found = F.scaled_dot_product_attention(query, key, value, attn_mask=seen[:, None, None])
        found = self.project(found.transpose(1, 2).flatten(2))
        frames, tail = found[:, 1:count], found[:, count:].mean(1)
        first = found[:, 0] + tail + masked_mean(frames, mask[:, 1:])
        return torch.cat([first[:, None], frames], dim=1)


class Convolution(nn.Module):
    """Gated pointwise, depthwise, normalised, pointwise; the class token stands before frame 1."""

    def __init__(self, size: int, kernel: int, expansion: int) -> None:
        super().__init__()
        inner = expansion * size
        self.pad = (kernel // 2, kernel // 2 - (kernel + 1) % 2)
        self.norm = nn.LayerNorm(size)
        self.widen = nn.Linear(size, 2 * inner)
        self.depthwise = nn.Conv1d(inner, inner, kernel, groups=inner)
        self.batch_norm = nn.BatchNorm1d(inner)
        self.project = nn.Linear(inner, size)

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        x = F.glu(self.widen(self.norm(tokens)), dim=2).masked_fill(~mask[..., None], 0)
        x = self.depthwise(F.pad(x.transpose(1, 2), self.pad)).masked_fill(~mask[:, None], 0)
        return self.project(F.silu(self.batch_norm(x)).transpose(1, 2))


class Block(nn.Module):
    """Half a feed-forward net, attention, convolution, half a feed-forward net, normalisation."""

    def __init__(self, size: int, heads: int, kernel: int, expansion: int, feed: int) -> None:
        super().__init__()

        def feed_forward() -> nn.Sequential:
            wide = feed * size
            return nn.Sequential(nn.LayerNorm(size), nn.Linear(size, wide), nn.SiLU(), nn.Linear(wide, size))

        self.before, self.behind = feed_forward(), feed_forward()
        self.attention = ChannelAttention(size, heads)
        self.convolution = Convolution(size, kernel, expansion)
        self.norm = nn.LayerNorm(size)

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        tokens = tokens + self.before(tokens) / 2
        tokens = tokens + self.attention(tokens, mask)
        tokens = tokens + self.convolution(tokens, mask)
        return self.norm(tokens + self.behind(tokens) / 2)


class ConformerTcm(nn.Module):
    """(batch, frames, width) -> logits; the embedding is the class token, (batch, size).

    Args:
        width: of a frame.
        size: of a token, even and a multiple of `heads`.
        heads: of the attention.
        blocks: of the conformer.
        kernel: frames of the depthwise convolution.
        expansion: channels of the convolution for each of `size`.
        feed: channels of the feed-forward nets for each of `size`.
    """

    READS = "frames"
    MASKED = True

    def __init__(
        self,
        width: int,
        *,
        size: int = 144,
        heads: int = 4,
        blocks: int = 4,
        kernel: int = 31,
        expansion: int = 2,
        feed: int = 4,
    ) -> None:
        super().__init__()
        self.project = nn.Linear(width, size)
        self.norm = nn.BatchNorm2d(1)
        self.class_token = nn.Parameter(torch.rand(1, size))
        self.blocks = nn.ModuleList(Block(size, heads, kernel, expansion, feed) for _ in range(blocks))
        self.classify = nn.Linear(size, 2)

    def forward(self, frames: Tensor, mask: Tensor) -> HeadOutput:
        x = self.project(frames).masked_fill(~mask[..., None], 0)
        x = F.selu(self.norm(x[:, None])[:, 0])
        x = x + positions(x.shape[1], x.shape[2], x)
        tokens = torch.cat([self.class_token.to(x.dtype).expand(x.shape[0], 1, -1), x], dim=1)
        mask = torch.cat([mask.new_ones(mask.shape[0], 1), mask], dim=1)
        for block in self.blocks:
            tokens = block(tokens, mask)
        embedding = tokens[:, 0]
        return HeadOutput(self.classify(embedding), embedding, None)


AUTHORS = {  # parts of their names, and of ours
    "LL.": "project.",
    "first_bn.": "norm.",
    "conformer.class_token": "class_token",
    "conformer.fc5.": "classify.",
    "conformer.encoder_blocks.": "blocks.",
    "ff1.fn.norm.": "before.0.",
    "ff1.fn.fn.net.0.": "before.1.",
    "ff1.fn.fn.net.3.": "before.3.",
    "attn.norm.": "attention.norm.",
    "attn.fn.ht_proj.": "attention.widen.",
    "attn.fn.ht_norm.": "attention.widen_norm.",
    "attn.fn.pos_embed": "attention.place",
    "attn.fn.qkv.": "attention.attend.",
    "attn.fn.proj.": "attention.project.",
    "conv.net.0.": "convolution.norm.",
    "conv.net.2.": "convolution.widen.",
    "conv.net.4.conv.": "convolution.depthwise.",
    "conv.net.5.": "convolution.batch_norm.",
    "conv.net.7.": "convolution.project.",
    "ff2.fn.norm.": "behind.0.",
    "ff2.fn.fn.net.0.": "behind.1.",
    "ff2.fn.fn.net.3.": "behind.3.",
    "post_norm.": "norm.",
}


def from_authors(tensors: Mapping[str, Any]) -> dict[str, Any]:
    """Tensors of a checkpoint of the authors by our names, without front end and positions."""
    found = {}
    for name, tensor in tensors.items():
        if name.startswith(("ssl_model.", "conformer.positional_emb")):
            continue
        for theirs, ours in AUTHORS.items():
            name = name.replace(theirs, ours)
        if name.endswith(".place"):  # (1, heads, size)
            tensor = tensor[0]
        if name.endswith(("convolution.widen.weight", "convolution.project.weight")):  # kernels of one frame
            tensor = tensor[:, :, 0]
        found[name] = tensor
    return found
