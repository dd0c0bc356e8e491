"""Operating points: the miss and false-alarm rates of every threshold, and few of them for plots.

A trial is accepted as bona fide at or above the threshold. Tied scores cannot be told apart by
any threshold, so they share one operating point (Fawcett 2006, "An introduction to ROC
analysis"). The sweep of the ASVspoof packages, which walks through ties one by one,
stands beside it for figures that must match theirs.
"""

import numpy as np

from earwitness.errors import InputError


def validate(bona_fide: np.ndarray, spoof: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both sides as float64 (N,) and (M,).

    Raises:
        InputError: `bad-scores`: a side is empty, or holds a NaN.
    """
    return checked(bona_fide, "bona fide"), checked(spoof, "spoof")


def checked(scores: np.ndarray, name: str) -> np.ndarray:
    """Scores of one class as float64 (N,); `name` is for the message.

    Raises:
        InputError: `bad-scores`: there is none, or one is a NaN.
    """
    scores = np.asarray(scores, dtype=float).ravel()
    if not len(scores):
        raise InputError("bad-scores", f"expected {name} scores, found none")
    if np.isnan(scores).any():
        count = int(np.isnan(scores).sum())
        raise InputError("bad-scores", f"{count} of {len(scores)} {name} scores are NaN")
    return scores


def operating_points(bona_fide: np.ndarray, spoof: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Thresholds, miss rates and false-alarm rates, (K + 1,) each for K distinct scores.

    They run from "accept all" (miss 0, false alarm 1) to "reject all" (1, 0). Applying a threshold
    (accepted at or above) gives exactly its two rates; see `thresholds_of`. (A score of +inf is
    rejected by no threshold: the last point then exists for the curve only.)

    Raises:
        InputError: `bad-scores`.
    """
    bona_fide, spoof = validate(bona_fide, spoof)
    distinct = np.unique(np.concatenate([bona_fide, spoof]))  # (K,)
    miss = np.concatenate([[0.0], share_up_to(bona_fide, distinct)])
    false_alarm = np.concatenate([[1.0], 1 - share_up_to(spoof, distinct)])
    return thresholds_of(distinct), miss, false_alarm


def share_up_to(scores: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Share of `scores` (N,) at or below each of `points` (K,), (K,)."""
    return np.searchsorted(np.sort(scores), points, side="right") / len(scores)


def thresholds_of(distinct: np.ndarray) -> np.ndarray:
    """Thresholds (K + 1,) around distinct sorted scores (K,): the lowest score, then one above each.

    Halfway to the next score, but not more than 5e-7 (of scores beyond 1, relative) above its own:
    so it agrees to 6 digits with packages that name the score itself and accept *above* it, and
    still parts the two scores after rounding to 7 digits or to float32.
    """
    above = np.maximum(np.abs(distinct), 1.0)
    above *= 5e-7
    with np.errstate(invalid="ignore"):  # infinite scores: fmax takes the neighbouring float
        above[:-1] = np.minimum(above[:-1], np.diff(distinct) / 2)
        above += distinct
    return np.concatenate([distinct[:1], np.fmax(above, np.nextafter(distinct, np.inf))])


def operating_points_asvspoof(
    bona_fide: np.ndarray, spoof: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The same as the ASVspoof 5 evaluation package gives it, bit for bit.

    One point per trial, bona fide first among equal scores; the threshold is the last rejected
    score, and 0.001 below the lowest one for "accept all".

    Raises:
        InputError: `bad-scores`.
    """
    bona_fide, spoof = validate(bona_fide, spoof)
    scores = np.concatenate([bona_fide, spoof])
    order = np.argsort(scores, kind="stable")
    rejected = np.cumsum(order < len(bona_fide))  # bona fide trials, of the i + 1 lowest
    accepted = len(spoof) - (np.arange(1, len(scores) + 1) - rejected)
    miss = np.concatenate([[0.0], rejected / len(bona_fide)])
    false_alarm = np.concatenate([[1.0], accepted / len(spoof)])
    return np.concatenate([[scores[order[0]] - 0.001], scores[order]]), miss, false_alarm


def log_position(miss: np.ndarray, false_alarm: np.ndarray) -> np.ndarray:
    """Place of each operating point (K,) along its curve: log miss minus log false alarm, (K,).

    It never falls. Equal steps change either rate by at most the same factor, which is where a
    DET plot needs its points and a resample its bins. Rates of zero count as half the lowest
    rate above zero.
    """
    logs = []
    for rate in (miss, false_alarm):
        logs.append(np.log(np.maximum(rate, rate[rate > 0].min() / 2)))
    return logs[0] - logs[1]


def starts_of_steps(position: np.ndarray, steps: int) -> np.ndarray:
    """Indices of the first point in each of at most `steps` equal steps of `log_position`."""
    step = np.floor((position - position[0]) * (steps / max(position[-1] - position[0], 1e-300)))
    return np.concatenate([[0], np.flatnonzero(np.diff(np.minimum(step, steps - 1))) + 1])


def thin(
    thresholds: np.ndarray, miss: np.ndarray, false_alarm: np.ndarray, points: int = 2_000
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """At most `points` of the operating points (K,), for plots: the ends and an even choice between.

    Even on logarithmic axes, so both tails of a DET curve stay; where the curve has no larger jump,
    no rate changes between neighbours by more than about 2 % (10^7 trials, 2,000 points).
    """
    if len(miss) <= points:
        return thresholds, miss, false_alarm
    chosen = starts_of_steps(log_position(miss, false_alarm), points - 1)
    chosen = np.append(chosen, len(miss) - 1) if chosen[-1] != len(miss) - 1 else chosen
    return thresholds[chosen], miss[chosen], false_alarm[chosen]
