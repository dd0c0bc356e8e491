"""The knowledge base: labelled recordings that a query is compared with, in one SQLite file.

Why SQLite, through the standard library: no server and no package to install; a transaction is
whole on disk when it returns or was never there, also after `kill -9`; two processes may add at
once; and what is deleted can be made to go. A rollback journal (TRUNCATE, synchronous=FULL) and
not a write-ahead log, because a log keeps old pages for as long as anyone reads, so that deleting
could not promise anything when it returns. `secure_delete` overwrites what is freed; pages that
were split may still hold copies, so a removal ends with VACUUM, and a mark in the file has
an interrupted one finished by whoever opens the base next. What a file system or an SSD keeps of
overwritten blocks, exports and backups is out of reach.

Search is exact (`evidence/nearest.py`): all embeddings are read into memory at the first query and
kept up to date afterwards, for other processes' changes too (`evidence/loaded.py`).

The base is of one model digest: embeddings of different models cannot be compared.
"""

import json
import os
import sqlite3
from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import astuple, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np

from earwitness.errors import InputError
from earwitness.evidence import basefile, loaded
from earwitness.evidence.entries import (
    KINDS,
    MAX_SIZE,
    Entry,
    Hit,
    Item,
    check_arrays,
    check_model,
    checked,
    from_row,
    item_from_row,
    text,
)
from earwitness.evidence.nearest import Rows
from earwitness.types import ModelId

__all__ = ["Entry", "Hit", "Item", "Knowledge", "snapshot_folder"]

MAX_SETTINGS = 1 << 20  # characters
AT_ONCE = 256  # entries read at once
COLUMNS = ", ".join(f"e.{name}" for name in KINDS)
ITEMS = (
    f"SELECT e.number, s.starts, s.embeddings, p.profile, {COLUMNS} FROM entries e "
    "JOIN segments s ON s.number = e.number LEFT JOIN profiles p ON p.number = e.number"
)


