"""`corpus prepare --segment`: recordings cut into consecutive pieces of one length.

Deepfake-Eval-2024 and DEEP-VOICE hold recordings of minutes and are judged in pieces (of 4, 10, 13, 30
and 50 s in AntiDeepfake's protocols, whose `_seg1` naming is kept; the short last piece stays). Pieces
are FLAC at the rate and with the channels of the recording, of 16 bits, or 24 where it has more; samples
of floating point beyond full scale are clipped. A recording streams through: memory does not grow.
"""

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import chain, groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np

from earwitness.audio.io import SAMPLE_RATES, SCALES, Recording, open_file, open_recording
from earwitness.audio.probe import check_whole
from earwitness.audio.protocol import Utterance
from earwitness.errors import InputError, needs_extra
from earwitness.operations.corpus import Way

MAX_CHANNELS = 8  # of FLAC (RFC 9639, section 9.1.3)
MIN_SEGMENT_S = 0.1


def cutting(base: Path, folder: Path, segment_s: float) -> Way:
    """How recordings under `base` become rows of pieces under `folder`.

    Raises:
        InputError: `usage`: the length is under a tenth of a second, or none.
        MissingExtra: soundfile is not installed.
    """
    if not MIN_SEGMENT_S <= segment_s < 1e6:
        raise InputError("usage", f"--segment {segment_s}: expected seconds, {MIN_SEGMENT_S} or more")
    with needs_extra("train"):
        import soundfile  # noqa: F401

    def name(item: Utterance, number: int) -> Path:
        place = folder / item.path.relative_to(base)
        return place.with_name(f"{place.name}_seg{number}.flac")

    def find(item: Utterance) -> list:
        return [segment_s, *cut(item.path, lambda number: name(item, number), segment_s)]

    def hold(item: Utterance, facts: list) -> bool:
        if len(facts) != 5 or facts[0] != segment_s:
            return False
        return all(name(item, number).is_file() for number in range(1, pieces(facts) + 1))

    def rows(item: Utterance, facts: list) -> Iterator[Utterance]:
        for number in range(1, pieces(facts) + 1):
            yield piece(item, number, name(item, number), facts)

    return Way(find, hold, rows)


def pieces(facts: list) -> int:
    """How many pieces a recording gives."""
    segment_s, samples, rate = facts[:3]
    return -(-samples // round(segment_s * rate))


def piece(item: Utterance, number: int, path: Path, facts: list) -> Utterance:
    """The row of a piece, counted from 1; source and group keep pieces of one recording together."""
    segment_s, samples, rate, channels, bits = facts
    size = round(segment_s * rate)
    return replace(
        item,
        id=f"{item.id}_seg{number}",
        path=path,
        source=item.id if item.source in ("", "-") else item.source,
        group=item.id if item.group in ("", "-") else item.group,
        duration_s=min(size, samples - (number - 1) * size) / rate,
        sample_rate=rate,
        channels=channels,
        encoding="FLAC",
        bits=bits,
    )


def cut(path: Path, name: Callable[[int], Path], segment_s: float) -> tuple[int, int, int, int]:
    """Cut one recording; `name(number)` is where a piece goes, counted from 1.

    Returns:
        Samples, rate, channels and bits of what was written.

    Raises:
        InputError: as `open_recording` and `native`; `damaged`, `truncated`, `no-samples`.
    """
    samples = channels = bits = 0
    with open_file(path) as file, open_recording(file, path.name) as recording:
        rate = recording.info.sample_rate
        numbered = split_at(native(recording), round(segment_s * rate))
        for number, group in groupby(numbered, key=itemgetter(0)):
            written, channels, bits = write_piece(name(number), (block for _, block in group), rate)
            samples += written
        recording.decoded_s = samples / max(rate, 1)
        check_whole(recording)
    if not samples:
        raise InputError("no-samples", "the sound track holds no samples; export it again")
    return samples, rate, channels, bits


def split_at(blocks: Iterator[np.ndarray], size: int) -> Iterator[tuple[int, np.ndarray]]:
    """Blocks with the number of the piece they belong to, from 1; split where a piece ends."""
    place = 0
    for block in blocks:
        while len(block):
            now, block = np.split(block, [size - place % size])
            yield place // size + 1, now
            place += len(now)


def write_piece(path: Path, blocks: Iterator[np.ndarray], rate: int) -> tuple[int, int, int]:
    """Write a FLAC whole or not at all, of blocks (samples, channels); returns samples, channels, bits."""
    import soundfile

    first = next(blocks)
    samples, channels, bits = 0, first.shape[1], 16 if first.dtype == np.int16 else 24
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{threading.get_ident()}.part")
    try:
        with soundfile.SoundFile(part, "w", rate, channels, f"PCM_{bits}", format="FLAC") as sink:
            for block in chain([first], blocks):
                sink.write(block)
                samples += len(block)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return samples, channels, bits


def native(recording: Recording) -> Iterator[np.ndarray]:
    """Blocks of a recording at its own rate, (samples, channels) of int16, or of int32 with 24 bits on top.

    Raises:
        InputError: `unsupported`: rate or channels out of bounds, or changing; `bad-samples`.
    """
    rate, channels = recording.info.sample_rate, None
    deep = recording.info.codec.startswith("pcm_f")
    for frame in recording.frames():
        found = (frame.sample_rate, frame.layout.nb_channels)
        if channels is None:
            channels = frame.layout.nb_channels
            deep = deep or frame.format.name.startswith(("s32", "s64"))
        if not SAMPLE_RATES[0] <= rate <= SAMPLE_RATES[1] or channels > MAX_CHANNELS:
            raise InputError(
                "unsupported", f"{rate} Hz, {channels} channels: FLAC takes {MAX_CHANNELS} channels at most"
            )
        if found != (rate, channels):
            raise InputError("unsupported", "rate or channels change on the way; convert it to WAV")
        yield whole_numbers(frame, 24 if deep else 16)


def whole_numbers(frame: Any, bits: int) -> np.ndarray:
    """Samples of a frame as FLAC takes them, (samples, channels).

    Raises:
        InputError: `bad-samples`: NaN or infinite.
    """
    kind, channels = frame.format.name.removesuffix("p"), frame.layout.nb_channels
    audio = frame.to_ndarray()
    audio = audio.T if frame.format.is_planar else audio.reshape(-1, channels)
    if kind == ("s16" if bits == 16 else "s32"):
        return np.ascontiguousarray(audio)
    audio = audio.astype(np.float64)
    if not np.isfinite(audio).all():
        raise InputError("bad-samples", "NaN or infinite samples; export the recording again")
    audio = (audio - 128.0 if kind == "u8" else audio) / SCALES.get(kind, 1.0)
    full = 1 << (bits - 1)
    audio = np.clip(np.rint(audio * full), -full, full - 1).astype(np.int32)
    return audio.astype(np.int16) if bits == 16 else audio << 8
