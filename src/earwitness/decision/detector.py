"""A detector is a bundle, loaded: a card, and an engine that runs its graph or its network.

The card (`model.json`) says what the model is, what it was trained on, how well it does, how its
scores are calibrated and where its thresholds lie; the digests in it pin the other files.
"""

import os
from dataclasses import dataclass
from typing import Any, Literal

from earwitness.audio.frames import FrameGrid, Windowing
from earwitness.decision.bundle import GRAPH, GRAPH_DATA, WEIGHTS, check_file, find_bundle, read_card
from earwitness.decision.calibration import Calibration
from earwitness.decision.engines import Runner, cuda_available, open_graph, open_torch, outside
from earwitness.decision.localisation import Localisation, SpanRule
from earwitness.errors import ModelError
from earwitness.types import ModelId, Thresholds

Engine = Literal["auto", "onnx", "torch"]
MAX_WINDOW_S = 120.0  # more would not fit into memory with the larger models
MAX_SPAN_S = 10.0  # that a card may ask of a span
TAUGHT_ONLY = {"logmel-cnn"}  # heads with a layer for frames that only frames teach
BATCH_S = {"onnx": 15.0, "torch": 48.0, "gpu": 960.0}  # audio in one batch, padding included


@dataclass(frozen=True)
class Detector:
    """A loaded bundle, ready to score."""

    id: ModelId
    run: Runner
    engine: str  # onnx, torch or gpu
    calibration: Calibration | None  # clip scores; None: scores are raw
    thresholds: Thresholds
    windowing: Windowing
    min_samples: int
    padding: bool  # whether clips of different lengths may share a batch
    localisation: Localisation | None  # None: the model cannot say which moments
    card: dict[str, Any]

    @property
    def batch_s(self) -> float:
        """Seconds of audio that one batch may hold."""
        return BATCH_S[self.engine]


def load_detector(
    bundle: str | os.PathLike | None = None, threads: int = 1, engine: Engine = "auto"
) -> Detector:
    """Open a bundle by folder or name; the model inside the package where none is named.

    `engine` auto takes torch where it has a GPU for the bundle's weights, else the graph if
    there is one. `threads` is for one clip; scoring many files spreads them over threads by itself.

    Raises:
        ModelError: a file is missing, altered or not what the card says.
        MissingExtra: the bundle needs torch, which is not installed.
    """
    folder = find_bundle(bundle)
    card = read_card(folder)
    if card.get("unfinished"):
        raise ModelError(f"{card['name']} is no detector yet: {card['unfinished']}")
    chosen = choose_engine(card, engine)
    if chosen == "onnx":
        graph = check_file(folder, card, GRAPH)
        if GRAPH_DATA in card["files"]:
            check_file(folder, card, GRAPH_DATA)
        if outside(graph) - set(card["files"]):
            raise ModelError(f"{graph}: reads {sorted(outside(graph))}, which the card does not pin")
        run = open_graph(graph, threads)
    else:
        run = open_torch(check_file(folder, card, WEIGHTS), card, threads)
    return Detector(
        id=ModelId(card["name"], card["version"], model_digest(card), str(card.get("embedding_of", ""))),
        run=run,
        engine=chosen,
        card=card,
        **read_settings(card, folder),
    )


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
            "padding": bool(card["input"].get("padding", True)),
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


def choose_engine(card: dict[str, Any], engine: Engine) -> Literal["onnx", "torch", "gpu"]:
    """Which engine runs this bundle here.

    Raises:
        ModelError: the bundle has not what the engine needs.
    """
    has_graph, has_weights = GRAPH in card["files"], WEIGHTS in card["files"]
    architecture = card.get("architecture")
    headless = isinstance(architecture, dict) and architecture.get("head") is None
    if has_weights and not has_graph and headless:
        raise ModelError(
            f"{card['name']} is a front end without a head: it scores nothing until one is trained"
        )
    if engine == "onnx" and not has_graph:
        raise ModelError(
            f"{card['name']} has no graph; make one with `earwitness models export {card['name']}`"
        )
    if engine == "torch" and not has_weights:
        raise ModelError(f"{card['name']} has a graph only; torch needs {WEIGHTS}")
    if not (has_graph or has_weights):
        raise ModelError(f"{card['name']}: the card names neither {GRAPH} nor {WEIGHTS}")
    if engine != "onnx" and has_weights and cuda_available():
        return "gpu"
    return "torch" if engine == "torch" or not has_graph else "onnx"


def model_digest(card: dict[str, Any]) -> str:
    """The digest that names a model: its weights', whichever engine runs them; else its graph's."""
    return str(card["files"].get(WEIGHTS) or card["files"].get(GRAPH))
