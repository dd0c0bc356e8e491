"""Distances against SciPy, closed forms, and what must hold of any distance."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import linalg, stats

from earwitness.metrics import distances


def pair(seed, n=90, m=35, dims=4, ties=False):
    rng = np.random.default_rng(seed)
    reference, window = rng.normal(size=(n, dims)), rng.normal(0.4, 1.5, (m, dims))
    return (reference.round(1), window.round(1)) if ties else (reference, window)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 80), st.integers(2, 80), st.booleans())
def test_wasserstein_and_kolmogorov_smirnov_are_those_of_scipy(seed, n, m, ties):
    reference, window = pair(seed, n, m, ties=ties)
    columns = list(zip(reference.T, window.T, strict=True))
    expected = [stats.wasserstein_distance(x, y) for x, y in columns]
    np.testing.assert_allclose(distances.wasserstein(reference, window), expected, atol=1e-12)
    expected = [stats.ks_2samp(x, y, method="asymp").statistic for x, y in columns]
    np.testing.assert_allclose(distances.kolmogorov_smirnov(reference, window), expected, atol=1e-12)


@pytest.mark.parametrize("shift", [0.0, 0.3, -2.0])
def test_a_shift_moves_wasserstein_by_itself(shift):
    rows = np.random.default_rng(0).normal(size=(200, 3))
    np.testing.assert_allclose(distances.wasserstein(rows, rows + shift), abs(shift), atol=1e-12)


def test_jensen_shannon_is_that_of_scipy_and_ends_at_ln_2():
    from scipy.spatial.distance import jensenshannon

    reference, window = pair(2, 500, 200, 1)
    edges = np.concatenate([[-np.inf], np.quantile(reference, np.arange(1, 50) / 50), [np.inf]])
    p, q = (np.histogram(rows, edges)[0] / len(rows) + 1e-6 for rows in (reference, window))
    found = distances.jensen_shannon(reference, window)
    np.testing.assert_allclose(found, [jensenshannon(p, q) ** 2], rtol=1e-6)
    far = distances.jensen_shannon(reference, reference + 100)
    assert far[0] < np.log(2)
    # all of the window lies in one bin of fifty, so that bin is shared
    assert far[0] == pytest.approx(
        (np.log(2) * 0.98 + 0.02 * np.log(0.02 / 0.51) + np.log(1 / 0.51)) / 2, abs=1e-3
    )


def test_energy_is_twice_the_integral_of_squared_differences():
    """In one dimension: Szekely and Rizzo, proposition 1."""
    reference, window = pair(3, 120, 45, 1)
    expected = stats.energy_distance(reference[:, 0], window[:, 0]) ** 2
    assert distances.energy(reference, window) == pytest.approx(expected, abs=1e-9)


def test_frechet_is_that_with_a_matrix_root():
    reference, window = pair(5, 300, 200, 6)
    first, second = np.cov(reference.T), np.cov(window.T)
    root = linalg.sqrtm(first @ second)
    shift = reference.mean(0) - window.mean(0)
    expected = shift @ shift + np.trace(first + second - 2 * np.real(root))
    assert distances.frechet(reference, window) == pytest.approx(expected, rel=1e-9)
    assert distances.frechet(reference, reference) == pytest.approx(0, abs=1e-9)


def test_windows_without_drift_are_as_far_as_published_for_their_size():
    """Standard normal against itself, reference 5,000, window 512: 0.0592 and 0.0394."""
    rng = np.random.default_rng(6)
    reference, window = rng.normal(size=(5_000, 60)), rng.normal(size=(512, 60))
    assert distances.wasserstein(reference, window).mean() == pytest.approx(0.0592, rel=0.1)
    assert distances.kolmogorov_smirnov(reference, window).mean() == pytest.approx(0.0394, rel=0.1)


@pytest.mark.parametrize(
    "distance", [distances.wasserstein, distances.kolmogorov_smirnov, distances.energy, distances.frechet]
)
def test_the_order_of_rows_does_not_matter(distance):
    reference, window = pair(7)
    rng = np.random.default_rng(0)
    np.testing.assert_allclose(
        distance(rng.permutation(reference), rng.permutation(window)), distance(reference, window), atol=1e-9
    )
