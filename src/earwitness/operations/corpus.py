"""`earwitness corpus prepare`: from a corpus on disk to a protocol of which every row can be read.

The corpus' reader says what its labels say; here each recording is looked into. Beside NAME.csv stand
NAME.json (where `$ROOT` is, licence, counts, digest), NAME.left-out.csv (what the labels name and
nobody can use, with the reason) and a hidden file that remembers what was found in each recording by
path, size and time of change, so that a run that was killed goes on and the next one is fast.
"""

import json
import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import astuple, dataclass, replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from earwitness.audio.corpora import CORPORA, find_corpus
from earwitness.audio.probe import Probe, probe
from earwitness.audio.protocol import COLUMNS, MORE, Utterance, write_protocol
from earwitness.decision.bundle import file_digest
from earwitness.errors import InputError
from earwitness.operations.corpus_memory import LeftOut, Memory
from earwitness.operations.hearing import unexpected
from earwitness.operations.scan import available_processors
from earwitness.operations.show import counting, visible
from earwitness.types import Failure

GROUP = 64  # recordings that a thread looks into before it reports
MIN_DURATION_S = 0.005  # a protocol writes durations with two decimals, and reads none of zero

Item = TypeVar("Item")
Found = TypeVar("Found")


@dataclass(frozen=True)
class Way:
    """How a recording becomes rows: facts, fit for JSON, are found once; rows are made of them."""

    find: Callable[[Utterance], list]
    hold: Callable[[Utterance, list], bool]  # whether what was remembered is still true
    rows: Callable[[Utterance, list], Iterable[Utterance]]


def prepare(
    name: str, root: Path, out: Path, segment_s: float | None = None, threads: int = 0
) -> dict[str, Any]:
    """Write the protocol of a corpus and what stands beside it; returns what NAME.json says.

    Raises:
        InputError: `not-found`: no such corpus or folder; `bad-corpus`: not the layout expected, or no
            recording in it; `usage`: `out` is no .csv, or something else has that name.
        MissingExtra: segments are wanted and soundfile is not installed.
    """
    corpus = find_corpus(name)
    root = Path(os.path.abspath(root))
    if not root.exists():
        raise InputError("not-found", f"{root}: no such file or folder; name where the corpus is")
    guard_output(out, root)
    base = root if root.is_dir() else root.parent
    total = sum(1 for _ in corpus.read(root))  # all labels are read before the first recording
    if not total:
        raise InputError("bad-corpus", f"{root}: holds no recording of {corpus.NAME}; check the folder")
    way, rows_root = AS_THEY_ARE, base
    if segment_s is not None:
        from earwitness.operations.corpus_segments import cutting

        rows_root = Path(os.path.abspath(out.with_suffix(".segments")))
        if rows_root.is_relative_to(root):
            raise InputError(
                "usage", f"--out {out}: lies in the corpus, where pieces would count as recordings"
            )
        way = cutting(base, rows_root, segment_s)
    out.parent.mkdir(parents=True, exist_ok=True)
    hours = {"real": 0.0, "fake": 0.0}
    with ExitStack() as stack:
        memory = stack.enter_context(Memory(out.with_name(f".{out.stem}.probes.jsonl")))
        left_out = stack.enter_context(LeftOut(out.with_name(f"{out.stem}.left-out.csv")))
        found = in_threads(
            lambda item: look(item, base, way, memory), corpus.read(root), total, "looking", threads
        )
        rows = write_protocol(usable(found, way, memory, left_out, hours), out, rows_root)
    about = describe(name, corpus, rows_root, out, rows, hours, left_out.count)
    about |= {} if segment_s is None else {"segment_s": segment_s, "cut_from": str(base)}
    write_about(about, out.with_suffix(".json"))
    return about


