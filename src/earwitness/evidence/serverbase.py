"""The server under a knowledge base: how it is reached, its tables, and its errors in a sentence.

No sentence holds a password. libpq quotes parts of addresses that it cannot read, and an address in which
a password's `@` or `/` is not percent-encoded reads as one of another host; both are refused unquoted.
"""

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from earwitness.errors import InputError, needs_extra
from earwitness.evidence.entries import KINDS
from earwitness.types import ModelId

if TYPE_CHECKING:
    import psycopg

SCHEMA = 1
MAX_SIZE = 16_000  # numbers in a column of pgvector
ONE_PAGE = 2_000  # numbers up to which a vector stays in its row, and can be indexed
WAIT_S = 60  # for somebody else who holds the base
CONNECT_S = 10
WIDTH = 200  # candidates that a search of the index keeps (ef_search)
LOCK = 0x45617257  # of the database, while a base is made
HOST = r"(?:\[[^][@/?#]*\]|[^][@:/?#,]*)(?::\d*)?"
ADDRESS = re.compile(rf"postgres(?:ql)?://(?:[^@/?#]*@)?{HOST}(?:,{HOST})*(?:/[^@/?#]*)?(?:\?[^@#]*)?")
TYPES: dict[Any, str] = {
    str: "text NOT NULL",
    float: "double precision NOT NULL",
    bool: "boolean NOT NULL",
    bool | None: "boolean",
}
PERSONAL = [name for name, kind in KINDS.items() if kind is str] + ["reviewed_by"]
TABLES = f"""
CREATE SCHEMA earwitness;
CREATE TABLE meta (key text PRIMARY KEY, value text NOT NULL);
CREATE TABLE entries (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    {", ".join(f"{name} {TYPES[kind]}" for name, kind in KINDS.items())},
    reviewed_by text NOT NULL DEFAULT '',
    votes boolean GENERATED ALWAYS AS (quarantined = '') STORED,
    UNIQUE (id));
CREATE TABLE segments (
    number bigint, part integer, start_s double precision NOT NULL, embedding vector({{size:d}}) NOT NULL,
    PRIMARY KEY (number, part));
CREATE TABLE profiles (number bigint PRIMARY KEY, profile vector NOT NULL);
ALTER TABLE segments ALTER embedding SET STORAGE {{storage}}, ALTER embedding SET STATISTICS 0;
ALTER TABLE profiles ALTER profile SET STATISTICS 0;
ALTER TABLE entries {", ".join(f"ALTER {name} SET STATISTICS 0" for name in PERSONAL)};
"""
SESSION = {
    "synchronous_commit": "on",  # whatever the database says
    "lock_timeout": f"{WAIT_S}s",
    "hnsw.ef_search": str(WIDTH),
    "hnsw.iterative_scan": "strict_order",  # goes on until enough of those found may answer
}


def connect(url: str) -> "tuple[psycopg.Connection[Any], str]":
    """A connection, and the name of what is there: host, port and database.

    Raises:
        InputError: `no-knowledge`, the address is none or the server does not answer.
        MissingExtra: psycopg or pgvector is not installed.
    """
    with needs_extra("postgres"):
        import pgvector  # noqa: F401, so that its absence is said before anything happens
        import psycopg
        from psycopg.conninfo import conninfo_to_dict, make_conninfo
    try:
        if not ADDRESS.fullmatch(url):
            raise ValueError
        known = {key: str(value) for key, value in conninfo_to_dict(url).items()}
    except (psycopg.Error, ValueError):
        raise InputError(
            "no-knowledge",
            "the server's address is not of the form postgresql://USER:PASSWORD@HOST:PORT/DATABASE, in "
            "which signs of a password such as '@', '/', '#' and '%' are percent-encoded",
        ) from None
    place = f"{known.get('host', 'localhost')}:{known.get('port', 5432)}/{known.get('dbname', '')}"
    secrets = [value for key, value in known.items() if re.search("password|secret|key", key)]
    known.setdefault("connect_timeout", str(CONNECT_S))
    try:
        return psycopg.connect(make_conninfo(**known), autocommit=True, prepare_threshold=None), place
    except psycopg.Error as error:
        sentence = f"{place}: the server with the knowledge base cannot be reached ({_said(error, secrets)})"
        raise InputError("no-knowledge", sentence) from None


