"""Recordings to verdicts: one, or many on several threads.

Each thread takes a few files at a time: it decodes and gates them, scores the short ones
together in batches by length and long ones window by window as they are decoded. A file that
fails yields a verdict `error`; the others go on.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache, reduce
from itertools import islice
from pathlib import Path
from threading import Event

import numpy as np

from earwitness.audio.frames import cut_windows
from earwitness.audio.io import SAMPLE_RATE, Recording, Source, digest, open_file, open_recording, to_wav
from earwitness.audio.quality import MIN_SPEECH_S, QualityMeter, refuse, speech_graph, warn
from earwitness.decision.bundle import find_bundle, read_card
from earwitness.decision.detector import Detector, Engine, choose_engine, load_detector
from earwitness.decision.localisation import FrameTrack, locate, worst_moment
from earwitness.decision.scoring import ClipScore, calibrated, recording_score, score_clips
from earwitness.errors import InputError
from earwitness.evidence.verdict import decide, printable_path
from earwitness.types import AudioInfo, Failure, Heard, Quality, Verdict, Window

GROUP = 8  # files that a thread scores together
GPU_GROUP = 64
BIG_FILE = 4 << 20  # bytes; such a file goes alone, so that the others need not wait for it
LONG_BATCH = 4  # windows of a long recording scored together
NOT_CALIBRATED = "the model is not calibrated: p(fake) is its own figure, not a probability"
MAX_BAD_PACKETS = 0.02  # share of a stream (or two) that may fail to decode before it is damaged


@dataclass(frozen=True)
class ScanOptions:
    """How to scan. `prior` is the share of recordings expected to be fake."""

    prior: float = 0.5
    gate: bool = True
    timeline: bool = False
    threads: int = 0  # 0: one for each processor
    engine: Engine = "auto"
    keep: bool = False  # give `Verdict.heard`, which a knowledge base compares
    knowledge: str | Path | None = None  # a knowledge base to consult
    tracer: str | Path | None = None  # a tracer, to say who made it if it is fake


@dataclass
class Hearing:
    """A recording on its way to a verdict."""

    path: str
    path_bytes: str | None = None
    sha256: str | None = None
    info: AudioInfo | None = None
    quality: Quality | None = None
    speaking: list[bool] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    clip: np.ndarray | None = None  # decoded, not scored yet
    clip_start: int = 0  # sample of the recording at which `clip` begins
    windows: list[Window] = field(default_factory=list)
    embeddings: list[np.ndarray] = field(default_factory=list)  # one a window
    profile: np.ndarray | None = None
    track: FrameTrack | None = None
    refused: Failure | None = None
    error: Failure | None = None


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

    Raises:
        InputError: the knowledge base or the tracer cannot be used, or is of another model.
        ModelError: the bundle cannot be used.
        ValueError: `prior` is not between 0 and 1.

    A recording that cannot be read gives a verdict `error`, not an exception.
    """
    options = ScanOptions(prior, gate, timeline, knowledge=knowledge, tracer=attribute)
    check(options)
    detector = model if isinstance(model, Detector) else open_detector(model, options, workers=1)
    if isinstance(source, np.ndarray):
        source = to_wav(source, sample_rate)
    with consulted(detector, options) as ask:
        return ask(scan_group(detector, [source], options, Event())[0])


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
    workers = max(1, min(options.threads or available_processors(), len(waiting_sources)))
    detector = model if isinstance(model, Detector) else open_detector(model, options, workers)
    most = GPU_GROUP if detector.engine == "gpu" else GROUP
    groups = iter(grouped(waiting_sources, min(most, -(-len(waiting_sources) // workers) or 1)))
    with consulted(detector, options) as ask:
        for verdicts in scan_groups(detector, groups, options, workers):
            yield from map(ask, verdicts)


@contextmanager
def consulted(detector: Detector, options: ScanOptions) -> Iterator[Callable[[Verdict], Verdict]]:
    """A function that adds to a verdict what knowledge base and tracer say, where there are any.

    It is called by the thread that opened the base, one verdict at a time. The tracer comes last, for
    it speaks of the final verdict.
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
        yield lambda verdict: reduce(lambda found, step: step(found), steps, verdict)


def scan_groups(
    detector: Detector, groups: Iterator[list[Source]], options: ScanOptions, workers: int
) -> Iterator[list[Verdict]]:
    """Verdicts on groups of recordings, as they come from several threads."""
    stop, pool = Event(), ThreadPoolExecutor(workers)
    running: set[Future[list[Verdict]]] = set()
    try:
        while True:
            for group in islice(groups, 2 * workers - len(running)):
                running.add(pool.submit(scan_group, detector, group, options, stop))
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
        ModelError: the gate's weights are missing or altered.
        ValueError: the prior is none.
    """
    speech_graph()
    if not 0 < options.prior < 1:
        raise ValueError(f"prior must be between 0 and 1, both excluded; got {options.prior}")


def open_detector(model: str | Path | None, options: ScanOptions, workers: int) -> Detector:
    """The detector of a bundle for this many workers.

    A graph runs once a worker, each run with its share of the threads; torch runs one batch at a
    time and keeps its own threads unless told how many.
    """
    model = bundle_of(model)
    engine = choose_engine(read_card(model), options.engine)
    share = (options.threads or available_processors()) // workers
    return cached_detector(model, share if engine == "onnx" else options.threads, options.engine)


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
def cached_detector(model: str | Path | None, threads: int, engine: Engine) -> Detector:
    """The detector of a bundle, loaded once."""
    return load_detector(model, threads, engine)


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


def scan_group(
    detector: Detector, sources: Sequence[Source], options: ScanOptions, stop: Event
) -> list[Verdict]:
    """Verdicts on a few recordings, in the order given; short ones share batches."""
    heard = [hear(detector, source, options, stop) for source in sources]
    short = [item for item in heard if item.clip is not None and not (item.refused or item.error)]
    clips = [item.clip for item in short if item.clip is not None]
    try:
        for item, clip, scored in zip(short, clips, score_clips(detector, clips), strict=True):
            add_window(detector, item, item.clip_start, clip, scored)
    except Exception as error:  # a batch must not take the scan down
        for item in short:
            item.error = unexpected(error)
    return [judge(detector, item, options) for item in heard]


def hear(detector: Detector, source: Source, options: ScanOptions, stop: Event) -> Hearing:
    """Decode and gate one recording; score it too where it is longer than a whole clip."""
    heard = Hearing("<bytes>" if isinstance(source, bytes) else "<stream>")
    if isinstance(source, str | os.PathLike):
        heard.path, heard.path_bytes = printable_path(source)
    try:
        with open_file(source) as file:
            heard.sha256 = digest(file)
            with open_recording(file, heard.path) as recording:
                heard.info = recording.info
                listen(detector, heard, recording, options, stop)
    except InputError as error:
        heard.error = Failure(error.code, error.message)
    except Exception as error:  # whatever a hostile file brings about, the others go on
        heard.error = unexpected(error)
    return heard


def listen(
    detector: Detector, heard: Hearing, recording: Recording, options: ScanOptions, stop: Event
) -> None:
    """Run the sound track through gate and windows; fills `heard`."""
    meter = QualityMeter()
    heard.track = FrameTrack(detector.localisation.grid) if detector.localisation else None
    whole = round(detector.windowing.whole_s * SAMPLE_RATE)
    pending: list[tuple[int, np.ndarray]] = []

    def metered() -> Iterator[np.ndarray]:
        for block in recording.blocks():
            if stop.is_set():
                raise InputError("cancelled", "the scan was stopped before this file was done")
            meter.update(block)
            yield block
        meter.finish()

    def score_pending() -> None:
        scored = score_clips(detector, [audio for _, audio in pending])
        for (start, audio), clip_score in zip(pending, scored, strict=True):
            add_window(detector, heard, start, audio, clip_score)
        pending.clear()

    for start, audio in cut_windows(metered(), detector.windowing):
        if start == 0 and meter.samples <= whole:
            heard.clip_start, end = meter.spoken_part() if options.gate else (0, len(audio))
            heard.clip = audio[heard.clip_start : end]
            note_voice(heard, heard.clip, options)
        elif not options.gate or meter.speech_between(start, start + len(audio)) >= MIN_SPEECH_S:
            pending.append((start, audio))
            note_voice(heard, audio, options)
            if len(pending) == LONG_BATCH:
                score_pending()
    score_pending()
    heard.quality = meter.finish()
    if detector.localisation and options.gate:
        heard.speaking = meter.speaking(detector.localisation.step_s)
    heard.warnings += recording.notes
    if not heard.quality.duration_s:
        raise InputError("no-samples", "the sound track holds no samples; export it again")
    inspect_damage(heard, recording, options)
    if options.gate:
        heard.refused = refuse(heard.quality)
    heard.warnings += [] if heard.refused else warn(heard.quality)


def note_voice(heard: Hearing, audio: np.ndarray, options: ScanOptions) -> None:
    """Keep the voice's profile of the first stretch that has one, where a knowledge base may want it."""
    if (options.keep or options.knowledge is not None) and heard.profile is None:
        from earwitness.evidence.profile import profile

        heard.profile = profile(audio)


def inspect_damage(heard: Hearing, recording: Recording, options: ScanOptions) -> None:
    """Refuse a recording of which a part is missing or unreadable; warn only without the gate."""
    found = None
    missing_s, bad, packets = recording.missing_s(), recording.bad_packets, recording.packets
    if bad > max(2, MAX_BAD_PACKETS * packets):
        found = Failure(
            "damaged",
            f"damaged: {bad} of {packets} packets cannot be decoded; fetch it again, "
            "or score what is there with --no-gate",
        )
    elif missing_s:
        promised_s = recording.info.promised_s or 0.0
        found = Failure(
            "truncated",
            f"cut off: the header promises {promised_s:.1f} s, the file holds "
            f"{recording.decoded_s:.1f} s; fetch it again, or score what is there with --no-gate",
        )
    elif bad:
        heard.warnings.append(f"damaged: {bad} of {packets} packets cannot be decoded")
    if recording.skipped_s > 0.1 and not found:
        heard.warnings.append(f"{recording.skipped_s:.1f} s are missing inside, by its time stamps")
    if found and options.gate:
        heard.error = found
    elif found:
        heard.warnings.append(found.message.split(";")[0])


def add_window(detector: Detector, heard: Hearing, start: int, audio: np.ndarray, scored: ClipScore) -> None:
    """Note the score of a window that begins at sample `start`."""
    heard.windows.append(
        Window(
            start_s=start / SAMPLE_RATE,
            end_s=(start + len(audio)) / SAMPLE_RATE,
            score=scored.score,
            llr=calibrated(detector, scored.score),
        )
    )
    heard.embeddings.append(scored.embedding)
    if heard.track and scored.frame_scores is not None:
        heard.track.add(start, len(audio), scored.frame_scores)
    heard.clip = None


def judge(detector: Detector, heard: Hearing, options: ScanOptions) -> Verdict:
    """The verdict on what was heard."""
    failed = Verdict(
        path=heard.path,
        verdict="error",
        rule=heard.error.code if heard.error else "",
        model=detector.id,
        prior=options.prior,
        thresholds=detector.thresholds,
        calibrated=detector.calibration is not None,
        sha256=heard.sha256,
        info=heard.info,
        quality=heard.quality,
        warnings=tuple(heard.warnings),
        error=heard.error,
        path_bytes=heard.path_bytes,
    )
    if heard.error:
        return failed
    if heard.refused or not heard.windows:
        refused = heard.refused or Failure("no-speech", "speech too scattered: no window holds enough")
        return replace(failed, verdict="no-speech", rule=f"{refused.code}: {refused.message}")
    score = recording_score(heard.windows)
    llr = calibrated(detector, score)
    name, p_fake, rule = decide(llr, heard.windows, options.prior, detector.thresholds)
    duration_s = max(window.end_s for window in heard.windows)
    timeline, spans = None, ()
    if heard.track and detector.localisation:
        how = detector.localisation
        timeline, spans = locate(heard.track, how, heard.speaking, options.prior, duration_s)
    return replace(
        failed,
        verdict=name,
        rule=rule,
        score=score,
        llr=llr,
        p_fake=p_fake,
        windows=tuple(heard.windows),
        spans=spans,
        worst=worst_moment(timeline, duration_s) if timeline else None,
        timeline=timeline if options.timeline else None,
        heard=kept(heard) if wants_heard(options) else None,
        warnings=(*failed.warnings, *([] if detector.calibration else [NOT_CALIBRATED])),
    )


def wants_heard(options: ScanOptions) -> bool:
    """Whether embeddings are asked for."""
    return options.keep or options.knowledge is not None or options.tracer is not None


def kept(heard: Hearing) -> Heard:
    """What a knowledge base takes of it."""
    rows = np.array(heard.embeddings, np.float32)
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    return Heard(rows, np.array([window.start_s for window in heard.windows]), heard.profile)


def unexpected(error: Exception) -> Failure:
    """A failure that nobody foresaw, named so that it can be reported."""
    return Failure("internal", f"{type(error).__name__}: {str(error)[:200]}; please report this file")
