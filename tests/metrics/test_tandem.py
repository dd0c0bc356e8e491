from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from earwitness.errors import InputError
from earwitness.metrics.detection import eer_asvspoof, min_dcf
from earwitness.metrics.tandem import (
    AsvRates,
    Costs2019,
    TandemCosts,
    a_dcf,
    asv_rates,
    min_tdcf,
    min_tdcf_2019,
    t_eer,
)

side = st.lists(st.integers(-8, 8), min_size=1, max_size=20).map(lambda scores: np.array(scores, float))


def quantiles(n, mean, deviation):
    return np.array([NormalDist(mean, deviation).inv_cdf((i - 0.5) / n) for i in range(1, n + 1)])


def test_golden_t_dcf():
    bona_fide, spoof = quantiles(1000, 2, 1), quantiles(3000, -1, 1.5)
    assert min_tdcf(bona_fide, spoof)[0] == pytest.approx(0.39263163700623654, abs=1e-9)


def test_golden_a_dcf_and_asv_rates():
    three = quantiles(1000, 3, 1), quantiles(1000, -2, 1), quantiles(1000, 0, 1.2)
    value, threshold = a_dcf(*three)
    assert value == pytest.approx(0.18635630252100843, abs=1e-9)
    assert threshold == pytest.approx(1.2990821874, abs=1e-6)
    value, threshold = a_dcf(*three, TandemCosts(0.9, 0.05, 0.05, 1, 10, 20))
    assert value == pytest.approx(0.1811111111, abs=1e-9)
    assert threshold == pytest.approx(1.5978895786, abs=1e-6)
    rates = asv_rates(*three, threshold=1.0)
    found = (rates.p_fa, rates.p_miss, rates.p_miss_spoof, rates.p_fa_spoof)
    assert found == pytest.approx((0.001, 0.023, 0.798, 0.202), abs=1e-9)


def test_golden_t_eer():
    cm = quantiles(400, 2, 1)
    asv = quantiles(400, 3, 1), quantiles(400, -2, 1), quantiles(400, 1, 1.2)
    assert t_eer(*asv, cm, cm, quantiles(400, -1, 1.5)) == pytest.approx(0.11045, abs=1e-9)


def test_asv_rates_are_taken_at_the_threshold_of_its_eer():
    three = quantiles(500, 1, 1), quantiles(700, -1, 1), quantiles(300, 0.4, 1)
    threshold = eer_asvspoof(three[0], three[1])[1]
    assert asv_rates(*three) == asv_rates(*three, threshold=threshold)
    assert asv_rates(*three).p_fa == pytest.approx(NormalDist().cdf(-1), abs=5e-3)


def test_t_dcf_depends_on_spoofs_that_the_asv_accepts():
    # the package's caller hands over the rejected ones
    bona_fide, spoof = quantiles(100, 1, 1), quantiles(100, -1, 1)
    given = AsvRates(0.02, 0.02, p_miss_spoof=0.9, p_fa_spoof=0.1)
    swapped = AsvRates(0.02, 0.02, p_miss_spoof=0.1, p_fa_spoof=0.9)
    assert min_tdcf(bona_fide, spoof, given) == min_tdcf(bona_fide, spoof, AsvRates(0.02, 0.02, 0.5, 0.1))
    assert abs(min_tdcf(bona_fide, spoof, given)[0] - min_tdcf(bona_fide, spoof, swapped)[0]) > 0.01


@given(side, side)
def test_t_dcf_is_the_least_of_all_thresholds(bona_fide, spoof):
    asv = AsvRates(0.03, 0.02, 0.6, 0.4)
    thresholds = [*np.concatenate([bona_fide, spoof]), np.inf]
    rates = [(np.mean(bona_fide < t), np.mean(spoof >= t)) for t in thresholds]
    # ASV-constrained: tandem misses, others through the ASV and the CM, spoofs through both;
    # only the CM's errors vary, and its misses also stop others
    full = [
        0.9405 * 1 * (0.02 + 0.98 * m) + 0.0095 * 10 * 0.03 * (1 - m) + 0.05 * 10 * 0.4 * f for m, f in rates
    ]
    without = min(0.9405 * 0.02 + 0.0095 * 10 * 0.03 + 0.05 * 10 * 0.4, 0.9405)  # all or none accepted
    assert min_tdcf(bona_fide, spoof, asv)[0] == pytest.approx(min(full) / without)
    c1, c2 = 0.9405 * (1 - 0.02) - 0.0095 * 10 * 0.03, 10 * 0.05 * (1 - 0.6)
    legacy = min(c1 * m + c2 * f for m, f in rates) / min(c1, c2)
    assert min_tdcf_2019(bona_fide, spoof, asv)[0] == pytest.approx(legacy)


