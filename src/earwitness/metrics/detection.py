"""Detection metrics of two classes of scores, bona fide (N,) and spoof (M,).

Conventions: higher scores support bona fide; a trial is accepted as bona fide at or above the
threshold; rates and costs are fractions, not per cent. Tied scores share one operating point, so
the order of trials never matters; `eer_asvspoof` alone walks through ties, as its package does.

Two families: what the *order* of scores can tell (`eer`, `auc`, `min_dcf`, `min_cllr`; no strictly
rising map of the scores changes them) and what the scores say *as log-likelihood ratios* in nats
(`act_dcf`, `cllr`; they ask for calibrated scores). The gap between the two is the calibration loss.
"""

from dataclasses import dataclass

import numpy as np

from earwitness.errors import InputError
from earwitness.metrics.pav import cllr_of_blocks, pool
from earwitness.metrics.sweep import operating_points, operating_points_asvspoof, validate


@dataclass(frozen=True)
class Costs:
    """Application of a detector; the defaults are those of ASVspoof 5, track 1.

    Raises:
        InputError: `bad-costs`: a prior outside (0, 1) or a cost that is not above zero.
    """

    p_spoof: float = 0.05  # prior probability of a spoof
    c_miss: float = 1.0  # cost of rejecting a bona fide trial
    c_fa: float = 10.0  # cost of accepting a spoof

    def __post_init__(self) -> None:
        if not (0 < self.p_spoof < 1 and 0 < self.c_miss < np.inf and 0 < self.c_fa < np.inf):
            raise InputError("bad-costs", f"expected 0 < p_spoof < 1 and costs above 0, found {self}")

    @property
    def miss_weight(self) -> float:
        """Cost of a miss rate of 1."""
        return self.c_miss * (1 - self.p_spoof)

    @property
    def false_alarm_weight(self) -> float:
        """Cost of a false-alarm rate of 1."""
        return self.c_fa * self.p_spoof

    @property
    def without_detector(self) -> float:
        """Cost of the better of "accept all" and "reject all", by which costs are divided."""
        return min(self.miss_weight, self.false_alarm_weight)

    @property
    def bayes_threshold(self) -> float:
        """Where a log-likelihood ratio (nats) makes both decisions equally dear: -0.641854 by default."""
        return float(-np.log(self.miss_weight / self.false_alarm_weight))


def eer(bona_fide: np.ndarray, spoof: np.ndarray) -> float:
    """Equal error rate: where the miss rate equals the false-alarm rate. See `eer_threshold`.

    0: some threshold parts the classes; 0.5: no better than chance (constant scores give exactly
    that); 1: parts them the wrong way round.

    Raises:
        InputError: `bad-scores`.
    """
    return eer_threshold(bona_fide, spoof)[0]


def eer_threshold(bona_fide: np.ndarray, spoof: np.ndarray) -> tuple[float, float]:
    """Equal error rate and its threshold, both interpolated.

    Rule: tied scores share one operating point, and the two rates are joined by straight lines
    between neighbouring points (the ROC is piecewise linear); the answer is where the lines
    cross. The threshold lies on the same straight line: below it the false-alarm rate is the
    higher of the two, from the next score on the miss rate.

    Raises:
        InputError: `bad-scores`.
    """
    thresholds, miss, false_alarm = operating_points(bona_fide, spoof)
    gap = false_alarm - miss  # falls from +1 to -1
    k = int(np.argmax(gap <= 0))
    share = gap[k - 1] / (gap[k - 1] - gap[k])
    value = miss[k - 1] + share * (miss[k] - miss[k - 1])
    low, high = thresholds[k - 1], thresholds[k]
    threshold = low + share * (high - low) if np.isfinite([low, high]).all() else high
    return float(value), float(threshold)


def eer_nearest(bona_fide: np.ndarray, spoof: np.ndarray) -> tuple[float, float]:
    """Mean of the two rates where they are nearest to each other, with its threshold; tie-aware.

    Unlike `eer` it names a threshold that exists, and on few trials it differs from it. Values
    mean what they mean for `eer`; constant scores give 0.5.

    Raises:
        InputError: `bad-scores`.
    """
    return nearest_crossing(*operating_points(bona_fide, spoof))


def eer_asvspoof(bona_fide: np.ndarray, spoof: np.ndarray) -> tuple[float, float]:
    """Equal error rate and threshold of the ASVspoof 5 evaluation package, bit for bit.

    Nearest crossing without interpolation, ties walked through bona fide first: on continuous
    scores it agrees with `eer` to the weight of one trial, on tied scores it is too high
    (constant scores give 1). Trials are accepted *above* its threshold.

    Raises:
        InputError: `bad-scores`.
    """
    return nearest_crossing(*operating_points_asvspoof(bona_fide, spoof))


