"""A network as an ONNX graph with free batch and length, checked against torch before it is kept."""

import logging
import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from earwitness.decision.bundle import GRAPH
from earwitness.decision.engines import Outputs, open_graph
from earwitness.errors import MissingExtra, ModelError

TOLERANCE = 1e-3  # between torch and the graph, in nats
QUANTISED = 100_000  # elements: weights of layers, not what filters the waveform
INLINE_LIMIT = 512 << 20  # bytes of weights beyond which they lie beside the graph; its format ends at 2 GB


def write_graph(network: Any, target: Path, min_samples: int, free_length: bool = True) -> None:
    """Write a torch network that takes `waveform` and `lengths` as an ONNX graph.

    The network gives score, frame scores (or not) and embedding. Big weights go into a file of
    their own beside the graph, `<target>.data`. Without `free_length` every clip must be
    `min_samples` long.

    Raises:
        MissingExtra: torch, onnx or onnxscript is not installed.
        ModelError: the network cannot be expressed.
    """
    try:
        import onnxscript  # noqa: F401 (the exporter needs it, and says so less plainly)
        import torch
    except ImportError as error:
        raise MissingExtra(str(error.name), "train") from error

    size = max(2 * min_samples, 40_000) if free_length else min_samples
    lengths = torch.tensor([size, (3 * size) // 4 if free_length else size])
    waveform = torch.randn(2, size) * 0.1
    with torch.inference_mode():
        count = len(network(waveform, lengths))
    names = ["score", "frame_scores", "embedding"] if count == 3 else ["score", "embedding"]
    batch, samples = torch.export.Dim("batch"), torch.export.Dim("samples", min=min_samples)
    shapes: dict[str, Any] = {"waveform": {0: batch}, "lengths": {0: batch}}
    if free_length:
        shapes["waveform"][1] = samples
    level = logging.getLogger("torch.onnx").level
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                network,
                (waveform, lengths),
                input_names=["waveform", "lengths"],
                output_names=names,
                dynamic_shapes=shapes,
                dynamo=True,
                verbose=False,
            )
    except Exception as error:  # the exporter raises a dozen kinds
        raise ModelError(
            f"{target}: the network cannot be expressed as a graph: {str(error)[:300]}"
        ) from error
    finally:
        logging.getLogger("torch.onnx").setLevel(level)
    assert program is not None
    strip(program.model)
    drop_guards(program.model)
    keep_apart(program.model, set(names))
    weights = sum(p.numel() * p.element_size() for p in network.parameters())
    program.save(str(target), external_data=weights > INLINE_LIMIT)


def strip(model: Any) -> None:
    """Take out what the exporter notes of source lines and paths of the machine it ran on."""
    for part in (model.graph, *model.functions.values()):
        for node in part.all_nodes():
            node.metadata_props.clear()
            node.doc_string = None
        for value in (*part.inputs, *part.outputs):
            value.metadata_props.clear()
        part.metadata_props.clear()
    model.metadata_props.clear()


def drop_guards(model: Any) -> None:
    """Take out what makes zeros of attention over nothing: every clip has a frame inside."""
    for node in list(model.graph):
        if node.op_type != "Where" or node.inputs[0].producer() is None:
            continue
        guard = node.inputs[0].producer()
        if guard.op_type == "IsNaN" and guard.inputs[0] is node.inputs[2]:
            node.outputs[0].replace_all_uses_with(guard.inputs[0])
            model.graph.remove([node, guard], safe=True)


def keep_apart(model: Any, names: set[str]) -> None:
    """Rename inner values that the exporter called after an output: w2v-BERT has an `embedding` inside."""
    outputs = set(model.graph.outputs)
    for node in model.graph:
        for value in node.outputs:
            if value.name in names and value not in outputs:
                value.name = f"inner_{value.name}"


def quantise(graph: Path, target: Path) -> None:
    """Write the products with large weights in 8-bit integers, activations quantised as they come.

    Scales are one for each output of a layer, and for activations one for a whole batch: clips should be
    scored one at a time.

    Raises:
        MissingExtra: onnx is not installed.
    """
    try:
        import onnx
        from onnxruntime.quantization import QuantType, quantize_dynamic
    except ImportError as error:
        raise MissingExtra(str(error.name), "train") from error
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(target)
    options.log_severity_level = 3
    ort.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])  # folds constants
    model = onnx.load(target)
    del model.graph.value_info[:]  # what the quantiser transposes would contradict it
    sizes = {tensor.name: math.prod(tensor.dims) for tensor in model.graph.initializer}
    products = [
        node.name
        for node in model.graph.node
        if node.op_type == "MatMul" and sizes.get(node.input[1], 0) > QUANTISED
    ]
    quantize_dynamic(
        model,
        str(target),
        op_types_to_quantize=["MatMul"],
        nodes_to_quantize=products,
        per_channel=True,
        reduce_range=True,  # sums of 8-bit products overflow on processors without VNNI
        weight_type=QuantType.QInt8,
    )


def check_graph(
    network: Any, folder: Path, min_samples: int, masked: bool, free_length: bool = True
) -> float:
    """The greatest difference of scores between torch, the graph, and the graph on a padded batch.

    Raises:
        ModelError: it is more than `TOLERANCE`.
    """
    import torch

    rng = np.random.default_rng(0)
    sizes = [16_000, 31_111, 80_000] if free_length else [min_samples] * 2
    clips = [rng.normal(0, 0.1, max(size, min_samples)).astype(np.float32) for size in sizes]
    run = open_graph(folder / GRAPH, threads=0)
    with torch.inference_mode():
        expected = [
            float(network(torch.from_numpy(clip[None]), torch.tensor([len(clip)]))[0][0]) for clip in clips
        ]
    found: list[Outputs] = [run([clip]) for clip in clips]
    gaps = [abs(float(one.score[0]) - score) for one, score in zip(found, expected, strict=True)]
    if masked or not free_length:
        together = run(clips)
        gaps += [abs(float(a) - b) for a, b in zip(together.score, expected, strict=True)]
    worst = max(gaps)
    if not worst <= TOLERANCE:
        raise ModelError(f"the graph differs from torch by {worst:.2g} nats (allowed {TOLERANCE}); not kept")
    return worst
