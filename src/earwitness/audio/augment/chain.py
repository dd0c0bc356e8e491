"""Steps strung together, each with its probability, and what they did to the clips.

    chain = parse_chain("rawboost:5,rooms:0.2,noise:0.3,codecs:0.5,level:0.5")
    audio, names = chain.apply(audio, rng)

Steps run in the order written. `disturb` is the fixed recipe of the model inside the package.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from earwitness.audio.augment import channel, codecs, noise, rawboost, rooms
from earwitness.audio.augment.clips import changed, contain, difference_db, ready
from earwitness.errors import InputError

Change = Callable[[np.ndarray, np.random.Generator], np.ndarray]

STEPS: dict[str, Change] = {
    "band": channel.limit_band,
    "clipping": channel.clip,
    "codecs": codecs.encode_any,
    "level": channel.change_level,
    "noise": noise.add_noise,
    "packets": channel.lose_packets,
    "rooms": rooms.add_room,
    "speed": lambda audio, rng: channel.change_speed(audio, rng)[0],
}
FROM_RECORDINGS = {"babble": noise.add_babble, "recorded": noise.add_recording}
NAMES = sorted([*STEPS, *FROM_RECORDINGS, "rawboost"])

EMBEDDED_CODECS = ("aac", "g722", "mp3", "mulaw", "opus")  # those that `disturb` draws from


@dataclass(frozen=True)
class Step:
    """One step of a chain; RawBoost alone has an `algorithm`, 0 to 8."""

    name: str
    probability: float
    algorithm: int = 5

    def run(self, audio: np.ndarray, rng: np.random.Generator, recordings: Sequence[Path]) -> np.ndarray:
        if self.name == "rawboost":
            return rawboost.rawboost(audio, rng, self.algorithm)
        if self.name in FROM_RECORDINGS:
            return FROM_RECORDINGS[self.name](audio, rng, recordings)
        return STEPS[self.name](audio, rng)


@dataclass(frozen=True)
class Chain:
    """Steps in the order in which they run; `recordings` of noise for those that need some."""

    steps: tuple[Step, ...] = ()
    recordings: tuple[Path, ...] = ()

    def apply(self, audio: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, list[str]]:
        """The clip (samples,) after the steps drawn, and their names.

        The length stays, unless `speed` is among them: then times shrink by len(audio) / len(out).
        What comes out of a step above [-1, 1] is divided by its peak.

        Raises:
            InputError: the clip is empty or not finite, or a step cannot run on it.
            MissingExtra: a step needs a package that is absent.
        """
        names = []
        for name, _, after in self.trace(audio, rng):
            audio = after
            names.append(name)
        return ready(audio), names

    def trace(
        self, audio: np.ndarray, rng: np.random.Generator
    ) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
        """As `apply`, a step at a time: its name, the clip before it and after it."""
        audio = ready(audio)
        for step in self.steps:
            if rng.random() < step.probability:
                before, audio = audio, contain(step.run(audio, rng, self.recordings))
                yield step.name, before, audio


def parse_chain(text: str, recordings: Sequence[Path] = ()) -> Chain:
    """A chain from `NAME:PROBABILITY` with commas between; an empty text is an empty chain.

    RawBoost is `rawboost:ALGORITHM` or `rawboost:ALGORITHM:PROBABILITY`. `recorded` and `babble`
    need `recordings`. Encoders are looked for here, so that a run fails before it starts.

    Raises:
        InputError: `usage`: an unknown step or one that stands twice, a number out of bounds, no
            recordings; `unsupported`: an encoder is missing.
        MissingExtra: a package that a step needs is absent.
    """
    steps = tuple(parse_step(part.strip()) for part in text.split(",")) if text.strip() else ()
    names = [step.name for step in steps]
    for name in names:
        if names.count(name) > 1:
            raise InputError("usage", f"the augmentation {name} stands twice in {text!r}; name it once")
        if name in FROM_RECORDINGS and not recordings:
            raise InputError("usage", f"the augmentation {name} needs recordings of noise, found none")
    if "codecs" in names:
        for codec in codecs.CODECS:
            codecs.find_codec(codec)
    return Chain(steps, tuple(recordings))


def parse_step(text: str) -> Step:
    """One `NAME:PROBABILITY`, or `rawboost:ALGORITHM[:PROBABILITY]`."""
    name, *numbers = text.split(":")
    if name not in NAMES:
        raise InputError("usage", f"no augmentation is called {name!r}; known are {', '.join(NAMES)}")
    algorithm = 5
    if name == "rawboost":
        if not numbers or numbers[0] not in map(str, range(9)):
            raise InputError("usage", f"rawboost takes an algorithm 0 to 8, as in rawboost:5; found {text!r}")
        algorithm = int(numbers.pop(0))
        numbers = numbers or ["1"]
    try:
        (probability,) = map(float, numbers)
    except ValueError:
        probability = -1.0
    if not 0 <= probability <= 1:
        raise InputError("usage", f"{name} takes one probability 0 to 1, as in {name}:0.5; found {text!r}")
    return Step(name, probability, algorithm)


def report(chain: Chain, clips: Iterable[np.ndarray], rng: np.random.Generator) -> dict:
    """What a chain does to clips (samples,): fit for JSON, and to be read before a long run.

    `clips` (how many), and for each of the `steps`: how many it `ran` on, how many it `changed`, and
    `median_db`, energy of the change over that of the clip (None where nothing can be compared:
    speed, silence).
    """
    total = 0
    seen: dict[str, list[tuple[bool, float | None]]] = {step.name: [] for step in chain.steps}
    for clip in clips:
        total += 1
        for name, before, after in chain.trace(clip, rng):
            seen[name].append((changed(before, after), difference_db(before, after)))
    steps = {}
    for name, results in seen.items():
        decibels = [value for _, value in results if value is not None]
        steps[name] = {
            "ran": len(results),
            "changed": sum(did for did, _ in results),
            "median_db": round(float(np.median(decibels)), 2) if decibels else None,
        }
    return {"clips": total, "steps": steps}


def disturb(audio: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The recipe of the embedded model."""
    if rng.random() < 0.35:
        audio = rooms.add_room(audio, rng)
    if rng.random() < 0.45:
        audio = noise.add_noise(audio, rng)
    if rng.random() < 0.50:
        if rng.random() < 0.7:
            audio = channel.lower_rate(audio, int(rng.choice(channel.RATES_HZ)))
        if rng.random() < 0.5:
            audio = channel.high_pass(audio, rng.uniform(60, 300))
    if rng.random() < 0.45:
        audio = codecs.encode(audio, str(rng.choice(EMBEDDED_CODECS)), rng)
    return channel.change_level(audio, rng)
