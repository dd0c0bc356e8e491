import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from earwitness.decision.calibration import Calibration, fit_affine, posterior_of_fake
from earwitness.errors import InputError


def test_agrees_with_an_independent_logistic_regression():
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(0)
    genuine, spoof = rng.normal(3, 2, 400), rng.normal(-1, 1, 1500)
    ours = fit_affine(genuine, spoof)
    scores = np.concatenate([genuine, spoof])[:, None]
    labels = np.r_[np.ones(400), np.zeros(1500)]
    theirs = LogisticRegression(C=1e10, class_weight="balanced", tol=1e-10, max_iter=10_000)
    theirs.fit(scores, labels)
    assert ours.scale == pytest.approx(theirs.coef_[0, 0], rel=1e-3)
    assert ours.offset == pytest.approx(theirs.intercept_[0], abs=2e-3)


def test_recovers_the_closed_form_of_two_gaussians():
    # N(m, s) against N(-m, s): the log-likelihood ratio is 2 m x / s^2
    rng = np.random.default_rng(1)
    fitted = fit_affine(rng.normal(1, 2, 100_000), rng.normal(-1, 2, 30_000))
    assert fitted.scale == pytest.approx(0.5, abs=0.02)
    assert fitted.offset == pytest.approx(0.0, abs=0.02)


def test_separable_and_useless_scores_stay_finite():
    perfect = fit_affine(np.array([5.0, 6.0]), np.array([-5.0, -6.0]))
    assert np.isfinite([perfect.scale, perfect.offset]).all()
    assert perfect.scale > 0
    useless = fit_affine(np.ones(5), np.ones(7))
    assert float(useless.apply(1.0)) == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize("genuine", [np.array([]), np.array([np.nan])])
def test_refuses_what_cannot_be_fitted(genuine):
    with pytest.raises(InputError, match="finite scores of both"):
        fit_affine(genuine, np.array([1.0]))


@given(llr=st.floats(-30, 30), prior=st.floats(0.001, 0.999))
def test_posterior_is_bayes_rule(llr, prior):
    spoof, bona_fide = prior, (1 - prior) * np.exp(llr)
    assert posterior_of_fake(llr, prior) == pytest.approx(spoof / (spoof + bona_fide), rel=1e-6)


def test_higher_scores_are_more_bona_fide():
    p = posterior_of_fake(Calibration(0.7, 0.1).apply(np.linspace(-1e4, 1e4, 50)), 0.5)
    assert np.all(np.diff(p) <= 0)
    assert p[0] == 1
    assert p[-1] == pytest.approx(0)
