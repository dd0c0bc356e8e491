"""Lossy codecs in memory: what telephones, messengers, broadcasts and platforms do to speech.

FFmpeg (through PyAV) runs MP3, AAC, Opus, AMR-NB, G.711 and G.722. libsndfile (through soundfile)
runs Vorbis, for which FFmpeg alone has but an experimental stereo encoder, and GSM 06.10, for which
it has none. Audio comes back in time: the delay of each setting is measured once, on a pulse train,
and taken off. Nothing random happens inside a codec: a setting gives the same samples every time.

Sources of the settings: ITU-T G.711 and G.722 (64 kbit/s at 8 and 16 kHz; G.711 is also met at
16 kHz, with 128 kbit/s), ETSI GSM 06.10 (13 kbit/s), 3GPP TS 26.071 (AMR: eight rates). Vorbis has
qualities, no rates: those here were measured on read English, headers left out, within 10 % at 16 kHz
and 15 % at 22 kHz.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import av
import av.error
import numpy as np
import soxr

from earwitness.audio.augment.clips import fast_size, fit
from earwitness.audio.io import SAMPLE_RATE
from earwitness.errors import InputError, needs_extra

SHORTEST = 320  # samples, 20 ms: a frame of the speech codecs
REACH = 3_200  # samples: no codec here delays by 200 ms
BLOCK = 65_536  # samples libsndfile is given at once: Vorbis blocks of minutes crash it
VORBIS_COMPRESSION = {32_000: 0.8, 48_000: 0.45, 64_000: 0.2}  # bit/s -> 1 - quality


@dataclass(frozen=True)
class Codec:
    """A codec and the settings that it is met at; the first of each is the default."""

    encoder: str  # FFmpeg's name, or libsndfile's subtype
    container: str  # FFmpeg's name, or libsndfile's, which is in capitals
    sample_rates: tuple[int, ...]
    bit_rates: tuple[int | None, ...] = (None,)  # bit/s; None: it has no choice
    asked_for: tuple[int, ...] = ()  # bit rates that `encode` never draws: seeded recipes stay what they were

    @property
    def sndfile(self) -> bool:
        return self.container.isupper()


CODECS: dict[str, Codec] = {
    "aac": Codec("aac", "adts", (16_000, 22_050, 44_100), (32_000, 48_000, 64_000, 96_000)),
    "alaw": Codec("pcm_alaw", "wav", (8_000, 16_000)),
    "amr": Codec(
        "libopencore_amrnb", "amr", (8_000,), (12_200, 10_200, 7_950, 7_400, 6_700, 5_900, 5_150, 4_750)
    ),
    "g722": Codec("g722", "g722", (16_000,)),
    "gsm": Codec("GSM610", "WAV", (8_000,)),
    "mp3": Codec("libmp3lame", "mp3", (16_000, 22_050, 44_100), (32_000, 48_000, 64_000, 128_000)),
    "mulaw": Codec("pcm_mulaw", "wav", (8_000, 16_000)),
    "opus": Codec("libopus", "ogg", (16_000, 48_000), (12_000, 16_000, 24_000, 48_000), (8_000, 6_000)),
    "vorbis": Codec("VORBIS", "OGG", (16_000, 22_050), tuple(VORBIS_COMPRESSION)),
}


def encode_any(audio: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Through one of `CODECS`, drawn like its settings, and back.

    Raises:
        InputError: as `transmit`.
    """
    return encode(audio, str(rng.choice(sorted(CODECS))), rng)


def encode(audio: np.ndarray, codec: str, rng: np.random.Generator) -> np.ndarray:
    """Through a codec of `CODECS` at a sample rate and bit rate drawn from its own, and back.

    Raises:
        InputError: as `transmit`.
    """
    how = find_codec(codec)
    sample_rate = int(rng.choice(how.sample_rates))
    bit_rate = rng.choice(np.array(how.bit_rates, dtype=object))
    return transmit(audio, codec, sample_rate, bit_rate)


def transmit(
    audio: np.ndarray, codec: str, sample_rate: int | None = None, bit_rate: int | None = None
) -> np.ndarray:
    """Through a codec at one setting and back: `transmit(audio, "mp3", bit_rate=32_000)`.

    Same length, in time with `audio` to a few samples. Above [-1, 1] it is clipped, as by any
    16-bit device.

    Raises:
        InputError: `usage` (unknown codec, or a rate that it is not met at), `unsupported` (its
            encoder is missing), `too-short` (under 20 ms).
        MissingExtra: soundfile is absent (Vorbis, GSM).
    """
    how = find_codec(codec)
    hertz = pick(codec, "sample rates", sample_rate, how.sample_rates)
    bits = bit_rate if bit_rate in how.asked_for else pick(codec, "bit rates", bit_rate, how.bit_rates)
    if len(audio) < SHORTEST:
        raise InputError("too-short", f"{codec} needs {SHORTEST} samples at least, found {len(audio)}")
    late = delay(codec, hertz, bits)
    coded = compress(np.pad(audio, (0, late)), codec, hertz, bits)
    return fit(decompress(coded, codec, hertz)[late:], len(audio))


