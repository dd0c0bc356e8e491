"""csv: any table that lists recordings with their labels; ROOT is the file itself, CSV or TSV.

- Publisher and licence: yours; the Dataset column and the IDs have the name of the file, unless it has a
  column for the data set.
- Expected: a header, and fields parted by commas, tabs, semicolons or bars. Columns are known by their usual
  names in any case (`WORDS` below): at least one for the path and one for the label.
- Labels: real, bonafide, bona-fide, genuine, human, original; fake, spoof, spoofed, deepfake, synthetic,
  generated. Numbers are refused: 1 is genuine in some corpora and fake in others.
- Paths lead from the folder of the table and stay inside it; `$ROOT/` at their start is that folder too.
- Splits: train, valid, test and their usual other names; else the row is refused.
- A table with all 12 columns of AntiDeepfake's protocols is read as one (`earwitness.audio.protocol`), with
  what its scripts leave in such files: a Duration of -1 is unknown, and a row without a Path stays in the
  list as a recording that is missing, under `no-path/` and its ID.
"""

import csv
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from earwitness.audio.corpora.layout import MAX_LINE
from earwitness.audio.corpora.trials import SPLIT_WORDS
from earwitness.audio.protocol import COLUMNS, Utterance, parse_row, resolve, whole_of
from earwitness.errors import InputError

NAME = "csv"
LICENCE = "-"
SOURCE = "-"

# Field -> names of its column; the first that the header has is taken.
WORDS = {
    "path": "path filepath file_path audio_path audio_file audio file filename file_name wav".split(),
    "label": "label class target key ground_truth".split(),
    "id": "id utt_id utterance_id uid utt utterance".split(),
    "speaker": "speaker speaker_id spk spk_id speaker_name".split(),
    "generator": "attack attack_id system generator model model_name method algorithm".split(),
    "split": "split subset proportion partition set".split(),
    "language": "language lang locale".split(),
    "architecture": "architecture arch".split(),
    "family": "family attack_type".split(),
    "codec": ["codec", "condition"],
    "source": ["source", "original_file"],
    "text": "text transcript transcription sentence".split(),
    "dataset": "dataset corpus".split(),
    "group": ["group"],
    "fold": ["fold"],
    "licence": ["licence", "license"],
}
LABELS = {
    **dict.fromkeys("real bonafide bona-fide bona_fide genuine human original".split(), True),
    **dict.fromkeys("fake spoof spoofed deepfake synthetic generated".split(), False),
}
UNKNOWN = frozenset(("", "-", "-1", "-1.0", "-1.00", "nan", "none", "unknown"))


def delimiter_of(header: str) -> str:
    """The sign that parts the most fields of a header."""
    return max(",\t;|", key=header.count)


def columns_of(header: list[str], path: Path) -> dict[str, str]:
    """Field -> column of the header.

    Raises:
        InputError: `bad-corpus`: no column for the path or the label.
    """
    by_word = {name.strip().lower(): name for name in reversed(header)}
    found = {
        field: by_word[next(word for word in words if word in by_word)]
        for field, words in WORDS.items()
        if any(word in by_word for word in words)
    }
    for field in ("path", "label"):
        if field not in found:
            words = ", ".join(WORDS[field])
            raise InputError("bad-corpus", f"{path}: no column for the {field}; name it one of {words}")
    return found


def label_of(word: str) -> bool:
    """Whether a label says bona fide.

    Raises:
        ValueError: it says nothing, or is a number.
    """
    if word.lower() in LABELS:
        return LABELS[word.lower()]
    if word.lstrip("+-").replace(".", "", 1).isdigit():
        raise ValueError(
            f"label {word!r} is a number, genuine in some corpora and fake in others; write real or fake"
        )
    raise ValueError(f"label {word!r} is unknown; write real or fake")


