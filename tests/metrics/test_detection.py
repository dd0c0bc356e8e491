import csv
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import log_loss, roc_auc_score

from earwitness.errors import InputError
from earwitness.metrics.detection import (
    Costs,
    act_dcf,
    auc,
    calibration_loss,
    cllr,
    eer,
    eer_asvspoof,
    eer_nearest,
    eer_threshold,
    min_cllr,
    min_dcf,
)

side = st.lists(st.integers(-20, 20), min_size=1, max_size=40).map(lambda scores: np.array(scores, float))
costs = st.builds(Costs, st.floats(0.01, 0.99), st.floats(0.1, 10), st.floats(0.1, 10))
ORDER_ONLY = (eer, lambda b, s: eer_nearest(b, s)[0], auc, lambda b, s: min_dcf(b, s)[0], min_cllr)


def quantiles(n, mean, deviation):
    return np.array([NormalDist(mean, deviation).inv_cdf((i - 0.5) / n) for i in range(1, n + 1)])


def test_golden_vectors_of_the_official_package():
    bona_fide, spoof = quantiles(1000, 2, 1), quantiles(3000, -1, 1.5)
    assert eer(bona_fide, spoof) == pytest.approx(0.115, abs=1e-9)
    for rule in (eer_threshold, eer_nearest, eer_asvspoof):
        value, threshold = rule(bona_fide, spoof)
        assert value == pytest.approx(0.115, abs=1e-9)
        assert threshold == pytest.approx(0.7992509704884343, abs=1e-6)
    value, threshold = min_dcf(bona_fide, spoof)
    assert value == pytest.approx(0.2767, abs=1e-9)
    assert threshold == pytest.approx(0.2885195284827733, abs=1e-6)
    assert act_dcf(bona_fide, spoof) == pytest.approx(0.41326666666666667, abs=1e-9)
    assert cllr(bona_fide, spoof) == pytest.approx(0.500992695592331, abs=1e-9)


def test_golden_vectors_of_nine_trials():
    bona_fide, spoof = np.array([0.2, 0.9, 1.5, 2.0]), np.array([-1, -0.5, 0.3, 1.0, -2])
    assert eer_asvspoof(bona_fide, spoof) == pytest.approx((0.225, 0.3), abs=1e-9)
    assert eer(bona_fide, spoof) == pytest.approx(0.25, abs=1e-9)  # interpolated ROC
    assert eer_nearest(bona_fide, spoof) == pytest.approx((0.225, 0.3), abs=1e-6)
    assert min_dcf(bona_fide, spoof) == pytest.approx((0.4, -0.5), abs=1e-6)
    assert min_dcf(bona_fide, spoof)[0] == pytest.approx(0.4, abs=1e-9)
    assert act_dcf(bona_fide, spoof) == pytest.approx(0.6, abs=1e-9)
    assert cllr(bona_fide, spoof) == pytest.approx(0.6732229874155482, abs=1e-9)


def test_ties_by_each_rule():
    bona_fide, spoof = np.array([0, 0, 1, 1]), np.array([0, 0, 0, 1])
    assert eer_asvspoof(bona_fide, spoof)[0] == pytest.approx(0.5)
    assert eer_nearest(bona_fide, spoof)[0] == pytest.approx(0.375)
    assert eer(bona_fide, spoof) == pytest.approx(0.4)
    same = np.ones(7), np.ones(3)
    assert (eer(*same), eer_nearest(*same)[0], eer_asvspoof(*same)[0]) == (0.5, 0.5, 1.0)
    assert (auc(*same), min_dcf(*same)[0], min_cllr(*same)) == (0.5, 1.0, 1.0)


def test_separated_classes():
    good, bad = np.array([2.0, 3.0]), np.array([0.0, 1.0])
    assert (eer(good, bad), auc(good, bad), min_dcf(good, bad)[0], min_cllr(good, bad)) == (0, 1, 0, 0)
    assert (eer(bad, good), auc(bad, good), min_dcf(bad, good)[0], min_cllr(bad, good)) == (1, 0, 1, 1)


