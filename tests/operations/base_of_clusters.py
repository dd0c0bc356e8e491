"""Entries of two clusters, one a class, whose contents follow from a number."""

import hashlib

import numpy as np

from earwitness.evidence.knowledge import Entry, Item
from earwitness.types import ModelId

MODEL = ModelId("tiny", "1", "ab" * 32)
SIZE = 16


def unit(rows):
    return (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)


def name_of(number):
    return hashlib.sha256(f"{number}".encode()).hexdigest()[:16]


def make(number, bona_fide, spread=0.5, segments=2, lies=False, **known):
    """An entry of one of two clusters; with `lies` it sounds like the other class."""
    rng = np.random.default_rng(number)
    centre = np.eye(SIZE)[0 if bona_fide != lies else 1]
    known = {"score": rng.normal(0.5 if bona_fide else -0.5), "duration_s": 36.0} | known
    known |= {"path": f"/voices/{number}.wav", "generator": "-" if bona_fide else f"g{number % 3}"}
    rows = unit(centre + spread * rng.normal(size=(segments, SIZE)) / np.sqrt(SIZE))
    entry = Entry(id=name_of(number), bona_fide=bona_fide, **known)
    return Item(entry, rows, np.arange(segments) * 4.0, unit(rng.normal(size=6)))


def clusters(count=60, **known):
    return [make(i, bool(i % 2), **known) for i in range(count)]
