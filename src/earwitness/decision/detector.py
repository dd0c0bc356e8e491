"""A detector is a bundle, loaded: a card, and an engine that runs its graph or its network.

The card (`model.json`) says what the model is, what it was trained on, how well it does, how its
scores are calibrated and where its thresholds lie; the digests in it pin the other files.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from earwitness.audio.frames import FrameGrid, Windowing
from earwitness.decision.bundle import GRAPH, GRAPH_DATA, WEIGHTS, check_file, find_bundle, read_card
from earwitness.decision.calibration import Calibration
from earwitness.decision.engines import (
    Engine,
    Precision,
    Runner,
    cuda_available,
    open_graph,
    open_torch,
    outside,
)
from earwitness.decision.fidelity import INT8, Trial, engines_home, fastest, read_trials
from earwitness.decision.localisation import Localisation, SpanRule
from earwitness.errors import ModelError
from earwitness.types import ModelId, Thresholds

MAX_WINDOW_S = 120.0  # more would not fit into memory with the larger models
MAX_SPAN_S = 10.0  # that a card may ask of a span
TAUGHT_ONLY = {"logmel-cnn"}  # heads with a layer for frames that only frames teach
BATCH_S = {
    "onnx": 15.0,
    "openvino": 15.0,
    "torch": 48.0,
    "gpu": 960.0,
}  # audio in one batch, padding included


@dataclass(frozen=True)
class Detector:
    """A loaded bundle, ready to score."""

    id: ModelId
    run: Runner
    engine: str  # onnx, openvino, torch or gpu
    precision: str  # fp32, bf16 or int8
    calibration: Calibration | None  # clip scores; None: scores are raw
    thresholds: Thresholds
    windowing: Windowing
    min_samples: int
    padding: bool  # whether clips of different lengths may share a batch
    localisation: Localisation | None  # None: the model cannot say which moments
    card: dict[str, Any]
    ahead: int = 1  # windows of one recording that are scored at a time

    @property
    def batch_s(self) -> float:
        """Seconds of audio that one batch may hold."""
        return BATCH_S[self.engine]


def load_detector(
    bundle: str | os.PathLike | None = None,
    threads: int = 1,
    engine: Engine = "auto",
    precision: Precision = "auto",
    clips_at_a_time: int = 1,
) -> Detector:
    """Open a bundle by folder or name; the model inside the package where none is named.

    `threads` is for one clip; scoring many files spreads them over threads by itself, and says how many
    clips it scores at a time. For `engine` and `precision` see `choose_engine`.

    Raises:
        ModelError: a file is missing, altered or not what the card says.
        MissingExtra: the bundle needs torch, which is not installed.
    """
    folder = find_bundle(bundle)
    card = read_card(folder)
    if card.get("unfinished"):
        raise ModelError(f"{card['name']} is no detector yet: {card['unfinished']}")
    chosen, kind = choose_engine(card, engine, precision)
    if chosen in ("torch", "gpu"):
        run = open_torch(check_file(folder, card, WEIGHTS), card, threads, narrow=kind == "bf16")
    else:
        graph = pinned_graph(folder, card)
        if chosen == "onnx":
            run = open_graph(graph, threads)
        else:
            run = open_tuned(graph, card, kind, threads, clips_at_a_time)
    return Detector(
        id=ModelId(card["name"], card["version"], model_digest(card), str(card.get("embedding_of", ""))),
        run=run,
        engine=chosen,
        precision=kind,
        card=card,
        **read_settings(card, folder),
    )


def pinned_graph(folder: Path, card: dict[str, Any]) -> Path:
    """A bundle's graph, which is as the card says, with all that it reads.

    Raises:
        ModelError: it is not.
    """
    graph = check_file(folder, card, GRAPH)
    if GRAPH_DATA in card["files"]:
        check_file(folder, card, GRAPH_DATA)
    if outside(graph) - set(card["files"]):
        raise ModelError(f"{graph}: reads {sorted(outside(graph))}, which the card does not pin")
    return graph


def open_tuned(graph: Path, card: dict[str, Any], kind: str, threads: int, clips_at_a_time: int) -> Runner:
    """A graph in OpenVINO, as `earwitness models tune` left it.

    Raises:
        MissingExtra: OpenVINO is not installed.
        ModelError: OpenVINO cannot run it.
    """
    from earwitness.decision.openvino_engine import open_openvino

    home = engines_home(model_digest(card))
    cache = home / "compiled" if home.is_dir() else None
    made = home / INT8 if kind == "int8" else graph
    return open_openvino(made, kind, threads, clips_at_a_time, cache, masked=may_pad(card))


def read_settings(card: dict[str, Any], folder: os.PathLike) -> dict[str, Any]:
    """What a card says of a detector's use.

    Raises:
        ModelError: a field is not what it should be.
    """
    calibration = card["calibration"]
    try:
        thresholds, windows = Thresholds(**card["thresholds"]), Windowing(**card["windowing"])
        settings = {
            "calibration": Calibration(**calibration["clip"]) if calibration else None,
            "thresholds": thresholds,
            "windowing": windows,
            "min_samples": int(card["input"]["min_samples"]),
            "padding": may_pad(card),
            "localisation": read_localisation(card, thresholds.fake),
        }
        within("windowing.whole_s", windows.whole_s, 0.1, MAX_WINDOW_S)
        within("windowing.hop_s", windows.hop_s, 0.1, MAX_WINDOW_S)
        within("input.min_samples", settings["min_samples"], 1, MAX_WINDOW_S * 16_000)
        for part in (thresholds, settings["calibration"]):
            for number in vars(part).values() if part else ():
                within("calibration or thresholds", number, -1e6, 1e6)
        return settings
    except (TypeError, KeyError, ValueError, AttributeError, OverflowError) as error:
        raise ModelError(f"{folder}: the card has a field that cannot be used: {error}") from None


def may_pad(card: dict[str, Any]) -> bool:
    """Whether a card's network gives nothing on the padding of a clip."""
    return bool(card["input"].get("padding", True))


