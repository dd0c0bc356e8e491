"""The encoder of a Whisper model as CTranslate2 keeps it, by the names of transformers.

CTranslate2's `model.bin` holds named variables. Numbers are little-endian; a string is its length
(u16), then its bytes, a NUL the last of them. In order: version (u32, 6 here), kind of model
(string), revision (u32), number of variables (u32) and the variables, number of aliases (u32) and
the aliases. A variable is its name (string), rank (u8), dimensions (u32 each), type (u8), bytes
(u32), values; an alias is its name and that of the variable for which it stands. Source:
OpenNMT/CTranslate2, python/ctranslate2/specs/model_spec.py and whisper_spec.py.

A file is taken for hostile: its index is read first, each number checked against the size of the
file before it is used, and no value is touched that the index does not vouch for.
"""

import re
import stat
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from earwitness.errors import ModelError
from earwitness.features.checkpoints import opened

VERSION, KIND = 6, "WhisperSpec"
TYPES = {0: "<f4", 1: "<i1", 2: "<i2", 3: "<i4", 4: "<f2"}  # 5, bfloat16, has no counterpart in numpy
MAX_VARIABLES, MAX_NAME, MAX_RANK = 20_000, 200, 4
NAME = re.compile(rb"[A-Za-z0-9_/.-]+")

ENCODER = "encoder/"
HEADS = ENCODER + "num_heads"
PARTS = {  # CTranslate2's names behind `encoder/` -> transformers'; {i} is a number
    "conv1": "conv1",
    "conv2": "conv2",
    "position_encodings": "embed_positions",
    "layer_norm": "layer_norm",
    "layer_{i}/self_attention/layer_norm": "layers.{i}.self_attn_layer_norm",
    "layer_{i}/self_attention/linear_1": "layers.{i}.self_attn.out_proj",
    "layer_{i}/ffn/layer_norm": "layers.{i}.final_layer_norm",
    "layer_{i}/ffn/linear_0": "layers.{i}.fc1",
    "layer_{i}/ffn/linear_1": "layers.{i}.fc2",
}
LAST = {"weight": "weight", "bias": "bias", "gamma": "weight", "beta": "bias", "encodings": "weight"}
STACKED = re.compile(r"layer_(\d+)/self_attention/linear_0/(weight|bias)")  # query, key, value


@dataclass(frozen=True)
class Variable:
    """Where a variable lies in its file."""

    type: str  # numpy's
    shape: tuple[int, ...]
    offset: int
    size: int  # bytes


class Reader:
    """A file from its beginning on; never past its end."""

    def __init__(self, path: Path, file: BinaryIO, size: int) -> None:
        self.path, self.file, self.left = path, file, size

    def claim(self, count: int, what: str) -> None:
        """Set bytes aside that are about to be read or passed over.

        Raises:
            ModelError: the file has fewer.
        """
        if count > self.left:
            raise ModelError(f"{self.path}: cut off: {what} needs {count:,} bytes, {self.left:,} are left")
        self.left -= count

    def number(self, kind: str, what: str) -> int:
        """A number of struct's kind "B", "H" or "I"."""
        count = struct.calcsize("<" + kind)
        self.claim(count, what)
        raw = self.file.read(count)
        if len(raw) < count:
            raise ModelError(f"{self.path}: became shorter while it was read")
        return struct.unpack("<" + kind, raw)[0]

    def string(self, what: str) -> str:
        """A name, without its NUL.

        Raises:
            ModelError: too long, or of other characters than names have.
        """
        length = self.number("H", what)
        if not 1 < length <= MAX_NAME:
            raise ModelError(f"{self.path}: {what} is {length:,} bytes long, where 2 to {MAX_NAME} are read")
        self.claim(length, what)
        raw = self.file.read(length)
        if raw[-1:] != b"\0" or not NAME.fullmatch(raw[:-1]):
            raise ModelError(
                f"{self.path}: {what} is {raw[:40]!r}, which names nothing in CTranslate2's files"
            )
        return raw[:-1].decode("ascii")

    def count(self, what: str) -> int:
        """A number of entries."""
        number = self.number("I", f"the number of {what}")
        if number > MAX_VARIABLES:
            raise ModelError(f"{self.path}: claims {number:,} {what}; at most {MAX_VARIABLES:,} are read")
        return number

    def variable(self) -> tuple[str, Variable]:
        """One variable: name and place; its values are passed over.

        Raises:
            ModelError: its type is not known, or shape, type and bytes contradict each other.
        """
        name = self.string("the name of a variable")
        rank = self.number("B", f"the rank of {name}")
        if rank > MAX_RANK:
            raise ModelError(f"{self.path}: {name} has {rank} dimensions; at most {MAX_RANK} are read")
        shape = tuple(self.number("I", f"the shape of {name}") for _ in range(rank))
        kind = self.number("B", f"the type of {name}")
        if kind not in TYPES:
            raise ModelError(f"{self.path}: {name} is of type {kind}; types 0 to {max(TYPES)} are read")
        size = self.number("I", f"the size of {name}")
        needed = np.dtype(TYPES[kind]).itemsize
        for dimension in shape:
            needed *= dimension  # Python's integers do not overflow
        if not size or size != needed:
            raise ModelError(f"{self.path}: {name} claims {size:,} bytes, and {shape} takes {needed:,}")
        self.claim(size, name)
        offset = self.file.tell()
        self.file.seek(size, 1)
        return name, Variable(TYPES[kind], shape, offset, size)


