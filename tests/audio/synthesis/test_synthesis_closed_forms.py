"""The methods against what is known beforehand: scipy, transformers, processes with known answers."""

import importlib.util

import numpy as np
import pytest
import scipy.ndimage
import scipy.signal
from hypothesis import given, settings
from hypothesis import strategies as st

from earwitness.audio.synthesis.enhancing import Enhancing, enhancing
from earwitness.audio.synthesis.griffin_lim import find_phases, through_mel
from earwitness.audio.synthesis.lpc import keep_largest, predict, residual, split, synthesise
from earwitness.audio.synthesis.phases import Phases, followed_phases, minimum_phases, replace_phases
from earwitness.audio.synthesis.pitch import pulses, track_pitch
from earwitness.audio.synthesis.quantising import imdct, mdct, nearest_of, quantise
from earwitness.audio.synthesis.sinusoids import Sinusoids, sinusoids
from earwitness.audio.synthesis.spectra import (
    from_mel,
    istft,
    local_level,
    mel_filters,
    overlap_add,
    smooth,
    stft,
    to_mel,
)
from earwitness.audio.synthesis.stretching import Stretching, shift_pitch, stretch
from earwitness.audio.synthesis.upsampling import insert_zeros, make_kernel
from earwitness.audio.synthesis.world import World, pyworld, shape_pitch, warp, world
from earwitness.errors import MissingExtra

RATE = 16_000


def tone(hertz, samples=RATE):
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(samples) / RATE)).astype(np.float32)


def loudest_hz(audio):
    size = 1 << 17
    return np.argmax(np.abs(np.fft.rfft(audio * np.hanning(len(audio)), size))) * RATE / size


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 5_000), st.sampled_from([(64, 16), (512, 64), (1024, 256)]), st.integers(0, 99))
def test_short_time_spectra_give_the_audio_back(samples, sizes, seed):
    audio = np.random.default_rng(seed).standard_normal(samples).astype(np.float32)
    assert np.allclose(istft(stft(audio, *sizes), *sizes, samples), audio, atol=1e-5)


def test_short_time_spectra_are_those_of_scipy():
    audio = np.random.default_rng(0).standard_normal(4_096).astype(np.float32)
    _, _, theirs = scipy.signal.stft(audio, window="hann", nperseg=512, noverlap=384, padded=False)
    ours = stft(audio, 512, 128)
    assert np.allclose(np.abs(ours), np.abs(theirs.T) * 256, atol=1e-2)
    impulse = np.zeros(2_048, np.float32)
    impulse[1_024] = 1
    assert np.allclose(stft(impulse, 512, 128)[8], 1, atol=1e-5)  # phases are those at the centre


def test_overlap_add_adds_what_overlaps():
    frames = np.arange(12.0).reshape(3, 4)
    expected = np.zeros(8)
    for i, frame in enumerate(frames):
        expected[2 * i : 2 * i + 4] += frame
    assert np.array_equal(overlap_add(frames, 2), expected)


@pytest.mark.parametrize(("scale", "norm"), [("slaney", "slaney"), ("htk", None)])
def test_mel_filters_are_those_of_transformers(scale, norm):
    audio_utils = pytest.importorskip("transformers.audio_utils")
    theirs = audio_utils.mel_filter_bank(513, 80, 50.0, 7_600.0, RATE, norm=norm, mel_scale=scale)
    ours = mel_filters(1024, 80, 50.0, 7_600.0, RATE, scale, norm is not None)
    assert np.allclose(ours, theirs, atol=1e-6)


def test_mel_scales_meet_their_published_points_and_turn_back():
    assert float(to_mel(np.array(1_000.0), "htk")) == pytest.approx(1_000, abs=0.1)
    assert [float(to_mel(np.array(f), "slaney")) for f in (200.0, 1e3, 6_400.0)] == pytest.approx([3, 15, 42])
    hertz = np.linspace(0, 8_000, 50)
    for scale in ("htk", "slaney"):
        assert np.allclose(from_mel(to_mel(hertz, scale), scale), hertz, atol=1e-6)


