"""Attacks on a watermark whose content-independent part is known: what they take off, and what they leave."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_watermark import NAMES, PERIOD, RATE, codes, spread

from earwitness.errors import InputError
from earwitness.evidence import watermark_attacks as attacks
from earwitness.evidence.watermark import attribute, detect, listen

FIXED = 0.004


def clips(count, seconds=3, seed=0, level=0.1):
    rng = np.random.default_rng(seed)
    return [
        (level * rng.standard_normal(seconds * RATE)).clip(-1, 1).astype(np.float32) for _ in range(count)
    ]


def marked(scheme, many, name="alpha"):
    message = scheme.messages[NAMES.index(name)]
    return [attacks.framed(one, scheme, message) for one in many]


def says(scheme, audio):
    heard = listen(scheme, audio, RATE)
    return detect(scheme, heard).marked, attribute(scheme, heard).name


def test_averaging_pairs_finds_a_pattern_that_does_not_depend_on_content():
    scheme = spread(fixed=FIXED)
    clean = clips(4)
    pattern = attacks.waveform_pattern(attacks.windows_of(marked(scheme, clean)), attacks.windows_of(clean))
    np.testing.assert_allclose(pattern, np.resize(FIXED * codes()[0], RATE), atol=1e-7)


def test_such_a_pattern_takes_the_mark_off_and_puts_it_on():
    scheme = spread(fixed=FIXED)
    clean, (host,) = clips(4), clips(1, seed=9)
    pattern = attacks.waveform_pattern(attacks.windows_of(marked(scheme, clean)), attacks.windows_of(clean))
    (carrier,) = marked(scheme, [host])
    assert says(scheme, carrier) == (True, "alpha")
    np.testing.assert_allclose(attacks.remove_waveform(carrier, pattern), host, atol=1e-6)
    assert not says(scheme, attacks.remove_waveform(carrier, pattern))[0]
    np.testing.assert_allclose(attacks.forge_waveform(host, pattern), carrier, atol=1e-6)
    assert says(scheme, attacks.forge_waveform(host, pattern)) == (True, "alpha")


def test_windows_that_begin_anywhere_find_nothing():
    scheme = spread(fixed=FIXED)
    clean = clips(40)
    with_mark = marked(scheme, clean)
    begins = np.random.default_rng(3).integers(0, RATE, 40).tolist()
    pattern = attacks.waveform_pattern(
        attacks.windows_of(with_mark, begins), attacks.windows_of(clean, begins)
    )
    assert np.sqrt(np.mean(pattern**2)) < 0.3 * FIXED  # 1 / sqrt(40) of a code at places drawn anew
    again = attacks.windows_of(with_mark, [PERIOD * (begin // PERIOD) for begin in begins])
    still = attacks.windows_of(clean, [PERIOD * (begin // PERIOD) for begin in begins])
    in_step = attacks.waveform_pattern(again, still)
    np.testing.assert_allclose(in_step, np.resize(FIXED * codes()[0], RATE), atol=1e-7)


@pytest.mark.parametrize("count", [10, 160])
def test_other_recordings_average_out_as_the_root_of_their_number(count):
    scheme = spread(fixed=FIXED)
    with_mark, clean = marked(scheme, clips(count, 1)), clips(count, 1, seed=1)
    pattern = attacks.waveform_pattern(attacks.windows_of(with_mark), attacks.windows_of(clean))
    rest = pattern - np.resize(FIXED * codes()[0], RATE)
    assert np.std(rest) == pytest.approx(0.1 * np.sqrt(2 / count), rel=0.05)


def test_a_spectral_pattern_is_the_filter_that_marked_the_clips():
    gains = np.exp(0.2 * np.sin(np.arange(513) / 20))
    clean = clips(4)
    from earwitness.audio.synthesis.spectra import istft, stft

    filtered = [istft(stft(one, 1_024, 256) * gains, 1_024, 256, len(one)) for one in clean]
    pattern = attacks.spectral_pattern(attacks.windows_of(filtered), attacks.windows_of(clean))
    np.testing.assert_allclose(pattern[2:-2], np.log(gains)[2:-2], atol=0.03)
    host = clips(1, seed=8)[0]
    forged = attacks.forge_spectrum(host, pattern)
    again = attacks.remove_spectrum(forged, pattern)
    assert np.sum((again - host) ** 2) < 1e-4 * np.sum(host**2)
    assert np.sum((forged - host) ** 2) > 1e-2 * np.sum(host**2)


def test_overwriting_at_equal_strength_leaves_both_messages_as_strong():
    scheme = spread()
    (host,) = clips(1, seed=4)
    (carrier,) = marked(scheme, [host])
    twice = attacks.overwritten(carrier, [(scheme, scheme.messages[2])])
    logits = listen(scheme, twice, RATE).says
    alone = listen(scheme, host, RATE).says
    assert (logits - alone)[[0, 2]] == pytest.approx([20, 20], rel=0.01)  # as if each were there alone
    assert (logits - alone)[[1, 3]] == pytest.approx([0, 0], abs=0.2)
    stronger = attacks.overwritten(carrier, [(scheme, scheme.messages[2])], strength=3.0)
    assert says(scheme, stronger) == (True, "gamma")


def test_framing_is_read_as_what_it_says():
    scheme = spread()
    (host,) = clips(1, seed=6)
    assert not says(scheme, host)[0]
    assert says(scheme, attacks.framed(host, scheme, scheme.messages[3])) == (True, "delta")


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 40_000), st.floats(-3, 3), st.integers(0, 5))
def test_attacks_keep_length_and_bounds(samples, scale, seed):
    rng = np.random.default_rng(seed)
    audio = rng.uniform(-1, 1, samples).astype(np.float32)
    for attack, size in ((attacks.forge_waveform, RATE), (attacks.remove_spectrum, 513)):
        out = attack(audio, rng.standard_normal(size).astype(np.float32), scale)
        assert out.shape == audio.shape
        assert out.dtype == np.float32
        assert np.abs(out).max() <= 1


def test_nothing_is_not_averaged():
    none = attacks.windows_of([np.zeros(10)])
    assert none.shape == (0, RATE)
    assert attacks.windows_of([]).shape == (0, RATE)
    for pattern in (attacks.waveform_pattern, attacks.spectral_pattern):
        with pytest.raises(InputError, match="no marked windows of 1 s"):
            pattern(none, attacks.windows_of([np.zeros(RATE)]))
    with pytest.raises(InputError, match="finite"):
        attacks.windows_of([np.full(RATE, np.nan)])
