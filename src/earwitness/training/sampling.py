"""Which recordings meet in which batch: balanced, of like lengths, and a function of the seed alone.

Every batch is half bona fide. Within a class, data sets are drawn by a power of their size, and
within a data set its groups (page, generator or speaker) likewise, so that no large corpus drowns
the others and "which corpus is it" says little about the class. Recordings are drawn for a pool of
many batches, cropped (on paper), paired by rank of length across the classes and packed into
batches by their padded, cropped duration; AntiDeepfake budgets uncropped durations instead
(a file of 60 s fills a batch alone and is then cut to 13 s).

A share of the pairs may be twins: two versions of one utterance (`source`), genuine and fake, that are cut
and disturbed by the same draws, so that nothing but what a generator left tells them apart.

Pools are numbered and each is drawn from its own seed, so (pool, position) is all that a resumed
run needs; processes take every n-th pair of the same batch, so the number of processes does not
change what a step sees.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from earwitness.audio.protocol import Utterance

SAMPLE_RATE = 16_000
POOL_BATCHES = 32  # about how many batches one pool makes


@dataclass(frozen=True)
class Draw:
    """One recording of a batch: its row, how many samples to take, and its own seed."""

    row: int
    samples: int
    seed: tuple[int, ...]


@dataclass(frozen=True)
class Batch:
    """What one process takes of a batch, how many recordings all take, and where the plan goes on."""

    draws: tuple[Draw, ...]
    total: int
    next_place: tuple[int, int]


@dataclass(frozen=True)
class Share:
    """Which process this is, of how many."""

    rank: int = 0
    world: int = 1


@dataclass(frozen=True)
class Packing:
    """How batches are made. Durations count over all processes together."""

    seconds: float
    crop_s: tuple[float, float]
    balance: float  # exponent of a cell's size: 1 as found, 0 all alike
    seed: int
    fixed_samples: int | None = None  # of every recording, where the network takes one length only
    equal: bool = False  # cut a batch to its shortest, where a network may not see padding
    twins: float = 0.0  # share of the pairs that are two versions of one utterance


def level_weights(names: np.ndarray, balance: float) -> tuple[np.ndarray, np.ndarray]:
    """Cell of each row (rows,), and the probability of each cell (cells,)."""
    _, cells, counts = np.unique(names, return_inverse=True, return_counts=True)
    share = counts.astype(float) ** balance
    return cells, share / share.sum()


def sampling_weights(items: Sequence[Utterance], balance: float) -> dict[bool, np.ndarray]:
    """Class -> probability of each row, (rows,): data set, then group, then row."""
    bona_fide = np.array([item.bona_fide for item in items])
    datasets = np.array([item.dataset for item in items])
    groups = np.array([inner_group(item) for item in items])
    weights = {}
    for label in (True, False):
        rows = np.flatnonzero(bona_fide == label)
        found = np.zeros(len(items))
        cells, shares = level_weights(datasets[rows], balance)
        for cell, share in enumerate(shares):
            members = rows[cells == cell]
            inner, inner_shares = level_weights(groups[members], balance)
            found[members] = share * inner_shares[inner] / np.bincount(inner)[inner]
        weights[label] = found
    return weights


def inner_group(item: Utterance) -> str:
    """What a data set is balanced by."""
    if item.group != "-":
        return item.group
    return item.speaker if item.bona_fide else item.generator


def cropped_samples(duration_s: np.ndarray, packing: Packing, rng: np.random.Generator) -> np.ndarray:
    """Samples to take of recordings, (rows,): whole up to the longest crop, else a random length."""
    if packing.fixed_samples:
        return np.full(len(duration_s), packing.fixed_samples)
    shortest, longest = packing.crop_s
    crops = rng.uniform(shortest, longest, len(duration_s))
    return (np.where(duration_s > longest, crops, duration_s) * SAMPLE_RATE).astype(np.int64)


def find_twins(items: Sequence[Utterance]) -> dict[int, np.ndarray]:
    """Row of a fake -> rows of the genuine versions of its utterance, in the same data set."""
    genuine: dict[tuple[str, str], list[int]] = {}
    for row, item in enumerate(items):
        if item.bona_fide and item.source != "-":
            genuine.setdefault((item.dataset, item.source), []).append(row)
    return {
        row: np.array(genuine[item.dataset, item.source])
        for row, item in enumerate(items)
        if not item.bona_fide and (item.dataset, item.source) in genuine
    }


def draw_twins(
    count: int,
    durations: np.ndarray,
    weights: dict[bool, np.ndarray],
    twins: dict[int, np.ndarray],
    packing: Packing,
    rng: np.random.Generator,
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Rows and samples (count,) of both classes, k-th with k-th; as long as the shorter of the two."""
    known = np.array(list(twins))
    share = weights[False][known]
    fakes = rng.choice(known, count, p=share / share.sum())
    genuine = np.array([rng.choice(twins[int(row)]) for row in fakes], dtype=np.int64)
    samples = cropped_samples(np.minimum(durations[fakes], durations[genuine]), packing, rng)
    return [(genuine, samples), (fakes, samples)]