def test_bounds_of_t_dcf():
    good, bad = np.array([3.0, 4.0]), np.array([0.0, 1.0])
    assert min_tdcf(good, bad)[0] == pytest.approx(0.0779337, abs=1e-7)  # the floor: ASV errors
    assert min_tdcf(bad, good)[0] == pytest.approx(1)
    assert min_tdcf_2019(good, bad)[0] == 0
    assert min_tdcf_2019(bad, good)[0] == pytest.approx(1)
    assert Costs2019().p_target == pytest.approx(0.95 * 0.99)


def test_a_dcf_without_others_is_the_dcf():
    rng = np.random.default_rng(0)
    target, other, spoof = rng.normal(1, 1, 300), rng.normal(0, 1, 200), rng.normal(-1, 1, 400)
    alone = a_dcf(target, other, spoof, TandemCosts(0.95, 0.0, 0.05))
    assert alone[0] == pytest.approx(min_dcf(target, spoof)[0])
    assert a_dcf(np.array([1.0]), np.array([0.0]), np.array([0.5]))[0] == 0
    assert a_dcf(np.ones(3), np.ones(3), np.ones(3))[0] == pytest.approx(1)


def t_eer_by_definition(asv, cm_bona_fide, cm_spoof):
    """Every pair of thresholds, as the paper's code goes through them."""

    def rates(scores, t):
        return np.mean(scores < t)

    def cuts(*classes):
        return [-np.inf, *np.nextafter(np.unique(np.concatenate(classes)), np.inf)]

    cm = [(rates(cm_bona_fide, t), 1 - rates(cm_spoof, t)) for t in cuts(cm_bona_fide, cm_spoof)]
    best, value = np.inf, None
    for t in cuts(*asv):
        miss, others, spoofs = rates(asv[0], t), 1 - rates(asv[1], t), 1 - rates(asv[2], t)
        if miss >= (others + spoofs) / 2:
            continue
        gaps = [m + (1 - m) * miss - ((1 - m) * others + f * spoofs) / 2 for m, f in cm]
        m, f = cm[int(np.argmin(np.abs(gaps)))]
        distance = abs(others / spoofs - f / (1 - m)) if spoofs and m < 1 else np.inf
        if distance < best:
            best, value = distance, spoofs * f
    return value


@pytest.mark.parametrize("seed", range(5))
def test_t_eer_is_that_of_every_pair_of_thresholds(seed):
    rng = np.random.default_rng(seed)
    asv = [rng.normal(m, 1, n) for m, n in ((2, 70), (-1, 90), (1, 80))]
    cm = [rng.normal(m, 1, n) for m, n in ((1, 70), (1, 90), (-1, 80))]
    assert t_eer(*asv, *cm) == pytest.approx(
        t_eer_by_definition(asv, np.concatenate(cm[:2]), cm[2]), abs=1e-12
    )


def test_t_eer_is_where_three_tandem_errors_meet():
    normal = NormalDist()

    def cm_threshold(ratio):  # P_fa / (1 - P_miss) falls with the threshold
        low, high = -10.0, 10.0
        for _ in range(60):
            middle = (low + high) / 2
            above = normal.cdf((-1 - middle) / 1.5) > ratio * normal.cdf(2 - middle)
            low, high = (middle, high) if above else (low, middle)
        return low

    def errors(t):
        others, spoofs = normal.cdf(-2 - t), normal.cdf((1 - t) / 1.2)
        c = cm_threshold(others / spoofs)
        passed = normal.cdf(2 - c)
        return 1 - passed * normal.cdf(3 - t), passed * others

    low, high = -6.0, 3.0  # misses rise with the ASV's threshold, others fall
    for _ in range(60):
        middle = (low + high) / 2
        misses, others = errors(middle)
        low, high = (middle, high) if misses < others else (low, middle)
    cm = quantiles(5000, 2, 1)
    asv = quantiles(5000, 3, 1), quantiles(5000, -2, 1), quantiles(5000, 1, 1.2)
    assert t_eer(*asv, cm, cm, quantiles(5000, -1, 1.5)) == pytest.approx(errors(low)[0], abs=1e-3)


def test_t_eer_of_perfect_and_of_inverted_tandems():
    good, bad = np.array([5.0, 6.0]), np.array([0.0, 1.0])
    assert t_eer(good, bad, good, good, good, bad) == 0
    assert t_eer(good, good, good, bad, bad, good) == 1


@pytest.mark.parametrize(
    "bad", [(0.9, 0.05, 0.1), (0.9, 0.2, -0.1), (0.9, 0.05, 0.05, -1), (np.nan, 0.5, 0.5)]
)
def test_costs_without_meaning_are_refused(bad):
    with pytest.raises(InputError, match="priors"):
        TandemCosts(*bad)


def test_an_asv_worse_than_none_is_refused():
    with pytest.raises(InputError, match="no t-DCF"):
        min_tdcf(np.array([1.0]), np.array([0.0]), AsvRates(p_fa=0.9, p_miss=0.95))


@pytest.mark.parametrize("function", [a_dcf, asv_rates])
def test_bad_scores_are_named(function):
    with pytest.raises(InputError, match="non-target scores"):
        function(np.array([1.0]), np.array([]), np.array([0.0]))
