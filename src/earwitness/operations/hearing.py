"""One recording on its way to a verdict: decoded, gated, scored, judged.

Short clips are left to be scored together with others; long ones are scored window by window as they are
decoded. Whatever a file brings about ends in its own verdict.
"""

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from earwitness.audio.frames import cut_windows
from earwitness.audio.io import SAMPLE_RATE, Recording, Source, digest, open_file, open_recording
from earwitness.audio.quality import MIN_SPEECH_S, QualityMeter, refuse, warn
from earwitness.decision.detector import Detector
from earwitness.decision.engines import Engine, Precision
from earwitness.decision.localisation import FrameTrack, locate, worst_moment
from earwitness.decision.scoring import ClipScore, calibrated, recording_score, score_clips
from earwitness.errors import InputError
from earwitness.evidence.verdict import decide, printable_path
from earwitness.types import AudioInfo, Failure, Heard, Quality, Verdict, Watermark, Window

LONG_BATCH = 4  # windows of a long recording scored together
NOT_CALIBRATED = "the model is not calibrated: p(fake) is its own figure, not a probability"
MAX_BAD_PACKETS = 0.02  # share of a stream (or two) that may fail to decode before it is damaged

Watch = Callable[[Recording], None]  # called as a recording is decoded; an InputError of it ends the file


@dataclass(frozen=True)
class ScanOptions:
    """How to scan. `prior` is the share of recordings expected to be fake."""

    prior: float = 0.5
    gate: bool = True
    timeline: bool = False
    threads: int = 0  # 0: one for each processor
    engine: Engine = "auto"
    precision: Precision = "auto"
    cache: bool = True  # copies of a recording get its verdict without being scored again
    voice: bool = False  # measure the voice too, as `knowledge` does, for `Verdict.heard`
    knowledge: str | Path | None = None  # a knowledge base to consult
    tracer: str | Path | None = None  # a tracer, to say who made it if it is fake
    watermark: str | Path | None = None  # a watermark to look for: a name, or its folder


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
    watermark: Watermark | None = None
    refused: Failure | None = None
    error: Failure | None = None
    repeated: bool = False  # not decoded, for its digest is known


def hear(
    detector: Detector,
    source: Source,
    options: ScanOptions,
    watch: Watch,
    name: str | None = None,
    known: Callable[[str], bool] = lambda _: False,
) -> Hearing:
    """Decode and gate one recording; score it too where it is longer than a whole clip.

    `name` is what its record calls it, where that is not the path. What has a `known` digest is left.
    """
    heard = Hearing(name or ("<bytes>" if isinstance(source, bytes) else "<stream>"))
    if name is None and isinstance(source, str | os.PathLike):
        heard.path, heard.path_bytes = printable_path(source)
    try:
        with open_file(source) as file:
            heard.sha256 = digest(file)
            heard.repeated = known(heard.sha256)
            if heard.repeated:
                return heard
            with open_recording(file, heard.path) as recording:
                heard.info = recording.info
                listen(detector, heard, recording, options, watch)
    except InputError as error:
        heard.error = Failure(error.code, error.message)
    except Exception as error:  # whatever a hostile file brings about, the others go on
        heard.error = unexpected(error)
    return heard


def listen(
    detector: Detector, heard: Hearing, recording: Recording, options: ScanOptions, watch: Watch
) -> None:
    """Run the sound track through gate and windows; fills `heard`."""
    meter, marks = QualityMeter(), watermark_listener(options)
    heard.track = FrameTrack(detector.localisation.grid) if detector.localisation else None
    whole = round(detector.windowing.whole_s * SAMPLE_RATE)

    def metered() -> Iterator[np.ndarray]:
        for block in recording.blocks():
            watch(recording)
            meter.update(block)
            if marks:
                marks.update(block)
            yield block
        meter.finish()

    def spoken() -> Iterator[tuple[int, np.ndarray]]:
        for start, audio in cut_windows(metered(), detector.windowing):
            if start == 0 and meter.samples <= whole:
                heard.clip_start, end = meter.spoken_part() if options.gate else (0, len(audio))
                heard.clip = audio[heard.clip_start : end]
                note_voice(heard, heard.clip, options)
            elif not options.gate or meter.speech_between(start, start + len(audio)) >= MIN_SPEECH_S:
                note_voice(heard, audio, options)
                yield start, audio

    for start, audio, scored in score_ahead(detector, spoken()):
        add_window(detector, heard, start, audio, scored)
    heard.quality = meter.finish()
    if marks:
        from earwitness.evidence.origin import found_mark

        heard.watermark = found_mark(marks.scheme, marks.finish())
    if detector.localisation and options.gate:
        heard.speaking = meter.speaking(detector.localisation.step_s)
    heard.warnings += recording.notes
    if not heard.quality.duration_s:
        raise InputError("no-samples", "the sound track holds no samples; export it again")
    inspect_damage(heard, recording, options)
    if options.gate:
        heard.refused = refuse(heard.quality)
    heard.warnings += [] if heard.refused else warn(heard.quality)


def score_ahead(
    detector: Detector, windows: Iterator[tuple[int, np.ndarray]]
) -> Iterator[tuple[int, np.ndarray, ClipScore]]:
    """Score windows in threads of their own while the next are decoded and gated, a few of them ahead."""
    size, most = (LONG_BATCH, 1) if detector.ahead == 1 else (1, 2 * detector.ahead)
    running: deque[tuple[list[tuple[int, np.ndarray]], Future[list[ClipScore]]]] = deque()

    def first() -> Iterator[tuple[int, np.ndarray, ClipScore]]:
        some, scores = running.popleft()
        for (start, audio), scored in zip(some, scores.result(), strict=True):
            yield start, audio, scored

    with ThreadPoolExecutor(detector.ahead) as scorers:
        while some := list(islice(windows, size)):
            if len(running) == most:
                yield from first()
            running.append((some, scorers.submit(score_clips, detector, [audio for _, audio in some])))
        while running:
            yield from first()


def watermark_listener(options: ScanOptions) -> Any:
    """Who looks for the watermark, where one is to be looked for."""
    if options.watermark is None:
        return None
    from earwitness.evidence.watermark import Listener

    return Listener(opened_scheme(options.watermark), SAMPLE_RATE)


@lru_cache(maxsize=4)
def opened_scheme(place: str | Path) -> Any:
    """A watermark, opened once."""
    from earwitness.evidence.watermark_bundle import open_scheme

    return open_scheme(place)


def note_voice(heard: Hearing, audio: np.ndarray, options: ScanOptions) -> None:
    """Keep the voice's profile of the first stretch that has one, where a knowledge base may want it."""
    if (options.voice or options.knowledge is not None) and heard.profile is None:
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
        watermark=heard.watermark,
        engine=f"{detector.engine} {detector.precision}",
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
        heard=kept(heard),
        warnings=(*failed.warnings, *([] if detector.calibration else [NOT_CALIBRATED])),
    )


def kept(heard: Hearing) -> Heard:
    """What a knowledge base takes of it."""
    rows = np.array(heard.embeddings, np.float32)
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    return Heard(rows, np.array([window.start_s for window in heard.windows]), heard.profile)


def unexpected(error: Exception) -> Failure:
    """A failure that nobody foresaw, named so that it can be reported."""
    return Failure("internal", f"{type(error).__name__}: {str(error)[:200]}; please report this file")
