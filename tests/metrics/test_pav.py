import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.isotonic import IsotonicRegression

from earwitness.metrics import pav

counts = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=2, max_size=60).map(np.array)


def isotonic(bona_fide, spoof):
    """Share of bona fide trials for each trial-bearing column, by scikit-learn."""
    total = bona_fide + spoof
    seen = total > 0
    shares = bona_fide[seen] / total[seen]
    return IsotonicRegression().fit_transform(np.arange(seen.sum()), shares, sample_weight=total[seen])


@pytest.mark.parametrize("pool", [pav.pool, pav.pool_one_by_one])
@given(pairs=counts)
def test_blocks_are_the_isotonic_regression(pool, pairs):
    pairs = pairs[pairs.sum(1) > 0]
    if not len(pairs):
        return
    bona_fide, spoof = pool(pairs[:, 0], pairs[:, 1])
    blocks = np.repeat(bona_fide / (bona_fide + spoof), np.rint(bona_fide + spoof).astype(int))
    theirs = np.repeat(isotonic(pairs[:, 0], pairs[:, 1]), pairs.sum(1))
    assert blocks == pytest.approx(theirs, abs=1e-9)
    assert (np.diff(bona_fide / (bona_fide + spoof)) > 0).all()


def test_columns_without_trials_part_nothing():
    bona_fide, spoof = pav.pool(np.array([0, 1, 0, 2, 0]), np.array([0, 3, 0, 1, 0]))
    assert (bona_fide.tolist(), spoof.tolist()) == ([1, 2], [3, 1])


def test_a_long_rise_before_one_heavy_violator():
    # pooled run by run this would take one pass a block: the finishing pass must take over
    n = 200_000
    bona_fide = np.append(np.arange(1.0, n + 1), 0.0)
    spoof = np.append(np.full(n, n + 1.0), 1e18)
    assert len(pav.pool(bona_fide, spoof)[0]) == 1
