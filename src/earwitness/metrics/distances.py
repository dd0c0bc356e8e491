"""How far a window of vectors is from a reference, whatever the vectors are of.

Distances of one dimension after another give (dimensions,), and their mean is one number: Wasserstein-1,
Kolmogorov-Smirnov, Jensen-Shannon of histograms. Distances of all dimensions at once: energy distance,
Frechet distance. All are in units of what they are given: standardise by the reference first. All shrink as
windows grow, also without drift, so that only windows of one size may be compared.

Sources: G. Szekely and M. Rizzo, J. Stat. Plan. Inference 143, 2013 (energy distance); D. Dowson and
B. Landau, J. Multivariate Anal. 12, 1982 (Frechet distance of Gaussians).
"""

import numpy as np

BINS = 50
FLOOR = 1e-6  # added to a bin's share


def wasserstein(reference: np.ndarray, window: np.ndarray) -> np.ndarray:
    """Wasserstein-1 of each dimension, exact for any sizes; (n, dimensions), (m, dimensions)."""
    n, m = len(reference), len(window)
    edges = np.unique(np.concatenate([np.arange(1, n + 1) / n, np.arange(1, m + 1) / m]))
    middles = edges - np.diff(edges, prepend=0.0) / 2
    of_reference = np.minimum((middles * n).astype(int), n - 1)
    of_window = np.minimum((middles * m).astype(int), m - 1)
    gaps = np.abs(np.sort(reference, axis=0)[of_reference] - np.sort(window, axis=0)[of_window])
    return np.diff(edges, prepend=0.0) @ gaps


def kolmogorov_smirnov(reference: np.ndarray, window: np.ndarray) -> np.ndarray:
    """Greatest difference of the empirical distributions of each dimension, 0 to 1."""
    found = []
    for x, y in zip(reference.T, window.T, strict=True):
        x, y = np.sort(x), np.sort(y)
        # just at and just before each step of the window's distribution, which are where the gap may peak
        at = np.searchsorted(x, y, "right") / len(x) - np.searchsorted(y, y, "right") / len(y)
        before = np.searchsorted(x, y, "left") / len(x) - np.searchsorted(y, y, "left") / len(y)
        found.append(max(np.abs(at).max(), np.abs(before).max()))
    return np.array(found)


def jensen_shannon(reference: np.ndarray, window: np.ndarray, bins: int = BINS) -> np.ndarray:
    """Jensen-Shannon divergence of histograms with edges at the reference's quantiles, 0 to ln 2 nats."""
    edges = np.quantile(reference, np.arange(1, bins) / bins, axis=0)
    first, second = histogram(reference, edges), histogram(window, edges)
    middle = (first + second) / 2
    return ((first * np.log(first / middle)).sum(0) + (second * np.log(second / middle)).sum(0)) / 2


def histogram(rows: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Shares (bins, dimensions) between edges (bins - 1, dimensions), none of them zero."""
    columns = [np.searchsorted(edge, column) for edge, column in zip(edges.T, rows.T, strict=True)]
    counts = np.stack([np.bincount(column, minlength=len(edges) + 1) for column in columns], axis=1)
    shares = counts / len(rows) + FLOOR
    return shares / shares.sum(0)


def energy(reference: np.ndarray, window: np.ndarray, inside: float | None = None) -> float:
    """Energy distance 2 E|x - y| - E|x - x'| - E|y - y'|, at least zero.

    `inside` is `mean_distance(reference, reference)`, where it is known already.
    """
    inside = mean_distance(reference, reference) if inside is None else inside
    return 2 * mean_distance(reference, window) - inside - mean_distance(window, window)


def mean_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Mean Euclidean distance of all rows of one (n, dimensions) from all of another (m, dimensions)."""
    squares = (a * a).sum(1)[:, None] + (b * b).sum(1) - 2 * a @ b.T
    return float(np.sqrt(np.maximum(squares, 0)).mean())


def frechet(reference: np.ndarray, window: np.ndarray) -> float:
    """Frechet distance of two Gaussians, squared; few dimensions of many rows, such as a PCA's."""
    shift = reference.mean(0) - window.mean(0)
    first, second = (np.atleast_2d(np.cov(rows.T)) for rows in (reference, window))
    values, vectors = np.linalg.eigh(first)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    shared = np.linalg.eigvalsh(root @ second @ root)
    mixed = np.sqrt(np.maximum(shared, 0)).sum()
    return float(shift @ shift + np.trace(first) + np.trace(second) - 2 * mixed)