def nearest_crossing(
    thresholds: np.ndarray, miss: np.ndarray, false_alarm: np.ndarray
) -> tuple[float, float]:
    """Mean rate and threshold of the first operating point (K,) whose rates differ least."""
    i = int(np.argmin(np.abs(miss - false_alarm)))
    return float((miss[i] + false_alarm[i]) / 2), float(thresholds[i])


def auc(bona_fide: np.ndarray, spoof: np.ndarray) -> float:
    """Area under the ROC: P(bona fide score > spoof score) + P(equal) / 2.

    The Mann-Whitney statistic over N M (Hanley & McNeil 1982). 1: parts the classes; 0.5: chance;
    0: the wrong way round. Unlike every other metric here, higher is better.

    Raises:
        InputError: `bad-scores`.
    """
    bona_fide, spoof = validate(bona_fide, spoof)
    bona_fide, spoof = np.sort(bona_fide), np.sort(spoof)
    below = int(np.searchsorted(spoof, bona_fide, side="left").sum())
    up_to = int(np.searchsorted(spoof, bona_fide, side="right").sum())
    return (below + up_to) / (2 * len(bona_fide) * len(spoof))


def min_dcf(bona_fide: np.ndarray, spoof: np.ndarray, costs: Costs = Costs()) -> tuple[float, float]:
    """Least detection cost over all thresholds, and the lowest threshold that has it.

    min over t of [c_miss (1 - p_spoof) P_miss(t) + c_fa p_spoof P_fa(t)], divided by the cost of
    doing without a detector (NIST's DCF, as normalised by ASVspoof 5, Wang et al. 2024). 0: parts the
    classes; 1: no threshold beats accepting or rejecting everything; 0.5: half of that cost.

    Raises:
        InputError: `bad-scores`.
    """
    thresholds, miss, false_alarm = operating_points(bona_fide, spoof)
    cost = costs.miss_weight * miss + costs.false_alarm_weight * false_alarm
    i = int(np.argmin(cost))
    return float(cost[i] / costs.without_detector), float(thresholds[i])


def act_dcf(bona_fide: np.ndarray, spoof: np.ndarray, costs: Costs = Costs()) -> float:
    """Detection cost at the Bayes threshold of `costs`: what these scores cost if they are believed.

    The cost of `min_dcf` at t = -ln[c_miss (1 - p_spoof) / (c_fa p_spoof)], same divisor (Wang et
    al. 2024). 0: no error; 0.5: half the cost of doing without a detector; 1: as dear as that;
    above 1: worse than having none, which miscalibrated scores reach easily.

    Raises:
        InputError: `bad-scores`.
    """
    bona_fide, spoof = validate(bona_fide, spoof)
    miss = np.mean(bona_fide < costs.bayes_threshold)
    false_alarm = np.mean(spoof >= costs.bayes_threshold)
    cost = costs.miss_weight * miss + costs.false_alarm_weight * false_alarm
    return float(cost / costs.without_detector)


def cllr(bona_fide: np.ndarray, spoof: np.ndarray) -> float:
    """Cost of log-likelihood ratios (nats) in bits.

    1/2 [mean over bona fide of log2(1 + e^-s) + mean over spoof of log2(1 + e^s)] (Brümmer & du
    Preez 2006, equation 13). 0: perfect; 0.5: half of the uncertainty is left; 1: as good as saying
    nothing (all ratios 1); above 1: misleading.

    Raises:
        InputError: `bad-scores`.
    """
    bona_fide, spoof = validate(bona_fide, spoof)
    return float((np.logaddexp(0, -bona_fide).mean() + np.logaddexp(0, spoof).mean()) / (2 * np.log(2)))


def min_cllr(bona_fide: np.ndarray, spoof: np.ndarray) -> float:
    """Cllr in bits after the best monotone map of the scores (pool adjacent violators).

    What is left is discrimination (Brümmer & du Preez 2006). 0: parts the classes;
    1: no order at all; 0.5: between the two. The map is fitted to the trials it is judged on,
    so few trials make it optimistic.

    Raises:
        InputError: `bad-scores`.
    """
    _, miss, false_alarm = operating_points(bona_fide, spoof)
    counts = np.rint(np.diff(miss) * np.size(bona_fide)), np.rint(-np.diff(false_alarm) * np.size(spoof))
    return cllr_of_blocks(*pool(*counts))


def calibration_loss(bona_fide: np.ndarray, spoof: np.ndarray) -> float:
    """Bits lost because the scores are not the log-likelihood ratios they could be: Cllr - min Cllr.

    0: calibrated; 0.5 and 1: so many bits a better map of the same scores would save. Never
    negative.

    Raises:
        InputError: `bad-scores`.
    """
    return cllr(bona_fide, spoof) - min_cllr(bona_fide, spoof)
