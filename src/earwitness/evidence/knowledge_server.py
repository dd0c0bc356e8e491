"""The knowledge base on a PostgreSQL server with pgvector, for people who outgrow one machine.

PostgreSQL and not Qdrant: a package brings a server with pgvector that starts for the tests, while
Qdrant's server comes in none and the local mode of its client is not a server. It also keeps an entry and
its segments in one transaction, and it is what most who run a server have and back up already.

A database holds one base, in its schema `earwitness`. Search is exact (a scan, `<=>`) until somebody calls
`build_index`. The password is best left to `PGPASSWORD` or `~/.pgpass`; where it stands in the address it
is shown nowhere. Over a network say `?sslmode=verify-full`: libpq's default falls back to plain text.

Deletion rewrites the tables without what was deleted, in the transaction that deletes. VACUUM would not
do: it leaves the bytes in the pages' free space, and in its FULL form keeps rows that any open transaction
of the database might still look at. Columns that tell of a person have no planner statistics, which would
be copies. Out of reach are the write-ahead log until the server overwrites it, archives of it, replicas
and backups, the server's own log where it is told to log parameters, and freed blocks of the disk.
"""

import json
from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import astuple, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np

from earwitness.errors import InputError
from earwitness.evidence import serverbase
from earwitness.evidence.entries import (
    KINDS,
    Entry,
    Hit,
    Item,
    check_arrays,
    check_model,
    checked,
    from_row,
    text,
)
from earwitness.evidence.serverbase import MAX_SIZE, ONE_PAGE
from earwitness.types import ModelId

if TYPE_CHECKING:
    import psycopg

MAX_SETTINGS = 1 << 20  # characters
AT_ONCE = 256  # entries read at once
MAX_BUILD_MB = 2048  # memory to build an index in
COLUMNS = ", ".join(f"e.{name}" for name in KINDS)
INSERT = (
    f"INSERT INTO entries ({', '.join(KINDS)}) VALUES ({', '.join(['%s'] * len(KINDS))}) "
    "ON CONFLICT (id) DO NOTHING RETURNING number"
).encode()
ENTRIES = f"SELECT {COLUMNS} FROM entries e ORDER BY number".encode()
SOME_ENTRIES = f"SELECT {COLUMNS} FROM entries e WHERE id = ANY(%s)".encode()
# Whoever reads several tables names entries first, as `remove` locks them in that order.
ITEMS = (
    "SELECT e.number, p.profile, "
    "ARRAY(SELECT start_s FROM segments s WHERE s.number = e.number ORDER BY part), "
    "ARRAY(SELECT embedding FROM segments s WHERE s.number = e.number ORDER BY part), "
    f"{COLUMNS} FROM entries e LEFT JOIN profiles p ON p.number = e.number WHERE "
)
ALL_ITEMS = f"{ITEMS} e.number > %s ORDER BY e.number LIMIT {AT_ONCE}".encode()
ONE_ITEM = f"{ITEMS} e.id = %s".encode()
MAY_ANSWER = (
    "e.votes AND (%(bona_fide)s::boolean IS NULL OR e.bona_fide = %(bona_fide)s) "
    "AND e.id <> ALL(%(without)s::text[])"
)
SEARCHES = {
    "embedding": (
        "SELECT e.id, s.start_s, s.embedding <=> %(query)b FROM entries e JOIN segments s "
        f"ON s.number = e.number WHERE {MAY_ANSWER} ORDER BY 3, s.number, s.part LIMIT %(k)s"
    ).encode(),
    "profile": (
        "SELECT e.id, 0.0::double precision, p.profile <=> %(query)b FROM entries e JOIN profiles p "
        f"ON p.number = e.number WHERE {MAY_ANSWER} ORDER BY 3, p.number LIMIT %(k)s"
    ).encode(),
}


def open_server(url: str, model: ModelId | None, size: int | None = None) -> "ServerKnowledge":
    """The base in a database, which is made if there is none and both model and size are told.

    Args:
        url: postgresql://USER:PASSWORD@HOST:PORT/DATABASE, as libpq takes it.
        model: whose embeddings are meant; None: whatever is there.
        size: numbers in an embedding.

    Raises:
        InputError: `no-knowledge` (the server cannot be reached, has no pgvector, or holds no base),
            `knowledge-model` (a base of another digest or size), `bad-knowledge` (damaged or of another
            schema).
        MissingExtra: psycopg or pgvector is not installed.
    """
    connection, place = serverbase.connect(url)
    try:
        with serverbase.plainly(place):
            serverbase.enter(connection, place, model, size)
            base = ServerKnowledge(connection, place)
            base.check_model(model)
        if size not in (None, base.size):
            sentence = f"{place}: holds embeddings of {base.size} numbers, and {size} are expected"
            raise InputError("knowledge-model", sentence)
    except BaseException:
        connection.close()
        raise
    return base


