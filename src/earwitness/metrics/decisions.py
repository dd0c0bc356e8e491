"""Hard decisions at a threshold that was fixed beforehand, on other data.

A trial is accepted as bona fide at or above the threshold. Choosing the threshold on the trials
that are judged gives figures nobody will meet again; take it from development data.
"""

import numpy as np

from earwitness.metrics.sweep import validate


def error_rates(bona_fide: np.ndarray, spoof: np.ndarray, threshold: float) -> tuple[float, float]:
    """Miss rate and false-alarm rate of scores (N,), (M,) at `threshold`. 0: none; 0.5: half; 1: all.

    Raises:
        InputError: `bad-scores`.
    """
    bona_fide, spoof = validate(bona_fide, spoof)
    return float(np.mean(bona_fide < threshold)), float(np.mean(spoof >= threshold))


def hter(bona_fide: np.ndarray, spoof: np.ndarray, threshold: float) -> float:
    """Half total error rate: the mean of miss and false-alarm rate at `threshold`.

    Bengio & Mariéthoz 2004, "The expected performance curve"; one minus balanced accuracy. 0: no
    error; 0.5: chance, or all trials decided alike; 1: all wrong.

    Raises:
        InputError: `bad-scores`.
    """
    return sum(error_rates(bona_fide, spoof, threshold)) / 2


def accuracy(bona_fide: np.ndarray, spoof: np.ndarray, threshold: float) -> float:
    """Share of right decisions at `threshold`; it depends on how many trials each class has.

    0: all wrong; 0.5: half; 1: all right.

    Raises:
        InputError: `bad-scores`.
    """
    miss, false_alarm = error_rates(bona_fide, spoof, threshold)
    n, m = np.size(bona_fide), np.size(spoof)
    return 1 - (miss * n + false_alarm * m) / (n + m)


def f1_per_class(bona_fide: np.ndarray, spoof: np.ndarray, threshold: float) -> dict[str, dict[str, float]]:
    """`precision`, `recall` and `f1` of the classes `bona_fide` and `spoof` at `threshold`.

    Each class in turn is the one to be found: precision is the share of right ones among those
    called so, recall the share called so among those that are, f1 = 2 p r / (p + r). All depend on
    how many trials each class has. 0: none right; 0.5: half; 1: perfect. A precision without any
    call is given as 0.

    Raises:
        InputError: `bad-scores`.
    """
    miss, false_alarm = error_rates(bona_fide, spoof, threshold)
    n, m = np.size(bona_fide), np.size(spoof)
    missed, alarms = round(miss * n), round(false_alarm * m)
    return {
        "bona_fide": found_of(n - missed, called=n - missed + alarms, present=n),
        "spoof": found_of(m - alarms, called=m - alarms + missed, present=m),
    }


def found_of(right: int, called: int, present: int) -> dict[str, float]:
    """Precision, recall and F1 of `right` hits."""
    precision = right / called if called else 0.0
    return {"precision": precision, "recall": right / present, "f1": 2 * right / (called + present)}
