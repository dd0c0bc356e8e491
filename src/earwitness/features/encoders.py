"""Run a front end: waveform in, frames of the chosen layers out, exact in a padded batch.

The networks and their weights are those of transformers; the walk through them is ours, for
three reasons. A clip in a padded batch must give what it gives alone, which a group norm over
time, stacked positional convolutions and the attention of the original code do not. Layers
above the last one wanted are not run. And transformers' WavLM hands its projection *weights* to
a fused function, so that adapters on them are silently passed by; here they are called.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from earwitness.audio.frames import FrameGrid
from earwitness.features.filterbanks import KaldiFilterBank, WhisperLogMel
from earwitness.features.frontends import CONV_KERNELS, CONV_STRIDES, HOP, Architecture, make_body

NORMALISE_EPS = 1e-5  # that of torch's layer_norm, as AntiDeepfake; 1e-7 moves quiet clips
WHISPER_LEVEL = 0.05  # deviation of a normalised waveform for Whisper, which heard speech at all levels


def front_end_grid(architecture: Architecture) -> FrameGrid:
    """Where its frames lie, before attention mixes them.

    Convolutions: kernels and strides of `frontends.py` see 400 samples. w2v-BERT stacks two frames of
    400 samples, 160 apart. Whisper's are centred on every second frame of a filter bank whose first is
    centred on the first sample, and it has as many as there are whole hops.
    """
    if architecture.family == "whisper":
        return FrameGrid(HOP, HOP, 0)
    length = 560 if architecture.family == "w2v-bert" else 400
    return FrameGrid(HOP, length, length // 2)


def count_frames(architecture: Architecture, lengths: Tensor) -> Tensor:
    """Samples -> frames of `front_end_grid`, both (batch,), for clips of `least_samples` or more."""
    grid = front_end_grid(architecture)
    return torch.div(lengths - grid.length, grid.hop, rounding_mode="floor") + 1


def inside_mask(lengths: Tensor, size: int) -> Tensor:
    """(batch,) -> (batch, size) bool, true inside the clip."""
    return torch.arange(size, device=lengths.device)[None] < lengths[:, None]


def normalise_waveform(waveform: Tensor, lengths: Tensor) -> Tensor:
    """Zero mean, unit variance over the samples inside each clip; zero beyond."""
    inside = inside_mask(lengths, waveform.shape[1]).to(waveform.dtype)
    count = lengths[:, None].to(waveform.dtype)
    centred = (waveform - (waveform * inside).sum(1, keepdim=True) / count) * inside
    variance = (centred * centred).sum(1, keepdim=True) / count
    return centred / torch.sqrt(variance + NORMALISE_EPS)


class FrontEnd(nn.Module):
    """An encoder and the choice of its layers.

    State 0 is what enters the first layer, state i what leaves layer i; the last state of a
    pre-norm model has the encoder's final norm on it. `states` None takes the last. `empty` leaves
    the weights without memory, to be assigned.
    """

    def __init__(
        self, architecture: Architecture, states: Sequence[int] | None = None, empty: bool = False
    ) -> None:
        super().__init__()
        self.architecture = architecture
        self.states = tuple(states) if states is not None else (architecture.layers,)
        wrong = [state for state in self.states if not 0 <= state <= architecture.layers]
        if wrong or not self.states:
            raise ValueError(f"states must be within 0 to {architecture.layers}, got {list(self.states)}")
        with torch.device("meta" if empty else torch.get_default_device()):
            self.body = make_body(architecture)
        self.mel = make_mel(architecture)
        # For training: activations of blocks are computed again rather than kept; blocks are left out.
        self.recompute, self.layer_drop, self.conv_gradient = False, 0.0, 1.0

    def forward(
        self, waveform: Tensor, lengths: Tensor, states: Sequence[int] | None = None
    ) -> tuple[Tensor, Tensor]:
        """(batch, samples), (batch,) -> states (batch, len(states), frames, width), mask (batch, frames).

        `states` None takes those it was made with.
        """
        states = self.states if states is None else states
        hidden, mask = self.embed(waveform, lengths)
        wanted = {0: hidden} if 0 in states else {}
        layers = layers_of(self.body)
        bias = relative_bias(layers[0].attention, hidden) if self.architecture.family == "wavlm" else None
        for i in range(1, max(states) + 1):
            skipped = self.training and self.layer_drop and float(torch.rand(())) < self.layer_drop
            if not skipped and self.recompute and self.training:
                hidden = checkpoint(self.run_layer, layers[i - 1], hidden, mask, bias, use_reentrant=False)
            elif not skipped:
                hidden = self.run_layer(layers[i - 1], hidden, mask, bias)
            if i in states:
                wanted[i] = self.last_norm(hidden) if i == self.architecture.layers else hidden
        return torch.stack([wanted[state] for state in states], dim=1), mask

    def run_layer(self, layer: Any, hidden: Tensor, mask: Tensor, bias: Tensor | None) -> Tensor:
        """One block, (batch, frames, width) -> the same."""
        attend = mask[:, None, None]  # (batch, 1, 1, frames): keys inside the clip
        if bias is not None:
            return wavlm_layer(layer, hidden, attend, bias, self.architecture.pre_norm)
        if self.architecture.family == "w2v-bert":
            additive = (~attend).to(hidden.dtype) * torch.finfo(hidden.dtype).min
            return layer(hidden, attention_mask=additive, conv_attention_mask=mask)
        return layer(hidden, attention_mask=attend)

    def embed(self, waveform: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """What enters the first layer, (batch, frames, width), and the mask (batch, frames)."""
        samples = waveform.shape[1]
        with torch.autocast(waveform.device.type, enabled=False):  # sums over a clip need float32
            waveform = waveform.float() * inside_mask(lengths, waveform.shape[1])
            if self.architecture.normalise:
                waveform = normalise_waveform(waveform, lengths)
                if self.architecture.family == "whisper":
                    waveform = WHISPER_LEVEL * waveform
            if isinstance(self.mel, KaldiFilterBank):
                waveform = self.mel(waveform, lengths)
            elif self.mel is not None:
                waveform = self.mel(waveform)
        waveform = waveform.to(next(self.body.parameters()).dtype)
        frames = count_frames(self.architecture, lengths)
        if self.architecture.family == "whisper":  # its filter bank goes on a little beyond the end
            hidden = embed_whisper(self.body, waveform)[:, : samples // HOP]
            return hidden, inside_mask(frames, hidden.shape[1])
        if self.architecture.family == "w2v-bert":
            hidden, _ = self.body.feature_projection(waveform)
            mask = inside_mask(frames, hidden.shape[1])
            return hidden * mask[:, :, None], mask
        hidden = convolve(self.body.feature_extractor, waveform, lengths)
        if self.training and self.conv_gradient != 1.0:  # the value stays, its gradient shrinks
            hidden = hidden * self.conv_gradient + hidden.detach() * (1 - self.conv_gradient)
        hidden = self.body.feature_projection(hidden.transpose(1, 2))
        hidden = hidden[0] if isinstance(hidden, tuple) else hidden
        mask = inside_mask(frames, hidden.shape[1])
        hidden = hidden * mask[:, :, None]
        encoder = self.body.encoder
        hidden = hidden + positions(encoder.pos_conv_embed, hidden, mask)
        return encoder.dropout(hidden if self.architecture.pre_norm else encoder.layer_norm(hidden)), mask

    def last_norm(self, hidden: Tensor) -> Tensor:
        """The encoder's final layer norm, where the family has one."""
        if self.architecture.family == "whisper":
            return self.body.layer_norm(hidden)
        if self.architecture.family == "w2v-bert" or not self.architecture.pre_norm:
            return hidden
        return self.body.encoder.layer_norm(hidden)


