"""The vectors of a knowledge base in memory, brought up to date before each search.

Numbers of entries only grow and are never used again, and the base's epoch counts every change that is
no addition. So as long as the epoch stays, whatever is new has a higher number than all that is here;
when it has moved, labels are read again and nothing else.
"""

import sqlite3
from collections.abc import Iterator

import numpy as np

from earwitness.evidence.entries import unit
from earwitness.evidence.nearest import SLOT, Rows

AT_ONCE = 256  # entries read at once
SEARCHED = {  # the table and the columns of what is compared, and of where it starts
    "embedding": ("segments", "t.embeddings, t.starts"),
    "profile": ("profiles", "t.profile, zeroblob(8)"),
}


def current(sql: sqlite3.Connection, by: str, size: int, epoch: int, rows: Rows | None) -> Rows:
    """The rows as the base is now; called inside a transaction.

    Args:
        sql: the base.
        by: "embedding" or "profile".
        size: numbers in a row.
        epoch: of the base now.
        rows: from the last call, brought up to date in place where they can be.

    Raises:
        ValueError: a vector of another length, or not of unit length.
    """
    table, vectors = SEARCHED[by]
    if rows is None or rows.size != size or (rows.epoch != epoch and not _relabel(sql, table, rows)):
        rows = Rows(size)
    query = (
        f"SELECT t.number, e.id, e.bona_fide, e.quarantined = '', {vectors} "
        f"FROM {table} t JOIN entries e ON e.number = t.number WHERE t.number > ? ORDER BY t.number"
    )
    rows.extend(_batches(sql.execute(query, (rows.last,)), size))
    rows.epoch = epoch
    return rows


def _relabel(sql: sqlite3.Connection, table: str, rows: Rows) -> bool:
    """Bring labels up to date; False where an older entry is back, as after a rollback."""
    query = (
        f"SELECT e.number, e.bona_fide, e.quarantined = '' FROM {table} t "
        "JOIN entries e ON e.number = t.number WHERE e.number <= ? ORDER BY e.number"
    )
    now = np.array(sql.execute(query, (rows.last,)).fetchall(), np.int64).reshape(-1, 3)
    here = np.isin(rows.numbers, now[:, 0])
    if here.sum() != len(now) or (here & rows.gone).any():
        return False
    bona_fide, votes = rows.bona_fide.copy(), np.zeros(len(here), bool)
    bona_fide[here], votes[here] = now[:, 1] != 0, now[:, 2] != 0
    rows.relabel(bona_fide, votes, ~here)
    return True


def _batches(
    cursor: sqlite3.Cursor, size: int
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
    """Rows of `current` as arrays; ValueError where they cannot be such."""
    while batch := cursor.fetchmany(AT_ONCE):
        slots = np.array([row[:4] for row in batch], SLOT)
        starts = np.frombuffer(b"".join([row[5] for row in batch]), "<f8")
        vectors = np.frombuffer(b"".join([row[4] for row in batch]), "<f4").reshape(-1, size)
        counts = np.array([len(row[5]) // 8 for row in batch])
        if any(len(row[5]) % 8 or len(row[4]) != len(row[5]) // 8 * 4 * size for row in batch):
            raise ValueError("an entry has embeddings of another length")
        if not (unit(vectors) and np.isfinite(starts).all()):
            raise ValueError("an embedding is not of unit length")
        yield slots, counts, vectors, starts