def split_named(word: str) -> str:
    """The split of a row.

    Raises:
        ValueError: the word is none of its names.
    """
    if word.lower() not in SPLIT_WORDS:
        raise ValueError(f"split {word!r} is unknown; write train, valid, test or -")
    return SPLIT_WORDS[word.lower()]


def any_row(row: dict[str, str], columns: dict[str, str], name: str, root: Path) -> Utterance:
    """A row of a table with columns of the usual names; `name` is the data set's.

    Raises:
        ValueError: saying what is wrong with it.
    """

    def field(name: str) -> str:
        value = row[columns[name]].strip() if name in columns else ""
        return "-" if value.lower() in UNKNOWN else value

    path = row[columns["path"]]
    bona_fide = label_of(row[columns["label"]].strip())
    return Utterance(
        id=f"{name}-{path.strip() if field('id') == '-' else field('id')}",
        path=resolve(path, root),
        bona_fide=bona_fide,
        dataset=name if field("dataset") == "-" else field("dataset"),
        split=split_named(field("split")),
        generator="-" if bona_fide else field("generator"),
        architecture="-" if bona_fide else field("architecture"),
        family=field("family"),
        speaker=field("speaker"),
        language=field("language").upper(),
        source=field("source"),
        text=field("text"),
        codec=field("codec"),
        group=field("group"),
        fold=whole_of(field("fold"), "fold"),
        licence=field("licence"),
    )


def antideepfake_row(row: dict[str, str], root: Path) -> Utterance:
    """A row of AntiDeepfake's, tolerating what its scripts leave open.

    Raises:
        ValueError: saying what is wrong with it.
    """
    kept = {
        name: "-" if name not in ("ID", "Label", "Path") and value.strip().lower() in UNKNOWN else value
        for name, value in row.items()
    }
    kept["Proportion"] = split_named(kept["Proportion"].strip())
    unmeasured, missing = kept["Duration"] == "-", not kept["Path"].strip()
    if unmeasured:
        kept["Duration"] = "1"
    if missing:
        kept["Path"] = f"no-path/{kept['ID'].strip()}"
    item = parse_row({**kept}, root)
    return replace(item, duration_s=None) if unmeasured else item


def rows_at(path: Path) -> Iterator[tuple[int, dict[str, str], list[str]]]:
    """Number, fields and header of each row; a row has as many fields as the header.

    Raises:
        InputError: `bad-corpus`: naming file and row.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            delimiter = delimiter_of(file.readline(MAX_LINE))
            file.seek(0)
            reader = csv.reader(file, delimiter=delimiter)
            header = next(reader, [])
            for number, cells in enumerate(reader, start=2):
                if cells and len(cells) != len(header):
                    raise InputError(
                        "bad-corpus",
                        f"{path}, row {number}: expected {len(header)} fields, found {len(cells)}",
                    )
                if cells:
                    yield number, dict(zip(header, cells, strict=True)), header
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError("bad-corpus", f"{path}: cannot be read as a table: {error}") from None


def read(root: Path) -> Iterator[Utterance]:
    """All rows of the table `root`.

    Raises:
        InputError: `bad-corpus`: it is no file, lacks a column, or holds a row that is none or an ID twice.
    """
    if not root.is_file():
        raise InputError(
            "bad-corpus", f"{root}: expected a CSV or TSV file, found none; name the file itself"
        )
    seen: dict[str, int] = {}
    columns: dict[str, str] = {}
    base, name = Path(os.path.abspath(root.parent)), root.stem.replace("-", "_")
    for number, row, header in rows_at(root):
        theirs = set(COLUMNS) <= set(header)
        if not columns and not theirs:
            columns = columns_of(header, root)
        try:
            item = antideepfake_row(row, base) if theirs else any_row(row, columns, name, base)
            if item.id in seen:
                raise ValueError(f"ID {item.id!r} stands in row {seen[item.id]} already")
        except ValueError as error:
            raise InputError("bad-corpus", f"{root}, row {number}: {error}") from None
        seen[item.id] = number
        yield replace(item, path=root.parent / item.path.relative_to(base))