def read_index(path: Path, file: BinaryIO, size: int) -> dict[str, Variable]:
    """Every variable of a file by name; aliases too.

    Raises:
        ModelError: another kind of file, another version, damaged, or not at its end where it should be.
    """
    reader = Reader(path, file, size)
    version = reader.number("I", "the version")
    if version != VERSION:
        raise ModelError(
            f"{path}: no model of CTranslate2 in version {VERSION} of its format (begins with {version})"
        )
    kind = reader.string("the kind of model")
    if kind != KIND:
        raise ModelError(f"{path}: a model of the kind {kind}, where {KIND} is read")
    reader.number("I", "the revision")
    index: dict[str, Variable] = {}
    for _ in range(reader.count("variables")):
        name, variable = reader.variable()
        if index.setdefault(name, variable) is not variable:
            raise ModelError(f"{path}: {name} is there twice")
    aliases: dict[str, Variable] = {}
    for _ in range(reader.count("aliases")):
        name, target = reader.string("an alias"), reader.string("what an alias stands for")
        if name in index or name in aliases:
            raise ModelError(f"{path}: {name} is there twice")
        if target not in index:
            raise ModelError(f"{path}: {name} stands for {target}, which is not there")
        aliases[name] = index[target]
    if reader.left:
        raise ModelError(f"{path}: {reader.left:,} bytes too many behind the last variable")
    return index | aliases


def read_variables(path: Path, prefix: str = "") -> dict[str, np.ndarray]:
    """The variables whose names begin with `prefix`, in the types that the file has.

    Raises:
        ModelError: not a Whisper model of CTranslate2, or damaged.
    """
    try:
        about = path.stat()
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror}") from None
    if not stat.S_ISREG(about.st_mode):
        raise ModelError(f"{path}: not a regular file")
    with opened(path) as file:
        index = read_index(path, file, about.st_size)
        wanted = {name: variable for name, variable in index.items() if name.startswith(prefix)}
        if sum(variable.size for variable in wanted.values()) > about.st_size:  # aliases cost nothing there
            raise ModelError(f"{path}: its aliases claim more bytes than the file has")
        found = {}
        for name, variable in wanted.items():
            file.seek(variable.offset)
            raw = file.read(variable.size)
            if len(raw) < variable.size:
                raise ModelError(f"{path}: became shorter while it was read")
            found[name] = np.frombuffer(raw, variable.type).reshape(variable.shape)
    return found


def whisper_encoder(path: Path) -> tuple[dict[str, np.ndarray], int]:
    """The tensors of the encoder by the names of transformers' `WhisperEncoder`, and its attention heads.

    CTranslate2 stacks the projections of query, key and value; the key's bias, which Whisper does not
    have, is stored as zeros. The scale of the attention is not in the weights. Types stay: float16 or
    float32, little-endian.

    Raises:
        ModelError: not such a file, damaged, quantised, without the encoder, or with more in it than
            Whisper's encoder has.
    """
    variables = read_variables(path, ENCODER)
    heads = variables.pop(HEADS, None)
    if heads is None or heads.shape or heads.dtype.kind != "i" or heads < 1:
        raise ModelError(f"{path}: does not say how many attention heads the encoder has ({HEADS})")
    tensors: dict[str, np.ndarray] = {}
    for name, values in variables.items():
        if values.dtype.kind != "f":
            raise ModelError(
                f"{path}: {name} is quantised ({values.dtype.name}); float16 or float32 is needed"
            )
        parts = renamed(path, name.removeprefix(ENCODER), values)
        if tensors.keys() & parts.keys():
            raise ModelError(f"{path}: {name} is there twice, under two names")
        tensors |= parts
    return tensors, int(heads)


def renamed(path: Path, name: str, values: np.ndarray) -> Mapping[str, np.ndarray]:
    """What a variable of the encoder is called in transformers: one tensor, or the three of a stack.

    Raises:
        ModelError: it is no part of Whisper's encoder.
    """
    stacked = STACKED.fullmatch(name)
    if stacked:
        return unstacked(path, f"layers.{stacked[1]}.self_attn", stacked[2], values)
    part, _, last = name.rpartition("/")
    layer = re.match(r"layer_(\d+)/", part)
    target = PARTS.get("layer_{i}/" + part[layer.end() :] if layer else part)
    if target is None or last not in LAST:
        raise ModelError(f"{path}: {ENCODER}{name} is no part of Whisper's encoder")
    return {f"{target.format(i=layer[1] if layer else '')}.{LAST[last]}": values}


def unstacked(path: Path, part: str, last: str, values: np.ndarray) -> Mapping[str, np.ndarray]:
    """Weights or biases of query, key and value, which share the first dimension.

    Raises:
        ModelError: it cannot be split in three, or the key has a bias.
    """
    if not values.ndim or values.shape[0] % 3:
        raise ModelError(f"{path}: {part} holds {values.shape}, which is not a stack of three")
    query, key, value = np.split(values, 3)
    if last == "weight":
        return {f"{part}.q_proj.weight": query, f"{part}.k_proj.weight": key, f"{part}.v_proj.weight": value}
    if key.any():
        raise ModelError(f"{path}: {part} has a bias on its key, which Whisper has not")
    return {f"{part}.q_proj.bias": query, f"{part}.v_proj.bias": value}
