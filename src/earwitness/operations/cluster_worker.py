"""What runs on the machines of a Ray cluster: workers that score blocks, and a ledger of what they began."""

import hashlib
import json
import os
import platform
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from earwitness.decision.bundle import read_card
from earwitness.decision.detector import Detector
from earwitness.errors import EarwitnessError, InputError, ModelError
from earwitness.evidence.verdict import printable_path, to_record
from earwitness.operations.hearing import Hearing, ScanOptions, judge
from earwitness.operations.scan import (
    GPU_GROUP,
    GROUP,
    Memory,
    bundle_of,
    check,
    consulted,
    open_detector,
    scan_group,
)
from earwitness.types import Failure, Verdict

TRIES = 3  # workers that may die on a file alone before it is answered without being heard
BLOCK = "rows"  # the column that a block is in, as JSON
COLUMNS = ("place", "refused", "text")  # `refused`: None, or the code of why a worker cannot work at all

Row = tuple[int, str]  # place in the list, path
Answer = tuple[int, str | None, str]  # of `COLUMNS`


@dataclass(frozen=True)
class Job:
    """What every worker is told."""

    model: str | None
    identity: str  # of the model and the package, as the driver sees them
    options: ScanOptions
    folder: str  # that relative paths begin at


def identity(model: str | None) -> str:
    """What driver and workers must have in common: a card, which pins the other files, and the package.

    Raises:
        ModelError: the bundle cannot be used.
    """
    from earwitness import __version__

    return hashlib.sha256(json.dumps([__version__, read_card(bundle_of(model))]).encode()).hexdigest()


class Ledger:
    """What was begun, and of blocks on which a worker died what was answered; outlives the workers."""

    def __init__(self) -> None:
        self.begun: Counter[int] = Counter()  # blocks, by their first place
        self.tried: Counter[int] = Counter()  # files
        self.answers: dict[int, str] = {}

    def begin_block(self, place: int) -> int:
        """Note that a worker begins a block; how often that was."""
        self.begun[place] += 1
        return self.begun[place]

    def begin_file(self, place: int) -> tuple[int, str | None]:
        """Note that a worker begins a file alone; how often that was, and what came of it before."""
        self.tried[place] += 1
        return self.tried[place], self.answers.get(place)

    def finish_file(self, place: int, answer: str) -> None:
        """Keep an answer until its block is done."""
        self.answers[place] = answer

    def finish_block(self, places: Sequence[int]) -> None:
        """Let go of the answers of a block."""
        for place in places:
            self.answers.pop(place, None)


class Worker:
    """A process that scores blocks, one after the other, on one thread.

    It never raises: what keeps it from working at all is the answer to its first block.
    """

    def __init__(self, job: Job, ledger: Any) -> None:
        self.options, self.ledger = replace(job.options, threads=1), ledger
        self.refusal: tuple[str, str] | None = None
        self.ask: Callable[[Verdict], Verdict] | None = None
        self.stack = ExitStack()
        self.memory = Memory() if job.options.cache else None
        with self.refusing():
            enter(job.folder)
            if identity(job.model) != job.identity:
                raise ModelError(f"{bundle_of(job.model)}: not the driver's model, or release of earwitness")
            check(self.options)
            self.detector = open_detector(job.model, self.options, workers=1)

    @contextmanager
    def refusing(self) -> Iterator[None]:
        """Around what must go well before anything can be scored."""
        try:
            yield
        except EarwitnessError as error:
            code = error.code if isinstance(error, InputError) else ""
            self.refusal = (code, f"worker on {platform.node()}: {error}")

    def __call__(self, blocks: Any) -> Any:
        """Answers to blocks, one a row: a table with a column `BLOCK` to one of `COLUMNS`."""
        import pyarrow as pa

        answers = [answer for text in blocks[BLOCK].to_pylist() for answer in self.answer(json.loads(text))]
        kinds = (pa.int64(), pa.string(), pa.string())
        columns = zip(zip(*answers, strict=True), kinds, strict=True)
        return pa.table([pa.array(values, kind) for values, kind in columns], names=COLUMNS)

    def answer(self, rows: Sequence[Row]) -> list[Answer]:
        """A record of each file as JSON, or why there can be none."""
        if self.ask is None and self.refusal is None:
            with self.refusing():  # not in __init__: a base is asked by the thread that opened it
                self.ask = self.stack.enter_context(consulted(self.detector, self.options))
        if self.ask is None:
            code, why = self.refusal or ("", "")
            return [(place, code, why) for place, _ in rows]
        if self.tell("begin_block", rows[0][0]) == 1:
            most = GPU_GROUP if self.detector.engine == "gpu" else GROUP
            groups = [rows[start : start + most] for start in range(0, len(rows), most)]
            texts = [text for group in groups for text in self.records(group)]
        else:
            texts = [self.record_alone(row) for row in rows]
            self.tell("finish_block", [place for place, _ in rows])
        return [(place, None, text) for (place, _), text in zip(rows, texts, strict=True)]

    def record_alone(self, row: Row) -> str:
        """The record of a file that may have killed a worker."""
        place, path = row
        tries, text = self.tell("begin_file", place)
        if text is None:
            dead = tries > TRIES
            text = as_json(died(self.detector, path, self.options)) if dead else self.records([row])[0]
            self.tell("finish_file", place, text)
        return text

    def records(self, rows: Sequence[Row]) -> list[str]:
        """Records of files that share batches, in the order given."""
        assert self.ask is not None
        paths = [Path(path) for _, path in rows]
        verdicts = scan_group(self.detector, paths, self.options, lambda _: None, memory=self.memory)
        return [as_json(self.ask(verdict)) for verdict in verdicts]

    def tell(self, what: str, *given: Any) -> Any:
        """Call the ledger and wait: what comes next may be the end of this process."""
        import ray  # type: ignore[import-not-found]

        return ray.get(getattr(self.ledger, what).remote(*given))


def as_json(verdict: Verdict) -> str:
    """A record as workers send it."""
    return json.dumps(to_record(verdict))


def enter(folder: str) -> None:
    """Go where the driver is, so that relative paths mean, and are called, the same.

    Raises:
        InputError: `usage`: there is no such folder here.
    """
    try:
        os.chdir(folder)
    except OSError as error:
        raise InputError("usage", f"{folder}: {error.strerror}; the scan was begun in this folder") from None


def died(detector: Detector, path: str, options: ScanOptions) -> Verdict:
    """The verdict on a file that no worker outlives."""
    name, raw = printable_path(path)
    why = f"{TRIES} workers died on this file, for lack of memory perhaps; scan it alone, or export it again"
    return judge(detector, Hearing(name, raw, error=Failure("worker-died", why)), options)
