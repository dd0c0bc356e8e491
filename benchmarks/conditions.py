"""The sample pages as everyday channels leave them: what `quality.py` judges robustness on.

    python benchmarks/conditions.py --corpus CORPUS --front-end whisper-tiny --out CONDITIONS

Writes `CONDITION.npy`, the statistics that the embedded model's head reads of at most twelve clips of each
class and page of `demos`, and `prompts.npy` of the telephone prompts of `packages` at 8 kHz. What is there
stays.
"""

import argparse
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from earwitness.audio.augment.channel import lower_rate
from earwitness.audio.augment.codecs import transmit
from earwitness.audio.augment.noise import add_noise
from earwitness.audio.augment.rooms import Room, add_room
from earwitness.audio.corpora import demos, packages
from earwitness.audio.io import load
from earwitness.audio.protocol import Utterance
from earwitness.operations.processes import in_processes
from earwitness.training.cached import spoken, statistics_of
from earwitness.training.embedded import PROMPTS

SMALL_ROOM = Room((4.0, 3.2, 2.5), (1.2, 1.5, 1.4), (2.2, 1.7, 1.1), 0.3)


def stored(audio: np.ndarray) -> np.ndarray:
    """As a file of 16 bits keeps it."""
    return np.clip(np.round(audio * 32_768), -32_768, 32_767).astype(np.float32) / 32_768


CONDITIONS: dict[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]] = {
    "clean": lambda a, _: a,
    "MP3 64 kbit/s": lambda a, _: transmit(a, "mp3", 44_100, 64_000),
    "Opus 16 kbit/s": lambda a, _: transmit(a, "opus", 16_000, 16_000),
    "AAC 48 kbit/s": lambda a, _: transmit(a, "aac", 22_050, 48_000),
    "8 kHz": lambda a, _: lower_rate(a, 8_000),
    "noise 20 dB under": lambda a, rng: add_noise(a, rng, (20.0, 20.0)),
    "small room": lambda a, rng: add_room(a, rng, SMALL_ROOM),
    "20 dB quieter": lambda a, _: stored(0.1 * a),
    "20 dB louder, clipped": lambda a, _: stored(10 * a),
}
PROMPTS_AT = "8 kHz"
MOST = 12  # clips of a class and a page


@dataclass(frozen=True)
class Job:
    """Clips under one condition."""

    rows: list[Utterance]
    condition: str
    front_end: Path
    target: Path


def make(job: Job) -> None:
    """Write the statistics of a job, (rows, features) float16."""
    run, change = statistics_of(job.front_end), CONDITIONS[job.condition]
    found = [
        run(spoken(change(load(row.path), np.random.default_rng([7, i])))) for i, row in enumerate(job.rows)
    ]
    part = job.target.with_suffix(".part.npy")
    np.save(part, np.stack(found).astype(np.float16))
    part.replace(job.target)


def file_name(condition: str) -> str:
    """Of its statistics."""
    return condition.replace(" ", "-").replace("/", "-").replace(",", "") + ".npy"


def some_of(corpus: Path) -> list[Utterance]:
    """At most `MOST` clips of each class and page of `demos`, drawn once and for all."""
    rows = list(demos.read(corpus / "demos"))
    left = {key: MOST for key in Counter((row.group, row.bona_fide) for row in rows)}
    chosen = []
    for i in np.random.default_rng(0).permutation(len(rows)):
        key = (rows[i].group, rows[i].bona_fide)
        if left[key]:
            left[key] -= 1
            chosen.append(i)
    return [rows[i] for i in sorted(chosen)]


def prompts_of(corpus: Path) -> list[Utterance]:
    """The telephone prompts among `packages`."""
    return [row for row in packages.read(corpus / "packages") if row.group.startswith(PROMPTS)]


def main() -> None:
    parser = argparse.ArgumentParser(description="Statistics of the sample pages under everyday conditions.")
    for name in ("corpus", "front-end", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--jobs", type=int, default=0)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    rows = some_of(given.corpus)
    jobs = [Job(rows, name, given.front_end, given.out / file_name(name)) for name in CONDITIONS]
    jobs.append(Job(prompts_of(given.corpus), PROMPTS_AT, given.front_end, given.out / "prompts.npy"))
    todo = [job for job in jobs if not job.target.exists()]
    for job, failure in in_processes(make, todo, given.jobs, "conditions"):
        if failure is not None:
            raise SystemExit(f"{job.condition}: {failure}")


if __name__ == "__main__":
    main()
