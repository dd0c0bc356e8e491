from statistics import NormalDist

import numpy as np
import pytest

from earwitness.errors import InputError
from earwitness.metrics import resampling
from earwitness.metrics.counted import METRICS, OPTIMISED, Setting
from earwitness.metrics.detection import Costs, eer
from earwitness.metrics.intervals import USUAL, bootstrap, bootstrap_sides, compare, grouped_bootstrap
from earwitness.metrics.tandem import a_dcf, t_eer

EVERY = tuple(METRICS)
SETTING = Setting(threshold=0.0)


def simulated(n, m, seed, apart=1.0):
    """Equal Gaussians whose scores are their log-likelihood ratios."""
    rng = np.random.default_rng(seed)
    bona_fide = np.repeat([True, False], [n, m])
    return 2 * apart * (np.where(bona_fide, apart, -apart) + rng.normal(0, 1, n + m)), bona_fide


def test_intervals_hold_their_values_and_repeat():
    scores, bona_fide = simulated(200, 300, 0)
    found = bootstrap(scores, bona_fide, metrics=EVERY, setting=SETTING)
    assert set(found) == set(METRICS)
    assert found["eer"].value == pytest.approx(eer(scores[bona_fide], scores[~bona_fide]), abs=1e-9)
    for name, interval in found.items():
        assert 0 <= interval.low <= interval.value <= interval.high, name
        assert interval.low < interval.high
    assert bootstrap(scores, bona_fide, metrics=EVERY, setting=SETTING) == found
    assert bootstrap(scores, bona_fide, metrics=("eer",), seed=1)["eer"] != found["eer"]
    assert set(bootstrap(scores, bona_fide)) == set(USUAL)


