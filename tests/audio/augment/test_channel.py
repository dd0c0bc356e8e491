import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal, stats

from earwitness.audio.augment import channel
from earwitness.errors import InputError

STEPS = [channel.change_level, channel.limit_band, channel.clip, channel.lose_packets]


@pytest.mark.parametrize("step", STEPS)
def test_steps_change_speech_keep_its_length_and_follow_their_seed(step, speech):
    clip = speech[16_000:32_000]
    for seed in range(50):
        one, two = (step(clip, np.random.default_rng(seed)) for _ in range(2))
        assert one.shape == clip.shape
        assert one.dtype == np.float32
        np.testing.assert_array_equal(one, two)
        assert not np.array_equal(one, clip)


@given(st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=700), st.integers(0, 100))
@settings(deadline=None)
def test_any_clip_stays_finite(samples, seed):
    clip = np.array(samples, np.float32)
    for step in STEPS:
        out = step(clip, np.random.default_rng(seed))
        assert out.shape == clip.shape
        assert np.isfinite(out).all()
        assert not step(np.zeros_like(clip), np.random.default_rng(seed)).any()


def test_levels_are_minus_36_to_4_db_and_clipped(speech):
    clip = speech[16_000:32_000]
    peaks = []
    for seed in range(200):
        changed = channel.change_level(clip, np.random.default_rng(seed))
        assert np.abs(changed * 32_767 - np.round(changed * 32_767)).max() < 2e-3  # 16 bits
        peaks.append(20 * np.log10(np.abs(changed).max()))
    assert max(peaks) == pytest.approx(0, abs=1e-3)
    assert np.mean(np.array(peaks) > -1e-3) == pytest.approx(0.1, abs=0.07)
    below = [peak for peak in peaks if peak < -1e-3]
    assert stats.kstest(below, stats.uniform(-36, 36).cdf).pvalue > 1e-3


@pytest.fixture(scope="module")
def noise():
    return (0.1 * np.random.default_rng(0).standard_normal(64_000)).astype(np.float32)


def gain_db(before, after, hertz):
    where, one = signal.welch(before, 16_000, nperseg=1_024)
    _, other = signal.welch(after, 16_000, nperseg=1_024)
    return 10 * np.log10(np.interp(hertz, where, other / one) + 1e-20)


@pytest.mark.parametrize("rate", channel.RATES_HZ)
def test_a_lower_rate_leaves_nothing_above_its_half(rate, noise):
    low = channel.lower_rate(noise, rate)
    assert gain_db(noise, low, 0.4 * rate) == pytest.approx(0, abs=0.5)
    assert gain_db(noise, low, min(0.53 * rate, 7_900)) < -40


@pytest.mark.parametrize("corner", [60, 150, 300])
def test_high_passes_follow_their_formula(corner, noise):
    high = channel.high_pass(noise, corner)
    for hertz in (corner / 2, corner, 2 * corner, 3_000):
        expected = hertz**2 / (hertz**2 + corner**2)
        tone = np.sin(2 * np.pi * hertz * np.arange(32_000) / 16_000).astype(np.float32)
        passed = channel.high_pass(tone, corner)
        gain = np.vdot(passed, tone) / np.vdot(tone, tone)
        assert gain == pytest.approx(expected, abs=0.01)
    assert np.argmax(np.correlate(high, noise[100:-100], "valid")) == 100


def test_bands_are_limited_above_below_or_both(noise):
    kinds = set()
    for seed in range(24):
        limited = channel.limit_band(noise, np.random.default_rng(seed))
        kinds.add((bool(gain_db(noise, limited, 7_700) < -20), bool(gain_db(noise, limited, 16) < -6)))
    assert kinds == {(True, False), (False, True), (True, True)}


def test_clipping_cuts_3_to_20_db_off_the_peak_and_nothing_else(speech):
    clip = speech[16_000:32_000]
    cuts = []
    for seed in range(200):
        clipped = channel.clip(clip, np.random.default_rng(seed))
        ceiling = np.abs(clipped).max()
        np.testing.assert_array_equal(clipped[np.abs(clip) < ceiling], clip[np.abs(clip) < ceiling])
        cuts.append(20 * np.log10(np.abs(clip).max() / ceiling))
    assert stats.kstest(cuts, stats.uniform(3, 17).cdf).pvalue > 1e-3


