"""Exact nearest neighbours by cosine among unit rows held in memory, with NumPy alone.

Rows are float32 in blocks of about 32 MiB that are filled one after another, so that adding copies
nothing that is there, a base of any size is in memory once, and the similarities of one block stay
in the cache while its best are picked. A block is stored by columns, (size, rows): a product with
one query then reads memory straight through, at about twice the speed of the other order. A row
belongs to a slot, one an entry; slots only grow, in the order of their numbers, and each says
whether it votes. Every row is compared with every query: nothing is approximated.
"""

from collections.abc import Collection, Iterable

import numpy as np

BLOCK_BYTES = 32 << 20
TOGETHER = 64  # queries compared at once, which bounds memory
SLOT = np.dtype([("number", np.int64), ("id", "S16"), ("bona_fide", bool), ("votes", bool)])


class Rows:
    """Unit rows, whose they are, and which may vote.

    Args:
        size: numbers in a row; 0 where nobody has one yet.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.epoch = -1  # of the base that they were read from
        self.numbers = np.empty(0, np.int64)  # (slots,) of the entries, ascending
        self.ids = np.empty(0, "S16")  # (slots,)
        self.bona_fide = np.empty(0, bool)  # (slots,)
        self.votes = np.empty(0, bool)  # (slots,)
        self.gone = np.empty(0, bool)  # (slots,), removed from the base
        self.edges = np.zeros(1, np.int64)  # (slots + 1,) first row of each, and the number of rows
        self.starts = np.empty(0, np.float64)  # (rows,) seconds
        self._width = max(64, BLOCK_BYTES // (4 * max(size, 1)))
        self._blocks: list[np.ndarray] = []
        self._walls: dict[bool | None, np.ndarray] = {}

    @property
    def last(self) -> int:
        """The highest number that is here."""
        return int(self.numbers[-1]) if len(self.numbers) else 0

    def extend(self, batches: Iterable[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]) -> None:
        """Append entries.

        Args:
            batches: of slots (n,) of dtype SLOT, with numbers above all before them; how many rows each
                has (n,); those rows (sum, size) float32, unit length; where they start (sum,), seconds.
        """
        new, end = [], int(self.edges[-1])
        for slots, counts, rows, starts in batches:
            self._fill(end, rows)
            new.append((slots, end + np.cumsum(counts), starts))
            end += len(rows)
        if not new:
            return
        slots, edges, starts = (np.concatenate(column) for column in zip(*new, strict=True))
        self.edges = np.concatenate([self.edges, edges])
        self.starts = np.concatenate([self.starts, starts])
        self.numbers = np.concatenate([self.numbers, slots["number"]])
        self.ids = np.concatenate([self.ids, slots["id"]])
        self.bona_fide = np.concatenate([self.bona_fide, slots["bona_fide"]])
        self.votes = np.concatenate([self.votes, slots["votes"]])
        self.gone = np.concatenate([self.gone, np.zeros(len(slots), bool)])
        self._walls.clear()

    def _fill(self, first: int, rows: np.ndarray) -> None:
        """Write rows into the blocks from row `first` on."""
        done = 0
        while done < len(rows):
            block, at = divmod(first + done, self._width)
            if block == len(self._blocks):
                self._blocks.append(np.empty((self.size, self._width), np.float32))
            step = min(len(rows) - done, self._width - at)
            self._blocks[block][:, at : at + step] = rows[done : done + step].T
            done += step

    def relabel(self, bona_fide: np.ndarray, votes: np.ndarray, gone: np.ndarray) -> None:
        """Take new labels, all (slots,); rows of slots that are gone are overwritten with zeros."""
        for row in np.flatnonzero(np.repeat(gone & ~self.gone, np.diff(self.edges))):
            self._blocks[row // self._width][:, row % self._width] = 0
        self.bona_fide, self.votes, self.gone = bona_fide, votes & ~gone, gone
        self._walls.clear()

    def nearest(
        self, queries: np.ndarray, k: int, bona_fide: bool | None = None, without: Collection[int] = ()
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        """For each query the best k rows and their similarities, best first; of equals the oldest first.

        Args:
            queries: (queries, size) float32.
            k: at most so many for each.
            bona_fide: only rows of slots with this label; None: of any.
            without: numbers of entries that may not answer.
        """
        wall = self._wall(bona_fide)
        if without:
            wall = wall.copy()
            for slot in np.flatnonzero(np.isin(self.numbers, np.array(sorted(without), np.int64))):
                wall[self.edges[slot] : self.edges[slot + 1]] = -np.inf
        found = []
        for i in range(0, len(queries), TOGETHER):
            found += self._best(queries[i : i + TOGETHER], k, wall)
        return found

    def slots_of(self, rows: np.ndarray) -> np.ndarray:
        """The slots that rows belong to."""
        return np.searchsorted(self.edges, rows, side="right") - 1

    def _wall(self, bona_fide: bool | None) -> np.ndarray:
        """What is added to the similarities, (rows,): 0, or minus infinity where a row may not answer."""
        if bona_fide not in self._walls:
            allowed = self.votes if bona_fide is None else self.votes & (self.bona_fide == bona_fide)
            heights = np.where(allowed, np.float32(0), np.float32(-np.inf))
            self._walls[bona_fide] = np.repeat(heights, np.diff(self.edges))
        return self._walls[bona_fide]

    def _best(self, queries: np.ndarray, k: int, wall: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
        """As `nearest`, block by block; only what beats the worst of the best so far is looked at."""
        best = [(np.empty(0, np.int64), np.empty(0, np.float32)) for _ in queries]
        floor = np.full(len(queries), -np.inf, np.float32)
        for number, block in enumerate(self._blocks):
            first = number * self._width
            count = min(len(wall) - first, self._width)
            similar = queries @ block[:, :count]
            similar += wall[first : first + count]
            for i in np.flatnonzero(similar.max(axis=1) > floor):
                best[i] = _merge(*best[i], similar[i], first, k)
                if len(best[i][0]) == k:
                    floor[i] = best[i][1][-1]
        return best


def _merge(
    rows: np.ndarray, values: np.ndarray, similar: np.ndarray, first: int, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """The best k of those found before and of a block's, whose rows start at `first`."""
    floor = values[-1] if len(values) == k else np.float32(-np.inf)
    inside = np.flatnonzero(similar > floor)
    if len(inside) > 4 * k:
        kth = np.partition(similar[inside], -k)[-k]
        inside = inside[similar[inside] >= kth]
    rows, values = np.concatenate([rows, inside + first]), np.concatenate([values, similar[inside]])
    order = np.argsort(-values, kind="stable")[:k]
    return rows[order], values[order]
