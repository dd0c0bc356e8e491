"""Perceptual metrics against closed forms, SciPy, and what identical clips must score."""

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal

from earwitness.errors import InputError, MissingExtra
from earwitness.metrics import perceptual

ALL = [
    perceptual.snr_db, perceptual.si_snr_db, perceptual.correlation, perceptual.lag,
    perceptual.log_spectral_distance, perceptual.stoi, perceptual.pesq_wb,
]  # fmt: skip


@pytest.fixture(scope="module")
def clip(speech):
    return speech[16_000:64_000]


def noisy(clip, snr_db, seed=0):
    noise = np.random.default_rng(seed).standard_normal(len(clip))
    return clip + noise * np.sqrt(np.sum(clip**2) / np.sum(noise**2)) * 10 ** (-snr_db / 20)


@given(st.floats(-60, 60), st.integers(0, 1_000))
@settings(deadline=None)
def test_snr_of_a_known_scale_and_of_known_noise(decibels, seed):
    clean = np.random.default_rng(seed).standard_normal(500)
    scaled = clean * (1 + 10 ** (-decibels / 20))
    assert perceptual.snr_db(scaled, clean) == pytest.approx(decibels, abs=1e-6)
    assert perceptual.snr_db(noisy(clean, decibels, seed + 1), clean) == pytest.approx(decibels, abs=1e-6)


def test_one_tenth_more_is_20_db_and_the_other_sign_minus_6(clip):
    assert perceptual.snr_db(1.1 * clip.astype(float), clip) == pytest.approx(20, abs=1e-9)
    assert perceptual.snr_db(-clip, clip) == pytest.approx(-20 * np.log10(2))


@given(st.floats(-60, 60), st.floats(0.01, 100), st.sampled_from([-1, 1]), st.floats(-1, 1))
@settings(deadline=None)
def test_si_snr_is_that_of_orthogonal_noise_whatever_gain_sign_and_mean(decibels, gain, sign, mean):
    time = 2 * np.pi * np.arange(1_000) / 1_000
    clean, rest = np.sin(5 * time), np.cos(9 * time)
    marked = sign * gain * (clean + rest * 10 ** (-decibels / 20)) + mean
    assert perceptual.si_snr_db(marked, clean + 0.3) == pytest.approx(decibels, abs=1e-5)


def test_correlation_is_the_cosine_and_tells_the_sign(clip):
    time = 2 * np.pi * np.arange(1_000) / 1_000
    assert perceptual.correlation(np.sin(time + 1.0), np.sin(time)) == pytest.approx(np.cos(1.0))
    assert perceptual.correlation(3 * clip, clip) == pytest.approx(1)
    assert perceptual.correlation(-0.5 * clip, clip) == pytest.approx(-1)


@given(st.integers(-40, 40), st.sampled_from([-1, 1]), st.integers(0, 1_000))
@settings(deadline=None)
def test_lag_is_the_shift_of_either_sign(late, sign, seed):
    clean = np.random.default_rng(seed).standard_normal(700)
    marked = sign * np.roll(np.pad(clean, 50), late)
    clean = np.pad(clean, 50)
    assert perceptual.lag(marked, clean, reach=60) == late
    assert abs(perceptual.lag(marked, clean, reach=10)) <= 10


def test_lag_agrees_with_scipy_and_takes_the_smallest_of_equals(clip):
    late = np.roll(clip, 123)
    alike = signal.correlate(late, clip, "full")
    expected = signal.correlation_lags(len(late), len(clip))[np.argmax(np.abs(alike))]
    assert perceptual.lag(late, clip) == expected == 123
    assert perceptual.lag(np.zeros(500), np.zeros(500)) == 0
    assert perceptual.lag(np.ones(1), np.ones(1)) == 0
    comb = np.zeros(4_000)
    comb[2_000] = 1
    twice = np.roll(comb, 30) + np.roll(comb, -700)
    assert perceptual.lag(twice, comb) == 30


@given(st.floats(-40, 40))
@settings(deadline=None)
def test_log_spectra_of_a_gain_are_apart_by_it(decibels):
    noise = np.random.default_rng(0).standard_normal(4_000)
    louder = noise * 10 ** (decibels / 20)
    assert perceptual.log_spectral_distance(louder, noise) == pytest.approx(abs(decibels), abs=1e-3)


