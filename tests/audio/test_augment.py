import numpy as np
import pytest

from earwitness.audio import augment

STEPS = [augment.change_level, augment.limit_band, augment.add_noise, augment.add_room]


@pytest.mark.parametrize("step", STEPS)
def test_steps_keep_length_and_type_and_follow_their_seed(step, speech):
    clip = speech[:32_000]
    one, two = (step(clip, np.random.default_rng(1)) for _ in range(2))
    assert one.shape == clip.shape
    assert one.dtype == np.float32
    np.testing.assert_array_equal(one, two)
    assert not np.array_equal(one, clip)


@pytest.mark.parametrize("codec", sorted(augment.CODECS))
def test_codecs_change_the_signal_and_stay_in_time(codec, speech):
    clip = speech[:48_000]
    coded = augment.encode(clip, codec, np.random.default_rng(0))
    assert coded.shape == clip.shape
    difference = np.mean((coded - clip) ** 2)
    assert difference > 1e-9
    shifts = [float(np.dot(np.roll(coded, k), clip)) for k in range(-40, 41)]
    assert abs(int(np.argmax(shifts)) - 40) <= 2
    # a level step in the codec chain would make classes differ by loudness
    assert np.std(coded) == pytest.approx(np.std(clip), rel=0.25)


def test_noise_stands_between_8_and_40_db_under(speech):
    clip = speech[:48_000]
    for seed in range(20):
        added = augment.add_noise(clip, np.random.default_rng(seed)) - clip
        ratio = 10 * np.log10(np.mean(clip**2) / np.mean(added**2))
        assert 7.9 < ratio < 40.1


def test_crop_repeats_what_is_short():
    audio = np.arange(10, dtype=np.float32)
    np.testing.assert_array_equal(augment.crop(audio, 20, np.random.default_rng(0))[:10] >= 0, True)
    assert len(augment.crop(audio, 25, np.random.default_rng(0))) == 25


def test_disturb_at_no_strength_only_changes_the_level(speech):
    clip = speech[16_000:48_000]
    out = augment.disturb(clip, np.random.default_rng(1), 0.0)
    assert np.corrcoef(out, clip)[0, 1] > 0.98
