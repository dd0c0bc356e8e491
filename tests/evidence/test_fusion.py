"""The fused LLR against a reference optimiser, and where it holds back."""

import numpy as np
import pytest

from earwitness.evidence.fusion import Fusion, fit_fusion


def trials(seed=0, genuine=300, spoof=150):
    rng = np.random.default_rng(seed)
    label = np.arange(genuine + spoof) < genuine
    llr = np.where(label, 1.0, -1.0) + rng.normal(0, 1.4, len(label))
    retrieval = np.where(label, 0.1, -0.1) + rng.normal(0, 0.2, len(label))
    return llr, retrieval, label


def loss(weight, llr, retrieval, label):
    sign = np.where(label, 1, -1)
    costs = np.logaddexp(0, -sign * (llr + weight * retrieval))
    return costs[label].mean() + costs[~label].mean()


@pytest.mark.parametrize("seed", range(5))
def test_the_weight_has_the_least_cost_with_classes_alike(seed):
    from scipy.optimize import minimize_scalar

    given = trials(seed)
    expected = minimize_scalar(loss, args=given, bounds=(0, 100), method="bounded")
    found = fit_fusion(*given)
    assert loss(found.weight, *given) == pytest.approx(expected.fun, abs=1e-5)


def test_the_size_of_a_class_does_not_matter():
    llr, retrieval, label = trials(1)
    twice = np.concatenate([np.arange(len(label)), np.flatnonzero(label)])
    once = fit_fusion(llr, retrieval, label).weight
    assert fit_fusion(llr[twice], retrieval[twice], label[twice]).weight == pytest.approx(once)


def test_neighbours_that_speak_against_their_labels_are_not_heard():
    llr, retrieval, label = trials(2)
    assert fit_fusion(llr, -retrieval, label).weight == 0


def test_where_nothing_is_near_the_detector_decides_alone():
    found = Fusion(4.0).apply(np.array([1.0, 1.0]), np.array([0.0, -0.5]))
    np.testing.assert_allclose(found, [1.0, -1.0])
