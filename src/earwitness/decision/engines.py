"""Run a bundle's graph. ONNX Runtime on the CPU is the one engine so far.

A graph takes `waveform` (batch, samples) float32 and `lengths` (batch,) int64 and gives `score`
(batch,), `frame_scores` (batch, frames) and `embedding` (batch, size).
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from earwitness.errors import ModelError

INPUTS = {"waveform", "lengths"}
OUTPUTS = ["score", "frame_scores", "embedding"]


class Outputs(NamedTuple):
    """What a graph says of a batch."""

    score: np.ndarray  # (batch,)
    frame_scores: np.ndarray  # (batch, frames)
    embedding: np.ndarray  # (batch, size)


def open_graph(path: Path, threads: int = 1) -> Any:
    """An ONNX Runtime session; `run_graph` may be called on it from several threads.

    Raises:
        ModelError: the file is no graph that this runtime can run, or has other inputs/outputs.
    """
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Idle threads that spin steal time from the threads that decode.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the runtime raises a dozen kinds
        raise ModelError(f"{path}: ONNX Runtime cannot run it: {str(error)[:200]}") from error
    inputs = {node.name for node in session.get_inputs()}
    outputs = {node.name for node in session.get_outputs()}
    if inputs != INPUTS or not outputs >= set(OUTPUTS):
        raise ModelError(
            f"{path}: expected inputs {sorted(INPUTS)} and outputs {OUTPUTS}, "
            f"found {sorted(inputs)} and {sorted(outputs)}"
        )
    return session


def run_graph(session: Any, clips: list[np.ndarray]) -> Outputs:
    """Score clips of (samples,) each in one padded batch."""
    lengths = np.array([len(clip) for clip in clips], np.int64)
    waveform = np.zeros((len(clips), int(lengths.max())), np.float32)
    for row, clip in zip(waveform, clips, strict=True):
        row[: len(clip)] = clip
    return Outputs(*session.run(OUTPUTS, {"waveform": waveform, "lengths": lengths}))
