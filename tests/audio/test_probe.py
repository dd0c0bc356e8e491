"""Headers against what libsndfile wrote, and what decoding gives."""

import hashlib
import struct

import av
import numpy as np
import pytest
import soundfile

from earwitness.audio.io import Recording, load
from earwitness.audio.probe import Probe, encoding_of, pcm_bits, probe
from earwitness.errors import InputError

RATE = 22_050
SAMPLES = 51_234
KINDS = [  # container, subtype, torchaudio's name of the encoding, bits
    ("WAV", "PCM_U8", "PCM_U", 8),
    ("WAV", "PCM_16", "PCM_S", 16),
    ("WAV", "PCM_24", "PCM_S", 24),
    ("WAV", "PCM_32", "PCM_S", 32),
    ("WAV", "FLOAT", "PCM_F", 32),
    ("WAV", "DOUBLE", "PCM_F", 64),
    ("WAV", "ULAW", "ULAW", 8),
    ("WAV", "ALAW", "ALAW", 8),
    ("RF64", "PCM_16", "PCM_S", 16),
    ("W64", "PCM_16", "PCM_S", 16),
    ("AIFF", "PCM_16", "PCM_S", 16),
    ("AU", "PCM_16", "PCM_S", 16),
    ("FLAC", "PCM_S8", "FLAC", 8),
    ("FLAC", "PCM_16", "FLAC", 16),
    ("FLAC", "PCM_24", "FLAC", 24),
    ("OGG", "VORBIS", "VORBIS", None),
    ("MP3", "MPEG_LAYER_III", "MP3", None),
]


@pytest.fixture
def noise():
    return np.random.default_rng(0).normal(0, 0.1, SAMPLES).astype(np.float32)


def encode(path, container, codec, audio, rate=16_000):
    """Audio (samples,) at 16 kHz through FFmpeg's encoders."""
    with av.open(str(path), "w", format=container) as out:
        stream = out.add_stream(codec, rate=rate, layout="mono")
        frame = av.AudioFrame.from_ndarray(audio[None], format="fltp", layout="mono")
        frame.sample_rate = 16_000
        fifo = av.AudioFifo()
        resampler = av.AudioResampler(format=stream.codec_context.format.name, layout="mono", rate=rate)
        for part in resampler.resample(frame) + resampler.resample(None):
            fifo.write(part)
        while part := fifo.read(stream.codec_context.frame_size or 1024, partial=True):
            out.mux(stream.encode(part))
        out.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize(("container", "subtype", "encoding", "bits"), KINDS)
def test_what_libsndfile_wrote_is_read_off_the_header(
    tmp_path, noise, container, subtype, encoding, bits, channels
):
    path = tmp_path / "a"
    soundfile.write(path, np.stack([noise] * channels, axis=1), RATE, format=container, subtype=subtype)
    found = probe(path)
    assert (found.sample_rate, found.channels, found.encoding, found.bits) == (RATE, channels, encoding, bits)
    assert found.duration_s == pytest.approx(SAMPLES / RATE, abs=1e-4)


def test_opus_without_what_it_skips(tmp_path, noise):
    path = tmp_path / "a.opus"
    soundfile.write(path, noise, 48_000, format="OGG", subtype="OPUS")
    assert probe(path) == Probe(pytest.approx(SAMPLES / 48_000, abs=1e-4), 48_000, 1, "OPUS", None, None)


@pytest.mark.parametrize(
    ("container", "codec", "encoding"),
    [
        ("adts", "aac", "AAC"),
        ("mp4", "aac", "AAC"),
        ("matroska", "flac", "FLAC"),
        ("g722", "g722", "ADPCM_G722"),
    ],
)
def test_length_is_that_of_decoding(tmp_path, noise, container, codec, encoding):
    path = encode(tmp_path / f"a.{container}", container, codec, noise)
    found = probe(path)
    assert found.encoding == encoding
    frame_s = 1024 / 16_000  # of AAC, whose last one decoders give whole
    assert found.duration_s == pytest.approx(len(load(path)) / 16_000, abs=frame_s)


