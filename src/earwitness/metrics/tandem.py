"""Detector (countermeasure, CM) and speaker verification (ASV) together.

Conventions of `detection`. ASV and single-system trials are of three classes: target speaker,
other speaker (non-target) and spoof; the first two are bona fide for the CM. Rates and costs are
fractions. The defaults are those of the ASVspoof 5 evaluation plan (Wang et al. 2024).
"""

from dataclasses import dataclass

import numpy as np

from earwitness.errors import InputError
from earwitness.metrics.detection import eer_asvspoof
from earwitness.metrics.sweep import checked, operating_points, share_up_to, thresholds_of


@dataclass(frozen=True)
class AsvRates:
    """Error rates of the ASV system at its threshold.

    The defaults are those of the ASVspoof 5 organisers' system, used where no ASV scores are given.
    """

    p_fa: float = 0.01881016557566423  # other speakers accepted
    p_miss: float = 0.01880141010575793  # targets rejected
    p_miss_spoof: float = 1 - 0.4607082907604729  # spoofs rejected
    p_fa_spoof: float = 0.4607082907604729  # spoofs accepted


@dataclass(frozen=True)
class TandemCosts:
    """Priors and costs of the three classes; the defaults are those of ASVspoof 5.

    Raises:
        InputError: `bad-costs`: the priors do not sum to one, or a number is negative.
    """

    p_target: float = 0.9405
    p_nontarget: float = 0.0095
    p_spoof: float = 0.05
    c_miss: float = 1.0  # rejecting a target
    c_fa: float = 10.0  # accepting another speaker
    c_fa_spoof: float = 10.0  # accepting a spoof

    def __post_init__(self) -> None:
        priors = (self.p_target, self.p_nontarget, self.p_spoof)
        if abs(sum(priors) - 1) > 1e-9 or not all(x >= 0 for x in vars(self).values()):
            raise InputError("bad-costs", f"expected priors that sum to 1 and no negative cost, found {self}")


@dataclass(frozen=True)
class Costs2019:
    """Priors and costs of the t-DCF of ASVspoof 2019, which bills CM and ASV apart."""

    p_target: float = 0.9405
    p_nontarget: float = 0.0095
    p_spoof: float = 0.05
    c_miss_asv: float = 1.0
    c_fa_asv: float = 10.0
    c_miss_cm: float = 1.0
    c_fa_cm: float = 10.0


def asv_rates(
    target: np.ndarray, nontarget: np.ndarray, spoof: np.ndarray, threshold: float | None = None
) -> AsvRates:
    """Error rates of an ASV system at `threshold`.

    None: the threshold of its EER on target against non-target by the rule of ASVspoof 5
    (`eer_asvspoof`), where the package evaluates t-DCF. Trials at the threshold are accepted. (The
    package's own caller passes the rate of *rejected* spoofs on where that of accepted ones is
    meant, if ASV scores are given; this is not repeated here.)

    Raises:
        InputError: `bad-scores`.
    """
    target, nontarget, spoof = three(target, nontarget, spoof)
    if threshold is None:
        threshold = eer_asvspoof(target, nontarget)[1]
    return AsvRates(
        p_fa=float(np.mean(nontarget >= threshold)),
        p_miss=float(np.mean(target < threshold)),
        p_miss_spoof=float(np.mean(spoof < threshold)),
        p_fa_spoof=float(np.mean(spoof >= threshold)),
    )


def tdcf_weights(asv: AsvRates, costs: TandemCosts) -> tuple[float, float, float]:
    """C0, C1, C2 of t-DCF(t) = C0 + C1 P_miss(t) + C2 P_fa(t), divided by C0 + min(C1, C2).

    Kinnunen et al. 2020, "Tandem assessment of spoofing countermeasures and automatic speaker
    verification: fundamentals"; evaluation plans of ASVspoof 2021 and 5.

    Raises:
        InputError: `bad-asv`: the ASV system costs more than rejecting everyone.
    """
    c0 = costs.p_target * costs.c_miss * asv.p_miss + costs.p_nontarget * costs.c_fa * asv.p_fa
    c1 = costs.p_target * costs.c_miss - c0
    c2 = costs.p_spoof * costs.c_fa_spoof * asv.p_fa_spoof
    return normalised(c0, c1, c2, asv)