class ServerKnowledge:
    """A knowledge base on a server, with the methods of `Knowledge`; made by `open_server`.

    Methods raise InputError: `knowledge-busy` where somebody else has held the base for a minute,
    `knowledge-write` where the server is gone or may not or cannot write, `bad-knowledge` where the base is
    damaged, `knowledge-entry` for an entry that cannot be taken or is not there.
    """

    def __init__(self, connection: "psycopg.Connection[Any]", place: str) -> None:
        self.path = place  # host, port and database: fit to be shown
        self._sql = connection
        model, self.size = self._meta("model"), self._meta("size")
        if not (isinstance(model, dict) and all(isinstance(value, str) for value in model.values())):
            raise ValueError("no model is named")
        if not (isinstance(self.size, int) and 1 <= self.size <= MAX_SIZE):
            raise ValueError(f"embeddings of {self.size!r:.40} numbers")
        self.model = ModelId(**model)

    def check_model(self, model: ModelId | None) -> None:
        """Refuse a model with another digest.

        Raises:
            InputError: `knowledge-model`.
        """
        check_model(self.path, self.model, model)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __len__(self) -> int:
        with self._plainly():
            return self._one(b"SELECT count(*) FROM entries")

    def close(self) -> None:
        self._sql.close()

    def counts(self) -> tuple[int, int]:
        """How many entries that vote are bona fide, and how many spoof."""
        query = b"SELECT count(*) FILTER (WHERE bona_fide), count(*) FROM entries WHERE votes"
        with self._plainly():
            ((genuine, both),) = self._sql.execute(query).fetchall()
        return genuine, both - genuine

    def add(self, items: Sequence[Item]) -> list[str]:
        """Add all that is not there yet, or nothing; on the server's disk when it returns.

        Returns:
            The ids that were new.

        Raises:
            InputError: `knowledge-entry`, an item cannot be taken; nothing is added.
        """
        if not items:
            return []
        now = datetime.now(UTC).isoformat(timespec="seconds")
        entries = [replace(checked(item.entry), added_at=item.entry.added_at or now) for item in items]
        for item in items:
            check_arrays(item, self.size)
        with self._plainly(), self._sql.transaction(), self._sql.cursor() as cursor:
            # The lock has additions follow one another, so that numbers tell which is older.
            known = self._meta("profile_size", lock=True)
            cursor.executemany(INSERT, [astuple(entry) for entry in entries], returning=True)
            new = []
            for item in items:
                if row := cursor.fetchone():
                    new.append((row[0], item))
                cursor.nextset()
            profiles = [(number, item.profile) for number, item in new if item.profile is not None]
            self._agree_on_profiles(known, [len(profile) for _, profile in profiles])
            with cursor.copy(b"COPY segments FROM STDIN (FORMAT binary)") as copy:
                copy.set_types(["int8", "int4", "float8", "vector"])
                for number, item in new:
                    for part, (start, row) in enumerate(zip(item.starts_s, item.embeddings, strict=True)):
                        copy.write_row((number, part, float(start), row))
            with cursor.copy(b"COPY profiles FROM STDIN (FORMAT binary)") as copy:
                copy.set_types(["int8", "vector"])
                for row in profiles:
                    copy.write_row(row)
        return [item.entry.id for _, item in new]

    def remove(self, ids: Sequence[str]) -> int:
        """Delete entries, and rewrite the tables so that nothing of them is left in the server's tables.

        Nobody can read or write meanwhile, and an index is built anew.

        Returns:
            How many were here.
        """
        tables = ("entries", "segments", "profiles")
        with self._plainly(), self._sql.transaction():
            self._sql.execute(b"LOCK TABLE entries, segments, profiles IN ACCESS EXCLUSIVE MODE")
            gone = b"DELETE FROM entries WHERE id = ANY(%s) RETURNING number"
            numbers = [row[0] for row in self._sql.execute(gone, (list(ids),)).fetchall()]
            if not numbers:
                return 0
            for table in tables[1:]:
                self._sql.execute(f"DELETE FROM {table} WHERE number = ANY(%s)".encode(), (numbers,))
            self._room_to_build()
            for table in tables:  # an expression, though it changes nothing, has the table rewritten
                rewrite = f"ALTER TABLE {table} ALTER number TYPE bigint USING number + 0"
                self._sql.execute(rewrite.encode())
        return len(numbers)

    def search(
        self,
        queries: np.ndarray,
        k: int,
        *,
        by: Literal["embedding", "profile"] = "embedding",
        bona_fide: bool | None = None,
        without: Collection[str] = (),
        exact: bool = False,
    ) -> list[list[Hit]]:
        """The nearest segments of entries that vote; by profile the nearest entries.

        Args:
            queries: (n, size) unit rows.
            k: neighbours a query at most.
            by: what is compared.
            bona_fide: only entries of this label.
            without: ids that may not answer, such as the query's own.
            exact: even if there is an index.

        Returns:
            For each query its hits, best first.
        """
        queries = np.ascontiguousarray(queries, np.float32)
        with self._plainly():
            here = self._one(b"SELECT EXISTS (SELECT FROM entries)")
            size = self.size if by == "embedding" else self._meta("profile_size")
        if k < 1 or not size or not here:
            return [[] for _ in queries]
        if queries.ndim != 2 or queries.shape[1] != size or not np.isfinite(queries).all():
            raise ValueError(f"queries have shape (n, {size}) and are finite, found {queries.shape}")
        values = {"k": k, "bona_fide": bona_fide, "without": list(without)}
        with self._plainly(), self._sql.transaction():
            exact = exact or by == "profile" or not self._one(b"SELECT to_regclass('nearest') IS NOT NULL")
            return [self._nearest(by, {**values, "query": query}, exact) for query in queries]

    def entries(self, ids: Sequence[str] | None = None) -> list[Entry]:
        """The entries with these ids, in this order and without those not here; or all, oldest first."""
        with self._plainly():
            if ids is None:
                return [from_row(row) for row in self._sql.execute(ENTRIES)]
            found = [from_row(row) for row in self._sql.execute(SOME_ENTRIES, (list(ids),))]
        by_id = {entry.id: entry for entry in found}
        return [by_id[id] for id in ids if id in by_id]

    def items(self, ids: Sequence[str] | None = None) -> Iterator[Item]:
        """The items with these ids, or all; nobody is kept waiting while they are looked at."""
        for id in ids or ():
            with self._plainly():
                items = self._items(ONE_ITEM, id)
            yield from (item for _, item in items)
        last = 0
        while ids is None:
            with self._plainly():
                items = self._items(ALL_ITEMS, last)
            if not items:
                return
            yield from (item for _, item in items)
            last = items[-1][0]

    def review(self, id: str, bona_fide: bool, by: str) -> None:
        """Record that a person, `by`, confirmed this label; the entry votes from now on."""
        text(by, "the name of who reviews")
        change = b"bona_fide = %s, reviewed = true, reviewed_by = %s, quarantined = ''"
        self._update(id, change, bool(bona_fide), by)

    def quarantine(self, id: str, why: str) -> None:
        """Keep an entry from voting until it is reviewed."""
        self._update(id, b"quarantined = %s", text(why, "the reason") or "unknown")

    def settings(self) -> dict[str, Any]:
        """What `set_settings` stored last, {} at first."""
        with self._plainly():
            return dict(self._meta("settings"))

    def set_settings(self, values: dict[str, Any]) -> None:
        """Store JSON values with the base, in place of those there were."""
        settings = json.dumps(values, allow_nan=False)
        if len(settings) > MAX_SETTINGS:
            raise InputError("knowledge-entry", f"settings of {len(settings)} characters are over 1 MiB")
        with self._plainly():
            self._sql.execute(b"UPDATE meta SET value = %s WHERE key = 'settings'", (settings,))

    def build_index(self) -> None:
        """Have searches by embedding use an HNSW index from now on; `recall` tells how many it finds.

        Nobody can add meanwhile. What is found differs from one building to the next, and less so with
        these 200 candidates than with pgvector's usual 64.

        Source: Malkov and Yashunin, arXiv:1603.09320.

        Raises:
            InputError: `knowledge-index`, the embeddings are longer than pgvector indexes.
        """
        if self.size > ONE_PAGE:
            sentence = f"{self.path}: embeddings of {self.size} numbers are over the {ONE_PAGE} of an index"
            raise InputError("knowledge-index", sentence)
        query = (
            b"CREATE INDEX IF NOT EXISTS nearest ON segments USING hnsw (embedding vector_cosine_ops) "
            b"WITH (m = 16, ef_construction = 200)"
        )
        with self._plainly(), self._sql.transaction():
            self._sql.execute(b"LOCK TABLE entries, segments IN SHARE ROW EXCLUSIVE MODE")
            self._room_to_build()
            self._sql.execute(query)
            self._sql.execute(b"ANALYZE entries, segments")

    def drop_index(self) -> None:
        """Have all searches be exact again."""
        with self._plainly():
            self._sql.execute(b"DROP INDEX IF EXISTS nearest")

    def recall(self, k: int, queries: np.ndarray) -> float:
        """The share of the k nearest segments of queries (n, size) that a search as it is now finds."""
        pairs = zip(self.search(queries, k, exact=True), self.search(queries, k), strict=True)
        sets = [[{(hit.id, hit.start_s) for hit in hits} for hits in pair] for pair in pairs]
        wanted = sum(len(truth) for truth, _ in sets)
        return sum(len(truth & found) for truth, found in sets) / wanted if wanted else 1.0

    def _plainly(self) -> AbstractContextManager[None]:
        return serverbase.plainly(self.path)

    def _one(self, query: bytes, *values: object) -> Any:
        row = self._sql.execute(query, values).fetchone()
        if row is None:
            raise ValueError("a value is missing")
        return row[0]

    def _meta(self, key: str, lock: bool = False) -> Any:
        query = b"SELECT value FROM meta WHERE key = %s" + b" FOR UPDATE" * lock
        return json.loads(self._one(query, key))

    def _agree_on_profiles(self, known: int, sizes: list[int]) -> None:
        """The first profile says how long all are."""
        for size in sizes:
            known = known or min(size, MAX_SIZE)
            if size != known:
                sentence = f"profiles of {known} numbers are here, and one of {size} comes"
                raise InputError("knowledge-entry", sentence)
        if sizes:
            query = b"UPDATE meta SET value = %s WHERE key = 'profile_size'"
            self._sql.execute(query, (str(known),))

    def _nearest(self, by: str, values: dict[str, Any], exact: bool) -> list[Hit]:
        """The hits of one query, inside the caller's transaction."""
        # Left to choose, the planner often sorts: it takes a distance for as cheap as any comparison.
        self._set("enable_indexscan", "off" if exact else "on")
        self._set("enable_sort", "on" if exact else "off")
        rows = self._sql.execute(SEARCHES[by], values).fetchall()
        if not exact and len(rows) < values["k"]:  # the index gave up before it had found enough
            return self._nearest(by, values, exact=True)
        return [Hit(id, start, 1 - distance) for id, start, distance in rows]

    def _items(self, query: bytes, value: object) -> list[tuple[int, Item]]:
        """Numbers and items, for rows of ITEMS; ValueError where they cannot be such."""
        with self._sql.cursor(binary=True) as cursor:
            rows = cursor.execute(query, (value,)).fetchall()
        items = []
        for number, profile, starts, embeddings, *columns in rows:
            matrix = np.array([row.to_numpy() for row in embeddings], np.float32).reshape(-1, self.size)
            voice = None if profile is None else profile.to_numpy()
            item = Item(from_row(columns), matrix, np.array(starts, np.float64), voice)
            try:
                check_arrays(item, self.size)
            except InputError as error:
                raise ValueError(error.message) from None
            items.append((number, item))
        return items

    def _update(self, id: str, change: bytes, *values: object) -> None:
        with self._plainly():
            query = b"UPDATE entries SET " + change + b" WHERE id = %s"
            if self._sql.execute(query, (*values, id)).rowcount == 0:
                raise InputError("knowledge-entry", f"{self.path}: has no entry {id!r:.40}")

    def _set(self, name: str, value: str) -> None:
        """A setting of the server's until the transaction ends."""
        self._sql.execute(b"SELECT set_config(%s, %s, true)", (name, value))

    def _room_to_build(self) -> None:
        """Memory for the graph of an index, without which building it takes many times as long."""
        rows = self._one(b"SELECT count(*) FROM segments")
        needed = rows * (4 * self.size + 512) * 5 // 4 >> 20
        self._set("maintenance_work_mem", f"{min(max(needed, 64), MAX_BUILD_MB)}MB")
