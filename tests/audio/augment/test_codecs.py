"""Each codec at each of its settings: in time, at its bandwidth, at its bit rate."""

import io
import sys

import numpy as np
import pytest
import soundfile
from scipy import signal

from earwitness.audio.augment import codecs
from earwitness.audio.io import load
from earwitness.errors import InputError, MissingExtra

SETTINGS = [
    (codec, sample_rate, bit_rate)
    for codec, how in codecs.CODECS.items()
    for sample_rate in how.sample_rates
    for bit_rate in how.bit_rates
]
NARROW = ("amr", "gsm", "alaw", "mulaw")  # telephone band, where they run at 8 kHz


@pytest.fixture(scope="module")
def noise():
    """White noise at -20 dB, (samples,): power at every frequency."""
    return (0.1 * np.random.default_rng(0).standard_normal(16_000)).astype(np.float32)


def shift(coded, clip, reach=60):
    """Samples by which `coded` is late, by correlation."""
    inner = clip[reach:-reach]
    alike = np.correlate(coded, inner, "valid")
    return int(np.argmax(alike)) - reach


def band_db(before, after, low, high):
    """Mean gain between two frequencies."""
    hertz, one = signal.welch(before, 16_000, nperseg=512)
    _, other = signal.welch(after, 16_000, nperseg=512)
    inside = (hertz >= low) & (hertz <= high)
    return 10 * np.log10(np.sum(other[inside]) / np.sum(one[inside]) + 1e-20)


def test_all_codecs_are_there():
    assert set(codecs.CODECS) == set("mp3 aac opus vorbis amr mulaw alaw g722 gsm".split())


@pytest.mark.parametrize(("codec", "sample_rate", "bit_rate"), SETTINGS)
def test_speech_comes_back_changed_in_time_and_as_loud(codec, sample_rate, bit_rate, speech):
    clip = speech[16_000:40_000]
    coded = codecs.transmit(clip, codec, sample_rate, bit_rate)
    assert coded.shape == clip.shape
    assert coded.dtype == np.float32
    assert np.isfinite(coded).all()
    assert not np.array_equal(coded, clip)
    assert abs(shift(coded, clip)) <= 2
    # a level step in the codec chain would make classes differ by loudness
    assert np.std(coded) == pytest.approx(np.std(clip), rel=0.25)
    assert np.corrcoef(coded, clip)[0, 1] > 0.7


@pytest.mark.parametrize(("codec", "sample_rate", "bit_rate"), SETTINGS)
def test_bandwidth_is_that_of_the_codec(codec, sample_rate, bit_rate, noise):
    coded = codecs.transmit(noise, codec, sample_rate, bit_rate)
    assert band_db(noise, coded, 300, 3_000) > -8
    if codec in NARROW and sample_rate == 8_000:
        assert band_db(noise, coded, 4_400, 8_000) < -40
    else:
        assert band_db(noise, coded, 4_200, 6_500) > -6


def test_mp3_at_16_khz_ends_at_7_khz(noise):
    assert band_db(noise, codecs.transmit(noise, "mp3", 16_000, 128_000), 7_500, 7_900) < -40


@pytest.mark.parametrize(("codec", "sample_rate", "bit_rate"), SETTINGS)
def test_the_end_of_a_clip_is_not_lost(codec, sample_rate, bit_rate, noise):
    coded = codecs.transmit(noise, codec, sample_rate, bit_rate)
    assert np.std(coded[-30:]) > 0.2 * np.std(coded)


@pytest.mark.parametrize("codec", [c for c, how in codecs.CODECS.items() if len(how.bit_rates) > 1])
def test_bit_rates_are_those_asked_for(codec, speech):
    """Bytes that two more seconds of speech take; FFmpeg's AAC stays below 96 kbit/s at 16 kHz."""
    for bit_rate in codecs.CODECS[codec].bit_rates:
        rate = codecs.CODECS[codec].sample_rates[0]
        longer, shorter = (codecs.compress(speech[:n], codec, rate, bit_rate) for n in (96_000, 64_000))
        measured = (len(longer) - len(shorter)) * 8 / 2
        if (codec, bit_rate) != ("aac", 96_000):
            assert measured == pytest.approx(bit_rate, rel=0.25)


@pytest.mark.parametrize("codec", [c for c, how in codecs.CODECS.items() if len(how.bit_rates) > 1])
def test_more_bits_are_nearer_to_the_original(codec, speech):
    clip = speech[16_000:48_000]
    how = codecs.CODECS[codec]
    fewest, most = min(how.bit_rates), max(how.bit_rates)
    alike = [
        np.corrcoef(codecs.transmit(clip, codec, how.sample_rates[0], bits), clip)[0, 1]
        for bits in (fewest, most)
    ]
    assert alike[0] < alike[1]


@pytest.mark.parametrize(
    ("codec", "bits_per_second"),
    [("mulaw", 64_000), ("alaw", 64_000), ("g722", 64_000), ("gsm", 13_000)],
)
def test_codecs_without_a_choice_have_the_rate_of_their_standard(codec, bits_per_second, speech):
    rate = codecs.CODECS[codec].sample_rates[0]
    longer, shorter = (codecs.compress(speech[:n], codec, rate, None) for n in (96_000, 64_000))
    assert (len(longer) - len(shorter)) * 8 / 2 == pytest.approx(bits_per_second, rel=0.01)


