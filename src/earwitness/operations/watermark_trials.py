"""One recording through everything that a card of a watermark measures; what each process does.

Each answer is a record fit for a journal: what was read (`Reading`) under each condition, by name.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from earwitness.audio.augment.clips import contain
from earwitness.audio.augment.distortions import distort
from earwitness.audio.io import SAMPLE_RATE, load_part
from earwitness.audio.protocol import Utterance
from earwitness.errors import EarwitnessError, InputError, MissingExtra
from earwitness.evidence import watermark_attacks as attacks
from earwitness.evidence.watermark import Scheme, attribute, detect, embed, listen
from earwitness.metrics import perceptual
from earwitness.operations.corpus import attempt
from earwitness.operations.corpus_copies import draws
from earwitness.operations.hearing import unexpected
from earwitness.types import Failure

Source = Scheme | Callable[[], Scheme]  # the latter opens it, in each process
Variants = Iterator[tuple[str, Callable[[], np.ndarray]]]  # by condition; made when they are read
Reading = dict[str, Any]  # score, marked, name, bits (share that is right), perhaps snr_db; or failed (why)
NONE = "none"
SHORTEST_S = 1.0
QUALITY: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "snr_db": perceptual.snr_db,
    "si_snr_db": perceptual.si_snr_db,
    "correlation": perceptual.correlation,
    "lag": perceptual.lag,
    "pesq_wb": perceptual.pesq_wb,
    "stoi": perceptual.stoi,
    "lsd_db": perceptual.log_spectral_distance,
}


@dataclass(frozen=True)
class CardOptions:
    """What is measured, and on how much."""

    seconds: float = 5.0  # of each recording, from its begin
    limit: int = 120  # recordings that are marked
    unmarked: int = 400  # recordings that are read without a mark
    disturbed: int = 40  # of these, read after each distortion too
    quality: int = 100  # of the marked, compared with what they were
    strength: float = 1.0
    overwrite: tuple[int, ...] = (1, 3)  # times
    average: tuple[int, ...] = (10, 100)  # windows of 1 s
    draws: int = 1_000
    level: float = 0.95
    seed: int = 0


@dataclass(frozen=True)
class Job:
    """A recording and what is to be done with it."""

    item: Utterance
    kind: str  # marked or unmarked
    name: str = ""  # whom its mark names
    more: bool = False  # marked: compare with what it was; unmarked: read after each distortion too

    @property
    def key(self) -> str:
        """Where its answer stands in the journal."""
        return f"{self.kind}/{self.item.id}"


@dataclass(frozen=True)
class Averaging:
    """Marked and unmarked recordings that an attacker has of one name."""

    name: str
    mine: tuple[Utterance, ...]  # to be marked
    theirs: tuple[Utterance, ...]  # without marks: other recordings


@dataclass(frozen=True)
class Work:
    """A function of jobs that other processes can be handed."""

    scheme: Source
    others: tuple[Source, ...]
    distortions: tuple[str, ...]
    options: CardOptions
    folder: Path  # of the patterns

    def __call__(self, job: Job) -> dict[str, Any] | Failure:
        ((_, found),) = attempt(self.marked if job.kind == "marked" else self.unmarked, [job])
        return found

    def unmarked(self, job: Job) -> dict[str, Any]:
        """What is read in a recording without a mark."""
        scheme, clip = opened(self.scheme), hear(job.item, self.options.seconds)
        heard = {NONE: reading(scheme, clip)}
        if job.more:
            heard |= readings(scheme, self.distorted(clip, job))
        return {"path": job.key, "heard": heard}

    def marked(self, job: Job) -> dict[str, Any]:
        """What is read in a recording that was marked, and what became of it."""
        scheme, clip = opened(self.scheme), hear(job.item, self.options.seconds)
        begun = time.perf_counter()
        carrier = embed(scheme, clip, SAMPLE_RATE, message_of(scheme, job.name), self.options.strength)
        between = time.perf_counter()
        heard = {NONE: reading(scheme, carrier, job.name)}
        ended = time.perf_counter()
        heard |= readings(scheme, self.distorted(carrier, job), job.name)
        heard |= readings(scheme, self.attacked(scheme, carrier, job), job.name, carrier)
        length_s = len(clip) / SAMPLE_RATE
        return {
            "path": job.key,
            "name": job.name,
            "heard": heard,
            "forged": readings(scheme, self.forged(clip, job), job.name, clip),
            "quality": quality_of(carrier, clip) if job.more else {},
            "embedding": (between - begun) / length_s,
            "detection": (ended - between) / length_s,
        }

    def distorted(self, audio: np.ndarray, job: Job) -> Variants:
        """After each distortion; what is drawn is the same with a mark and without."""
        for kind in self.distortions:
            yield kind, partial(distort, audio, kind, draws(self.options.seed, job.item.id, kind))

    def attacked(self, scheme: Scheme, audio: np.ndarray, job: Job) -> Variants:
        """After each attack on a mark."""
        rng, options = draws(self.options.seed, job.item.id, "overwriting"), self.options
        for by in (self.scheme, *self.others):
            other = opened(by)
            names = other_names(other, job.name, max(options.overwrite, default=0), rng)
            marks = [(other, message_of(other, name)) for name in names]
            label = "itself" if other is scheme else other.name
            for times in options.overwrite:
                over = partial(attacks.overwritten, audio, marks[:times], options.strength)
                yield f"overwritten-by-{label}-{times}", over
        for kind, pattern in self.patterns(job.name).items():
            remove = attacks.remove_spectrum if "spectrum" in kind else attacks.remove_waveform
            yield f"averaged-{kind}", partial(remove, audio, pattern)
            if "spectrum" not in kind and "unaligned" not in kind:
                yield f"averaged-{kind}-twice", partial(remove, audio, pattern, 2.0)

    def forged(self, clip: np.ndarray, job: Job) -> Variants:
        """Made to look as if the vendor had marked it."""
        for kind, pattern in self.patterns(job.name).items():
            forge = attacks.forge_spectrum if "spectrum" in kind else attacks.forge_waveform
            yield f"forged-{kind}", partial(forge, clip, pattern)

    def patterns(self, name: str) -> dict[str, np.ndarray]:
        """What an attacker has averaged of a name, by kind."""
        return load_patterns(self.folder / pattern_file(opened(self.scheme), name))

    def average(self, asked: Averaging) -> list[str] | Failure:
        """Write the patterns of a name, whole or not at all; returns their kinds."""
        ((_, found),) = attempt(self.write_patterns, [asked])
        return found

    def write_patterns(self, asked: Averaging) -> list[str]:
        """The same, raising."""
        scheme, options = opened(self.scheme), self.options
        path = self.folder / pattern_file(scheme, asked.name)
        if not path.is_file():
            message, rng = message_of(scheme, asked.name), draws(options.seed, asked.name, "averaging")
            clean = [clip for _, clip in heard_of(asked.mine, options.seconds)]
            marked = [embed(scheme, clip, SAMPLE_RATE, message, options.strength) for clip in clean]
            other = [clip for _, clip in heard_of(asked.theirs, options.seconds)]
            part = path.with_name(f".{path.name}.part")
            with part.open("wb") as file:
                np.savez(file, **make_patterns(marked, clean, other, options.average, rng))
            part.replace(path)
        return list(load_patterns(path))


def make_patterns(
    marked: Sequence[np.ndarray],
    clean: Sequence[np.ndarray],
    other: Sequence[np.ndarray],
    counts: Sequence[int],
    rng: np.random.Generator,
) -> dict[str, Any]:
    """Patterns by kind; those other than grey, aligned waveforms of the largest count of windows alone.

    Counts that there are not enough windows for are left out.
    """
    begins = rng.integers(0, attacks.WINDOW, len(clean)).tolist()
    mine, same, others = (attacks.windows_of(clips) for clips in (marked, clean, other))
    anywhere = attacks.windows_of(marked, begins), attacks.windows_of(clean, begins)
    found: dict[str, Any] = {}
    for count in sorted(set(counts)):
        if len(mine) >= count:
            found[f"grey-{count}"] = attacks.waveform_pattern(mine[:count], same[:count])
    enough = [count for count in counts if len(mine) >= count]
    if enough:
        most = max(enough)
        found[f"grey-spectrum-{most}"] = attacks.spectral_pattern(mine[:most], same[:most])
        if len(others) >= most:
            found[f"black-{most}"] = attacks.waveform_pattern(mine[:most], others[:most])
            found[f"black-spectrum-{most}"] = attacks.spectral_pattern(mine[:most], others[:most])
        if len(anywhere[0]) >= most:
            found[f"grey-unaligned-{most}"] = attacks.waveform_pattern(*(some[:most] for some in anywhere))
    return found


@lru_cache(maxsize=16)
def opened(source: Source) -> Scheme:
    """The scheme, opened once in each process."""
    return source if isinstance(source, Scheme) else source()


@lru_cache(maxsize=256)
def load_patterns(path: Path) -> dict[str, np.ndarray]:
    """Patterns by kind; none where they could not be made."""
    if not path.is_file():
        return {}
    with np.load(path, allow_pickle=False) as file:
        return {kind: file[kind] for kind in file.files}


def pattern_file(scheme: Scheme, name: str) -> str:
    """The file of a name's patterns."""
    return f"pattern-{scheme.names.index(name) if name in scheme.names else 0}.npz"


