"""A process for one live stream: sound comes in on the standard input, verdicts go out a line each.

What came is decoded as it comes; every few seconds the last ten are scored. At the end
the whole is scored once more as a recording, from what was spooled to a file without a name.

    python -m earwitness.service.live SETTINGS      (JSON: format, sample_rate, channels, prior, memory, ...)
"""

import json
import os
import struct
import sys
import tempfile
from collections import deque
from collections.abc import Iterator
from typing import IO, Any

import numpy as np
import soxr

from earwitness.audio.io import SAMPLE_RATE, open_recording
from earwitness.audio.speech import speech_graph
from earwitness.errors import InputError
from earwitness.evidence.verdict import to_record
from earwitness.operations.hearing import ScanOptions
from earwitness.operations.scan import open_detector, scan
from earwitness.service.worker import Settings, confine, plainly, without_paths

STEP_S, WINDOW_S = 3.0, 10.0
HEAD_BYTES = 44
LARGEST = (1 << 32) - HEAD_BYTES  # bytes that the head of a WAV file can tell of


class Tape:
    """The input as a file that cannot be searched, but for its head; all that is read is kept in a spool."""

    def __init__(self, source: IO[bytes], spool: IO[bytes]) -> None:
        self.source, self.spool, self.again = source, spool, b""

    def seekable(self) -> bool:
        return False

    def seek(self, place: int) -> None:
        """Back to the start, while only the head was read."""
        self.spool.seek(place)
        self.again = self.spool.read()

    def read(self, size: int) -> bytes:
        if self.again:
            piece, self.again = self.again[:size], self.again[size:]
            return piece
        piece = os.read(self.source.fileno(), size)
        self.spool.write(piece)
        return piece


def main() -> None:
    """Hear the stream to its end."""
    asked = json.loads(sys.argv[1])
    confine(Settings(asked["memory"], asked["max_duration_s"]))
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def say(**value: Any) -> None:
        answers.write(json.dumps(value) + "\n")
        answers.flush()

    try:
        hear(sys.stdin.buffer, asked, say)
    except InputError as error:
        say(event="error", code=error.code, detail=without_paths(error.message))
    except Exception as error:
        say(event="error", code="not-audio", detail=f"the stream cannot be decoded ({type(error).__name__})")


def hear(source: IO[bytes], asked: dict[str, Any], say: Any) -> None:
    """Score the last seconds every few, and the whole at the end."""
    options = ScanOptions(prior=asked["prior"], threads=1)
    detector = open_detector(asked["model"], options, 1)
    speech_graph()
    say(event="ready")
    last: deque[np.ndarray] = deque()
    held = total = scored = 0
    with tempfile.TemporaryFile() as spool:
        for block in blocks_of(source, asked, spool):
            last.append(block)
            held, total = held + len(block), total + len(block)
            while held - len(last[0]) >= WINDOW_S * SAMPLE_RATE:
                held -= len(last.popleft())
            if total > asked["max_duration_s"] * SAMPLE_RATE:
                raise InputError("too-long", "the stream is longer than this service takes")
            if total - scored >= STEP_S * SAMPLE_RATE:
                scored = total
                clip = np.concatenate(list(last))[-round(WINDOW_S * SAMPLE_RATE) :]
                verdict = scan(clip, model=detector, prior=asked["prior"])
                end_s = total / SAMPLE_RATE
                say(
                    event="verdict",
                    start_s=round(end_s - len(clip) / SAMPLE_RATE, 2),
                    end_s=round(end_s, 2),
                    verdict=verdict.verdict,
                    p_fake=None if verdict.p_fake is None else round(verdict.p_fake, 4),
                    llr=None if verdict.llr is None else round(verdict.llr, 4),
                )
        if asked["format"] != "container":
            head = wav_head(asked, total_bytes(spool))  # looks for the end, so it comes first
            spool.seek(0)
            spool.write(head)
        spool.seek(0)
        verdict = scan(spool, model=detector, prior=asked["prior"], timeline=True)
        say(event="end", record={**to_record(plainly(verdict)), "path": "live"})


def blocks_of(source: IO[bytes], asked: dict[str, Any], spool: IO[bytes]) -> Iterator[np.ndarray]:
    """Mono blocks at 16 kHz as they come."""
    if asked["format"] == "container":
        with open_recording(Tape(source, spool)) as recording:  # type: ignore[arg-type]
            yield from recording.blocks()
        return
    rate, channels, rest = asked["sample_rate"], asked["channels"], b""
    spool.write(wav_head(asked, 0))
    resampler = soxr.ResampleStream(rate, SAMPLE_RATE, 1, "float32", "HQ") if rate != SAMPLE_RATE else None
    while piece := os.read(source.fileno(), 1 << 16):
        spool.write(piece)
        rest += piece
        whole = len(rest) // (2 * channels) * (2 * channels)
        frames = np.frombuffer(rest[:whole], "<i2").reshape(-1, channels)
        rest = rest[whole:]
        mono = frames.mean(axis=1, dtype=np.float32) / 32768
        block = resampler.resample_chunk(mono) if resampler else mono
        if len(block):
            yield block


def wav_head(asked: dict[str, Any], size: int) -> bytes:
    """The head of a WAV file of 16-bit samples, for `size` bytes of them."""
    rate, channels, size = asked["sample_rate"], asked["channels"], min(size, LARGEST)
    layout = struct.pack("<HHIIHH", 1, channels, rate, rate * 2 * channels, 2 * channels, 16)
    head = b"WAVEfmt " + struct.pack("<I", 16) + layout + b"data" + struct.pack("<I", size)
    return b"RIFF" + struct.pack("<I", 36 + size) + head


def total_bytes(spool: IO[bytes]) -> int:
    """The bytes of whole samples behind the head of a spooled WAV file."""
    return (spool.seek(0, os.SEEK_END) - HEAD_BYTES) // 2 * 2


if __name__ == "__main__":
    main()