class Knowledge:
    """A knowledge base; made by `create` or `open`, and a context manager that closes it.

    Methods raise InputError: `bad-knowledge` where the file is damaged, `knowledge-busy` where another
    process has held it for a minute, `knowledge-entry` for an entry that cannot be taken or is not there.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._sql = connection
        model, self.size = self._meta("model"), self._meta("size")
        if not (isinstance(model, dict) and all(isinstance(value, str) for value in model.values())):
            raise ValueError("no model is named")
        if not (isinstance(self.size, int) and 1 <= self.size <= MAX_SIZE):
            raise ValueError(f"embeddings of {self.size!r:.40} numbers")
        self.model = ModelId(**model)
        self._rows: dict[str, Rows] = {}  # by what is compared

    @classmethod
    def create(cls, path: str | os.PathLike, model: ModelId, size: int) -> Self:
        """A new, empty base.

        Args:
            path: where; nothing may be there yet.
            model: whose embeddings it holds.
            size: numbers in an embedding.

        Raises:
            InputError: `knowledge-exists`, or `no-knowledge` where the folder is missing.
        """
        path = Path(path).resolve()
        if not path.parent.is_dir():
            raise InputError("no-knowledge", f"{path.parent}: no such folder to make a knowledge base in")
        if not 1 <= size <= MAX_SIZE:
            raise InputError("knowledge-entry", f"an embedding has 1 to {MAX_SIZE} numbers, not {size}")
        meta = {"model": vars(model), "size": size, "profile_size": 0, "settings": {}}
        with basefile.plainly(path):
            return cls(path, basefile.create(path, meta | {"epoch": 0, "litter": 0}))

    @classmethod
    def open(cls, path: str | os.PathLike, model: ModelId | None = None) -> Self:
        """A base that is there, checked.

        Raises:
            InputError: `no-knowledge` (no such file), `bad-knowledge` (no base, damaged, of another
                schema), `knowledge-model` (of another digest than `model`).
        """
        path = Path(path).resolve()
        if not path.exists():
            raise InputError("no-knowledge", f"{path}: no such knowledge base")
        if not path.is_file():
            raise InputError("bad-knowledge", f"{path}: not a file, so not a knowledge base")
        with basefile.plainly(path):
            connection = basefile.connect(path, "rw")
            try:
                basefile.check(path, connection)
                base = cls(path, connection)
                base.check_model(model)
            except Exception:
                connection.close()
                raise
        try:
            base._finish_cleaning()
        except InputError as error:
            if error.code not in ("knowledge-busy", "knowledge-write"):
                raise  # in those cases the mark stays, and the next to open it tries again
        return base

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
            return self._one("SELECT count(*) FROM entries")

    def counts(self) -> tuple[int, int]:
        """How many bona fide and how many spoofed entries vote."""
        query = "SELECT count(*) FROM entries WHERE quarantined = '' AND bona_fide = ?"
        with self._plainly():
            return self._one(query, 1), self._one(query, 0)

    def close(self) -> None:
        self._sql.close()
        self._rows.clear()

    def add(self, items: Sequence[Item]) -> list[str]:
        """Add all that is not there yet, or nothing; on disk when it returns.

        Returns:
            The ids that were new.

        Raises:
            InputError: `knowledge-entry`, an item cannot be taken; nothing is added.
        """
        now = datetime.now(UTC).isoformat(timespec="seconds")
        entries = [replace(checked(item.entry), added_at=item.entry.added_at or now) for item in items]
        for item in items:
            check_arrays(item, self.size)
        marks = ", ".join("?" * len(KINDS))
        insert = f"INSERT INTO entries ({', '.join(KINDS)}) VALUES ({marks}) ON CONFLICT (id) DO NOTHING"
        added = []
        with self._plainly(), basefile.transaction(self._sql):
            for item, entry in zip(items, entries, strict=True):
                done = self._sql.execute(insert, astuple(entry))
                if done.rowcount == 0:
                    continue
                number = done.lastrowid
                blobs = (number, _blob(item.starts_s, "<f8"), _blob(item.embeddings, "<f4"))
                self._sql.execute("INSERT INTO segments VALUES (?, ?, ?)", blobs)
                if item.profile is not None:
                    self._agree_on_profiles(len(item.profile))
                    row = (number, _blob(item.profile, "<f4"))
                    self._sql.execute("INSERT INTO profiles VALUES (?, ?)", row)
                added.append(entry.id)
        return added

    def remove(self, ids: Sequence[str]) -> int:
        """Delete entries here and in every snapshot, so that nothing of them is left in the files.

        Returns:
            How many were here.

        Raises:
            InputError: `knowledge-snapshot`, a snapshot could not be cleaned and may still hold them.
        """
        # Snapshots first: whoever is interrupted still finds the entries here and repeats. And again
        # afterwards, for one that was made meanwhile or could not be cleaned.
        self._remove_from_snapshots(ids)
        with self._plainly(), basefile.transaction(self._sql):
            numbers = [(number,) for number in self._numbers(ids)]
            for table in ("entries", "segments", "profiles"):
                self._sql.executemany(f"DELETE FROM {table} WHERE number = ?", numbers)
            if numbers:
                self._count("epoch")
                self._count("litter")
        self._finish_cleaning()
        if failed := self._remove_from_snapshots(ids):
            sentence = f"a snapshot may still hold what was removed from the base: delete it: {failed[0]}"
            raise InputError("knowledge-snapshot", sentence)
        return len(numbers)

    def search(
        self,
        queries: np.ndarray,
        k: int,
        *,
        by: Literal["embedding", "profile"] = "embedding",
        bona_fide: bool | None = None,
        without: Collection[str] = (),
    ) -> list[list[Hit]]:
        """The nearest segments of entries that vote; by profile the nearest entries.

        Args:
            queries: (n, size) unit rows.
            k: neighbours a query at most.
            by: what is compared.
            bona_fide: only entries of this label.
            without: ids that may not answer, such as the query's own.

        Returns:
            For each query its hits, best first.
        """
        queries = np.ascontiguousarray(queries, np.float32)
        with self._plainly(), basefile.transaction(self._sql, "DEFERRED"):
            size = self.size if by == "embedding" else self._meta("profile_size")
            rows = loaded.current(self._sql, by, size, self._meta("epoch"), self._rows.get(by))
            self._rows[by] = rows
            barred = self._numbers(without)
        if k < 1 or not len(rows.numbers):
            return [[] for _ in queries]
        if queries.ndim != 2 or queries.shape[1] != rows.size or not np.isfinite(queries).all():
            raise ValueError(f"queries have shape (n, {rows.size}) and are finite, found {queries.shape}")
        hits = []
        for found, similar in rows.nearest(queries, k, bona_fide, barred):
            ids = rows.ids[rows.slots_of(found)].astype(str).tolist()
            hits.append(list(map(Hit, ids, rows.starts[found].tolist(), similar.tolist())))
        return hits

    def entries(self, ids: Sequence[str] | None = None) -> list[Entry]:
        """The entries with these ids, in this order and without those not here; or all, oldest first."""
        query = f"SELECT {COLUMNS} FROM entries e"
        with self._plainly():
            if ids is None:
                return [from_row(row) for row in self._sql.execute(f"{query} ORDER BY number")]
            rows = [self._sql.execute(f"{query} WHERE id = ?", (id,)).fetchone() for id in ids]
            return [from_row(row) for row in rows if row]

    def items(self, ids: Sequence[str] | None = None) -> Iterator[Item]:
        """The items with these ids, or all; nobody is kept waiting while they are looked at."""
        for id in ids or ():
            with self._plainly():
                row = self._sql.execute(f"{ITEMS} WHERE e.id = ?", (id,)).fetchone()
                item = item_from_row(row, self.size) if row else None
            if item:
                yield item
        last = 0
        while ids is None:
            with self._plainly():
                page = f"{ITEMS} WHERE e.number > ? ORDER BY e.number LIMIT {AT_ONCE}"
                rows = self._sql.execute(page, (last,)).fetchall()
                items = [item_from_row(row, self.size) for row in rows]
            if not rows:
                return
            yield from items
            last = rows[-1][0]

    def review(self, id: str, bona_fide: bool, by: str) -> None:
        """Record that a person, `by`, confirmed this label; the entry votes from now on."""
        text(by, "the name of who reviews")
        self._update(
            id, "bona_fide = ?, reviewed = 1, reviewed_by = ?, quarantined = ''", bool(bona_fide), by
        )

    def quarantine(self, id: str, why: str) -> None:
        """Keep an entry from voting until it is reviewed."""
        self._update(id, "quarantined = ?", text(why, "the reason") or "unknown")

    def settings(self) -> dict[str, Any]:
        """What `set_settings` stored last, {} at first."""
        with self._plainly():
            return dict(self._meta("settings"))

    def set_settings(self, values: dict[str, Any]) -> None:
        """Store JSON values with the base, in place of those there were."""
        settings = json.dumps(values, allow_nan=False)
        if len(settings) > MAX_SETTINGS:
            raise InputError("knowledge-entry", f"settings of {len(settings)} characters are over 1 MiB")
        with self._plainly(), basefile.transaction(self._sql):
            self._sql.execute("UPDATE meta SET value = ? WHERE key = 'settings'", (settings,))

    def copy_to(self, path: Path) -> None:
        """Write the base as it is to a new file, without anything that was deleted."""
        with self._plainly():
            self._sql.execute("VACUUM INTO ?", (str(path),))

    def take_back(self, snapshot: Path) -> None:
        """Replace all entries and settings by those of another base, which was checked."""
        with self._plainly():
            self._sql.execute("ATTACH ? AS kept", (str(snapshot),))
            try:
                with basefile.transaction(self._sql):
                    for table in ("entries", "segments", "profiles"):
                        self._sql.execute(f"DELETE FROM main.{table}")
                        self._sql.execute(f"INSERT INTO main.{table} SELECT * FROM kept.{table}")
                    kept = "SELECT key, value FROM kept.meta WHERE key IN ('settings', 'profile_size')"
                    self._sql.execute(f"REPLACE INTO main.meta {kept}")
                    self._count("epoch")
                    self._count("litter")
            finally:
                self._sql.execute("DETACH kept")
        self._finish_cleaning()

    def _plainly(self) -> AbstractContextManager[None]:
        return basefile.plainly(self.path)

    def _one(self, query: str, *values: object) -> Any:
        row = self._sql.execute(query, values).fetchone()
        if row is None:
            raise ValueError("a value is missing")
        return row[0]

    def _meta(self, key: str) -> Any:
        return json.loads(self._one("SELECT value FROM meta WHERE key = ?", key))

    def _count(self, key: str) -> None:
        """One more change of that kind, inside the caller's transaction."""
        self._sql.execute("UPDATE meta SET value = CAST(value AS INTEGER) + 1 WHERE key = ?", (key,))

    def _numbers(self, ids: Collection[str]) -> list[int]:
        """The numbers of those ids that are here."""
        query = "SELECT number FROM entries WHERE id = ?"
        found = [self._sql.execute(query, (id,)).fetchone() for id in set(ids)]
        return [row[0] for row in found if row]

    def _agree_on_profiles(self, size: int) -> None:
        """The first profile says how long all are."""
        known = self._meta("profile_size")
        if known not in (0, size):
            raise InputError(
                "knowledge-entry", f"profiles of {known} numbers are here, and one of {size} comes"
            )
        self._sql.execute("UPDATE meta SET value = ? WHERE key = 'profile_size'", (size,))

    def _update(self, id: str, change: str, *values: object) -> None:
        with self._plainly(), basefile.transaction(self._sql):
            if self._sql.execute(f"UPDATE entries SET {change} WHERE id = ?", (*values, id)).rowcount == 0:
                raise InputError("knowledge-entry", f"{self.path}: has no entry {id!r:.40}")
            self._count("epoch")

    def _finish_cleaning(self) -> None:
        """Rewrite the file if anything was deleted since it was last rewritten."""
        with self._plainly():
            litter = self._one("SELECT value FROM meta WHERE key = 'litter'")
            if litter != "0":
                self._sql.execute("VACUUM")
                done = "UPDATE meta SET value = '0' WHERE key = 'litter' AND value = ?"
                self._sql.execute(done, (litter,))

    def _remove_from_snapshots(self, ids: Sequence[str]) -> list[str]:
        """Delete from snapshots, and whatever is unfinished; what went wrong, in sentences."""
        folder, failed = snapshot_folder(self.path), []
        for unfinished in folder.glob("*.partial*"):
            unfinished.unlink(missing_ok=True)
        for file in sorted(folder.glob("*.db")):
            try:
                with Knowledge.open(file) as kept:
                    if kept.entries(ids):
                        kept.remove(ids)
            except InputError as error:
                failed.append(error.message)
        return failed


def snapshot_folder(path: Path) -> Path:
    """Where the snapshots of a base are kept."""
    path = path.resolve()
    return path.with_name(path.name + ".snapshots")


def _blob(array: np.ndarray, kind: str) -> bytes:
    return np.ascontiguousarray(array, kind).tobytes()
