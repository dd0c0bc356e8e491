"""Metrics of many resamples at once, from how often each distinct score was drawn.

A resample changes how often a score counts, not the order of scores. So scores are sorted once, a
draw is two rows of counts over the distinct scores (K,), lowest first, and every metric is sums
over those rows. With every trial counted once the values are those of `detection`, `decisions`
and `tandem`, to rounding; a test holds them together.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from earwitness.errors import InputError
from earwitness.metrics.detection import Costs
from earwitness.metrics.pav import cllr_of_blocks, pool
from earwitness.metrics.tandem import AsvRates, TandemCosts, tdcf_weights


@dataclass(frozen=True)
class Setting:
    """What metrics need beside scores."""

    costs: Costs = field(default_factory=Costs)  # min_dcf, act_dcf
    asv: AsvRates = field(default_factory=AsvRates)  # min_tdcf
    tandem_costs: TandemCosts = field(default_factory=TandemCosts)
    threshold: float | None = None  # hter, accuracy, f1_*: fixed beforehand


@dataclass(frozen=True)
class Counted:
    """Draws of trials: counts per distinct score, (D, K) each, and what the scores are worth."""

    bona_fide: np.ndarray
    spoof: np.ndarray
    lowest: np.ndarray  # (K,) lowest score of each column
    bona_fide_cost: np.ndarray  # (K,) mean ln(1 + e^-s) of its bona fide trials
    spoof_cost: np.ndarray  # (K,) mean ln(1 + e^s) of its spoofs

    @cached_property
    def trials(self) -> tuple[np.ndarray, np.ndarray]:
        """Bona fide and spoof trials of each draw, (D,), (D,)."""
        return self.bona_fide.sum(1, dtype=float), self.spoof.sum(1, dtype=float)

    @cached_property
    def miss(self) -> np.ndarray:
        """Miss rates (D, K + 1), from "accept all" to "reject all"."""
        return from_zero(self.bona_fide) / self.trials[0][:, None]

    @cached_property
    def false_alarm(self) -> np.ndarray:
        """False-alarm rates (D, K + 1)."""
        rejected = from_zero(self.spoof)
        return (self.trials[1][:, None] - rejected) / self.trials[1][:, None]

    @cached_property
    def cllr(self) -> np.ndarray:
        """Bits, (D,)."""
        of_bona_fide = self.bona_fide @ self.bona_fide_cost / self.trials[0]
        of_spoof = self.spoof @ self.spoof_cost / self.trials[1]
        return (of_bona_fide + of_spoof) / (2 * np.log(2))

    @cached_property
    def min_cllr(self) -> np.ndarray:
        """Bits, (D,)."""
        rows = zip(self.bona_fide, self.spoof, strict=True)
        return np.array([cllr_of_blocks(*pool(b, s)) for b, s in rows])

    def rates_at(self, threshold: float | None) -> tuple[np.ndarray, np.ndarray]:
        """Miss and false-alarm rate of each draw at a threshold, (D,), (D,).

        Raises:
            InputError: `no-threshold`.
        """
        if threshold is None:
            raise InputError("no-threshold", "hter, accuracy and f1 need a threshold fixed beforehand")
        k = np.searchsorted(self.lowest, threshold)
        return self.miss[:, k], self.false_alarm[:, k]


def from_zero(counts: np.ndarray) -> np.ndarray:
    """Cumulative sums (D, K + 1) of rows (D, K), beginning with 0."""
    sums = np.zeros((len(counts), counts.shape[1] + 1))
    np.cumsum(counts, axis=1, dtype=float, out=sums[:, 1:])
    return sums


def eer(draws: Counted, setting: Setting) -> np.ndarray:
    """As `detection.eer`, (D,)."""
    gap = draws.false_alarm - draws.miss
    k = np.argmax(gap <= 0, axis=1)
    rows = np.arange(len(k))
    before, after = gap[rows, k - 1], gap[rows, k]
    low, high = draws.miss[rows, k - 1], draws.miss[rows, k]
    return low + before / (before - after) * (high - low)


def auc(draws: Counted, setting: Setting) -> np.ndarray:
    """As `detection.auc`, (D,)."""
    passed = draws.false_alarm
    beaten = 1 - (passed[:, :-1] + passed[:, 1:]) / 2  # share of spoofs below, ties half
    return np.einsum("dk,dk->d", draws.bona_fide, beaten) / draws.trials[0]


def min_dcf(draws: Counted, setting: Setting) -> np.ndarray:
    """As `detection.min_dcf`, (D,)."""
    costs = setting.costs
    cost = costs.miss_weight * draws.miss + costs.false_alarm_weight * draws.false_alarm
    return cost.min(1) / costs.without_detector


def act_dcf(draws: Counted, setting: Setting) -> np.ndarray:
    """As `detection.act_dcf`, (D,)."""
    costs = setting.costs
    miss, false_alarm = draws.rates_at(costs.bayes_threshold)
    return (costs.miss_weight * miss + costs.false_alarm_weight * false_alarm) / costs.without_detector


def min_tdcf(draws: Counted, setting: Setting) -> np.ndarray:
    """As `tandem.min_tdcf`, with the ASV system held fixed, (D,)."""
    c0, c1, c2 = tdcf_weights(setting.asv, setting.tandem_costs)
    return c0 + (c1 * draws.miss + c2 * draws.false_alarm).min(1)


def hter(draws: Counted, setting: Setting) -> np.ndarray:
    """As `decisions.hter`, (D,)."""
    miss, false_alarm = draws.rates_at(setting.threshold)
    return (miss + false_alarm) / 2


def accuracy(draws: Counted, setting: Setting) -> np.ndarray:
    """As `decisions.accuracy`, (D,)."""
    n, m = draws.trials
    miss, false_alarm = draws.rates_at(setting.threshold)
    return 1 - (miss * n + false_alarm * m) / (n + m)


def f1_bona_fide(draws: Counted, setting: Setting) -> np.ndarray:
    """F1 of the class bona fide, as `decisions.f1_per_class`, (D,)."""
    n, m = draws.trials
    miss, false_alarm = draws.rates_at(setting.threshold)
    return 2 * (1 - miss) * n / ((2 - miss) * n + false_alarm * m)


def f1_spoof(draws: Counted, setting: Setting) -> np.ndarray:
    """F1 of the class spoof, as `decisions.f1_per_class`, (D,)."""
    n, m = draws.trials
    miss, false_alarm = draws.rates_at(setting.threshold)
    return 2 * (1 - false_alarm) * m / ((2 - false_alarm) * m + miss * n)


METRICS: dict[str, Callable[[Counted, Setting], np.ndarray]] = {
    "eer": eer,
    "auc": auc,
    "min_dcf": min_dcf,
    "act_dcf": act_dcf,
    "cllr": lambda draws, _: draws.cllr,
    "min_cllr": lambda draws, _: draws.min_cllr,
    "calibration_loss": lambda draws, _: draws.cllr - draws.min_cllr,
    "min_tdcf": min_tdcf,
    "hter": hter,
    "accuracy": accuracy,
    "f1_bona_fide": f1_bona_fide,
    "f1_spoof": f1_spoof,
}

# Chosen as the best of many on the very trials they are judged on: see `intervals`.
OPTIMISED = frozenset({"min_dcf", "min_cllr", "calibration_loss", "min_tdcf"})