def guard_output(out: Path, root: Path) -> None:
    """Never write over what is not ours.

    Raises:
        InputError: `usage`.
    """
    if out.suffix != ".csv" or out.name.startswith("."):
        raise InputError("usage", f"--out {out}: expected a name that ends in .csv")
    if out.exists() and (not out.is_file() or out.samefile(root) or not begins_as_protocol(out)):
        raise InputError("usage", f"--out {out}: is there and was not prepared here; name another file")
    about = out.with_suffix(".json")
    if about.exists() and not out.exists():
        raise InputError("usage", f"--out {out}: would write over {about.name}; name another file")


def begins_as_protocol(path: Path) -> bool:
    """Whether a file begins with the header that `write_protocol` writes."""
    with path.open("rb") as file:
        return file.readline(1 << 12).strip() == ",".join([*COLUMNS, *MORE]).encode()


@dataclass(frozen=True)
class Looked:
    """What is known of a recording, and of which state of its file."""

    item: Utterance
    stamp: tuple[str, int, int]  # path, bytes, time of change in ns
    facts: list


def look(item: Utterance, base: Path, way: Way, memory: Memory) -> Looked:
    """Look into one recording, unless that was done before and the file is the same.

    Raises:
        InputError: `outside`, `bad-name`, `not-found`, `unreadable`; what `way.find` raises.
    """
    path = Path(os.path.normpath(item.path))
    if not path.is_relative_to(base):
        raise InputError("outside", f"lies outside of {base}; move it there, or name a folder above both")
    try:
        f"{item.id}{path}".encode()
    except UnicodeEncodeError:
        raise InputError("bad-name", "its name is not UTF-8; rename it") from None
    item = replace(item, path=path)
    try:
        status = path.stat()
    except FileNotFoundError:
        raise InputError("not-found", "no such file; check the name") from None
    except (OSError, ValueError) as error:
        raise InputError("unreadable", f"cannot be looked at: {error}") from None
    stamp = (str(path), status.st_size, status.st_mtime_ns)
    facts = memory.recall(stamp)
    if facts is None or not way.hold(item, facts):
        facts = way.find(item)
    return Looked(item, stamp, facts)


AS_THEY_ARE = Way(
    find=lambda item: list(astuple(probe(item.path))),
    hold=lambda _, facts: len(facts) == len(Probe.__dataclass_fields__),
    rows=lambda item, facts: [with_facts(item, Probe(*facts))],
)


def with_facts(item: Utterance, found: Probe) -> Utterance:
    """The row of a recording as its header describes it."""
    return replace(
        item,
        duration_s=found.duration_s,
        sample_rate=found.sample_rate,
        channels=found.channels,
        encoding=found.encoding,
        bits=found.bits,
    )


def usable(
    found: Iterable[tuple[Utterance, Looked | Failure]],
    way: Way,
    memory: Memory,
    left_out: LeftOut,
    hours: dict[str, float],
) -> Iterator[Utterance]:
    """Rows for the protocol; the others are listed with the reason. `hours` are added up by class."""
    seen: set[str] = set()
    for item, looked in found:
        if isinstance(looked, Failure):
            left_out.add(item.id, item.path, looked.message)
            continue
        memory.keep(looked.stamp, looked.facts)
        for row in way.rows(looked.item, looked.facts):
            problem = trouble(row, seen)
            if problem:
                left_out.add(row.id, row.path, problem)
                continue
            seen.add(row.id)
            hours["real" if row.bona_fide else "fake"] += (row.duration_s or 0) / 3600
            yield row


def trouble(row: Utterance, seen: set[str]) -> str | None:
    """Why a row cannot stand in the protocol."""
    if row.id != row.id.strip() or row.id in ("", "-"):
        return "its ID is empty, or has spaces around it"
    if row.id in seen:
        return "its ID stands twice in the labels; the first was kept"
    if (row.duration_s or 0) < MIN_DURATION_S:
        return f"lasts {1000 * (row.duration_s or 0):.1f} ms"
    return None


