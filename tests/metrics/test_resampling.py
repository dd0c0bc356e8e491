import numpy as np
import pytest

from earwitness.metrics import resampling
from earwitness.metrics.counted import METRICS, Setting
from earwitness.metrics.resampling import chunks, count_trials, counter, merge_scores, times_drawn, units_of


def simulated(n, seed=0, apart=2.2):
    rng = np.random.default_rng(seed)
    bona_fide = rng.random(n) < 0.3
    return np.where(bona_fide, apart, -apart) * 2 + rng.normal(0, 2, n), bona_fide


def test_without_groups_every_trial_is_drawn_alone_and_class_sizes_stay():
    bona_fide = np.array([True, False, True, False, False])
    units = units_of(bona_fide, None, np.random.default_rng(0))
    assert sorted(units.of_trial) == list(range(5))
    assert units.strata == (2, 0, 3)
    times = times_drawn(units, 200, np.random.default_rng(1))
    assert (times[:, units.rows[0]].sum(1) == 2).all()
    assert (times[:, units.rows[1]].sum(1) == 3).all()
    assert times.mean(0) == pytest.approx(np.ones(5), abs=0.25)


def test_groups_stay_whole_and_are_drawn_within_their_kind():
    groups = np.array(list("aabbccddee"))
    bona_fide = np.array([1, 1, 1, 0, 0, 0, 0, 1, 1, 1], bool)  # a, e bona fide; c spoof; b, d both
    units = units_of(bona_fide, groups, np.random.default_rng(0))
    assert units.strata == (2, 2, 2)  # c is the only one of its kind: its two trials stand alone
    for name in "abde":
        assert len(set(units.of_trial[groups == name])) == 1
    assert len(set(units.of_trial[groups == "c"])) == 2
    assert set(units.of_trial[np.isin(groups, ["a", "e"])]) == {0, 1}
    assert (times_drawn(units, 50, np.random.default_rng(0)).reshape(50, 3, 2).sum(2) == 2).all()


@pytest.mark.parametrize("groups", [None, np.arange(3000) % 70, np.arange(3000) % 2])
def test_draws_count_the_trials_of_the_drawn_units(groups, monkeypatch):
    scores, bona_fide = simulated(3000)
    scores = scores.round(1)
    for limit in (10_000, 100):  # trial by trial; by tables
        monkeypatch.setattr(resampling, "EXACT_UP_TO", limit)
        units = units_of(bona_fide, groups, np.random.default_rng(0))
        every = count_trials(scores, bona_fide)
        times = times_drawn(units, 3, np.random.default_rng(2))
        counts = counter(scores, bona_fide, units, every)(times)
        for draw in range(3):
            drawn = times[draw][units.of_trial]
            for side, counted in ((bona_fide, counts.bona_fide), (~bona_fide, counts.spoof)):
                expected = [drawn[side & (scores == score)].sum() for score in every.lowest]
                assert counted[draw].tolist() == expected


def test_many_units_are_dealt_into_equal_packs_of_one_kind(monkeypatch):
    monkeypatch.setattr(resampling, "EXACT_UP_TO", 1000)
    monkeypatch.setattr(resampling, "PACKS", 32)
    _, bona_fide = simulated(5000)
    units = units_of(bona_fide, None, np.random.default_rng(0))
    assert units.strata == (32, 0, 32)
    for side, rows in zip((bona_fide, ~bona_fide), units.rows, strict=True):
        sizes = np.bincount(units.of_trial[side], minlength=64)
        assert sizes[: rows.start].sum() + sizes[rows.stop :].sum() == 0
        assert np.ptp(sizes[rows]) <= 1


@pytest.mark.parametrize("apart", [0.5, 1.1, 1.7])
def test_merged_scores_change_no_value_by_much(apart):
    scores, bona_fide = simulated(100_000, apart=apart)
    setting = Setting(threshold=0.7)
    every = count_trials(scores, bona_fide)
    merged = merge_scores(every, setting)
    assert len(merged.lowest) < resampling.BINS + 10
    assert (merged.bona_fide.sum(), merged.spoof.sum()) == (bona_fide.sum(), (~bona_fide).sum())
    for name, metric in METRICS.items():
        # of the pooling's own optimism, some 1e-4 bits go with the scores
        assert metric(merged, setting)[0] == pytest.approx(metric(every, setting)[0], rel=1e-3, abs=2e-4), (
            name
        )
    for exact in ("act_dcf", "hter", "cllr"):
        assert METRICS[exact](merged, setting)[0] == pytest.approx(
            METRICS[exact](every, setting)[0], abs=1e-12
        )


@pytest.mark.parametrize("tied", ["bona fide", "spoof"])
def test_merging_takes_a_class_of_one_score(tied):
    scores, bona_fide = simulated(20_000)
    side = bona_fide if tied == "bona fide" else ~bona_fide
    scores[side] = scores.max() + 1 if tied == "bona fide" else scores.min() - 1
    every = count_trials(scores, bona_fide)
    assert METRICS["eer"](merge_scores(every, Setting()), Setting())[0] == 0


def test_chunks_are_all_draws():
    assert sum(chunks(1000, 30_000)) == 1000
    assert list(chunks(3, 10**9)) == [1, 1, 1]
    assert list(chunks(1000, 2)) == [1000]
