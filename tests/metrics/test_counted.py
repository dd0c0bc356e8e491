import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from earwitness.errors import InputError
from earwitness.metrics import decisions, detection, tandem
from earwitness.metrics.counted import METRICS, OPTIMISED, Counted, Setting
from earwitness.metrics.resampling import count_trials

SETTING = Setting(detection.Costs(0.2, 1, 3), tandem.AsvRates(0.03, 0.02, 0.6, 0.4), threshold=0.5)
EXACT = {
    "eer": detection.eer,
    "auc": detection.auc,
    "min_dcf": lambda b, s: detection.min_dcf(b, s, SETTING.costs)[0],
    "act_dcf": lambda b, s: detection.act_dcf(b, s, SETTING.costs),
    "cllr": detection.cllr,
    "min_cllr": detection.min_cllr,
    "calibration_loss": detection.calibration_loss,
    "min_tdcf": lambda b, s: tandem.min_tdcf(b, s, SETTING.asv)[0],
    "hter": lambda b, s: decisions.hter(b, s, 0.5),
    "accuracy": lambda b, s: decisions.accuracy(b, s, 0.5),
    "f1_bona_fide": lambda b, s: decisions.f1_per_class(b, s, 0.5)["bona_fide"]["f1"],
    "f1_spoof": lambda b, s: decisions.f1_per_class(b, s, 0.5)["spoof"]["f1"],
}
trial = st.tuples(st.integers(-5, 5), st.booleans(), st.integers(0, 4))
trials = st.lists(trial, min_size=2, max_size=40).filter(
    lambda trials: {label for _, label, times in trials if times} == {True, False}
)


def test_every_metric_is_compared_with_its_exact_function():
    assert set(EXACT) == set(METRICS)
    assert set(METRICS) >= OPTIMISED


@given(trials)
def test_a_draw_gives_what_the_exact_function_gives_for_its_trials(trials):
    scores, labels, times = (np.array(column) for column in zip(*trials, strict=True))
    every = count_trials(scores.astype(float), labels)
    column = np.searchsorted(every.lowest, scores)
    draw = Counted(
        np.bincount(column, times * labels, len(every.lowest))[None],
        np.bincount(column, times * ~labels, len(every.lowest))[None],
        every.lowest,
        every.bona_fide_cost,
        every.spoof_cost,
    )
    drawn, is_bona_fide = np.repeat(scores.astype(float), times), np.repeat(labels, times)
    for name, exact in EXACT.items():
        expected = exact(drawn[is_bona_fide], drawn[~is_bona_fide])
        assert METRICS[name](draw, SETTING)[0] == pytest.approx(expected, abs=1e-9), name


def test_every_trial_once_gives_the_exact_values():
    rng = np.random.default_rng(0)
    labels = rng.random(5000) < 0.3
    scores = np.where(labels, 1.0, -1.0) + rng.normal(0, 1, 5000)
    every = count_trials(scores, labels)
    for name, exact in EXACT.items():
        found = METRICS[name](every, SETTING)[0]
        assert found == pytest.approx(exact(scores[labels], scores[~labels]), abs=1e-9), name


def test_infinite_scores_cost_only_the_class_they_are_wrong_for():
    every = count_trials(np.array([-np.inf, 0.0, np.inf, 1.0]), np.array([False, False, True, True]))
    assert every.cllr[0] == pytest.approx(detection.cllr(np.array([np.inf, 1]), np.array([-np.inf, 0])))


def test_metrics_of_a_decision_ask_for_a_threshold():
    every = count_trials(np.array([0.0, 1.0]), np.array([False, True]))
    with pytest.raises(InputError, match="threshold"):
        METRICS["hter"](every, Setting())