def test_moving_averages_and_levels_are_those_of_scipy():
    values = np.random.default_rng(0).standard_normal((200, 3))
    assert np.allclose(smooth(values, 7), scipy.ndimage.uniform_filter1d(values, 7, axis=0, mode="nearest"))
    assert np.allclose(local_level(tone(400), 801)[800:-800], 0.5 / np.sqrt(2), rtol=1e-3)


@pytest.mark.parametrize("momentum", [0.0, 0.99])
def test_the_true_phases_are_a_fixed_point_of_griffin_lim(speech, momentum):
    audio = speech[16_000:32_000]
    spectra = stft(audio, 512, 128)
    magnitudes = np.abs(spectra)
    made = find_phases(magnitudes, np.exp(1j * np.angle(spectra)), 128, len(audio), 5, momentum)
    assert np.allclose(made, audio, atol=1e-4)


def test_griffin_lim_comes_nearer_to_the_magnitudes(speech):
    audio = speech[16_000:48_000]
    magnitudes = np.abs(stft(audio, 512, 128))
    chance = np.exp(1j * np.random.default_rng(0).uniform(-np.pi, np.pi, magnitudes.shape))

    def far(iterations):
        made = find_phases(magnitudes, chance, 128, len(audio), iterations, 0.0)
        return np.linalg.norm(np.abs(stft(made, 512, 128)) - magnitudes) / np.linalg.norm(magnitudes)

    distances = [far(n) for n in (0, 1, 4, 16)]
    assert distances == sorted(distances, reverse=True)
    assert distances[-1] < 0.5 * distances[0]


def test_inverses_of_mel_filters():
    rng = np.random.default_rng(0)
    flat = np.ones((3, 257), np.float32)
    inside = slice(3, 250)
    for inverse in ("pinv", "nnls", "spread"):
        magnitudes = rng.uniform(0.5, 1.5, (4, 257)).astype(np.float32)
        made = through_mel(magnitudes, 512, 40, inverse)
        assert (made >= 0).all()
        assert made.shape == magnitudes.shape
    assert np.allclose(through_mel(flat, 512, 40, "spread")[:, inside], 1, atol=1e-3)
    filters = mel_filters(512, 40)
    seen = np.linalg.norm(through_mel(magnitudes, 512, 40, "nnls") @ filters - magnitudes @ filters)
    assert seen < 0.05 * np.linalg.norm(magnitudes @ filters)


def test_prediction_recovers_an_autoregressive_process():
    poles = np.array([0.9 * np.exp(0.5j), 0.8 * np.exp(1.4j), 0.7 * np.exp(2.4j)])
    a = np.poly(np.concatenate([poles, poles.conj()])).real
    excitation = 0.1 * np.random.default_rng(0).standard_normal(80_000)
    filters = predict(scipy.signal.lfilter([1], a, excitation), 6, 80)
    assert np.allclose(filters[10:-10].mean(0), a, atol=0.04)
    assert (np.abs(np.roots(filters[500])) < 1).all()


@settings(max_examples=20, deadline=None)
@given(st.integers(600, 3_000), st.integers(2, 24), st.sampled_from([80, 160, 240]), st.integers(0, 9))
def test_the_true_residual_gives_the_audio_back(samples, order, hop, seed):
    rng = np.random.default_rng(seed)
    audio = scipy.signal.lfilter([1], [1, -0.9], rng.standard_normal(samples))
    filters = predict(audio, order, hop)
    assert np.allclose(synthesise(residual(audio, filters, hop), filters, hop), audio, atol=1e-6)