def enter(connection: "psycopg.Connection[Any]", place: str, model: ModelId | None, size: int | None) -> None:
    """Prepare a connection for use, and make the tables if there are none and model and size are told.

    Raises:
        InputError: `no-knowledge`, or `bad-knowledge` where the tables are of another schema.
    """
    from pgvector.psycopg import register_vector

    for name, value in SESSION.items():
        connection.execute(b"SELECT set_config(%s, %s, false)", (name, value))
    # A query of a table, since what to_regclass says may be older than the lock below.
    there = b"SELECT EXISTS (SELECT FROM pg_tables WHERE schemaname = 'earwitness' AND tablename = 'meta')"
    if connection.execute(there).fetchone() == (False,):
        if model is None or size is None:
            raise InputError("no-knowledge", f"{place}: there is no knowledge base in this database")
        if not 1 <= size <= MAX_SIZE:
            raise InputError("knowledge-entry", f"an embedding has 1 to {MAX_SIZE} numbers, not {size}")
        with connection.transaction():
            connection.execute(b"SELECT pg_advisory_xact_lock(%s)", (LOCK,))
            if connection.execute(there).fetchone() == (False,):
                _create(connection, place, model, size)
    _find_vector(connection)
    register_vector(connection)
    (schema,) = connection.execute(b"SELECT value FROM meta WHERE key = 'schema'").fetchone() or ("none",)
    if schema != str(SCHEMA):
        raise InputError(
            "bad-knowledge",
            f"{place}: a base of schema {schema:.20}, and this earwitness reads {SCHEMA}: update it",
        )


def _create(connection: "psycopg.Connection[Any]", place: str, model: ModelId, size: int) -> None:
    """The tables, inside the caller's transaction."""
    import psycopg

    try:
        connection.execute(b"CREATE EXTENSION IF NOT EXISTS vector")
    except psycopg.Error as error:
        raise InputError(
            "no-knowledge",
            f"{place}: the server has no pgvector ({_said(error)}): have its administrator install it and "
            "run CREATE EXTENSION vector in this database",
        ) from None
    _find_vector(connection)
    storage = "PLAIN" if size <= ONE_PAGE else "EXTERNAL"
    connection.execute(TABLES.format(size=size, storage=storage).encode())  # such take no parameters
    values = {"schema": SCHEMA, "model": vars(model), "size": size, "profile_size": 0, "settings": {}}
    rows = [(key, json.dumps(value)) for key, value in values.items()]
    connection.cursor().executemany(b"INSERT INTO meta VALUES (%s, %s)", rows)


def _find_vector(connection: "psycopg.Connection[Any]") -> None:
    """Have names looked up in our schema and in that of pgvector, and nowhere else."""
    connection.execute(
        b"SELECT set_config('search_path', 'earwitness, ' || extnamespace::regnamespace, false) "
        b"FROM pg_extension WHERE extname = 'vector'"
    )


@contextmanager
def plainly(place: str) -> Iterator[None]:
    """What the server or a wrong value in the base raises, as one sentence.

    Raises:
        InputError: `bad-knowledge`, `knowledge-busy` (somebody else holds it), `knowledge-write`.
    """
    import psycopg
    from psycopg import errors

    try:
        yield
    except (errors.LockNotAvailable, errors.DeadlockDetected):
        sentence = f"{place}: somebody else has been using it for {WAIT_S} s: try again when they are done"
        raise InputError("knowledge-busy", sentence) from None
    except (
        psycopg.OperationalError,
        errors.InsufficientPrivilege,
        errors.ReadOnlySqlTransaction,
    ) as error:
        sentence = f"{place}: cannot be written or read ({_said(error)}): look at the server"
        raise InputError("knowledge-write", sentence) from None
    except (psycopg.Error, ValueError, KeyError, TypeError, RecursionError) as error:
        sentence = f"{place}: not a knowledge base, or damaged ({_said(error)})"
        raise InputError("bad-knowledge", sentence) from None


def _said(error: Exception, secrets: Sequence[str] = ()) -> str:
    """What an error says, in one line, without secrets; of the server's only what holds no values."""
    diagnosis = getattr(error, "diag", None)
    said = (diagnosis.message_primary if diagnosis else None) or str(error)
    for secret in filter(None, secrets):
        said = said.replace(secret, "***")
    return " ".join(said.split())[:200]
