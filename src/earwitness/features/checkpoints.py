"""Read the tensors of a model file, and nothing else of it.

Three containers are read: safetensors, torch's zip files (since 1.6) and torch's older stream of
pickles. Nothing in a file is executed: pickles go through torch's restricted unpickler, and classes
that training frameworks are known to leave there (argparse's Namespace, configuration objects,
dictionaries) become empty stand-ins. A pickle that names anything else is refused.
"""

import pickletools
import stat
import struct
import zipfile
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from earwitness.errors import MissingExtra, ModelError

MAX_PICKLE = 16 << 20  # bytes of pickled structure beside the tensors
MAX_HEADER = 100 << 20  # bytes of a safetensors header, its own limit
MAX_OPERATIONS, MAX_DEPTH, MAX_SIZE = 2_000_000, 200, 10_000_000  # of a pickle
FILLING = {"APPEND", "APPENDS", "SETITEM", "SETITEMS", "ADDITEMS", "BUILD"}
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C

# What a state of tensors is made of.
TENSOR_PARTS = {
    *(f"torch._utils._rebuild_{kind}" for kind in ("tensor", "tensor_v2", "tensor_v3", "parameter")),
    *("collections.OrderedDict", "collections.Counter", "torch.Size", "torch.device", "_codecs.encode"),
    *("torch.storage.UntypedStorage", "torch.storage.TypedStorage", "torch.storage._TypedStorage"),
}
# Classes that training frameworks leave beside the tensors. Stand-ins take their place.
FRAMEWORKS = "argparse omegaconf fairseq fairseq2 hydra pathlib typing numpy datetime"
INERT = tuple(f"{module}." for module in FRAMEWORKS.split())
PLAIN = "set frozenset dict list int float str tuple bool complex range slice bytes bytearray object"
INERT_NAMES = {
    *(f"builtins.{name}" for name in PLAIN.split()),
    "collections.deque",
}
DEFAULT_DICT = "collections.defaultdict"
STORED = ("float16", "bfloat16", "float32", "float64", "int64", "int32", "int16", "int8", "uint8", "bool")

LOOKS_LIKE = (
    (b"RIFF", "a WAV recording"),
    (b"fLaC", "a FLAC recording"),
    (b"ID3", "an MP3 recording"),
    (b"OggS", "an Ogg recording"),
    (b"version https://git-lfs", "a git-lfs pointer, not the file itself: run `git lfs pull`"),
    (b"<!", "a web page: the download did not give the file"),
    (b"<h", "a web page: the download did not give the file"),
    (b"\x1f\x8b", "a gzip archive: unpack it first"),
    (b"7z\xbc\xaf", "a 7-Zip archive: unpack it first"),
    (b"\x89HDF", "an HDF5 file (Keras?)"),
    (b"GGUF", "a GGUF language model"),
    (b"\x08", "an ONNX graph or another protobuf: import takes the weights it was made from"),
    (b"{", "JSON"),
)


