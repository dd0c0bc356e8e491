import numpy as np
import pytest

from earwitness.audio.quality import QualityMeter, clipped_samples, refuse, warn

RATE = 16_000


def measure(audio, block=8_000):
    meter = QualityMeter()
    for i in range(0, len(audio), block):
        meter.update(audio[i : i + block].astype(np.float32))
    return meter.finish()


def noise(kind, seconds, rng):
    n = int(seconds * RATE)
    hertz = np.maximum(np.fft.rfftfreq(n, 1 / RATE), 20)
    white = rng.standard_normal(n)
    time = np.arange(n) / RATE
    if kind == "white":
        audio = white
    elif kind in ("pink", "brown"):
        audio = np.fft.irfft(np.fft.rfft(white) / hertz ** (0.5 if kind == "pink" else 1), n)
    elif kind == "tone":
        audio = np.sin(2 * np.pi * rng.uniform(60, 3_000) * time)
    elif kind == "hum":
        audio = sum(np.sin(2 * np.pi * 50 * k * time) / k for k in range(1, 12))
    elif kind == "pulsing":
        audio = white * (1 + 0.9 * np.sin(2 * np.pi * rng.uniform(1, 8) * time))
    else:  # traffic: rumble, passing cars, a drifting engine
        audio = np.fft.irfft(np.fft.rfft(white) / hertz, n)
        audio /= audio.std()
        for _ in range(3):
            passing = np.exp(-(((time - rng.uniform(0, seconds)) / rng.uniform(0.5, 2)) ** 2))
            audio += 2 * passing * rng.standard_normal(n)
        engine = 2 * np.pi * np.cumsum(rng.uniform(30, 110) * (1 + 0.05 * np.sin(time))) / RATE
        audio += sum(rng.uniform(0.2, 0.8) / k * np.sin(k * engine) for k in range(1, 12))
    return audio / np.std(audio)


@pytest.mark.parametrize("kind", ["white", "pink", "brown", "tone", "hum", "pulsing", "traffic"])
def test_what_is_not_speech_is_refused_at_any_level(kind):
    rng = np.random.default_rng(7)
    for level in (-75, -50, -30, -12, 0):
        audio = np.clip(noise(kind, 3, rng) * 10 ** (level / 20), -1, 1)
        assert refuse(measure(audio)) is not None, f"{kind} at {level} dBFS"


def test_speech_passes_loud_and_quiet(speech):
    for gain in (1.0, 0.1, 0.01, 0.001):
        quality = measure(speech * gain)
        assert refuse(quality) is None, gain
        assert quality.speech_s > 5


def test_a_constant_offset_hides_no_speech(speech):
    plain, offset = measure(speech * 0.01), measure(speech * 0.01 + 0.3)
    assert offset.speech_s == pytest.approx(plain.speech_s, abs=0.2)
    assert offset.level_dbfs == pytest.approx(plain.level_dbfs, abs=0.5)


def test_silence_and_short_clips_have_reasons(speech):
    assert refuse(measure(np.zeros(RATE * 5))).code == "silence"
    assert refuse(measure(np.full(RATE * 5, 0.3))).code == "silence"
    assert refuse(measure(speech[:1_600])).code == "too-short"


def test_block_size_does_not_matter(speech):
    assert measure(speech, 777) == measure(speech, 100_000)


def test_level_is_that_of_the_speech(speech):
    alone = measure(speech)
    with_silence = measure(np.concatenate([speech, np.zeros(RATE * 20)]))
    assert with_silence.level_dbfs == pytest.approx(alone.level_dbfs, abs=0.5)
    assert measure(speech * 0.1).level_dbfs == pytest.approx(alone.level_dbfs - 20, abs=0.3)


def test_digital_silence_share():
    rng = np.random.default_rng(0)
    audio = np.concatenate([rng.standard_normal(512 * 50) * 0.1, np.zeros(512 * 150)])
    assert measure(audio).digital_silence == pytest.approx(0.75)


def test_bandwidth_of_band_limited_noise():
    rng = np.random.default_rng(0)
    spectrum = np.fft.rfft(rng.standard_normal(RATE * 4))
    hertz = np.fft.rfftfreq(RATE * 4, 1 / RATE)
    for edge in (1_500, 3_400, 7_000):
        audio = np.fft.irfft(np.where(hertz < edge, spectrum, 0)) * 0.1
        assert measure(audio).bandwidth_hz == pytest.approx(edge, abs=200)  # 6 bins of leakage


def test_clipping_counts_flat_tops_only():
    time = np.arange(RATE) / RATE
    sine = np.sin(2 * np.pi * 100 * time)
    assert clipped_samples(sine) == 0
    assert clipped_samples(np.clip(2 * sine, -1, 1)) / RATE == pytest.approx(2 / 3, abs=0.05)


def test_warnings_name_what_lowers_trust(speech):
    narrow = np.fft.rfft(speech)
    narrow[np.fft.rfftfreq(len(speech), 1 / RATE) > 3_300] = 0
    texts = " ".join(warn(measure(np.fft.irfft(narrow, len(speech)))))
    assert "narrow band" in texts
    assert "clipped" in " ".join(warn(measure(np.clip(speech * 50, -1, 1))))
    assert warn(measure(speech)) == []


def test_speech_between_finds_the_spoken_part(speech):
    meter = QualityMeter()
    meter.update(np.concatenate([np.zeros(5 * RATE, np.float32), speech]))
    meter.finish()
    assert meter.speech_between(0, 5 * RATE) == 0
    assert meter.speech_between(5 * RATE, 15 * RATE) > 5
    spoken = meter.speaking(0.5)
    assert not any(spoken[:9])
    assert sum(spoken) > 10


def test_the_spoken_part_leaves_out_the_silence_around_it(speech):
    meter = QualityMeter()
    meter.update(np.concatenate([np.zeros(5 * RATE, np.float32), speech, np.zeros(4 * RATE, np.float32)]))
    meter.finish()
    start, end = meter.spoken_part()
    assert 4.5 * RATE < start < 6.5 * RATE
    assert len(speech) + 3.5 * RATE < end < len(speech) + 5.5 * RATE
    silent = QualityMeter()
    silent.update(np.zeros(RATE, np.float32))
    silent.finish()
    assert silent.spoken_part() == (0, RATE)
