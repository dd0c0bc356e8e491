"""Copies of a knowledge base: snapshots to roll back to, and a portable form to give away.

A snapshot is a base itself, `NAME.db` in the folder `BASE.snapshots`, written beside its place and
moved there when it is whole. The portable form is a zip of JSON lines and arrays in shards,

    knowledge.json           format, model, size, settings
    00000.jsonl              one entry a line, with its number of segments and whether it has a profile
    00000.embeddings.npy     (segments, size) float32, in the order of the lines
    00000.starts.npy         (segments,) float64, seconds
    00000.profiles.npy       (entries with a profile, profile size) float32

which any language reads, and which is read here without pickle and with every size bounded.
"""

import io
import json
import os
import re
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from earwitness.errors import InputError
from earwitness.evidence.entries import Entry, Item
from earwitness.evidence.knowledge import Knowledge, snapshot_folder
from earwitness.types import ModelId

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
FORMAT = "earwitness-knowledge"
SHARD_ENTRIES, SHARD_BYTES = 1024, 16 << 20
MAX_MEMBER = 128 << 20  # bytes of one member: a shard ends with the item that takes it over its size
MAX_SHARDS = 100_000
UNREADABLE = (
    *(zipfile.BadZipFile, zlib.error, OSError, EOFError, NotImplementedError, RuntimeError),
    *(ValueError, KeyError, TypeError),
)


def snapshot(path: str | os.PathLike, name: str | None = None) -> Path:
    """Copy the base as it is now.

    Args:
        path: of the base.
        name: of the snapshot; None: the time, UTC.

    Returns:
        Its file.

    Raises:
        InputError: `knowledge-snapshot`, the name is taken or none.
    """
    if name is None:
        name = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    with Knowledge.open(path) as base:
        place = _place(base.path, name)
        if place.exists():
            raise InputError("knowledge-snapshot", f"{place}: there is a snapshot of that name already")
        place.parent.mkdir(exist_ok=True)
        partial = place.with_name(f"{name}.{os.getpid()}.partial")
        try:
            base.copy_to(partial)
            _sync(partial)
            os.replace(partial, place)
            _sync(place.parent)
        except FileNotFoundError:  # a removal deletes what is unfinished
            raise InputError(
                "knowledge-snapshot", f"{place}: entries were removed meanwhile: try again"
            ) from None
        finally:
            partial.unlink(missing_ok=True)
    return place


def snapshots(path: str | os.PathLike) -> list[Path]:
    """The snapshots of a base, oldest first; the stem is the name."""
    return sorted(
        snapshot_folder(Path(path)).glob("*.db"), key=lambda file: (file.stat().st_mtime_ns, file.name)
    )


def rollback(path: str | os.PathLike, name: str) -> None:
    """Make the base what it was at a snapshot, in one transaction; later entries are gone.

    Raises:
        InputError: `knowledge-snapshot`, there is none of that name; `knowledge-model`, another model's.
    """
    place = _place(Path(path), name)
    if not place.is_file():
        known = ", ".join(file.stem for file in snapshots(path)) or "none"
        raise InputError("knowledge-snapshot", f"{place}: no such snapshot; there are: {known}")
    with Knowledge.open(path) as base:
        Knowledge.open(place, base.model).close()
        base.take_back(place)


def export_to(base: Knowledge, target: str | os.PathLike) -> int:
    """Write all entries to a portable file.

    Args:
        base: open.
        target: nothing may be there yet.

    Returns:
        How many entries were written.

    Raises:
        InputError: `knowledge-exists`.
    """
    target, count = Path(target), 0
    if target.exists():
        raise InputError("knowledge-exists", f"{target}: is there already, and an export overwrites nothing")
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    head = {
        "format": FORMAT,
        "version": 1,
        "model": vars(base.model),
        "size": base.size,
        "settings": base.settings(),
    }
    try:
        with zipfile.ZipFile(partial, "x", zipfile.ZIP_STORED) as archive:
            archive.writestr("knowledge.json", json.dumps(head, indent=1))
            for number, items in enumerate(_shards(base.items())):
                _write_shard(archive, f"{number:05d}", items)
                count += len(items)
        _sync(partial)
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)
    return count


def import_from(base: Knowledge, source: str | os.PathLike) -> tuple[int, int]:
    """Add the entries of a portable file; its settings too where the base has none.

    Args:
        base: open.
        source: what `export_to` wrote.

    Returns:
        How many entries were added, and how many were there already.

    Raises:
        InputError: `bad-knowledge`, no such file or a damaged one: shards before the damage stay added;
            `knowledge-model`, it is of another model.
    """
    added = skipped = 0
    try:
        with zipfile.ZipFile(source) as archive:
            head = json.loads(_read(archive, "knowledge.json"))
            _check_head(base, head, source)
            for number in range(MAX_SHARDS):
                if f"{number:05d}.jsonl" not in archive.NameToInfo:
                    break
                items = _read_shard(archive, f"{number:05d}", base.size)
                new = len(base.add(items))
                added, skipped = added + new, skipped + len(items) - new
    except FileNotFoundError:
        raise InputError("no-knowledge", f"{source}: no such file") from None
    except UNREADABLE as error:
        sentence = f"{source}: no export of a knowledge base, or damaged ({error!s:.200})"
        raise InputError("bad-knowledge", sentence) from None
    if not base.settings():
        base.set_settings(head["settings"])
    return added, skipped


