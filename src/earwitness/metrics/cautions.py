"""What a careful statistician would add to a report, each in a sentence."""

from collections.abc import Mapping
from typing import Any

import numpy as np

FEW_TRIALS, FEW_ERRORS, FEW_GROUPS = 50, 30, 10


def cautions(report: Mapping[str, Any], scores: np.ndarray) -> list[str]:
    """Warnings on a report of `evaluation.evaluate` and its scores (N,)."""
    return [
        *of_polarity(report),
        *of_size(report),
        *of_groups(report),
        *of_ties(report, scores),
        *of_calibration(report),
    ]


def value(report: Mapping[str, Any], name: str) -> float:
    """The value of a metric."""
    return float(report["metrics"][name]["value"])


def of_polarity(report: Mapping[str, Any]) -> list[str]:
    """Scores the wrong way round."""
    rate = value(report, "eer")
    if rate <= 0.5:
        return []
    return [
        f"The EER is {rate:.1%}, worse than chance: a higher score must mean bona fide; with the signs "
        f"turned it would be {1 - rate:.1%}."
    ]


def of_size(report: Mapping[str, Any]) -> list[str]:
    """Too few trials, or too few errors ("rule of 30", Doddington et al. 2000)."""
    found = []
    rate = min(value(report, "eer"), 1 - value(report, "eer"))
    for name in ("bona_fide", "spoof"):
        count, words = report[name], name.replace("_", " ")
        if count < FEW_TRIALS:
            found.append(f"Only {count} {words} trials: no figure here is worth much.")
        elif count * rate < FEW_ERRORS:
            found.append(
                f"About {count * rate:.0f} of {count:,} {words} trials are wrong at the EER; it takes "
                f"{FEW_ERRORS} for an error rate that is good to a third of itself."
            )
    return found


def of_groups(report: Mapping[str, Any]) -> list[str]:
    """Intervals from few groups."""
    groups, by = report["intervals"]["groups"], report["intervals"]["by"]
    if not isinstance(groups, dict) or not report["intervals"]["draws"]:
        return []
    found = []
    for side in ("bona_fide", "spoof"):
        words = side.replace("_", " ")
        if groups[side] == 1:
            found.append(
                f"All {words} trials are of one {by}: their share of the intervals is that of trials taken "
                f"one by one, and says nothing about another {by}."
            )
        elif groups[side] < FEW_GROUPS:
            found.append(
                f"The {words} trials are of {groups[side]} groups ({by}): intervals from fewer than "
                f"{FEW_GROUPS} are too narrow."
            )
    return found


def of_ties(report: Mapping[str, Any], scores: np.ndarray) -> list[str]:
    """Probabilities, saturation, ties that move the EER."""
    found = []
    low, high = float(scores.min()), float(scores.max())
    at_ends = float(np.mean((scores == low) | (scores == high)))
    if low >= 0 and high <= 1:
        found.append(
            "All scores lie within 0 and 1 as probabilities do: thresholds and costs (act_dcf, cllr) are "
            "meaningless on them; give logit differences or log-likelihood ratios."
        )
    if at_ends > max(0.01, 2.5 / len(scores)):
        found.append(
            f"{at_ends:.1%} of the scores are the very lowest or highest one: they look saturated (a "
            "softmax in float32 does that), and what they tie cannot be told apart."
        )
    difference = abs(value(report, "eer") - value(report, "eer_asvspoof"))
    if difference > 1 / min(report["bona_fide"], report["spoof"]):
        found.append(
            f"Ties matter: where they are walked through one by one, as in the ASVspoof packages, the EER "
            f"is {value(report, 'eer_asvspoof'):.2%} instead of {value(report, 'eer'):.2%}."
        )
    return found


def of_calibration(report: Mapping[str, Any]) -> list[str]:
    """Scores that are not the log-likelihood ratios as which they are read."""
    actual, least, loss = (value(report, name) for name in ("act_dcf", "min_dcf", "calibration_loss"))
    if actual - least <= max(0.02, 0.25 * least) and loss <= 0.1:
        return []
    return [
        f"The scores are not calibrated: read as log-likelihood ratios they cost actDCF {actual:.3f} where "
        f"minDCF {least:.3f} is possible, and lose {loss:.2f} bit; `earwitness calibrate` mends a model's."
    ]
