"""Work on what was accepted: each analysis is answered exactly once, whatever dies meanwhile.

    queued -> running (a claim) -> done
                     |-> queued again: its worker or its server died
                     |-> parked: its workers died three times

An answer counts only together with the claim under which it was asked for, in one transaction with its
entry in the audit log. So a worker that was thought dead cannot answer a second time.
"""

import json
import secrets
import time
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import case, delete, select, update

from earwitness.service.audit import append
from earwitness.service.store import SUMMARY, Store, make_due, remove, remove_files
from earwitness.service.tables import analyses, canonical, retries

TRIES = 3  # times that a worker may die over a file
PARKED = (
    f"scoring this file failed {TRIES} times: it took too much time or memory, or it is made to do harm; "
    "convert it to WAV on another machine and send that"
)
LEASE_S = 20.0
GRACE_S = 3_600.0  # for which an answer can be fetched where nothing is kept
RETRY_KEYS_S = 86_400.0
ORPHAN_S = 3_600.0  # age of a file that no analysis knows, and of what can be made again
Lane = Literal["short", "long"]


@dataclass(frozen=True)
class Job:
    """An analysis to work on. Those that are claimed together have the same options."""

    id: str
    name: str
    sha256: str
    options: dict[str, Any]
    claim: str


def claim(store: Store, lane: Lane, most: int) -> list[Job]:
    """Take the oldest analyses that wait; alone what a worker died over before."""
    columns = [analyses.c[name] for name in ("id", "name", "sha256", "options", "attempts")]
    waiting = (
        select(*columns)
        .where(analyses.c.state == "queued", analyses.c.lane == lane)
        .order_by(analyses.c.number)
        .limit(most)
        .with_for_update(skip_locked=True)
    )
    with store.write() as connection:
        rows = connection.execute(waiting).all()
        if not rows:
            return []
        first = rows[0]
        if first.attempts:
            rows = rows[:1]
        rows = [row for row in rows if row.options == first.options and row.attempts == first.attempts]
        token = secrets.token_hex(16)
        connection.execute(
            update(analyses)
            .where(analyses.c.id.in_([row.id for row in rows]))
            .values(state="running", claim=token, lease=time.time() + LEASE_S, progress=0.0)
        )
    return [Job(row.id, row.name, row.sha256, json.loads(row.options), token) for row in rows]


def finish(
    store: Store, job: Job, record: dict[str, Any], heard: bytes | None = None, state: str = "done"
) -> bool:
    """Answer; False where the analysis is gone, or another answers it."""
    keep = store.keep_s != 0
    with store.write() as connection:
        values = {
            "state": state,
            "finished": time.time(),
            "verdict": record["verdict"],
            "summary": canonical({key: record.get(key) for key in SUMMARY}),
            "record": json.dumps(record, allow_nan=False),
            "heard": heard if keep else None,
            "claim": None,
            "lease": None,
            "audio": keep,
        }
        if not connection.execute(held(update(analyses), job).values(**values)).rowcount:
            return False
        figures = {key: record.get(key) for key in ("verdict", "llr")}
        append(connection, "service", "answered" if state == "done" else "parked", job.id, **figures)
        make_due(connection, job.id)
    if not keep:
        remove_files(store, job.id)
    return True


def held(query: Any, job: Job) -> Any:
    """Of a query on analyses those under the claim of a job."""
    return query.where(analyses.c.id == job.id, analyses.c.state == "running", analyses.c.claim == job.claim)


def give_back(store: Store, job: Job, lane: Lane, died: bool) -> bool:
    """Have a job done by another; whether it was parked instead, for its workers die over it."""
    with store.write() as connection:
        attempts = connection.scalar(held(select(analyses.c.attempts), job))
        if attempts is None:
            return False
        if not died or attempts + 1 < TRIES:
            values = {"state": "queued", "lane": lane, "claim": None, "attempts": attempts + died}
            connection.execute(held(update(analyses), job).values(**values))
            return False
    return finish(store, job, failed_record(job, "parked", PARKED), state="parked")


def failed_record(job: Job, code: str, message: str) -> dict[str, Any]:
    """The record of a file that no worker answered: as of a scan, with nothing found."""
    nothing = ("duration_s", "sample_rate", "channels", "codec", "score", "llr", "p_fake", "quality", "worst")
    return {
        "schema": 1,
        "path": job.name,
        "sha256": job.sha256,
        "model": {"name": job.options["model"] or "", "version": "", "digest": ""},
        "verdict": "error",
        "prior": job.options["prior"],
        "thresholds": {"fake": 1.0, "genuine": 0.0},
        "calibrated": False,
        "rule": code,
        **dict.fromkeys(nothing),
        "windows": [],
        "spans": [],
        "warnings": [],
        "error": {"code": code, "message": message},
    }


def renew(store: Store, jobs: Collection[Job], progress: float | None) -> None:
    """A sign of life: the claims hold on."""
    values: dict[str, Any] = {"lease": time.time() + LEASE_S}
    if progress is not None:
        values["progress"] = progress
    with store.write() as connection:
        for job in jobs:
            connection.execute(held(update(analyses), job).values(**values))


def recover(store: Store, all_of_them: bool = False) -> int:
    """Let others have what servers that died were working on; how many.

    `all_of_them`: no other server works on this store, so nothing needs to be waited for.

    Whatever made a server end may have been one of them, so each is tried alone from now on. That alone parks
    none: servers die of much else, and a file that is to blame kills its worker when it is tried.
    """
    lost = update(analyses).where(analyses.c.state == "running")
    if not all_of_them:
        lost = lost.where(analyses.c.lease < time.time())
    with store.write() as connection:
        suspected = case((analyses.c.attempts == 0, 1), else_=analyses.c.attempts)
        return connection.execute(lost.values(state="queued", claim=None, attempts=suspected)).rowcount


def sweep(store: Store) -> int:
    """Remove what is kept no longer, and files that no analysis knows; how many analyses went."""
    now, gone = time.time(), 0
    if store.keep_s is not None:
        ended = now - (store.keep_s or GRACE_S)
        with store.read() as connection:
            old = connection.scalars(select(analyses.c.id).where(analyses.c.finished < ended)).all()
        gone = sum(remove(store, id, "service", "expired") for id in old)
    with store.write() as connection:
        connection.execute(delete(retries).where(retries.c.created < now - RETRY_KEYS_S))
    with store.read() as connection:
        known = set(connection.scalars(select(analyses.c.id).where(analyses.c.audio)))
    for file in [*store.folder.iterdir(), *(store.folder.parent / "made").iterdir()]:
        if file.parent == store.folder and file.name in known:
            continue
        with suppress(FileNotFoundError):
            if file.stat().st_mtime < now - ORPHAN_S:
                file.unlink()
    return gone
