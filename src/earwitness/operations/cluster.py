"""Many recordings scored by the workers of a Ray cluster, each record coming back exactly once.

The driver cuts the list into blocks and gives them to Ray Data; a worker is a process of one thread that
opens the model once. Where a worker dies Ray starts another and gives it the same block, which then goes file
by file, so that the file that kills it is found out. What the driver has written into its journal is done;
nothing else is kept, and a restart plans what the journal has not.
"""

import json
import logging
import os
import re
import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from earwitness.audio.io import Source
from earwitness.decision.bundle import read_card
from earwitness.decision.detector import choose_engine
from earwitness.errors import InputError, ModelError, needs_extra
from earwitness.operations.cluster_worker import BLOCK, COLUMNS, Job, Ledger, Row, Worker, identity
from earwitness.operations.hearing import ScanOptions
from earwitness.operations.scan import BIG_FILE, GROUP, available_processors, bundle_of, check

BLOCKS_EACH = 50  # a worker, so that all end at about the same time
MOST_FILES = 128  # in a block; what is heard again where a worker dies
MOST_BYTES = 32 << 20
BEFORE_IMPORT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",  # Ray tells of dead workers on the standard output, which is ours
}


def scan_cluster(
    sources: Sequence[Source], address: str, *, model: str | None, options: ScanOptions
) -> Iterator[dict[str, Any]]:
    """Records of many recordings, as they come (not in the order given), each exactly once.

    Args:
        sources: paths that every machine of the cluster can read.
        address: of a Ray cluster (`HOST:6379`, `auto`), or `local`: Ray is started here for this scan.
        model: as `scan_many` takes it; workers open it themselves and must find the driver's.
        options: `threads` is the number of workers; 0: one for each processor of the cluster.

    Raises:
        MissingExtra: Ray is not installed.
        InputError: `usage`: a stream, or an address of another form; `no-cluster`: none answers, or it broke
            down; a worker cannot use the knowledge base, the tracer or the folder.
        ModelError: the bundle cannot be used, or a worker finds another one.
        ValueError: the prior is not between 0 and 1.
    """
    check(options)
    paths = [path_text(source) for source in sources]
    if not re.fullmatch(r"local|auto|[^/]+:\d+", address):  # Ray Data does not run over Ray Client, ray://
        raise InputError(
            "usage",
            f"--ray {address}: name local, auto or HOST:6379; to score on a cluster that this machine is "
            "no part of, send this command there with `ray job submit`",
        )
    job = Job(model, identity(model), with_engine(options, model), os.getcwd())
    if not paths:
        return
    answered = bytearray(len(paths))
    with connected(address, options.threads or available_processors()):
        for place, record in scored(paths, job):
            if not answered[place]:  # Ray promises each block at least once
                answered[place] = 1
                yield record
    if not all(answered):
        raise InputError("no-cluster", f"{answered.count(0)} files were not answered; go on with --resume")


def with_engine(options: ScanOptions, model: str | None) -> ScanOptions:
    """With the engine and the arithmetic that this machine takes, so that all records are of one kind.

    Raises:
        ModelError: the bundle cannot be used, or not so.
        MissingExtra: the engine is not installed here.
    """
    engine, precision = choose_engine(read_card(bundle_of(model)), options.engine, options.precision)
    chosen: dict[str, Any] = {"engine": "torch" if engine == "gpu" else engine, "precision": precision}
    return replace(options, **chosen)


def path_text(source: Source) -> str:
    """A path as it is sent to workers; what is not UTF-8 goes through JSON as lone surrogates.

    Raises:
        InputError: `usage`: a stream.
    """
    if isinstance(source, str | os.PathLike):
        return os.fsdecode(source)
    raise InputError("usage", "--ray: a stream cannot be read by other machines; save it to a file they see")


def plan(paths: Iterable[str], most: int, size_of: Callable[[str], int] | None = None) -> Iterator[list[Row]]:
    """Blocks of up to `most` files and `MOST_BYTES`; big files alone.

    `size_of` gives the bytes of a file, 0 for one that cannot be asked.
    """
    size_of = size_of or file_size
    block: list[Row] = []
    held = 0
    for row in enumerate(paths):
        size = size_of(row[1])
        if size > BIG_FILE:
            yield [row]
            continue
        if block and (len(block) == most or held + size > MOST_BYTES):
            yield block
            block, held = [], 0
        block.append(row)
        held += size
    if block:
        yield block


