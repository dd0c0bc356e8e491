"""The shortcut probe finds what was planted, tells groups apart, and is silent where nothing is."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import butter, sosfilt
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import PredefinedSplit, cross_val_predict

from earwitness.audio.protocol import Utterance
from earwitness.operations import shortcuts
from earwitness.operations.shortcuts import (
    FORMAT,
    SOUND,
    find_shortcuts,
    group_of,
    grouped_folds,
    measure,
    nuisances,
    out_of_fold,
    random_folds,
    sample,
    single,
)

RATE = 16_000


def blocks(audio, size=8_000):
    """The audio in blocks of `size`."""
    return [audio[i : i + size].astype(np.float32) for i in range(0, len(audio), size)]


@pytest.fixture
def noise():
    return np.random.default_rng(0).normal(0, 0.1, 3 * RATE)


def test_level_and_peak_of_a_sine():
    found = nuisances(blocks(0.5 * np.sin(2 * np.pi * 500 * np.arange(RATE) / RATE)))
    assert found["level_dbfs"] == pytest.approx(20 * np.log10(0.5 / np.sqrt(2)), abs=0.01)
    assert found["peak_dbfs"] == pytest.approx(20 * np.log10(0.5), abs=0.01)
    assert found["clipped"] == 0
    assert list(found) == SOUND


def test_silence_around_and_inside(noise):
    audio = np.concatenate([np.zeros(RATE // 2), noise, np.zeros(RATE), noise, np.zeros(RATE // 4)])
    found = nuisances(blocks(audio))
    assert found["leading_silence_s"] == pytest.approx(0.5, abs=0.011)
    assert found["trailing_silence_s"] == pytest.approx(0.25, abs=0.011)
    assert found["digital_silence"] == pytest.approx(1.75 / 7.75, abs=0.01)
    assert found["duration_s"] == 7.75


def test_silence_is_relative_to_what_is_loud(noise):
    faint = np.random.default_rng(1).normal(0, 1e-4, RATE // 2)  # 60 dB below
    found = nuisances(blocks(np.concatenate([faint, noise])))
    assert found["leading_silence_s"] == pytest.approx(0.5, abs=0.011)
    assert found["digital_silence"] == 0
    assert nuisances(blocks(1e-3 * np.concatenate([noise, noise])))["leading_silence_s"] == 0


def test_the_floor_is_that_of_the_quiet_parts(noise):
    faint = np.random.default_rng(1).normal(0, 1e-3, 3 * RATE)
    found = nuisances(blocks(np.concatenate([noise, faint, np.zeros(RATE)])))
    assert found["noise_floor_dbfs"] == pytest.approx(-60, abs=1.5)


@pytest.mark.parametrize("cutoff", [1_500, 3_400])
def test_bandwidth_of_what_was_band_limited(noise, cutoff):
    limited = sosfilt(butter(12, cutoff, fs=RATE, output="sos"), noise)
    assert cutoff < nuisances(blocks(limited))["bandwidth_hz"] < 2.2 * cutoff  # 60 dB down
    assert nuisances(blocks(noise))["bandwidth_hz"] == 8_000


def test_clipping_is_a_share(noise):
    clipped = np.clip(4 * np.sin(2 * np.pi * 50 * np.arange(RATE) / RATE), -1, 1)
    share = np.mean(np.abs(clipped) == 1)  # runs of 134 samples, of which two count as their edges
    assert nuisances(blocks(clipped))["clipped"] == pytest.approx(share, abs=0.02)
    assert nuisances(blocks(noise))["clipped"] == 0


def test_nothing_and_digital_silence_have_measures_too():
    for audio in (np.zeros(0), np.zeros(RATE)):
        found = nuisances(blocks(audio))
        assert all(np.isfinite(value) for value in found.values())
        assert found["digital_silence"] == 1
        assert found["leading_silence_s"] == found["duration_s"] == len(audio) / RATE


@given(st.lists(st.integers(1, 9_000), min_size=1, max_size=20))
@settings(max_examples=25)
def test_how_the_audio_is_cut_into_blocks_changes_nothing(sizes):
    audio = np.random.default_rng(0).normal(0, 0.1, sum(sizes)).astype(np.float32)
    audio[: len(audio) // 3] = 0
    whole = nuisances([audio])
    cut = nuisances(np.split(audio, np.cumsum(sizes)[:-1]))
    assert cut == pytest.approx(whole, rel=1e-6, abs=1e-9)


def item(i, real, **more):
    return Utterance(id=str(i), path=Path(str(i)), bona_fide=real, dataset="d", **more)


def test_a_row_is_measured_by_its_sound_and_its_protocol(tmp_path, noise):
    path = tmp_path / "a.wav"
    soundfile.write(path, noise, RATE)
    found = measure(Utterance(id="a", path=path, bona_fide=True, dataset="d", sample_rate=RATE, channels=1))
    assert list(found) == [*SOUND, *FORMAT]
    assert found["level_dbfs"] == pytest.approx(-20, abs=0.2)
    assert (found["sample_rate"], found["channels"]) == (RATE, 1)
    assert found["bits"] == 0  # not known


def test_the_sample_is_seeded_and_even():
    rows = [item(i, i % 4 == 0) for i in range(400)]
    chosen = sample(rows, 50, seed=1)
    assert [one.id for one in chosen] == [one.id for one in sample(rows, 50, seed=1)]
    assert [one.id for one in chosen] != [one.id for one in sample(rows, 50, seed=2)]
    assert sum(one.bona_fide for one in chosen) == 50
    assert len(chosen) == 100
    assert sample(rows, 1_000, 0) == rows


def test_what_a_group_is():
    names = [
        group_of(item(1, True, group="g", speaker="s", source="u")),
        group_of(item(1, True, speaker="s", source="u")),
        group_of(item(1, True, source="u")),
        group_of(item(1, True, speaker="", source="")),
    ]
    assert names == ["d/group/g", "d/speaker/s", "d/source/u", "d/row/1"]


def test_each_measure_by_itself_agrees_with_scikit_learn():
    rng = np.random.default_rng(0)
    bona_fide = rng.random(200) < 0.4
    features = np.round(rng.normal(0, 1, (200, 3)) + bona_fide[:, None] * [1.0, 0.0, -2.0], 1)  # with ties
    found = {one["measure"]: one for one in single(["up", "none", "down"], features, bona_fide)}
    for name, column in zip(["up", "none", "down"], features.T, strict=True):
        area = roc_auc_score(bona_fide, column)
        assert found[name]["auc"] == pytest.approx(max(area, 1 - area), abs=1e-4)
        assert found[name]["higher_in"] == ("real" if area >= 0.5 else "fake")
    assert next(iter(found)) == "down"  # worst first


def test_scores_out_of_fold_agree_with_scikit_learn():
    rng = np.random.default_rng(0)
    bona_fide = rng.random(120) < 0.5
    features = rng.normal(0, 1, (120, 2)) + bona_fide[:, None]
    features[rng.random((120, 2)) < 0.1] = np.nan
    folds = random_folds(bona_fide, 0)
    model = HistGradientBoostingClassifier(random_state=3, max_iter=150, learning_rate=0.05)
    expected = cross_val_predict(
        model, features, bona_fide, cv=PredefinedSplit(folds), method="decision_function"
    )
    np.testing.assert_array_equal(out_of_fold(features, bona_fide, folds, seed=3), expected)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 8)), min_size=4, max_size=60), st.integers(0, 9))
@settings(max_examples=50, deadline=None)
def test_no_group_stands_on_two_folds_and_training_always_holds_both_classes(rows, seed):
    bona_fide = np.array([real for real, _ in rows])
    groups = np.array([f"g{group}" for _, group in rows])
    if bona_fide.all() or not bona_fide.any():
        return
    folds = grouped_folds(bona_fide, groups, seed)
    least = min(len(set(groups[bona_fide == label])) for label in (True, False))
    if least < 2:
        assert folds is None
    if folds is not None:
        assert all(len(set(folds[groups == name])) == 1 for name in groups)
        assert all(len(set(bona_fide[folds != k])) == 2 for k in folds)


@pytest.fixture
def planted(monkeypatch):
    """Runs the probe on rows whose level is given and whose other measures are noise or constant."""

    def run(rows, levels, **options):
        rng = np.random.default_rng(5)
        found = {
            one.id: {**dict.fromkeys([*SOUND, *FORMAT], 1.0), "level_dbfs": level, "clipped": rng.random()}
            for one, level in zip(rows, levels, strict=True)
        }
        monkeypatch.setattr(shortcuts, "measure", lambda one: found[one.id])
        return find_shortcuts(rows, **options)

    return run


def test_a_shortcut_that_carries_over(planted):
    rng = np.random.default_rng(0)
    rows = [item(i, i % 2 == 0, group=f"g{i % 20}", encoding="FLAC") for i in range(300)]
    found = planted(rows, [rng.normal(-20 if one.bona_fide else -23, 1) for one in rows])
    assert found["measures"][0] | {"auc": 1} == {"measure": "level_dbfs", "auc": 1, "higher_in": "real"}
    assert found["grouped"]["auc"]["low"] > 0.9
    assert found["grouped"]["eer"]["value"] < 0.1
    assert found["says"].startswith("Shortcuts: ")
    assert "What tells most: level_dbfs." in found["says"]
    assert (found["real"], found["fake"], found["groups"], found["unreadable"]) == (150, 150, 20, 0)


def test_a_shortcut_of_groups_alone(planted):
    rng = np.random.default_rng(0)
    classes = rng.random(30) < 0.5  # each group has one class and one level; the two are unrelated
    levels = rng.normal(-20, 5, 30)
    rows = [item(i, bool(classes[i % 30]), group=f"g{i % 30}") for i in range(900)]
    found = planted(rows, [levels[i % 30] + rng.normal(0, 0.01) for i in range(900)])
    assert found["random"]["auc"]["value"] > 0.95
    assert found["grouped"]["auc"]["low"] < 0.5
    assert "Split by group" in found["says"]


def test_no_shortcut(planted):
    rng = np.random.default_rng(0)
    rows = [item(i, i % 2 == 0, group=f"g{i % 50}") for i in range(400)]
    found = planted(rows, rng.normal(-20, 1, 400))
    assert found["random"]["auc"]["low"] < 0.5
    assert found["says"].startswith("No shortcut is shown")


def test_the_encoding_is_a_measure(planted):
    rows = [
        item(i, i % 2 == 0, speaker=f"s{i % 30}", encoding="FLAC" if i % 2 else "MP3") for i in range(200)
    ]
    found = planted(rows, np.full(200, -20.0))
    assert found["measures"][0]["auc"] == 1
    assert {one["measure"] for one in found["measures"][:2]} == {"encoding FLAC", "encoding MP3"}
    assert found["grouped"]["auc"]["value"] == 1


def test_a_class_of_one_group_cannot_be_split(planted):
    rows = [item(i, i % 2 == 0, speaker="LJ" if i % 2 == 0 else f"s{i}") for i in range(100)]
    found = planted(rows, [-20.0 - one.bona_fide for one in rows])
    assert found["grouped"] is None
    assert "cannot be told" in found["says"]


def test_too_few_to_say(planted):
    rows = [item(i, i < 10) for i in range(100)]
    found = planted(rows, np.full(100, -20.0))
    assert (found["random"], found["measures"]) == (None, [])
    assert "Too few" in found["says"]


def test_what_cannot_be_read_is_counted(tmp_path, noise):
    rows = []
    for i in range(60):
        path = tmp_path / f"{i}.wav"
        soundfile.write(path, noise[: 4_000 + i] * (2 if i % 2 else 1), RATE)
        rows.append(Utterance(id=str(i), path=path, bona_fide=i % 2 == 0, dataset="d", duration_s=0.25))
    rows[7].path.write_text("no audio")
    rows[8].path.unlink()
    found = find_shortcuts(rows, seed=1)
    assert (found["real"], found["fake"], found["unreadable"]) == (29, 29, 2)
    assert found["measures"][0]["auc"] == 1
    assert found == find_shortcuts(rows, seed=1)