def message_of(scheme: Scheme, name: str) -> np.ndarray:
    """What a name is written as; the first message where a scheme names nobody."""
    return scheme.messages[scheme.names.index(name) if name in scheme.names else 0]


def other_names(scheme: Scheme, name: str, count: int, rng: np.random.Generator) -> list[str]:
    """Names to overwrite one with, drawn; all differ from it, where there are others."""
    names = [one for one in scheme.names if one != name] or ["" if not scheme.names else name]
    return [names[int(rng.integers(len(names)))] for _ in range(count)]


def hear(item: Utterance, seconds: float) -> np.ndarray:
    """The first seconds of a recording, (samples,) within [-1, 1].

    Raises:
        InputError: as `earwitness.audio.io.load`; `too-short`: under a second; `no-samples`: silence.
    """
    audio = load_part(item.path, 0, round(seconds * SAMPLE_RATE))
    if len(audio) < SHORTEST_S * SAMPLE_RATE:
        raise InputError("too-short", f"{item.path.name}: marks are measured on 1 s or more; leave it out")
    if not audio.any():
        raise InputError("no-samples", f"{item.path.name}: its begin is silent; leave it out")
    return contain(audio)


def heard_of(items: Sequence[Utterance], seconds: float) -> Iterator[tuple[Utterance, np.ndarray]]:
    """Recordings that can be heard."""
    for item, clip in attempt(lambda item: hear(item, seconds), items):
        if not isinstance(clip, Failure):
            yield item, clip


