"""What the first bytes of a file tell: its kind, and the length that it promises."""

import struct
from typing import Any

from earwitness.errors import InputError

# A WAV that is still being written holds a size around here: its length is not known.
UNKNOWN_SIZE = 0x7FFFF000

SIGNATURES = {
    b"RIFF": "a WAV or AVI file",
    b"fLaC": "a FLAC file",
    b"OggS": "an Ogg file",
    b"ID3": "an MP3 file",
    b"\xff\xfb": "an MP3 file",
    b"FORM": "an AIFF file",
    b"#!AMR": "an AMR file",
    b"\x1aE\xdf\xa3": "a WebM or Matroska file",
    b"0&\xb2u": "a Windows Media file",
}


def promised_by_wav(head: bytes) -> float | None:
    """Seconds that a WAV header states; FFmpeg trims its own figure to the size of the file."""
    if head[:4] != b"RIFF" or head[8:12] != b"WAVE":
        return None
    place, byte_rate = 12, 0
    while place + 8 <= len(head):
        kind, size = head[place : place + 4], int.from_bytes(head[place + 4 : place + 8], "little")
        if kind == b"fmt ":
            byte_rate = int.from_bytes(head[place + 16 : place + 20], "little")
        if kind == b"data":
            return size / byte_rate if byte_rate and 0 < size < UNKNOWN_SIZE else None
        place += 8 + size + size % 2
    return None


def promised_by_mp3(head: bytes, stream: Any) -> float | None:
    """Seconds by the frame count of a Xing or Info tag, which most encoders write first."""
    tag = max(head.find(b"Xing"), head.find(b"Info"))
    if tag < 0 or stream.codec_context is None or not stream.codec_context.name.startswith("mp3"):
        return None
    flags, frames = struct.unpack(">II", head[tag + 4 : tag + 12].ljust(8, b"\0"))
    rate = stream.codec_context.sample_rate
    return frames * (1152 if rate >= 32_000 else 576) / rate if flags & 1 and rate else None


def refusal(head: bytes) -> InputError:
    """What to say of a file that FFmpeg would not open."""
    known = next((kind for mark, kind in SIGNATURES.items() if head.startswith(mark)), None)
    if head[4:8] == b"ftyp":
        known = "an MP4 or M4A file"
    if known:
        return InputError(
            "damaged", f"begins like {known} but cannot be opened: cut off or altered; fetch it again"
        )
    if head and all(byte in b"\t\n\r\f" or 32 <= byte < 127 for byte in head):
        return InputError("not-audio", "holds text, not audio; check that it is the right file")
    return InputError("not-audio", "not a known audio or video format; convert it to WAV or FLAC")
