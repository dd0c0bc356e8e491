"""The known recordings that a voice is nearest to, and what they say of it, with no training.

Retrieval-augmented detection (arXiv:2509.21728): the detector's embedding is searched among labelled
ones, by its own similarity (`cm`), by that of the voices (`profile`), or both: `hybrid1` takes the
nearest voices and of them the nearest embeddings, `hybrid2` a weighted sum of the two. Scores are higher
for bona fide:

  majority   1 if most of the k nearest are bona fide, 0 if most are spoof, one half between
  ratio      log of the number of bona fide over that of spoof, each plus one, less that of the whole base
  weighted   mean excess of similarity over the floor, negative for spoof
  class-knn  mean excess of the k nearest bona fide, less that of the k nearest spoof
  average    mean countermeasure score of the k nearest

Segments are searched, recordings are decided: the score of a recording is the mean over its segments.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from earwitness.evidence.knowledge import Hit, Knowledge

Mode = Literal["cm", "profile", "hybrid1", "hybrid2"]
ScoreName = Literal["majority", "ratio", "weighted", "class-knn", "average"]
MODES: tuple[Mode, ...] = get_args(Mode)
SCORES: tuple[ScoreName, ...] = get_args(ScoreName)
WIDER = 20  # voices looked at for each neighbour that hybrid retrieval wants
SEGMENTS = 4  # searched for each entry that is wanted, since an entry may have several


@dataclass(frozen=True)
class Retrieval:
    """How to search."""

    mode: Mode = "cm"
    score: ScoreName = "class-knn"
    k: int = 3
    floor: float = 0.0  # similarity below which `weighted` and `class-knn` hear nothing
    voice: float = 0.3  # share of the voice's similarity in `hybrid2`


@dataclass(frozen=True)
class Neighbours:
    """Entries near a segment, nearest first; at least the k nearest of either class."""

    hits: tuple[Hit, ...]  # with the similarity that the mode asks for
    bona_fide: np.ndarray  # (n,) bool
    scores: np.ndarray  # (n,) raw scores of the detector

    @property
    def similarity(self) -> np.ndarray:
        """Similarities, (n,)."""
        return np.array([hit.similarity for hit in self.hits])


def find(
    base: Knowledge,
    embeddings: np.ndarray,
    profile: np.ndarray | None,
    how: Retrieval,
    without: Collection[str] = (),
) -> list[Neighbours]:
    """The neighbours of each segment, (segments, size) of unit length, of one recording.

    Without a `profile` (profile size,) every mode is `cm`. `without` names entries that do not count: the
    recording itself.
    """
    if profile is None or how.mode == "cm":
        near = [by_embedding(base, row, how.k, without) for row in embeddings]
    elif how.mode == "profile":
        hits = by_profile(base, profile, how.k, without)
        near = [hits] * len(embeddings)
    else:
        near = [compared(base, row, profile, how, without) for row in embeddings]
    known = {entry.id: entry for entry in base.entries(sorted({hit.id for hits in near for hit in hits}))}
    return [
        Neighbours(
            tuple(hits),
            np.array([known[hit.id].bona_fide for hit in hits], bool),
            np.array([known[hit.id].score for hit in hits]),
        )
        for hits in near
    ]


def by_embedding(base: Knowledge, embedding: np.ndarray, k: int, without: Collection[str]) -> list[Hit]:
    """The k entries of either class with the most similar segment, nearest first."""
    found: list[Hit] = []
    for label in (True, False):
        (hits,) = base.search(embedding[None], SEGMENTS * k, bona_fide=label, without=without)
        found += once(hits)[:k]
    return sorted(found, key=lambda hit: -hit.similarity)


def by_profile(base: Knowledge, profile: np.ndarray, k: int, without: Collection[str]) -> list[Hit]:
    """The k entries of either class with the most similar voice, nearest first."""
    found: list[Hit] = []
    for label in (True, False):
        found += base.search(profile[None], k, by="profile", bona_fide=label, without=without)[0]
    return sorted(found, key=lambda hit: -hit.similarity)


def compared(
    base: Knowledge, embedding: np.ndarray, profile: np.ndarray, how: Retrieval, without: Collection[str]
) -> list[Hit]:
    """The k entries of either class that a hybrid mode finds nearest."""
    wide = by_profile(base, profile, WIDER * how.k, without)
    if how.mode == "hybrid2":
        wide += by_embedding(base, embedding, WIDER * how.k, without)
    found: dict[bool, list[Hit]] = {True: [], False: []}
    for item in base.items(sorted({hit.id for hit in wide})):
        similar = item.embeddings @ embedding
        best = int(similar.argmax())
        value = float(similar[best])
        if how.mode == "hybrid2":
            voices = float(item.profile @ profile) if item.profile is not None else 0.0
            value = (1 - how.voice) * value + how.voice * voices
        found[item.entry.bona_fide].append(Hit(item.entry.id, float(item.starts_s[best]), value))
    either = [hit for hits in found.values() for hit in nearest(hits)[: how.k]]
    return nearest(either)


def nearest(hits: Sequence[Hit]) -> list[Hit]:
    """The most similar first."""
    return sorted(hits, key=lambda hit: -hit.similarity)


def once(hits: Sequence[Hit]) -> list[Hit]:
    """The best segment of every entry, in the order given, which is by similarity."""
    best: dict[str, Hit] = {}
    for hit in hits:
        best.setdefault(hit.id, hit)
    return list(best.values())


def score(
    similarity: np.ndarray,
    bona_fide: np.ndarray,
    scores: np.ndarray,
    how: Retrieval,
    counts: tuple[int, int],
) -> np.ndarray:
    """Retrieval scores (queries,) of neighbours, (queries, n) each, in any order.

    Args:
        similarity: of the neighbours; -inf where there is none.
        bona_fide: their labels.
        scores: their raw scores by the detector.
        how: which score, of how many.
        counts: of bona fide and of spoof entries in the base, for `ratio`.

    A class of which there is no neighbour says nothing.
    """
    if how.score == "class-knn":
        excess = np.maximum(similarity - how.floor, 0)
        genuine = top_mean(np.where(bona_fide, excess, 0), how.k)
        return genuine - top_mean(np.where(bona_fide, 0, excess), how.k)
    order = np.argsort(-similarity, axis=1, kind="stable")[:, : how.k]
    near, label, said = (np.take_along_axis(part, order, 1) for part in (similarity, bona_fide, scores))
    there = np.isfinite(near)
    number = np.maximum(there.sum(1), 1)
    genuine, spoof = (there & label).sum(1), (there & ~label).sum(1)
    if how.score == "majority":
        return (np.sign(genuine - spoof) + 1) / 2
    if how.score == "ratio":
        return np.log((genuine + 1) / (spoof + 1)) - np.log((counts[0] + 1) / (counts[1] + 1))
    if how.score == "weighted":
        excess = np.where(there, np.maximum(near - how.floor, 0), 0)
        return (excess * np.where(label, 1, -1)).sum(1) / number
    return np.where(there, said, 0).sum(1) / number


def top_mean(similarity: np.ndarray, k: int) -> np.ndarray:
    """Mean of the k highest of each row, (rows,), as if there were zeros where there are fewer."""
    best = -np.sort(-similarity, axis=1)[:, :k]
    return best.sum(1) / k


def recording_retrieval(near: Sequence[Neighbours], how: Retrieval, counts: tuple[int, int]) -> float:
    """The retrieval score of a recording from the neighbours of its segments."""
    return float(
        np.mean(
            [
                score(one.similarity[None], one.bona_fide[None], one.scores[None], how, counts)[0]
                for one in near
            ]
        )
    )