def reading(scheme: Scheme, audio: np.ndarray, name: str = "") -> Reading:
    """What a scheme says of a clip (samples,); `bits` where its mark names somebody in bits."""
    heard = listen(scheme, audio, SAMPLE_RATE)
    named = attribute(scheme, heard)
    bits = None
    if scheme.bits is not None and name in scheme.names:
        bits = float(np.mean((heard.says > 0) == (scheme.bits[scheme.names.index(name)] > 0)))
    return {
        "score": round(heard.score, 6) if math.isfinite(heard.score) else None,
        "marked": bool(detect(scheme, heard).marked),
        "name": named.name if named else None,
        "bits": bits,
    }


def readings(
    scheme: Scheme, variants: Variants, name: str = "", before: np.ndarray | None = None
) -> dict[str, Reading]:
    """What a scheme says of each variant of a clip; where one fails, why, and the others go on.

    With the clip `before`, also what the variant left of it, as `snr_db`.
    """
    found: dict[str, Reading] = {}
    for kind, make in variants:
        try:
            variant = make()
            found[kind] = reading(scheme, variant, name)
            if before is not None:
                kept = perceptual.snr_db(variant, before)
                found[kind]["snr_db"] = round(kept, 3) if math.isfinite(kept) else None
        except EarwitnessError as error:
            found[kind] = {"failed": str(error)}
        except Exception as error:  # of a codec or a foreign scheme
            found[kind] = {"failed": unexpected(error).message}
    return found


def quality_of(marked: np.ndarray, clean: np.ndarray) -> dict[str, float | str | None]:
    """Each measure of a clip; None where it is not defined, "same" where nothing was changed.

    Where a package is missing, a sentence.
    """
    found: dict[str, float | str | None] = {}
    for name, measure in QUALITY.items():
        try:
            value = float(measure(marked, clean))
            found[name] = value if math.isfinite(value) else "same" if value == math.inf else None
        except MissingExtra as error:
            found[name] = f"{error}"
        except InputError:
            found[name] = None
    return found
