"""What the header of a recording says of it: length, rate, channels, encoding, bits.

Encodings are named as torchaudio names them, since AntiDeepfake's protocols do (PCM_S, PCM_U,
PCM_F, ULAW, ALAW, FLAC, MP3, VORBIS, OPUS, AMR_NB, ...; else FFmpeg's name of the codec in
capitals, as torchaudio's FFmpeg backend has it). Nothing is decoded where the file states its
length; where FFmpeg would guess from the bit rate, all of it is.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from earwitness.audio.io import MAX_DURATION_S, SAMPLE_RATES, Recording, open_file, open_recording
from earwitness.errors import InputError

OPUS_RATE = 48_000  # Hz, in which Opus counts whatever the rate of its source (RFC 7845, section 4)
G711 = {"PCM_MULAW": "ULAW", "PCM_ALAW": "ALAW"}
MAX_BAD_PACKETS = 0.02  # share of a stream (or two) that may fail to decode before it is damaged


@dataclass(frozen=True)
class Probe:
    """What a header states."""

    duration_s: float
    sample_rate: int
    channels: int
    encoding: str
    bits: int | None  # of a sample; None where the encoding has none, as lossy ones
    audio_md5: str | None  # of the samples, which FLAC states: equal for equal sound


def probe(path: Path) -> Probe:
    """Look into a recording.

    Raises:
        InputError: as `earwitness.audio.io.open_file` and `open_recording`; `truncated` where a WAV
            is shorter than it says; `unsupported` (rate out of bounds), `no-samples`, `too-long`;
            where all had to be decoded also `damaged`, and those of `Recording.blocks`.
    """
    with open_file(path) as file, open_recording(file, path.name) as recording:
        info, context = recording.info, recording.stream.codec_context
        if not SAMPLE_RATES[0] <= info.sample_rate <= SAMPLE_RATES[1]:
            raise InputError("unsupported", f"sample rate {info.sample_rate} Hz is out of bounds")
        duration_s = stated_s(recording)
        if duration_s is None:
            duration_s = decoded_s(recording)
        if not duration_s > 0:
            raise InputError("no-samples", "the sound track holds no samples; export it again")
        if duration_s > MAX_DURATION_S:
            raise InputError("too-long", f"longer than {MAX_DURATION_S / 3600:.0f} h; split it")
        codec = str(context.codec.canonical_name).upper()
        stream_info = bytes(context.extradata or b"") if codec == "FLAC" else b""
        return Probe(
            duration_s,
            info.sample_rate,
            info.channels,
            encoding_of(codec),
            flac_bits(stream_info) if codec == "FLAC" else pcm_bits(codec),
            flac_md5(stream_info),
        )


def stated_s(recording: Recording) -> float | None:
    """Seconds that the file states to within a few milliseconds; None where they would be a guess.

    FFmpeg's own figure goes first: it takes off what the encoder of an MP3 put around, and what a
    WAV promises and does not hold.

    Raises:
        InputError: `truncated`: half a second or more, and over one per cent, is not there.
    """
    stream, promised_s = recording.stream, recording.info.promised_s
    there_s = None if stream.duration is None else float(stream.duration * stream.time_base)
    if promised_s is not None:
        if there_s is not None and promised_s - there_s > max(0.5, 0.01 * promised_s):
            raise InputError(
                "truncated",
                f"cut off: the header promises {promised_s:.1f} s, the file holds {there_s:.1f} s; "
                "fetch it again",
            )
        return promised_s if there_s is None else there_s
    if recording.container.format.name == "ogg" and there_s is not None:  # the last page is counted
        return there_s - pre_skip_s(recording)
    return None


def pre_skip_s(recording: Recording) -> float:
    """Seconds at the start of Opus in Ogg that are not played (RFC 7845, section 5.1)."""
    head = bytes(recording.stream.codec_context.extradata or b"")
    return int.from_bytes(head[10:12], "little") / OPUS_RATE if head[:8] == b"OpusHead" else 0.0


def decoded_s(recording: Recording) -> float:
    """Seconds there are, by decoding all of it.

    Raises:
        InputError: `damaged`; as `Recording.blocks`.
    """
    for _ in recording.blocks():
        pass
    check_whole(recording)
    return recording.decoded_s


def check_whole(recording: Recording) -> None:
    """Refuse what was decoded and has gaps; call after the last block.

    Raises:
        InputError: `damaged`, `truncated`.
    """
    bad, packets, missing_s = recording.bad_packets, recording.packets, recording.missing_s()
    if bad > max(2, MAX_BAD_PACKETS * packets):
        raise InputError("damaged", f"{bad} of {packets} packets cannot be decoded; fetch it again")
    if missing_s:
        raise InputError("truncated", f"cut off: {missing_s:.1f} s of it are not there; fetch it again")


def encoding_of(codec: str) -> str:
    """What torchaudio calls an encoding, by FFmpeg's name of the codec in capitals."""
    if codec in G711:
        return G711[codec]
    kind = re.match(r"PCM_[SUF]", codec)
    return kind[0] if kind else codec or "UNKNOWN"


def pcm_bits(codec: str) -> int | None:
    """Bits of a sample of PCM and G.711."""
    if codec in G711:
        return 8
    depth = re.match(r"PCM_[SUF](\d+)", codec)
    return int(depth[1]) if depth else None


def flac_bits(stream_info: bytes) -> int | None:
    """Bits of a sample by a STREAMINFO block (RFC 9639, section 8.2)."""
    if len(stream_info) < 34:
        return None
    return (int.from_bytes(stream_info[12:14], "big") >> 4 & 31) + 1


def flac_md5(stream_info: bytes) -> str | None:
    """MD5 of the samples by a STREAMINFO block; None where the encoder left it out."""
    digest = stream_info[18:34]
    return digest.hex() if len(digest) == 16 and any(digest) else None