def read_localisation(card: dict[str, Any], fake: float) -> Localisation | None:
    """What a card says of frames; None where its network has no scores for them that mean anything.

    Where frames were taught, `localisation` holds the numbers of `SpanRule` and, perhaps, a
    `calibration` of smoothed frame scores in the place of the timeline's. For other networks a span is
    a second of steps or more at or above the threshold `fake`, over gaps of one step.

    Raises:
        ValueError, TypeError, KeyError: a field is not what it should be.
    """
    output, calibration, found = card["output"], card["calibration"], card.get("localisation")
    step_s, hop_s = float(output["timeline_s"]), output["frame_hop_s"]
    within("output.timeline_s", step_s, 0.02, MAX_WINDOW_S)
    steps = Calibration(**calibration["timeline"]) if calibration else None
    frames, rule = steps, SpanRule(0.0, fake, fake, 1.0, step_s)
    if found is not None:
        numbers = dict(found)
        own = numbers.pop("calibration", None)
        frames = Calibration(**own) if own else steps
        rule = SpanRule(**numbers)
        for name in ("threshold", "edge"):
            within(f"localisation.{name}", getattr(rule, name), 0.0, 1.0)
        for name in ("smooth_s", "min_s", "merge_s"):
            within(f"localisation.{name}", getattr(rule, name), 0.0, MAX_SPAN_S)
    for part in (steps, frames):
        for number in vars(part).values() if part else ():
            within("calibration", number, -1e6, 1e6)
    if hop_s is None or not knows_frames(card):
        return None
    length_s = output.get("frame_length_s") or hop_s
    middle_s = output.get("frame_middle_s")
    middle_s = length_s / 2 if middle_s is None else middle_s
    within("output.frame_hop_s", hop_s, 0.001, MAX_WINDOW_S)
    within("output.frame_length_s", length_s, 0.001, MAX_WINDOW_S)
    within("output.frame_middle_s", middle_s, 0.0, MAX_WINDOW_S)
    grid = FrameGrid.from_seconds(hop_s, length_s, middle_s)
    return Localisation(grid, step_s, steps, rule, found is not None, frames)


