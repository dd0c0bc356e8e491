"""Work that keeps processors busy, on several processes: results in order; no item stops the others."""

import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from typing import TypeVar

from earwitness.errors import needs_extra
from earwitness.operations.scan import available_processors
from earwitness.operations.show import counting
from earwitness.types import Failure

Item = TypeVar("Item")
Found = TypeVar("Found")
ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
DIED = "the process that worked on it died; please report this file"


def in_processes(
    work: Callable[[Item], Found],
    items: Iterable[Item],
    processes: int,
    label: str,
    size: Callable[[Item], int] = lambda _: 1,
) -> Iterator[tuple[Item, Found | Failure]]:
    """`work(item)` of each item, in their order, on `processes` (0: one for each processor; 1: this one).

    `work` must not raise. An item on which a process dies becomes a `Failure`. The bar counts by `size`.
    """
    items = list(items)
    done = (
        in_pool(work, items, processes or available_processors()) if processes != 1 else in_turn(work, items)
    )
    with counting(sum(map(size, items)), label) as count_up:
        for item, found in done:
            count_up(size(item))
            yield item, found


def in_turn(work: Callable[[Item], Found], items: Iterable[Item]) -> Iterator[tuple[Item, Found]]:
    """In this process, on one thread as in the others: sums over several come out a little different."""
    with needs_extra("synthesis"):
        from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        for item in items:
            yield item, work(item)


def in_pool(
    work: Callable[[Item], Found], items: Iterable[Item], processes: int
) -> Iterator[tuple[Item, Found | Failure]]:
    """In others. Where one dies all under way are begun again, the foremost alone: it may be at fault."""
    source, waiting = iter(items), deque[tuple[Item, Future[Found]]]()
    pool = make_pool(processes)
    try:
        while True:
            for item in islice(source, 3 * processes - len(waiting)):
                waiting.append((item, pool.submit(work, item)))
            if not waiting:
                return
            item, future = waiting.popleft()
            try:
                found: Found | Failure = future.result()
            except BrokenProcessPool:
                pool.shutdown(wait=True, cancel_futures=True)
                found = alone(work, item)
                pool = make_pool(processes)
                waiting = deque((other, pool.submit(work, other)) for other, _ in waiting)
            yield item, found
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def alone(work: Callable[[Item], Found], item: Item) -> Found | Failure:
    """One item in a process to itself."""
    with make_pool(1) as pool:
        try:
            return pool.submit(work, item).result()
        except BrokenProcessPool:
            return Failure("internal", DIED)


def make_pool(processes: int) -> ProcessPoolExecutor:
    """Fresh processes of one thread each, which leave an interrupt from the keyboard to this one."""
    before = {name: os.environ.get(name) for name in ONE_THREAD}
    os.environ.update(dict.fromkeys(ONE_THREAD, "1"))  # read when numpy is loaded, so it must be there first
    try:
        pool = ProcessPoolExecutor(
            processes, multiprocessing.get_context("spawn"), signal.signal, (signal.SIGINT, signal.SIG_IGN)
        )
        for _ in range(processes):
            pool.submit(os.getpid)  # processes are started by what they are given
        return pool
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
