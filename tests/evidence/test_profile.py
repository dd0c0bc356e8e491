"""Measures against signals whose pitch, resonances and noise are known, and profiles of the samples."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import lfilter

from earwitness.audio.augment.channel import lower_rate
from earwitness.audio.augment.codecs import transmit
from earwitness.audio.io import load
from earwitness.evidence import profile as voice

RATE = 16_000


def measured(audio):
    values = voice.measure(audio.astype(np.float32))
    assert values is not None
    names = [name for names in voice.MEASURES.values() for name in names]
    return dict(zip(names, values, strict=True))


def pulses(hertz, seconds=3.0, jitter=0.0, shimmer=0.0):
    """Pulses a period apart, beneath 7 kHz; every other period longer and pulse higher by these shares."""
    count = int(hertz * seconds)
    sign = np.where(np.arange(count) % 2, 1, -1)
    times = np.cumsum((1 + sign * jitter / 2) / hertz)
    heights = 1 + sign * shimmer / 2
    samples = int(seconds * RATE)
    spectrum = np.zeros(samples // 2 + 1, complex)
    bins = np.arange(int(7_000 * seconds))
    spectrum[bins] = np.exp(-2j * np.pi * np.outer(bins / seconds, times)) @ heights
    return np.fft.irfft(spectrum, samples)


def vowel(hertz, resonances, width=80.0, **faults):
    """Pulses through resonances, and through the lips: second-order sections, as in formant synthesis."""
    wave = np.asarray(lfilter([1], [1, -0.97], pulses(hertz, **faults)))
    for frequency in resonances:
        radius = np.exp(-np.pi * width / RATE)
        poles = [1, -2 * radius * np.cos(2 * np.pi * frequency / RATE), radius**2]
        wave = np.asarray(lfilter([1], poles, wave))
    return (0.5 * wave / np.abs(wave).max()).astype(np.float32)


@pytest.mark.parametrize("hertz", [70, 100, 131.7, 220, 311, 440])
def test_pulses_have_their_own_pitch_and_no_perturbation(hertz):
    found = measured(pulses(hertz))
    assert found["median"] == pytest.approx(np.log2(hertz), abs=0.005)
    assert found["spread"] < 0.01
    assert abs(found["slope"]) < 0.01
    assert found["hnr"] > 25
    assert np.exp(found["jitter"]) < 0.003


def test_a_glide_has_its_slope_and_limits():
    seconds, start, octaves = 4.0, 120.0, 0.25  # a second
    time = np.arange(int(seconds * RATE)) / RATE
    phase = start * (2 ** (octaves * time) - 1) / (octaves * np.log(2))
    wave = sum(np.sin(2 * np.pi * k * phase) / k for k in range(1, 12))
    found = measured(0.3 * wave)
    assert found["slope"] == pytest.approx(octaves, rel=0.03)
    assert found["median"] == pytest.approx(np.log2(start) + octaves * seconds / 2, abs=0.02)
    assert found["high"] - found["low"] == pytest.approx(0.9 * octaves * seconds, abs=0.05)


@pytest.mark.parametrize(
    "resonances", [(500, 1500, 2500, 3300), (700, 1220, 2600, 3300), (300, 2200, 2900, 3400)]
)
def test_a_vowel_has_the_resonances_it_was_made_with(resonances):
    found = measured(vowel(110, resonances))
    for i, frequency in enumerate(resonances[:3], start=1):
        assert 2 ** found[f"f{i}"] == pytest.approx(frequency, abs=55)  # half the way between harmonics


def test_a_longer_tube_is_measured_longer():
    short, long = (
        measured(vowel(110, [x * factor for x in (500, 1500, 2500, 3300)]))["tract"] for factor in (1.0, 0.85)
    )
    assert 2 ** (long - short) == pytest.approx(1 / 0.85, rel=0.05)


def test_neutral_tube_has_its_length():
    found = measured(vowel(100, (500, 1500, 2500, 3500)))
    assert 2 ** found["tract"] == pytest.approx(17.5, rel=0.05)  # cm: c / (2 * 1000 Hz)


def test_jitter_and_shimmer_grow_with_what_was_put_in():
    jitters = [np.exp(measured(vowel(110, (600, 1400), jitter=j))["jitter"]) for j in (0.0, 0.02, 0.04)]
    shimmers = [np.exp(measured(pulses(110, shimmer=s))["shimmer"]) for s in (0.0, 0.05, 0.1)]
    assert jitters[0] < jitters[1] < jitters[2]
    assert jitters[2] == pytest.approx(0.04, rel=0.4)
    assert shimmers[0] < shimmers[1] < shimmers[2]
    assert shimmers[2] == pytest.approx(0.1, rel=0.4)


@pytest.mark.parametrize("snr_db", [0, 10, 20])
def test_harmonicity_is_the_ratio_of_tone_to_noise(snr_db):
    rng = np.random.default_rng(1)
    time = np.arange(4 * RATE) / RATE
    tone = np.sum([np.sin(2 * np.pi * 150 * k * time) for k in range(1, 20)], axis=0)
    noise = voice.below(rng.standard_normal(len(time)).astype(np.float32), voice.BAND_HZ)
    tone, noise = tone / tone.std(), noise / noise.std()
    found = measured(0.1 * (tone + noise * 10 ** (-snr_db / 20)))
    assert found["hnr"] == pytest.approx(snr_db, abs=2.0)  # the path picks the higher peaks: a bias upwards


def test_prominence_falls_with_noise():
    rng = np.random.default_rng(2)
    clean = vowel(120, (500, 1500))
    noisy = clean + 0.1 * rng.standard_normal(len(clean))
    assert measured(clean)["prominence"] > measured(noisy)["prominence"] + 3


def test_bursts_are_counted_as_syllables_and_gaps_as_pauses():
    wave = vowel(120, (500, 1500))
    time = np.arange(len(wave)) / RATE
    open_ = np.abs(time * 4 % 1 - 0.5) < 0.35  # four bursts a second, 70 % of the time
    found = measured(wave * np.where(open_, 1, 1e-4))
    assert found["syllables"] == pytest.approx(4, abs=0.4)
    assert measured(wave)["syllables"] < 1


def test_steeper_spectra_have_more_tilt():
    wave = vowel(120, (500, 1500, 2500))
    assert measured(np.asarray(lfilter([1], [1, -0.9], wave)))["tilt"] > measured(wave)["tilt"] + 3


@pytest.mark.parametrize(
    "audio",
    [
        np.zeros(5 * RATE, np.float32),
        np.full(5 * RATE, 0.7, np.float32),
        np.zeros(0, np.float32),
        pulses(100, 0.1).astype(np.float32),
        pulses(100, 0.8).astype(np.float32),
        np.random.default_rng(0).standard_normal(5 * RATE).astype(np.float32) * 0.1,
    ],
    ids=["silence", "constant", "nothing", "0.1 s", "0.8 s", "noise"],
)
def test_what_holds_no_voice_has_no_profile(audio):
    assert voice.profile(audio) is None


@settings(max_examples=25, deadline=None)
@given(
    kind=st.sampled_from(["noise", "square", "tone", "clicks", "steps"]),
    samples=st.integers(0, 3 * RATE),
    gain=st.floats(1e-7, 50),
    clip=st.booleans(),
    seed=st.integers(0, 99),
)
def test_any_audio_gives_a_unit_vector_or_none(kind, samples, gain, clip, seed):
    rng = np.random.default_rng(seed)
    time = np.arange(samples) / RATE
    wave = {
        "noise": rng.standard_normal(samples),
        "square": np.sign(np.sin(2 * np.pi * 100 * time)),
        "tone": np.sin(2 * np.pi * rng.uniform(50, 600) * time),
        "clicks": (rng.random(samples) < 0.01).astype(float),
        "steps": np.floor(time * 200) % 2,
    }[kind] * gain
    with np.errstate(all="raise", under="ignore"):
        found = voice.profile((np.clip(wave, -1, 1) if clip else wave).astype(np.float32))
    assert found is None or (np.isfinite(found).all() and np.linalg.norm(found) == pytest.approx(1, abs=1e-5))


def test_a_profile_is_a_float32_of_unit_length_with_groups_side_by_side(speech):
    found = voice.profile(speech)
    assert found is not None
    assert found.shape == (voice.PROFILE_SIZE,)
    assert found.dtype == np.float32
    assert np.linalg.norm(found) == pytest.approx(1, abs=1e-6)
    taken = np.concatenate([np.arange(voice.PROFILE_SIZE)[place] for place in voice.ATTRIBUTES.values()])
    assert taken.tolist() == list(range(voice.PROFILE_SIZE))


def test_level_and_offset_change_nothing(speech):
    whole = voice.profile(speech)
    for other in (speech / 100, speech * 0.5 + np.float32(0.2)):
        found = voice.profile(other)
        assert whole is not None
        assert found is not None
        assert whole @ found > 0.999


def test_groups_are_switched_off_and_the_rest_has_unit_length_again(speech):
    whole = voice.profile(speech)
    assert whole is not None
    for group, place in voice.ATTRIBUTES.items():
        less = voice.without(whole, group)
        assert not less[place].any()
        assert np.linalg.norm(less) == pytest.approx(1, abs=1e-6)
    pitch = voice.only(np.stack([whole, whole]), ["pitch"])
    place = voice.ATTRIBUTES["pitch"]
    np.testing.assert_allclose(pitch[0, place], whole[place] / np.linalg.norm(whole[place]), atol=1e-6)
    assert np.count_nonzero(pitch[1]) <= place.stop - place.start
    assert not voice.only(whole, []).any()


def test_a_speaker_embedding_follows_and_weighs_as_much_as_the_rest(speech):
    whole = voice.profile(speech)
    joined = voice.profile(speech, lambda audio: np.full(8, 3.0))
    assert whole is not None
    assert joined is not None
    assert joined.shape == (voice.PROFILE_SIZE + 8,)
    assert np.linalg.norm(joined[voice.ATTRIBUTES["speaker"]]) == pytest.approx(np.sqrt(0.5), abs=1e-6)
    np.testing.assert_allclose(voice.without(joined, "speaker")[: voice.PROFILE_SIZE], whole, atol=1e-6)
    assert voice.profile(speech, lambda audio: None) is None


def test_one_speaker_resembles_himself_more_than_others(samples):
    voices = {}
    for path in sorted(samples.glob("genuine-*")):
        audio = load(path)
        halves = [voice.profile(half) for half in np.array_split(audio, 2)]
        if all(half is not None for half in halves):
            voices[path.name] = halves
    assert len(voices) >= 3
    first, second = (np.stack([halves[i] for halves in voices.values()]) for i in (0, 1))
    similar = first @ second.T
    others = similar[~np.eye(len(voices), dtype=bool)]
    assert np.diag(similar).mean() > others.mean() + 0.15
    assert np.diag(similar).min() > np.median(others)


def test_telephone_band_and_codec_leave_a_voice_itself(speech):
    whole = voice.profile(speech)
    for changed in (lower_rate(speech, 8_000), transmit(speech, "mp3", bit_rate=32_000)):
        found = voice.profile(changed)
        assert whole is not None
        assert found is not None
        assert whole @ found > 0.95


def test_of_a_long_recording_the_part_with_sound_is_looked_at(speech):
    inside = speech[: 8 * RATE]
    rng = np.random.default_rng(3)
    quiet = (rng.standard_normal(18 * RATE) * 1e-4).astype(np.float32)
    long, short = voice.profile(np.concatenate([quiet, inside, quiet])), voice.profile(inside)
    assert long is not None
    assert short is not None
    assert long @ short > 0.9
