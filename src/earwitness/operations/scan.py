"""Recordings to verdicts: one, or many on several threads.

Each thread takes a few files at a time: it decodes and gates them, scores the short ones
together in batches by length and long ones window by window while they are decoded. A file that
fails yields a verdict `error`; the others go on.
"""

import os
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache, reduce
from itertools import islice
from pathlib import Path
from threading import Event, Lock

import numpy as np

from earwitness.audio.frames import Windowing
from earwitness.audio.io import SAMPLE_RATE, Recording, Source, open_file, open_recording, to_wav
from earwitness.audio.speech import speech_graph
from earwitness.decision.bundle import find_bundle, read_card
from earwitness.decision.detector import Detector, choose_engine, load_detector
from earwitness.decision.engines import Engine, Precision
from earwitness.decision.scoring import score_clips
from earwitness.errors import InputError
from earwitness.operations.hearing import (
    Hearing,
    ScanOptions,
    Watch,
    add_window,
    hear,
    judge,
    opened_scheme,
    unexpected,
)
from earwitness.types import Verdict

GROUP = 8  # files that a thread scores together
GPU_GROUP = 64
REMEMBERED = 10_000  # verdicts
BIG_FILE = 4 << 20  # bytes; such a file goes alone, so that the others need not wait for it


def scan(
    source: Source | np.ndarray,
    *,
    sample_rate: int = SAMPLE_RATE,
    model: str | Path | Detector | None = None,
    prior: float = ScanOptions.prior,
    gate: bool = ScanOptions.gate,
    timeline: bool = ScanOptions.timeline,
    knowledge: str | Path | None = None,
    attribute: str | Path | None = None,
    watermark: str | Path | None = None,
) -> Verdict:
    """The verdict on one recording.

    Args:
        source: a path, the bytes of a file, a binary file object, or audio as (samples,) or
            (channels, samples) of floats in [-1, 1].
        sample_rate: of an array, in Hz.
        model: folder or name of a bundle, or a loaded detector; the embedded model by default.
        prior: share of recordings expected to be fake, between 0 and 1.
        gate: refuse recordings without speech; without it they are scored all the same.
        timeline: also give P(fake) step by step.
        knowledge: a knowledge base; its neighbours and the LLR fused with theirs are in the verdict.
        attribute: a tracer; who it says made the recording, if it is fake, is in the verdict.
        watermark: one to look for, a name of `earwitness watermark list` or its folder.

    Raises:
        InputError: the knowledge base or the tracer cannot be used, or is of another model.
        ModelError: the bundle cannot be used.
        ValueError: `prior` is not between 0 and 1.

    A recording that cannot be read gives a verdict `error`, not an exception.
    """
    options = ScanOptions(prior, gate, timeline, knowledge=knowledge, tracer=attribute, watermark=watermark)
    check(options)
    if isinstance(model, Detector):
        detector = model
    else:
        detector = open_detector(model, options, 1, is_long(source, available_processors()))
    if isinstance(source, np.ndarray):
        source = to_wav(source, sample_rate)
    with consulted(detector, options) as ask:
        return ask(scan_group(detector, [source], options, lambda _: None)[0])