@pytest.mark.shared
def test_asvspoof5_development_scores(shared):
    # figures of the official package on the same scores
    with (shared / "reference" / "asvspoof5_dev_scores.csv").open() as file:
        rows = [
            (float(r["asv_score"]), float(r["cm_score"]), float(r["sasv_label"]))
            for r in csv.DictReader(file)
        ]
    asv, cm, label = np.array(rows).T
    bona_fide, spoof = cm[label > 0], cm[label == 0]
    assert (len(bona_fide), len(spoof)) == (7252, 22296)
    assert 100 * eer_asvspoof(bona_fide, spoof)[0] == pytest.approx(0.619732, abs=5e-7)
    assert min_dcf(bona_fide, spoof)[0] == pytest.approx(0.0163198, abs=5e-8)
    assert act_dcf(bona_fide, spoof) == pytest.approx(0.0180242, abs=5e-8)
    assert cllr(bona_fide, spoof) == pytest.approx(0.0281906, abs=5e-8)
    assert min_dcf(bona_fide, spoof, Costs(0.05, 1, 1))[0] == pytest.approx(0.0768289, abs=5e-8)
    assert 100 * eer_asvspoof(asv[label == 1], asv[label == 2])[0] == pytest.approx(1.87093, abs=5e-6)
    assert 100 * eer_asvspoof(asv[label == 1], asv[label == 0])[0] == pytest.approx(20.28234, abs=5e-6)
    # interpolation moves the EER by less than the weight of one of 7,252 trials
    assert eer(bona_fide, spoof) == pytest.approx(0.00619732, abs=1 / 7252)


def test_equal_gaussians_have_closed_forms():
    # N(1, 1) against N(-1, 1): EER is the normal tail beyond 1, AUC that below sqrt 2
    bona_fide, spoof = quantiles(20_000, 1, 1), quantiles(30_000, -1, 1)
    normal = NormalDist()
    assert eer(bona_fide, spoof) == pytest.approx(normal.cdf(-1), abs=2e-4)
    assert auc(bona_fide, spoof) == pytest.approx(normal.cdf(2**0.5), abs=2e-4)
    # their log-likelihood ratio is twice the score: calibrated, so nothing is to be gained
    assert calibration_loss(2 * bona_fide, 2 * spoof) == pytest.approx(0, abs=2e-3)
    assert act_dcf(2 * bona_fide, 2 * spoof) == pytest.approx(min_dcf(bona_fide, spoof)[0], abs=2e-3)
    # at prior and costs c the Bayes threshold of the score is that of the ratio, halved
    threshold = Costs().bayes_threshold / 2
    cost = 0.95 * normal.cdf(threshold - 1) + 0.5 * normal.cdf(-1 - threshold)
    assert min_dcf(bona_fide, spoof)[0] == pytest.approx(cost / 0.5, abs=1e-3)


@given(side, side, st.randoms())
def test_order_of_trials_and_monotone_maps_do_not_matter(bona_fide, spoof, random):
    shuffled = bona_fide.tolist()
    random.shuffle(shuffled)
    for metric in ORDER_ONLY:
        value = metric(bona_fide, spoof)
        assert -1e-12 <= value <= 1 + 1e-12
        assert metric(np.array(shuffled), spoof) == pytest.approx(value)
        assert metric(np.arctan(bona_fide) * 3 + 1, np.arctan(spoof) * 3 + 1) == pytest.approx(value)
        assert metric(np.exp(bona_fide), np.exp(spoof)) == pytest.approx(value)
    assert cllr(np.array(shuffled), spoof) == pytest.approx(cllr(bona_fide, spoof))


@given(side, side)
def test_swapping_and_negating_mirror(bona_fide, spoof):
    for metric in (eer, auc):
        assert metric(bona_fide, spoof) + metric(spoof, bona_fide) == pytest.approx(1, abs=1e-9)
    for metric in (eer, auc, cllr, min_cllr):
        assert metric(-spoof, -bona_fide) == pytest.approx(metric(bona_fide, spoof))
    mirrored = min_dcf(-spoof, -bona_fide, Costs(0.7, 2, 5))[0]
    assert mirrored == pytest.approx(min_dcf(bona_fide, spoof, Costs(0.3, 5, 2))[0])