def test_log_spectral_distance_is_that_of_scipys_spectra():
    rng = np.random.default_rng(1)
    one, two = rng.standard_normal((2, 512 + 128 * 20))
    of = [
        np.abs(signal.stft(x, window="hann", nperseg=512, noverlap=384, boundary=None, padded=False)[2])
        for x in (one, two)
    ]
    expected = np.sqrt(np.mean((20 * np.log10(of[0] / of[1])) ** 2, axis=0)).mean()
    assert perceptual.log_spectral_distance(one, two) == pytest.approx(expected, abs=1e-6)


def test_identical_clips_have_no_distance_and_an_infinite_ratio(clip):
    assert perceptual.snr_db(clip, clip) == np.inf
    assert perceptual.si_snr_db(clip, clip) > 200
    assert perceptual.log_spectral_distance(clip, clip) == 0
    assert perceptual.lag(clip, clip) == 0


def test_silence_is_not_defined(clip):
    silent = np.zeros_like(clip)
    for metric in (perceptual.snr_db, perceptual.si_snr_db, perceptual.log_spectral_distance):
        assert np.isnan(metric(clip, silent))
        assert np.isnan(metric(silent, silent))
    assert np.isnan(perceptual.correlation(clip, silent))
    assert np.isnan(perceptual.correlation(silent, clip))
    assert np.isnan(perceptual.si_snr_db(silent, clip))
    assert perceptual.snr_db(silent, clip) == 0


@pytest.mark.parametrize("metric", ALL)
@pytest.mark.parametrize(
    ("marked", "clean", "found"),
    [
        (np.ones(100), np.ones(99), "one shape"),
        (np.ones((2, 50)), np.ones((2, 50)), "one shape"),
        (np.ones(0), np.ones(0), "no samples"),
        (np.full(100, np.nan), np.ones(100), "NaN or infinite"),
        (np.ones(100), np.full(100, np.inf), "NaN or infinite"),
    ],
)
def test_clips_that_cannot_be_compared_are_refused(metric, marked, clean, found):
    with pytest.raises(InputError, match=found):
        metric(marked, clean)


def test_a_reach_below_zero_is_refused():
    with pytest.raises(InputError, match="found -1"):
        perceptual.lag(np.ones(9), np.ones(9), reach=-1)


@pytest.mark.parametrize(("name", "metric"), [("pystoi", perceptual.stoi), ("pesq", perceptual.pesq_wb)])
def test_a_missing_package_names_its_extra(monkeypatch, name, metric, clip):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtra, match=r"earwitness\[perceptual\]"):
        metric(clip, clip)


def test_stoi_of_identical_clips_is_one_and_falls_with_noise(clip):
    pytest.importorskip("pystoi")
    assert perceptual.stoi(clip, clip) == pytest.approx(1, abs=1e-9)
    scores = [perceptual.stoi(noisy(clip, snr_db), clip) for snr_db in (30, 20, 10, 0, -10)]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] > 0.99
    assert scores[-1] < 0.75
    # the clean clip alone says which frames are silent: what is lost counts, what is silent in it does not
    halved = np.concatenate([clip[:24_000], 1e-5 * np.random.default_rng(0).standard_normal(24_000)])
    assert perceptual.stoi(clip, halved) > 0.99
    assert perceptual.stoi(halved, clip) < 0.8


def test_pesq_of_identical_clips_is_464_and_falls_with_noise(clip):
    pytest.importorskip("pesq")
    assert perceptual.pesq_wb(clip, clip) == pytest.approx(4.64, abs=0.01)
    assert perceptual.pesq_wb(-0.5 * clip, clip) == pytest.approx(4.64, abs=0.01)
    scores = [perceptual.pesq_wb(noisy(clip, snr_db), clip) for snr_db in (40, 30, 20, 10)]
    assert scores == sorted(scores, reverse=True)
    assert 1 < scores[-1] < 1.5 < 3.5 < scores[0]


def test_what_stoi_and_pesq_cannot_score_is_nan(clip):
    pytest.importorskip("pystoi")
    pytest.importorskip("pesq")
    silent = np.zeros_like(clip)
    for metric in (perceptual.stoi, perceptual.pesq_wb):
        for marked, clean in ((silent, silent), (silent, clip), (clip, silent)):
            assert np.isnan(metric(marked, clean))
        for samples in (1, 100, 3_000):
            assert np.isnan(metric(clip[:samples], clip[:samples]))


def test_pesq_refuses_clips_that_would_overrun_its_tables():
    with pytest.raises(InputError, match=r"up to 20 s, found 20\.1 s") as raised:
        perceptual.pesq_wb(np.ones(321_600), np.ones(321_600))
    assert raised.value.code == "too-long"
