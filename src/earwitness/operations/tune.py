"""`earwitness models tune`: which engines say the same of a model on this machine, and how fast they are.

Real speech is cut in two: a quarter teaches the 8-bit graph what activations are like, the rest judges. The
reference is the bundle's graph in float32 in ONNX Runtime. The rule is in `decision/fidelity.py`.
"""

import json
import random
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from earwitness.audio.io import SAMPLE_RATE, open_file, open_recording
from earwitness.decision.bundle import WEIGHTS, check_file, read_card
from earwitness.decision.detector import Detector, load_detector, model_digest, open_tuned, pinned_graph
from earwitness.decision.engines import Runner, open_torch
from earwitness.decision.fidelity import INT8, Trial, engines_home, fastest, write_trials
from earwitness.decision.scoring import calibrated, score_clips
from earwitness.errors import InputError
from earwitness.evidence.verdict import decide
from earwitness.metrics.detection import eer
from earwitness.operations.scan import available_processors, bundle_of
from earwitness.types import Window

CLIP_S = 10.0
MOST = 2_000  # recordings; of a few hundred, one that moves is more than 0.1 points
LEAST = 20
TEACHERS = 64  # recordings that teach the 8-bit graph, at most
TIMED = 24  # clips whose time is taken
PRIOR = 0.5


@dataclass(frozen=True)
class Clip:
    """The beginning of a recording; `bona_fide` None: nobody says."""

    audio: np.ndarray  # (samples,)
    bona_fide: bool | None


@dataclass(frozen=True)
class Said:
    """What an engine said of the clips."""

    llr: np.ndarray  # (clips,)
    embeddings: np.ndarray  # (clips, size)
    times_real_time: float


def tune(
    folder: Path, recordings: Sequence[tuple[Path, bool | None]], step: Callable[[str], None]
) -> list[Trial]:
    """Try each engine on real speech and note what was found.

    Args:
        folder: of the bundle.
        recordings: files and whether they are bona fide, where that is known.
        step: told what is being done.

    Raises:
        InputError: `too-few`: recordings that can be read.
        ModelError: the bundle has no graph, or cannot be used.
    """
    card = read_card(folder)
    reference = load_detector(folder, 1, "onnx", "fp32")
    clips = list(cut(recordings, reference.min_samples, step))
    if len(clips) < LEAST:
        raise InputError("too-few", f"{len(clips)} recordings can be read, and {LEAST} are needed; name more")
    teachers, judges = clips[::4][:TEACHERS], [clip for number, clip in enumerate(clips) if number % 4]
    home = engines_home(model_digest(card))
    home.mkdir(parents=True, exist_ok=True)
    step("onnx fp32, the reference")
    base = listen(reference, reference.run, judges)
    labels = np.array([-1 if clip.bona_fide is None else clip.bona_fide for clip in judges])
    trials = [judge(reference, "onnx", "fp32", base, base, labels)]
    for engine, precision, open_it in candidates(folder, card, teachers):
        step(f"{engine} {precision}")
        try:
            found = listen(reference, open_it(), judges)
            trials.append(judge(reference, engine, precision, found, base, labels))
        except Exception as error:  # an engine that opens a graph may still fail to run it
            trials.append(Trial(engine, precision, 0.0, 0.0, 0.0, 0, None, refused=str(error)[:300]))
    about = {"when": time.strftime("%Y-%m-%d"), "judges": len(judges), "labelled": int((labels >= 0).sum())}
    write_trials(model_digest(card), trials, about)
    return trials


def candidates(
    folder: Path, card: dict[str, Any], teachers: Sequence[Clip]
) -> Iterator[tuple[str, str, Callable[[], Runner]]]:
    """Engines that are installed, and how to open each."""
    digest, at_once = model_digest(card), available_processors()
    if find_spec("openvino"):
        graph = pinned_graph(folder, card)
        for precision in ("fp32", "bf16"):
            yield "openvino", precision, lambda kind=precision: open_tuned(graph, card, kind, 1, at_once)
        if find_spec("nncf"):

            def quantised() -> Runner:
                from earwitness.decision.openvino_engine import quantise

                quantise(graph, [clip.audio for clip in teachers], engines_home(digest) / INT8)
                return open_tuned(graph, card, "int8", 1, at_once)

            yield "openvino", "int8", quantised
    if WEIGHTS in card["files"] and find_spec("torch") and find_spec("transformers"):
        weights = check_file(folder, card, WEIGHTS)
        yield "torch", "fp32", lambda: open_torch(weights, card, 1)
        yield "torch", "bf16", lambda: open_torch(weights, card, 1, narrow=True)


def cut(
    recordings: Sequence[tuple[Path, bool | None]], least: int, step: Callable[[str], None]
) -> Iterator[Clip]:
    """The first seconds of each recording that can be read."""
    for number, (path, bona_fide) in enumerate(recordings[:MOST]):
        if number % 50 == 0:
            step(f"reading recordings ({number} of {min(len(recordings), MOST)})")
        try:
            audio = beginning(path)
        except InputError:
            continue
        if len(audio) >= max(least, SAMPLE_RATE):
            yield Clip(audio, bona_fide)


