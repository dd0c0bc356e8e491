"""Are the probabilities kept? P(fake) by log-likelihood ratios (nats) against what is so, at even odds.

Both classes are weighted alike, so that nothing here depends on how many trials of either a test
set happens to have. Scores are read as log-likelihood ratios for bona fide.
"""

from statistics import NormalDist

import numpy as np

from earwitness.metrics.sweep import validate

PARTS = 12  # of the probability, equally wide


def reliability_points(bona_fide: np.ndarray, spoof: np.ndarray, parts: int = PARTS) -> np.ndarray:
    """Points of a reliability diagram (Murphy & Winkler 1977) of scores (N,), (M,).

    Returns:
        (P, 5), a row for each of `parts` that holds trials: predicted P(fake), the share of fakes
        observed with the ends of its 95 % interval (Wilson's), and the weight of the part.

    Raises:
        InputError: `bad-scores`.
    """
    sides = validate(bona_fide, spoof)
    n, m = map(len, sides)
    p_fake = [1 / (1 + np.exp(np.clip(side, -700, 700))) for side in sides]
    part = [np.minimum((side * parts).astype(int), parts - 1) for side in p_fake]
    counts = np.stack([np.bincount(where, minlength=parts) for where in part], axis=1)
    sums = [np.bincount(where, side, parts) for where, side in zip(part, p_fake, strict=True)]
    points = []
    for i, (real, fake) in enumerate(counts.tolist()):
        if not real + fake:
            continue
        weight = (real / n + fake / m) / 2
        shares = [fake / (real + fake), *wilson(fake, real + fake, 0.95)]
        observed = (share * n / (share * n + (1 - share) * m) for share in shares)
        points.append([(sums[0][i] / n + sums[1][i] / m) / 2 / weight, *observed, weight])
    return np.array(points)


def ece(bona_fide: np.ndarray, spoof: np.ndarray, parts: int = PARTS) -> float:
    """Expected calibration error at even odds: how far P(fake) lies from what is so, on average.

    Weighted mean over parts of |predicted - observed| (Naeini et al. 2015). 0: every probability is
    kept; 0.5: as far off as constant certainty is on a coin. Few trials make it too high.

    Raises:
        InputError: `bad-scores`.
    """
    points = reliability_points(bona_fide, spoof, parts)
    return float(np.sum(points[:, 4] * np.abs(points[:, 0] - points[:, 1])))


def wilson(count: int, n: int, level: float) -> tuple[float, float]:
    """Wilson's score interval (1927) of a share of `count` in `n`, trials taken one by one."""
    z, share = NormalDist().inv_cdf((1 + level) / 2), count / n
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * (share * (1 - share) / n + z * z / (4 * n * n)) ** 0.5
    return max(0.0, middle - half), min(1.0, middle + half)