def test_the_residual_of_constant_filters_is_a_filter_of_scipy():
    audio = np.random.default_rng(0).standard_normal(1_000)
    a = np.array([1, -1.2, 0.8])
    filters = np.tile(a, (1_000 // 80 + 2, 1))
    assert np.allclose(residual(audio, filters, 80), scipy.signal.lfilter(a, [1], audio))


def test_split_and_largest():
    low, high = split(tone(300) + tone(3_000), 1_000.0)
    assert np.allclose(low, tone(300), atol=0.01)
    assert np.allclose(high, tone(3_000), atol=0.01)
    audio = np.random.default_rng(0).standard_normal(170)
    kept = keep_largest(audio, 5)
    assert [np.count_nonzero(kept[i : i + 80]) for i in (0, 80)] == [5, 5]
    assert set(kept[kept != 0]) <= set(audio)
    assert np.abs(kept[:80]).max() == np.abs(audio[:80]).max()


@pytest.mark.parametrize("hertz", [80, 125, 220, 390])
def test_pitch_of_a_pulse_train(hertz):
    wave = scipy.signal.lfilter([1], [1, -1.3, 0.8], pulses(np.full(RATE, float(hertz)))) / 20
    pitch = track_pitch(wave, 80)
    assert np.median(pitch[10:-10]) == pytest.approx(hertz, rel=0.02)
    noise = np.random.default_rng(0).standard_normal(RATE)
    assert (track_pitch(noise, 80) > 0).mean() < 0.1


def test_minimum_phase_of_an_all_pole_filter():
    a = [1, -1.2, 0.8]
    response = scipy.signal.freqz([1], a, 513, include_nyquist=True)[1]
    assert np.allclose(minimum_phases(np.abs(response)[None]), np.angle(response), atol=1e-3)


def test_followed_phases_of_a_tone_turn_as_it_does():
    audio = tone(1_234.5)
    spectra = stft(audio, 512, 128)
    bin_ = round(1_234.5 * 512 / RATE)
    turns = np.diff(followed_phases(np.abs(spectra), 128, np.random.default_rng(0))[:, bin_])
    assert np.allclose(turns[4:-8], 2 * np.pi * 1_234.5 * 128 / RATE, atol=0.05)


@pytest.mark.parametrize("kind", ["above", "scattered", "noisy"])
def test_phases_replaced_in_part_leave_the_rest(speech, kind):
    audio = speech[16_000:32_000]
    none = Phases(512, 128, kind, 0.0, 9_000.0)
    assert np.allclose(replace_phases(audio, none, np.random.default_rng(0)), audio, atol=1e-4)
    some = replace_phases(audio, Phases(512, 128, "above", 0.0, 2_000.0), np.random.default_rng(0))
    band = scipy.signal.butter(8, 1_500, fs=RATE, output="sos")
    low = [scipy.signal.sosfiltfilt(band, x) for x in (audio, some)]
    assert np.corrcoef(*low)[0, 1] > 0.99


def test_the_cosine_transform_is_orthogonal_and_gives_the_audio_back():
    audio = np.random.default_rng(0).standard_normal(5_001).astype(np.float32)
    for hop in (160, 320, 640):
        coefficients = mdct(audio, hop)
        assert np.allclose(imdct(coefficients, len(audio)), audio, atol=1e-4)
        assert np.square(coefficients).sum() == pytest.approx(np.square(audio).sum(), rel=1e-4)


def test_codebooks_hold_so_many_vectors_and_find_clusters():
    rng = np.random.default_rng(0)
    centres = rng.uniform(-10, 10, (4, 3))
    vectors = centres[rng.integers(0, 4, 400)] + 0.01 * rng.standard_normal((400, 3))
    coded = quantise(vectors, 3, rng)
    assert len(np.unique(coded, axis=0)) <= 8
    assert np.abs(coded - vectors).max() < 0.1
    assert list(nearest_of(centres + 0.1, centres)) == [0, 1, 2, 3]


@pytest.mark.parametrize("stride", [2, 4, 5])
def test_zeros_between_samples_mirror_what_is_there(stride):
    low = tone(500, stride * 4_000)[::stride]
    raised = insert_zeros(low, stride, np.ones(1), stride * 4_000)
    spectrum = np.abs(np.fft.rfft(raised)) / len(raised)
    hertz = np.fft.rfftfreq(len(raised), 1 / RATE)
    found = np.sort(hertz[spectrum > 0.1 / stride])
    every = RATE / stride
    expected = sorted(
        f for k in range(stride) for f in (k * every + 500, k * every - 500) if 0 < f < RATE / 2
    )
    assert np.allclose(found, expected, atol=1.1)
    assert spectrum[np.searchsorted(hertz, expected)] == pytest.approx(0.25 / stride, rel=0.01)


@pytest.mark.parametrize("kind", ["nearest", "linear", "transposed"])
@pytest.mark.parametrize("stride", [4, 5, 64])
def test_kernels_fill_gaps_without_delay(kind, stride):
    kernel = make_kernel(kind, stride, np.random.default_rng(0))
    assert kernel.sum() == pytest.approx(stride)
    assert np.allclose(kernel, kernel[::-1])
    filled = insert_zeros(np.ones(50), stride, kernel, 50 * stride)[5 * stride : -5 * stride]
    assert filled.mean() == pytest.approx(1, rel=0.02)
    assert (np.ptp(filled) > 0.05) == (kind == "transposed")  # a checkerboard


@pytest.mark.parametrize("way", ["phases", "waves"])
@pytest.mark.parametrize("factor", [0.8, 1.25])
def test_stretching_keeps_the_pitch_and_shifting_the_time(way, factor):
    how = Stretching(way, factor, 512 if way == "phases" else 480)
    audio = tone(440, 32_000)
    longer = stretch(audio, factor, how)
    assert len(longer) == round(32_000 * factor)
    assert loudest_hz(longer) == pytest.approx(440, rel=0.01)
    assert np.sqrt(np.square(longer[2_000:-2_000]).mean()) == pytest.approx(0.5 / np.sqrt(2), rel=0.1)
    shifted = shift_pitch(audio, how, np.random.default_rng(0))
    assert len(shifted) == 32_000
    assert loudest_hz(shifted) == pytest.approx(440 * factor, rel=0.01)


def test_enhancement_takes_noise_out(speech):
    audio = speech[16_000:64_000]
    made = enhancing(audio, Enhancing(512, 10.0, 0.0, "wiener", 1.5, 0.1, 0.9), np.random.default_rng(0))
    rest = np.square(made - audio).sum() / np.square(audio).sum()
    assert rest < 0.07  # the noise alone would be 0.1


def test_harmonics_lie_on_multiples_of_the_pitch():
    wave = pulses(np.full(RATE, 200.0)).astype(np.float32) * 0.1
    made = sinusoids(wave, Sinusoids(80, 7_000.0, 0.05, "random"), np.random.default_rng(0))
    power = np.abs(np.fft.rfft(made[2_000:14_000] * np.hanning(12_000))) ** 2
    hertz = np.fft.rfftfreq(12_000, 1 / RATE)
    near = np.abs(hertz - 200 * np.round(hertz / 200)) < 15
    inside = (hertz > 100) & (hertz < 6_500)
    assert power[near & inside].sum() > 0.9 * power[inside].sum()


def test_pitch_and_envelopes_are_moved_by_their_factors():
    how = World("dio", 5.0, None, False, 1, 12, 1.5, 1.2)
    shaped = shape_pitch(np.array([0.0, 220.0, 226.0, 0.0]), how)
    nearest = [2 ** (round(12 * np.log2(hertz)) / 12) for hertz in (220, 226)]
    assert shaped == pytest.approx([0, 1.5 * nearest[0], 1.5 * nearest[1], 0])
    bins = np.arange(513)
    peak = np.exp(-((bins - 100) ** 2) / 50)[None] + 1e-9
    assert np.argmax(warp(peak, 1.2)) == 120
    assert np.array_equal(warp(peak, 1.0), peak)


@pytest.mark.parametrize(("estimator", "bands"), [("dio", None), ("harvest", 40)])
def test_world_speaks_at_the_pitch_it_is_told(estimator, bands):
    wave = scipy.signal.lfilter([1], [1, -1.3, 0.8], pulses(np.full(RATE, 150.0))).astype(np.float32) / 20
    for factor in (1.0, 1.5):
        how = World(estimator, 5.0, bands, bands is not None, 1, None, factor, 1.0)
        made = world(wave, how, np.random.default_rng(0))
        assert made.shape == wave.shape
        assert np.median(track_pitch(made, 80)[20:-20]) == pytest.approx(150 * factor, rel=0.02)


def test_without_pyworld_the_extra_is_named(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    pyworld.cache_clear()
    with pytest.raises(MissingExtra, match=r"pyworld is needed.*earwitness\[synthesis\]"):
        pyworld()
