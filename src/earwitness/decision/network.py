"""A detector as a network: front end, choice of layers, head; waveform in, score out.

A `Blueprint` is what a card says of it (`architecture`) and all that is needed to build it. Heads
stand in one visible table; each is one file in `heads/`, and says there what it needs.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from earwitness.audio.frames import FrameGrid
from earwitness.decision.heads.aasist import Aasist, AasistHead
from earwitness.decision.heads.attm import AttM
from earwitness.decision.heads.ecapa import Ecapa
from earwitness.decision.heads.linear import MeanLinear
from earwitness.decision.heads.lstm import Lstm
from earwitness.decision.heads.mamba import DualMamba
from earwitness.decision.heads.mhfa import Mhfa
from earwitness.decision.heads.mlp import Mlp
from earwitness.decision.heads.nes2net import Nes2Net
from earwitness.decision.heads.oc_softmax import OcSoftmax
from earwitness.decision.heads.output import HeadOutput
from earwitness.decision.heads.pooled import Pooled, both_ways_up, without_top
from earwitness.decision.heads.rawnet2 import RawNet2
from earwitness.decision.heads.resnet34 import ResNet34
from earwitness.decision.heads.sls import SensitiveLayers
from earwitness.decision.heads.tcm import ConformerTcm
from earwitness.decision.heads.vib import Bottleneck
from earwitness.decision.logmel_cnn import GRID as LOGMEL_GRID
from earwitness.decision.logmel_cnn import LogMelHead
from earwitness.errors import ModelError
from earwitness.features.convert import MAX_LAYERS
from earwitness.features.encoders import FrontEnd, front_end_grid
from earwitness.features.frontends import Architecture

HEADS: dict[str, Any] = {
    "linear": MeanLinear,
    "oc-softmax": OcSoftmax,
    "mlp": Mlp,
    "lstm": Lstm,
    "ecapa": Ecapa,
    "nes2net": Nes2Net,
    "tcm": ConformerTcm,
    "mamba": DualMamba,
    "vib": Bottleneck,
    "aasist-ssl": AasistHead,
    "sls": SensitiveLayers,
    "mhfa": Mhfa,
    "attm": AttM,
    "pooled": Pooled,
    "aasist": Aasist,
    "rawnet2": RawNet2,
    "resnet34": ResNet34,
    "logmel-cnn": LogMelHead,
}

# Heads that say which frames. The last layer of all but the last two sees single frames, so that frame
# scores come with those of clips; that of "pooled" sees a second around a frame as it sees a clip, and
# "logmel-cnn" has a layer for them that must be taught.
FRAME_LEVEL = ("linear", "oc-softmax", "mlp", "lstm", "nes2net", "vib", "pooled", "logmel-cnn")
EVERY_STATE = ("layers", "states both ways up")  # what heads may read that get states apart


@dataclass(frozen=True)
class Blueprint:
    """What to build. Without a front end the head reads the waveform."""

    head: str | None
    front_end: Architecture | None = None
    states: tuple[int, ...] = ()  # of the front end, 0 to layers; empty: the last
    options: Mapping[str, Any] = field(default_factory=dict)  # of the head

    def as_card(self) -> dict[str, Any]:
        """The blueprint as JSON."""
        front_end = asdict(self.front_end) if self.front_end else None
        return {
            "front_end": front_end,
            "states": list(self.states),
            "head": self.head,
            "options": dict(self.options),
        }


def read_blueprint(card: Mapping[str, Any], where: Path) -> Blueprint:
    """The blueprint of a card.

    Raises:
        ModelError: the card describes no network known here.
    """
    found = card.get("architecture")
    try:
        front_end = found["front_end"]  # type: ignore[index]
        blueprint = Blueprint(
            found["head"],  # type: ignore[index]
            Architecture(**front_end) if front_end else None,
            tuple(found["states"]),  # type: ignore[index]
            dict(found["options"]),  # type: ignore[index]
        )
    except (TypeError, KeyError, AttributeError) as error:
        raise ModelError(f"{where}: the card describes no network that can be built: {error}") from None
    if not isinstance(blueprint.head, str | None) or (blueprint.head and blueprint.head not in HEADS):
        raise ModelError(f"{where}: no head is called {blueprint.head!r}; one of {', '.join(HEADS)}")
    return blueprint


def frame_grid(blueprint: Blueprint) -> FrameGrid | None:
    """Where the frames lie that the network scores; None where it only says that a clip is fake."""
    name = blueprint.options.get("head", "lstm") if blueprint.head == "attm" else blueprint.head
    if name not in FRAME_LEVEL:
        return None
    return front_end_grid(blueprint.front_end) if blueprint.front_end else LOGMEL_GRID


class Network(nn.Module):
    """`forward` gives what a bundle's graph gives; `describe` all that a head gives."""

    def __init__(self, blueprint: Blueprint, empty: bool = False) -> None:
        """Build it; `empty` leaves the front end without memory until weights are assigned."""
        super().__init__()
        if blueprint.head is None:
            raise ValueError("a front end without a head gives no score")
        make_head = HEADS[blueprint.head]
        self.front_end, self.mixture = None, None
        if blueprint.front_end is None:
            self.head = make_head(**blueprint.options)
        else:
            self.front_end = FrontEnd(blueprint.front_end, blueprint.states or None, empty)
            states, width = len(self.front_end.states), blueprint.front_end.width
            if make_head.READS in EVERY_STATE:
                self.head = make_head(width, states, **blueprint.options)
            else:
                self.head = make_head(width, **blueprint.options)
                # A weighted sum of layers, Yang et al. (SUPERB), arXiv:2105.01051, section 3.
                self.mixture = nn.Parameter(torch.zeros(states)) if states > 1 else None

    def describe(self, waveform: Tensor, lengths: Tensor) -> HeadOutput:
        """(batch, samples) float32, (batch,) int64 -> logits, embedding, frame scores."""
        if self.front_end is None:
            return self.head(waveform, lengths)
        if self.head.READS == "states both ways up":
            waveform = without_top(waveform, lengths)
            return self.head(*both_ways_up(self.front_end, waveform, lengths), waveform, lengths)
        states, mask = self.front_end(waveform, lengths)
        if self.head.READS == "layers":
            return self.head(states, mask)
        if self.mixture is None:
            return self.head(states[:, 0], mask)
        return self.head(torch.einsum("blfw,l->bfw", states, torch.softmax(self.mixture, 0)), mask)

    def forward(self, waveform: Tensor, lengths: Tensor) -> tuple[Tensor, ...]:
        """Score (batch,), frame scores (batch, frames) where the head has them, embedding."""
        found = self.describe(waveform, lengths)
        score = (found.logits[:, 1] - found.logits[:, 0]).float()
        if found.frame_scores is None:
            return score, found.embedding.float()
        return score, found.frame_scores.float(), found.embedding.float()


def load_network(blueprint: Blueprint, weights: Path) -> Network:
    """The network of a bundle with its weights, ready to score.

    Raises:
        ModelError: the weights are not those of the blueprint.
    """
    from safetensors.torch import load_file

    if blueprint.front_end and not 0 < blueprint.front_end.layers <= MAX_LAYERS:
        raise ModelError(f"{weights}: the card describes {blueprint.front_end.layers} layers")
    try:
        network = Network(blueprint, empty=True)
        network.load_state_dict(load_file(weights), strict=True, assign=True)
    except Exception as error:  # whatever a card may ask for
        why = f"{type(error).__name__}: {error}".split("\n")[0][:200]
        raise ModelError(f"{weights}: not the weights that the card describes ({why})") from None
    return network.eval()


def fold_weight_norms(network: nn.Module) -> None:
    """Replace weight-normed convolutions by plain ones; for scoring and export, in place."""
    from torch.nn.utils import parametrize

    for module in network.modules():
        if parametrize.is_parametrized(module, "weight"):
            parametrize.remove_parametrizations(module, "weight", leave_parametrized=True)
