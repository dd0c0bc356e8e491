"""Every method: as long, finite, in time, repeatable, another sound, and still the same utterance."""

from dataclasses import asdict
from itertools import product

import numpy as np
import pytest

from earwitness.audio.synthesis.methods import METHODS
from earwitness.audio.synthesis.pairing import finish, in_time, prepare_twin

SEEDS = range(3)


@pytest.fixture(scope="module")
def clip(speech):
    return speech[16_000 : 16_000 + 48_011]  # three seconds, no multiple of any hop


@pytest.fixture(scope="module")
def copies(clip):
    """What each method makes of the clip with each seed."""
    made = {}
    for (name, method), seed in product(METHODS.items(), SEEDS):
        rng = np.random.default_rng(seed)
        made[name, seed] = method.make(clip, method.draw(rng), rng)
    return made


def envelope(audio, width=1):
    """RMS every millisecond over `width` of them, about its mean."""
    power = np.square(audio[: len(audio) // 16 * 16].reshape(-1, 16), dtype=np.float64).mean(1)
    level = np.sqrt(np.convolve(power, np.hanning(width + 2), "same"))
    return level - level.mean()


def levels(audio):
    """Power in dB of 32 ms frames in bins of 31 Hz."""
    frames = np.lib.stride_tricks.sliding_window_view(audio, 512)[::256] * np.hanning(512)
    return 10 * np.log10(np.abs(np.fft.rfft(frames)) ** 2 + 1e-6)


@pytest.mark.parametrize(("name", "seed"), [*product(METHODS, SEEDS)])
def test_a_copy_is_the_utterance_in_time_and_another_sound(copies, clip, name, seed):
    made = copies[name, seed]
    assert (made.shape, made.dtype) == (clip.shape, np.float32)
    assert np.isfinite(made).all()
    assert 1e-3 < np.abs(made).max() < 10
    one, two = envelope(clip, 50), envelope(made, 50)
    assert np.corrcoef(one, two)[0, 1] > 0.85
    one, two = envelope(clip, 20), envelope(in_time(made, clip), 20)
    lags = range(-40, 41)  # ms
    alike = [
        np.dot(one[max(0, -n) : len(one) - max(0, n)], two[max(0, n) :][: len(two) - abs(n)]) for n in lags
    ]
    assert abs(lags[int(np.argmax(alike))]) <= 5
    made = made * np.sqrt(np.square(clip).mean() / np.square(made).mean())
    assert np.sqrt(np.square(levels(made) - levels(clip)).mean()) > 2  # dB


@pytest.mark.parametrize("name", METHODS)
def test_a_method_repeats_itself_and_draws_many_settings(copies, clip, name):
    method = METHODS[name]
    rng = np.random.default_rng(1)
    assert np.array_equal(method.make(clip, method.draw(rng), rng), copies[name, 1])
    drawn = {tuple(asdict(method.draw(np.random.default_rng(seed))).values()) for seed in range(30)}
    assert len(drawn) > 20 or name in ("griffin-lim", "quantise", "smooth")
    assert len(drawn) > 12


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("audio", ["silence", "noise", "hum", "short"])
def test_whatever_is_not_speech_stays_finite(name, audio):
    rng = np.random.default_rng(0)
    wave = {
        "silence": np.zeros(9_000),
        "noise": 0.1 * rng.standard_normal(9_001),
        "hum": 0.3 * np.sin(np.arange(9_002) / 20),
        "short": 0.1 * rng.standard_normal(8_000) * np.hanning(8_000),
    }[audio].astype(np.float32)
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        made = METHODS[name].make(wave, METHODS[name].draw(rng), rng)
        assert made.shape == wave.shape
        assert np.isfinite(made).all()
        assert np.abs(made).max() < 30


@pytest.mark.parametrize("name", ["griffin-lim", "phase", "stretch", "upsample", "smooth", "world"])
def test_the_mean_spectrum_is_kept_by_what_does_not_change_it(copies, clip, name):
    def bands(audio):
        power = np.square(np.abs(np.fft.rfft(audio)))
        power = [part.sum() for part in np.array_split(power[: len(power) * 5 // 8], 20)]  # to 5 kHz
        return 10 * np.log10(np.array(power) / sum(power))

    for seed in SEEDS:
        assert np.abs(bands(copies[name, seed]) - bands(clip)).mean() < (4 if name == "smooth" else 3)


@pytest.mark.shared
@pytest.mark.parametrize("name", METHODS)
def test_clips_of_the_development_corpora_become_pairs(shared, name):
    import soundfile

    paths = sorted((shared / "corpus" / "demos" / "audio").glob("*.flac"))[5:400:100]
    for seed, path in enumerate(paths):
        rng = np.random.default_rng(seed)
        twin = prepare_twin(soundfile.read(path, dtype="float32")[0], rng)
        made = METHODS[name].make(twin.audio, METHODS[name].draw(rng), rng)
        fake, genuine = finish(made, twin, rng), finish(twin.audio, twin, rng)
        assert len(fake) == len(genuine)
        assert np.corrcoef(envelope(fake, 50), envelope(genuine, 50))[0, 1] > 0.8