def knows_frames(card: dict[str, Any]) -> bool:
    """Whether frame scores come with those of clips, or the card says how to read those that were taught."""
    architecture = card.get("architecture")
    taught_only = isinstance(architecture, dict) and architecture.get("head") in TAUGHT_ONLY
    return card.get("localisation") is not None or not taught_only


def within(name: str, value: float, low: float, high: float) -> None:
    """Refuse what is out of bounds, or no number.

    Raises:
        ValueError: naming the field.
    """
    if not low <= value <= high:
        raise ValueError(f"{name} is {value}, not within {low:g} to {high:g}")


def choose_engine(card: dict[str, Any], engine: Engine, precision: Precision = "auto") -> tuple[str, str]:
    """Which engine runs this bundle here, and in which arithmetic.

    Where nothing is asked for: torch in bfloat16 where it has a GPU and weights; else the fastest that passed
    the model's fidelity gate on this machine (`fidelity.py`); else the graph in float32, or the weights. On a
    CPU, bfloat16 and 8 bits must have passed that gate.

    Raises:
        ModelError: the bundle has not what the engine needs; the arithmetic did not pass.
        MissingExtra: OpenVINO is asked for and not installed.
    """
    has_graph, has_weights = GRAPH in card["files"], WEIGHTS in card["files"]
    check_files(card, engine, has_graph, has_weights)
    if has_weights and engine in ("auto", "torch") and precision != "int8" and cuda_available():
        return "gpu", "fp32" if precision == "fp32" else "bf16"
    trials = read_trials(model_digest(card))
    fit = [
        one
        for one in trials
        if engine in ("auto", one.engine)
        and precision in ("auto", one.precision)
        and (has_graph or one.engine == "torch")
    ]
    best = fastest(fit)
    if best and (engine == "auto" or precision not in ("auto", "fp32")):
        return best.engine, best.precision
    if precision in ("bf16", "int8"):
        raise ModelError(not_passed(card["name"], precision, fit))
    if engine == "auto":
        engine = "onnx" if has_graph else "torch"
    return engine, best.precision if best else "fp32"


def not_passed(name: str, precision: str, trials: list[Trial]) -> str:
    """Why an arithmetic is refused, and what to do."""
    if not trials:
        return (
            f"{name} was not tried in {precision} on this machine; run `earwitness models tune {name}` first"
        )
    return f"{name} in {precision} did not pass on this machine: " + "; ".join(
        f"{one.engine}: {one.why}" for one in trials
    )


def check_files(card: dict[str, Any], engine: Engine, has_graph: bool, has_weights: bool) -> None:
    """Refuse an engine that a bundle has no file for.

    Raises:
        ModelError: naming the file.
    """
    architecture = card.get("architecture")
    headless = isinstance(architecture, dict) and architecture.get("head") is None
    if has_weights and not has_graph and headless:
        raise ModelError(
            f"{card['name']} is a front end without a head: it scores nothing until one is trained"
        )
    if engine in ("onnx", "openvino") and not has_graph:
        raise ModelError(
            f"{card['name']} has no graph; make one with `earwitness models export {card['name']}`"
        )
    if engine == "torch" and not has_weights:
        raise ModelError(f"{card['name']} has a graph only; torch needs {WEIGHTS}")
    if not (has_graph or has_weights):
        raise ModelError(f"{card['name']}: the card names neither {GRAPH} nor {WEIGHTS}")


def model_digest(card: dict[str, Any]) -> str:
    """The digest that names a model: its weights', whichever engine runs them; else its graph's."""
    return str(card["files"].get(WEIGHTS) or card["files"].get(GRAPH))