def make_mel(architecture: Architecture) -> WhisperLogMel | KaldiFilterBank | None:
    """The filter bank of the families that have one."""
    if architecture.family == "whisper":
        return WhisperLogMel(architecture.mel_bands)
    return KaldiFilterBank(architecture.mel_bands) if architecture.family == "w2v-bert" else None


def layers_of(body: Any) -> nn.ModuleList:
    """The encoder layers of a transformers model."""
    return body.layers if hasattr(body, "layers") else body.encoder.layers


def convolve(extractor: Any, waveform: Tensor, lengths: Tensor) -> Tensor:
    """The convolutional feature encoder: (batch, samples) -> (batch, conv width, frames)."""
    hidden = waveform[:, None]
    for i, layer in enumerate(extractor.conv_layers):
        if i == 0 and isinstance(layer.layer_norm, nn.GroupNorm):
            frames = torch.div(lengths - CONV_KERNELS[0], CONV_STRIDES[0], rounding_mode="floor") + 1
            hidden = layer.activation(masked_group_norm(layer.layer_norm, layer.conv(hidden), frames))
        else:
            hidden = layer(hidden)
    return hidden


def masked_group_norm(norm: nn.GroupNorm, hidden: Tensor, frames: Tensor) -> Tensor:
    """A group norm of one channel a group, over the frames inside each clip."""
    inside = inside_mask(frames, hidden.shape[2])[:, None]
    full = hidden.float()
    count = frames[:, None, None].float()
    mean = (full * inside).sum(2, keepdim=True) / count
    centred = full - mean
    variance = (centred * centred * inside).sum(2, keepdim=True) / count
    full = centred / torch.sqrt(variance + norm.eps)
    return (full * norm.weight[:, None] + norm.bias[:, None]).to(hidden.dtype)


