"""A detector is a bundle, loaded: a card, and an engine that runs its graph or its network.

The card (`model.json`) says what the model is, what it was trained on, how well it does, how its
scores are calibrated and where its thresholds lie; the digests in it pin the other files.
"""

import os
from dataclasses import dataclass
from typing import Any, Literal

from earwitness.audio.frames import Windowing
from earwitness.decision.bundle import GRAPH, GRAPH_DATA, WEIGHTS, check_file, find_bundle, read_card
from earwitness.decision.calibration import Calibration
from earwitness.decision.engines import Runner, cuda_available, open_graph, open_torch, outside
from earwitness.errors import ModelError
from earwitness.types import ModelId, Thresholds

Engine = Literal["auto", "onnx", "torch"]
MAX_WINDOW_S = 120.0  # more would not fit into memory with the larger models
BATCH_S = {"onnx": 48.0, "torch": 48.0, "gpu": 960.0}  # audio in one batch, padding included


@dataclass(frozen=True)
class Detector:
    """A loaded bundle, ready to score."""

    id: ModelId
    run: Runner
    engine: str  # onnx, torch or gpu
    calibration: Calibration | None  # clip scores; None: scores are raw
    frame_calibration: Calibration | None  # means of frame scores over `timeline_s`
    thresholds: Thresholds
    windowing: Windowing
    min_samples: int
    padding: bool  # whether clips of different lengths may share a batch
    frame_hop_s: float | None  # None: the model cannot say which frames
    frame_length_s: float
    timeline_s: float
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
        id=ModelId(card["name"], card["version"], model_digest(card)),
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
    calibration, output = card["calibration"], card["output"]
    try:
        hop_s = output["frame_hop_s"]
        settings = {
            "calibration": Calibration(**calibration["clip"]) if calibration else None,
            "frame_calibration": Calibration(**calibration["timeline"]) if calibration else None,
            "thresholds": Thresholds(**card["thresholds"]),
            "windowing": Windowing(**card["windowing"]),
            "min_samples": int(card["input"]["min_samples"]),
            "padding": bool(card["input"].get("padding", True)),
            "frame_hop_s": None if hop_s is None else float(hop_s),
            "frame_length_s": float(output.get("frame_length_s") or hop_s or 0.0),
            "timeline_s": float(output["timeline_s"]),
        }
        windows, numbers = settings["windowing"], [*vars(settings["thresholds"]).values()]
        numbers += [
            n for c in (settings["calibration"], settings["frame_calibration"]) if c for n in vars(c).values()
        ]
        bounds = (
            ("windowing.whole_s", windows.whole_s, 0.1, MAX_WINDOW_S),
            ("windowing.hop_s", windows.hop_s, 0.1, MAX_WINDOW_S),
            ("input.min_samples", settings["min_samples"], 1, MAX_WINDOW_S * 16_000),
            ("output.frame_hop_s", hop_s or 0.02, 0.001, MAX_WINDOW_S),
            ("output.frame_length_s", settings["frame_length_s"], 0.0, MAX_WINDOW_S),
            ("output.timeline_s", settings["timeline_s"], 0.02, MAX_WINDOW_S),
            *(("calibration or thresholds", number, -1e6, 1e6) for number in numbers),
        )
        for name, value, low, high in bounds:
            if not low <= value <= high:
                raise ValueError(f"{name} is {value}, not within {low:g} to {high:g}")
        return settings
    except (TypeError, KeyError, ValueError, AttributeError, OverflowError) as error:
        raise ModelError(f"{folder}: the card has a field that cannot be used: {error}") from None


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
