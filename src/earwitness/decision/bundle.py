"""Write and find bundles: folders with a card and the files that it names with their digests.

A bundle is made in a hidden folder beside its place and moved there when it is whole, so that a
run that fails leaves nothing behind.
"""

import hashlib
import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from earwitness.errors import ModelError

CARD, WEIGHTS, GRAPH, GRAPH_DATA = "model.json", "model.safetensors", "model.onnx", "model.onnx.data"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
MAX_JSON = 4 << 20  # bytes
FIELDS = {  # of a card, and what they are
    **dict.fromkeys(("name", "version", "licence"), str),
    **dict.fromkeys(("files", "thresholds", "windowing", "input", "output", "source"), dict),
    "calibration": dict | None,
    "architecture": dict | str,
    "parameters": int | None,
    "limits": list,
}
OPTIONAL = {"licence", "source", "architecture", "parameters", "limits"}
EMBEDDED = Path(__file__).parents[1] / "models" / "embedded"


def models_home() -> Path:
    """Where imported bundles live: `$EARWITNESS_MODELS`, or this platform's place for user data."""
    chosen = os.environ.get("EARWITNESS_MODELS")
    if chosen:
        return Path(chosen)
    if sys.platform == "win32":
        data = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        data = Path.home() / "Library" / "Application Support"
    else:
        data = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return data / "earwitness" / "models"


def find_bundle(model: str | os.PathLike | None) -> Path:
    """The folder of a bundle named by path or by name; the embedded one for None.

    Raises:
        ModelError: there is none.
    """
    if model is None or str(model) == "embedded":
        return EMBEDDED
    path = Path(model)
    if (path / CARD).is_file():
        return path
    named = models_home() / str(model)
    if NAME.fullmatch(str(model)) and (named / CARD).is_file():
        return named
    if path.is_dir():
        raise ModelError(f"{path}: holds no {CARD}; --model takes the folder of a bundle, or its name")
    if path.is_file():
        raise ModelError(f"{path}: a file, not a bundle; `earwitness models import` makes one of it")
    raise ModelError(f"{model}: neither a bundle's folder nor one of `earwitness models list`")


def new_place(name: str) -> Path:
    """Where a bundle called `name` will live.

    Raises:
        ModelError: the name is taken, or none.
    """
    if not NAME.fullmatch(name) or name == "embedded":
        raise ModelError(f"{name!r} cannot be a model's name: letters, digits, '.', '_' and '-', 64 at most")
    place = models_home() / name
    if place.exists():
        raise ModelError(
            f"{place}: a model called {name!r} is there already; choose another name, or delete it"
        )
    return place


@contextmanager
def unfinished(place: Path) -> Iterator[Path]:
    """A hidden folder that becomes `place` if all goes well, and vanishes if not.

    Raises:
        ModelError: the folder cannot be made, or the place was taken meanwhile.
    """
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{place.name}-", dir=place.parent))
    except OSError as error:
        raise ModelError(f"{place.parent}: cannot be written: {error.strerror}") from None
    try:
        yield folder
        folder.chmod(0o755)
        try:
            folder.rename(place)
        except OSError as error:
            why = "another run made it meanwhile" if place.exists() else error.strerror
            raise ModelError(f"{place}: cannot be put there: {why}") from None
    except OSError as error:
        raise ModelError(f"{folder}: cannot be written: {error.strerror or error}") from None
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def file_digest(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_card(folder: Path, card: dict[str, Any]) -> None:
    """Write a card whole or not at all."""
    text = json.dumps(card, indent=1, ensure_ascii=False) + "\n"
    part = folder / f".{CARD}.part"
    part.write_text(text, encoding="utf-8")
    part.replace(folder / CARD)


def read_card(folder: Path) -> dict[str, Any]:
    """The card of a bundle.

    Raises:
        ModelError: it is missing, not JSON, or lacks a field.
    """
    path = folder / CARD
    card = read_json(path)
    missing = sorted(set(FIELDS) - set(card) - OPTIONAL) if isinstance(card, dict) else sorted(FIELDS)
    if missing:
        raise ModelError(f"{path}: the card lacks {', '.join(missing)}")
    for name, kinds in FIELDS.items():
        if name in card and not isinstance(card[name], kinds):
            raise ModelError(f"{path}: the card's {name} is a {type(card[name]).__name__}")
    if not all(NAME.fullmatch(name) and isinstance(d, str) for name, d in card["files"].items()):
        raise ModelError(f"{path}: the card names files outside its folder, or without their digests")
    return card


def read_json(path: Path) -> Any:
    """A small file of JSON.

    Raises:
        ModelError: it is missing, not a plain file, over 4 MB, or not JSON.
    """
    try:
        if not path.is_file():
            raise ModelError(f"{path}: no such file")
        if path.stat().st_size > MAX_JSON:
            raise ModelError(f"{path}: {path.stat().st_size:,} bytes; at most {MAX_JSON:,} are read")
        with path.open("rb") as file:
            return json.loads(file.read(MAX_JSON).decode("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{path}: not readable as JSON: {str(error)[:120]}") from None


def check_file(folder: Path, card: dict[str, Any], name: str) -> Path:
    """The path of one of the card's files, its digest checked.

    Raises:
        ModelError: it is missing or altered.
    """
    path = folder / name
    if not path.is_file():
        raise ModelError(f"{path}: no such file, though the card names it; fetch the bundle again")
    found, expected = file_digest(path), card["files"][name]
    if found != expected:
        raise ModelError(
            f"{path}: digest {found[:12]} where the card says {str(expected)[:12]}; "
            "the file was altered or belongs to another card: fetch the bundle again"
        )
    return path