def beginning(path: Path) -> np.ndarray:
    """The first seconds of a recording, (samples,).

    Raises:
        InputError: it cannot be read.
    """
    parts, most = [], round(CLIP_S * SAMPLE_RATE)
    with open_file(path) as file, open_recording(file, str(path)) as recording:
        for block in recording.blocks():
            parts.append(block)
            if sum(map(len, parts)) >= most:
                break
    return np.concatenate([np.zeros(0, np.float32), *parts])[:most]


def listen(detector: Detector, run: Runner, clips: Sequence[Clip]) -> Said:
    """Score clips one at a time; then take the time of a few on one core, once all is made that is kept."""
    engine, rates = replace(detector, run=run), []
    with ThreadPoolExecutor(available_processors()) as pool:
        scores = list(pool.map(lambda clip: score_clips(engine, [clip.audio])[0], clips))
    for clip in clips[:TIMED]:
        began = time.process_time()
        score_clips(engine, [clip.audio])
        rates.append(len(clip.audio) / SAMPLE_RATE / max(time.process_time() - began, 1e-9))
    llr = np.array([calibrated(detector, one.score) for one in scores])
    return Said(llr, np.array([one.embedding for one in scores]), float(np.median(rates)))


def judge(
    detector: Detector, engine: str, precision: str, found: Said, base: Said, labels: np.ndarray
) -> Trial:
    """How far an engine is from the reference."""
    called = zip(verdicts(detector, found), verdicts(detector, base), strict=True)
    norms = np.linalg.norm(found.embeddings, axis=1) * np.linalg.norm(base.embeddings, axis=1)
    cosines = (found.embeddings * base.embeddings).sum(axis=1) / np.maximum(norms, 1e-12)
    real, fake = labels == 1, labels == 0
    moved = None
    if real.any() and fake.any():
        moved = eer(found.llr[real], found.llr[fake]) - eer(base.llr[real], base.llr[fake])
    return Trial(
        engine,
        precision,
        round(found.times_real_time, 1),
        float(np.abs(found.llr - base.llr).max()),
        float(cosines.min()),
        sum({now, before} == {"fake", "genuine"} for now, before in called),
        moved,
    )


def verdicts(detector: Detector, said: Said) -> list[str]:
    """What each LLR would be called."""
    return [
        decide(float(llr), [Window(0.0, CLIP_S, float(llr), float(llr))], PRIOR, detector.thresholds)[0]
        for llr in said.llr
    ]


def recordings_of(named: Sequence[Path], protocols: Sequence[Path]) -> list[tuple[Path, bool | None]]:
    """Recordings to try engines on, in an order that mixes their folders.

    Raises:
        InputError: nothing was named; a protocol or a folder cannot be read.
    """
    from earwitness.audio.protocol import read_protocols
    from earwitness.operations.inputs import find_files

    found: list[tuple[Path, bool | None]] = []
    if named:
        found += [(path, None) for path in find_files(list(named)).paths]
    if protocols:
        found += [(Path(item.path), item.bona_fide) for item in read_protocols(protocols)]
    if not found:
        raise InputError("usage", "name recordings of real speech, or --protocol with their labels")
    random.Random(0).shuffle(found)
    return found


def run_tune(model: str | None, named: Sequence[Path], protocols: Sequence[Path], as_json: bool) -> None:
    """Tune, and print what was found.

    Raises:
        InputError, ModelError: as `tune` and `recordings_of`.
    """
    from rich.console import Console
    from rich.table import Table

    folder = bundle_of(model)
    console = Console(stderr=True)
    with console.status("reading recordings") as status:
        trials = tune(folder, recordings_of(named, protocols), lambda text: status.update(text))
    best = fastest(trials)
    if as_json:
        rows = [vars(one) | {"passed": one.passed, "why": one.why} for one in trials]
        auto = f"{best.engine} {best.precision}" if best else None
        sys.stdout.write(json.dumps({"engines": rows, "auto": auto}) + "\n")
        return
    table = Table(
        "engine", "precision", "x real time a core", "LLR moved", "EER moved", "flips", "embedding", ""
    )
    for one in trials:
        moved = "-" if one.eer_moved is None else f"{100 * one.eer_moved:+.2f}"
        figures = [
            f"{one.times_real_time:.1f}",
            f"{one.llr_moved:.4f}",
            moved,
            str(one.flips),
            f"{one.cosine:.4f}",
        ]
        said = "auto takes this" if one == best else one.why or "passed"
        table.add_row(one.engine, one.precision, *(["-"] * 5 if one.refused else figures), said)
    Console(width=None if sys.stdout.isatty() else 160, highlight=False).print(table)
