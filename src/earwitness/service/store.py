"""What was sent in and what was answered: durable, found again, kept no longer than promised.

An upload is accepted once its audio is on the disk and its row is committed. Audio lies in files named by
the ids of their analyses, never by what a client called them. `jobs.py` does the work on them.
"""

import hashlib
import json
import os
import secrets
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, RowMapping, delete, func, select, update
from sqlalchemy.exc import IntegrityError

from earwitness.errors import InputError
from earwitness.service.audit import append
from earwitness.service.tables import analyses, canonical, deliveries, open_tables, retries, sqlite_url

DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"
NAME_LENGTH = 255
AT_ONCE = 500  # ids in one query
SUMMARY = ("verdict", "p_fake", "llr", "duration_s", "error", "warnings")
WHOLE = [column for column in analyses.c if column.name not in ("heard", "claim", "lease")]
LISTED = [column for column in WHOLE if column.name != "record"]


@dataclass(frozen=True)
class Store:
    """An open store. One thread of a process writes at a time, so that none waits for SQLite's lock long."""

    engine: Engine
    folder: Path  # of audio
    keep_s: float | None = None  # after the answer; None is for ever, 0 nothing
    writing: threading.RLock = field(default_factory=threading.RLock, repr=False, compare=False)

    def audio(self, id: str) -> Path:
        """Where the audio of an analysis lies."""
        return self.folder / id

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction."""
        with self.writing, self.engine.begin() as connection:
            yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection that only reads, and never waits for a writer."""
        with self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            yield connection


@dataclass(frozen=True)
class Upload:
    """A recording that lies in the folder, not accepted yet."""

    id: str
    name: str
    size: int
    sha256: str


def open_store(folder: Path, url: str | None = None, keep_s: float | None = None) -> Store:
    """The store in a folder, with its tables there too or in the database at `url`.

    Raises:
        InputError: `no-store`: folder or database cannot be used.
    """
    try:
        (folder / "audio").mkdir(parents=True, exist_ok=True, mode=0o700)
        (folder / "made").mkdir(exist_ok=True, mode=0o700)  # what was made of audio, and can be made again
    except OSError as error:
        raise InputError("no-store", f"{folder}: cannot be used: {error.strerror or error}") from None
    return Store(open_tables(url or sqlite_url(folder / "service.db")), folder / "audio", keep_s)


def new_id(now: float | None = None) -> str:
    """26 digits and letters: 48 bits of milliseconds, so that ids sort by time, and 80 random bits."""
    number = int((now or time.time()) * 1000) << 80 | secrets.randbits(80)
    return "".join(DIGITS[number >> shift & 31] for shift in range(125, -1, -5))


def accept(
    store: Store,
    upload: Upload,
    options: dict[str, Any],
    owner: str,
    *,
    retry_key: str | None = None,
    callback: str | None = None,
) -> str:
    """Take an upload in; the id of its analysis, or of the one that the same request made before.

    Raises:
        InputError: `retry-mismatch`: the idempotency key was used for another request.
    """
    return take_in(store, [upload], options, owner, None, retry_key, callback)


def accept_batch(
    store: Store,
    uploads: Sequence[Upload],
    options: dict[str, Any],
    owner: str,
    callback: str | None,
    retry_key: str | None = None,
) -> str:
    """Take uploads in, all or none; the id of their batch, or of the one that the same request made before.

    Raises:
        InputError: `retry-mismatch`, as `accept`.
    """
    return take_in(store, uploads, options, owner, new_id(), retry_key, callback)


def take_in(
    store: Store,
    uploads: Sequence[Upload],
    options: dict[str, Any],
    owner: str,
    batch: str | None,
    retry_key: str | None,
    callback: str | None,
) -> str:
    """Take uploads in, as a batch or the only one by itself; the id of what they are."""
    subject = batch or uploads[0].id
    kind = "batch" if batch else "analysis"
    sent = [[upload.sha256, upload.name] for upload in uploads]
    fingerprint = hashed(canonical([kind, sent, options, callback]))
    try:
        with store.write() as connection:
            if retry_key is not None:
                values = {"owner": owner, "key": retry_key, "fingerprint": fingerprint}
                connection.execute(retries.insert().values(**values, analysis=subject, created=time.time()))
            for upload in uploads:
                insert(connection, upload, options, owner, batch)
            if callback is not None:
                add_delivery(connection, kind, subject, callback)
    except IntegrityError:
        if retry_key is None:
            raise
        return earlier(store, owner, retry_key, fingerprint, uploads)
    return subject


