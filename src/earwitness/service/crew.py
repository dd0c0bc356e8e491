"""The workers of a service, and who hands them their work.

A thread for each worker claims jobs, gives them to its process and takes down the answers. A process that
says nothing for too long is killed; over whatever it died, the others go on. Short recordings have as many
workers as there are processors; long ones have one of their own, which yields to them.
"""

import base64
import contextlib
import json
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from queue import Empty, Queue
from typing import Any

from earwitness.errors import InputError
from earwitness.service.jobs import (
    LEASE_S,
    Job,
    Lane,
    claim,
    failed_record,
    finish,
    give_back,
    recover,
    renew,
    sweep,
)
from earwitness.service.store import Store
from earwitness.service.worker import ELSEWHERE, Settings

GROUP = 8  # short files that a worker scores together
STALL_S = 60.0  # without a sign of life, a worker is taken for dead
START_S = 60.0
AWAY_S = 5.0  # before a worker that did not start is tried again
BEAT_S = LEASE_S / 4  # between two looks at a worker that says nothing
DESK_WAIT_S = 30.0  # for one's turn at the desk
DESK_LINE = 8  # who wait there at most
SECRETS = ("EARWITNESS_DATABASE", "EARWITNESS_CALLBACK_SECRET")  # no business of a worker
IDLE_S = 1.0  # after which a crew looks for work that another server took in or let go
LONG_NICENESS = 10
log = logging.getLogger("earwitness.service")


def without_secrets() -> dict[str, str]:
    """What a process that decodes may know of our environment."""
    return {name: value for name, value in os.environ.items() if name not in SECRETS}


class WorkerDied(Exception):
    """A worker ended, or had to be ended, before it answered."""


class DeskBusy(Exception):
    """Too much is being made already."""


@dataclass(frozen=True)
class CrewOptions:
    """How many workers, and how long and large what they hear may be."""

    workers: int
    settings: Settings
    short_s: float = 60.0  # longer recordings go to the long lane


class Worker:
    """A process that scores; started when first asked, and anew after each death."""

    module = "earwitness.service.worker"

    def __init__(self, settings: Settings, stall_s: float = STALL_S) -> None:
        self.settings, self.stall_s = settings, stall_s
        self.process: subprocess.Popen[bytes] | None = None
        self.lines: Queue[bytes] = Queue()
        self.starts = self.deaths = 0

    def start(self) -> None:
        """Start the process if none runs.

        Raises:
            WorkerDied: it does not come up.
        """
        if self.process is not None:
            return
        self.starts += 1
        self.lines = Queue()
        self.process = process = subprocess.Popen(
            [sys.executable, "-m", self.module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=without_secrets(),
        )
        threading.Thread(target=self._read, args=(process, self.lines), daemon=True).start()
        self._say(process, asdict(self.settings))
        self._next(START_S)

    @staticmethod
    def _read(process: subprocess.Popen[bytes], lines: Queue[bytes]) -> None:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                lines.put(line)
        except (OSError, ValueError):  # it was closed meanwhile
            pass
        finally:
            lines.put(b"")

    def _say(self, process: subprocess.Popen[bytes], value: dict[str, Any]) -> None:
        assert process.stdin is not None
        try:
            process.stdin.write(json.dumps(value).encode() + b"\n")
            process.stdin.flush()
        except (OSError, ValueError):
            self.deaths += 1
            self.end()
            raise WorkerDied from None

    def _next(self, timeout_s: float, on_wait: Callable[[], None] = lambda: None) -> dict[str, Any]:
        ends = time.monotonic() + timeout_s
        while True:
            left = ends - time.monotonic()
            try:
                line = self.lines.get(timeout=max(0.0, min(left, BEAT_S)))
                break
            except Empty:
                if left <= BEAT_S:
                    line = b""
                    break
                on_wait()
        if not line.endswith(b"\n"):
            self.deaths += 1
            self.end()
            raise WorkerDied
        return json.loads(line)

    def ask(self, request: dict[str, Any], on_sign: Callable[[float | None], None]) -> Any:
        """The answer to a request; `on_sign` is called as the work goes on, with the share heard if known.

        Raises:
            WorkerDied: it ended, or fell silent.
            InputError: it says why it cannot.
        """
        self.start()
        process = self.process
        if process is None:  # ended from another thread
            raise WorkerDied
        self._say(process, request)
        try:
            while not (said := self._next(self.stall_s, lambda: on_sign(None))).keys() & {"done", "failed"}:
                on_sign(said["heard"])
        except BaseException:  # what it still has to say would be taken for the answer to the next request
            self.end()
            raise
        if "failed" in said:
            raise InputError(**said["failed"])
        return said["done"]

    def end(self) -> None:
        """Kill the process."""
        process, self.process = self.process, None
        if process is None:
            return
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError, ValueError):
                    pipe.close()