def read_tensors(path: Path) -> dict[str, Any]:
    """All tensors of a file by name, (torch.Tensor), mapped into memory where the container allows.

    A state stored under `model`, `state_dict` or `model_state_dict` is taken out.

    Raises:
        ModelError: the file is damaged, of another kind, or would run code.
        MissingExtra: torch or safetensors is not installed.
    """
    try:
        import torch
    except ImportError as error:
        raise MissingExtra("torch", "train") from error

    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror}") from None
    if not stat.S_ISREG(mode):
        raise ModelError(f"{path}: not a regular file")
    with opened(path) as file:
        head = file.read(64)
        if not head:
            raise ModelError(f"{path}: the file is empty")
        if head.startswith(b"PK\x03\x04"):
            content = read_zip(path, file)
        elif len(head) > 9 and head[8:9] == b"{" and struct.unpack("<Q", head[:8])[0] <= MAX_HEADER:
            content = read_safetensors(path)
        elif head[:1] == b"\x80":
            content = read_stream(path, file)
        else:
            raise ModelError(f"{path}: not a model file; it looks like {guess(head)}")
    for key in ("model", "state_dict", "model_state_dict"):
        if isinstance(content, dict) and isinstance(dict.get(content, key), dict):
            content = dict.get(content, key)
    if not isinstance(content, dict) or not content:
        raise ModelError(f"{path}: holds a {type(content).__name__}, not a state of named tensors")
    dict.pop(content, "_ema", None)  # data2vec's teacher, a state of its own
    content = dict(dict.items(content))  # a class of its own may have other ideas of items
    for name, value in content.items():
        if not isinstance(name, str) or not isinstance(value, torch.Tensor):
            raise ModelError(f"{path}: holds {str(name)[:80]!r}, a {type(value).__name__}, among its tensors")
        check_extent(path, name, value)
    storages = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in content.values()}
    if sum(storages.values()) > path.stat().st_size:
        raise ModelError(f"{path}: its tensors claim more bytes than the file has")
    return content


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """A file to read.

    Raises:
        ModelError: it cannot be read, or reading it takes more memory than there is.
    """
    try:
        with path.open("rb") as file:
            yield file
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror}") from None
    except (MemoryError, OverflowError, RecursionError) as error:
        raise ModelError(f"{path}: refused: a {type(error).__name__} while reading it") from None


def guess(head: bytes) -> str:
    """What the first bytes of a file look like."""
    for magic, name in LOOKS_LIKE:
        if head.startswith(magic):
            return name
    return "text" if all(32 <= byte < 127 or byte in b"\t\r\n" for byte in head) else "no kind known here"


def check_extent(path: Path, name: str, value: Any) -> None:
    """A tensor must be plain, and no bigger than what is stored of it.

    Raises:
        ModelError: it is sparse or quantised, or claims more elements than the file holds.
    """
    import torch

    plain = value.layout == torch.strided and not value.is_nested and value.device.type == "cpu"
    if not plain or value.is_quantized or value.is_neg() or value.is_conj():
        raise ModelError(f"{path}: tensor {name} is not plain and dense")
    if str(value.dtype).removeprefix("torch.") not in STORED:
        raise ModelError(f"{path}: tensor {name} is of type {value.dtype}, which is not read")
    if value.numel() == 0:
        raise ModelError(f"{path}: tensor {name} is empty")
    if value.numel() * value.element_size() > value.untyped_storage().nbytes():
        raise ModelError(f"{path}: tensor {name} claims {value.numel():,} elements, the file holds fewer")


def read_safetensors(path: Path) -> dict[str, Any]:
    """The tensors of a safetensors file.

    Raises:
        ModelError: truncated or damaged.
    """
    try:
        from safetensors import SafetensorError, safe_open
    except ImportError as error:
        raise MissingExtra("safetensors", "train") from error
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, ValueError, RuntimeError, OSError) as error:
        raise ModelError(f"{path}: damaged or truncated safetensors file ({first_line(error)})") from None


