import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import det_curve

from earwitness.errors import InputError
from earwitness.metrics.sweep import operating_points, operating_points_asvspoof, thin, thresholds_of

score = st.one_of(st.integers(-5, 5).map(float), st.floats(-1e6, 1e6))
side = st.lists(score, min_size=1, max_size=30).map(np.array)


@given(side, side)
def test_applying_a_threshold_gives_its_rates(bona_fide, spoof):
    points = operating_points(bona_fide, spoof)
    for threshold, miss, false_alarm in zip(*points, strict=True):
        assert miss == pytest.approx(np.mean(bona_fide < threshold), abs=1e-12)
        assert false_alarm == pytest.approx(np.mean(spoof >= threshold), abs=1e-12)
    assert len(points[0]) == len(np.unique(np.concatenate([bona_fide, spoof]))) + 1


def test_thresholds_part_neighbouring_floats_and_survive_rounding():
    neighbours = np.array([1.0, np.nextafter(1.0, 2), np.nextafter(np.nextafter(1.0, 2), 2)])
    thresholds = thresholds_of(neighbours)
    assert [(neighbours >= t).sum() for t in thresholds] == [3, 2, 1, 0]
    spread = np.array([-3.7, 0.0, 0.2885195284827733, 250.0])
    for t, left in zip(thresholds_of(spread), (4, 3, 2, 1, 0), strict=True):
        assert (spread.astype(np.float32) >= np.float32(t)).sum() == left
        assert (np.round(spread, 7) >= float(f"{t:.7f}")).sum() == left


@given(side, side)
def test_the_curve_is_that_of_scikit_learn(bona_fide, spoof):
    labels = np.repeat([1, 0], [len(bona_fide), len(spoof)])
    theirs = det_curve(labels, np.concatenate([bona_fide, spoof]))
    thresholds, miss, false_alarm = operating_points(bona_fide, spoof)
    for fpr, fnr, threshold in zip(*theirs, strict=True):
        k = np.searchsorted(thresholds, threshold, side="right") - 1
        assert (false_alarm[k], miss[k]) == pytest.approx((fpr, fnr), abs=1e-12)


@given(side, side)
def test_the_asvspoof_sweep_takes_trials_one_by_one_bona_fide_first(bona_fide, spoof):
    trials = sorted([(s, 0) for s in bona_fide] + [(s, 1) for s in spoof])
    thresholds, miss, false_alarm = operating_points_asvspoof(bona_fide, spoof)
    assert (thresholds[0], miss[0], false_alarm[0]) == (trials[0][0] - 0.001, 0, 1)
    rejected = [0, 0]
    for i, (value, label) in enumerate(trials, start=1):
        rejected[label] += 1
        assert thresholds[i] == value
        assert miss[i] == rejected[0] / len(bona_fide)
        assert false_alarm[i] == (len(spoof) - rejected[1]) / len(spoof)


def test_infinite_scores_have_rates():
    thresholds, miss, false_alarm = operating_points(
        np.array([np.inf, 1.0, -np.inf]), np.array([-np.inf, np.inf])
    )
    assert not np.isnan(thresholds).any()
    assert miss == pytest.approx([0, 1 / 3, 2 / 3, 1])
    assert false_alarm == pytest.approx([1, 0.5, 0.5, 0])


def test_thinning_keeps_the_ends_and_the_shape():
    rng = np.random.default_rng(0)
    points = operating_points(rng.normal(3, 1, 100_000), rng.normal(-1, 1.5, 200_000))
    few = thin(*points, points=500)
    assert 200 < len(few[0]) <= 500
    kept = np.searchsorted(points[0], few[0])
    assert kept[0] == 0
    assert kept[-1] == len(points[0]) - 1
    for whole, part in zip(points, few, strict=True):
        assert (whole[kept] == part).all()
    for rate in few[1:]:  # both tails are as fine as the middle
        change = rate[1:][rate[1:] > 1e-3] / rate[:-1][rate[1:] > 1e-3]
        assert ((change > 0.93) & (change < 1.07)).all()
    assert thin(*few, points=500)[0] is few[0]


@pytest.mark.parametrize(("bona_fide", "spoof"), [([1, 1], [1]), ([0, 2], [1, 1, 1]), ([2], [1])])
def test_thinning_takes_curves_of_a_few_points(bona_fide, spoof):
    points = operating_points(np.array(bona_fide), np.array(spoof))
    few = thin(*points, points=2)
    assert (few[1][0], few[2][0], few[1][-1], few[2][-1]) == (0, 1, 1, 0)


@pytest.mark.parametrize("bad", [[], [np.nan, 1.0]])
def test_bad_scores_are_named(bad):
    with pytest.raises(InputError, match="spoof scores"):
        operating_points(np.array([1.0]), np.array(bad))
