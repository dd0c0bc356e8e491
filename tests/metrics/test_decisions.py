import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, balanced_accuracy_score, precision_recall_fscore_support

from earwitness.errors import InputError
from earwitness.metrics.decisions import accuracy, error_rates, f1_per_class, hter
from earwitness.metrics.detection import eer_nearest

side = st.lists(st.integers(-5, 5), min_size=1, max_size=30).map(lambda scores: np.array(scores, float))


@given(side, side, st.integers(-6, 6))
def test_figures_are_those_of_scikit_learn(bona_fide, spoof, threshold):
    truth = np.repeat([1, 0], [len(bona_fide), len(spoof)])
    called = (np.concatenate([bona_fide, spoof]) >= threshold).astype(int)
    precision, recall, f1, _ = precision_recall_fscore_support(truth, called, labels=[1, 0], zero_division=0)
    ours = f1_per_class(bona_fide, spoof, threshold)
    for i, name in enumerate(("bona_fide", "spoof")):
        found = ours[name]
        assert (found["precision"], found["recall"], found["f1"]) == pytest.approx(
            (precision[i], recall[i], f1[i])
        )
    assert accuracy(bona_fide, spoof, threshold) == pytest.approx(accuracy_score(truth, called))
    assert hter(bona_fide, spoof, threshold) == pytest.approx(1 - balanced_accuracy_score(truth, called))


def test_a_trial_at_the_threshold_is_accepted():
    assert error_rates(np.array([1.0, 2.0]), np.array([1.0, 0.0]), 1.0) == (0.0, 0.5)


def test_hter_at_the_threshold_of_the_eer_is_the_eer_on_its_own_trials_only():
    rng = np.random.default_rng(0)
    bona_fide, spoof = rng.normal(1, 1, 5000), rng.normal(-1, 1, 5000)
    rate, threshold = eer_nearest(bona_fide, spoof)
    assert hter(bona_fide, spoof, threshold) == pytest.approx(rate)
    assert hter(bona_fide + 1, spoof + 1, threshold) > rate + 0.05


def test_bad_scores_are_named():
    with pytest.raises(InputError, match="bona fide scores"):
        hter(np.array([]), np.array([1.0]), 0)