@pytest.mark.parametrize(("codec", "subtype"), [("mulaw", "ULAW"), ("alaw", "ALAW")])
def test_g711_is_that_of_libsndfile(codec, subtype, speech):
    clip = speech[16_000:32_000]
    file = io.BytesIO()
    soundfile.write(file, (clip * 32_767).astype(np.int16), 16_000, format="WAV", subtype=subtype)
    file.seek(0)
    expected = soundfile.read(file, dtype="float32")[0]
    np.testing.assert_allclose(codecs.transmit(clip, codec, 16_000), expected, rtol=0.07, atol=6e-4)
    assert len(np.unique(expected)) < 256


@pytest.mark.parametrize("codec", ["vorbis", "gsm"])
def test_what_libsndfile_wrote_ffmpeg_reads(codec, speech):
    clip = speech[16_000:48_000]
    how = codecs.CODECS[codec]
    coded = codecs.compress(clip, codec, how.sample_rates[0], how.bit_rates[0])
    decoded = load(coded)
    assert np.corrcoef(decoded[: len(clip)], clip)[0, 1] > 0.85


@pytest.mark.parametrize("codec", codecs.CODECS)
def test_delay_does_not_depend_on_what_is_sent(codec):
    """A click in silence, which an alignment by the clip itself would have to guess at."""
    clip = np.zeros(16_000, np.float32)
    clip[8_000:8_016] = 0.5
    coded = codecs.transmit(clip, codec)
    assert abs(int(np.argmax(np.abs(coded))) - 8_008) < 50
    silent = codecs.transmit(np.zeros(16_000, np.float32), codec)
    assert np.abs(silent).max() < 1e-3


@pytest.mark.parametrize("codec", codecs.CODECS)
def test_one_seed_gives_one_result_and_seeds_differ_where_they_can(codec, speech):
    clip = speech[16_000:24_000]
    draws = [codecs.encode(clip, codec, np.random.default_rng(seed)) for seed in (1, 1, 2, 3, 4, 5, 6, 7)]
    np.testing.assert_array_equal(draws[0], draws[1])
    how = codecs.CODECS[codec]
    alone = len(how.sample_rates) * len(how.bit_rates) == 1
    assert all(np.array_equal(draws[0], other) for other in draws) is alone


def test_any_codec_may_be_drawn(monkeypatch, speech):
    seen = set()
    monkeypatch.setattr(codecs, "encode", lambda audio, codec, rng: seen.add(codec))
    for seed in range(100):
        codecs.encode_any(speech, np.random.default_rng(seed))
    assert seen == set(codecs.CODECS)


@pytest.mark.parametrize("codec", codecs.CODECS)
@pytest.mark.parametrize("samples", [320, 333, 1_000])
def test_short_and_loud_clips_come_back(codec, samples):
    clip = np.full(samples, 3.0, np.float32)
    coded = codecs.transmit(clip, codec)
    assert coded.shape == clip.shape
    assert np.isfinite(coded).all()


def test_vorbis_takes_ten_minutes():
    """libsndfile crashes where it is given that much at once."""
    long = np.tile(np.random.default_rng(0).integers(-3_000, 3_000, 8_000).astype(np.int16), 20 * 60)
    file = io.BytesIO()
    codecs.write_sndfile(file, long, codecs.CODECS["vorbis"], 16_000, 32_000)
    file.seek(0)
    assert soundfile.info(file).frames == len(long)


def test_what_a_codec_is_not_met_at_is_refused(speech):
    for arguments, found in (
        (("mp5",), "no codec is called 'mp5'; known are aac"),
        (("mp3", 8_001), "mp3 has the sample rates 16000, 22050, 44100, found 8001"),
        (("opus", 16_000, 7), "opus has the bit rates 12000, 16000, 24000, 48000, found 7"),
    ):
        with pytest.raises(InputError, match=found) as error:
            codecs.transmit(speech, *arguments)
        assert error.value.code == "usage"


@pytest.mark.parametrize("codec", codecs.CODECS)
def test_too_short_clips_are_refused(codec):
    with pytest.raises(InputError, match=f"{codec} needs 320 samples") as error:
        codecs.transmit(np.zeros(319, np.float32), codec)
    assert error.value.code == "too-short"


def test_a_missing_encoder_is_an_error(monkeypatch, speech):
    for how in (codecs.Codec("libnothing", "mp3", (16_000,)), codecs.Codec("NOTHING", "WAV", (16_000,))):
        monkeypatch.setitem(codecs.CODECS, "mp3", how)
        with pytest.raises(InputError, match=f"mp3 needs the encoder {how.encoder}, which this") as error:
            codecs.encode(speech, "mp3", np.random.default_rng(0))
        assert error.value.code == "unsupported"


def test_an_encoder_that_fails_is_an_error(monkeypatch, speech):
    monkeypatch.setitem(codecs.CODECS, "aac", codecs.Codec("aac", "adts", (3_000,)))
    with pytest.raises(InputError, match="FFmpeg could not run aac"):
        codecs.transmit(speech, "aac")


def test_without_soundfile_vorbis_names_the_extra(monkeypatch, speech):
    monkeypatch.setitem(sys.modules, "soundfile", None)
    codecs.at_hand.cache_clear()
    with pytest.raises(MissingExtra, match=r"soundfile is needed here .*earwitness\[train\]"):
        codecs.transmit(speech, "vorbis")
    codecs.at_hand.cache_clear()
