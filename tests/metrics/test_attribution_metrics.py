"""Measures of source tracing against scikit-learn, scipy, closed forms and what must hold of any labels."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from earwitness.errors import InputError
from earwitness.metrics import attribution as measured

NAMES = np.array(["a", "b", "c", "d"])
LABELS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=40)
SCORES = st.lists(st.integers(-3, 3).map(float), min_size=1, max_size=25).map(np.array)  # with ties


def reference():
    return pytest.importorskip("sklearn.metrics")


@settings(max_examples=60, deadline=None)
@given(LABELS)
def test_the_closed_set_is_that_of_sklearn(pairs):
    sklearn = reference()
    true, said = (NAMES[list(column)] for column in zip(*pairs, strict=True))
    names, table = measured.confusion(true, said)
    assert table.tolist() == sklearn.confusion_matrix(true, said, labels=names).tolist()
    assert measured.accuracy(true, said) == pytest.approx(sklearn.accuracy_score(true, said))
    f1 = sklearn.f1_score(true, said, average="macro", zero_division=0)
    assert measured.macro_f1(true, said) == pytest.approx(f1)
    recall = sklearn.recall_score(true, said, labels=np.unique(true), average=None, zero_division=0)
    assert list(measured.recalls(true, said).values()) == pytest.approx(recall.tolist())
    assert measured.balanced_accuracy(true, said) == pytest.approx(recall.mean())


def test_a_constant_answer_is_right_once_in_as_many_times_as_there_are_classes():
    true = np.repeat(NAMES, [50, 3, 2, 1])
    said = np.full(len(true), "a")
    assert measured.accuracy(true, said) == pytest.approx(50 / 56)
    assert measured.balanced_accuracy(true, said) == pytest.approx(1 / 4)
    assert measured.macro_f1(true, said) == pytest.approx((2 * 50 / (50 + 56)) / 4)


@settings(max_examples=60, deadline=None)
@given(SCORES, SCORES)
def test_the_open_set_is_that_of_sklearn_with_ties(known, unknown):
    sklearn = reference()
    label = np.r_[np.zeros(len(known)), np.ones(len(unknown))]
    scores = np.r_[known, unknown]
    assert measured.auroc(known, unknown) == pytest.approx(sklearn.roc_auc_score(label, scores))
    assert measured.aupr(known, unknown) == pytest.approx(sklearn.average_precision_score(label, scores))
    fpr, tpr, _ = sklearn.roc_curve(label, scores, drop_intermediate=False)
    assert measured.fpr_at_tpr(known, unknown) == pytest.approx(fpr[tpr >= 0.95].min())
    for threshold in (-1.0, 0.5, 9.0):
        expected = sklearn.f1_score(label, scores >= threshold, zero_division=0)
        assert measured.f1_at(known, unknown, threshold) == pytest.approx(expected)


def test_of_two_normal_distributions_the_closed_forms_hold():
    from scipy.stats import norm

    places = norm.ppf((np.arange(20_000) + 0.5) / 20_000)
    known, unknown = places, places + 1.5
    assert measured.auroc(known, unknown) == pytest.approx(norm.cdf(1.5 / np.sqrt(2)), abs=1e-4)
    assert measured.ood_eer(known, unknown) == pytest.approx(norm.cdf(-0.75), abs=1e-4)
    there = norm.sf(norm.ppf(0.05) + 1.5)
    assert measured.fpr_at_tpr(known, unknown) == pytest.approx(there, abs=1e-3)


def test_the_two_ways_to_read_fpr95_differ_where_the_spreads_do():
    from scipy.stats import norm

    places = norm.ppf((np.arange(20_000) + 0.5) / 20_000)
    known, unknown = places, 3 * places + 2
    assert measured.fpr_at_tpr(known, unknown) == pytest.approx(norm.sf(2 + 3 * norm.ppf(0.05)), abs=1e-3)
    slips = norm.cdf((norm.ppf(0.95) - 2) / 3)
    assert measured.fpr_at_tpr(-unknown, -known) == pytest.approx(slips, abs=1e-3)


@settings(max_examples=60, deadline=None)
@given(SCORES, SCORES, st.integers(0, 2**32 - 1))
def test_the_oscr_area_is_the_share_of_pairs_in_order_whose_name_is_right(known, unknown, seed):
    right = np.random.default_rng(seed).random(len(known)) < 0.6
    order = np.sign(unknown[None] - known[:, None]) / 2 + 0.5
    found = measured.oscr(right, known, unknown)
    assert found == pytest.approx((order * right[:, None]).mean())
    assert found <= right.mean() + 1e-12
    every = np.ones(len(known), bool)
    assert measured.oscr(every, known, unknown) == pytest.approx(measured.auroc(known, unknown))


def test_the_oscr_curve_counts_at_every_threshold():
    right = np.array([True, False, True, True])
    known, unknown = np.array([0.0, 0.1, 0.2, 0.9]), np.array([0.1, 0.5])
    accepted, correct = measured.oscr_curve(right, known, unknown)
    assert accepted.tolist() == [0, 0, 0.5, 0.5, 1, 1]
    assert correct.tolist() == [0, 0.25, 0.25, 0.5, 0.5, 0.75]


def test_all_that_is_unknown_is_one_class_of_the_joint_accuracy():
    true = np.array(["a", "b", "x", "y"])
    said = np.array(["a", measured.UNKNOWN, measured.UNKNOWN, "a"])
    assert measured.joint_accuracy(true, said, ["a", "b"]) == 0.5
    assert measured.joint_accuracy(true, np.array(["b", "b", "y", "x"]), {"a", "b"}) == 0.75


@pytest.mark.parametrize(
    ("code", "call"),
    [
        ("bad-labels", lambda: measured.accuracy(np.array([]), np.array([]))),
        ("bad-labels", lambda: measured.confusion(NAMES, NAMES[:2])),
        ("bad-labels", lambda: measured.oscr(np.ones(2, bool), np.zeros(3), np.zeros(3))),
        ("bad-scores", lambda: measured.auroc(np.array([]), np.zeros(2))),
        ("bad-scores", lambda: measured.f1_at(np.array([np.nan]), np.zeros(2), 0.0)),
    ],
)
def test_what_cannot_be_measured_is_refused(code, call):
    with pytest.raises(InputError) as caught:
        call()
    assert caught.value.code == code


def test_the_whole_report_is_fit_for_json():
    import json

    report = json.loads(json.dumps(measured.closed_set(NAMES[[0, 1, 1]], NAMES[[0, 1, 2]])))
    assert report["recordings"] == 3
    assert report["names"] == ["a", "b", "c"]
    assert report["confusion"] == [[1, 0, 0], [0, 1, 1], [0, 0, 0]]
    assert report["recall"] == {"a": 1.0, "b": 0.5}
