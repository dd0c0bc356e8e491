"""RTTM: which parts of a recording are genuine and which are not, a line a part.

    SPEAKER <recording> 1 <start> <duration> NA NA bonafide|spoof NA NA

Times are seconds; parts are half open, disjoint and in order of time. The layout is NIST's Rich
Transcription Time Marked with the label where the speaker stands, as PartialSpoof (Zhang et al.,
IEEE/ACM TASLP 31, 2023) and WeDefense use it. Times are written with seven decimals, which hold every
sample at 16 kHz exactly, and are added up in decimals, so that a part begins where the last one ends.
"""

import io
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path

from earwitness.audio.io import open_path
from earwitness.errors import InputError

LABELS = {"bonafide": True, "spoof": False}
DECIMALS = 7
MAX_BYTES = 1 << 29
MAX_PARTS = 5_000_000
MAX_LINE = 1 << 12  # characters
MAX_S = 1_000_000
ROUNDING_S = 0.002  # parts overlap by up to so much where start and length were rounded to milliseconds


@dataclass(frozen=True)
class Part:
    """A stretch of a recording, half open."""

    start_s: float
    end_s: float
    bona_fide: bool


def read_rttm(path: Path) -> dict[str, tuple[Part, ...]]:
    """Recording -> its parts in order of time; they do not overlap, and need not cover everything.

    Lines may stand in any order; empty ones and comments (`;;`) are passed over, channels not looked at.
    An overlap that rounding to milliseconds explains is taken off the later part.

    Raises:
        InputError: `not-found`, `unreadable`, `not-a-file`; `too-big`: above 512 MiB or five million
            lines; `bad-rttm`, naming file and line: not ten fields, a time that is none, a part that is
            empty, a label other than `bonafide` and `spoof`, parts that overlap.
    """
    found: dict[str, list[tuple[Part, int]]] = {}
    for number, line in lines_of(path):
        try:
            recording, part = parse_line(line)
        except ValueError as error:
            raise InputError("bad-rttm", f"{path}, line {number}: {error}") from None
        found.setdefault(recording, []).append((part, number))
    return {recording: in_order(parts, recording, path) for recording, parts in found.items()}


def lines_of(path: Path) -> Iterator[tuple[int, str]]:
    """Number and text of each line that holds a part."""
    try:
        file = open_path(path)
    except InputError as error:
        raise InputError(error.code, f"{path}: {error.message}") from None
    with file:
        if os.fstat(file.fileno()).st_size > MAX_BYTES:
            raise InputError("too-big", f"{path}: more than {MAX_BYTES >> 20} MiB of RTTM; split it")
        text, number = io.TextIOWrapper(file, encoding="utf-8-sig"), 0
        try:
            for number, line in enumerate(iter(lambda: text.readline(MAX_LINE), ""), start=1):
                if number > MAX_PARTS:
                    raise InputError("too-big", f"{path}: more than {MAX_PARTS:,} lines; split it")
                if line.strip() and not line.startswith(";;"):
                    yield number, line
        except UnicodeDecodeError:
            raise InputError("bad-rttm", f"{path}, after line {number}: not text in UTF-8") from None


def parse_line(line: str) -> tuple[str, Part]:
    """One line: the recording and its part.

    Raises:
        ValueError: saying what is wrong with it.
    """
    fields = line.split()
    if len(fields) != 10 or fields[0] != "SPEAKER":
        raise ValueError(
            f"expected SPEAKER and nine fields more, found {len(fields)} fields that begin with "
            f"{fields[0][:40]!r}"
        )
    start, duration = seconds(fields[3], "start"), seconds(fields[4], "duration")
    if fields[7] not in LABELS:
        raise ValueError(f"label {fields[7][:40]!r} is neither bonafide nor spoof")
    part = Part(float(start), float(start + duration), LABELS[fields[7]])
    if part.end_s <= part.start_s:
        raise ValueError(f"the part is empty: it begins at {fields[3]} s and lasts {fields[4]} s")
    return fields[1], part


def seconds(text: str, name: str) -> Decimal:
    """A time from 0 up.

    Raises:
        ValueError: it is none.
    """
    try:
        value = Decimal(text)
    except InvalidOperation:
        value = Decimal("NaN")
    if not value.is_finite() or not 0 <= value < MAX_S:
        raise ValueError(f"{name} {text[:40]!r} is no number of seconds from 0 up")
    return value


def in_order(parts: list[tuple[Part, int]], recording: str, path: Path) -> tuple[Part, ...]:
    """Parts with their line numbers, sorted by time and parted.

    Raises:
        InputError: `bad-rttm`: two of them overlap.
    """
    ordered: list[Part] = []
    last = 0
    for part, number in sorted(parts, key=lambda one: (one[0].start_s, one[1])):
        end = ordered[-1].end_s if ordered else 0.0
        if part.start_s < end:
            if end - part.start_s > ROUNDING_S or part.end_s <= end:
                raise InputError(
                    "bad-rttm",
                    f"{path}, line {number}: the part of {recording[:80]!r} from {part.start_s:g} s overlaps "
                    f"that of line {last}, which ends at {end:g} s",
                )
            part = Part(end, part.end_s, part.bona_fide)
        ordered.append(part)
        last = number
    return tuple(ordered)


def write_rttm(path: Path, parts: Mapping[str, Sequence[Part]]) -> None:
    """Write an RTTM whole or not at all, recordings in the order given.

    Raises:
        InputError: `bad-name`: a recording's name is empty, holds white space, or is not UTF-8;
            `bad-rttm`: its parts are empty, overlap, or are not in order of time.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("w", encoding="utf-8", newline="\n") as file:
            for recording, stretches in parts.items():
                check_name(recording)
                file.writelines(as_lines(recording, stretches))
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def check_name(recording: str) -> None:
    """Refuse what could not be read back.

    Raises:
        InputError: `bad-name`.
    """
    if recording.split() != [recording]:
        raise InputError(
            "bad-name", f"{recording!r}: names in an RTTM are not empty and hold no white space; rename it"
        )
    try:
        recording.encode()
    except UnicodeEncodeError:
        raise InputError("bad-name", f"{recording!r}: the name is not UTF-8; rename it") from None


def as_lines(recording: str, parts: Sequence[Part]) -> Iterator[str]:
    """The lines of one recording.

    Raises:
        InputError: `bad-rttm`.
    """
    last = 0.0
    for part in parts:
        start, end = round(part.start_s, DECIMALS), round(part.end_s, DECIMALS)
        if not last <= start < end < MAX_S:  # NaN fails too
            raise InputError(
                "bad-rttm",
                f"{recording}: the part from {part.start_s} to {part.end_s} s is empty, overlaps the one "
                "before or is out of order",
            )
        label = "bonafide" if part.bona_fide else "spoof"
        duration = Decimal(f"{end:.{DECIMALS}f}") - Decimal(f"{start:.{DECIMALS}f}")
        yield f"SPEAKER {recording} 1 {start:.{DECIMALS}f} {duration:.{DECIMALS}f} NA NA {label} NA NA\n"
        last = end