class Crew:
    """Threads that hand out work until they are stopped."""

    def __init__(
        self, store: Store, options: CrewOptions, on_answer: Callable[[str, dict[str, Any]], None]
    ) -> None:
        self.store, self.options, self.on_answer = store, options, on_answer
        self.stopping = threading.Event()
        self.work: dict[Lane, threading.Condition] = {
            "short": threading.Condition(),
            "long": threading.Condition(),
        }
        short = replace(options.settings, short_s=options.short_s)
        slow = replace(options.settings, niceness=LONG_NICENESS)
        self.workers: list[tuple[Lane, Worker]] = [("short", Worker(short)) for _ in range(options.workers)]
        self.workers.append(("long", Worker(slow)))
        self.desk, self.desk_free = Worker(slow), threading.Lock()
        self.desk_line = threading.BoundedSemaphore(DESK_LINE)
        self.threads = [
            threading.Thread(target=self.attend, args=pair, name=f"{pair[0]} lane") for pair in self.workers
        ]
        self.threads.append(threading.Thread(target=self.keep_house, name="house"))

    def start(self, alone: bool) -> None:
        """Begin; `alone`: no other server works on this store, so what is running is nobody's."""
        recover(self.store, alone)
        for thread in self.threads:
            thread.start()

    def notify(self, lane: Lane = "short") -> None:
        """Say that there is work."""
        with self.work[lane]:
            self.work[lane].notify()

    def stop(self) -> None:
        """End at once; what is being worked on waits for the next start."""
        self.stopping.set()
        for (lane, worker), thread in zip(self.workers, self.threads, strict=False):
            while thread.is_alive():
                worker.end()  # again, should it have been starting
                self.notify(lane)
                thread.join(0.1)
        self.desk.end()
        if self.threads[-1].is_alive():
            self.threads[-1].join()

    def attend(self, lane: Lane, worker: Worker) -> None:
        """One worker's day."""
        while not self.stopping.is_set():
            try:
                jobs = claim(self.store, lane, GROUP if lane == "short" else 1)
            except Exception:
                log.exception("work cannot be claimed; trying again")
                self.stopping.wait(IDLE_S)
                continue
            if not jobs:
                with self.work[lane]:
                    self.work[lane].wait(IDLE_S)
                continue
            try:
                self.hand_out(lane, worker, jobs)
            except Exception:
                log.exception("answers cannot be taken down; the work is done again")
                self.stopping.wait(IDLE_S)

    def hand_out(self, lane: Lane, worker: Worker, jobs: list[Job]) -> None:
        """Have jobs of the same options done, and take down what comes of them."""
        files = [{"path": str(self.store.audio(job.id)), "name": job.name} for job in jobs]
        request = {"do": "scan", "jobs": files, "options": jobs[0].options}
        renewed = 0.0

        def on_sign(heard: float | None) -> None:
            nonlocal renewed
            if time.monotonic() - renewed >= min(1.0, LEASE_S / 4):
                renewed = time.monotonic()
                renew(self.store, jobs, heard if len(jobs) == 1 else None)

        try:
            worker.start()
        except WorkerDied:
            self.return_all(jobs, lane, died=False)
            if not self.stopping.is_set():
                log.warning("a worker does not start; trying again")
                self.stopping.wait(AWAY_S)
            return
        try:
            answers = worker.ask(request, on_sign)
        except WorkerDied:
            if self.stopping.is_set():
                self.return_all(jobs, lane, died=False)
                return
            log.warning("a worker died over %s", ", ".join(job.id for job in jobs))
            self.return_all(jobs, lane, died=True)
            return
        except InputError as error:
            if error.code == "internal" and len(jobs) > 1:  # each again, alone
                self.return_all(jobs, lane, died=True)
                return
            failed = [failed_record(job, error.code, error.message) for job in jobs]
            answers = [{"record": record, "heard": None} for record in failed]
        for job, answer in zip(jobs, answers, strict=True):
            self.take_down(job, answer)

    def take_down(self, job: Job, answer: dict[str, Any]) -> None:
        """Write an answer down; where that cannot be, say so instead."""
        if ELSEWHERE in answer:
            give_back(self.store, job, "long", died=False)
            self.notify("long")
            return
        record = answer["record"]
        heard = base64.b64decode(answer["heard"]) if answer["heard"] else None
        try:
            written = finish(self.store, job, record, heard)
        except Exception:  # either the answer is odd, or the database is away: then this fails as well
            log.exception("the answer to %s cannot be written down", job.id)
            record = failed_record(job, "internal", "the answer cannot be written down")
            written = finish(self.store, job, record)
        if written:
            self.on_answer(job.id, record)

    def return_all(self, jobs: Iterable[Job], lane: Lane, died: bool) -> None:
        """Give jobs back that were not answered."""
        for job in jobs:
            if give_back(self.store, job, lane, died):
                self.on_answer(job.id, {"verdict": "error"})

    def make(self, request: dict[str, Any]) -> None:
        """Have the desk's worker make a file, unless somebody else just did; one at a time.

        Raises:
            WorkerDied: it takes too much time or memory.
            InputError: it cannot be made.
            DeskBusy: too many wait for theirs.
        """
        if not self.desk_line.acquire(blocking=False):
            raise DeskBusy
        try:
            if not self.desk_free.acquire(timeout=DESK_WAIT_S):
                raise DeskBusy
            try:
                if not Path(request["out"]).exists():
                    self.desk.ask(request, lambda _: None)
            finally:
                self.desk_free.release()
        finally:
            self.desk_line.release()

    @property
    def deaths(self) -> int:
        """Workers that died."""
        return self.desk.deaths + sum(worker.deaths for _, worker in self.workers)

    def keep_house(self) -> None:
        """Let go what is kept no longer, and take over from servers that died."""
        swept = 0.0
        while not self.stopping.wait(LEASE_S / 4):
            try:
                if recover(self.store):
                    self.notify()
                    self.notify("long")
                if time.monotonic() - swept >= 60:
                    sweep(self.store)
                    swept = time.monotonic()
            except Exception:
                log.exception("housekeeping failed; trying again")