def model_in(head: dict[str, Any]) -> ModelId:
    """Whose embeddings the head of a portable file names."""
    model = head["model"]
    name, version, digest = (str(model[key]) for key in ("name", "version", "digest"))
    return ModelId(name, version, digest, str(model.get("embedding", "")))


def model_of(source: str | os.PathLike) -> tuple[ModelId, int]:
    """Whose embeddings a portable file holds, and of how many numbers each.

    Raises:
        InputError: `no-knowledge`, no such file; `bad-knowledge`, no export.
    """
    try:
        with zipfile.ZipFile(source) as archive:
            head = json.loads(_read(archive, "knowledge.json"))
        return model_in(head), int(head["size"])
    except FileNotFoundError:
        raise InputError("no-knowledge", f"{source}: no such file") from None
    except UNREADABLE as error:
        sentence = f"{source}: no export of a knowledge base, or damaged ({error!s:.200})"
        raise InputError("bad-knowledge", sentence) from None


def _check_head(base: Knowledge, head: Any, source: str | os.PathLike) -> None:
    if head["format"] != FORMAT or head["version"] != 1 or not isinstance(head["settings"], dict):
        raise ValueError("another format or version")
    if model_in(head).space != base.model.space or head["size"] != base.size:
        model = head["model"]
        raise InputError(
            "knowledge-model",
            f"{source}: holds {head['size']!r:.20} numbers an embedding, of {model['name']!s:.60} "
            f"({model['digest']!s:.12}), and the base {base.size} of {base.model.name} "
            f"({base.model.digest:.12})",
        )


def _shards(items: Iterator[Item]) -> Iterator[list[Item]]:
    """Items in handfuls of bounded size."""
    shard, size = [], 0
    for item in items:
        shard.append(item)
        size += item.embeddings.nbytes
        if len(shard) == SHARD_ENTRIES or size >= SHARD_BYTES:
            yield shard
            shard, size = [], 0
    if shard:
        yield shard


def _write_shard(archive: zipfile.ZipFile, stem: str, items: list[Item]) -> None:
    lines = [
        asdict(item.entry) | {"segments": len(item.embeddings), "profile": item.profile is not None}
        for item in items
    ]
    archive.writestr(f"{stem}.jsonl", "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
    arrays = {
        "embeddings": np.concatenate([item.embeddings for item in items]).astype("<f4"),
        "starts": np.concatenate([item.starts_s for item in items]).astype("<f8"),
    }
    profiles = [item.profile for item in items if item.profile is not None]
    if profiles:
        arrays["profiles"] = np.stack(profiles).astype("<f4")
    for name, array in arrays.items():
        with archive.open(f"{stem}.{name}.npy", "w") as file:
            np.lib.format.write_array(file, array, allow_pickle=False)


def _read_shard(archive: zipfile.ZipFile, stem: str, size: int) -> list[Item]:
    lines = [json.loads(line) for line in _read(archive, f"{stem}.jsonl").decode().split("\n") if line]
    embeddings = _read_array(archive, f"{stem}.embeddings.npy", "<f4")
    starts = _read_array(archive, f"{stem}.starts.npy", "<f8")
    counts = [int(line.pop("segments")) for line in lines]
    with_profile = [line.pop("profile") is True for line in lines]
    if (
        min(counts, default=0) < 0
        or embeddings.shape != (sum(counts), size)
        or starts.shape != (sum(counts),)
    ):
        raise ValueError(f"shard {stem} has arrays of other lengths than its entries")
    profiles: Any = None
    if any(with_profile):
        profiles = _read_array(archive, f"{stem}.profiles.npy", "<f4")
        if profiles.ndim != 2 or len(profiles) != sum(with_profile):
            raise ValueError(f"shard {stem} has other profiles than its entries say")
    edges, ranks = np.cumsum([0, *counts]), np.cumsum(with_profile)
    return [
        Item(
            Entry(**line),
            embeddings[edges[i] : edges[i + 1]],
            starts[edges[i] : edges[i + 1]],
            profiles[ranks[i] - 1] if with_profile[i] else None,
        )
        for i, line in enumerate(lines)
    ]


def _read(archive: zipfile.ZipFile, name: str) -> bytes:
    """A member, whose size is bounded whatever the archive says of it."""
    with archive.open(name) as file:
        data = file.read(MAX_MEMBER + 1)
    if len(data) > MAX_MEMBER:
        raise ValueError(f"{name} is over {MAX_MEMBER >> 20} MiB")
    return data


def _read_array(archive: zipfile.ZipFile, name: str, kind: str) -> np.ndarray:
    """An array of this kind whose shape is that of its bytes; nothing is allocated by its header's word."""
    data = io.BytesIO(_read(archive, name))
    version = np.lib.format.read_magic(data)
    if version != (1, 0):
        raise ValueError(f"{name} is of another version of the format")
    shape, fortran, dtype = np.lib.format.read_array_header_1_0(data)
    if dtype != np.dtype(kind) or fortran:
        raise ValueError(f"{name} is not of kind {kind} in rows")
    return np.frombuffer(data.read(), kind).reshape(shape)


def _place(path: Path, name: str) -> Path:
    if not NAME.fullmatch(name):
        raise InputError(
            "knowledge-snapshot",
            f"{name!r:.80} is no name for a snapshot: letters, digits, '.', '_' and '-', at most 64",
        )
    return snapshot_folder(path) / f"{name}.db"


def _sync(path: Path) -> None:
    """To the disk, a file or, where the system can, a folder's list of names."""
    if path.is_dir() and os.name != "posix":
        return
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
