"""Twin and fake: one level, length, band, silence and noise, and in time."""

import numpy as np
import pytest

from earwitness.audio.quality import SAMPLE_RATE
from earwitness.audio.synthesis.pairing import (
    DITHER,
    find_sound,
    finish,
    in_time,
    low_pass,
    measure_band,
    prepare_twin,
    spoken_part,
)
from earwitness.errors import InputError


def rms(audio):
    return np.sqrt(np.square(audio, dtype=np.float64).mean())


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def prompt(speech):
    """Speech with digital silence before, between and behind, an offset, and nothing above 4 kHz."""
    word = low_pass(speech[16_000:40_000], 3_900.0)
    gap = np.zeros(9_600, np.float32)
    return (0.2 * np.concatenate([gap, word, gap, word, gap, gap]) + 0.01).astype(np.float32)


def test_level_length_and_cut_are_those_of_the_twin(prompt, rng):
    twin = prepare_twin(prompt, rng)
    genuine = finish(twin.audio, twin, rng)
    fake = finish(np.tanh(5 * np.roll(twin.audio, 200)), twin, rng)
    assert len(fake) == len(genuine)
    assert 48_000 + 9_600 < len(genuine) < 48_000 + 9_600 + 2 * 2_400 + 800  # words, gap, margins
    assert 20 * np.log10(rms(genuine)) == pytest.approx(-28, abs=3)
    assert rms(fake) == pytest.approx(rms(genuine), rel=0.01)
    assert max(np.abs(genuine).max(), np.abs(fake).max()) < 1
    assert abs(genuine.mean()) < 1e-4


def test_digital_silence_tells_nothing(prompt, rng):
    twin = prepare_twin(prompt, rng)
    hiss = (0.01 * rng.standard_normal(len(prompt))).astype(np.float32)
    pair = [finish(twin.audio, twin, rng), finish(twin.audio + hiss, twin, rng)]
    gap = slice(2_400 + 24_000 + 2_000, 2_400 + 24_000 + 7_000)
    for audio in pair:
        assert rms(audio[gap]) == pytest.approx(DITHER, rel=0.3)
        rounded = np.rint(audio * 32_768)
        assert 0.1 < (rounded[gap] == 0).mean() < 0.9
    assert rms(pair[1][2_400:26_400] - pair[0][2_400:26_400]) > 0.001  # under the words it stays


def test_nothing_lies_above_the_band_of_the_twin(prompt, rng):
    twin = prepare_twin(prompt, rng)
    assert twin.band_hz == pytest.approx(3_900, abs=100)
    hiss = (0.01 * rng.standard_normal(len(prompt))).astype(np.float32)
    pair = [finish(twin.audio, twin, rng), finish(twin.audio + hiss, twin, rng)]
    bands = [measure_band(audio) for audio in pair]
    assert abs(bands[0] - bands[1]) < 200
    assert max(bands) < 4_050


def test_a_full_band_is_left_alone(speech, rng):
    twin = prepare_twin(speech[:48_000] + 0.001 * rng.standard_normal(48_000).astype(np.float32), rng)
    assert twin.band_hz == np.inf
    assert low_pass(twin.audio, twin.band_hz) is twin.audio


@pytest.mark.parametrize("lag", [-700, -60, 60, 700])
def test_what_runs_late_or_early_is_moved(speech, lag):
    audio = speech[16_000:64_000]
    late = np.roll(audio, lag)
    moved = in_time(late, audio)
    assert np.allclose(moved[1_000:-1_000], audio[1_000:-1_000], atol=1e-6)


def test_what_is_no_copy_is_refused(speech, rng):
    twin = prepare_twin(speech[16_000:64_000], rng)
    with pytest.raises(InputError) as caught:
        finish(rng.standard_normal(48_000).astype(np.float32), twin, rng)
    assert caught.value.code == "not-aligned"
    broken = twin.audio.copy()
    broken[5] = np.nan
    with pytest.raises(InputError) as caught:
        finish(broken, twin, rng)
    assert caught.value.code == "bad-samples"


def test_silence_is_refused_and_quiet_speech_raised(speech, rng):
    for nothing in (np.zeros(16_000, np.float32), np.full(16_000, 0.2, np.float32)):
        with pytest.raises(InputError) as caught:
            prepare_twin(nothing, rng)
        assert caught.value.code == "silence"
    assert 20 * np.log10(rms(prepare_twin(speech[:48_000] * 0.02, rng).audio)) == pytest.approx(-28, abs=4)


def test_long_clips_are_cropped_at_a_drawn_place(speech):
    long = np.tile(speech[:48_000], 6)
    twins = [prepare_twin(long, np.random.default_rng(seed)).audio for seed in (0, 0, 1)]
    assert [len(audio) for audio in twins] == [15 * SAMPLE_RATE] * 3
    assert np.array_equal(twins[0], twins[1])
    assert not np.array_equal(twins[0], twins[2])


def test_runs_of_one_value_are_silent_when_they_are_long():
    audio = np.random.default_rng(0).standard_normal(6_000).astype(np.float32)
    audio[1_000:1_200] = 0  # 12 ms
    audio[3_000:4_000] = 0.25
    sound = find_sound(audio)
    assert (sound[900:1_300] == 1).all()
    assert (sound[3_081:3_919] == 0).all()
    assert (sound[:2_900] == 1).all()
    assert (sound[4_100:] == 1).all()
    assert np.abs(np.diff(sound)).max() < 0.03


def test_the_spoken_part_has_its_margin():
    audio = np.zeros(32_000, np.float32)
    audio[10_000:20_000] = np.sin(np.arange(10_000))
    start, stop = spoken_part(audio)
    assert start == pytest.approx(10_000 - 2_400, abs=170)
    assert stop == pytest.approx(20_000 + 2_400, abs=170)