def insert(
    connection: Connection, upload: Upload, options: dict[str, Any], owner: str, batch: str | None = None
) -> None:
    """Add the row of an upload."""
    connection.execute(
        analyses.insert().values(
            id=upload.id,
            state="queued",
            lane="short",
            name=upload.name[:NAME_LENGTH],
            size=upload.size,
            sha256=upload.sha256,
            created=time.time(),
            owner=owner,
            options=canonical(options),
            batch=batch,
            audio=True,
        )
    )
    append(connection, owner, "accepted", upload.id, sha256=upload.sha256, size=upload.size)


def earlier(store: Store, owner: str, key: str, fingerprint: str, uploads: Sequence[Upload]) -> str:
    """The analysis or batch of a request that came before; the new uploads are let go."""
    with store.read() as connection:
        row = connection.execute(
            select(retries.c.analysis, retries.c.fingerprint).where(
                retries.c.owner == owner, retries.c.key == key
            )
        ).first()
    for upload in uploads:
        store.audio(upload.id).unlink(missing_ok=True)
    if row is None or row.fingerprint != fingerprint:
        raise InputError(
            "retry-mismatch", "this Idempotency-Key was used for another request; take a new one for each"
        )
    return row.analysis


def hashed(text: str) -> str:
    """SHA-256 of a text."""
    return hashlib.sha256(text.encode()).hexdigest()


def add_delivery(connection: Connection, kind: str, subject: str, url: str) -> None:
    """Note that an answer is to be sent somewhere, once it is there."""
    values = {"id": new_id(), "kind": kind, "subject": subject, "url": url, "state": "waiting"}
    connection.execute(deliveries.insert().values(**values, due=time.time()))


def find(store: Store, id: str) -> dict[str, Any] | None:
    """An analysis as a client sees it."""
    with store.read() as connection:
        row = connection.execute(select(*WHOLE).where(analyses.c.id == id)).mappings().first()
    return seen(row) if row else None


def search(
    store: Store, text: str = "", verdict: str = "", label: str = "", limit: int = 50, before: str = ""
) -> tuple[list[dict[str, Any]], str | None]:
    """Analyses, newest first, without what is long in their records; and the id to go on before.

    Args:
        store: to search.
        text: a part of the name, or the start of id or digest; case does not matter.
        verdict: of these only.
        label: of these only; "none" for those without.
        limit: at most so many.
        before: an id; only those that came earlier.
    """
    query = select(*LISTED).order_by(analyses.c.id.desc()).limit(limit + 1)
    if text:
        like = text.replace("\0", "").lower()  # which no name holds, and PostgreSQL does not take
        query = query.where(
            func.lower(analyses.c.name).contains(like, autoescape=True)
            | analyses.c.id.startswith(like, autoescape=True)
            | analyses.c.sha256.startswith(like, autoescape=True)
        )
    if verdict:
        query = query.where(analyses.c.verdict == verdict)
    if label:
        query = query.where(analyses.c.label.is_(None) if label == "none" else analyses.c.label == label)
    if before:
        query = query.where(analyses.c.id < before.replace("\0", ""))
    with store.read() as connection:
        rows = connection.execute(query).mappings().all()
    found = [seen(row) for row in rows[:limit]]
    return found, found[-1]["id"] if len(rows) > limit else None


def seen(row: RowMapping) -> dict[str, Any]:
    """A row as a client sees it."""
    label = json.loads(row["labelled"]) | {"label": row["label"]} if row["label"] else None
    record = row.get("record") or row["summary"]
    return {
        "id": row["id"],
        "state": row["state"],
        "name": row["name"],
        "size": row["size"],
        "sha256": row["sha256"],
        "created": instant(row["created"]),
        "finished": instant(row["finished"]),
        "progress": row["progress"] if row["state"] == "running" else None,
        "options": json.loads(row["options"]),
        "batch": row["batch"],
        "audio": bool(row["audio"]),
        "label": label,
        "record": json.loads(record) if record else None,
    }


