"""The file under a knowledge base: its tables, how it is opened and checked, and its errors in a sentence."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from earwitness.errors import InputError
from earwitness.evidence.entries import KINDS, MAX_BYTES

APPLICATION = 0x45617257  # "EarW", in the header of the file
SCHEMA = 1
WAIT_S = 60.0  # for another process that writes
PAGE_BYTES = 4096
TABLES = {
    "meta": "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL)",
    "entries": "CREATE TABLE entries (number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, "
    + ", ".join(name for name in KINDS if name != "id")
    + ", reviewed_by TEXT NOT NULL DEFAULT '')",
    "segments": "CREATE TABLE segments (number INTEGER PRIMARY KEY, starts BLOB NOT NULL, "
    "embeddings BLOB NOT NULL)",
    "profiles": "CREATE TABLE profiles (number INTEGER PRIMARY KEY, profile BLOB NOT NULL)",
}
WRITE_CODES = {
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_READONLY,
}


def connect(path: Path, mode: str) -> sqlite3.Connection:
    """A connection whose transactions are on disk when they end and whose deletions overwrite.

    Args:
        path: of the file.
        mode: "rw", or "rwc" to make it.
    """
    name = f"file:{quote(str(path))}?mode={mode}"
    connection = sqlite3.connect(name, timeout=WAIT_S, isolation_level=None, uri=True)
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_BYTES + (1 << 20))
    for pragma in (
        "trusted_schema = OFF",
        "cell_size_check = ON",
        "secure_delete = ON",
        "synchronous = FULL",
    ):
        connection.execute(f"PRAGMA {pragma}")
    return connection


def create(path: Path, meta: dict[str, Any]) -> sqlite3.Connection:
    """A new file with empty tables and these JSON values, whole or not at all.

    Raises:
        InputError: `knowledge-exists`.
    """
    connection = connect(path, "rwc")
    connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
    keep_journal(path, connection)
    with transaction(connection):
        if connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            sentence = f"{path}: there is a knowledge base or another database already"
            raise InputError("knowledge-exists", sentence)
        connection.execute(f"PRAGMA application_id = {APPLICATION}")
        connection.execute(f"PRAGMA user_version = {SCHEMA}")
        for table in TABLES.values():
            connection.execute(table)
        rows = [(key, json.dumps(value)) for key, value in meta.items()]
        connection.executemany("INSERT INTO meta VALUES (?, ?)", rows)
    return connection


def keep_journal(path: Path, connection: sqlite3.Connection) -> None:
    """Insist on the journal that is emptied when a transaction ends."""
    (mode,) = connection.execute("PRAGMA journal_mode = TRUNCATE").fetchone()
    if mode != "truncate":
        raise InputError("bad-knowledge", f"{path}: its journal is kept as {mode!r} and cannot be changed")


def check(path: Path, connection: sqlite3.Connection) -> None:
    """Refuse a file with other tables than ours, or with anything else in it that SQLite would run.

    Raises:
        InputError: `bad-knowledge`.
    """
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if application != APPLICATION:
        raise InputError("bad-knowledge", f"{path}: an SQLite file, but no knowledge base of earwitness")
    if version != SCHEMA:
        raise InputError(
            "bad-knowledge",
            f"{path}: a knowledge base of schema {version}, and this earwitness reads {SCHEMA}: update it",
        )
    query = "SELECT name, sql FROM sqlite_master WHERE substr(name, 1, 7) != 'sqlite_'"
    if sorted(connection.execute(query)) != sorted(TABLES.items()):
        raise InputError("bad-knowledge", f"{path}: has other tables than a knowledge base")
    keep_journal(path, connection)


@contextmanager
def transaction(connection: sqlite3.Connection, kind: str = "IMMEDIATE") -> Iterator[None]:
    """All or nothing; `DEFERRED` for one that only reads."""
    connection.execute(f"BEGIN {kind}")
    try:
        yield
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


@contextmanager
def plainly(path: Path) -> Iterator[None]:
    """What SQLite or a wrong value in the file raises, as one sentence.

    Raises:
        InputError: `bad-knowledge`, `knowledge-busy` (another process writes), `knowledge-write`.
    """
    try:
        yield
    except (sqlite3.Error, ValueError, KeyError, TypeError, RecursionError) as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            sentence = (
                f"{path}: another process has been using it for {WAIT_S:.0f} s: try again when it is done"
            )
            raise InputError("knowledge-busy", sentence) from None
        if code in WRITE_CODES:
            sentence = f"{path}: cannot be written or read ({error}): look at the disk and the permissions"
            raise InputError("knowledge-write", sentence) from None
        sentence = f"{path}: not a knowledge base, or damaged ({error!s:.200})"
        raise InputError("bad-knowledge", sentence) from None