def file_size(path: str) -> int:
    """Bytes of a file; 0 for one that cannot be asked."""
    try:
        return os.stat(path).st_size
    except (OSError, ValueError):
        return 0


def block_size(files: int, workers: int) -> int:
    """Files in a block: whole groups, and enough blocks that no worker waits long for another at the end."""
    groups = -(-files // (BLOCKS_EACH * workers * GROUP))
    return max(1, min(groups, MOST_FILES // GROUP)) * GROUP


@contextmanager
def connected(address: str, processors: int) -> Iterator[None]:
    """Around work on a cluster; Ray that was started before is used as it is and left running.

    Raises:
        MissingExtra: Ray is not installed.
        InputError: `no-cluster`: none answers at the address.
    """
    for name, value in BEFORE_IMPORT.items():
        os.environ.setdefault(name, value)
    with needs_extra("scale"):
        import pyarrow  # noqa: F401  # Ray Data needs it, and says so less clearly
        import ray  # type: ignore[import-not-found]
        import ray.data  # type: ignore[import-not-found]
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)  # what goes wrong is raised, in one line
    ray.data.DataContext.get_current().enable_progress_bars = False
    if ray.is_initialized():
        yield
        return
    how: dict[str, Any] = {"num_cpus": processors, "include_dashboard": False} if address == "local" else {}
    try:
        knock(address)
        ray.init(address, log_to_driver=False, logging_level=logging.CRITICAL, **how)
    except (OSError, ValueError, OverflowError, RuntimeError) as error:
        raise InputError(
            "no-cluster",
            f"--ray {address}: no Ray cluster answers there ({first_line(error)}); start one with "
            "`ray start --head`, or use --ray local",
        ) from None
    try:
        yield
    finally:
        ray.shutdown()


def knock(address: str) -> None:
    """See that somebody listens at HOST:PORT, for which Ray itself would wait for minutes.

    Raises:
        OSError, OverflowError: nobody does.
    """
    host, colon, port = address.rpartition(":")
    if colon:
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()


def scored(paths: Sequence[str], job: Job) -> Iterator[tuple[int, dict[str, Any]]]:
    """Places and records as blocks are done, at least once each.

    Raises:
        InputError: `no-cluster`, or of a worker that cannot use what the options name.
        ModelError: a worker cannot open the model, or finds another.
    """
    import ray  # type: ignore[import-not-found]
    import ray.data  # type: ignore[import-not-found]
    from ray.exceptions import RayError  # type: ignore[import-not-found]

    workers = min(job.options.threads or int(ray.cluster_resources().get("CPU", 1)) or 1, len(paths))
    blocks = [{BLOCK: json.dumps(rows)} for rows in plan(paths, block_size(len(paths), workers))]
    try:
        ledger = ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)(Ledger).remote()
        data = ray.data.from_items(blocks, override_num_blocks=len(blocks)).map_batches(
            Worker,
            fn_constructor_kwargs={"job": job, "ledger": ledger},
            batch_size=None,
            batch_format="pyarrow",
            compute=ray.data.ActorPoolStrategy(
                size=min(workers, len(blocks)), max_tasks_in_flight_per_actor=2
            ),
            num_cpus=1,
        )
        batches: Iterable[Any] = data.iter_batches(
            batch_size=None, batch_format="pyarrow", prefetch_batches=0
        )
        for batch in batches:
            for place, refused, text in zip(*(batch[name].to_pylist() for name in COLUMNS), strict=True):
                if refused is not None:
                    raise InputError(refused, text) if refused else ModelError(text)
                yield place, json.loads(text)
    except RayError as error:
        raise InputError(
            "no-cluster", f"the cluster broke down: {first_line(error)}; go on with --resume"
        ) from None


def first_line(error: BaseException) -> str:
    """What Ray says, without its pages of advice."""
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
