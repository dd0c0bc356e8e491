"""Drift: rates without it, power with it, run lengths by simulation, files, and a watch that goes on."""

import json
from dataclasses import replace

import numpy as np
import pytest

from earwitness.errors import InputError
from earwitness.metrics import distances
from earwitness.operations.drift import (
    cusum,
    cusum_bound,
    halves,
    judge,
    make_reference,
    mean_run_length,
)
from earwitness.operations.drift_file import read_reference, write_reference
from earwitness.operations.drift_options import DriftOptions
from earwitness.operations.drift_watch import digest_of, drifting, read_log, read_state, watch
from earwitness.operations.samples import Samples

DIMENSIONS = 12
OPTIONS = DriftOptions(window=64, windows=600, components=8)


def drawn(seed, count, shift=0.0, scale=1.0, model="m", sources=0):
    """Correlated embeddings whose first dimension the score follows; half of them genuine."""
    rng = np.random.default_rng(seed)
    mixing = np.random.default_rng(99).normal(size=(DIMENSIONS, DIMENSIONS))
    labels = rng.random(count) < 0.5
    latent = rng.normal(size=(count, DIMENSIONS)) * scale
    latent[:, 0] += np.where(labels, 2, -2)
    rows = (latent @ mixing + shift * np.sqrt((mixing**2).sum(0) + 4 * mixing[0] ** 2)).astype(np.float32)
    columns = {
        "label": ["real" if label else "fake" for label in labels],
        "model": [model] * count,
        "time": [f"2026-01-01T{i // 3600 % 24:02}:{i // 60 % 60:02}:{i % 60:02}" for i in range(count)],
    }
    if sources:
        columns["source"] = [f"s{i % sources}" for i in range(count)]
    return Samples([f"{seed}-{i}" for i in range(count)], latent[:, 0] * 1.0, rows, columns)


@pytest.fixture(scope="module")
def reference():
    return make_reference(drawn(0, 20_000), OPTIONS)


def test_windows_without_drift_alarm_at_the_stated_rate(reference):
    """The rate is 1 % over three views; at 10 % in all, 400 windows tell 0.033 a view from others."""
    at_ten = replace(reference, options=replace(OPTIONS, rate=0.1))
    fresh = drawn(1, 64 * 400)
    alarms = [judge(at_ten, fresh.take(range(64 * i, 64 * i + 64))).alarm for i in range(400)]
    assert 0.012 <= np.mean(alarms) <= 0.06


def test_the_p_value_is_uniform_without_drift(reference):
    from scipy import stats

    fresh = drawn(2, 64 * 300)
    p = [judge(reference, fresh.take(range(64 * i, 64 * i + 64))).p for i in range(300)]
    assert stats.kstest(p, "uniform").pvalue > 0.001


def test_a_fifth_of_a_deviation_is_caught_at_512():
    made = make_reference(drawn(3, 4_000), replace(OPTIONS, window=512, windows=300))
    moved = drawn(4, 512 * 40, shift=0.2)
    assert all(judge(made, moved.take(range(512 * i, 512 * i + 512))).alarm for i in range(40))


@pytest.mark.parametrize(("shift", "scale"), [(1.0, 1.0), (0.0, 1.8)])
def test_moved_and_widened_windows_alarm(reference, shift, scale):
    found = judge(reference, drawn(5, 64, shift, scale))
    assert found.alarm
    assert found.statistic > found.bound
    assert found.p == pytest.approx(1 / 601)


def test_an_alarm_is_above_the_bound_and_no_alarm_is_not(reference):
    fresh = drawn(6, 64 * 60, shift=0.25)
    found = [judge(reference, fresh.take(range(64 * i, 64 * i + 64))) for i in range(60)]
    assert {one.alarm for one in found} == {True, False}
    assert all(one.alarm == (one.statistic >= one.bound) for one in found)


def test_a_window_of_another_size_gets_a_null_of_its_own(reference):
    fresh = drawn(7, 40 * 3)
    found = [judge(reference, fresh.take(range(40 * i, 40 * i + 40))) for i in range(3)]
    assert max(one.p for one in found) > 0.1
    as_if_64 = found[0].distances["wasserstein"]
    assert as_if_64 > reference.views["all"].null["wasserstein"].mean()  # smaller windows lie further off


def test_another_mix_of_classes_moves_the_whole_but_not_the_classes(reference):
    fresh = drawn(9, 2_000)
    fake, genuine = (np.flatnonzero((fresh.scores < 0) == side) for side in (True, False))
    mixed = fresh.take(np.concatenate([fake[:64], genuine[:6]]))
    assert judge(reference, mixed.take(range(3, 67))).alarm
    assert not judge(reference, mixed, "fake").alarm


def test_the_distances_are_those_of_the_reference_in_its_own_units(reference):
    window = drawn(10, 64)
    found = judge(reference, window)
    rows = reference.rows_of(window)
    view = reference.views["all"]
    expected = distances.wasserstein(view.rows[:, :-1], rows[:, :-1]).mean()
    assert found.distances["wasserstein"] == pytest.approx(expected)
    np.testing.assert_allclose(np.cov(reference.rows[:, :-1].T), np.eye(8), atol=0.1)  # of other data


