"""A second, plain implementation of self-supervised speech models under the key names of their authors.

Tests compare against it, nothing else uses it. It is written from the published descriptions of
fairseq (wav2vec 2.0, HuBERT, data2vec-audio) and of UniSpeech-SAT and WavLM, without dropout, masks,
batches or modules: a state is a dictionary of tensors, a network a function of it. Whoever wants the
rounding error out of a comparison passes state and waveform in float64.

A file of the authors holds more than a network needs to run. With `pretraining=True` the states hold
  - wav2vec2: mask_emb, quantizer.*, project_q.*, final_proj.*
  - hubert: mask_emb, label_embs_concat, final_proj.*
  - unispeech-sat: those of hubert, quantizer.*, project_q.*, spk_proj.* and, where layers normalise
    first, encoder.layer_norm_for_extract.* (close in name to encoder.layer_norm, but of no use)
  - wavlm: mask_emb; the published files were stripped of the rest
  - data2vec-audio: mask_emb and final_proj.0.*, as the published files name it, though the code of
    today says final_proj; `with_teacher` adds the nested dictionary _ema that these files hold as well.

Simplified: no conformer layers, no relative positions in UniSpeech-SAT (its published models use none),
one label set, no target GLU.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

State = dict[str, Tensor]
Shapes = dict[str, tuple[int, ...]]

KINDS = "wav2vec2 hubert unispeech-sat wavlm data2vec-audio".split()
KERNELS = (10, 3, 3, 3, 3, 2, 2)
STRIDES = (5, 2, 2, 2, 2, 2, 2)
PREFIX = "m_ssl.model."


@dataclass(frozen=True)
class Layout:
    """Sizes of a network and of what its file holds besides."""

    kind: str  # one of KINDS
    width: int
    layers: int
    heads: int
    ffn: int
    conv_channels: int = 512
    conv_bias: bool = False
    conv_norm: str = "group"  # of the first convolution only, or "layer" after each
    pre_norm: bool = False  # layer_norm_first
    pos_kernel: int = 128  # conv_pos; where pos_depth > 1 all convolutions together
    pos_groups: int = 16
    pos_depth: int = 1  # 5 in data2vec-audio
    final_dim: int = 256
    latent_vars: int = 320  # code words in each of two groups
    labels: int = 504  # cluster names of HuBERT and UniSpeech-SAT
    num_buckets: int = 320  # WavLM, as is the next
    max_distance: int = 800

    @property
    def projected(self) -> bool:
        """Whether there is a projection: most leave it out where it would not change the width."""
        return self.kind == "data2vec-audio" or self.conv_channels != self.width

    @property
    def pos_kernel_each(self) -> int:
        """Length of one positional convolution."""
        return self.pos_kernel if self.pos_depth == 1 else max(3, self.pos_kernel // self.pos_depth)


_LARGE = {"conv_bias": True, "conv_norm": "layer", "pre_norm": True, "final_dim": 768}
_HUGE = {**_LARGE, "final_dim": 1024}
RELEASED = {
    "w2v_small": Layout("wav2vec2", 768, 12, 12, 3072),
    "mms_300m": Layout("wav2vec2", 1024, 24, 16, 4096, **_LARGE),
    "mms_1b": Layout("wav2vec2", 1280, 48, 16, 5120, **_HUGE),
    "xlsr_2b": Layout("wav2vec2", 1920, 48, 16, 7680, **_HUGE),
    "hubert_xlarge_ll60k": Layout("hubert", 1280, 48, 16, 5120, **{**_HUGE, "conv_bias": False}),
    "data2vec_base": Layout(
        "data2vec-audio", 768, 12, 12, 3072, conv_norm="layer", pos_kernel=95, pos_depth=5
    ),
}
"""Published models by name; `dataclasses.replace` makes small ones of them."""


def shapes(layout: Layout, pretraining: bool = True) -> Shapes:
    """Names and shapes of all tensors, in the order of the files."""
    kind, width, channels, final = layout.kind, layout.width, layout.conv_channels, layout.final_dim
    labelled = kind in ("hubert", "unispeech-sat")
    found: Shapes = {}

    def add(name: str, *weight: int, bias: int = 0) -> None:
        found[f"{name}.weight"] = weight
        if bias:
            found[f"{name}.bias"] = (bias,)

    if pretraining:
        found["mask_emb"] = (width,)
        if labelled:
            found["label_embs_concat"] = (layout.labels, final)
    for i, kernel in enumerate(KERNELS):
        layer = f"feature_extractor.conv_layers.{i}"
        add(f"{layer}.0", channels, channels if i else 1, kernel, bias=channels if layout.conv_bias else 0)
        if layout.conv_norm == "layer":
            add(f"{layer}.2.1", channels, bias=channels)
        elif i == 0:
            add(f"{layer}.2", channels, bias=channels)
    if layout.projected:
        add("post_extract_proj", width, channels, bias=width)
    if pretraining and kind in ("wav2vec2", "unispeech-sat"):
        codes = 2 * layout.latent_vars
        found["quantizer.vars"] = (1, codes, final // 2)
        add("quantizer.weight_proj", codes, channels if kind == "wav2vec2" else width, bias=codes)
        add("project_q", final, final, bias=final)
    if pretraining and kind == "unispeech-sat":
        add("spk_proj", final, width, bias=final)

    taps = layout.pos_kernel_each
    for i in range(layout.pos_depth):
        if layout.pos_depth > 1:
            add(f"encoder.pos_conv.{i}.0", width, width // layout.pos_groups, taps, bias=width)
        else:
            found["encoder.pos_conv.0.bias"] = (width,)
            found["encoder.pos_conv.0.weight_g"] = (1, 1, taps)
            found["encoder.pos_conv.0.weight_v"] = (width, width // layout.pos_groups, taps)
    for i in range(layout.layers):
        layer = f"encoder.layers.{i}"
        if kind == "wavlm":
            found[f"{layer}.self_attn.grep_a"] = (1, layout.heads, 1, 1)
            if i == 0:
                add(f"{layer}.self_attn.relative_attention_bias", layout.num_buckets, layout.heads)
        for name in ("k_proj", "v_proj", "q_proj", "out_proj"):
            add(f"{layer}.self_attn.{name}", width, width, bias=width)
        if kind == "wavlm":
            add(f"{layer}.self_attn.grep_linear", 8, width // layout.heads, bias=8)
        add(f"{layer}.self_attn_layer_norm", width, bias=width)
        add(f"{layer}.fc1", layout.ffn, width, bias=layout.ffn)
        add(f"{layer}.fc2", width, layout.ffn, bias=width)
        add(f"{layer}.final_layer_norm", width, bias=width)
    add("encoder.layer_norm", width, bias=width)
    if pretraining and kind == "unispeech-sat" and layout.pre_norm:
        add("encoder.layer_norm_for_extract", width, bias=width)
    add("layer_norm", channels, bias=channels)
    if pretraining and (labelled or kind == "wav2vec2"):
        add("final_proj", final, width, bias=final)
    if pretraining and kind == "data2vec-audio":
        add("final_proj.0", width, width, bias=width)
    return found


def random_state(layout: Layout, generator: torch.Generator, pretraining: bool = True) -> State:
    """All tensors at random, each different from what would leave it without effect."""
    state: State = {}
    for name, shape in shapes(layout, pretraining).items():
        noise = torch.randn(shape, generator=generator)
        if name.endswith("weight_g"):  # so that the weights come out as those of a convolution
            state[name] = math.sqrt(layout.width / layout.pos_kernel_each) * (1 + 0.2 * noise)
        elif name.endswith("grep_a"):
            state[name] = 1 + 0.3 * noise
        elif name.endswith(".bias"):
            state[name] = 0.1 * noise
        elif len(shape) == 1 and name != "mask_emb":  # a norm
            state[name] = 1 + 0.2 * noise
        elif name.endswith("relative_attention_bias.weight") or name.endswith("weight_v"):
            state[name] = noise
        elif name.startswith("feature_extractor"):  # the GELU takes about half of the power
            state[name] = noise * math.sqrt(2 / math.prod(shape[1:]))
        else:
            state[name] = noise / math.sqrt(math.prod(shape[1:]) or 1)
    return state


def with_teacher(state: State, generator: torch.Generator) -> dict[str, object]:
    """The state of data2vec as its files hold it: the averaged encoder beside, as a dictionary in it."""
    encoder = {key.removeprefix("encoder."): v for key, v in state.items() if key.startswith("encoder.")}
    noise = {key: 0.1 * torch.randn(value.shape, generator=generator) for key, value in encoder.items()}
    return {**state, "_ema": {key: value + noise[key] for key, value in encoder.items()}}


def detector_state(state: State, generator: torch.Generator, width: int) -> State:
    """The file of an AntiDeepfake detector with this network in it."""
    return {PREFIX + key: value for key, value in state.items()} | {
        "proj_fc.weight": torch.randn(2, width, generator=generator) / math.sqrt(width),
        "proj_fc.bias": 0.1 * torch.randn(2, generator=generator),
    }


def backbone(state: State) -> State:
    """The network in a detector."""
    return {key.removeprefix(PREFIX): value for key, value in state.items() if key.startswith(PREFIX)}


def forward(layout: Layout, state: State, waveform: Tensor) -> list[Tensor]:
    """Frames of one normalised clip: what enters the first layer, then what leaves each layer.

    Where layers normalise first, the last entry has passed the encoder's final norm: fairseq's `x`.

    Args:
        layout: must fit the state.
        state: without a prefix.
        waveform: (samples,) at 16 kHz, in the type of the state.

    Returns:
        layers + 1 tensors (frames, width).
    """
    frames = _norm(state, "layer_norm", _features(layout, state, waveform))
    if layout.projected:
        frames = _linear(state, "post_extract_proj", frames)
    frames = frames + _positions(layout, state, frames)
    if not layout.pre_norm:
        frames = _norm(state, "encoder.layer_norm", frames)
    bias = None
    if layout.kind == "wavlm":
        table = state["encoder.layers.0.self_attn.relative_attention_bias.weight"]
        bias = table[relative_buckets(layout, len(frames))].permute(2, 0, 1)  # every layer uses it

    outputs = [frames]
    for i in range(layout.layers):
        layer = f"encoder.layers.{i}"
        if layout.pre_norm:
            normed = _norm(state, f"{layer}.self_attn_layer_norm", frames)
            frames = frames + _attention(layout, state, f"{layer}.self_attn", normed, bias)
            frames = frames + _feed_forward(state, layer, _norm(state, f"{layer}.final_layer_norm", frames))
        else:
            frames = frames + _attention(layout, state, f"{layer}.self_attn", frames, bias)
            frames = _norm(state, f"{layer}.self_attn_layer_norm", frames)
            frames = _norm(state, f"{layer}.final_layer_norm", frames + _feed_forward(state, layer, frames))
        outputs.append(frames)
    if layout.pre_norm:
        outputs[-1] = _norm(state, "encoder.layer_norm", frames)
    return outputs


def logits(layout: Layout, state: State, waveform: Tensor) -> Tensor:
    """[fake, real] of an AntiDeepfake detector for a clip (samples,) that is not normalised."""
    frames = forward(layout, backbone(state), normalised(waveform))[-1]
    return _linear(state, "proj_fc", frames.mean(0))


def normalised(waveform: Tensor) -> Tensor:
    """Zero mean and unit variance, as the detectors want their input."""
    return F.layer_norm(waveform, waveform.shape)


def relative_buckets(layout: Layout, frames: int) -> Tensor:
    """Row of WavLM's table for each query (row) and key (column), (frames, frames).

    Keys after the query use the upper half of the table. In each half the nearer distances have a row
    each, the farther ones share rows on a logarithmic scale, and all from max_distance on the last.
    The logarithm is in float32, as the authors take it: elsewhere a distance might change its row.
    """
    half = layout.num_buckets // 2
    exact = half // 2
    offset = torch.arange(frames)[None, :] - torch.arange(frames)[:, None]
    distance = offset.abs()
    scale = torch.log(distance.clamp(min=1).float() / exact) / math.log(layout.max_distance / exact)
    far = (exact + (scale * (half - exact)).long()).clamp(max=half - 1)
    return torch.where(distance < exact, distance, far) + half * (offset > 0)


def _features(layout: Layout, state: State, waveform: Tensor) -> Tensor:
    """The convolutions over a waveform: (frames, channels)."""
    x = waveform[None, None]
    for i, stride in enumerate(STRIDES):
        layer = f"feature_extractor.conv_layers.{i}"
        x = F.conv1d(x, state[f"{layer}.0.weight"], state.get(f"{layer}.0.bias"), stride)
        if layout.conv_norm == "layer":
            x = _norm(state, f"{layer}.2.1", x.transpose(1, 2)).transpose(1, 2)
        elif i == 0:  # each channel over its own time
            centred = x - x.mean(2, keepdim=True)
            x = centred / torch.sqrt(centred.square().mean(2, keepdim=True) + 1e-5)
            x = x * state[f"{layer}.2.weight"][:, None] + state[f"{layer}.2.bias"][:, None]
        x = F.gelu(x)
    return x[0].T


def _positions(layout: Layout, state: State, frames: Tensor) -> Tensor:
    """What the positional convolutions add to the frames."""
    taps, count = layout.pos_kernel_each, len(frames)
    x = frames.T[None]
    for i in range(layout.pos_depth):
        name = f"encoder.pos_conv.{i}" + (".0" if layout.pos_depth > 1 else "")
        if layout.pos_depth > 1:
            weight = state[f"{name}.weight"]
        else:  # weight norm: one length for each tap, over all pairs of channels
            direction = state[f"{name}.weight_v"]
            length = direction.square().sum((0, 1), keepdim=True).sqrt()
            weight = state[f"{name}.weight_g"] * direction / length
        x = F.conv1d(x, weight, state[f"{name}.bias"], padding=taps // 2, groups=layout.pos_groups)
        x = x[:, :, :count]  # an even kernel gives one too many
        if layout.pos_depth > 1:
            x = F.layer_norm(x.transpose(1, 2), (layout.width,)).transpose(1, 2)
        x = F.gelu(x)
    return x[0].T


def _attention(layout: Layout, state: State, name: str, x: Tensor, bias: Tensor | None) -> Tensor:
    """Attention of frames among themselves; a bias (heads, frames, frames) is gated by the input."""
    head_width = layout.width // layout.heads

    def split(y: Tensor) -> Tensor:
        return y.reshape(len(x), layout.heads, head_width).transpose(0, 1)

    query = split(_linear(state, f"{name}.q_proj", x)) / math.sqrt(head_width)
    key, value = split(_linear(state, f"{name}.k_proj", x)), split(_linear(state, f"{name}.v_proj", x))
    scores = query @ key.transpose(1, 2)
    if bias is not None:
        gates = _linear(state, f"{name}.grep_linear", split(x))  # of the input itself, not of the query
        update, reset = gates[..., :4].sum(-1).sigmoid(), gates[..., 4:].sum(-1).sigmoid()
        gate = update * (reset * state[f"{name}.grep_a"][0, :, :, 0] - 1) + 2
        scores = scores + gate[..., None] * bias
    mixed = scores.softmax(-1) @ value
    return _linear(state, f"{name}.out_proj", mixed.transpose(0, 1).reshape(len(x), layout.width))


def _feed_forward(state: State, layer: str, x: Tensor) -> Tensor:
    return _linear(state, f"{layer}.fc2", F.gelu(_linear(state, f"{layer}.fc1", x)))


def _linear(state: State, name: str, x: Tensor) -> Tensor:
    return x @ state[f"{name}.weight"].T + state[f"{name}.bias"]


def _norm(state: State, name: str, x: Tensor) -> Tensor:
    """Layer norm over the last axis."""
    return F.layer_norm(x, x.shape[-1:], state[f"{name}.weight"], state[f"{name}.bias"])
