"""The tables of the service, in SQLite or PostgreSQL, and how each is opened."""

import json
from pathlib import Path
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Engine,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    create_engine,
    event,
    select,
)
from sqlalchemy.exc import SQLAlchemyError

from earwitness.errors import InputError

SCHEMA = "1"
BUSY_S = 30  # for another process that writes
NUMBER = BigInteger().with_variant(Integer, "sqlite")  # only this one counts up by itself there
ID = String(26)

metadata = MetaData()
about = Table("about", metadata, Column("key", Text, primary_key=True), Column("value", Text, nullable=False))
analyses = Table(
    "analyses",
    metadata,
    Column("number", NUMBER, primary_key=True, autoincrement=True),
    Column("id", ID, nullable=False, unique=True),
    Column("state", String(8), nullable=False),  # queued, running, done or parked
    Column("lane", String(5), nullable=False),  # short or long
    Column("name", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("created", Float, nullable=False),
    Column("finished", Float),
    Column("owner", Text, nullable=False),
    Column("options", Text, nullable=False),  # JSON
    Column("batch", ID),
    Column("attempts", Integer, nullable=False, default=0),
    Column("claim", String(32)),  # who works on it; another's answer does not count
    Column("lease", Float),  # until when a claim holds without a sign of life
    Column("progress", Float),
    Column("verdict", String(9)),
    Column("summary", Text),  # JSON, for lists
    Column("record", Text),  # JSON
    Column("heard", LargeBinary),  # embeddings, for labels and drift
    Column("audio", Boolean, nullable=False),
    Column("label", String(7)),
    Column("labelled", Text),  # JSON: generator, note, by, at
)
Index("analyses_work", analyses.c.state, analyses.c.lane, analyses.c.number)
Index("analyses_batch", analyses.c.batch)
Index("analyses_finished", analyses.c.finished)
retries = Table(  # a request that came before, by its Idempotency-Key
    "retries",
    metadata,
    Column("owner", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("fingerprint", String(64), nullable=False),
    Column("analysis", ID, nullable=False),
    Column("created", Float, nullable=False),
)
audit = Table(
    "audit",
    metadata,
    Column("number", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
    Column("at", String(27), nullable=False),
    Column("actor", Text, nullable=False),
    Column("action", String(32), nullable=False),
    Column("subject", Text, nullable=False),
    Column("detail", Text, nullable=False),  # JSON
    Column("hash", String(64), nullable=False),
)
keys = Table(
    "keys",
    metadata,
    Column("number", NUMBER, primary_key=True, autoincrement=True),
    Column("name", Text, nullable=False),
    Column("role", String(5), nullable=False),
    Column("hash", String(64), nullable=False, unique=True),
    Column("created", Float, nullable=False),
    UniqueConstraint("name"),
)
deliveries = Table(  # answers that are to be sent somewhere
    "deliveries",
    metadata,
    Column("id", ID, primary_key=True),
    Column("kind", String(8), nullable=False),  # analysis or batch
    Column("subject", ID, nullable=False),
    Column("url", Text, nullable=False),
    Column("state", String(8), nullable=False),  # waiting for the answer, due, sent or failed
    Column("attempts", Integer, nullable=False, default=0),
    Column("due", Float, nullable=False),
    Column("said", Text, nullable=False, default=""),
)
Index("deliveries_due", deliveries.c.state, deliveries.c.due)
Index("deliveries_subject", deliveries.c.subject)


def open_tables(url: str) -> Engine:
    """An engine on the tables, made where they are missing.

    Raises:
        InputError: `no-store`: the database cannot be reached or used. No password is quoted.
    """
    try:
        engine = make_engine(url)
        metadata.create_all(engine)
        with engine.begin() as connection:
            found = connection.scalar(select(about.c.value).where(about.c.key == "schema"))
            if found is None:
                connection.execute(about.insert().values(key="schema", value=SCHEMA))
    except ModuleNotFoundError:
        raise InputError("no-store", "PostgreSQL needs `pip install 'earwitness[postgres]'`") from None
    except (SQLAlchemyError, ImportError, OSError) as error:
        raise unusable(error, url) from None
    if found not in (None, SCHEMA):
        raise InputError("no-store", f"the store is of schema {found}, and this earwitness reads {SCHEMA}")
    return engine


def unusable(error: Exception, url: str) -> InputError:
    """What is said of a database that fails."""
    reason = str(getattr(error, "orig", None) or type(error).__name__).splitlines()[0][:200]
    where = "the SQLite file" if url.startswith("sqlite") else "the database"
    return InputError("no-store", f"{where} of the service cannot be used ({scrubbed(reason, url)})")


def scrubbed(sentence: str, url: str) -> str:
    """A sentence without the password of an address."""
    secret = url.partition("://")[2].rpartition("@")[0].partition(":")[2]
    return sentence.replace(secret, "***") if secret else sentence


def make_engine(url: str) -> Engine:
    """SQLAlchemy's engine; in SQLite every transaction takes the lock to write when it begins."""
    if not url.startswith("sqlite"):
        return create_engine(
            url.replace("postgres://", "postgresql://", 1).replace(
                "postgresql://", "postgresql+psycopg://", 1
            ),
            pool_size=8,
            max_overflow=32,
            pool_pre_ping=True,
            connect_args={"connect_timeout": 10},
        )
    engine = create_engine(url, connect_args={"timeout": BUSY_S}, pool_size=8, max_overflow=32)

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # transactions are begun below
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON", "secure_delete = ON"):
            connection.execute(f"PRAGMA {pragma}")
        connection.create_function("lower", 1, lambda text: text and text.lower(), deterministic=True)

    @event.listens_for(engine, "begin")
    def begin(connection: Any) -> None:
        if connection.get_execution_options().get("isolation_level") != "AUTOCOMMIT":  # readers wait for none
            connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def sqlite_url(file: Path) -> str:
    """The address of an SQLite file."""
    return f"sqlite:///{file.resolve()}"


def canonical(value: Any) -> str:
    """JSON that is the same for the same value."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