def instant(seconds: float | None) -> str | None:
    """A time as ISO 8601 in UTC."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def remove(store: Store, id: str, actor: str, why: str = "deleted") -> bool:
    """Forget an analysis with its audio, also while it is being worked on; whether it was there."""
    with store.write() as connection:
        batch = connection.scalar(select(analyses.c.batch).where(analyses.c.id == id))
        if not connection.execute(delete(analyses).where(analyses.c.id == id)).rowcount:
            return False
        connection.execute(delete(deliveries).where(deliveries.c.subject == id))
        connection.execute(delete(retries).where(retries.c.analysis == id))
        append(connection, actor, why, id)
        if batch and not connection.scalar(select(analyses.c.id).where(analyses.c.batch == batch).limit(1)):
            connection.execute(delete(retries).where(retries.c.analysis == batch))
        end_batch(connection, batch)
    remove_files(store, id)
    return True


def make_due(connection: Connection, id: str) -> None:
    """Have the answer sent to whoever waits for it or, where it was the last, for its batch."""
    wake_delivery(connection, id)
    end_batch(connection, connection.scalar(select(analyses.c.batch).where(analyses.c.id == id)))


def end_batch(connection: Connection, batch: str | None) -> None:
    """Have word of a batch sent once nothing of it is left to do. Comes after `append`, which takes turns."""
    if batch is None:
        return
    unfinished = select(analyses.c.id).where(
        analyses.c.batch == batch, analyses.c.state.in_(("queued", "running"))
    )
    if connection.execute(unfinished.limit(1)).first() is None:
        wake_delivery(connection, batch)


def wake_delivery(connection: Connection, subject: str) -> None:
    """Have what waits for an answer sent."""
    waiting = update(deliveries).where(deliveries.c.subject == subject, deliveries.c.state == "waiting")
    connection.execute(waiting.values(state="due", due=time.time()))


def remove_files(store: Store, id: str) -> None:
    """Remove the audio of an analysis, and what was made of it."""
    store.audio(id).unlink(missing_ok=True)
    for file in (store.folder.parent / "made").glob(f"{id}.*"):
        file.unlink(missing_ok=True)


def set_label(store: Store, id: str, label: str, said: dict[str, str], actor: str) -> bool:
    """Note what a person says a recording is; whether the analysis is there."""
    said = {**said, "by": actor, "at": instant(time.time()) or ""}
    with store.write() as connection:
        query = update(analyses).where(analyses.c.id == id).values(label=label, labelled=canonical(said))
        if not connection.execute(query).rowcount:
            return False
        append(connection, actor, "labelled", id, label=label, generator=said.get("generator", ""))
    return True


def heard_of(store: Store, id: str) -> bytes | None:
    """The embeddings of an analysis, as the worker sent them."""
    with store.read() as connection:
        return connection.scalar(select(analyses.c.heard).where(analyses.c.id == id))


def batch_of(store: Store, batch: str) -> list[dict[str, Any]]:
    """The analyses of a batch, in the order in which they came."""
    with store.read() as connection:
        query = select(*LISTED).where(analyses.c.batch == batch).order_by(analyses.c.number)
        return [seen(row) for row in connection.execute(query).mappings()]


def ended(store: Store, ids: Sequence[str]) -> set[str]:
    """Which of these are answered, or gone."""
    going: set[str] = set()
    with store.read() as connection:
        for start in range(0, len(ids), AT_ONCE):
            some = analyses.c.id.in_(ids[start : start + AT_ONCE])
            unfinished = analyses.c.state.in_(("queued", "running"))
            going.update(connection.scalars(select(analyses.c.id).where(some, unfinished)))
    return set(ids) - going


def queue_length(store: Store) -> int:
    """How many analyses wait for their turn."""
    with store.read() as connection:
        query = select(func.count()).select_from(analyses).where(analyses.c.state == "queued")
        return connection.scalar(query) or 0


def counts(store: Store) -> dict[str, int]:
    """How many analyses are in each state."""
    with store.read() as connection:
        query = select(analyses.c.state, func.count()).group_by(analyses.c.state)
        return {state: number for state, number in connection.execute(query)}


def sync_folder(folder: Path) -> None:
    """Make sure that a file's new name in a folder survives a power cut."""
    if os.name == "nt":  # folders cannot be opened there
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