def scan_many(
    sources: Iterable[Source],
    *,
    model: str | Path | Detector | None = None,
    options: ScanOptions = ScanOptions(),
) -> Iterator[Verdict]:
    """Verdicts on many recordings, as they come (not in the order given), each exactly once.

    Raises:
        InputError: the knowledge base or the tracer cannot be used, or is of another model.
        ModelError: the bundle cannot be used.
        ValueError: `prior` is not between 0 and 1.
    """
    check(options)
    waiting_sources = list(sources)
    memory = Memory() if options.cache else None
    workers = max(1, min(options.threads or available_processors(), len(waiting_sources)))
    if isinstance(model, Detector):
        detector = model
    else:
        share = (options.threads or available_processors()) // workers
        long = share > 1 and any(is_long(source, share) for source in waiting_sources)
        detector = open_detector(model, options, workers, long)
    most = GPU_GROUP if detector.engine == "gpu" else GROUP
    groups = iter(grouped(waiting_sources, min(most, -(-len(waiting_sources) // workers) or 1)))
    with consulted(detector, options) as ask:
        for verdicts in scan_groups(detector, groups, options, workers, memory):
            yield from map(ask, verdicts)


@contextmanager
def consulted(detector: Detector, options: ScanOptions) -> Iterator[Callable[[Verdict], Verdict]]:
    """A function that adds to a verdict what knowledge base, tracer and watermark say, where there are any.

    It is called by the thread that opened the base, one verdict at a time. Who made it comes last, for
    that speaks of the final verdict.
    """
    steps: list[Callable[[Verdict], Verdict]] = []
    with ExitStack() as stack:
        if options.knowledge is not None:
            from earwitness.evidence.consult import consult
            from earwitness.evidence.places import open_base

            base = stack.enter_context(open_base(options.knowledge, detector.id))
            steps.append(lambda verdict: consult(verdict, base))
        if options.tracer is not None:
            from earwitness.operations.attribute import attributed, open_tracer

            tracer = open_tracer(options.tracer, detector.id.space)
            steps.append(lambda verdict: attributed(verdict, tracer))
        if options.watermark is not None:
            from earwitness.evidence.origin import with_origin

            steps.append(with_origin)
        yield lambda verdict: reduce(lambda found, step: step(found), steps, verdict)


def scan_groups(
    detector: Detector,
    groups: Iterator[list[Source]],
    options: ScanOptions,
    workers: int,
    memory: "Memory | None" = None,
) -> Iterator[list[Verdict]]:
    """Verdicts on groups of recordings, as they come from several threads."""
    stop, pool = Event(), ThreadPoolExecutor(workers)

    def watch(_: Recording) -> None:
        if stop.is_set():
            raise InputError("cancelled", "the scan was stopped before this file was done")

    running: set[Future[list[Verdict]]] = set()
    try:
        while True:
            for group in islice(groups, 2 * workers - len(running)):
                running.add(pool.submit(scan_group, detector, group, options, watch, memory=memory))
            if not running:
                return
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                yield future.result()
    finally:
        stop.set()
        pool.shutdown(wait=True, cancel_futures=True)


def check(options: ScanOptions) -> None:
    """Fail before the first file rather than at each.

    Raises:
        ModelError: the gate's weights are missing or altered; there is no such watermark.
        MissingExtra: a package of the watermark is absent.
        ValueError: the prior is none.
    """
    speech_graph()
    if options.watermark is not None:
        opened_scheme(options.watermark)
    if not 0 < options.prior < 1:
        raise ValueError(f"prior must be between 0 and 1, both excluded; got {options.prior}")


def open_detector(
    model: str | Path | None, options: ScanOptions, workers: int, long: bool = False
) -> Detector:
    """The detector of a bundle for this many workers.

    A graph runs once a worker, each run with its share of the threads; of `long` recordings it runs once a
    thread, for windows that run side by side share nothing. torch runs one batch at a time and keeps its own
    threads unless told how many.
    """
    model = bundle_of(model)
    engine, _ = choose_engine(read_card(model), options.engine, options.precision)
    if engine in ("torch", "gpu"):
        return cached_detector(model, options.threads, options.engine, options.precision, workers)
    share = (options.threads or available_processors()) // workers
    if long and share > 1:
        one = cached_detector(model, 1, options.engine, options.precision, workers * share)
        return replace(one, ahead=share)
    return cached_detector(model, share, options.engine, options.precision, workers)


def bundle_of(model: str | os.PathLike | None) -> Path:
    """The folder of a bundle by path, by name, or as `NAME@champion` or `NAME@3` of the registry.

    Raises:
        ModelError: there is none.
        InputError: `no-registry`, `no-version`.
    """
    if isinstance(model, str) and "@" in model and not Path(model).exists():
        from earwitness.operations.registry import resolve

        return resolve(model)
    return find_bundle(model)


@lru_cache(maxsize=4)
def cached_detector(
    model: str | Path | None, threads: int, engine: Engine, precision: Precision, workers: int
) -> Detector:
    """The detector of a bundle, loaded once."""
    return load_detector(model, threads, engine, precision, workers)


def available_processors() -> int:
    """Processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def grouped(sources: Sequence[Source], size: int) -> Iterator[list[Source]]:
    """Groups of up to `size` sources; big files alone."""
    group: list[Source] = []
    for source in sources:
        if is_big(source):
            yield [source]
            continue
        group.append(source)
        if len(group) == size:
            yield group
            group = []
    if group:
        yield group


def is_big(source: Source) -> bool:
    """Whether a file is too big to be scored together with others."""
    if isinstance(source, str | os.PathLike):
        try:
            return os.stat(source).st_size > BIG_FILE
        except (OSError, ValueError):
            return False
    return True


def is_long(source: Source | np.ndarray, threads: int) -> bool:
    """Whether a file, by what its header says, holds windows for so many threads to score side by side."""
    if threads < 2 or not isinstance(source, str | os.PathLike):
        return False
    try:
        with open_file(source) as file, open_recording(file, str(source)) as recording:
            length_s = (recording.container.duration or 0) / 1e6  # microseconds, a guess for some formats
    except Exception:  # its own scan says what is wrong with it
        return False
    usual = Windowing()
    return length_s > max(usual.whole_s, 2 * threads * usual.hop_s)


@dataclass
class Memory:
    """The latest verdicts by the digests of their recordings. Errors are none: they name their file."""

    verdicts: OrderedDict[str, Verdict] = field(default_factory=OrderedDict)
    lock: Lock = field(default_factory=Lock)

    def note(self, verdict: Verdict) -> None:
        """Keep a verdict."""
        if verdict.error or verdict.sha256 is None:
            return
        with self.lock:
            self.verdicts[verdict.sha256] = verdict
            while len(self.verdicts) > REMEMBERED:
                self.verdicts.popitem(last=False)

    def recall(self, sha256: str | None) -> Verdict | None:
        """What was said of a recording with this digest."""
        return self.verdicts.get(sha256 or "")


def scan_group(
    detector: Detector,
    sources: Sequence[Source],
    options: ScanOptions,
    watch: Watch,
    names: Sequence[str | None] = (),
    memory: Memory | None = None,
) -> list[Verdict]:
    """Verdicts on a few recordings, in the order given; short ones share batches, copies a verdict."""
    given, begun = names or [None] * len(sources), set()

    def known(sha256: str) -> bool:
        if memory is None or (sha256 not in begun and memory.recall(sha256) is None):
            begun.add(sha256)
            return False
        return True

    heard = [
        hear(detector, source, options, watch, name, known)
        for source, name in zip(sources, given, strict=True)
    ]
    score_short(detector, heard)
    verdicts = []
    for item, source, name in zip(heard, sources, given, strict=True):
        verdict = memory.recall(item.sha256) if memory and item.repeated else None
        if verdict is not None:
            verdict = replace(verdict, path=item.path, path_bytes=item.path_bytes)
        elif item.repeated:  # the first of them failed
            verdict = scan_group(detector, [source], options, watch, [name])[0]
        else:
            verdict = judge(detector, item, options)
        if memory is not None:
            memory.note(verdict)
        verdicts.append(verdict)
    return verdicts


def score_short(detector: Detector, heard: Sequence[Hearing]) -> None:
    """Score what was decoded and not scored yet, in batches by length."""
    short = [item for item in heard if item.clip is not None and not (item.refused or item.error)]
    clips = [item.clip for item in short if item.clip is not None]
    try:
        for item, clip, scored in zip(short, clips, score_clips(detector, clips), strict=True):
            add_window(detector, item, item.clip_start, clip, scored)
    except Exception as error:  # a batch must not take the scan down
        for item in short:
            item.error = unexpected(error)
