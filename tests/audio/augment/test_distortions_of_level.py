"""Distortions of level, dynamics and time on a signal whose parts are known, by measurement."""

import numpy as np
import pytest
from scipy import ndimage, signal
from test_distortions import RATE, after, level_db, voice

from earwitness.audio.augment import distortions


@pytest.fixture(scope="module")
def clip():
    return voice(2.0)


@pytest.mark.parametrize("bits", [8, 6, 4])
def test_levels_are_no_more_than_bits_allow_and_noise_is_that_of_their_step(bits):
    even = np.random.default_rng(0).uniform(-0.02, 0.02, 32_000).astype(np.float32)
    out = after(even, f"{bits}-bit")
    assert len(np.unique(out)) in (2**bits, 2**bits - 1)
    # in steps: an even signal of 2^bits; an error of one, but from 1/2 to 1 where the last level is missing
    levels = 2**bits
    error = (levels - 0.5) / levels / 12 + 0.5 / levels * (1 - 0.5**3) / 3 / 0.5
    expected = 10 * np.log10(levels**2 / 12 / error)
    assert level_db(even) - level_db(out - even) == pytest.approx(expected, abs=0.1)


def test_gains_signs_and_clipping_are_exact(clip):
    np.testing.assert_array_equal(after(clip, "inverted"), -clip)
    assert level_db(after(clip, "gain-down-12dB")) == pytest.approx(level_db(clip) - 12, abs=1e-3)
    loud = clip * np.float32(0.8 / 0.5)
    up = after(loud, "gain-up-6dB-clipped")
    np.testing.assert_allclose(up, np.clip(loud * 10 ** (6 / 20), -1, 1), atol=1e-6)
    assert np.mean(np.abs(up) == 1) > 0
    cut = after(clip, "clipped-6dB-below-peak")
    ceiling = np.abs(clip).max() * 10 ** (-6 / 20)
    np.testing.assert_allclose(cut, np.clip(clip, -ceiling, ceiling), atol=1e-6)
    driven = after(clip, "overdrive")
    assert np.abs(driven).max() == pytest.approx(np.abs(clip).max(), rel=1e-5)
    order = np.argsort(clip)
    assert (np.diff(driven[order]) >= -1e-6).all()  # bent, but never back
    assert level_db(driven) > level_db(clip) + 3


@pytest.mark.parametrize("ratio", [2.0, 4.0, 10.0])
def test_a_compressor_divides_differences_of_level_by_its_ratio(ratio):
    time = np.arange(32_000) / RATE
    tone = np.where(time < 1, 0.5, 0.05) * np.sin(2 * np.pi * 400 * time)
    rng = np.random.default_rng(0)
    out = distortions.compress(tone, rng, (ratio, ratio), (-40.0, -40.0))
    inner = [slice(2_000, 14_000), slice(18_000, 30_000)]
    assert level_db(out[inner[0]]) - level_db(out[inner[1]]) == pytest.approx(20 / ratio, abs=0.1)
    assert level_db(out) == pytest.approx(level_db(tone), abs=0.01)
    # under the threshold nothing changes
    np.testing.assert_allclose(distortions.compress(tone, rng, (ratio, ratio), (20.0, 20.0)), tone, atol=1e-9)


def parts(clip):
    """Where nobody speaks, and where somebody does, away from the edges between."""
    level = np.sqrt(ndimage.uniform_filter1d(np.square(clip, dtype=float), 321))
    return ndimage.binary_erosion(level < 0.006, iterations=200), ndimage.binary_erosion(
        level > 0.05, iterations=200
    )


def test_a_gate_silences_pauses_and_nothing_else():
    clip = voice(3.0)
    pauses, spoken = parts(clip)
    assert pauses.sum() > 4_000 < spoken.sum()
    muted = []
    for seed in range(10):
        out = after(clip, "noise-gate", seed)
        np.testing.assert_allclose(out[spoken], clip[spoken], atol=1e-6)
        muted.append(np.mean(out[pauses] == 0))
    assert np.median(muted) > 0.8
    white = np.random.default_rng(0).standard_normal(RATE).astype(np.float32) * 0.1
    np.testing.assert_allclose(after(white, "noise-gate"), white, atol=1e-7)


@pytest.mark.parametrize("name", ["spectral-subtraction", "noisy-and-denoised"])
def test_enhancement_leaves_speech_and_takes_noise(name):
    clip = voice(3.0)
    noise = np.random.default_rng(5).standard_normal(len(clip))
    noisy = (clip + 0.1 * np.std(clip) * noise).astype(np.float32)
    pauses, spoken = parts(clip)
    out = after(noisy, name)
    assert level_db(out[spoken]) == pytest.approx(level_db(clip[spoken]), abs=1.0)
    if name == "spectral-subtraction":
        assert level_db(out[pauses]) < level_db(noisy[pauses]) - 6
    else:  # its own noise, -15 dB, would be louder than what was there
        assert level_db(out[pauses]) < level_db(clip) - 18


def test_an_echo_is_the_clip_later_and_quieter(clip):
    volumes, delays = [], []
    for seed in range(30):
        quiet = clip * np.float32(0.5)
        added = after(quiet, "echo", seed).astype(float) - quiet
        alike = signal.correlate(added, quiet, "full")[len(quiet) - 1 :]
        late = int(np.argmax(alike))
        volumes.append(added[late:] @ quiet[: len(quiet) - late] / np.sum(quiet[: len(quiet) - late] ** 2))
        np.testing.assert_allclose(added[late:], volumes[-1] * quiet[: len(quiet) - late], atol=1e-5)
        delays.append(late / RATE)
    assert 0.09 < min(volumes) < 0.3 < 0.7 < max(volumes) < 0.91
    assert 0.049 < min(delays) < 0.06 < 0.09 < max(delays) < 0.101


def test_a_tenth_of_packets_is_lost():
    flat = np.full(320 * 200, 0.5, np.float32)
    shares = [np.mean(after(flat, "packets-10%", seed) == 0) for seed in range(60)]
    assert np.mean(shares) == pytest.approx(0.1, abs=0.02)