def test_sources_stay_on_one_side():
    made = make_reference(drawn(11, 800, sources=9), replace(OPTIONS, windows=300))
    for seed in range(5):
        compared, others = halves(made, "all", np.random.default_rng(seed))
        assert len(compared) + len(others) == len(made.rows) < 800
        assert len(compared) % 88 in range(10)  # whole sources of 88 or 89
        assert not {row.tobytes() for row in compared} & {row.tobytes() for row in others}


@pytest.mark.parametrize("wanted", [20, 200])
def test_the_run_length_is_that_of_a_simulation(wanted):
    rng = np.random.default_rng(12)
    steps = rng.gamma(2, size=3_000)
    steps = (steps - steps.mean()) / steps.std()
    bound = cusum_bound(steps, wanted)
    lengths = []
    for _ in range(300):
        total, count = 0.0, 0
        while total <= bound:
            total, count = cusum(total, rng.choice(steps)), count + 1
        lengths.append(count)
    assert np.mean(lengths) == pytest.approx(wanted, rel=0.2)


def test_the_run_length_of_a_bound_of_zero_is_a_geometric_one():
    """Any step above the allowance ends it: 1 / P(step > 0.5)."""
    steps = np.sort(np.random.default_rng(13).normal(size=20_001))
    assert mean_run_length(steps, 1e-9) == pytest.approx(1 / (steps > 0.5).mean(), rel=1e-3)


def test_a_reference_reads_back_the_same(reference, tmp_path):
    path = tmp_path / "reference.npz"
    write_reference(reference, path)
    again = read_reference(path)
    window = drawn(14, 64)
    assert judge(again, window) == judge(reference, window)
    assert again.options == reference.options


def test_what_is_no_reference_is_refused(tmp_path, reference):
    path = tmp_path / "reference.npz"
    with pytest.raises(InputError, match="not a usable drift reference") as caught:
        read_reference(path)
    assert caught.value.code == "bad-reference"
    write_reference(reference, path)
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(InputError, match="not a usable drift reference"):
        read_reference(path)
    np.savez(path, head=np.array([object()], object))
    with pytest.raises(InputError, match="not a usable drift reference"):
        read_reference(path)


def test_other_models_dimensions_and_tiny_windows_are_refused(reference):
    with pytest.raises(InputError, match="is of model m, the samples of n"):
        judge(reference, drawn(15, 64, model="n"))
    window = drawn(15, 64)
    with pytest.raises(InputError, match="of 5 numbers"):
        judge(reference, Samples(window.ids, window.scores, window.embeddings[:, :5], {}))
    with pytest.raises(InputError, match="at least 24"):
        judge(reference, window.take(range(10)))
    with pytest.raises(InputError, match="takes 72 samples"):
        make_reference(drawn(16, 30), OPTIONS)


def test_a_watch_in_pieces_is_the_watch_at_once(reference, tmp_path):
    path = tmp_path / "reference.npz"
    write_reference(reference, path)
    quiet, moved = drawn(17, 200), drawn(18, 330, shift=0.8)
    together = Samples(
        [*quiet.ids, *moved.ids],
        np.concatenate([quiet.scores, moved.scores]),
        np.concatenate([quiet.embeddings, moved.embeddings]),
        {name: [*quiet.columns[name], *moved.columns[name]] for name in quiet.columns},
    )
    digest = digest_of(path)
    whole = watch(reference, digest, together, tmp_path / "whole")
    pieces = []
    for end in (50, 51, 300, 530):
        pieces += watch(reference, digest, together.take(range(end)), tmp_path / "pieces")
        pieces += watch(reference, digest, together.take(range(end)), tmp_path / "pieces")
    by = lambda entry: (entry["view"], entry["window"])  # noqa: E731
    assert sorted(pieces, key=by) == sorted(whole, key=by)
    logs = [read_log(tmp_path / name, read_state(tmp_path / name, digest)) for name in ("whole", "pieces")]
    assert sorted(logs[0], key=by) == sorted(logs[1], key=by) == sorted(whole, key=by)
    seen = [entry for entry in whole if entry["view"] == "all"]
    assert [entry["window"] for entry in seen] == list(range(8))
    assert not any(drifting(entry) for entry in seen[:3])
    assert all(drifting(entry) for entry in seen[4:])
    assert seen[-1]["change"] in (2, 3)


def test_a_watch_killed_between_log_and_state_loses_and_doubles_nothing(reference, tmp_path):
    path = tmp_path / "reference.npz"
    write_reference(reference, path)
    digest, folder, samples = digest_of(path), tmp_path / "watch", drawn(19, 300)
    watch(reference, digest, samples.take(range(100)), folder)
    before = (folder / "state.json").read_bytes()
    first = watch(reference, digest, samples, folder)
    (folder / "state.json").write_bytes(before)  # as if the state had not been written
    assert watch(reference, digest, samples, folder) == first
    windows = [json.loads(line)["window"] for line in (folder / "log.jsonl").read_text().splitlines()]
    assert len(windows) == len(read_log(folder, read_state(folder, digest)))


def test_a_watch_refuses_another_reference_and_another_table(reference, tmp_path):
    path = tmp_path / "reference.npz"
    write_reference(reference, path)
    watch(reference, digest_of(path), drawn(20, 100), tmp_path / "watch")
    with pytest.raises(InputError, match="another reference"):
        watch(reference, "other", drawn(20, 100), tmp_path / "watch")
    with pytest.raises(InputError, match="rows may only be added"):
        watch(reference, digest_of(path), drawn(21, 100), tmp_path / "watch")
