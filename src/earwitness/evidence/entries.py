"""What a knowledge base holds, and the checks of it on the way in and out."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from earwitness.errors import InputError
from earwitness.types import ModelId

MAX_SIZE = 65536  # numbers in an embedding or a profile
MAX_BYTES = 64 << 20  # of one recording's embeddings
MAX_TEXT = 4096  # characters
ID = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True)
class Entry:
    """What is known of one recording in the base; "-" is unknown or none, as in protocols."""

    id: str  # first 16 hex digits of the SHA-256 of the file's bytes
    bona_fide: bool
    duration_s: float
    score: float  # the detector's raw score, higher = bona fide
    path: str = "-"  # where it can be played
    generator: str = "-"
    speaker: str = "-"
    source: str = "-"
    licence: str = "-"
    language: str = "-"
    wm_present: bool | None = None  # whether a watermark was found; None: nobody looked
    added_at: str = ""  # ISO 8601, UTC, seconds; the base fills in an empty one
    added_by: str = ""
    reviewed: bool = False  # a person confirmed the label
    quarantined: str = ""  # why it may not vote until it is reviewed; "" = it votes


@dataclass(frozen=True, eq=False)
class Item:
    """An entry with what is searched."""

    entry: Entry
    embeddings: np.ndarray  # (segments, size) float32, one a window of the recording, unit length each
    starts_s: np.ndarray  # (segments,) seconds
    profile: np.ndarray | None = None  # (profile size,) float32, unit length


@dataclass(frozen=True)
class Hit:
    """A neighbour: a segment of an entry, or an entry by its profile."""

    id: str
    start_s: float
    similarity: float  # cosine


KINDS: dict[str, Any] = {field.name: field.type for field in fields(Entry)}


def checked(entry: Entry) -> Entry:
    """The entry with plain Python values.

    Raises:
        InputError: `knowledge-entry`, a value is of another kind, too long, or not finite.
    """
    values = {}
    for name, kind in KINDS.items():
        value = getattr(entry, name)
        if isinstance(value, np.generic):
            value = value.item()
        if kind is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        if not isinstance(value, kind) or (kind is float and not math.isfinite(value)):
            raise _refused(entry, f"its {name} is {value!r:.60}")
        if isinstance(value, str):
            text(value, name)
        values[name] = value
    if not ID.fullmatch(entry.id):
        raise _refused(entry, "an id is 16 hex digits in lower case")
    if values["duration_s"] < 0:
        raise _refused(entry, f"it lasts {entry.duration_s} s")
    return Entry(**values)


def from_row(row: Sequence[Any]) -> Entry:
    """An entry from its columns in SQLite, which has no truth values; ValueError where it cannot be one."""
    values = dict(zip(KINDS, row, strict=True))
    for name in ("bona_fide", "reviewed", "wm_present"):
        if values[name] is not None:
            values[name] = {0: False, 1: True}[values[name]]
    try:
        return checked(Entry(**values))
    except InputError as error:
        raise ValueError(error.message) from None


def item_from_row(row: Sequence[Any], size: int) -> Item:
    """An item from number, starts, embeddings, profile and the columns of its entry; ValueError as above."""
    embeddings = np.frombuffer(row[2], "<f4").reshape(-1, size).astype(np.float32)
    starts = np.frombuffer(row[1], "<f8").astype(np.float64)
    profile = None if row[3] is None else np.frombuffer(row[3], "<f4").astype(np.float32)
    item = Item(from_row(row[4:]), embeddings, starts, profile)
    try:
        check_arrays(item, size)
    except InputError as error:
        raise ValueError(error.message) from None
    return item


def text(value: str, name: str) -> str:
    """The text, if it is UTF-8 of at most 4,096 characters."""
    if len(value) > MAX_TEXT or "\0" in value or any("\ud800" <= char <= "\udfff" for char in value):
        raise InputError(
            "knowledge-entry", f"{name} must be UTF-8 text of at most {MAX_TEXT} characters: {value!r:.60}"
        )
    return value


def check_arrays(item: Item, size: int) -> None:
    """Refuse embeddings, starts or a profile of another shape, or rows that are not of unit length.

    Args:
        item: to be added.
        size: numbers in an embedding.

    Raises:
        InputError: `knowledge-entry`.
    """
    rows, starts, profile = item.embeddings, item.starts_s, item.profile
    if rows.ndim != 2 or rows.shape[1] != size or not 1 <= len(rows) <= MAX_BYTES // (4 * size):
        raise _refused(item.entry, f"its embeddings have shape {rows.shape}, not (segments, {size})")
    if not unit(rows):
        raise _refused(item.entry, "its embeddings are not of unit length")
    if starts.shape != (len(rows),) or not np.isfinite(starts).all():
        raise _refused(item.entry, f"it has {len(rows)} segments and starts of shape {starts.shape}")
    if profile is not None and not (profile.ndim == 1 and len(profile) <= MAX_SIZE and unit(profile[None])):
        raise _refused(item.entry, f"its profile of shape {profile.shape} is not one row of unit length")


def unit(rows: np.ndarray) -> bool:
    """Whether all rows (n, size) are finite and of unit length, to one in a thousand."""
    return bool((np.abs(np.einsum("ij,ij->i", rows, rows) - 1) < 2e-3).all())


def _refused(entry: Entry, why: str) -> InputError:
    return InputError("knowledge-entry", f"entry {entry.id!r:.40} cannot be taken: {why}")


def check_model(place: object, here: ModelId, wanted: ModelId | None) -> None:
    """Refuse a model with other embeddings than those of the base at `place`.

    Raises:
        InputError: `knowledge-model`.
    """
    if wanted is not None and wanted.space != here.space:
        raise InputError(
            "knowledge-model",
            f"{place}: holds embeddings of {named(here)}, which cannot be compared with those of "
            f"{named(wanted)}: use that model, or rebuild the base",
        )


def named(model: ModelId) -> str:
    """A model, for a sentence."""
    return f"{model.name} {model.version} ({model.digest[:12]})"