def test_no_interval_reaches_beyond_a_system_that_tells_nothing_apart():
    scores, bona_fide = simulated(60, 80, 1, apart=0.05)
    found = bootstrap(scores, bona_fide, np.arange(140) // 20, EVERY, setting=SETTING)
    for name in ("min_dcf", "min_cllr", "min_tdcf"):
        assert found[name].value <= found[name].high <= 1, name


def test_order_of_trials_and_monotone_maps_leave_rank_metrics_alone():
    scores, bona_fide = simulated(200, 300, 0)
    names = ("eer", "auc", "min_dcf", "min_cllr")
    mapped = bootstrap(np.arctan(scores), bona_fide, metrics=names)
    for name, interval in bootstrap(scores, bona_fide, metrics=names).items():
        assert vars(mapped[name]) == pytest.approx(vars(interval)), name


def test_widths_have_closed_forms():
    scores, bona_fide = simulated(4000, 6000, 3)
    found = bootstrap(scores, bona_fide, draws=2000, metrics=("hter", "auc", "cllr"), setting=SETTING)
    b, s = scores[bona_fide], scores[~bona_fide]
    binomial = [rate * (1 - rate) / n for rate, n in ((np.mean(b < 0), 4000), (np.mean(s >= 0), 6000))]
    # DeLong: variance of the share each trial beats
    beats = np.searchsorted(np.sort(s), b) / len(s), np.searchsorted(np.sort(b), s) / len(b)
    costs = np.logaddexp(0, -b) / (2 * np.log(2)), np.logaddexp(0, s) / (2 * np.log(2))
    errors = {
        "hter": np.sqrt(sum(binomial)) / 2,
        "auc": np.sqrt(beats[0].var() / 4000 + beats[1].var() / 6000),
        "cllr": np.sqrt(costs[0].var() / 4000 + costs[1].var() / 6000),
    }
    for name, error in errors.items():
        width = found[name].high - found[name].low
        assert width == pytest.approx(2 * 1.96 * error, rel=0.08), name


def test_intervals_hold_the_truth_as_often_as_they_say():
    normal, runs = NormalDist(), 200
    # Bayes-optimal threshold of ratios 2 x: cost of two normal tails; prior and costs of ASVspoof 5
    threshold = Costs().bayes_threshold / 2
    dcf = (0.95 * normal.cdf(threshold - 1) + 0.5 * normal.cdf(-1 - threshold)) / 0.5
    truth = {"eer": normal.cdf(-1), "auc": normal.cdf(2**0.5), "act_dcf": dcf, "min_dcf": dcf}
    hits = dict.fromkeys(truth, 0)
    for run in range(runs):
        scores, bona_fide = simulated(300, 300, 1000 + run)
        for name, found in bootstrap(scores, bona_fide, metrics=tuple(truth), draws=400, seed=run).items():
            hits[name] += found.low <= truth[name] <= found.high
    for name in ("eer", "auc", "act_dcf"):
        assert 0.90 <= hits[name] / runs <= 0.98, name
    assert hits["min_dcf"] / runs >= 0.86  # plain percentiles: 0.82


def test_intervals_of_the_best_calibration_are_not_fooled_by_their_optimism():
    # ratios are calibrated: Cllr and its least value are one number, found by integration
    x = np.linspace(-8, 10, 20_001)
    truth = (
        np.sum(np.exp(-((x - 1) ** 2) / 2) * np.log2(1 + np.exp(-2 * x))) * (x[1] - x[0]) / np.sqrt(2 * np.pi)
    )
    hits = 0
    for run in range(60):
        scores, bona_fide = simulated(150, 150, 1000 + run)
        found = bootstrap(scores, bona_fide, metrics=("min_cllr",), draws=400, seed=run)["min_cllr"]
        hits += found.low <= truth <= found.high
    assert hits / 60 >= 0.8  # plain percentiles: 0.54


def test_groups_widen_intervals_and_hold_the_truth():
    rng = np.random.default_rng(0)
    runs, hits, alone = 60, 0, 0
    groups = np.repeat(np.arange(40), 20)
    bona_fide = groups % 2 == 0  # pages of one class, as many demo pages are
    for run in range(runs):
        scores = np.where(bona_fide, 1.0, -1.0) + rng.normal(0, 1, 40)[groups] + rng.normal(0, 0.5, 800)
        truth = NormalDist().cdf(-1 / 1.25**0.5)
        by_group = bootstrap(scores, bona_fide, groups, ("eer",), draws=400, seed=run)["eer"]
        by_trial = bootstrap(scores, bona_fide, None, ("eer",), draws=400, seed=run)["eer"]
        hits += by_group.low <= truth <= by_group.high
        alone += by_trial.low <= truth <= by_trial.high
        assert by_group.high - by_group.low > 1.5 * (by_trial.high - by_trial.low)
    assert 0.88 <= hits / runs <= 0.99
    assert alone / runs < 0.75


def test_trials_as_groups_are_trials_and_names_do_not_matter():
    scores, bona_fide = simulated(100, 150, 0)
    assert bootstrap(scores, bona_fide, np.arange(250)) == bootstrap(scores, bona_fide)
    groups = np.arange(250) % 30
    named = np.array([f"speaker {g:02d}" for g in groups])
    assert bootstrap(scores, bona_fide, named) == bootstrap(scores, bona_fide, groups)


def test_one_name_for_all_bona_fide_trials_does_not_freeze_them():
    scores, bona_fide = simulated(300, 300, 0)
    generators = np.where(bona_fide, "-", np.char.add("g", (np.arange(600) % 20).astype(str)))
    missed = bootstrap(scores, bona_fide, generators, ("f1_bona_fide", "hter"), setting=SETTING)
    assert missed["hter"].high - missed["hter"].low > 0.02


def test_many_trials_are_approximated_closely(monkeypatch):
    scores, bona_fide = simulated(3000, 6000, 5)
    exact = bootstrap(scores, bona_fide, metrics=EVERY, setting=SETTING)
    monkeypatch.setattr(resampling, "EXACT_UP_TO", 1000)
    monkeypatch.setattr("earwitness.metrics.intervals.EXACT_UP_TO", 1000)
    packed = bootstrap(scores, bona_fide, metrics=EVERY, setting=SETTING)
    for name, interval in exact.items():
        width = interval.high - interval.low
        assert packed[name].value == interval.value
        assert packed[name].low == pytest.approx(interval.low, abs=0.15 * width), name
        assert packed[name].high == pytest.approx(interval.high, abs=0.15 * width), name


def test_a_system_equals_itself_and_differs_from_a_better_one():
    scores, bona_fide = simulated(500, 500, 0)
    worse = scores + np.random.default_rng(1).normal(0, 2, 1000)
    for metric in USUAL:
        same = compare(scores, scores, bona_fide, metric=metric)
        assert (same.difference, same.low, same.high, same.p_value) == (0, 0, 0, 1)
    found = compare(scores, worse, bona_fide)
    values = [eer(side[bona_fide], side[~bona_fide]) for side in (scores, worse)]
    assert found.difference == pytest.approx(values[0] - values[1])
    assert found.low <= found.difference <= found.high < 0
    assert found.p_value == pytest.approx(2 / 1001)
    turned = compare(worse, scores, bona_fide)
    assert (turned.low, turned.high) == pytest.approx((-found.high, -found.low))


def test_pairing_sees_what_separate_intervals_hide():
    scores, bona_fide = simulated(1000, 1000, 0)
    shifted = scores + np.where(bona_fide, 0.15, -0.15)
    first, second = (bootstrap(s, bona_fide, metrics=("eer",))["eer"] for s in (shifted, scores))
    assert first.high > second.low
    assert compare(shifted, scores, bona_fide).p_value < 0.05


@pytest.mark.parametrize("metric", ["auc", "min_dcf"])
def test_p_values_of_equal_systems_are_even(metric):
    rng = np.random.default_rng(0)
    p_values = []
    for run in range(100):
        common, bona_fide = simulated(100, 150, run)
        a, b = (common + rng.normal(0, 1, 250) for _ in range(2))
        p_values.append(compare(a, b, bona_fide, metric=metric, draws=400, seed=run).p_value)
    assert np.mean(np.array(p_values) < 0.05) <= 0.10
    assert 0.1 <= np.mean(np.array(p_values) < 0.2) <= 0.3


def test_metrics_of_three_classes_have_intervals():
    rng = np.random.default_rng(0)
    three = [rng.normal(mean, 1, (120, 2)) for mean in ((3, 2), (-2, 2), (1, -1))]
    single = bootstrap_sides(lambda *s: a_dcf(*s)[0], [s[:, 0] for s in three], optimised=True, draws=400)
    assert 0 <= single.low <= single.value <= single.high <= 1
    tandem = bootstrap_sides(
        lambda t, n, s: t_eer(t[:, 0], n[:, 0], s[:, 0], t[:, 1], n[:, 1], s[:, 1]), three, draws=400
    )
    assert 0 <= tandem.low <= tandem.value <= tandem.high <= 0.3
    assert tandem.low < tandem.high


@pytest.mark.shared
def test_asvspoof5_development_scores(shared):
    table = np.genfromtxt(shared / "reference" / "asvspoof5_dev_scores.csv", delimiter=",", skip_header=1)
    found = bootstrap(table[:, 1], table[:, 2] > 0)
    assert found["min_dcf"].value == pytest.approx(0.0163198, abs=5e-8)
    assert found["act_dcf"].value == pytest.approx(0.0180242, abs=5e-8)
    assert found["cllr"].value == pytest.approx(0.0281906, abs=5e-8)
    # 45 of 7,252 trials are missed at the EER: its error is near that of 45 Poisson counts, 15 %
    width = found["eer"].high - found["eer"].low
    assert 0.25 < width / found["eer"].value < 0.6


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"draws": 100}, "few-draws"),
        ({"draws": 1000, "level": 0.99}, "few-draws"),
        ({"level": 1.0}, "few-draws"),
        ({"metrics": ("eerr",)}, "unknown-metric"),
        ({"metrics": ("hter",)}, "no-threshold"),
        ({"scores": np.array([0.0, np.nan, 1.0, 2.0])}, "bad-scores"),
        ({"scores": np.array([0.0, np.inf, 1.0, 2.0])}, "bad-scores"),
        ({"scores": np.zeros(3)}, "bad-scores"),
        ({"bona_fide": np.ones(4, bool)}, "bad-scores"),
        ({"groups": np.arange(3)}, "bad-scores"),
    ],
)
def test_what_cannot_be_resampled_is_refused(change, code):
    given = {"scores": np.arange(4.0), "bona_fide": np.array([True, False, True, False])} | change
    with pytest.raises(InputError) as caught:
        bootstrap(**given)
    assert caught.value.code == code


def test_grouped_bootstrap_widens_where_groups_agree():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(20), 40)
    page_effect = rng.normal(0, 1, 20)[groups]
    labels = groups % 2 == 0
    scores = labels + page_effect + rng.normal(0, 1, 800)
    by_page = grouped_bootstrap(eer, scores, labels, groups, draws=300)
    by_clip = grouped_bootstrap(eer, scores, labels, np.arange(800), draws=300)
    assert by_page[1] < by_page[0] < by_page[2]
    assert by_page[2] - by_page[1] > by_clip[2] - by_clip[1]
    assert by_page == grouped_bootstrap(eer, scores, labels, groups, draws=300)
    fast = bootstrap(scores, labels, groups, ("eer",))["eer"]
    assert (fast.low, fast.high) == pytest.approx(by_page[1:], abs=0.04)


def test_optimised_metrics_are_those_with_a_choice():
    assert {"min_dcf", "min_cllr", "calibration_loss", "min_tdcf"} == OPTIMISED
