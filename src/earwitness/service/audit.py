"""The audit log: each entry holds the hash of all before it, so that an edit of any shows.

    hash(n) = SHA-256(hash(n - 1) | canonical JSON of entry n)

Whoever can write to the database can also make the whole chain anew. Against that, keep the last hash
elsewhere (`earwitness audit verify` and the log of the service at its end tell it) and give it back to
`audit verify --head`.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Engine, select, text
from sqlalchemy.exc import SQLAlchemyError

from earwitness.service.tables import audit, canonical

START = "0" * 64
LOCK = 0x61756474  # of PostgreSQL, so that two writers do not take the same number
AT_ONCE = 1_000


@dataclass(frozen=True)
class Checked:
    """What `verify` found: `broken` is the number of the first entry that does not fit, with the reason."""

    entries: int
    head: str
    broken: int | None = None
    why: str = ""


def append(connection: Connection, actor: str, action: str, subject: str, **detail: Any) -> None:
    """Add an entry inside the transaction of what it tells of."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
    last = connection.execute(
        select(audit.c.number, audit.c.hash).order_by(audit.c.number.desc()).limit(1)
    ).first()
    number, before = (last.number, last.hash) if last else (0, START)
    entry = {
        "number": number + 1,
        "at": datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "actor": actor,
        "action": action,
        "subject": subject,
        "detail": canonical(detail),
    }
    connection.execute(audit.insert().values(**entry, hash=chained(before, entry)))


def chained(before: str, entry: dict[str, Any]) -> str:
    """The hash of an entry and all before it."""
    return hashlib.sha256(f"{before}|{canonical(entry)}".encode()).hexdigest()


def head(engine: Engine) -> str:
    """The last hash."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        return connection.scalar(select(audit.c.hash).order_by(audit.c.number.desc()).limit(1)) or START


def entries(engine: Engine) -> Iterator[dict[str, Any]]:
    """All entries in order, some at a time."""
    last = -(1 << 62)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        while True:
            query = select(audit).where(audit.c.number > last).order_by(audit.c.number).limit(AT_ONCE)
            rows = connection.execute(query).mappings().all()
            if not rows:
                return
            yield from map(dict, rows)
            last = rows[-1]["number"]


def verify(engine: Engine, head: str | None = None) -> Checked:
    """Whether every entry is as it was written and none is missing.

    Args:
        engine: of the store.
        head: a hash noted earlier, which must still be in the chain; without it, entries cut off at the
            end cannot be told from entries that were never written.
    """
    before, count, found = START, 0, head in (None, START)
    try:
        for entry in entries(engine):
            said = entry.pop("hash")
            if entry["number"] != count + 1:
                return Checked(count, before, count + 1, f"entry {count + 1} is missing")
            if chained(before, entry) != said:
                return Checked(count, before, count + 1, f"entry {count + 1} was altered, or one before it")
            before, count, found = said, count + 1, found or said == head
    except (SQLAlchemyError, ValueError) as error:
        why = f"the log cannot be read past entry {count} or one of the next ({type(error).__name__})"
        return Checked(count, before, count + 1, why)
    if not found:
        return Checked(
            count, before, count + 1, "the hash noted earlier is not in the chain: it was cut or made anew"
        )
    return Checked(count, before)
