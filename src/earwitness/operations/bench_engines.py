"""How fast each engine scores on one core, how near to what the core can do, and how far its scores move.

Each runs in a process of its own, on one thread, beside large products of matrices timed in turn with it.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from earwitness.audio.io import SAMPLE_RATE
from earwitness.decision.bundle import GRAPH, WEIGHTS, check_file, read_card
from earwitness.decision.detector import model_digest, pinned_graph
from earwitness.decision.engines import Runner, open_graph, open_torch
from earwitness.decision.fidelity import INT8, engines_home, read_trials
from earwitness.errors import EarwitnessError, InputError
from earwitness.operations.bench_apart import apart, cpu_times, peak_mib
from earwitness.operations.bench_audio import speech_of
from earwitness.operations.bench_setup import Setup, Step
from earwitness.operations.bench_work import product_gflop, products

CLIP_S = 4.0
MADE, NAMED, TUNED = "a made voice: speed only", "the recordings of --audio", "`models tune`"
MIN_SAMPLES = 400  # of front ends with random weights


@dataclass(frozen=True)
class Subject:
    """What engines are tried on."""

    name: str
    graph: Path | None
    weights: Path | None
    card: Path | None  # a file; None: none is needed
    scale: float = 1.0  # from its scores to LLRs
    digest: str = ""  # '': it has no trials


def measure(setup: Setup, found: dict[str, Any], step: Step) -> None:
    """Fill `engines`, a row for each model, engine and precision; one that cannot run says why."""
    rows: list[dict[str, Any]] = []
    found["engines"] = rows
    clips, teachers = setup.work / "clips.npy", setup.work / "teachers.npy"
    size, count = round(CLIP_S * SAMPLE_RATE), 4 if setup.quick else 16
    cut = speech_of(setup.audio, 2 * count * CLIP_S).reshape(2, count, size)
    np.save(clips, cut[0])
    np.save(teachers, cut[1])  # of 8 bits, which are not judged by what taught them
    for name in ("", *setup.front_ends):
        step(f"engines: {name or setup.name}, making ready")
        try:
            subject = with_random_weights(name, setup.work) if name else bundle(setup)
            work = work_of(subject)
        except EarwitnessError as error:
            rows.append(
                {"model": name or setup.name, "engine": "-", "precision": "-", "why": setup.plain(error)}
            )
            continue
        for row in engines_of(setup, subject, (clips, teachers), step):
            if row.get("gemm_gflop_s") and work and "why" not in row:
                done = work * row["times_real_time_a_core"]
                row |= {"gflop_per_s": work, "share_of_peak": done / row["gemm_gflop_s"]}
            rows.append(row)


def bundle(setup: Setup) -> Subject:
    """The model's own files.

    Raises:
        ModelError: the bundle cannot be used.
    """
    card = read_card(setup.folder)
    files = card["files"]
    about = setup.work / "card.json"
    about.write_text(json.dumps(card))
    return Subject(
        setup.name,
        pinned_graph(setup.folder, card) if GRAPH in files else None,
        check_file(setup.folder, card, WEIGHTS) if WEIGHTS in files else None,
        about,
        card["calibration"]["clip"]["scale"] if card["calibration"] else 1.0,
        model_digest(card),
    )


def with_random_weights(name: str, work: Path) -> Subject:
    """A front end and the linear head, with random weights.

    Raises:
        InputError: `usage`: there is no such front end.
        Unmeasured: a package is missing, or the memory too small.
    """
    from earwitness.features.frontends import FRONT_ENDS

    if name not in FRONT_ENDS:
        raise InputError("usage", f"--front-end {name!r}: one of {', '.join(FRONT_ENDS)}")
    folder = work / name
    folder.mkdir(exist_ok=True)
    apart("bench_engines:write_random", alone=False, name=name, folder=str(folder))
    return Subject(name, folder / GRAPH, folder / WEIGHTS, folder / "card.json")


def write_random(name: str, folder: str) -> None:
    """Write a front end with random weights as a graph and as weights.

    Raises:
        MissingExtra: torch or another package of the extra is not installed.
    """
    from earwitness.errors import needs_extra

    with needs_extra("train"):
        import torch
        from safetensors.torch import save_file

        from earwitness.decision.graph import write_graph
        from earwitness.decision.network import Blueprint, Network, fold_weight_norms
        from earwitness.features.frontends import FRONT_ENDS

        torch.manual_seed(0)
        blueprint = Blueprint("linear", FRONT_ENDS[name].architecture)
        network = Network(blueprint).eval()
        save_file(network.state_dict(), Path(folder) / WEIGHTS)
        fold_weight_norms(network)
        write_graph(network, Path(folder) / GRAPH, MIN_SAMPLES)
    (Path(folder) / "card.json").write_text(json.dumps({"architecture": blueprint.as_card()}))


def work_of(subject: Subject) -> float | None:
    """10^9 operations a second of audio; None where there is no graph to count them in.

    Raises:
        Unmeasured: the graph does not run.
    """
    if subject.graph is None:
        return None
    return apart("bench_work:gflop_per_s", graph=str(subject.graph), seconds=CLIP_S)


def kinds(subject: Subject) -> Iterator[tuple[str, str, str]]:
    """Engine, precision and, where it cannot be tried here, why not; float32 by ONNX Runtime comes first."""
    graph = "" if subject.graph else "the model has no graph"
    vino = graph or ("" if find_spec("openvino") else "OpenVINO is not installed: 'earwitness[openvino]'")
    eight = vino or ("" if find_spec("nncf") else "nncf is not installed: 'earwitness[openvino]'")
    torch = "" if find_spec("torch") and find_spec("transformers") else "torch is not installed"
    yield "onnx", "fp32", graph
    yield from (("openvino", kind, vino) for kind in ("fp32", "bf16"))
    yield "openvino", "int8", eight
    if subject.weights:
        yield from (("torch", kind, torch) for kind in ("fp32", "bf16"))


def engines_of(
    setup: Setup, subject: Subject, files: tuple[Path, Path], step: Step
) -> Iterator[dict[str, Any]]:
    """Rows of one model; `files` hold the clips to score and those that teach 8 bits."""
    clips, teachers = files
    reference: list[float] | None = None
    for engine, precision, why in kinds(subject):
        row: dict[str, Any] = {"model": subject.name, "engine": engine, "precision": precision}
        if why:
            yield row | {"why": why}
            continue
        step(f"engines: {subject.name}, {engine} {precision}")
        taught = None
        try:
            graph = subject.graph
            if precision == "int8":
                graph, taught = quantised(setup, subject, teachers)
            answer = apart(
                "bench_engines:timed",
                engine=engine,
                precision=precision,
                graph=str(graph),
                weights=str(subject.weights),
                card=str(subject.card),
                clips=str(clips),
                seconds=2.0 if setup.quick else 15.0,
            )
        except EarwitnessError as error:
            yield row | {"why": setup.plain(error)}
            continue
        scores = answer.pop("scores")
        if (engine, precision) == ("onnx", "fp32"):
            reference = scores
        elif reference and taught != MADE:
            gaps = np.abs(np.subtract(scores, reference))
            answer["llr_moved"] = float(gaps.max()) * abs(subject.scale)
        yield row | answer | ({"taught_by": taught} if taught else {})


def quantised(setup: Setup, subject: Subject, teachers: Path) -> tuple[Path, str]:
    """A graph in 8 bits, and what taught it.

    Raises:
        Unmeasured: it cannot be quantised.
    """
    tuned = [one for one in read_trials(subject.digest) if one.precision == "int8" and not one.refused]
    made = engines_home(subject.digest) / INT8
    if tuned and made.exists() and setup.audio is None:
        return made, TUNED
    out = setup.work / f"{subject.name}-{INT8}"
    apart("bench_engines:quantise", alone=False, graph=str(subject.graph), clips=str(teachers), out=str(out))
    return out, NAMED if setup.audio else MADE


def quantise(graph: str, clips: str, out: str) -> None:
    """As `openvino_engine.quantise`, from a file of clips."""
    from earwitness.decision import openvino_engine

    openvino_engine.quantise(Path(graph), list(np.load(clips)), Path(out))


def opened(engine: str, precision: str, graph: str, weights: str, card: str) -> Runner:
    """An engine on one thread.

    Raises:
        ModelError, MissingExtra: it cannot run.
    """
    if engine == "onnx":
        return open_graph(Path(graph), 1)
    if engine == "openvino":
        from earwitness.decision.openvino_engine import open_openvino

        return open_openvino(Path(graph), precision, 1, 1)
    return open_torch(Path(weights), json.loads(Path(card).read_text()), 1, narrow=precision == "bf16")


def timed(
    engine: str,
    precision: str,
    graph: str,
    weights: str,
    card: str,
    clips: str,
    seconds: float,
    numpy_only: bool = False,
) -> dict[str, Any]:
    """Score clips one at a time, in turn with large products; `numpy_only`: by NumPy, whatever is installed.

    Returns:
        `scores`, `times_real_time_a_core` (the median's), `best_times_real_time_a_core`, `memory_mib` and
        `gemm_gflop_s` (None where nothing here has the arithmetic).
    """
    run, loaded = opened(engine, precision, graph, weights, card), np.load(clips)
    scores = [float(run([clip]).score[0]) for clip in loaded]
    memory = peak_mib()  # the product comes after
    turn = iter(range(10**9))
    multiply = products(precision, numpy_only)
    for call in multiply:
        call()
    score, *large = cpu_times([lambda: run([loaded[next(turn) % len(loaded)]]), *multiply], seconds)
    audio_s = loaded.shape[1] / SAMPLE_RATE
    return {
        "scores": scores,
        "times_real_time_a_core": audio_s / median(score),
        "best_times_real_time_a_core": audio_s / min(score),
        "memory_mib": memory,
        "gemm_gflop_s": product_gflop() / min(map(median, large)) if large else None,
    }
