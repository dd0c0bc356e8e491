"""What `earwitness scan --json` writes, as a score file: one record a line (docs/records.md)."""

import json
from collections.abc import Iterator, Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

from earwitness.errors import InputError

if TYPE_CHECKING:
    import polars as pl

RECORD = ("path", "score", "llr", "verdict", "duration_s", "codec", "model_digest")
UNSCORED = ("error", "no-speech")  # verdicts that come without a score
MORE = ("duration", "codec", "model_digest")
MAX_RECORD = 16 << 20  # bytes


def starts_with_brace(path: Path) -> bool:
    """Whether a file's first character opens a JSON object."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(64).lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"{"


def read_records(path: Path, column: str, want: Sequence[str]) -> "pl.DataFrame":
    """Records with `column` (llr, score) as `score`; those without one say why in `unscored`.

    Raises:
        InputError: `bad-scores`, with the row.
    """
    import polars as pl

    numbers = {"score": pl.Float64, "duration": pl.Float64}
    kept = ("id", "score", "unscored", *(name for name in MORE if name in want))
    schema = {name: numbers.get(name, pl.String) for name in kept}
    frame = pl.DataFrame(({name: row[name] for name in kept} for row in records(path, column)), schema=schema)
    if not frame.height:
        raise InputError("bad-scores", f"{path}: holds no records")
    return frame


def records(path: Path, column: str) -> Iterator[dict[str, Any]]:
    """Each record of a scan as a row.

    Raises:
        InputError: `bad-scores`, with the row.
    """
    with path.open("rb") as file:
        number = 0
        while line := file.readline(MAX_RECORD + 1):
            number += 1
            if not line.strip():
                continue
            try:
                if len(line) > MAX_RECORD:
                    raise ValueError(f"longer than {MAX_RECORD:,} bytes")
                yield record_row(json.loads(line.decode("utf-8-sig")), column)
            except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
                why = str(error)[:100]
                raise InputError("bad-scores", f"{path}, row {number}: no record of a scan: {why}") from None


def record_row(record: Mapping[str, Any], column: str) -> dict[str, Any]:
    """What is kept of a record.

    Raises:
        ValueError, KeyError, TypeError, AttributeError: it is none.
    """
    score, verdict = record[column], record["verdict"]
    unscored = verdict if verdict in UNSCORED and score is None else None
    if unscored is None and not (isinstance(score, int | float) and isfinite(score)):
        raise ValueError(f"{column} is {score!r}")
    duration = record.get("duration_s")
    return {
        "id": str(record["path"]),
        "score": None if score is None else float(score),
        "unscored": unscored,
        "duration": float(duration) if isinstance(duration, int | float) else None,
        "codec": str(record.get("codec") or "-"),
        "model_digest": str((record.get("model") or {}).get("digest", "-")),
    }
