"""What readers of corpora share: files that must be there, tables that must have their columns.

A reader says what is on disk and does not open audio; recordings that a label file names and the
disk lacks are found by `earwitness corpus prepare`, which lists them.
"""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

from earwitness.audio.io import SUFFIXES
from earwitness.errors import InputError

MAX_LINE = 1 << 16  # characters


def need(root: Path, *relative: str) -> Path:
    """The first of `relative` that exists under `root`.

    Raises:
        InputError: `bad-corpus`: none does.
    """
    for name in relative:
        if (root / name).exists():
            return root / name
    raise InputError(
        "bad-corpus", f"{root}: expected {' or '.join(relative)} in it, found none; check the folder"
    )


def fields_of(path: Path, count: int, separator: str | None = None) -> Iterator[list[str]]:
    """Lines of a label file, each split into exactly `count` fields; empty lines are passed over.

    Raises:
        InputError: `bad-corpus`, with file and line.
    """
    try:
        with path.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(iter(lambda: file.readline(MAX_LINE), ""), start=1):
                fields = [field.strip() for field in line.split(separator)]
                if not line.strip():
                    continue
                if len(fields) != count:
                    raise InputError(
                        "bad-corpus", f"{path}, line {number}: expected {count} fields, found {len(fields)}"
                    )
                yield fields
    except (OSError, UnicodeDecodeError) as error:
        raise InputError("bad-corpus", f"{path}: cannot be read as text: {error}") from None


def rows_of(path: Path, columns: Sequence[str], delimiter: str = ",") -> Iterator[dict[str, str]]:
    """Rows of a table with a header that has at least `columns`; missing fields are empty.

    Raises:
        InputError: `bad-corpus`, with file and row.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, delimiter=delimiter)
            missing = [name for name in columns if name not in (reader.fieldnames or [])]
            if missing:
                raise InputError("bad-corpus", f"{path}: the header lacks {', '.join(missing)}")
            for number, row in enumerate(reader, start=2):
                if None in row:
                    raise InputError("bad-corpus", f"{path}, row {number}: more fields than the header has")
                yield {name: (value or "").strip() for name, value in row.items()}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError("bad-corpus", f"{path}: cannot be read as a table: {error}") from None


def audio_under(folder: Path, suffixes: frozenset[str] = SUFFIXES) -> Iterator[Path]:
    """Recordings below a folder by their endings, in order of their paths; hidden ones are left out."""
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path.suffix.lower() in suffixes and not hidden and path.is_file():
            yield path
