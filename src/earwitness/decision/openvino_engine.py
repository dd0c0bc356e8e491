"""Run a bundle's graph in OpenVINO: on a CPU in float32, bfloat16, or with its large products in 8 bits.

8 bits are made by nncf's post-training quantisation from real speech. Only products with fixed weights
along time are quantised; spectra, attention and the head stay as they are.
"""

import contextlib
import logging
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from functools import cache as once
from pathlib import Path
from threading import local
from typing import Any

import numpy as np

from earwitness.decision.engines import FRAME_SCORES, Outputs, Runner, check_ports, pad
from earwitness.errors import ModelError, needs_extra

HINTS = {"fp32": "f32", "bf16": "bf16"}
REST = ["earwitness", "rest"]  # where a graph of `quantise` says in what its other nodes run
STEP = 8_000  # samples; OpenVINO prepares itself anew for every length that it has not seen
LARGE, CHANNELS = (
    100_000,
    64,
)  # weights and inputs; smaller products gain little, and spectra are made by such
PASSED_ON = ("Transpose", "Reshape", "Convert", "Multiply", "Concat")  # between weights and their product


def open_openvino(
    graph: Path, kind: str, threads: int, streams: int, cache: Path | None = None, masked: bool = False
) -> Runner:
    """Run a graph in OpenVINO; may be called from several threads.

    Args:
        graph: `.onnx`, or what `quantise` wrote.
        kind: the arithmetic; int8 needs a graph of `quantise`.
        threads: for one call.
        streams: calls at a time.
        cache: a folder for what is compiled, so that the next start is fast.
        masked: the graph gives nothing on padding, so that clips may be padded to a few lengths.

    Raises:
        MissingExtra: OpenVINO is not installed.
        ModelError: OpenVINO cannot run it.
    """
    with needs_extra("openvino"):
        import openvino
    config: dict[str, Any] = {
        "INFERENCE_NUM_THREADS": max(1, threads) * streams,
        "NUM_STREAMS": streams,
        "ENABLE_CPU_PINNING": False,  # or every process would take the same processor
    }
    if cache is not None:
        config["CACHE_DIR"] = str(cache)
    try:
        core = the_core()
        model = core.read_model(str(graph))
        hint = HINTS[kind] if kind in HINTS else model.get_rt_info(REST).astype(str)
        compiled = core.compile_model(model, "CPU", config | {"INFERENCE_PRECISION_HINT": hint})
    except Exception as error:  # the runtime raises a dozen kinds
        raise ModelError(
            f"{graph}: OpenVINO {openvino.__version__} cannot run it: {reason(error)}"
        ) from error
    names = {port.get_any_name() for port in compiled.outputs}
    check_ports(graph, {port.get_any_name() for port in compiled.inputs}, names)
    wanted = ["score", "embedding", *([FRAME_SCORES] if FRAME_SCORES in names else [])]
    ports = [compiled.output(name) for name in wanted]
    mine, step = local(), STEP if masked else 1  # a request runs one batch at a time

    def run(clips: Sequence[np.ndarray]) -> Outputs:
        if not hasattr(mine, "request"):
            mine.request = compiled.create_infer_request()
        waveform, lengths = pad(clips, step)
        found = mine.request.infer({"waveform": waveform, "lengths": lengths}, share_inputs=True)
        score, embedding, *frames = (np.array(found[port]) for port in ports)
        return Outputs(score, frames[0] if frames else None, embedding)

    return run


@once
def the_core() -> Any:
    """OpenVINO, taught the Fourier transform of graphs as torch exports them.

    One for the whole process, for ever: each core gives the thread a stack for its signal handlers, and of
    two the one that ends last leaves the stack that the other has freed. The next Ctrl-C would end it all.
    """
    import openvino
    import openvino.opset13 as ops
    from openvino.frontend.onnx import ConversionExtension

    def transform(node: Any) -> list[Any]:
        # (..., samples, 1) -> (..., bins, 2). OpenVINO's own reading takes the wrong axis from version 20 on.
        real = ops.squeeze(node.get_input(0), ops.constant(np.array([-1], np.int64)))
        size = ops.reshape(node.get_input(1), ops.constant(np.array([1], np.int64)), False)
        return [ops.rdft(real, ops.constant(np.array([-1], np.int64)), size).output(0)]

    core = openvino.Core()
    core.add_extension(ConversionExtension("DFT", "", transform))
    return core


def quantise(graph: Path, clips: Iterable[np.ndarray], out: Path) -> None:
    """Write a graph with its large products in 8 bits, as OpenVINO's `.xml` and `.bin`.

    Args:
        graph: `.onnx`.
        clips: real speech, (samples,) each; what activations are like is learnt from it.
        out: the `.xml` to write.

    Raises:
        MissingExtra: OpenVINO or nncf is not installed.
        ModelError: it cannot be quantised.
    """
    with needs_extra("openvino"):
        import openvino
        from openvino.passes import ConstantFolding, Manager

        with quiet():
            import nncf  # type: ignore[import-not-found]
    feeds = [dict(zip(("waveform", "lengths"), pad([clip]), strict=True)) for clip in clips]
    try:
        model = the_core().read_model(str(graph))
        folding = Manager()
        folding.register_pass(ConstantFolding())  # weights behind a transposition are not seen otherwise
        folding.run_passes(model)
        wanted = {id_of(node) for node in model.get_ops() if quantisable(node)}
        others = [id_of(node) for node in model.get_ops() if id_of(node) not in wanted and not fixed(node)]
        with quiet():
            done = nncf.quantize(
                model,
                nncf.Dataset(feeds),
                subset_size=len(feeds),
                model_type=nncf.ModelType.TRANSFORMER,
                ignored_scope=nncf.IgnoredScope(names=others, validate=False),
            )
        done.set_rt_info(rest_of(done), REST)
        openvino.save_model(done, str(out), compress_to_fp16=False)
    except Exception as error:
        raise ModelError(f"{graph}: nncf {nncf.__version__} cannot quantise it: {reason(error)}") from error


def rest_of(model: Any) -> str:
    """In what the nodes that are not in 8 bits can run: bfloat16 if OpenVINO has it for all of them."""
    try:
        the_core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "bf16"})
    except RuntimeError:
        return "f32"
    return "bf16"


def quantisable(node: Any) -> bool:
    """Whether a node is a product of a signal along time with fixed weights that are large."""
    kind = node.get_type_name()
    if kind not in ("MatMul", "Convolution"):
        return False
    signal, weights = node.input_value(0), node.input_value(1)
    if signal.get_partial_shape().rank.get_length() < 3 or not fixed(weights.get_node()):
        return False
    shape = list(weights.get_shape())
    return (
        len(shape) > 1
        and (shape[1] if kind == "Convolution" else min(shape)) >= CHANNELS
        and math.prod(shape) >= LARGE
    )


def fixed(node: Any) -> bool:
    """Whether a node gives weights, which no input changes."""
    while node.get_type_name() in PASSED_ON:
        node = node.input_value(0).get_node()
    return node.get_type_name() == "Constant"


def id_of(node: Any) -> str:
    """The name by which nncf knows a node."""
    return node.get_friendly_name()


def reason(error: Exception) -> str:
    """The last line of a long complaint."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[-1] if lines else type(error).__name__)[:200]


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Around nncf, which talks: its log and its progress bars go nowhere."""
    log = logging.getLogger("nncf")
    before, log.level = log.level, logging.ERROR
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        try:
            yield
        finally:
            log.setLevel(before)
