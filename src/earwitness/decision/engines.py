"""Run a bundle: its graph in ONNX Runtime, or its network in torch, on a CPU or a GPU.

Each takes clips and gives `Outputs`. A graph takes `waveform` (batch, samples) float32 and
`lengths` (batch,) int64 and gives `score` (batch,), `embedding` (batch, size) and, where the head
can say which frames, `frame_scores` (batch, frames).
"""

from collections.abc import Callable, Sequence, Set
from pathlib import Path
from threading import Lock
from typing import Any, Literal, NamedTuple

import numpy as np

from earwitness.errors import MissingExtra, ModelError

INPUTS = {"waveform", "lengths"}
OUTPUTS = {"score", "embedding"}
FRAME_SCORES = "frame_scores"
Engine = Literal["auto", "onnx", "openvino", "torch"]
Precision = Literal["auto", "fp32", "bf16", "int8"]


class Outputs(NamedTuple):
    """What a model says of a batch."""

    score: np.ndarray  # (batch,)
    frame_scores: np.ndarray | None  # (batch, frames)
    embedding: np.ndarray  # (batch, size)


Runner = Callable[[Sequence[np.ndarray]], Outputs]


def pad(clips: Sequence[np.ndarray], step: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Clips of (samples,) each -> (batch, samples), zero-padded at the end, and lengths (batch,).

    The number of samples is a multiple of `step`.
    """
    lengths = np.array([len(clip) for clip in clips], np.int64)
    waveform = np.zeros((len(clips), -(-int(lengths.max()) // step) * step), np.float32)
    for row, clip in zip(waveform, clips, strict=True):
        row[: len(clip)] = clip
    return waveform, lengths


def open_graph(path: Path, threads: int = 1) -> Runner:
    """Run a graph in ONNX Runtime; may be called from several threads.

    Raises:
        ModelError: the file is no graph that this runtime can run, or has other inputs/outputs.
    """
    session, found = open_session(path, INPUTS, OUTPUTS, threads)
    wanted = ["score", "embedding", *([FRAME_SCORES] if FRAME_SCORES in found else [])]

    def run(clips: Sequence[np.ndarray]) -> Outputs:
        waveform, lengths = pad(clips)
        score, embedding, *frames = session.run(wanted, {"waveform": waveform, "lengths": lengths})
        return Outputs(score, frames[0] if frames else None, embedding)

    return run


def open_session(path: Path, takes: Set[str], gives: Set[str], threads: int) -> tuple[Any, set[str]]:
    """A graph in ONNX Runtime that takes just these inputs, and all its outputs, these among them.

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
    session: Any
    try:
        session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the runtime raises a dozen kinds
        raise ModelError(f"{path}: ONNX Runtime cannot run it: {str(error)[:200]}") from error
    outputs = {node.name for node in session.get_outputs()}
    check_ports(path, {node.name for node in session.get_inputs()}, outputs, takes, gives)
    return session, outputs


def check_ports(
    path: Path, inputs: Set[str], outputs: Set[str], takes: Set[str] = INPUTS, gives: Set[str] = OUTPUTS
) -> None:
    """Refuse a graph that takes something else, or gives too little.

    Raises:
        ModelError: naming what it has.
    """
    if inputs != takes or not outputs >= gives:
        raise ModelError(
            f"{path}: expected inputs {sorted(takes)} and outputs {sorted(gives)}, "
            f"found {sorted(inputs)} and {sorted(outputs)}"
        )


def outside(graph: Path) -> set[str]:
    """Names of the files beside a graph that it reads its weights from.

    In the format an entry of external data is the key `location` and a name, each behind its length.
    """
    mark, data, names = b"\x0a\x08location\x12", graph.read_bytes(), set()
    start = data.find(mark)
    while start >= 0:
        start += len(mark)
        size = data[start] if start < len(data) else 0
        names.add(data[start + 1 : start + 1 + size].decode("utf-8", "replace"))
        start = data.find(mark, start)
    return names


def cuda_available() -> bool:
    """Whether torch is installed and sees a GPU."""
    try:
        import torch
    except ImportError:
        return False
    return torch.cuda.is_available()


def open_torch(weights: Path, card: dict[str, Any], threads: int = 0, narrow: bool = False) -> Runner:
    """Run a bundle's network in torch, on a GPU where there is one; `narrow` in bfloat16.

    One batch runs at a time; `threads` sets those of torch for the whole process (0: left alone).

    Raises:
        MissingExtra: torch or transformers is not installed.
        ModelError: the card or the weights do not fit.
    """
    try:
        import torch
    except ImportError as error:
        raise MissingExtra("torch", "train") from error
    from earwitness.decision.network import fold_weight_norms, load_network, read_blueprint

    network = load_network(read_blueprint(card, weights.parent), weights)
    fold_weight_norms(network)
    on_gpu = torch.cuda.is_available()
    if on_gpu:
        network = network.to("cuda")
    elif threads:
        torch.set_num_threads(threads)
    lock = Lock()

    def run(clips: Sequence[np.ndarray]) -> Outputs:
        device = "cuda" if on_gpu else "cpu"
        waveform, lengths = (torch.from_numpy(array).to(device) for array in pad(clips))
        with lock, torch.inference_mode(), torch.autocast(device, torch.bfloat16, enabled=narrow):
            score, *frames, embedding = network(waveform, lengths)
        arrays = [tensor.float().cpu().numpy() for tensor in (score, *frames, embedding)]
        return Outputs(arrays[0], arrays[1] if frames else None, arrays[-1])

    return run