@pytest.mark.parametrize("kind", ["wav", "flac", "mp3", "ogg", "m4a"])
def test_nothing_is_decoded_where_the_length_is_stated(tmp_path, noise, kind, monkeypatch):
    path = tmp_path / f"a.{kind}"
    if kind == "m4a":
        encode(path, "mp4", "aac", noise)
    else:
        soundfile.write(path, noise, 16_000)
    monkeypatch.setattr(Recording, "blocks", lambda _: pytest.fail("was decoded"))
    assert probe(path).duration_s == pytest.approx(SAMPLES / 16_000, abs=0.1)


def test_a_guess_from_the_bit_rate_is_not_trusted(tmp_path, noise):
    silence = np.zeros(10 * 16_000, np.float32)
    audio = np.concatenate([noise, silence])  # the rate of the noise says nothing of the silence
    path = encode(tmp_path / "a.aac", "adts", "aac", audio)
    with av.open(str(path)) as container:
        guess = float(container.streams.audio[0].duration * container.streams.audio[0].time_base)
    assert abs(guess - len(audio) / 16_000) > 1
    assert probe(path).duration_s == pytest.approx(len(audio) / 16_000, abs=0.15)


def test_flac_states_the_md5_of_its_samples(tmp_path, noise):
    samples = np.round(noise * 20_000).astype("<i2")
    for name, level in (("fast", 0.0), ("small", 1.0)):
        soundfile.write(tmp_path / name, samples, RATE, format="FLAC", compression_level=level)
    digests = {probe(tmp_path / name).audio_md5 for name in ("fast", "small")}
    assert (tmp_path / "fast").read_bytes() != (tmp_path / "small").read_bytes()
    assert digests == {hashlib.md5(samples.tobytes()).hexdigest()}


def test_an_md5_that_was_left_out_is_none(tmp_path, noise):
    path = tmp_path / "a.flac"
    soundfile.write(path, noise, RATE)
    data = path.read_bytes()
    path.write_bytes(data[:26] + bytes(16) + data[42:])  # 4 of "fLaC", 4 of the block's header, 18 before it
    assert probe(path).audio_md5 is None


def wav(samples, rate=16_000, size=None):
    """A WAV of silence, mono, 16 bits; `size` is what the header says of its data."""
    data = bytes(2 * samples)
    size = len(data) if size is None else size
    head = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, rate, 2 * rate, 2, 16)
    return (
        b"RIFF"
        + struct.pack("<I", 36 + len(data))
        + b"WAVE"
        + head
        + struct.pack("<4sI", b"data", size)
        + data
    )


@pytest.mark.parametrize("size", [0xFFFFFFFF, 0x7FFFFFFF])
def test_a_wav_that_does_not_know_its_length_is_decoded(tmp_path, size):
    (tmp_path / "a.wav").write_bytes(wav(24_000, size=size))
    assert probe(tmp_path / "a.wav").duration_s == 1.5


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "empty-file"),
        (b"this is no audio", "not-audio"),
        (wav(16_000, size=64_000), "truncated"),
        (wav(0), "no-samples"),
        (wav(1_000, rate=1_000), "unsupported"),
        (b"fLaC" + bytes(100), "damaged"),
    ],
)
def test_what_cannot_be_used_says_why(tmp_path, data, code):
    (tmp_path / "a.wav").write_bytes(data)
    with pytest.raises(InputError) as caught:
        probe(tmp_path / "a.wav")
    assert caught.value.code == code


def test_a_wav_cut_by_a_hair_has_the_length_that_is_there(tmp_path):
    (tmp_path / "a.wav").write_bytes(wav(160_000)[:-320])
    assert probe(tmp_path / "a.wav").duration_s == pytest.approx(9.99, abs=1e-6)


def test_a_missing_file(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        probe(tmp_path / "none.wav")


@pytest.mark.parametrize(
    ("codec", "encoding", "bits"),
    [
        ("PCM_S16LE", "PCM_S", 16),
        ("PCM_F32BE", "PCM_F", 32),
        ("PCM_U8", "PCM_U", 8),
        ("PCM_MULAW", "ULAW", 8),
        ("PCM_ALAW", "ALAW", 8),
        ("AMR_NB", "AMR_NB", None),
        ("", "UNKNOWN", None),
    ],
)
def test_encodings_are_named_as_torchaudio_does(codec, encoding, bits):
    assert (encoding_of(codec), pcm_bits(codec)) == (encoding, bits)