def read_zip(path: Path, file: BinaryIO) -> Any:
    """What torch saved in a zip file.

    Raises:
        ModelError: another archive, truncated, packed (a bomb), or code in its pickle.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            entries = archive.infolist()
            pickles = [entry for entry in entries if entry.filename.endswith("/data.pkl")]
            if len(pickles) != 1 or len({entry.filename.lower() for entry in entries}) < len(entries):
                raise ModelError(f"{path}: a zip archive, but not one that torch wrote")
            if any("/code/" in entry.filename or "constants.pkl" in entry.filename for entry in entries):
                raise ModelError(f"{path}: a TorchScript program, not weights; import its state dict")
            packed = any(entry.compress_type != zipfile.ZIP_STORED for entry in entries)
            if packed or sum(entry.file_size for entry in entries) > path.stat().st_size:
                raise ModelError(f"{path}: its entries are packed, as torch never does; refused unopened")
            if pickles[0].file_size > MAX_PICKLE:
                raise ModelError(f"{path}: {pickles[0].file_size:,} bytes of structure beside the tensors")
            names = named_globals(archive.open(pickles[0]), 1, path)
            damaged = archive.testzip()
            if damaged:
                raise ModelError(f"{path}: damaged: the checksum of {damaged} is wrong")
    except (zipfile.BadZipFile, NotImplementedError, EOFError, OSError, ValueError, RuntimeError) as error:
        raise ModelError(f"{path}: damaged or truncated torch file ({first_line(error)})") from None
    return load(path, names, mapped=True)


def read_stream(path: Path, file: BinaryIO) -> Any:
    """What torch before 1.6 saved as a stream of pickles.

    Raises:
        ModelError: a plain pickle, truncated, or code in it.
    """
    file.seek(0)
    try:
        first = next(arg for opcode, arg, _ in pickletools.genops(file) if opcode.name != "PROTO")
        file.seek(0)
        if first != LEGACY_MAGIC:
            foreign = refusal(named_globals(file, 1, path))
            raise ModelError(
                f"{path}: a pickle, but not one that torch wrote"
                + (f"; it would run {foreign}: refused, nothing was executed" if foreign else "")
            )
        names = named_globals(file, 5, path)  # magic, protocol, system, content, storage keys
    except (ValueError, EOFError, StopIteration, UnicodeError, IndexError, struct.error) as error:
        raise ModelError(f"{path}: damaged or truncated pickle ({first_line(error)})") from None
    return load(path, names, mapped=False)


def named_globals(file: Any, pickles: int, path: Path) -> set[str]:
    """`module.name` of everything that consecutive pickles import, without loading them.

    Raises:
        ModelError: an import whose name is computed, extension codes, or more operations, nesting
            or repetition than a state of tensors has (a few bytes can stand for 2 ** 60 objects).
    """
    names: set[str] = set()
    for _ in range(pickles):
        strings: list[str] = []
        spoken: dict[Any, str] = {}  # strings that the pickle keeps for later
        stack = PickleStack(path)
        for count, (opcode, argument, _) in enumerate(pickletools.genops(file)):
            if count > MAX_OPERATIONS:
                raise ModelError(f"{path}: its pickle has more than {MAX_OPERATIONS:,} operations; refused")
            stack.follow(opcode, argument)
            if opcode.name in ("GLOBAL", "INST"):
                names.add(modern(*str(argument).split(" ", 1)))
            elif opcode.name == "STACK_GLOBAL":
                if len(strings) < 2:
                    raise ModelError(f"{path}: its pickle hides what it imports; refused, nothing executed")
                names.add(f"{strings[-2]}.{strings[-1]}")
            elif opcode.name.startswith("EXT"):
                raise ModelError(f"{path}: its pickle uses extension codes; refused, nothing executed")
            elif isinstance(argument, str) and "UNICODE" in opcode.name:
                strings.append(argument)
            elif opcode.name in ("PUT", "BINPUT", "LONG_BINPUT") and strings:
                spoken[argument] = strings[-1]
            elif opcode.name == "MEMOIZE" and strings:
                spoken[len(spoken)] = strings[-1]
            elif opcode.name in ("GET", "BINGET", "LONG_BINGET") and argument in spoken:
                strings.append(spoken[argument])
    return names


def modern(module: str, name: str) -> str:
    """`module.name` as Python 3 has it; older protocols write the names of Python 2."""
    module, name = NAME_MAPPING.get((module, name), (IMPORT_MAPPING.get(module, module), name))
    return f"{module}.{name}"


class PickleStack:
    """A pickle's stack as (depth, size) of what would lie there, to refuse what explodes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.stack: list[tuple[int, int] | None] = []  # None is a mark
        self.kept: dict[Any, tuple[int, int]] = {}

    def follow(self, opcode: Any, argument: Any) -> None:
        """One operation.

        Raises:
            ModelError: too deep, too big, or a stack that no pickler makes.
        """
        if opcode.name in ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"):
            key = len(self.kept) if opcode.name == "MEMOIZE" else argument
            self.kept[key] = (self.stack[-1] if self.stack else None) or (1, 1)
            return
        if opcode.name in ("GET", "BINGET", "LONG_BINGET"):
            self.stack.append(self.kept.get(argument, (1, 1)))
            return
        if opcode.name == "MARK":
            self.stack.append(None)
            return
        taken: list[tuple[int, int]] = []
        needs = [part.name for part in opcode.stack_before]
        if "mark" in needs:
            while self.stack and self.stack[-1] is not None:
                taken.append(self.stack.pop() or (1, 1))
            self.stack[-1:] = []
            needs = needs[: needs.index("mark")]
        for _ in needs:
            taken.append((self.stack.pop() if self.stack else None) or (1, 1))
        whole = taken.pop() if opcode.name in FILLING and taken else (0, 0)  # stays, and gets the others
        depth = max(whole[0], 1 + max((depth for depth, _ in taken), default=0))
        size = 1 + whole[1] + sum(size for _, size in taken)
        if depth > MAX_DEPTH or size > MAX_SIZE:
            raise ModelError(
                f"{self.path}: its pickle nests or repeats without end; refused, nothing executed"
            )
        self.stack += [(depth, size)] * len(opcode.stack_after)


