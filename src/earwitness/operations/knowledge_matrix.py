"""All entries of a knowledge base in one matrix, and how alike each window is to every entry.

Memory is bounded: a seeded sample of a very large base, of long recordings windows spread evenly, and
similarities in blocks. As in a query, windows are compared, and a window is as like an entry as the
most similar window of it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from earwitness.evidence.knowledge import Entry, Knowledge
from earwitness.evidence.neighbours import WIDER, Retrieval

MOST_ENTRIES = 20_000
MOST_ROWS = 60_000  # windows of all entries
MOST_WINDOWS = 64  # of one entry
MATRIX_BYTES = 512 << 20
BLOCK_BYTES = 64 << 20


@dataclass(frozen=True, eq=False)
class Matrix:
    """Entries and their windows, in the order of the base."""

    entries: list[Entry]
    rows: np.ndarray  # (windows, size) float32, unit length
    edges: np.ndarray  # (entries + 1,) first row of each, and the number of rows
    profiles: np.ndarray  # (entries, profile size) float32; zero where there is none
    known: int  # entries of the base that could have been here
    thinned: int  # entries here without some of their windows

    @property
    def bona_fide(self) -> np.ndarray:
        """Labels, (entries,)."""
        return np.array([entry.bona_fide for entry in self.entries], bool)

    @property
    def votes(self) -> np.ndarray:
        """Which are not quarantined, (entries,)."""
        return np.array([not entry.quarantined for entry in self.entries], bool)

    @property
    def owners(self) -> np.ndarray:
        """The entry of each row, (windows,)."""
        return np.repeat(np.arange(len(self.entries)), np.diff(self.edges))

    def mean_of_rows(self, values: np.ndarray) -> np.ndarray:
        """Means over the windows of each entry, of (windows,) or (windows, columns)."""
        sums = np.add.reduceat(values, self.edges[:-1], axis=0)
        return (sums.T / np.diff(self.edges)).T

    def remarks(self) -> list[str]:
        """What was left out of this matrix, in sentences."""
        said = []
        if self.known > len(self.entries):
            said.append(f"a random {len(self.entries):,} of {self.known:,} entries were compared")
        if self.thinned:
            said.append(f"of {self.thinned:,} long recordings not every window was compared")
        return said


def load(base: Knowledge, most: int = MOST_ENTRIES, voting: bool = False, seed: int = 0) -> Matrix:
    """The entries of a base, or a random `most` of them.

    Args:
        base: not changed.
        most: entries.
        voting: leave out what is quarantined.
        seed: of the sample.
    """
    ids = [entry.id for entry in base.entries() if not (voting and entry.quarantined)]
    known = len(ids)
    if known > most:
        chosen = np.random.default_rng(seed).choice(known, most, replace=False)
        ids = [ids[i] for i in np.sort(chosen)]
    room = min(MOST_ROWS, MATRIX_BYTES // (4 * base.size)) // max(len(ids), 1)
    each = min(MOST_WINDOWS, max(1, room))
    entries, rows, profiles, thinned = [], [], [], 0
    for item in base.items(ids):
        count = len(item.embeddings)
        thinned += count > each
        picked = np.arange(count) if count <= each else np.arange(each) * count // each
        entries.append(item.entry)
        rows.append(item.embeddings[picked])
        profiles.append(item.profile)
    edges = np.concatenate([[0], np.cumsum([len(some) for some in rows], dtype=np.int64)])
    size = next((len(one) for one in profiles if one is not None), 0)
    voices = np.zeros((len(entries), size), np.float32)
    for voice, profile in zip(voices, profiles, strict=True):
        if profile is not None:
            voice[:] = profile
    matrix = np.concatenate(rows) if rows else np.zeros((0, base.size), np.float32)
    return Matrix(entries, matrix, edges, voices, known, thinned)


def likeness(matrix: Matrix) -> Iterator[tuple[slice, np.ndarray]]:
    """Blocks of rows, never parting an entry: which entries', and their cosines (rows, entries).

    A row's cosine with an entry is the greatest with any of its rows; with its own entry it means nothing.
    """
    most = max(1, BLOCK_BYTES // (4 * max(len(matrix.rows), 1)))
    first = 0
    while first < len(matrix.entries):
        end = int(np.searchsorted(matrix.edges, matrix.edges[first] + most, side="right")) - 1
        end = max(end, first + 1)
        block = matrix.rows[matrix.edges[first] : matrix.edges[end]] @ matrix.rows.T
        if len(matrix.rows) > len(matrix.entries):
            block = np.maximum.reduceat(block, matrix.edges[:-1], axis=1)
        yield slice(first, end), block
        first = end


def recordings(entries: Sequence[Entry]) -> np.ndarray:
    """A number for each entry, (entries,), the same for those of one known speaker in one known source."""
    numbers: dict[object, int] = {}
    return np.array(
        [
            numbers.setdefault(
                entry.id if "-" in (entry.speaker, entry.source) else (entry.speaker, entry.source),
                len(numbers),
            )
            for entry in entries
        ],
        np.int64,
    )


@dataclass(frozen=True, eq=False)
class Near:
    """The k nearest entries of either class of each row; similarity minus infinity where there is none."""

    similarity: np.ndarray  # (windows, 2 k)
    bona_fide: np.ndarray  # (windows, 2 k) bool
    scores: np.ndarray  # (windows, 2 k) raw scores of the detector


def look_around(matrix: Matrix, how: Retrieval) -> Near:
    """The neighbours of every window, by the mode and up to the k of `how`.

    Nothing of the same entry counts, nor of the same known speaker in the same known source. The
    hybrid modes weigh all entries, where a query weighs the nearest few hundred.
    """
    same, label = recordings(matrix.entries), matrix.bona_fide
    scores = np.array([entry.score for entry in matrix.entries])
    similarity, found = [], []
    for part, cosine in likeness(matrix):
        owners = np.repeat(np.arange(part.start, part.stop), np.diff(matrix.edges)[part])
        cosine[same[owners][:, None] == same] = -np.inf
        alike = by_mode(cosine, matrix, owners, how)
        sides = [best(alike, np.flatnonzero(label == side), how.k) for side in (True, False)]
        found.append(np.concatenate([columns for columns, _ in sides], axis=1))
        similarity.append(np.concatenate([values for _, values in sides], axis=1))
    columns = np.concatenate(found)
    return Near(np.concatenate(similarity), label[columns], scores[columns])


def by_mode(cosine: np.ndarray, matrix: Matrix, owners: np.ndarray, how: Retrieval) -> np.ndarray:
    """Cosines (rows, entries) of rows of `owners` (rows,) -> the similarity that a mode asks for.

    What may not count has a cosine of minus infinity, and keeps it. Without a profile of its own a
    row is compared by its embedding alone.
    """
    if how.mode == "cm":
        return cosine
    has = np.abs(matrix.profiles).sum(axis=1) > 0
    voice = matrix.profiles[owners] @ matrix.profiles.T
    if how.mode == "hybrid2":
        mixed = (1 - how.voice) * cosine + how.voice * voice
    else:
        voice[:, ~has] = -np.inf
        voice[np.isneginf(cosine)] = -np.inf
        mixed = voice if how.mode == "profile" else among_voices(cosine, voice, matrix.bona_fide, how.k)
    return np.where(has[owners][:, None], mixed, cosine)


def among_voices(cosine: np.ndarray, voice: np.ndarray, bona_fide: np.ndarray, k: int) -> np.ndarray:
    """Cosines (rows, entries) of the entries of either class with the nearest voices; else minus infinity."""
    kept = np.full_like(cosine, -np.inf)
    for side in (True, False):
        columns, values = best(voice, np.flatnonzero(bona_fide == side), WIDER * k)
        found = np.where(np.isfinite(values), np.take_along_axis(cosine, columns, 1), -np.inf)
        np.put_along_axis(kept, columns, found, 1)
    return kept


def best(alike: np.ndarray, among: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k most similar of some columns: columns and values, (rows, k) each, best first.

    Args:
        alike: (rows, entries).
        among: (columns,) of `alike` to choose from; where there are fewer than k, all.
        k: how many.
    """
    some = alike[:, among]
    k = min(k, len(among))
    if not k:
        return np.zeros((len(alike), 0), np.int64), np.zeros((len(alike), 0), alike.dtype)
    chosen = np.argpartition(-some, k - 1, axis=1)[:, :k]
    values = np.take_along_axis(some, chosen, 1)
    order = np.argsort(-values, axis=1, kind="stable")
    return among[np.take_along_axis(chosen, order, 1)], np.take_along_axis(values, order, 1)
