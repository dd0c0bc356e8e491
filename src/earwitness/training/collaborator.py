"""FakeMark's collaborator: a network that says which generator made speech, by artefact or by watermark.

Source: Ge et al., "FakeMark", arXiv:2510.12042: the classifier that attributes is also what the watermark is
trained with, so that the two help each other. There it is MMS-300M with a linear head. Here it is the lower
layers of any front end of this project, and beside them an ear of a few filters for the mark itself: front
ends on mel spectra do not hear the phase of what lies 20 dB under speech. Besides the generators it has one
output for "there is a watermark", as unmarked speech, genuine or generated, must not be taken for marked (a
departure; the paper's description knows no unmarked speech).
"""

from dataclasses import replace
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from earwitness.decision.bundle import WEIGHTS, read_card
from earwitness.decision.network import read_blueprint
from earwitness.errors import ModelError
from earwitness.features.encoders import FrontEnd
from earwitness.features.frontends import Architecture
from earwitness.training.magnitudes import MagnitudeEar
from earwitness.training.seanet import Encoder, whole_hops

Ear = Literal["waveform", "magnitude"]
HEARD = 64  # numbers a frame that an ear adds,
LOUD = 3.0  # and their deviation beside that of the front end's


class Collaborator(nn.Module):
    """(batch, samples) -> log-odds of a mark (batch, frames), logits of generators (batch, frames, names)."""

    def __init__(self, architecture: Architecture, ear: Ear, size: int, names: int) -> None:
        super().__init__()
        self.front_end = FrontEnd(architecture)
        self.ear = Encoder(size, HEARD) if ear == "waveform" else MagnitudeEar(size, HEARD)
        self.marked = nn.Linear(architecture.width + HEARD, 1)
        self.names = nn.Linear(architecture.width + HEARD, names)
        self.still = False  # while training: no gradient passes through the front end

    def hear(self, waveform: Tensor) -> Tensor:
        """Frames of the front end (batch, frames, width), each of zero mean and unit variance."""
        lengths = waveform.new_full((len(waveform),), waveform.shape[1], dtype=torch.long)
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.still):
            states, _ = self.front_end(waveform, lengths)
        return F.layer_norm(states[:, 0].float(), (self.front_end.architecture.width,))

    def forward(self, waveform: Tensor) -> tuple[Tensor, Tensor]:
        waveform = whole_hops(waveform)
        added = self.ear(waveform).transpose(1, 2).float()
        frames = torch.cat([self.hear(waveform), LOUD * F.layer_norm(added, (HEARD,))], dim=2)
        return self.marked(frames)[..., 0], self.names(frames)

    def embed(self, waveform: Tensor) -> Tensor:
        """Means of the front end's frames, (batch, width): what artefacts sound like."""
        return self.hear(waveform).mean(1)


def make_collaborator(bundle: Path, layers: int, ear: Ear, size: int, names: int) -> Collaborator:
    """A collaborator on the lowest layers of a bundle's front end; ear (of this size) and heads are new.

    Raises:
        ModelError: the bundle has no weights, or they are not those of its card.
    """
    from safetensors.torch import load_file

    architecture = read_blueprint(read_card(bundle), bundle).front_end
    if architecture is None or not 1 <= layers <= architecture.layers:
        raise ModelError(f"{bundle}: expected a front end of {layers} layers at least")
    made = Collaborator(replace(architecture, layers=layers, normalise=True), ear, size, names)
    tensors = {name.removeprefix("front_end."): t for name, t in load_file(bundle / WEIGHTS).items()}
    missing, _ = made.front_end.load_state_dict(tensors, strict=False)  # what lies above is left out
    if missing:
        raise ModelError(f"{bundle}: its weights lack {missing[0]}")
    return made
