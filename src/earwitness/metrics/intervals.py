"""Bootstrap intervals for metrics of two sides, resampled by group.

Recordings of one page (speaker, session) are alike; resampling them one by one pretends that
they are not and gives intervals that are too narrow. Whole groups are drawn with replacement.
"""

from collections.abc import Callable

import numpy as np

Metric = Callable[[np.ndarray, np.ndarray], float]


def grouped_bootstrap(
    metric: Metric,
    scores: np.ndarray,
    bona_fide: np.ndarray,
    groups: np.ndarray,
    draws: int = 2_000,
    level: float = 0.95,
    seed: int = 0,
) -> tuple[float, float, float]:
    """Value of `metric(bona fide scores, spoof scores)` and the ends of its percentile interval.

    Args:
        scores, bona_fide, groups: (trials,) each; `bona_fide` is boolean.
        draws: resamples; those that hold one class only are left out.
    """
    bona_fide = np.asarray(bona_fide, bool)
    members = [np.flatnonzero(groups == name) for name in np.unique(groups)]
    rng = np.random.default_rng(seed)
    values = []
    for _ in range(draws):
        chosen = np.concatenate([members[i] for i in rng.integers(0, len(members), len(members))])
        labels = bona_fide[chosen]
        if labels.any() and not labels.all():
            values.append(metric(scores[chosen][labels], scores[chosen][~labels]))
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return metric(scores[bona_fide], scores[~bona_fide]), float(low), float(high)
