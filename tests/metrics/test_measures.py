"""Intervals of metrics of partial fakes: a draw is the metric of the recordings drawn."""

import numpy as np
import pytest
from partial_fakes import made_up

from earwitness.errors import InputError
from earwitness.metrics import resampling, spans
from earwitness.metrics.intervals import bootstrap
from earwitness.metrics.localisation import measures, span_overlap, utterance_eer
from earwitness.metrics.measures import figures, ratio
from earwitness.metrics.reliability import wilson
from earwitness.metrics.resampling import times_drawn
from earwitness.metrics.spans import Recording, pooled


@pytest.mark.parametrize("groups", [None, np.arange(40) // 4])
def test_a_draw_is_the_metric_of_what_was_drawn(groups):
    recordings = made_up(0, 40, spoofed=0.6)
    pool = pooled(recordings, groups)
    times = times_drawn(pool.units, 5, np.random.default_rng(1))
    drawn = {name: one.of_draws(times) for name, one in measures(pool, -0.5).items()}
    for d, row in enumerate(times):
        chosen = [item for i, item in enumerate(recordings) for _ in range(int(row[pool.units.of_trial[i]]))]
        assert len(chosen) == 40
        for name, one in measures(pooled(chosen), -0.5).items():
            assert drawn[name][d] == pytest.approx(one.value, abs=2e-7), name


def test_many_scores_are_merged_and_many_units_packed_without_harm(monkeypatch):
    recordings = made_up(1, 300, spoofed=0.5)
    rng = np.random.default_rng(2)
    recordings = [
        Recording(r.duration_s, r.spoof, r.edges, r.scores + rng.normal(0, 0.1, len(r.scores)))
        for r in recordings
    ]
    exact = figures(measures(pooled(recordings), -0.5), pooled(recordings).units)
    monkeypatch.setattr(resampling, "BINS", 256)
    monkeypatch.setattr(spans, "PACKS", 100)
    pool = pooled(recordings)
    assert max(pool.units.strata) == 100
    for name, found in figures(measures(pool, -0.5), pool.units).items():
        assert found["value"] == exact[name]["value"], name
        widths = [one["high"] - one["low"] for one in (found, exact[name])]
        assert widths[0] == pytest.approx(widths[1], rel=0.3), name


def test_intervals_hold_their_values_repeat_and_narrow_with_more_recordings():
    pool = pooled(made_up(3, 60))
    found = figures(measures(pool, -0.5), pool.units, draws=400)
    assert figures(measures(pool, -0.5), pool.units, draws=400) == found
    assert figures(measures(pool, -0.5), pool.units, draws=400, seed=1) != found
    for name, one in found.items():
        assert one["low"] <= one["value"] <= one["high"], name
    more = pooled(made_up(3, 960))
    wide = found["range_eer"]["high"] - found["range_eer"]["low"]
    narrow = figures({"range_eer": measures(more)["range_eer"]}, more.units, draws=400)["range_eer"]
    assert narrow["high"] - narrow["low"] == pytest.approx(wide / 4, rel=0.35)


def test_the_width_of_a_mean_has_a_closed_form():
    pool = pooled(made_up(4, 400, spoofed=1.0))
    values = np.random.default_rng(0).exponential(1, 400)
    found = figures({"mean": ratio(pool.units, values, np.ones(400))}, pool.units, draws=4000)["mean"]
    assert found["value"] == pytest.approx(values.mean())
    assert found["high"] - found["low"] == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.08)


def test_utterances_have_the_intervals_of_their_trials():
    pool = pooled(made_up(5, 200, spoofed=0.5))
    found = figures({"eer": utterance_eer(pool, pool.scores)}, pool.units, draws=4000)["eer"]
    usual = bootstrap(pool.scores, ~pool.holds_spoof, metrics=("eer",), draws=4000)["eer"]
    assert found["value"] == pytest.approx(usual.value)
    assert [found["low"], found["high"]] == pytest.approx([usual.low, usual.high], abs=0.01)


def test_copies_in_a_group_add_nothing():
    recordings = made_up(6, 40)
    alone, copies = (
        pooled(recordings),
        pooled([one for one in recordings for _ in range(5)], np.arange(200) // 5),
    )
    first, second = (figures(span_overlap(pool), pool.units, draws=4000)["iou"] for pool in (alone, copies))
    assert first["value"] == pytest.approx(second["value"])
    assert second["high"] - second["low"] == pytest.approx(first["high"] - first["low"], rel=0.1)


def test_no_error_has_an_upper_end_and_a_single_fake_no_interval():
    spoof, edges = np.array([[0.2, 0.4]]), np.array([0.0, 0.2, 0.4, 0.6])
    fake = Recording(0.6, spoof, edges, np.array([1.0, -1.0, 1.0]))
    genuine = Recording(0.6, np.empty((0, 2)), edges, np.ones(3))
    pool = pooled([fake] * 8 + [genuine] * 5)
    found = figures(measures(pool), pool.units, draws=400)
    assert found["utterance_eer_lowest"] == {"value": 0, "low": 0, "high": wilson(0, 5, 0.95)[1]}
    assert found["range_eer"] == {"value": 0, "low": 0, "high": wilson(0, 8, 0.95)[1]}
    pool = pooled([fake] + [genuine] * 5)
    assert figures(measures(pool), pool.units)["range_eer"] == {"value": 0, "low": None, "high": None}


def test_an_infinite_end_is_none_beside_a_lower_one():
    spoof = np.array([[1.0, 2.0]])
    near = Recording(9.0, spoof, found=np.array([[1.1, 2.1]]))
    blind = Recording(9.0, spoof, found=np.empty((0, 2)))
    pool = pooled([near] * 6 + [blind] * 5)
    found = figures(measures(pool), pool.units, draws=400)["boundary_error_s"]
    assert found["value"] == pytest.approx(0.1)
    assert (found["low"], found["high"]) == (pytest.approx(0.1), None)


def test_draws_are_enough_or_none():
    pool = pooled(made_up(7, 20))
    made = measures(pool)
    assert figures(made, pool.units, draws=0)["range_eer"]["low"] is None
    with pytest.raises(InputError) as caught:
        figures(made, pool.units, draws=100)
    assert caught.value.code == "few-draws"
