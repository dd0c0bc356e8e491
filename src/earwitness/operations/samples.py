"""Scored items with their embeddings: what drift, discovery, selection and correction work on.

A table (CSV) and an array (npy, a row for each of the table's), whoever made them and of whatever: nothing
here knows of audio. The table has the columns `id` and `score` (higher means more bona fide); `label`,
`logit_fake`, `logit_real`, `source`, `generator`, `path`, `duration_s`, `time`, `model` and whatever else
are used where they are there. AntiDeepfake's `ID,Score,Label`, with the logits as a list, is read too.
"""

import csv
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from earwitness.errors import InputError

MOST_ROWS = 5_000_000
LABELS = {
    **dict.fromkeys(("real", "genuine", "bona-fide", "bonafide", "bona fide", "1"), 1),
    **dict.fromkeys(("fake", "spoof", "0"), 0),
    **dict.fromkeys(("", "-"), -1),
}
OWN = ("id", "score")


@dataclass(frozen=True)
class Samples:
    """Items, in order."""

    ids: list[str]  # unique
    scores: np.ndarray  # (n,) float64, higher means more bona fide
    embeddings: np.ndarray  # (n, size) float32
    columns: dict[str, list[str]]  # every other column, as text

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, rows: Sequence[int] | np.ndarray) -> "Samples":
        """These rows (integers, or one truth value each), in this order."""
        rows = np.asarray(rows)
        rows = np.flatnonzero(rows) if rows.dtype == bool else rows.astype(int)
        columns = {name: [cells[i] for i in rows] for name, cells in self.columns.items()}
        return Samples([self.ids[i] for i in rows], self.scores[rows], self.embeddings[rows], columns)

    def column(self, name: str) -> list[str]:
        """The cells of a column; '-' everywhere where there is none."""
        return self.columns.get(name, ["-"] * len(self))

    def numbers(self, name: str) -> np.ndarray:
        """A column as (n,) float64; NaN where a cell is no number."""
        return np.array([as_number(cell) for cell in self.column(name)])

    @property
    def labels(self) -> np.ndarray:
        """(n,) int8: 1 bona fide, 0 spoof, -1 not known."""
        return np.array([LABELS[cell.lower()] for cell in self.column("label")], np.int8)

    @property
    def model(self) -> str:
        """What the items were embedded by; '-' where the table does not say."""
        return self.column("model")[0] if self.ids else "-"


def as_number(cell: str) -> float:
    """NaN where it is none."""
    try:
        return float(cell)
    except ValueError:
        return float("nan")


def vectors_of(table: Path) -> Path:
    """Where the embeddings of a table lie: beside it, with its name."""
    return table.with_suffix(".npy")


def read_samples(table: Path) -> Samples:
    """Items of `NAME.csv` and `NAME.npy`.

    Raises:
        InputError: `bad-samples`: a file is missing or damaged, the two do not fit together, an id stands
            twice, or a cell is not what its column holds.
    """
    rows = read_rows(table)
    ids = [row["id"] for row in rows]
    seen: dict[str, int] = {}
    for number, key in enumerate(ids, 2):
        if key in seen:
            raise InputError("bad-samples", f"{table}: rows {seen[key]} and {number} have one id, {key!r}")
        seen[key] = number
    for number, row in enumerate(rows, 2):
        if not np.isfinite(as_number(row["score"])):
            raise InputError("bad-samples", f"{table}: row {number}: {row['score']!r} is no score")
        if row.get("label", "-").lower() not in LABELS:
            raise InputError(
                "bad-samples", f"{table}: row {number}: no label is called {row['label']!r}; real or fake"
            )
    names = [name for name in (rows[0] if rows else ()) if name not in OWN]
    columns = {name: [row[name] for row in rows] for name in names}
    if len(set(columns.get("model", ["-"]))) > 1:
        raise InputError("bad-samples", f"{table}: embeddings of several models cannot be compared")
    scores = np.array([float(row["score"]) for row in rows])
    return Samples(ids, scores, read_vectors(vectors_of(table), len(rows), table), columns)