def refusal(names: set[str]) -> str | None:
    """The first of these imports that no checkpoint of weights needs; None where all are known."""
    for name in sorted(names):
        known = name in TENSOR_PARTS or name == DEFAULT_DICT or name in INERT_NAMES or is_torch_type(name)
        if not known and not name.startswith(INERT):
            return name
    return None


def is_torch_type(name: str) -> bool:
    """`torch.FloatStorage`, `torch.float32` and their like."""
    import torch

    head, _, tail = name.rpartition(".")
    return head == "torch" and (
        tail.endswith("Storage") or isinstance(getattr(torch, tail, None), torch.dtype)
    )


class StandIn:
    """Takes the place of a class that is not loaded, and swallows what belongs to it."""

    def __new__(cls, *_: Any, **__: Any) -> "StandIn":
        return super().__new__(cls)

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass

    def __setitem__(self, key: Any, value: Any) -> None:
        pass


def plain_dict(*_: Any) -> Any:
    """In place of a dictionary with defaults: the unpickler fills only plain ones."""
    return OrderedDict()


def load(path: Path, names: set[str], mapped: bool) -> Any:
    """Load with torch's restricted unpickler, known foreign classes replaced.

    Raises:
        ModelError: code, or damage.
    """
    import pickle
    import warnings

    import torch

    foreign = refusal(names)
    if foreign:
        raise ModelError(f"{path}: its pickle would run {foreign}; refused, nothing was executed")
    inert = [name for name in names if name.startswith(INERT) or name in INERT_NAMES]
    stand_ins: list[Any] = [(type("StandIn", (StandIn,), {}), name) for name in sorted(inert)]
    stand_ins += [(plain_dict, DEFAULT_DICT)] if DEFAULT_DICT in names else []
    try:
        with torch.serialization.safe_globals(stand_ins), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except pickle.UnpicklingError as error:
        raise ModelError(f"{path}: refused, nothing was executed ({unpickling_reason(error)})") from None
    except Exception as error:  # a damaged file makes torch raise a dozen kinds
        raise ModelError(f"{path}: damaged or truncated torch file ({first_line(error)})") from None


def unpickling_reason(error: Exception) -> str:
    """The telling part of torch's long message."""
    text = str(error)
    if "operand 149" in text:
        return "its pickle is of protocol 4 or later: save it again with torch's default"
    for mark in ("WeightsUnpickler error:", "weights_only"):
        if mark in text:
            text = text.split(mark, 1)[1]
            break
    return first_line(text.strip())


def first_line(error: object) -> str:
    """The first line of a message, cut short."""
    lines = str(error).strip().splitlines()
    return lines[0][:160] if lines else type(error).__name__