def find_codec(codec: str) -> Codec:
    """The entry of `CODECS`, its encoder at hand.

    Raises:
        InputError: `usage` (not in `CODECS`), `unsupported` (its encoder is missing).
        MissingExtra: soundfile is absent (Vorbis, GSM).
    """
    if codec not in CODECS:
        raise InputError("usage", f"no codec is called {codec!r}; known are {', '.join(CODECS)}")
    how = CODECS[codec]
    if not at_hand(how):
        library = "libsndfile" if how.sndfile else "FFmpeg"
        package = "soundfile" if how.sndfile else "av"
        raise InputError(
            "unsupported",
            f"{codec} needs the encoder {how.encoder}, which this {library} lacks; "
            f"install {package} from PyPI, whose build has it",
        )
    return how


@cache
def at_hand(how: Codec) -> bool:
    """Does this installation have the encoder?"""
    if how.sndfile:
        with needs_extra("train"):
            import soundfile
        return soundfile.check_format(how.container, how.encoder)
    try:
        av.Codec(how.encoder, "w")
    except ValueError:  # PyAV's UnknownCodecError is one
        return False
    return True


def pick(codec: str, what: str, asked: int | None, known: tuple) -> Any:
    """`asked`, or the first of `known` where it is None."""
    if asked is None:
        return known[0]
    if asked not in known:
        raise InputError("usage", f"{codec} has the {what} {', '.join(map(str, known))}, found {asked}")
    return asked


@cache
def delay(codec: str, sample_rate: int, bit_rate: int | None) -> int:
    """Samples at 16 kHz by which a setting delays what it is given.

    Measured on a second of pulses whose pitch rises from 110 to 230 Hz, which no delay but the
    true one lays on top of itself.
    """
    time_s = np.arange(SAMPLE_RATE) / SAMPLE_RATE
    pulses = np.diff(np.floor(110 * time_s + 60 * time_s**2), prepend=0)
    hertz = np.fft.rfftfreq(SAMPLE_RATE, 1 / SAMPLE_RATE)
    voice = np.fft.irfft(np.fft.rfft(pulses) / (1 + 1j * hertz / 3_000), SAMPLE_RATE)
    probe = (0.3 * voice / np.abs(voice).max()).astype(np.float32)
    decoded = decompress(compress(probe, codec, sample_rate, bit_rate), codec, sample_rate)
    size = fast_size(max(len(decoded), len(probe)) + REACH)
    alike = np.fft.irfft(np.fft.rfft(decoded, size) * np.conj(np.fft.rfft(probe, size)), size)
    return int(np.argmax(alike[:REACH]))


def compress(audio: np.ndarray, codec: str, sample_rate: int, bit_rate: int | None) -> bytes:
    """Audio (samples,) at 16 kHz as a file of the codec, at `sample_rate`."""
    how = CODECS[codec]
    sent = audio if sample_rate == SAMPLE_RATE else soxr.resample(audio, SAMPLE_RATE, sample_rate)
    pcm = (np.clip(sent, -1, 1) * 32_767).astype(np.int16)
    file = io.BytesIO()
    if how.sndfile:
        write_sndfile(file, pcm, how, sample_rate, bit_rate)
    else:
        with told(codec):
            write_ffmpeg(file, pcm, how, sample_rate, bit_rate)
    return file.getvalue()


def write_ffmpeg(
    file: io.BytesIO, pcm: np.ndarray, how: Codec, sample_rate: int, bit_rate: int | None
) -> None:
    """Encode 16-bit samples (samples,) through FFmpeg."""
    with av.open(file, "w", format=how.container) as container:
        stream: Any = container.add_stream(how.encoder, rate=sample_rate, layout="mono")
        if bit_rate:
            stream.bit_rate = int(bit_rate)
        frame = av.AudioFrame.from_ndarray(pcm[None], format="s16", layout="mono")
        frame.sample_rate = sample_rate
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def write_sndfile(
    file: io.BytesIO, pcm: np.ndarray, how: Codec, sample_rate: int, bit_rate: int | None
) -> None:
    """Encode 16-bit samples (samples,) through libsndfile."""
    import soundfile

    level = VORBIS_COMPRESSION[bit_rate] if bit_rate else None
    with soundfile.SoundFile(
        file, "w", sample_rate, 1, subtype=how.encoder, format=how.container, compression_level=level
    ) as out:
        for start in range(0, len(pcm), BLOCK):
            out.write(pcm[start : start + BLOCK])


def decompress(coded: bytes, codec: str, sample_rate: int) -> np.ndarray:
    """What `compress` wrote, decoded to (samples,) at 16 kHz; late by the codec's delay."""
    how = CODECS[codec]
    if how.sndfile:
        import soundfile

        audio = soundfile.read(io.BytesIO(coded), dtype="float32")[0]
        return audio if sample_rate == SAMPLE_RATE else soxr.resample(audio, sample_rate, SAMPLE_RATE)
    options = {"ar": str(sample_rate)} if how.container == "g722" else {}  # its files have no header
    blocks: list[np.ndarray] = []
    with told(codec), av.open(io.BytesIO(coded), "r", format=how.container, options=options) as container:
        resampler = av.AudioResampler(format="fltp", layout="mono", rate=SAMPLE_RATE)
        for frame in (*container.decode(audio=0), None):  # None: what the resampler still holds
            blocks += [part.to_ndarray()[0] for part in resampler.resample(frame)]
    return np.concatenate(blocks)


@contextmanager
def told(codec: str) -> Iterator[None]:
    """FFmpeg's failures as one of ours."""
    try:
        yield
    except av.error.FFmpegError as error:
        raise InputError("unsupported", f"FFmpeg could not run {codec}: {error.strerror}") from None
