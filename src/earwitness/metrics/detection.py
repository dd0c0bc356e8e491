"""Detection metrics. Conventions: higher scores support bona fide; a trial is accepted at or
above the threshold.

Metrics: `eer`, equal error rate; `cllr`, cost of log-likelihood ratios in bits.
"""

import numpy as np

from earwitness.errors import InputError


def validate(bona_fide: np.ndarray, spoof: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both sides as float64 (N,) and (M,).

    Raises:
        InputError: `bad-scores`: a side is empty, or holds a NaN.
    """
    sides = []
    for name, scores in (("bona fide", bona_fide), ("spoof", spoof)):
        scores = np.asarray(scores, dtype=float).ravel()
        if not len(scores):
            raise InputError("bad-scores", f"expected {name} scores, found none")
        if np.isnan(scores).any():
            count = int(np.isnan(scores).sum())
            raise InputError("bad-scores", f"{count} of {len(scores)} {name} scores are NaN")
        sides.append(scores)
    return sides[0], sides[1]


def eer(bona_fide: np.ndarray, spoof: np.ndarray) -> float:
    """Equal error rate, 0 to 1, of scores (N,) and (M,).

    Tied scores share one operating point and the crossing of misses and false acceptances is
    interpolated, so the order of trials never matters and constant scores give 0.5. Scripts that
    walk through ties one by one (the ASVspoof packages among them) give up to 1.0 there.

    Raises:
        InputError: `bad-scores`.
    """
    bona_fide, spoof = validate(bona_fide, spoof)
    thresholds = np.unique(np.concatenate([bona_fide, spoof]))  # (K,)
    missed = np.searchsorted(np.sort(bona_fide), thresholds) / len(bona_fide)
    accepted = 1 - np.searchsorted(np.sort(spoof), thresholds) / len(spoof)
    missed, accepted = np.append(missed, 1.0), np.append(accepted, 0.0)
    gap = accepted - missed  # falls from +1 to -1
    k = int(np.argmax(gap <= 0))
    share = gap[k - 1] / (gap[k - 1] - gap[k])
    return float(missed[k - 1] + share * (missed[k] - missed[k - 1]))


def cllr(bona_fide: np.ndarray, spoof: np.ndarray) -> float:
    """Cost of log-likelihood ratios (nats) in bits: 0 perfect, 1 as good as saying nothing.

    Brümmer & du Preez 2006, equation 13.

    Raises:
        InputError: `bad-scores`.
    """
    bona_fide, spoof = validate(bona_fide, spoof)
    return float((np.logaddexp(0, -bona_fide).mean() + np.logaddexp(0, spoof).mean()) / (2 * np.log(2)))
