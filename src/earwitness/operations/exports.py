"""The spans of a scan as other programs read them: RTTM, and label tracks for Audacity.

Both hold what the records hold: the stretches that were scored, and which of them sound fake. What was
not scored (nobody speaks there) is in neither, nor are recordings without an answer. A label track
has a line a span, `start<TAB>end<TAB>text`, in seconds.
"""

import os
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from earwitness.audio.rttm import Part, as_lines, write_rttm
from earwitness.errors import InputError
from earwitness.operations.journal import Key, key_of

LABELS_END = ".labels.txt"  # not `.txt`: transcripts often lie beside recordings under that name
LONGEST_NAME = 200  # bytes
SLIVER_S = 0.001  # to which the spans of records are rounded


def safe_names(keys: Sequence[Key]) -> dict[Key, str]:
    """A name for each recording, fit for files and RTTM, each once whatever the case of letters.

    It is the file's name without its ending, as the lists of corpora have it; where several
    recordings share that, the path as it was named; numbered where that is not enough.
    """
    keys = list(dict.fromkeys(keys))
    stems = {key: safe(Path(key[0]).stem) for key in keys}
    shared = Counter(folded(stem) for stem in stems.values())
    names: dict[Key, str] = {}
    taken: set[str] = set()
    numbers: Counter[str] = Counter()
    for key in sorted(keys, key=lambda key: shared[folded(stems[key])]):  # lone stems first: they stay
        plain = stems[key] if shared[folded(stems[key])] == 1 else safe(key[0])
        name = plain
        while folded(name) in taken:
            numbers[folded(plain)] += 1
            name = f"{plain}-{numbers[folded(plain)] + 1}"
        taken.add(folded(name))
        names[key] = name
    return {key: names[key] for key in keys}


def safe(text: str) -> str:
    """Letters, digits, `.`, `_` and `-` of a path; the rest as `_`. Neither hidden nor long nor empty."""
    kept = "".join(c if c.isalnum() or c in "._-" else "_" for c in unicodedata.normalize("NFC", text))
    return kept.encode()[-LONGEST_NAME:].decode(errors="ignore").strip("._") or "recording"


def folded(name: str) -> str:
    """What two names share that some file system takes for one."""
    return unicodedata.normalize("NFC", name.casefold())


def parts_of(record: dict[str, Any]) -> Iterator[Part]:
    """The scored stretches of a record, cut into those that sound fake and those that do not."""
    for start, stop in scored(record):
        here = start
        for span in record["spans"]:
            first, last = max(span["start_s"], start), min(span["end_s"], stop)
            first = first if first - here >= SLIVER_S else here
            last = last if stop - last >= SLIVER_S else stop
            if last - first < SLIVER_S:
                continue
            if first > here:
                yield Part(here, first, True)
            yield Part(first, last, False)
            here = last
        if stop > here:
            yield Part(here, stop, True)


def scored(record: dict[str, Any]) -> list[tuple[float, float]]:
    """The union of a record's windows, which stand in order of time."""
    found: list[tuple[float, float]] = []
    for window in record["windows"]:
        start, stop = window["start_s"], window["end_s"]
        if found and start <= found[-1][1]:
            start, stop = found[-1][0], max(stop, found.pop()[1])
        found.append((start, stop))
    return found


def rttm_text(record: dict[str, Any], name: str) -> str:
    """The parts of one record as RTTM, under a name without white space."""
    return "".join(as_lines(name, list(parts_of(record)))) if record.get("windows") else ""


def write_labels(path: Path, spans: Sequence[dict[str, float]]) -> None:
    """Write a label track whole or not at all."""
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("w", encoding="utf-8", newline="\n") as file:
            for span in spans:
                file.write(f"{span['start_s']:.6f}\t{span['end_s']:.6f}\tfake {span['p_fake']:.2f}\n")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


class SpanFiles:
    """An RTTM, written when the scan is through, and label tracks, written as answers come.

    Raises:
        InputError: `unwritable`: the folder is missing, or cannot be made or written.
    """

    def __init__(self, names: dict[Key, str], rttm: Path | None, labels: Path | None) -> None:
        self.names, self.rttm, self.labels = names, rttm, labels
        self.parts: dict[str, list[Part]] = {}
        if rttm and (rttm.is_dir() or not os.access(rttm.parent, os.W_OK)):
            why = "is a folder" if rttm.is_dir() else f"the folder {rttm.parent} is missing or not writable"
            raise InputError("unwritable", f"--rttm {rttm}: {why}")
        if labels:
            try:
                labels.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise InputError("unwritable", f"--labels {labels}: {error.strerror}") from None

    def write(self, record: dict[str, Any]) -> None:
        """Take the spans of one record."""
        if record["score"] is None:
            return
        name = self.names[key_of(record)]
        if self.rttm:
            self.parts[name] = list(parts_of(record))
        if self.labels:
            write_labels(self.labels / f"{name}{LABELS_END}", record["spans"])

    def __enter__(self) -> "SpanFiles":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self.rttm and kind is None:
            ordered = {name: self.parts[name] for name in self.names.values() if name in self.parts}
            write_rttm(self.rttm, ordered)