def read_rows(table: Path) -> list[dict[str, str]]:
    """The rows of a table with lower-case names of columns, logits taken apart.

    Raises:
        InputError: `bad-samples`.
    """
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            heads = [name.strip().lower() for name in reader.fieldnames or ()]
            missing = [name for name in OWN if name not in heads]
            if missing:
                raise InputError("bad-samples", f"{table}: has no column {' or '.join(missing)}")
            rows = []
            for number, row in enumerate(reader, 2):
                cells = list(row.values())
                if None in row or None in cells or number > MOST_ROWS:
                    raise InputError(
                        "bad-samples",
                        f"{table}: row {number}: not {len(heads)} cells, or past {MOST_ROWS:,} rows",
                    )
                rows.append(dict(zip(heads, (cell.strip() for cell in cells), strict=True)))
    except (OSError, ValueError, csv.Error) as error:
        raise InputError("bad-samples", f"{table}: cannot be read as CSV: {str(error)[:120]}") from None
    return [with_logits(row) for row in rows]


def with_logits(row: dict[str, str]) -> dict[str, str]:
    """A row whose score is the list [fake, real] gets both logits and their difference."""
    if not row["score"].startswith("["):
        return row
    try:
        fake, real = (float(cell) for cell in json.loads(row["score"]))
    except (ValueError, TypeError):
        return row
    return {**row, "score": repr(real - fake), "logit_fake": repr(fake), "logit_real": repr(real)}


def read_array(path: Path) -> np.ndarray:
    """The floats of an npy file, left on the disk.

    Raises:
        InputError: `bad-samples`.
    """
    try:
        found = np.load(path, allow_pickle=False, mmap_mode="r")
    except (OSError, ValueError, EOFError) as error:
        raise InputError("bad-samples", f"{path}: cannot be read as npy: {str(error)[:120]}") from None
    if not isinstance(found, np.ndarray) or found.dtype.kind != "f":
        raise InputError("bad-samples", f"{path}: an array of floats is expected")
    return found


def read_vectors(path: Path, count: int, table: Path) -> np.ndarray:
    """Embeddings (count, size) float32.

    Raises:
        InputError: `bad-samples`.
    """
    found = read_array(path)
    if found.ndim != 2 or len(found) != count:
        raise InputError(
            "bad-samples",
            f"{path}: an array of floats with a row for each of the {count} of {table.name} is expected",
        )
    vectors = np.ascontiguousarray(found, np.float32)
    if not np.isfinite(vectors).all():
        raise InputError("bad-samples", f"{path}: holds numbers that are not finite")
    return vectors


def write_samples(table: Path, samples: Samples) -> None:
    """Write `NAME.csv` and `NAME.npy`, each whole or not at all; the array first.

    Raises:
        InputError: `unwritable`.
    """
    vectors = vectors_of(table)
    parts = [path.with_name(f".{path.name}.part") for path in (vectors, table)]
    try:
        table.parent.mkdir(parents=True, exist_ok=True)
        with parts[0].open("wb") as file:
            np.save(file, samples.embeddings.astype(np.float32))
        with parts[1].open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow([*OWN, *samples.columns])
            cells = zip(
                samples.ids, (repr(float(s)) for s in samples.scores), *samples.columns.values(), strict=True
            )
            writer.writerows(cells)
        parts[0].replace(vectors)
        parts[1].replace(table)
    except OSError as error:
        raise InputError("unwritable", f"{table}: cannot be written: {error.strerror or error}") from None
    finally:
        for part in parts:
            with suppress(OSError):
                part.unlink()


def joined(parts: Sequence[Samples]) -> Samples:
    """Several sets one after the other; columns that one lacks are '-' there, ids keep their first row.

    Raises:
        InputError: `bad-samples`: their embeddings are of different sizes or models.
    """
    sizes = {part.embeddings.shape[1] for part in parts if len(part)}
    models = {part.model for part in parts if len(part)} - {"-"}
    if len(sizes) > 1 or len(models) > 1:
        raise InputError("bad-samples", "embeddings of several models cannot be put together")
    names = list(dict.fromkeys(name for part in parts for name in part.columns))
    whole = Samples(
        [key for part in parts for key in part.ids],
        np.concatenate([part.scores for part in parts]),
        np.concatenate([part.embeddings for part in parts if len(part)] or [parts[0].embeddings]),
        {name: [cell for part in parts for cell in part.column(name)] for name in names},
    )
    first = {key: i for i, key in reversed(list(enumerate(whole.ids)))}
    return whole if len(first) == len(whole) else whole.take(sorted(first.values()))
