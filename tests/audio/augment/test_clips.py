import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from earwitness.audio.augment import clips
from earwitness.errors import InputError


def test_crop_repeats_what_is_short():
    audio = np.arange(10, dtype=np.float32)
    longer = clips.crop(audio, 25, np.random.default_rng(0))
    np.testing.assert_array_equal(np.diff(longer) % 10, 1)
    assert len(longer) == 25


def test_crop_draws_every_place():
    audio = np.arange(4, dtype=np.float32)
    rng = np.random.default_rng(0)
    assert {int(clips.crop(audio, 2, rng)[0]) for _ in range(50)} == {0, 1, 2}


@given(st.integers(1, 200_000))
def test_fast_sizes_are_large_enough_and_not_a_fifth_too_large(samples):
    size = clips.fast_size(samples)
    assert samples <= size <= max(16, 1.25 * samples)
    while size % 2 == 0:
        size //= 2
    assert size in (1, 3, 5, 9, 15)


@given(st.integers(1, 300), st.integers(1, 300))
def test_convolve_is_convolution_cut_to_length(samples, taps):
    rng = np.random.default_rng(samples * 1_000 + taps)
    audio, response = rng.standard_normal(samples), rng.standard_normal(taps)
    expected = np.convolve(audio, response)[:samples]
    np.testing.assert_allclose(clips.convolve(audio, response), expected, atol=1e-10)


def test_contain_divides_by_the_peak_only_above_1():
    np.testing.assert_array_equal(clips.contain(np.array([0.5, -2.0])), np.array([0.25, -1.0], np.float32))
    quiet = np.array([0.5, -1.0], np.float32)
    np.testing.assert_array_equal(clips.contain(quiet), quiet)


def test_changed_sees_one_sample_and_another_length():
    audio = np.zeros(100, np.float32)
    other = audio.copy()
    other[7] = np.float32(1e-20)
    assert not clips.changed(audio, audio.copy())
    assert clips.changed(audio, other)
    assert clips.changed(audio, audio[:-1])


def test_difference_is_energy_of_the_change_over_that_of_the_signal(speech):
    clip = speech[:16_000]
    assert clips.difference_db(clip, 1.1 * clip) == pytest.approx(-20, abs=1e-4)
    assert clips.difference_db(clip, -clip) == pytest.approx(20 * np.log10(2), abs=1e-6)
    assert clips.difference_db(clip, clip) is None
    assert clips.difference_db(clip, clip[1:]) is None
    assert clips.difference_db(np.zeros(9), np.ones(9)) is None


@pytest.mark.parametrize(
    ("audio", "code"),
    [
        (np.zeros(0), "no-samples"),
        (np.zeros((2, 10)), "bad-samples"),
        (np.array([0.0, np.nan]), "bad-samples"),
        (np.array([0.0, np.inf]), "bad-samples"),
    ],
)
def test_what_is_no_clip_is_refused(audio, code):
    with pytest.raises(InputError) as error:
        clips.ready(audio)
    assert error.value.code == code