def normalised(c0: float, c1: float, c2: float, asv: AsvRates) -> tuple[float, float, float]:
    """Weights divided by the cost without a CM.

    Raises:
        InputError: `bad-asv`: a weight is negative, or that cost is zero.
    """
    without_cm = c0 + min(c1, c2)
    if c1 < 0 or c2 < 0 or without_cm <= 0:
        raise InputError("bad-asv", f"no t-DCF at {asv}: rejecting everyone, or everyone passing, costs less")
    return c0 / without_cm, c1 / without_cm, c2 / without_cm


def min_tdcf(
    bona_fide: np.ndarray,
    spoof: np.ndarray,
    asv: AsvRates = AsvRates(),
    costs: TandemCosts = TandemCosts(),
) -> tuple[float, float]:
    """Least ASV-constrained tandem cost over CM thresholds, and the lowest threshold that has it.

    The form of ASVspoof 2021 and 5; see `tdcf_weights`. Its floor is that of a perfect CM, C0 /
    (C0 + min(C1, C2)), 0.0779 with the defaults, not 0; 0.5: half the cost of a tandem without a
    useful CM; 1: the CM does not help.

    Raises:
        InputError: `bad-scores`, `bad-asv`.
    """
    return least_cost(bona_fide, spoof, *tdcf_weights(asv, costs))


def min_tdcf_2019(
    bona_fide: np.ndarray, spoof: np.ndarray, asv: AsvRates = AsvRates(), costs: Costs2019 = Costs2019()
) -> tuple[float, float]:
    """Least t-DCF as ASVspoof 2019 defines it, and its threshold; for comparison with that literature.

    [C1 P_miss(t) + C2 P_fa(t)] / min(C1, C2) with C1 = p_target (c_miss_cm - c_miss_asv P_miss,asv)
    - p_nontarget c_fa_asv P_fa,asv and C2 = c_fa_cm p_spoof (1 - P_miss_spoof,asv) (Kinnunen et al.
    2018; ASVspoof 2019 evaluation plan). 0: a perfect CM; 0.5: half the cost of a tandem without
    a useful CM; 1: the CM does not help.

    Raises:
        InputError: `bad-scores`, `bad-asv`.
    """
    c1 = costs.p_target * (costs.c_miss_cm - costs.c_miss_asv * asv.p_miss)
    c1 -= costs.p_nontarget * costs.c_fa_asv * asv.p_fa
    c2 = costs.c_fa_cm * costs.p_spoof * (1 - asv.p_miss_spoof)
    return least_cost(bona_fide, spoof, *normalised(0.0, c1, c2, asv))


def least_cost(
    bona_fide: np.ndarray, spoof: np.ndarray, c0: float, c1: float, c2: float
) -> tuple[float, float]:
    """Least c0 + c1 P_miss(t) + c2 P_fa(t), and the lowest threshold t that has it."""
    thresholds, miss, false_alarm = operating_points(bona_fide, spoof)
    cost = c1 * miss
    cost += c2 * false_alarm
    i = int(np.argmin(cost))
    return float(c0 + cost[i]), float(thresholds[i])


def a_dcf(
    target: np.ndarray, nontarget: np.ndarray, spoof: np.ndarray, costs: TandemCosts = TandemCosts()
) -> tuple[float, float]:
    """Least architecture-agnostic detection cost of a single SASV score, and its threshold.

    min over t of [c_miss p_target P_miss(t) + c_fa p_nontarget P_fa,non(t) + c_fa_spoof p_spoof
    P_fa,spf(t)], divided by the better of accepting and rejecting everyone (Shim et al. 2024,
    "a-DCF"; its package's defaults are TandemCosts(.9, .05, .05, 1, 10, 20)).
    0: parts targets from all others; 0.5: half the cost of no system; 1: no better than none.

    Raises:
        InputError: `bad-scores`.
    """
    thresholds, miss, fa_nontarget, fa_spoof = three_class_points(target, nontarget, spoof)
    reject = costs.c_miss * costs.p_target
    nontarget_weight, spoof_weight = costs.c_fa * costs.p_nontarget, costs.c_fa_spoof * costs.p_spoof
    cost = reject * miss + nontarget_weight * fa_nontarget + spoof_weight * fa_spoof
    i = int(np.argmin(cost))
    return float(cost[i] / min(reject, nontarget_weight + spoof_weight)), float(thresholds[i])


