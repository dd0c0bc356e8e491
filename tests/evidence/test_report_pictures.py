"""Pictures of a recording: the right samples, the right probabilities, the same bytes."""

import io
import tracemalloc

import numpy as np
import pytest
from PIL import Image
from report_of_tone import LLR, record_of, tone, write_tone

from earwitness.audio.io import to_wav
from earwitness.evidence import report_pictures as pictures
from earwitness.evidence.report_pictures import BINS, draw, listen, moment, steps, windows_as_steps


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return write_tone(tmp_path_factory.mktemp("tone") / "tone.wav")


@pytest.fixture(scope="module")
def heard(file):
    with file.open("rb") as opened:
        return listen(opened, file.name, record_of(file))


def test_the_envelope_is_least_and_most_of_each_bin(heard):
    audio = tone()
    each = -(-len(audio) // BINS)
    parts = [audio[i : i + each] for i in range(0, len(audio), each)]
    np.testing.assert_allclose(heard.high[: len(parts)], [max(0, part.max()) for part in parts], atol=1e-6)
    np.testing.assert_allclose(heard.low[: len(parts)], [min(0, part.min()) for part in parts], atol=1e-6)
    assert not heard.high[len(parts) :].any()


def test_the_worst_moment_is_kept_with_what_is_around_it(heard):
    assert heard.part_start_s == 0  # 1.0 - 2.0 lies before the start
    np.testing.assert_allclose(heard.part, tone()[: round(4.5 * 16_000)], atol=1e-6)
    assert (heard.container, heard.note) == ("wav", "")
    assert heard.duration_s == 4.0


def test_without_a_worst_moment_the_middle_of_the_worst_window_stands_in(file):
    windows = [
        {"start_s": 0.0, "end_s": 12.0, "score": 0.0, "llr": 1.0},
        {"start_s": 11.0, "end_s": 23.0, "score": 0.0, "llr": -1.0},
    ]
    assert moment(record_of(file, worst=None, windows=windows)) == (15.0, 19.0)
    assert moment(record_of(file, worst={"start_s": 3.0, "end_s": 100.0, "p_fake": 1})) == (3.0, 11.0)
    assert moment(record_of(file, worst=None, windows=[])) is None


def test_a_long_timeline_is_thinned_to_means_and_highest(file):
    rng = np.random.default_rng(0)
    values = rng.random(5 * BINS - 3)
    values[:12] = np.nan  # nobody speaks
    told = [None if np.isnan(value) else float(value) for value in values]
    record = record_of(file, timeline={"step_s": 0.5, "p_fake": told})
    found = steps(record, 0.5 * len(values))
    assert found is not None
    edges, mean, highest = found
    assert len(mean) == len(edges) - 1 == BINS
    assert np.isnan(mean[:2]).all()
    np.testing.assert_allclose(mean[2], np.nanmean(values[10:15]))
    np.testing.assert_allclose(highest[-1], values[5 * (BINS - 1) :].max())
    assert edges[-1] == 0.5 * len(values)


def test_windows_stand_in_for_a_timeline(file):
    windows = [
        {"start_s": 1.0, "end_s": 13.0, "score": 0.0, "llr": LLR},
        {"start_s": 12.0, "end_s": 24.0, "score": 0.0, "llr": 0.0},
        {"start_s": 30.0, "end_s": 40.0, "score": 0.0, "llr": -LLR},
    ]
    found = windows_as_steps(record_of(file, windows=windows))
    assert found is not None
    edges, p_fake, _ = found
    np.testing.assert_allclose(edges, [1, 12, 24, 30, 40])
    np.testing.assert_allclose(p_fake, [64 / 65, 0.5, np.nan, 1 / 65])


def test_pictures_are_the_same_each_time_and_carry_nothing_else(file, heard):
    made, again = (draw(heard, record_of(file)) for _ in range(2))
    assert [one.name for one in made] == ["timeline", "spectrogram"]
    assert [one.png for one in made] == [one.png for one in again]
    for one in made:
        image = Image.open(io.BytesIO(one.png))
        assert image.size == one.size
        assert image.text == {}  # type: ignore[attr-defined]
    assert "1 stretch" in made[0].alt
    assert "0.96" in made[0].alt
    assert "1.0 to 2.5 s" in made[1].alt


def test_settings_of_the_user_change_nothing(file, heard):
    import matplotlib as mpl

    before = [one.png for one in draw(heard, record_of(file))]
    with mpl.rc_context({"axes.facecolor": "red", "font.size": 20}):
        assert [one.png for one in draw(heard, record_of(file))] == before


def test_what_was_not_scored_has_a_waveform_and_no_spectrogram(file):
    record = record_of(
        file, verdict="no-speech", llr=None, windows=[], spans=[], worst=None, timeline=None, p_fake=None
    )
    with file.open("rb") as opened:
        made = draw(listen(opened, file.name, record), record)
    assert [one.name for one in made] == ["timeline"]
    assert "Nothing of it was scored" in made[0].alt


def test_a_file_longer_than_its_record_says_is_drawn_all_the_same(file):
    record = record_of(file, duration_s=0.01)
    with file.open("rb") as opened:
        found = listen(opened, file.name, record)
    assert found.duration_s == 4.0
    assert draw(found, record)


def test_memory_does_not_grow_with_the_length(tmp_path):
    path = tmp_path / "long.wav"
    path.write_bytes(to_wav(np.tile(tone(), 90), 16_000))  # 23 MB as decoded
    record = record_of(path, duration_s=360.0, worst={"start_s": 300.0, "end_s": 301.5, "p_fake": 0.9})
    with path.open("rb") as opened:
        tracemalloc.start()
        found = listen(opened, path.name, record)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert len(found.part) == round(5.5 * 16_000)
    np.testing.assert_allclose(found.part, np.tile(tone(), 90)[298 * 16_000 :][: len(found.part)], atol=1e-6)
    assert peak < 4e6


def test_progress_is_told(tmp_path):
    path = tmp_path / "long.wav"
    path.write_bytes(to_wav(np.tile(tone(), 20), 16_000))
    told = []
    with path.open("rb") as opened:
        pictures.listen(opened, path.name, record_of(path, duration_s=80.0), told.append)
    assert told == sorted(told)
    assert 0 < told[0] <= told[-1] <= 80
