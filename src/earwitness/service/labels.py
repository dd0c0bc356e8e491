"""What people say of recordings, for the knowledge base and for the table that selection reads."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import select

from earwitness.errors import EarwitnessError
from earwitness.evidence.entries import Entry
from earwitness.evidence.places import make_base
from earwitness.operations.knowledge import add_heard
from earwitness.operations.samples import Samples, write_samples
from earwitness.service.state import Service
from earwitness.service.store import Store, heard_of, instant
from earwitness.service.tables import analyses
from earwitness.service.worker import unpacked, without_paths
from earwitness.types import ModelId

NO_BASE = "this service has no knowledge base; the label is kept beside the analysis"
AT_ONCE = 200


def learn(service: Service, analysis: dict[str, Any], label: str, generator: str, who: str) -> dict[str, Any]:
    """Add a labelled recording to the knowledge base: whether that was done, and if not, why."""
    place, record = service.options.knowledge, analysis["record"]
    if place is None:
        return {"added": False, "why": NO_BASE}
    data = heard_of(service.store, analysis["id"])
    if data is None or record.get("score") is None:
        return {"added": False, "why": "nothing was heard in it that could be compared"}
    heard = unpacked(data)
    kept = service.store.audio(analysis["id"])
    try:
        entry = Entry(
            id=record["sha256"][:16],
            bona_fide=label == "genuine",
            duration_s=record["duration_s"],
            score=record["score"],
            path=str(kept.resolve()) if analysis["audio"] else "-",
            generator=generator or "-",
            added_by=who,
        )
        with make_base(place, ModelId(**record["model"]), heard.embeddings.shape[1]) as base:
            outcome, why = add_heard(base, entry, heard)
            if outcome == "duplicate" and base.entries([entry.id]):
                why = relabelled(base, entry, who)
                outcome = "added" if not why else outcome
    except EarwitnessError as error:
        return {"added": False, "why": without_paths(str(error))}
    return {"added": outcome == "added", "why": why}


def relabelled(base: Any, entry: Entry, who: str) -> str:
    """Correct the label of an entry that is there; '' where that was done."""
    (there,) = base.entries([entry.id])
    if there.bona_fide == entry.bona_fide:
        return "it is there already, with this label"
    base.review(entry.id, entry.bona_fide, who)
    return ""


def to_table(store: Store, out: Path) -> int:
    """Write what was heard as a table of samples, as `earwitness embed` does; how many rows.

    `earwitness select`, `drift check` and `knowledge` read it.

    Raises:
        InputError: `unwritable`.
    """
    rows = list(rows_of(store))
    found = samples_of(rows)
    write_samples(out, found)
    return len(found)


def rows_of(store: Store, model: str = "-") -> Iterator[tuple[Any, dict[str, Any], np.ndarray]]:
    """Recordings that were heard, newest first and each once a model: row, record and mean embedding.

    `model`: the digest of the only one that is asked for.
    """
    columns = [
        analyses.c[name]
        for name in ("number", "id", "sha256", "created", "record", "label", "labelled", "heard")
    ]
    query = select(*columns).where(analyses.c.heard.is_not(None)).order_by(analyses.c.number.desc())
    seen: set[tuple[str, str]] = set()
    last: int | None = None
    while rows := page_of(store, query, last):
        last = rows[-1]["number"]
        for row in rows:
            record = json.loads(row["record"])
            digest = record["model"]["digest"]
            if record.get("llr") is None or (row["sha256"], digest) in seen or model not in ("-", digest):
                continue
            seen.add((row["sha256"], digest))
            mean = unpacked(row["heard"]).embeddings.mean(axis=0)
            yield row, record, mean / max(float(np.linalg.norm(mean)), 1e-12)


def page_of(store: Store, query: Any, last: int | None) -> Any:
    """Some rows of a query, those after a number that came last; no connection is held between pages."""
    if last is not None:
        query = query.where(analyses.c.number < last)
    with store.read() as connection:
        return connection.execute(query.limit(AT_ONCE)).mappings().all()


def samples_of(rows: list[Any]) -> Samples:
    """Rows as samples; of several models only those of the newest."""
    model = rows[0][1]["model"]["digest"] if rows else "-"
    rows = [row for row in rows if row[1]["model"]["digest"] == model]
    columns = {
        "path": [record["path"] for _, record, _ in rows],
        "label": [{"genuine": "real", "fake": "fake"}.get(row["label"] or "", "-") for row, _, _ in rows],
        "generator": [
            (json.loads(row["labelled"])["generator"] if row["labelled"] else "") or "-" for row, _, _ in rows
        ],
        "duration_s": [f"{record['duration_s']:.2f}" for _, record, _ in rows],
        "time": [instant(row["created"]) or "-" for row, _, _ in rows],
        "raw": [repr(record["score"]) for _, record, _ in rows],
        "verdict": [record["verdict"] for _, record, _ in rows],
        "analysis": [row["id"] for row, _, _ in rows],
        "model": [model] * len(rows),
    }
    size = len(rows[0][2]) if rows else 0
    vectors = np.array([mean for _, _, mean in rows], np.float32).reshape(len(rows), size)
    return Samples(
        [row["sha256"][:16] for row, _, _ in rows],
        np.array([record["llr"] for _, record, _ in rows]),
        vectors,
        columns,
    )
