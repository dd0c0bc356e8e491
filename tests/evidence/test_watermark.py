"""The four verbs over a watermark in plain numpy: a code for each name, every 320 samples."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import expon
from watermark_folder import PERIOD, codes

from earwitness.errors import InputError
from earwitness.evidence import watermark as marks
from earwitness.evidence.watermark import Heard, Presence, Scheme, Window

RATE = 16_000
RATES = (8_000, 11_025, 16_000, 22_050, 44_100, 48_000)
NAMES = ("alpha", "beta", "gamma")
TABLE = codes(len(NAMES))
LEVEL = 0.01


def residual(host, message):
    return LEVEL * np.resize(message @ TABLE, len(host)).astype(np.float32)


def read(audio):
    frames = np.pad(audio, (0, -len(audio) % PERIOD)).reshape(-1, PERIOD)
    alike = frames @ TABLE.T / PERIOD / LEVEL  # (frames, names), 1 where a code was added
    where = alike.max(axis=1) - 0.5
    return Window(float(where.mean()), 20 * alike.mean(axis=0), where)


def tiny(**changes):
    eye = np.eye(len(NAMES), dtype=np.float32)
    presence = Presence(0.2, 0.02, 0.01)
    return replace(Scheme("tiny", "0", RATE, NAMES, eye, None, PERIOD, presence, residual, read), **changes)


def noise(seconds, rate=RATE, channels=1, level=0.02, seed=0):
    drawn = np.random.default_rng(seed).standard_normal((channels, round(seconds * rate)))
    return (level * drawn).astype(np.float32)


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(RATES), st.integers(0, 20_000), st.integers(0, 2), st.integers(0, 2**31))
def test_no_strength_is_no_change_and_any_strength_keeps_the_shape(rate, samples, channels, seed):
    audio = noise(samples / rate, rate, max(channels, 1), 0.3, seed)
    audio = audio[0] if channels == 0 else audio
    none = marks.embed(tiny(), audio, rate, np.eye(3)[0], 0.0)
    np.testing.assert_array_equal(none, audio)
    some = marks.embed(tiny(), audio, rate, np.eye(3)[0])
    assert some.shape == audio.shape
    assert some.dtype == np.float32
    assert np.isfinite(some).all()


@pytest.mark.parametrize("rate", RATES)
def test_marked_audio_is_in_time_and_of_one_sign_and_each_channel_names_its_maker(rate):
    audio = noise(4.0, rate, 2)
    marked = marks.embed(tiny(), audio, rate, tiny().messages[1])
    for before, after in zip(audio, marked, strict=True):
        size = 1 << 19
        alike = np.fft.irfft(np.fft.rfft(after, size) * np.conj(np.fft.rfft(before, size)), size)
        assert int(np.abs(alike).argmax()) == 0
        assert float(after @ before) > 0
        heard = marks.listen(tiny(), after, rate)
        assert marks.detect(tiny(), heard).marked
        named = marks.attribute(tiny(), heard)
        assert (named.name, named.valid) == ("beta", True)
        assert not marks.detect(tiny(), marks.listen(tiny(), before, rate)).marked


def test_silence_stays_silence_beside_a_channel_that_speaks():
    audio = noise(3.0, channels=2)
    audio[0] = 0
    marked = marks.embed(tiny(), audio, RATE, tiny().messages[0])
    assert not marked[0].any()
    assert (marked[1] != audio[1]).mean() > 0.9


def test_what_is_no_number_is_not_added():
    broken = tiny(residual=lambda host, message: np.full(len(host) // 2, np.nan, np.float32))
    audio = noise(2.0)
    np.testing.assert_array_equal(marks.embed(broken, audio, RATE, np.eye(3)[0]), audio)


@pytest.mark.parametrize("peak", [0.5, 1.0, 1.7])
def test_peaks_do_not_grow_beyond_full_scale(peak):
    audio = peak * np.sign(noise(3.0))
    marked = marks.embed(tiny(), audio, RATE, tiny().messages[0], 5.0)
    assert np.abs(marked).max() <= max(1.0, peak)
    assert (marked != audio).any()


@settings(max_examples=8, deadline=None)
@given(st.data(), st.sampled_from((4_000, 5_512)), st.integers(1, 2))
def test_blocks_of_any_size_are_the_whole(data, rate, channels):
    audio = noise(data.draw(st.floats(0.1, 36.0)), rate, channels)
    cuts = sorted(data.draw(st.lists(st.integers(0, audio.shape[1]), max_size=30)))
    blocks = np.split(audio, cuts, axis=1)
    whole = marks.embed(tiny(), audio, rate, tiny().messages[2])
    parts = [*marks.embed_stream(tiny(), iter(blocks), rate, tiny().messages[2])]
    np.testing.assert_allclose(np.concatenate(parts, axis=1), whole, atol=1e-6)
    heard, again = marks.listen(tiny(), whole, rate), marks.listen_stream(tiny(), iter(blocks), rate)
    assert again.duration_s == pytest.approx(heard.duration_s)
    once_more = marks.listen_stream(tiny(), np.split(whole, cuts, axis=1), rate)
    assert (once_more.score, once_more.spans) == (heard.score, heard.spans)


def test_stretches_pass_into_each_other():
    """A residual that is the same everywhere is added the same everywhere, also where two stretches meet."""
    flat = tiny(residual=lambda host, message: np.full(len(host), 0.125, np.float32))
    audio = noise(35.0)
    np.testing.assert_allclose(marks.embed(flat, audio, RATE, np.eye(3)[0]) - audio, 0.125, atol=1e-6)


def test_ten_minutes_take_no_more_memory_than_one():
    """Presence is told sample by sample here, which nobody may keep."""
    longest = 0

    def fine(audio):
        return Window(1.0, np.zeros(3), np.ones(len(audio), np.float32))

    def adding(host, message):
        nonlocal longest
        longest = max(longest, len(host))
        return 0.1 * host

    scheme = tiny(step=1, read=fine, residual=adding)
    block = noise(0.5)
    tracemalloc.start()
    samples = sum(
        part.shape[1]
        for part in marks.embed_stream(scheme, (block for _ in range(1_200)), RATE, np.eye(3)[0])
    )
    heard = marks.listen_stream(scheme, (block for _ in range(1_200)), RATE)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert samples == 600 * RATE
    assert heard.spans == ((0.0, 600.0),)
    assert longest <= (marks.WINDOW_S + marks.OVERLAP_S) * RATE
    assert peak < 16e6  # ten minutes are 38 MB


def test_a_mark_is_found_where_it_lies_as_one_stretch_across_windows():
    audio, scheme = noise(42.0)[0], tiny(presence=Presence(-0.1, 0.02, 0.01))
    marked = marks.embed(scheme, audio, RATE, scheme.messages[0])
    part = slice(3 * RATE, 26 * RATE)
    audio[part] = marked[part]
    seen = marks.detect(scheme, marks.listen(scheme, audio, RATE))
    assert len(seen.spans) == 1
    np.testing.assert_allclose(seen.spans[0], (3.0, 26.0), atol=0.3)


def test_many_windows_need_a_higher_score():
    scores = iter([0.3, 0.1, 0.05, 0.2])
    scheme = tiny(read=lambda audio: Window(next(scores), np.zeros(3), np.zeros(0)))
    heard = marks.listen(scheme, noise(40.0), RATE)
    assert heard.score == pytest.approx(0.3 - 0.02 * np.log(4))
    seen = marks.detect(scheme, heard)
    assert seen.chance == pytest.approx(0.01 * np.exp(-(heard.score - 0.2) / 0.02))
    assert marks.detect(scheme, replace(heard, score=0.2)).chance == pytest.approx(0.01)
    assert marks.detect(scheme, replace(heard, score=-5.0)).chance == 1.0


def test_windows_without_a_mark_do_not_speak_where_others_have_one():
    said = iter([(0.9, [0, 9, 0]), (0.0, [99, 0, 0]), (0.8, [0, 7, 0])])

    def reader(audio):
        score, says = next(said)
        return Window(score, np.array(says, float), np.zeros(0))

    heard = marks.listen(tiny(read=reader), noise(30.0), RATE)
    np.testing.assert_allclose(heard.says, [0, 8, 0])


def test_bits_name_the_nearest_word_and_tell_whether_it_is_exact():
    words = np.array([[-1, -1, 1, 1], [1, -1, -1, 1], [1, 1, 1, -1]], np.float32)
    scheme = tiny(messages=words, bits=words)
    exact = Heard(1.0, np.array([5.0, -4.0, -3.0, 2.0]), (), 1.0)
    assert marks.decode(scheme, exact) == (1, 0, 0, 1)
    assert marks.attribute(scheme, exact).name == "beta"
    assert marks.attribute(scheme, exact).valid
    off = marks.attribute(scheme, replace(exact, says=np.array([5.0, -4.0, 0.5, 2.0])))
    assert (off.name, off.valid) == ("beta", False)
    assert off.confidence < marks.attribute(scheme, exact).confidence


@pytest.mark.parametrize("bits", [None, np.ones((3, 4), np.float32)])
def test_nothing_heard_is_no_mark_and_no_failure(bits):
    scheme = tiny(bits=bits)
    for audio in (np.zeros(0), np.zeros((2, 0))):
        heard = marks.listen(scheme, audio, RATE)
        assert not marks.detect(scheme, heard).marked
        assert marks.detect(scheme, heard).chance == 1.0
        assert marks.attribute(scheme, heard).name in NAMES
        assert len(marks.decode(scheme, heard)) == (0 if bits is None else 4)


def test_a_scheme_without_names_names_nobody():
    scheme = tiny(
        names=(), messages=np.zeros((1, 0)), read=lambda audio: Window(1.0, np.zeros(0), np.zeros(0))
    )
    heard = marks.listen(scheme, noise(1.0), RATE)
    assert marks.detect(scheme, heard).marked
    assert marks.attribute(scheme, heard) is None
    assert marks.decode(scheme, heard) == ()


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**31), st.floats(0.05, 3.0), st.sampled_from((0.01, 0.001)))
def test_the_threshold_is_the_quantile_of_an_exponential_tail(seed, scale, false_alarm):
    scores = expon.rvs(scale=scale, size=40_000, random_state=seed)
    found = marks.fit_presence(scores, false_alarm)
    assert found.threshold == pytest.approx(expon.isf(false_alarm, scale=scale), rel=0.08)
    assert found.tail == pytest.approx(scale, rel=0.1)


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"sample_rate": 100}, "usage"),
        ({"message": np.zeros(4)}, "usage"),
        ({"strength": -1.0}, "usage"),
        ({"strength": float("nan")}, "usage"),
        ({"audio": np.array([0.0, np.nan])}, "bad-samples"),
        ({"audio": np.zeros((1, 2, 3))}, "bad-samples"),
    ],
)
def test_what_cannot_be_marked_is_refused(wrong, code):
    given = {"audio": noise(1.0), "sample_rate": RATE, "message": np.eye(3)[0], "strength": 1.0}
    with pytest.raises(InputError) as caught:
        marks.embed(tiny(), **(given | wrong))
    assert caught.value.code == code
