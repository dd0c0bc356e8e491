"""`earwitness embed`: recordings to a table of samples, which grows as recordings come in.

A recording whose path, size and time of change stand in the table already is not heard again. What is heard
is noted in a journal beside the table first, so that a stopped run goes on where it was.
"""

import base64
import json
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from earwitness.audio.protocol import Utterance, read_protocols
from earwitness.errors import InputError
from earwitness.operations.hearing import ScanOptions
from earwitness.operations.inputs import find_files
from earwitness.operations.samples import Samples, joined, read_samples, write_samples
from earwitness.operations.scan import open_detector, scan_many
from earwitness.operations.show import counting, visible
from earwitness.types import Verdict

STAMP = ("path", "bytes", "modified")  # a recording that has not changed has the same


def run_embed(named: Sequence[str], out: Path, model: str | None, source: str, as_json: bool) -> int:
    """Add recordings, and those of protocols (`*.csv`), to a table; the exit code: 1 if some gave no row.

    Raises:
        InputError: nothing is named; the table is of another model or cannot be written.
    """
    rows, failed, before = embed(named, out, model, source)
    for path, why in failed:
        sys.stderr.write(visible(f"{path}: {why}") + "\n")
    about = {"table": str(out), "rows": len(rows), "new": len(rows) - before, "left_out": len(failed)}
    if as_json:
        sys.stdout.write(json.dumps(about) + "\n")
    else:
        sys.stdout.write(
            visible(f"{out}: {len(rows)} samples, {about['new']} of them new; {len(failed)} left out") + "\n"
        )
    return 1 if failed else 0


def embed(
    named: Sequence[str], out: Path, model: str | None = None, source: str = "-"
) -> tuple[Samples, list[tuple[str, str]], int]:
    """The table with what is named; what gave no row, with the reason; and how many rows stood there before.

    A copy of a recording that stands there gives no row either, silently.

    Raises:
        InputError: as `run_embed`.
    """
    protocols = [Path(name) for name in named if name.lower().endswith(".csv")]
    known = {str(item.path): item for item in read_protocols(protocols)} if protocols else {}
    files = find_files([*(Path(name) for name in named if Path(name) not in protocols), *map(Path, known)])
    if not files.paths:
        raise InputError("usage", "no audio files among what is named")
    detector = open_detector(model, ScanOptions(), 1)
    old = [read_samples(out)] if out.exists() else []
    if old and old[0].model not in ("-", detector.id.digest):
        raise InputError("bad-samples", f"{out}: made by another model; name another table")
    journal = out.with_name(f".{out.name}.journal")
    noted = list(read_journal(journal, detector.id.digest))
    heard = {stamp_of(columns) for columns in rows_of([*old, *noted])}
    todo = [path for path in files.paths if (now := stamp(path)) is None or now not in heard]
    failed = []
    out.parent.mkdir(parents=True, exist_ok=True)
    with journal.open("a", encoding="utf-8") as file, counting(len(todo), "embedding") as count_up:
        for verdict in scan_many(todo, model=model):
            count_up(1)
            if verdict.heard is None:
                failed.append((verdict.path, verdict.error.message if verdict.error else verdict.rule))
                continue
            row = describe(verdict, known.get(verdict.path), source)
            file.write(json.dumps(row) + "\n")
            file.flush()
            noted.append(as_samples(row))
    before = len(old[0]) if old else 0
    if not (old or noted):
        journal.unlink()
        raise InputError(
            "no-samples", f"none of the {len(files.paths)} recordings can be used: {failed[0][1]}"
        )
    found = joined([*old, *sorted(noted, key=lambda row: (row.column("time")[0], row.ids[0]))])
    if noted or not out.exists():
        write_samples(out, found)
    journal.unlink()
    return found, failed, before


def stamp(path: Path) -> tuple[str, ...] | None:
    """What tells whether a file has changed; None where it cannot be asked."""
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None
    return str(path), str(status.st_size), str(status.st_mtime_ns)


def stamp_of(columns: dict[str, str]) -> tuple[str, ...]:
    """The same, of a row."""
    return tuple(columns[name] for name in STAMP)


def rows_of(tables: Iterable[Samples]) -> Iterable[dict[str, str]]:
    """Stamps of all rows."""
    for table in tables:
        for cells in zip(*(table.column(name) for name in STAMP), strict=True):
            yield dict(zip(STAMP, cells, strict=True))


def describe(verdict: Verdict, item: Utterance | None, source: str) -> dict[str, Any]:
    """A row, fit for JSON."""
    assert verdict.heard is not None
    assert verdict.quality is not None
    assert verdict.llr is not None
    assert verdict.sha256 is not None
    mean = verdict.heard.embeddings.mean(0)
    mean = (mean / max(float(np.linalg.norm(mean)), 1e-12)).astype("<f4")
    path, size, modified = stamp(Path(verdict.path)) or (verdict.path, "-", "-")
    when = (
        datetime.fromtimestamp(int(modified) / 1e9, UTC).isoformat(timespec="seconds") if size != "-" else "-"
    )
    return {
        "id": verdict.sha256[:16],
        "score": verdict.llr,
        "embedding": base64.b64encode(mean.tobytes()).decode(),
        "columns": {
            "path": path,
            "label": "-" if item is None else "real" if item.bona_fide else "fake",
            "generator": item.generator if item else "-",
            "source": item.group if item else source,
            "speaker": item.speaker if item else "-",
            "duration_s": f"{verdict.quality.duration_s:.2f}",
            "time": when,
            "raw": repr(verdict.score),
            "verdict": verdict.verdict,
            "bytes": size,
            "modified": modified,
            "model": verdict.model.digest,
        },
    }


def as_samples(row: dict[str, Any]) -> Samples:
    """One row."""
    vector = np.frombuffer(base64.b64decode(row["embedding"]), "<f4")[None]
    return Samples(
        [row["id"]], np.array([row["score"]]), vector, {name: [cell] for name, cell in row["columns"].items()}
    )


def read_journal(path: Path, model: str) -> Iterable[Samples]:
    """Rows of a run that was stopped; what another model heard, and a line cut short, are left out."""
    if not path.exists():
        return
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            row = as_samples(json.loads(line))
        except (ValueError, KeyError, TypeError):
            continue
        if row.model == model:
            yield row
