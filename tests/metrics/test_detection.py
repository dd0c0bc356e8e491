import csv
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from earwitness.errors import InputError
from earwitness.metrics.detection import cllr, eer
from earwitness.metrics.intervals import grouped_bootstrap

sides = st.tuples(
    st.lists(st.integers(-20, 20), min_size=1, max_size=40),
    st.lists(st.integers(-20, 20), min_size=1, max_size=40),
)


def quantiles(n, mean, deviation):
    return np.array([NormalDist(mean, deviation).inv_cdf((i - 0.5) / n) for i in range(1, n + 1)])


def test_known_values():
    assert eer(np.array([2.0, 3.0]), np.array([0.0, 1.0])) == 0
    assert eer(np.array([0.0, 1.0]), np.array([2.0, 3.0])) == 1
    assert eer(np.ones(7), np.ones(3)) == pytest.approx(0.5)
    assert eer(np.array([0, 0, 1, 1]), np.array([0, 0, 0, 1])) == pytest.approx(0.4)


def test_equal_gaussians_have_the_closed_form():
    # N(1, 1) against N(-1, 1): EER is the normal tail beyond 1
    found = eer(quantiles(20_000, 1, 1), quantiles(30_000, -1, 1))
    assert found == pytest.approx(NormalDist().cdf(-1), abs=2e-4)


def test_golden_vector_of_the_official_package():
    # bona fide q(1000, 2, 1), spoof q(3000, -1, 1.5): figures computed with the ASVspoof 5 code
    bona_fide, spoof = quantiles(1000, 2, 1), quantiles(3000, -1, 1.5)
    assert eer(bona_fide, spoof) == pytest.approx(0.115, abs=5e-4)
    assert cllr(bona_fide, spoof) == pytest.approx(0.500992695592331, abs=1e-9)


@pytest.mark.shared
def test_asvspoof5_development_scores(shared):
    # official package on the same scores: EER 0.619732 %, Cllr 0.0281906 bit; it does not
    # interpolate, which moves the EER by less than the weight of one of 7,252 clips
    with (shared / "reference" / "asvspoof5_dev_scores.csv").open() as file:
        rows = [(float(r["cm_score"]), float(r["sasv_label"])) for r in csv.DictReader(file)]
    scores, labels = np.array(rows).T
    assert eer(scores[labels > 0], scores[labels == 0]) == pytest.approx(0.00619732, abs=2e-5)
    assert cllr(scores[labels > 0], scores[labels == 0]) == pytest.approx(0.0281906, abs=1e-6)


@given(sides, st.randoms())
def test_order_and_monotone_maps_do_not_matter(scores, random):
    bona_fide, spoof = (np.array(side, float) for side in scores)
    value = eer(bona_fide, spoof)
    assert 0 <= value <= 1
    shuffled = list(bona_fide)
    random.shuffle(shuffled)
    assert eer(np.array(shuffled), spoof) == pytest.approx(value)
    assert eer(np.arctan(bona_fide) * 3 + 1, np.arctan(spoof) * 3 + 1) == pytest.approx(value)
    assert eer(-spoof, -bona_fide) == pytest.approx(value)


@given(sides)
def test_swapping_the_classes_mirrors_the_rate(scores):
    bona_fide, spoof = (np.array(side, float) for side in scores)
    assert eer(bona_fide, spoof) + eer(spoof, bona_fide) == pytest.approx(1, abs=1e-9)


def test_cllr_of_saying_nothing_is_one_bit():
    assert cllr(np.zeros(5), np.zeros(9)) == pytest.approx(1)
    assert cllr(np.full(3, 50.0), np.full(3, -50.0)) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("bad", [[], [np.nan, 1.0]])
def test_bad_scores_are_named(bad):
    with pytest.raises(InputError, match="spoof scores"):
        eer(np.array([1.0]), np.array(bad))


def test_grouped_bootstrap_widens_where_groups_agree():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(20), 40)
    page_effect = rng.normal(0, 1, 20)[groups]
    labels = groups % 2 == 0  # pages of one class, as many demo pages are
    scores = labels + page_effect + rng.normal(0, 1, 800)
    by_page = grouped_bootstrap(eer, scores, labels, groups, draws=300)
    by_clip = grouped_bootstrap(eer, scores, labels, np.arange(800), draws=300)
    assert by_page[1] < by_page[0] < by_page[2]
    assert by_page[2] - by_page[1] > by_clip[2] - by_clip[1]
    assert by_page == grouped_bootstrap(eer, scores, labels, groups, draws=300)
