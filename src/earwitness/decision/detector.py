"""A detector is a bundle: a folder with `model.json`, the card, and `model.onnx`, the graph.

The card says what the model is, what it was trained on, how well it does, how its scores are
calibrated and where its thresholds lie; the digest in it pins the graph.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from earwitness.audio.frames import Windowing
from earwitness.decision.calibration import Calibration
from earwitness.decision.engines import open_graph
from earwitness.errors import ModelError
from earwitness.types import ModelId, Thresholds

EMBEDDED = Path(__file__).parents[1] / "models" / "embedded"


@dataclass(frozen=True)
class Detector:
    """A loaded bundle, ready to score."""

    id: ModelId
    session: Any
    calibration: Calibration | None  # clip scores; None: scores are raw
    frame_calibration: Calibration | None  # means of frame scores over `timeline_s`
    thresholds: Thresholds
    windowing: Windowing
    min_samples: int
    frame_hop_s: float
    timeline_s: float
    card: dict[str, Any]


def load_detector(bundle: str | Path | None = None, threads: int = 1) -> Detector:
    """Open a bundle folder; the model inside the package where none is named.

    `threads` is for one clip; scoring many files spreads them over threads by itself.

    Raises:
        ModelError: a file is missing, altered or not what the card says.
    """
    folder = Path(bundle) if bundle is not None else EMBEDDED
    card = read_card(folder)
    graph = folder / "model.onnx"
    if not graph.is_file():
        raise ModelError(f"{graph}: no such file; a bundle holds model.json and model.onnx")
    found = hashlib.sha256(graph.read_bytes()).hexdigest()
    expected = card["files"]["model.onnx"]
    if found != expected:
        raise ModelError(
            f"{graph}: digest {found[:12]} where the card says {expected[:12]}; "
            "the file was altered or belongs to another card: fetch the bundle again"
        )
    calibration = card["calibration"]
    return Detector(
        id=ModelId(card["name"], card["version"], found),
        session=open_graph(graph, threads),
        calibration=Calibration(**calibration["clip"]) if calibration else None,
        frame_calibration=Calibration(**calibration["timeline"]) if calibration else None,
        thresholds=Thresholds(**card["thresholds"]),
        windowing=Windowing(**card["windowing"]),
        min_samples=int(card["input"]["min_samples"]),
        frame_hop_s=float(card["output"]["frame_hop_s"]),
        timeline_s=float(card["output"]["timeline_s"]),
        card=card,
    )


def read_card(folder: Path) -> dict[str, Any]:
    """The card of a bundle.

    Raises:
        ModelError: it is missing, not JSON, or lacks a field.
    """
    path = folder / "model.json"
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelError(f"{path}: no such file; --model takes the folder of a bundle") from None
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}: not a readable card: {error}") from error
    needed = {"name", "version", "files", "calibration", "thresholds", "windowing", "input", "output"}
    missing = sorted(needed - set(card)) if isinstance(card, dict) else sorted(needed)
    if missing:
        raise ModelError(f"{path}: the card lacks {', '.join(missing)}")
    return card