def runs(lost):
    """Lengths of the runs of lost packets that begin and end inside."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], lost.astype(int), [0]])))
    return edges[1::2] - edges[::2]


@pytest.mark.parametrize(("rate", "burst"), [(0.02, 1.0), (0.1, 1.5), (0.1, 4.0), (0.4, 2.0), (0.6, 5.0)])
def test_losses_follow_gilberts_model(rate, burst):
    lost = channel.gilbert(200_000, rate, burst, np.random.default_rng(0))
    assert lost.mean() == pytest.approx(rate, rel=0.06)
    lengths = runs(lost)
    assert lengths.mean() == pytest.approx(burst, rel=0.04)
    # geometric: a chance of 1 / burst to recover at each packet
    for length in (1, 2, 3):
        expected = (1 / burst) * (1 - 1 / burst) ** (length - 1)
        assert np.mean(lengths == length) == pytest.approx(expected, abs=0.02)


def test_a_short_call_loses_as_much_as_a_long_one():
    shares = [channel.gilbert(5, 0.3, 3.0, np.random.default_rng(seed)).mean() for seed in range(4_000)]
    assert np.mean(shares) == pytest.approx(0.3, abs=0.02)


@given(st.floats(0.001, 0.9), st.floats(1, 20), st.integers(0, 400), st.integers(0, 10))
def test_gilbert_gives_a_mask_or_refuses(rate, burst, packets, seed):
    if burst < rate / (1 - rate):
        with pytest.raises(InputError, match="no line loses"):
            channel.gilbert(packets, rate, burst, np.random.default_rng(seed))
    else:
        lost = channel.gilbert(packets, rate, burst, np.random.default_rng(seed))
        assert lost.shape == (packets,)
        assert lost.dtype == bool


@pytest.mark.parametrize(("rate", "burst"), [(0.0, 2.0), (1.0, 2.0), (0.1, 0.9), (float("nan"), 2.0)])
def test_impossible_lines_are_refused(rate, burst):
    with pytest.raises(InputError, match="no line loses"):
        channel.gilbert(10, rate, burst, np.random.default_rng(0))


def test_lost_packets_are_silent_or_repeat_the_last_one(speech):
    clip = speech[16_000 : 16_000 + 320 * 400 + 100] + np.float32(1e-4)
    whole = clip[: 320 * 400].reshape(400, 320)
    for seed in range(10):
        silent = channel.lose_packets(clip, np.random.default_rng(seed), conceal="zero")
        repeated = channel.lose_packets(clip, np.random.default_rng(seed), conceal="repeat")
        assert silent.shape == repeated.shape == clip.shape
        silent, repeated = silent[: 320 * 400].reshape(400, 320), repeated[: 320 * 400].reshape(400, 320)
        lost = ~silent.any(axis=1)
        np.testing.assert_array_equal(silent[~lost], whole[~lost])
        np.testing.assert_array_equal(repeated[~lost], whole[~lost])
        kept, fade = np.zeros(320), 1.0
        for i in range(400):
            kept, fade = (kept, fade / 2) if lost[i] else (whole[i], 2.0)
            if lost[i]:
                np.testing.assert_allclose(repeated[i], kept * fade, rtol=1e-6)


def test_drawn_loss_is_1_to_20_percent_and_at_least_one_packet():
    flat = np.ones(320 * 500, np.float32)
    shares = [
        1 - channel.lose_packets(flat, np.random.default_rng(seed), conceal="zero").mean()
        for seed in range(300)
    ]
    assert round(500 * min(shares)) >= 1
    assert np.mean(shares) == pytest.approx(0.105, abs=0.015)
    with pytest.raises(InputError, match="zero or repeat, found 'hum'"):
        channel.lose_packets(flat, np.random.default_rng(0), conceal="hum")


def test_packets_do_not_write_into_what_they_are_given(speech):
    clip = speech[: 320 * 20].copy()
    channel.lose_packets(clip, np.random.default_rng(0), rate=(0.5, 0.5), burst=(2.0, 2.0))
    np.testing.assert_array_equal(clip, speech[: 320 * 20])


def test_speed_moves_pitch_and_length_by_its_factor():
    tone = np.sin(2 * np.pi * 1_000 * np.arange(32_000) / 16_000).astype(np.float32)
    factors = []
    for seed in range(20):
        played, factor = channel.change_speed(tone, np.random.default_rng(seed))
        assert played.dtype == np.float32
        assert len(played) == pytest.approx(32_000 / factor, abs=2)
        inner = played[2_000:-2_000] * np.hanning(len(played) - 4_000)
        pitch = np.argmax(np.abs(np.fft.rfft(inner, 1 << 20))) * 16_000 / (1 << 20)
        assert pitch == pytest.approx(1_000 * factor, abs=0.5)
        factors.append(factor)
    assert stats.kstest(factors, stats.uniform(0.9, 0.2).cdf).pvalue > 1e-3


def test_a_moment_moves_to_its_time_over_the_factor():
    click = np.zeros(32_000, np.float32)
    click[16_000:16_032] = np.hanning(32)
    played, factor = channel.change_speed(click, np.random.default_rng(1))
    assert np.argmax(played) == pytest.approx(16_015.5 / factor, abs=2)


def test_speed_leaves_silence_and_refuses_to_leave_nothing():
    played, _ = channel.change_speed(np.zeros(1_000, np.float32), np.random.default_rng(0))
    assert not played.any()
    with pytest.raises(InputError, match="too short to be played faster"):
        channel.change_speed(np.ones(1, np.float32), np.random.default_rng(0), (3.0, 3.0))
