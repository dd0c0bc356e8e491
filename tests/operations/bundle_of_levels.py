"""A detector that hears nothing but how loud a clip is, and does not yet know what that means."""

import numpy as np

from earwitness.decision.bundle import GRAPH, file_digest, write_card


def make_bundle(folder):
    """Embedding: (mean absolute value times 10, its square, 1); score: a sample, which tells nothing."""
    from onnx import TensorProto, checker, helper, numpy_helper, save

    folder.mkdir(parents=True)
    kinds = (TensorProto.FLOAT, TensorProto.INT64, TensorProto.FLOAT, TensorProto.FLOAT)
    shapes = (["batch", "samples"], ["batch"], ["batch"], ["batch", 3])
    names = ("waveform", "lengths", "score", "embedding")
    values = [helper.make_tensor_value_info(*one) for one in zip(names, kinds, shapes, strict=True)]
    whole = {"one": [1], "first": [1_000], "behind": [1_001]}
    tensors = [numpy_helper.from_array(np.array(value, np.int64), name) for name, value in whole.items()]
    tensors += [numpy_helper.from_array(np.array([[10.0]], np.float32), "ten")]
    nodes = [
        helper.make_node("Cast", ["lengths"], ["unused"], to=TensorProto.FLOAT),
        helper.make_node("Abs", ["waveform"], ["size"]),
        helper.make_node("ReduceMean", ["size", "one"], ["mean"], keepdims=1),
        helper.make_node("Mul", ["mean", "ten"], ["level"]),
        helper.make_node("Mul", ["level", "level"], ["squared"]),
        helper.make_node("Div", ["level", "level"], ["constant"]),
        helper.make_node("Concat", ["level", "squared", "constant"], ["embedding"], axis=1),
        helper.make_node("Slice", ["waveform", "first", "behind", "one"], ["sample"]),
        helper.make_node("Squeeze", ["sample", "one"], ["score"]),
    ]
    graph = helper.make_graph(nodes, "levels", values[:2], values[2:], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    checker.check_model(model)
    save(model, folder / GRAPH)
    write_card(
        folder,
        {
            "name": "levels",
            "version": "1",
            "licence": "-",
            "source": {},
            "architecture": "levels",
            "parameters": 1,
            "limits": [],
            "input": {"sample_rate": 16_000, "min_samples": 2_000},
            "output": {"timeline_s": 0.5, "frame_hop_s": None},
            "windowing": {"whole_s": 30.0, "window_s": 12.0, "hop_s": 11.0},
            "calibration": {"clip": {"scale": 1.0, "offset": 0.0}, "timeline": {"scale": 1.0, "offset": 0.0}},
            "thresholds": {"fake": 0.9, "genuine": 0.1},
            "files": {GRAPH: file_digest(folder / GRAPH)},
        },
    )
    return folder