def describe(
    name: str, corpus: ModuleType, root: Path, out: Path, rows: int, hours: dict[str, float], left_out: int
) -> dict[str, Any]:
    """What NAME.json says."""
    from earwitness import __version__

    return {
        "corpus": name,
        "dataset": corpus.NAME,
        "root": str(root),
        "licence": corpus.LICENCE,
        "source": corpus.SOURCE,
        "prepared_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "earwitness": __version__,
        "rows": rows,
        "hours": {label: round(value, 4) for label, value in hours.items()},
        "left_out": left_out,
        "sha256": file_digest(out),
    }


def write_about(about: dict[str, Any], path: Path) -> None:
    """Write NAME.json whole or not at all."""
    part = path.with_name(f".{path.name}.part")
    part.write_text(json.dumps(about, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    part.replace(path)


def in_threads(
    work: Callable[[Item], Found],
    items: Iterable[Item],
    total: int,
    label: str,
    threads: int = 0,
    group: int = GROUP,
) -> Iterator[tuple[Item, Found | Failure]]:
    """`work(item)` of each item, in their order, on several threads, with a bar on a terminal.

    What an item raises becomes its `Failure`. A few groups are under way at a time, so that memory
    does not grow with the number of items.
    """
    workers = threads or available_processors()
    source, waiting = iter(items), deque[Future[list[tuple[Item, Found | Failure]]]]()
    pool = ThreadPoolExecutor(workers)
    try:
        with counting(total, label) as count_up:
            while True:
                while len(waiting) <= 2 * workers and (some := list(islice(source, group))):
                    waiting.append(pool.submit(attempt, work, some))
                if not waiting:
                    return
                done = waiting.popleft().result()
                count_up(len(done))
                yield from done
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def attempt(work: Callable[[Item], Found], items: Sequence[Item]) -> list[tuple[Item, Found | Failure]]:
    """`work` on a few items; one that fails does not stop the others."""
    answers: list[tuple[Item, Found | Failure]] = []
    for item in items:
        try:
            answers.append((item, work(item)))
        except InputError as error:
            answers.append((item, Failure(error.code, error.message)))
        except Exception as error:  # whatever a hostile file brings about, the others go on
            answers.append((item, unexpected(error)))
    return answers


def run_prepare(
    name: str, root: Path, out: Path | None, segment_s: float | None, threads: int, as_json: bool
) -> int:
    """`earwitness corpus prepare`: 0, or 1 where something was left out."""
    cut = "" if segment_s is None else f"-{segment_s:g}s"
    out = out or Path(f"{name}{cut}.csv")
    about = prepare(name, root, out, segment_s, threads)
    if as_json:
        sys.stdout.write(json.dumps(about) + "\n")
    else:
        hours = about["hours"]
        sys.stdout.write(
            visible(f"{out}: {about['rows']:,} rows, {hours['real']:.2f} h real, {hours['fake']:.2f} h fake")
            + "\n"
        )
    if about["left_out"]:
        listed = out.with_name(f"{out.stem}.left-out.csv")
        sys.stderr.write(visible(f"left out: {about['left_out']:,}; {listed} says why of each") + "\n")
    return 1 if about["left_out"] else 0


def run_list(as_json: bool) -> None:
    """`earwitness corpus list`."""
    rows = [
        {"name": name, "dataset": corpus.NAME, "licence": corpus.LICENCE, "source": corpus.SOURCE}
        for name, corpus in ((name, find_corpus(name)) for name in CORPORA)
    ]
    if as_json:
        sys.stdout.writelines(json.dumps(row) + "\n" for row in rows)
    else:
        show_table(("name", "data set", "licence", "source"), [list(row.values()) for row in rows])


def show_table(titles: Sequence[str], rows: Iterable[Sequence[object]], numbers: int = 0) -> None:
    """A table for people on stdout; the last `numbers` columns to the right. Nothing is cut off."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for i, title in enumerate(titles):
        right = i >= len(titles) - numbers
        table.add_column(title, justify="right" if right else "left", overflow="fold", no_wrap=right)
    for row in rows:
        table.add_row(*(Text(visible(str(cell))) for cell in row))  # no markup in a name
    Console(width=None if sys.stdout.isatty() else 160, highlight=False).print(table)