def draw_pool(
    durations: np.ndarray,
    weights: dict[bool, np.ndarray],
    packing: Packing,
    pool: int,
    twins: dict[int, np.ndarray] | None = None,
) -> list[list[Draw]]:
    """The batches of one pool; in each, bona fide and spoof alternate.

    Pairs that do not fill the last batch share those of the one before it.
    """
    rng = np.random.default_rng([packing.seed, 1, pool])
    longest_s = packing.fixed_samples / SAMPLE_RATE if packing.fixed_samples else packing.crop_s[1]
    mean_s = max(float(np.minimum(durations, longest_s).mean()), 0.5)
    pairs = max(1, int(POOL_BATCHES * packing.seconds / (2 * mean_s)))
    alike = int(rng.binomial(pairs, packing.twins)) if twins else 0
    sides = []
    for label in (True, False):
        rows = rng.choice(len(durations), pairs - alike, p=weights[label])
        samples = cropped_samples(durations[rows], packing, rng)
        order = np.argsort(samples, kind="stable")
        sides.append((rows[order], samples[order]))
    same = np.zeros(pairs, bool)
    if twins and alike:
        more = draw_twins(alike, durations, weights, twins, packing, rng)
        joined = [(np.append(a[0], b[0]), np.append(a[1], b[1])) for a, b in zip(sides, more, strict=True)]
        order = np.argsort(np.maximum(joined[0][1], joined[1][1]), kind="stable")
        sides = [(rows[order], samples[order]) for rows, samples in joined]
        same = order >= pairs - alike
    longest = np.maximum(sides[0][1], sides[1][1])  # of each pair, rising
    budget = packing.seconds * SAMPLE_RATE
    edges = [0]
    for k in range(1, pairs):
        if 2 * (k + 1 - edges[-1]) * longest[k] > budget:
            edges.append(k)
    middle = (edges[-2] + pairs) // 2 if len(edges) > 1 else 0
    if middle < edges[-1] and 2 * (pairs - middle) * longest[-1] <= budget:
        edges[-1] = middle
    edges.append(pairs)
    batches = [pack(sides, same, *ends, packing, pool) for ends in pairwise(edges)]
    return [batches[i] for i in rng.permutation(len(batches))]


def pack(
    sides: list[tuple[np.ndarray, np.ndarray]],
    same: np.ndarray,
    first: int,
    last: int,
    packing: Packing,
    pool: int,
) -> list[Draw]:
    """Pairs `first` to `last` as one batch; both halves of a pair that is the `same` have one seed."""
    shortest = min(int(samples[first:last].min()) for _, samples in sides)
    return [
        Draw(
            int(rows[k]),
            shortest if packing.equal else int(samples[k]),
            (packing.seed, 2, pool, 2 * k + (0 if same[k] else side)),
        )
        for k in range(first, last)
        for side, (rows, samples) in enumerate(sides)
    ]


def plan(
    items: Sequence[Utterance],
    packing: Packing,
    place: tuple[int, int] = (0, 0),
    share: Share = Share(),
) -> Iterator[Batch]:
    """Batches without end for one process, from `place` (pool, position in it) on."""
    durations = np.array([item.duration_s or 0.0 for item in items])
    weights = sampling_weights(items, packing.balance)
    twins = find_twins(items) if packing.twins else None
    pool, position = place
    while True:
        batches = draw_pool(durations, weights, packing, pool, twins)
        for i in range(position, len(batches)):
            pairs = [batches[i][k : k + 2] for k in range(0, len(batches[i]), 2)]
            if len(pairs) < share.world:  # no process may be left without a clip
                continue
            mine = tuple(draw for pair in pairs[share.rank :: share.world] for draw in pair)
            after = (pool, i + 1) if i + 1 < len(batches) else (pool + 1, 0)
            yield Batch(mine, len(batches[i]), after)
        pool, position = pool + 1, 0
