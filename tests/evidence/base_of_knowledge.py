"""Entries whose contents follow from a number, so that another process can tell whether they are whole.

Run as a script, it adds entries one by one and prints each id once it is acknowledged.
"""

import hashlib
import sys
from itertools import count
from pathlib import Path

import numpy as np

from earwitness.evidence.knowledge import Entry, Item, Knowledge
from earwitness.types import ModelId

MODEL = ModelId("tiny", "1", "ab" * 32)
SIZE = 24


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)


def make(number: int, segments: int = 3, profile: int | None = 5, **known) -> Item:
    rng = np.random.default_rng(number)
    known = {"path": f"/voices/of/{number}.wav", "speaker": f"speaker-{number}.", **known}
    entry = Entry(
        id=hashlib.sha256(str(number).encode()).hexdigest()[:16],
        bona_fide=bool(known.pop("bona_fide", number % 2)),
        duration_s=1.5 * segments,
        score=float(rng.normal()),
        **known,
    )
    return Item(
        entry,
        unit(rng.normal(size=(segments, SIZE))),
        np.arange(segments) * 1.5,
        None if profile is None else unit(rng.normal(size=profile)),
    )


def same(found: Item, made: Item) -> bool:
    profiles = (found.profile is None) == (made.profile is None) and (
        made.profile is None or np.array_equal(found.profile, made.profile)
    )
    return (
        found.entry.path == made.entry.path
        and found.entry.score == made.entry.score
        and np.array_equal(found.embeddings, made.embeddings)
        and np.array_equal(found.starts_s, made.starts_s)
        and profiles
    )


if __name__ == "__main__":
    base = Knowledge.open(Path(sys.argv[1]), MODEL)
    for number in count(int(sys.argv[2])):
        base.add([make(number, segments=40)])
        print(number, flush=True)