def three(
    target: np.ndarray, nontarget: np.ndarray, spoof: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores of the three classes as float64 (N,) each.

    Raises:
        InputError: `bad-scores`.
    """
    return checked(target, "target"), checked(nontarget, "non-target"), checked(spoof, "spoof")


def three_class_points(
    target: np.ndarray, nontarget: np.ndarray, spoof: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Thresholds, P_miss, P_fa,non, P_fa,spf, (K + 1,) each, as `sweep.operating_points` has them.

    Raises:
        InputError: `bad-scores`.
    """
    target, nontarget, spoof = three(target, nontarget, spoof)
    distinct = np.unique(np.concatenate([target, nontarget, spoof]))
    miss = np.concatenate([[0.0], share_up_to(target, distinct)])
    fa_nontarget = np.concatenate([[1.0], 1 - share_up_to(nontarget, distinct)])
    fa_spoof = np.concatenate([[1.0], 1 - share_up_to(spoof, distinct)])
    return thresholds_of(distinct), miss, fa_nontarget, fa_spoof


def t_eer(
    asv_target: np.ndarray,
    asv_nontarget: np.ndarray,
    asv_spoof: np.ndarray,
    cm_bona_fide_target: np.ndarray,
    cm_nontarget: np.ndarray,
    cm_spoof: np.ndarray,
) -> float:
    """Concurrent tandem equal error rate of ASV and CM, where both must accept.

    At the concurrent point targets rejected, other speakers accepted and spoofs accepted by the
    tandem have one common rate, so that no prior of spoofing matters (Kinnunen et al. 2023, "t-EER:
    parameter-free tandem evaluation of countermeasures and biometric comparators"). As in its
    published code: for every ASV threshold the CM threshold is taken where the tandem's misses
    are nearest to its false alarms (spoofs and others mixed half and half); of these pairs, those
    that leave the CM something to reject, the one is chosen whose P_fa,non / P_fa,spf (ASV) is
    nearest to P_fa / (1 - P_miss) (CM); its P_fa,spf (ASV) P_fa (CM) is the answer. Every distinct
    threshold is looked at; tied scores share one. 0: the tandem makes no error; 0.5: half of
    targets, others and spoofs go wrong; 1: all.

    Raises:
        InputError: `bad-scores`.
    """
    _, asv_miss, asv_nontarget_fa, asv_spoof_fa = three_class_points(asv_target, asv_nontarget, asv_spoof)
    bona_fide = np.concatenate([checked(cm_bona_fide_target, "target"), checked(cm_nontarget, "non-target")])
    _, cm_miss, cm_fa = operating_points(bona_fide, cm_spoof)
    open_to_cm = np.flatnonzero(asv_miss < (asv_nontarget_fa + asv_spoof_fa) / 2)  # "accept all" is
    best, value = np.inf, np.nan
    for some in np.array_split(open_to_cm, len(open_to_cm) // 2**18 + 1):  # bounds the memory
        a, n, s = asv_miss[some], asv_nontarget_fa[some], asv_spoof_fa[some]
        j = balanced_cm_points(a, n, s, cm_miss, cm_fa)
        with np.errstate(divide="ignore", invalid="ignore"):
            distance = np.nan_to_num(np.abs(n / s - cm_fa[j] / (1 - cm_miss[j])), nan=np.inf, posinf=np.inf)
        i = int(np.argmin(distance))
        if distance[i] < best or np.isnan(value):
            best, value = distance[i], s[i] * cm_fa[j[i]]
    return float(value)


def balanced_cm_points(
    asv_miss: np.ndarray, asv_nontarget: np.ndarray, asv_spoof: np.ndarray, miss: np.ndarray, fa: np.ndarray
) -> np.ndarray:
    """Index (A,) of the CM point (K,) where tandem misses are nearest to tandem false alarms.

    For each of A ASV points, by bisection: along the CM's thresholds misses only rise and false
    alarms only fall.
    """

    def gap(k: np.ndarray) -> np.ndarray:
        passed = 1 - miss[k]
        return miss[k] + passed * asv_miss - (passed * asv_nontarget + fa[k] * asv_spoof) / 2

    low = np.zeros(len(asv_miss), np.int64)  # gap below zero
    high = np.full(len(asv_miss), len(miss) - 1, np.int64)  # gap at least zero: all rejected
    while (high - low > 1).any():
        middle = (low + high) // 2
        behind = gap(middle) < 0
        low, high = np.where(behind, middle, low), np.where(behind, high, middle)
    return np.where(np.abs(gap(low)) <= np.abs(gap(high)), low, high)
