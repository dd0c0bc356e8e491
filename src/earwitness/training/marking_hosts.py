"""What watermarks are trained on: options, recordings by generators that get a name, and by anybody else."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from earwitness.audio.io import SAMPLE_RATE
from earwitness.audio.protocol import Utterance
from earwitness.errors import InputError
from earwitness.training.clips import cut
from earwitness.training.marking import SchemeName

QUIET = 1e-3  # rms under which a stretch is drawn again


@dataclass(frozen=True)
class Marking:
    """How a watermark is trained. Sizes are for a processor; the papers' are in brackets."""

    scheme: SchemeName = "fakemark-a"
    names: int = 16  # generators, those with most recordings,
    generators: str = ""  # or these, with commas between
    steps: int = 1_500
    stages: tuple[float, ...] = (0.05, 0.4, 0.4, 0.15)  # shares of the steps
    batch: int = 8
    crop_s: float = 1.28
    filters: int = 8  # of the SEANet (32)
    width: int = 64  # of its hidden sequence (128)
    channels: int = 8  # of the magnitude networks (64)
    layers: int = 2  # of the collaborator's front end
    rate: float = 1e-3  # of the generator and of readers made new
    collaborator_rate: float = 1e-4
    judged: int = 4  # clips that the discriminator hears, every other step
    judge_filters: int = 8  # (32)
    present: tuple[float, float] = (0.02, 0.5)  # weight of "there is a mark", at first and then
    enough_db: float = 25.0  # under their hosts, marks are quiet enough
    quiet: float = 0.1  # norm of the gradient of all that keeps a mark inaudible, over that of reading
    intrinsic: float = 0.5  # weight of naming unmarked speech
    overwritten: float = 0.5  # weight of the first name under a second mark
    loudest: float = 5.0  # times too loud is a mark in the first step,
    quiet_from: float = 0.8  # and as loud as it will be from this share of the stage "begin" on
    pattern: float = 0.1  # weight of what residuals have in common
    seed: int = 7
    save_every: int = 50


@dataclass(frozen=True)
class Hosts:
    """What is marked."""

    named: list[list[Utterance]]  # recordings of each generator that has a name
    others: list[Utterance]
    names: list[str]


def hosts_of(items: Sequence[Utterance], how: Marking) -> Hosts:
    """The generators that get a name, and everybody else, genuine speech included.

    Raises:
        InputError: `too-few-names`: fewer generators than names, or none of a name.
    """
    numbers = Counter(name_of(item) for item in items if not item.bona_fide and name_of(item) != "-")
    names = how.generators.split(",") if how.generators else sorted(numbers, key=lambda name: -numbers[name])
    names = sorted(names[: how.names])
    absent = [name for name in names if not numbers[name]]
    if absent or len(names) < 2:
        what = f"no recording is by {absent[0]!r}" if absent else f"{len(names)} generators to be named"
        raise InputError("too-few-names", f"{what}; name two or more that are in the protocols")
    mine = [[item for item in items if not item.bona_fide and name_of(item) == name] for name in names]
    return Hosts(mine, [item for item in items if item.bona_fide or name_of(item) not in names], names)


def name_of(item: Utterance) -> str:
    """Who made a recording: its architecture, or the system where a corpus does not tell."""
    return item.architecture if item.architecture != "-" else item.generator


def draw(hosts: Hosts, how: Marking, step: int) -> tuple[Tensor, Tensor, Tensor]:
    """Hosts (batch, samples), names to mark them with (batch,), and own names (batch,), -1 where none."""
    rng = np.random.default_rng([how.seed, step])
    clips, names, own = [], [], []
    for place in range(how.batch):
        code = int(rng.integers(len(hosts.names)))
        mine = place % 2 == 0
        pool = hosts.named[code] if mine else hosts.others
        clips.append(stretch(pool, how, rng))
        names.append(code)
        own.append(code if mine else -1)
    return torch.from_numpy(np.stack(clips)), torch.tensor(names), torch.tensor(own)


def stretch(pool: Sequence[Utterance], how: Marking, rng: np.random.Generator) -> np.ndarray:
    """A stretch of a recording drawn, (samples,), not silent where that can be had, at a level drawn."""
    samples = round(how.crop_s * SAMPLE_RATE)
    audio = np.zeros(samples, np.float32)
    for _ in range(5):
        audio = cut(pool[int(rng.integers(len(pool)))], samples, True, rng)
        if np.sqrt(np.mean(audio**2)) > QUIET:
            break
    peak = float(np.abs(audio).max()) + 1e-6
    return (audio * min(1.0, 10 ** (rng.uniform(-20, 0) / 20) / peak)).astype(np.float32)
