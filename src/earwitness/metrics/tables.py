"""Tables of other people's making (scores, keys), opened without trusting them.

What a file is stands in its first lines, never in its name: fields parted by tabs, commas or white
space, with a header or without. Rows are read by polars, lazily and column by column, so that ten
million trials need neither minutes nor all memory. Whatever is wrong is one sentence with its row;
rows are counted from 1 and the header is the first.
"""

import csv
import io
import mmap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from earwitness.errors import InputError, needs_extra

if TYPE_CHECKING:
    import polars as pl

MAX_BYTES = 8 << 30  # of a table
MAX_LINE = 1 << 16  # bytes
MAX_COLUMNS = 256
LABEL_WORDS = ("bonafide", "spoof", "target", "nontarget")  # as ASVspoof's files spell them


@dataclass(frozen=True)
class Sheet:
    """A table on disk: what its columns are called and how its fields are parted."""

    path: Path
    names: tuple[str, ...]  # lower case, '_' for '-' and ' '
    separator: str  # tab, comma or ' ', which stands for any white space
    header: bool
    first: tuple[str, ...]  # fields of the first row of data; empty where there is none

    def scan(self) -> "pl.LazyFrame":
        """All columns as text, lazily; a field that is absent is null.

        Raises:
            InputError: `bad-scores`: a row of white-space fields with more or fewer than the first.
        """
        with needs_extra("train"):
            import polars as pl
        source = regular(self) if self.separator == " " else self.path
        frame = pl.scan_csv(
            source,
            separator=self.separator,
            quote_char='"' if self.separator == "," else None,
            has_header=self.header,
            infer_schema=False,
        )
        return frame.rename(dict(zip(frame.collect_schema().names(), self.names, strict=True)))

    def row_number(self, index: int) -> int:
        """The row in the file of the data row `index`, which counts from 0."""
        return index + 1 + self.header


def regular(sheet: Sheet) -> io.BytesIO:
    """A white-space table with one space between fields, each row checked for their number.

    Raises:
        InputError: `bad-scores`: a row has more or fewer fields.
    """
    whole = io.BytesIO()
    with sheet.path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            fields = line.removeprefix(b"\xef\xbb\xbf").split()
            if fields and len(fields) != len(sheet.names):
                raise InputError(
                    "bad-scores",
                    f"{sheet.path}, row {number}: {len(fields)} fields where {len(sheet.names)} are expected",
                )
            whole.write(b" ".join(fields) + b"\n")
    whole.seek(0)
    return whole


def check_text(path: Path) -> None:
    """Refuse what is no plain file of text.

    Raises:
        InputError: `not-found`; `bad-scores`: a folder or device, empty, too big, binary, or of lines
            too long.
    """
    if not path.is_file():
        raise InputError("not-found", f"{path}: {'not a file' if path.exists() else 'no such file'}")
    size = path.stat().st_size
    if not size:
        raise InputError("bad-scores", f"{path}: an empty file")
    if size > MAX_BYTES:
        raise InputError("bad-scores", f"{path}: {size:,} bytes; at most {MAX_BYTES:,} are read")
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        if data.find(b"\0") >= 0:
            raise InputError("bad-scores", f"{path}: holds NUL bytes: binary, or not UTF-8; save it as text")
        start = 0
        while size - start > MAX_LINE:  # from the last line end within reach to the next
            end = data.rfind(b"\n", start, start + MAX_LINE + 1)
            if end < 0:
                raise InputError("bad-scores", f"{path}: a line is longer than {MAX_LINE:,} bytes")
            start = end + 1


def first_lines(path: Path) -> list[str]:
    """The first two lines that are not blank.

    Raises:
        InputError: `bad-scores`: not UTF-8, or there is none.
    """
    lines: list[str] = []
    with path.open("rb") as file:
        while len(lines) < 2 and (line := file.readline()):
            try:
                text = line.decode("utf-8-sig").strip("\r\n ")
            except UnicodeDecodeError:
                raise InputError("bad-scores", f"{path}: not text in UTF-8") from None
            if text:
                lines.append(text)
    if not lines:
        raise InputError("bad-scores", f"{path}: holds blank lines only")
    return lines


def split(line: str) -> tuple[str, list[str]]:
    """The separator of a line (tab, comma, or ' ' for white space) and its fields."""
    if "\t" in line:
        return "\t", [field.strip() for field in line.split("\t")]
    if "," in line:
        return ",", [field.strip() for field in next(csv.reader([line]))]
    return " ", line.split()


def plain_name(name: str) -> str:
    """A column's name in lower case, with '_' for '-' and ' '."""
    return name.strip().lower().replace("-", "_").replace(" ", "_")


def is_number(text: str) -> bool:
    """Whether a field reads as a number."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def open_sheet(path: Path, known: frozenset[str], headerless: Sequence[str]) -> Sheet:
    """Look at a table's first lines.

    Args:
        path: the table.
        known: names of columns; a first line that holds one of them is a header.
        headerless: layouts without a header, as names of their columns parted by spaces; one fits
            where the number of fields is the same, labels hold a label and scores a number.

    Raises:
        InputError: `not-found`; `bad-scores`: no table, or one of no known layout.
    """
    check_text(path)
    try:
        lines = first_lines(path)
        separator, fields = split(lines[0])
        first = split(lines[1])[1] if lines[1:] else []
    except (csv.Error, StopIteration) as error:
        raise InputError("bad-scores", f"{path}: its first line cannot be read: {error}") from None
    names = [plain_name(field) for field in fields]
    if known & set(names) and not any(map(is_number, fields)):
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated or len(names) > MAX_COLUMNS:
            what = f"column {repeated[0]!r} twice" if repeated else f"{len(names):,} columns"
            raise InputError("bad-scores", f"{path}: the header names {what}")
        return Sheet(path, tuple(names), separator, True, tuple(first))
    for layout in headerless:
        columns = layout.split()
        row = dict(zip(columns, fields, strict=False))
        if (
            len(columns) == len(fields)
            and row.get("label", row.get("asv_label", "spoof")).lower() in LABEL_WORDS
            and is_number(row.get("score", row.get("asv_score", "0")))
        ):
            return Sheet(path, tuple(columns), separator, False, tuple(fields))
    raise InputError(
        "bad-scores",
        f"{path}: no known layout: its first line has {len(fields)} fields ({' | '.join(fields)[:80]}); a "
        "header with `filename` and `cm-score` or `cm-label` makes any table one",
    )


def explain(sheet: Sheet, reason: Exception) -> InputError:
    """Which row polars could not read, in one sentence; found by reading the table again, row by row."""
    row, quoting = 0, csv.QUOTE_MINIMAL if sheet.separator == "," else csv.QUOTE_NONE
    try:
        with sheet.path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.reader(file, delimiter=sheet.separator, quoting=quoting, strict=True)
            for row, fields in enumerate(rows, start=1):
                if len(fields) > len(sheet.names):
                    what = f"{len(fields)} fields where {len(sheet.names)} are expected"
                    return InputError("bad-scores", f"{sheet.path}, row {row}: {what}")
    except UnicodeDecodeError:
        return InputError("bad-scores", f"{sheet.path}: not text in UTF-8")
    except csv.Error as error:
        return InputError("bad-scores", f"{sheet.path}, row {row + 1}: {error}")
    return InputError("bad-scores", f"{sheet.path}: not readable as a table: {str(reason).splitlines()[0]}")
