"""RawBoost against its description, written down again here with scipy, and against closed forms."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal, stats

from earwitness.audio.augment import rawboost as rb
from earwitness.errors import InputError

RATE = 16_000


def specified_filter(rng, gain_db):
    taps = np.ones(1)
    for _ in range(5):
        centre, width = rng.uniform(20, 8_000), rng.uniform(100, 1_000)
        size = int(rng.uniform(10, 100))
        size += size % 2 == 0
        edges = [max(centre - width / 2, 1e-3), min(centre + width / 2, RATE / 2 - 1e-3)]
        taps = np.convolve(signal.firwin(size, edges, window="hamming", fs=RATE), taps)
    gain = gain_db[0] + (gain_db[1] - gain_db[0]) * rng.random()
    _, response = signal.freqz(taps, 1, worN=512, fs=RATE)
    return taps * 10 ** (gain / 20) / np.abs(response).max()


def specified_filtering(x, taps):
    padding = len(taps) + 1
    y = signal.lfilter(taps, 1, np.pad(x, (0, padding)))
    return y[padding // 2 : len(y) - padding // 2]


def contained(x):
    return x / max(1.0, np.abs(x).max())


def specified_convolutive(x, rng):
    y = np.zeros(len(x))
    for power in range(1, 6):
        taps = specified_filter(rng, (0, 0) if power == 1 else (-5, -20))
        y += specified_filtering(x.astype(np.float64) ** power, taps)
    return contained(y - y.mean())


def specified_impulsive(x, rng):
    share = rng.uniform(0, 10)
    chosen = rng.permutation(len(x))[: int(len(x) * share / 100)]
    y = x.astype(np.float64)
    y[chosen] += 2 * y[chosen] * (2 * rng.random(len(chosen)) - 1) * (2 * rng.random(len(chosen)) - 1)
    return contained(y)


def specified_stationary(x, rng):
    white = rng.standard_normal(len(x))
    noise = specified_filtering(white, specified_filter(rng, (0, 0)))
    noise /= np.abs(noise).max()
    ratio = rng.uniform(10, 40)
    return x + noise / np.linalg.norm(noise) * np.linalg.norm(x) / 10 ** (0.05 * ratio)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize(
    ("part", "specified"),
    [
        (rb.convolutive, specified_convolutive),
        (rb.impulsive, specified_impulsive),
        (rb.stationary, specified_stationary),
    ],
)
def test_parts_are_as_specified(part, specified, seed, speech):
    clip = speech[16_000 : 40_000 + seed]
    ours = part(clip, np.random.default_rng(seed))
    np.testing.assert_allclose(ours, specified(clip, np.random.default_rng(seed)), atol=1e-6)


@given(
    half=st.integers(5, 49),
    centre=st.floats(20, 8_000),
    width=st.floats(100, 1_000),
)
@settings(max_examples=200, deadline=None)
def test_band_stop_filters_are_those_of_scipy(half, centre, width):
    low, high = max(centre - width / 2, 1e-3), min(centre + width / 2, RATE / 2 - 1e-3)
    expected = signal.firwin(2 * half + 1, [low, high], window="hamming", fs=RATE)
    ours = rb.band_stop(2 * half + 1, low, high)
    np.testing.assert_allclose(ours, expected, rtol=1e-6, atol=1e-9 * np.abs(expected).max())


def test_bands_and_lengths_are_distributed_as_specified(monkeypatch):
    drawn = []
    build = rb.band_stop
    monkeypatch.setattr(rb, "band_stop", lambda *which: drawn.append(which) or build(*which))
    rng = np.random.default_rng(0)
    lengths = [len(rb.draw_filter(rng, (0.0, 0.0))) for _ in range(800)]
    taps, low, high = np.array(drawn).T
    assert len(drawn) == 5 * 800
    assert set(taps.astype(int)) == set(range(11, 100, 2))
    assert set(np.array(lengths) % 2) == {1}
    np.testing.assert_array_equal(lengths, taps.reshape(-1, 5).sum(1) - 4)
    # whole numbers 10 to 99, then odd: all 45 odd lengths alike
    assert stats.chisquare(np.bincount(taps.astype(int) // 2)[5:50]).pvalue > 1e-3
    other = np.random.default_rng(1)
    centre, width = other.uniform(20, 8_000, 40_000), other.uniform(100, 1_000, 40_000)
    assert stats.ks_2samp(low, np.maximum(centre - width / 2, 1e-3)).pvalue > 1e-3
    assert stats.ks_2samp(high, np.minimum(centre + width / 2, 7_999.999)).pvalue > 1e-3


def test_harmonics_stand_5_to_20_db_below_the_linear_part(monkeypatch, speech):
    filters = []
    draw = rb.draw_filter

    def remember(*arguments):
        filters.append(draw(*arguments))
        return filters[-1]

    monkeypatch.setattr(rb, "draw_filter", remember)
    for seed in range(100):
        rb.convolutive(speech[:1_600], np.random.default_rng(seed))
    peaks = [20 * np.log10(np.abs(signal.freqz(taps, worN=512)[1]).max()) for taps in filters]
    linear, *harmonics = np.reshape(peaks, (100, 5)).T
    np.testing.assert_allclose(linear, 0, atol=1e-9)
    for gains in harmonics:  # the bias is subtracted once, not once more for every order
        assert stats.kstest(gains, stats.uniform(-20, 15).cdf).pvalue > 1e-3


def test_harmonics_appear_at_multiples_of_a_tone():
    tone = 0.9 * np.sin(2 * np.pi * 500 * np.arange(RATE) / RATE).astype(np.float32)
    options = rb.RawBoost(bands=0)
    spectrum = np.abs(np.fft.rfft(rb.convolutive(tone, np.random.default_rng(0), options)))
    assert set(np.flatnonzero(spectrum > 1e-3 * spectrum.max())) == {500, 1_000, 1_500, 2_000, 2_500}


def test_without_filters_the_linear_part_is_the_signal_a_sample_early(speech):
    clip = speech[:8_000]
    expected = np.append(clip[1:], 0)
    ours = rb.convolutive(clip, np.random.default_rng(0), rb.RawBoost(bands=0, orders=1))
    np.testing.assert_allclose(ours, expected - expected.mean(), atol=1e-6)


def test_impulses_hit_0_to_10_percent_and_are_bounded():
    flat = np.full(5_000, 0.3, np.float32)
    shares, factors = [], []
    for seed in range(300):
        change = rb.impulsive(flat, np.random.default_rng(seed)) / flat - 1
        shares.append(np.mean(change != 0))
        factors.append(change[change != 0] / 2)
    assert stats.kstest(shares, stats.uniform(0, 0.1).cdf).pvalue > 1e-3
    factors = np.concatenate(factors)
    assert np.abs(factors).max() <= 1
    # a product of two uniform numbers in [-1, 1]: mean 0, variance 1/9, fourth moment 1/25
    assert np.mean(factors) == pytest.approx(0, abs=0.005)
    assert np.mean(factors**2) == pytest.approx(1 / 9, rel=0.02)
    assert np.mean(factors**4) == pytest.approx(1 / 25, rel=0.03)


def test_even_the_smallest_share_hits_a_sample():
    flat = np.full(1_000, 0.3, np.float32)
    noisy = rb.impulsive(flat, np.random.default_rng(0), rb.RawBoost(impulse_percent=1e-9))
    assert np.sum(noisy != flat) == 1


def test_stationary_noise_is_10_to_40_db_under(speech):
    clip = speech[16_000:20_000].astype(np.float64)
    ratios = []
    for seed in range(300):
        noise = rb.stationary(clip.astype(np.float32), np.random.default_rng(seed)) - clip
        ratios.append(10 * np.log10(np.sum(clip**2) / np.sum(noise**2)))
    assert stats.kstest(ratios, stats.uniform(10, 30).cdf).pvalue > 1e-3
    assert 9.99 < min(ratios) < max(ratios) < 40.01


COMPOSED = {
    4: (rb.convolutive, rb.impulsive, rb.stationary),
    5: (rb.convolutive, rb.impulsive),
    6: (rb.convolutive, rb.stationary),
    7: (rb.impulsive, rb.stationary),
}


@pytest.mark.parametrize("algorithm", COMPOSED)
def test_algorithms_4_to_7_run_their_parts_in_a_row(algorithm, speech):
    clip = speech[:16_000]
    rng, expected = np.random.default_rng(3), clip
    for part in COMPOSED[algorithm]:
        expected = part(expected, rng)
    np.testing.assert_array_equal(rb.rawboost(clip, np.random.default_rng(3), algorithm), expected)


def test_algorithm_8_adds_two_parts_beside_each_other(speech):
    clip = speech[:16_000]
    rng = np.random.default_rng(3)
    expected = rb.convolutive(clip, rng) + rb.impulsive(clip, rng)
    ours = rb.rawboost(clip, np.random.default_rng(3), 8)
    np.testing.assert_allclose(ours, contained(expected), atol=1e-7)
    assert np.abs(ours).max() <= 1


@pytest.mark.parametrize("algorithm", range(1, 9))
def test_every_draw_changes_real_speech(algorithm, speech):
    for seed in range(200):
        clip = speech[seed * 700 : seed * 700 + 8_000]
        boosted = rb.rawboost(clip, np.random.default_rng(seed), algorithm)
        assert boosted.dtype == np.float32
        assert boosted.shape == clip.shape
        assert not np.array_equal(boosted, clip)


def test_algorithm_0_changes_nothing_and_9_is_none(speech):
    np.testing.assert_array_equal(rb.rawboost(speech, np.random.default_rng(0), 0), speech)
    with pytest.raises(InputError, match="0 to 8, found 9"):
        rb.rawboost(speech, np.random.default_rng(0), 9)


@given(
    samples=st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=60),
    algorithm=st.integers(0, 8),
    seed=st.integers(0, 1_000),
)
@settings(max_examples=150, deadline=None)
def test_any_clip_stays_finite(samples, algorithm, seed):
    boosted = rb.rawboost(np.array(samples, np.float32), np.random.default_rng(seed), algorithm)
    assert boosted.dtype == np.float32
    assert boosted.shape == (len(samples),)
    assert np.isfinite(boosted).all()


@pytest.mark.parametrize("algorithm", range(9))
@pytest.mark.parametrize("place", [None, 0, 2_000, 3_999])
def test_silence_and_single_impulses_stay_finite(algorithm, place):
    clip = np.zeros(4_000, np.float32)
    if place is not None:
        clip[place] = 1.0
    boosted = rb.rawboost(clip, np.random.default_rng(0), algorithm)
    assert np.isfinite(boosted).all()
    assert place is not None or not boosted.any()
