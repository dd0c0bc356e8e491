"""What is dropped while a front end is trained; nothing of it acts when it scores.

The values are those of the authors' fine-tuning configurations (nii-yamagishilab/AntiDeepfake,
models/W2V_configs.py and models/HBT_configs.py): wav2vec 2.0 BASE drops, the LARGE models do not,
those of 1 and 2 billion parameters drop what enters the encoder.
"""

from dataclasses import dataclass
from typing import Any

from torch import nn

from earwitness.features.encoders import FrontEnd
from earwitness.features.frontends import Architecture


@dataclass(frozen=True)
class Drops:
    """Shares that are dropped, and the share of the gradient that the convolutions get."""

    hidden: float = 0.0  # behind attention, behind the feed-forward part, before the first block
    attention: float = 0.0  # of the attention weights
    projected: float = 0.0  # behind the projection of the convolutional features
    layers: float = 0.0  # whole blocks
    conv_gradient: float = 1.0


def usual_drops(architecture: Architecture) -> Drops:
    """Those that the architecture was published with."""
    if architecture.family == "whisper" or architecture.family == "w2v-bert":
        return Drops()
    if not architecture.pre_norm:
        return Drops(hidden=0.1, attention=0.1, projected=0.1, layers=0.05, conv_gradient=0.1)
    if architecture.layers >= 48 and architecture.family == "wav2vec2":
        return Drops(projected=0.1)
    return Drops()


def set_drops(front_end: FrontEnd, drops: Drops) -> None:
    """Make a front end drop while it trains, in place."""
    front_end.layer_drop, front_end.conv_gradient = drops.layers, drops.conv_gradient
    for name, module in front_end.body.named_modules():
        part: Any = module
        own = getattr(part, "dropout", None)
        if name.endswith("feature_projection.dropout"):
            part.p = drops.projected
        elif name.endswith("self_attn.dropout"):  # w2v-BERT
            part.p = drops.attention
        elif isinstance(part, nn.Dropout):
            if name.endswith(("output_dropout", "encoder.dropout")) or ".dropout" in name:
                part.p = drops.hidden
        elif isinstance(own, float):  # of an attention, or of a block of Whisper
            part.dropout = drops.attention if name.endswith(("attention", "self_attn")) else drops.hidden
