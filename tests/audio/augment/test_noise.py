import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from earwitness.audio.augment import noise
from earwitness.errors import InputError


def ratio_db(clip, noisy):
    added = noisy.astype(np.float64) - clip
    return 10 * np.log10(np.sum(clip.astype(np.float64) ** 2) / np.sum(added**2))


def test_coloured_noise_stands_between_8_and_40_db_under(speech):
    clip = speech[:16_000]
    ratios = [ratio_db(clip, noise.add_noise(clip, np.random.default_rng(seed))) for seed in range(200)]
    assert stats.kstest(ratios, stats.uniform(8, 32).cdf).pvalue > 1e-3


def test_coloured_noise_falls_0_to_9_db_an_octave(speech):
    clip = speech[:32_000]
    slopes = []
    for seed in range(60):
        added = noise.add_noise(clip, np.random.default_rng(seed), (0.0, 0.0)) - clip
        power = np.abs(np.fft.rfft(added)) ** 2
        octaves = np.log2(np.fft.rfftfreq(len(clip), 1 / 16_000)[200:])
        slopes.append(np.polyfit(octaves, 10 * np.log10(power[200:]), 1)[0])
    assert -9.3 < min(slopes) < -7
    assert -2 < max(slopes) < 0.3


@pytest.fixture
def recordings(write):
    rng = np.random.default_rng(0)
    time = np.arange(24_000) / 16_000
    return [
        write("tone.wav", 0.2 * np.sin(2 * np.pi * 1_000 * time)),
        write("gap.wav", np.concatenate([np.zeros(30_000), 0.1 * rng.standard_normal(4_000)])),
        write("short.wav", 0.1 * rng.standard_normal(500)),
    ]


@pytest.mark.parametrize("add", [noise.add_recording, noise.add_babble])
def test_recordings_are_added_at_the_ratio_asked_for(add, recordings, speech):
    clip = speech[:24_000]
    for seed in range(30):
        noisy = add(clip, np.random.default_rng(seed), recordings, (12.0, 12.0))
        assert noisy.dtype == np.float32
        assert noisy.shape == clip.shape
        assert ratio_db(clip, noisy) == pytest.approx(12, abs=0.01)


def test_what_is_added_is_the_recording(recordings, speech):
    clip = speech[:16_000]
    added = noise.add_recording(clip, np.random.default_rng(0), recordings[:1], (10.0, 10.0)) - clip
    spectrum = np.abs(np.fft.rfft(added))
    assert np.argmax(spectrum) == 1_000
    places = {
        float(noise.add_recording(clip, np.random.default_rng(seed), recordings[:1])[0]) for seed in range(5)
    }
    assert len(places) == 5


def test_babble_is_several_voices(recordings, monkeypatch, speech):
    drawn = []
    stretch = noise.stretch
    monkeypatch.setattr(noise, "stretch", lambda *which: drawn.append(1) or stretch(*which))
    counts = set()
    for seed in range(60):
        drawn.clear()
        noise.add_babble(speech[:2_000], np.random.default_rng(seed), recordings)
        counts.add(len(drawn))
    assert counts == {3, 4, 5, 6, 7, 8}


def test_voices_of_babble_are_equally_strong(write, speech):
    time = np.arange(16_000) / 16_000
    tones = [
        write("quiet.wav", 0.001 * np.sin(2 * np.pi * 1_000 * time), subtype="FLOAT"),
        write("loud.wav", 0.5 * np.sin(2 * np.pi * 3_000 * time), subtype="FLOAT"),
    ]
    shares = []
    for seed in range(200):
        added = noise.add_babble(speech[:16_000], np.random.default_rng(seed), tones) - speech[:16_000]
        spectrum = np.abs(np.fft.rfft(added)) ** 2
        shares.append(spectrum[1_000] / (spectrum[1_000] + spectrum[3_000]))
    assert np.mean(shares) == pytest.approx(0.5, abs=0.1)


def test_no_or_silent_recordings_are_errors(write, speech):
    with pytest.raises(InputError, match="at least one recording"):
        noise.add_recording(speech, np.random.default_rng(0), [])
    silent = write("silent.wav", np.zeros(16_000))
    with pytest.raises(InputError, match=r"silent\.wav: is silent") as error:
        noise.add_babble(speech, np.random.default_rng(0), [silent])
    assert error.value.code == "no-samples"


@given(st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=50), st.integers(0, 100))
@settings(deadline=None)
def test_any_clip_stays_finite_and_silence_silent(samples, seed):
    clip = np.array(samples, np.float32)
    noisy = noise.add_noise(clip, np.random.default_rng(seed))
    assert noisy.dtype == np.float32
    assert noisy.shape == clip.shape
    assert np.isfinite(noisy).all()
    assert not noise.add_noise(np.zeros_like(clip), np.random.default_rng(seed)).any()
