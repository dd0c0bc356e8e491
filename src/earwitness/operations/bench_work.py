"""How much work a graph is, and how much of it a core can do: sums of products, and a large one, timed.

The share of the peak that an engine reaches is its work a second over that of one large product of matrices
in the same arithmetic.
"""

import json
import math
import tempfile
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from earwitness.decision.openvino_engine import the_core

SIDE = 2_048  # of the product's matrices
HINTS = {"fp32": "f32", "bf16": "bf16", "int8": "f32"}  # of what is around the product

Shape = Sequence[int]


def gflop_per_s(graph: str, seconds: float) -> float:
    """Work of a graph a second of audio, in 10^9 multiplications and additions.

    The shapes are those of the nodes as ONNX Runtime ran them, unchanged, on one clip of `seconds`.
    Products, convolutions and recurrent layers count; what is done element by element does not, and a
    Fourier transform does not where it is no product.

    Raises:
        ModelError: ONNX Runtime cannot run it.
    """
    import onnxruntime as ort

    from earwitness.errors import ModelError

    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL  # nodes stay as written
    options.add_session_config_entry("session.disable_prepacking", "1")  # or the profile leaves weights out
    options.enable_profiling = True
    samples = round(seconds * 16_000)
    waveform = 0.1 * np.random.default_rng(0).standard_normal((1, samples), np.float32)
    with tempfile.TemporaryDirectory() as folder:
        options.profile_file_prefix = str(Path(folder) / "run")
        try:
            session = ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
            session.run(None, {"waveform": waveform, "lengths": np.array([samples], np.int64)})
            events = json.loads(Path(session.end_profiling()).read_text())
        except Exception as error:  # the runtime raises a dozen kinds
            raise ModelError(f"ONNX Runtime cannot run the graph: {str(error)[:200]}") from error
    return 2e-9 * sum(map(multiplications, events)) / seconds


def multiplications(event: dict[str, Any]) -> float:
    """Multiplications of one node, from a line of ONNX Runtime's profile."""
    about = event.get("args", {})
    kind = about.get("op_name")
    if kind not in ("MatMul", "Gemm", "Conv", "ConvTranspose", "Einsum", "LSTM", "GRU"):
        return 0.0
    takes, gives = (
        [next(iter(tensor.values())) for tensor in about.get(f"{side}_type_shape", [])]
        for side in ("input", "output")
    )
    if len(takes) < 2 or not takes[0] or not gives or not gives[0]:
        return 0.0  # a sum over one tensor, or a single number
    first, second, out = takes[0], takes[1], math.prod(gives[0])
    if kind == "Conv":  # weights: (out, in of a group, *kernel)
        return out * math.prod(second[1:])
    if kind == "ConvTranspose":  # weights: (in, out of a group, *kernel)
        return math.prod(first) * math.prod(second[1:])
    if kind in ("LSTM", "GRU"):  # weights: (directions, gates x hidden, in) and (.., .., hidden)
        return first[0] * first[1] * (math.prod(second) + math.prod(takes[2]))
    if kind == "Gemm":  # (m, k) or its transpose
        return out * math.prod(first) / gives[0][0]
    if kind == "Einsum":
        return contracted(first, second, gives[0])
    return out * first[-1]


def contracted(first: Shape, second: Shape, out: Shape) -> float:
    """Multiplications of a sum over products of two tensors, by their sizes alone.

    Each index that is kept stands in the result and in one factor or both, each that is summed in both:
    the product of all three numbers of elements holds every index twice, those of a batch thrice.
    """
    batch = math.prod(size for size in first[:1] if size in second[:1] and size in out[:1])
    return math.sqrt(math.prod(first) * math.prod(second) * math.prod(out) / max(batch, 1))


def products(precision: str, numpy_only: bool = False) -> list[Callable[[], Any]]:
    """Large products of matrices that run on one thread, of which the fastest says what a core can do.

    By OpenVINO where it is installed, and in float32 by NumPy; none where nothing here has the arithmetic.
    """
    rng = np.random.default_rng(0)
    left, right = (rng.uniform(-1, 1, (SIDE, SIDE)).astype(np.float32) for _ in range(2))
    found: list[Callable[[], Any]] = []
    if precision == "fp32":
        room = np.empty((SIDE, SIDE), np.float32)
        found.append(lambda: np.matmul(left, right, out=room))
    if find_spec("openvino") and not numpy_only:
        found.append(by_openvino(left, right, precision))
    return found


def by_openvino(left: np.ndarray, right: np.ndarray, precision: str) -> Callable[[], Any]:
    """One product, ready to run; the second factor is fixed, as weights are."""
    import openvino
    import openvino.opset13 as ops

    def in_8_bits(node: Any, levels: int) -> Any:
        low, high = np.array([[-1]], np.float32), np.array([[1]], np.float32)
        return ops.fake_quantize(node, low, high, low, high, levels)

    signal = ops.parameter(list(left.shape), np.float32)
    factors = [signal, ops.constant(right)]
    if precision == "int8":
        factors = [in_8_bits(factors[0], 256), in_8_bits(factors[1], 255)]
    make: Any = openvino.Model
    model = make([ops.matmul(*factors, False, False)], [signal])
    config = {"INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1, "INFERENCE_PRECISION_HINT": HINTS[precision]}
    request = the_core().compile_model(model, "CPU", config).create_infer_request()
    return lambda: request.infer([left], share_inputs=True)


def product_gflop() -> float:
    """Work of one of `products`."""
    return 2e-9 * SIDE**3
