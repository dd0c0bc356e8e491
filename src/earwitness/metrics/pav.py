"""Pool adjacent violators: the best that any monotone map of the scores can do.

Trials are given as counts per distinct score, lowest first. Neighbours whose share of bona fide
trials does not rise are pooled until it rises everywhere; what is left is the isotonic regression
of the labels and the convex hull of the ROC (Ayer et al. 1955; Fawcett & Niculescu-Mizil 2007).
"""

import numpy as np


def pool(bona_fide: np.ndarray, spoof: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Counts (B,), (B,) of the pooled blocks of counts (K,), (K,); the share rises from block to block.

    Whole runs of violators are pooled at once: each pair of them is equal in the solution, so
    the run is. Once that no longer shrinks the list fast, a single pass with a stack finishes,
    which keeps the time linear for every input.
    """
    seen = bona_fide + spoof > 0
    bona_fide, spoof = bona_fide[seen].astype(float), spoof[seen].astype(float)
    while True:
        rises = bona_fide[:-1] * spoof[1:] < bona_fide[1:] * spoof[:-1]
        if rises.all():
            return bona_fide, spoof
        starts = np.concatenate([[0], np.flatnonzero(rises) + 1])
        fast = len(starts) < 0.9 * len(bona_fide)
        bona_fide, spoof = np.add.reduceat(bona_fide, starts), np.add.reduceat(spoof, starts)
        if not fast:
            return pool_one_by_one(bona_fide, spoof)


def pool_one_by_one(bona_fide: np.ndarray, spoof: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same in one pass: a block that violates is merged into those below it."""
    blocks: list[tuple[float, float]] = []
    for b, s in zip(bona_fide.tolist(), spoof.tolist(), strict=True):
        while blocks and blocks[-1][0] * s >= b * blocks[-1][1]:
            below = blocks.pop()
            b, s = b + below[0], s + below[1]
        blocks.append((b, s))
    pooled = np.array(blocks)
    return pooled[:, 0], pooled[:, 1]


def cllr_of_blocks(bona_fide: np.ndarray, spoof: np.ndarray) -> float:
    """Cllr in bits once each block (B,) is given its own log-likelihood ratio.

    With the shares b and s of the two classes in a block, the ratio is b / s and
    Cllr = 1/2 sum [b log2(1 + s/b) + s log2(1 + b/s)]; an empty side costs nothing.
    """
    b, s = bona_fide / bona_fide.sum(), spoof / spoof.sum()
    return float((entropy_term(b + s) - entropy_term(b) - entropy_term(s)).sum() / 2)


def entropy_term(x: np.ndarray) -> np.ndarray:
    """Returns x log2 x, and 0 at 0."""
    return x * np.log2(np.where(x > 0, x, 1))