@given(side, side)
def test_the_rates_cross_at_the_threshold_of_the_eer(bona_fide, spoof):
    value, threshold = eer_threshold(bona_fide, spoof)
    scores = np.concatenate([bona_fide, spoof])
    below, above = scores[scores <= threshold], scores[scores > threshold]
    if len(below):
        assert np.mean(bona_fide < below.max()) <= value + 1e-12
        assert np.mean(spoof >= below.max()) >= value - 1e-12
    if len(above):
        assert np.mean(bona_fide <= above.min()) >= value - 1e-12
        assert np.mean(spoof > above.min()) <= value + 1e-12


@given(side, side)
def test_auc_is_that_of_scikit_learn(bona_fide, spoof):
    labels = np.repeat([1, 0], [len(bona_fide), len(spoof)])
    assert auc(bona_fide, spoof) == pytest.approx(roc_auc_score(labels, np.concatenate([bona_fide, spoof])))


@given(side, side, costs)
def test_min_dcf_is_the_least_of_all_thresholds_and_its_threshold_has_it(bona_fide, spoof, costs):
    def cost(t):
        miss, false_alarm = np.mean(bona_fide < t), np.mean(spoof >= t)
        return (costs.c_miss * (1 - costs.p_spoof) * miss + costs.c_fa * costs.p_spoof * false_alarm) / min(
            costs.c_miss * (1 - costs.p_spoof), costs.c_fa * costs.p_spoof
        )

    value, threshold = min_dcf(bona_fide, spoof, costs)
    least = min(cost(t) for t in [*np.concatenate([bona_fide, spoof]), np.inf])
    assert value == pytest.approx(least)
    assert value == pytest.approx(cost(threshold))
    assert value <= min(1, act_dcf(bona_fide, spoof, costs)) + 1e-12


@given(side, side)
def test_min_cllr_is_that_of_isotonic_regression(bona_fide, spoof):
    labels = np.repeat([1.0, 0.0], [len(bona_fide), len(spoof)])
    weights = np.repeat([0.5 / len(bona_fide), 0.5 / len(spoof)], [len(bona_fide), len(spoof)])
    scores = np.concatenate([bona_fide, spoof])
    # weighted to equal priors, cross-entropy in bits is Cllr and the posterior gives the ratio
    posterior = IsotonicRegression().fit_transform(scores, labels, sample_weight=weights)
    theirs = log_loss(labels, np.clip(posterior, 1e-15, 1 - 1e-15), sample_weight=weights, labels=[0, 1])
    assert min_cllr(bona_fide, spoof) == pytest.approx(theirs / np.log(2), abs=1e-9)
    assert min_cllr(bona_fide, spoof) <= min(1, cllr(bona_fide, spoof)) + 1e-12
    assert calibration_loss(bona_fide, spoof) >= -1e-12


def test_cllr_of_saying_nothing_is_one_bit():
    assert cllr(np.zeros(5), np.zeros(9)) == pytest.approx(1)
    assert cllr(np.full(3, 50.0), np.full(3, -50.0)) == pytest.approx(0, abs=1e-12)
    assert cllr(np.array([-np.inf, 1.0]), np.zeros(1)) == np.inf


def test_costs_give_the_published_bayes_threshold():
    assert Costs().bayes_threshold == pytest.approx(-0.641854, abs=1e-6)
    assert Costs().without_detector == pytest.approx(0.5)


@pytest.mark.parametrize(
    "bad", [(0, 1, 1), (1, 1, 1), (0.5, 0, 1), (0.5, 1, -1), (0.5, 1, np.inf), (np.nan, 1, 1)]
)
def test_costs_without_meaning_are_refused(bad):
    with pytest.raises(InputError, match="p_spoof"):
        Costs(*bad)


@pytest.mark.parametrize(
    "metric", [eer, eer_nearest, eer_asvspoof, auc, min_dcf, act_dcf, cllr, min_cllr, calibration_loss]
)
@pytest.mark.parametrize("bad", [[], [np.nan, 1.0]])
def test_bad_scores_are_named(metric, bad):
    with pytest.raises(InputError, match="spoof scores"):
        metric(np.array([1.0]), np.array(bad))
