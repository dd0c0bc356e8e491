"""Watermarks on disk whose graphs are a few nodes, with what they compute written out in numpy."""

import hashlib
import json

import numpy as np

PERIOD, BITS, BINS = 320, 4, 513
NAMES = ("alpha", "beta", "gamma")
WORDS = [[-1, -1, 1, 1], [1, -1, -1, 1], [1, 1, 1, -1]]
WIDTH = 25  # frames over which a reader averages
LEVEL = 0.003  # of a code under which a reader sees no mark


def codes(count, period=PERIOD, seed=0):
    """Orthogonal codes (count, period) of power one, with harmonics up to 2.5 kHz at 16 kHz alone."""
    drawn = np.random.default_rng(seed).standard_normal((period // 2 + 1, 2 * count)).view(complex)[:, :count]
    drawn[0] = drawn[51:] = 0
    waves = np.linalg.qr(np.fft.irfft(drawn, period, axis=0))[0].T
    return (waves * np.sqrt(period)).astype(np.float32)


def tilts(seed=1):
    """What each bit does to the bins of a magnitude, (bits, bins)."""
    return np.sign(np.random.default_rng(seed).standard_normal((BITS, BINS))).astype(np.float32)


def plain(value):
    """Integers as they are, other numbers as float32."""
    value = np.asarray(value)
    return value if value.dtype.kind == "i" else value.astype(np.float32)


def graph(path, nodes, inputs, outputs, constants):
    """Write a graph of (operator, inputs, output, attributes); inputs and outputs by name and shape."""
    from onnx import TensorProto, helper, numpy_helper, save_model

    made = [helper.make_node(op, takes, [gives], **how) for op, takes, gives, how in nodes]
    kept = [numpy_helper.from_array(plain(value), name) for name, value in constants.items()]

    def infos(values):
        return [helper.make_tensor_value_info(n, TensorProto.FLOAT, shape) for n, shape in values.items()]

    whole = helper.make_graph(made, "g", infos(inputs), infos(outputs), kept)
    model = helper.make_model(whole, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    save_model(model, path)


def waveform_generator(path, size, table):
    """proposed = message @ table, again and again under the host."""
    nodes = [
        ("Reshape", ["host", "rows"], "framed", {}),
        ("Mul", ["framed", "zero"], "silent", {}),
        ("MatMul", ["message", "table"], "code", {}),
        ("Add", ["silent", "code"], "written", {}),
        ("Reshape", ["written", "flat"], "proposed", {}),
    ]
    constants = {
        "rows": np.array([1, -1, PERIOD]),
        "flat": np.array([1, -1]),
        "zero": np.float32(0),
        "table": table,
    }
    graph(path, nodes, {"host": [1, "n"], "message": [1, size]}, {"proposed": [1, "n"]}, constants)


def waveform_reader(path, table, sample_level=False):
    """says = likeness of `WIDTH` frames to the codes over `LEVEL`; marked the largest, or each sample."""
    nodes = [
        ("Unsqueeze", ["waveform", "one"], "channel", {}),
        ("Conv", ["channel", "kernel"], "alike", {"strides": [PERIOD]}),
        ("AveragePool", ["alike"], "smooth", {"kernel_shape": [WIDTH], "pads": [WIDTH // 2] * 2}),
        ("Transpose", ["smooth"], "says", {"perm": [0, 2, 1]}),
    ]
    if sample_level:
        nodes.append(("Mul", ["waveform", "loud"], "marked", {}))
    else:
        nodes += [
            ("ReduceMax", ["says"], "top", {"axes": [2], "keepdims": 0}),
            ("Sub", ["top", "half"], "marked", {}),
        ]
    constants = {
        "one": np.array([1]),
        "kernel": table[:, None] / PERIOD / LEVEL,
        "half": np.float32(0.5),
        "loud": np.float32(30),
    }
    used = {name: value for name, value in constants.items() if any(name in node[1] for node in nodes)}
    shapes = {"marked": [1, "m"], "says": [1, "f", len(table)]}
    graph(path, nodes, {"waveform": [1, "n"]}, shapes, used)


def magnitude_generator(path, size):
    """factor = 1 + 0.2 tanh(message @ tilts)."""
    nodes = [
        ("MatMul", ["message", "tilts"], "spread", {}),
        ("Tanh", ["spread"], "bounded", {}),
        ("Mul", ["bounded", "fifth"], "small", {}),
        ("Add", ["small", "one"], "row", {}),
        ("Unsqueeze", ["row", "last"], "column", {}),
        ("Mul", ["magnitude", "zero"], "silent", {}),
        ("Add", ["silent", "column"], "factor", {}),
    ]
    constants = {
        "tilts": tilts()[:size],
        "fifth": np.float32(0.2),
        "one": np.float32(1),
        "zero": np.float32(0),
        "last": np.array([2]),
    }
    shapes = {"magnitude": [1, BINS, "f"], "message": [1, size]}
    graph(path, nodes, shapes, {"factor": [1, BINS, "f"]}, constants)


def magnitude_reader(path):
    """says = log(magnitude + 1e-3) @ tilts.T / bins, frame by frame."""
    nodes = [
        ("Add", ["magnitude", "floor"], "above", {}),
        ("Log", ["above"], "level", {}),
        ("Transpose", ["level"], "frames", {"perm": [0, 2, 1]}),
        ("MatMul", ["frames", "tilts"], "says", {}),
    ]
    constants = {"floor": np.float32(1e-3), "tilts": tilts().T / BINS}
    graph(path, nodes, {"magnitude": [1, BINS, "f"]}, {"says": [1, "f", BITS]}, constants)


def make(folder, kind="fakemark-a", name="tiny", **changes):
    """A folder with a watermark of that kind; `changes` go into its card."""
    folder.mkdir(parents=True, exist_ok=True)
    with_bits = kind in ("audioseal", "timbre")
    words = np.array(WORDS, np.float32)
    messages = words if with_bits else np.eye(len(NAMES), dtype=np.float32)
    size = messages.shape[1]
    if kind in ("fakemark-a", "audioseal"):
        waveform_generator(folder / "generator.onnx", size, codes(size) / np.sqrt(size))
    else:
        magnitude_generator(folder / "generator.onnx", size)
    if kind == "timbre":
        magnitude_reader(folder / "reader.onnx")
    else:
        waveform_reader(folder / "reader.onnx", codes(size), kind == "audioseal")
    np.save(folder / "messages.npy", messages)
    card = {
        "schema": 1,
        "name": name,
        "version": "1",
        "kind": kind,
        "names": list(NAMES),
        "bits": WORDS if with_bits else None,
        "presence": {"threshold": 0.0, "tail": 0.1, "false_alarm": 0.01},
        "training": {},
        "licence": "Apache-2.0",
    }
    seal(folder, card | changes)
    return folder


def seal(folder, card):
    """Write a card with the digests of what lies beside it."""
    digests = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.iterdir()
        if path.suffix in (".onnx", ".npy")
    }
    (folder / "watermark.json").write_text(json.dumps({"files": digests} | card))