def positions(embedding: Any, hidden: Tensor, mask: Tensor) -> Tensor:
    """Positional convolutions, (batch, frames, width); a stack of them is masked between them."""
    if not hasattr(embedding, "layers"):
        return embedding(hidden)
    inside = mask[:, None].to(hidden.dtype)
    hidden = hidden.transpose(1, 2)
    for layer in embedding.layers:
        hidden = layer(hidden) * inside
    return hidden.transpose(1, 2)


def embed_whisper(body: Any, logmel: Tensor) -> Tensor:
    """Two convolutions and fixed positions; the 30 s that Whisper was trained on are not filled up."""
    limit = body.embed_positions.weight.shape[0]
    hidden = F.gelu(body.conv1(logmel[:, :, : 2 * limit]))
    hidden = F.gelu(body.conv2(hidden)).transpose(1, 2)
    return hidden + body.embed_positions.weight[: hidden.shape[1]]


def relative_bias(attention: Any, hidden: Tensor) -> Tensor:
    """WavLM's bucketed relative positions, (heads, frames, frames); only its first layer holds them."""
    return attention.compute_bias(hidden.shape[1], hidden.shape[1])


def wavlm_attention(attention: Any, hidden: Tensor, attend: Tensor, bias: Tensor) -> Tensor:
    """WavLM's self-attention with a gated relative position bias (Chen et al., arXiv:2110.13900,
    section III-B), its projections called as modules.
    """
    batch, frames, width = hidden.shape
    split = (batch, frames, attention.num_heads, attention.head_dim)
    per_head = hidden.view(split).transpose(1, 2)  # (batch, heads, frames, head width)
    gates = attention.gru_rel_pos_linear(per_head).unflatten(-1, (2, 4)).sum(-1)
    update, reset = torch.sigmoid(gates).chunk(2, dim=-1)  # (batch, heads, frames, 1) each
    gate = update * (reset * attention.gru_rel_pos_const - 1.0) + 2.0
    scores = (gate * bias).masked_fill(~attend, float("-inf"))
    query, key, value = (
        project(hidden).view(split).transpose(1, 2)
        for project in (attention.q_proj, attention.k_proj, attention.v_proj)
    )
    dropout = attention.dropout if attention.training else 0.0
    mixed = F.scaled_dot_product_attention(query, key, value, scores.to(query.dtype), dropout)
    return attention.out_proj(mixed.transpose(1, 2).reshape(batch, frames, width))


def wavlm_layer(layer: Any, hidden: Tensor, attend: Tensor, bias: Tensor, pre_norm: bool) -> Tensor:
    """One WavLM block, (batch, frames, width) -> the same."""
    entering = layer.layer_norm(hidden) if pre_norm else hidden
    hidden = hidden + layer.dropout(wavlm_attention(layer.attention, entering, attend, bias))
    if pre_norm:
        return hidden + layer.feed_forward(layer.final_layer_norm(hidden))
    hidden = layer.layer_norm(hidden)
    return layer.final_layer_norm(hidden + layer.feed_forward(hidden))
