"""A drift reference as a file: arrays without pickle, and a head in JSON."""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np

from earwitness.errors import InputError
from earwitness.operations.drift import Reference, View
from earwitness.operations.drift_options import DriftOptions

SCHEMA = 1
MOST_BYTES = 1 << 30
ARRAYS = ("mean", "spread", "axes", "sketch", "rows", "sources", "labels", "called_fake")


def write_reference(reference: Reference, path: Path) -> None:
    """Write a reference whole or not at all.

    Raises:
        InputError: `unwritable`.
    """
    head = {
        "schema": SCHEMA,
        "model": reference.model,
        "options": asdict(reference.options),
        "score": reference.score,
        "views": {
            name: {"inside": view.inside, "cusum_bound": view.cusum_bound, "distances": list(view.null)}
            for name, view in reference.views.items()
        },
    }
    arrays = {"head": np.frombuffer(json.dumps(head).encode(), np.uint8)}
    arrays |= {name: getattr(reference, name) for name in ARRAYS}
    for name, view in reference.views.items():
        arrays[f"{name}.rows"] = view.rows
        arrays[f"{name}.null"] = np.stack(list(view.null.values()))
    part = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
        part.replace(path)
    except OSError as error:
        raise InputError("unwritable", f"{path}: cannot be written: {error.strerror or error}") from None
    finally:
        part.unlink(missing_ok=True)


def read_reference(path: Path) -> Reference:
    """A reference that `write_reference` wrote.

    Raises:
        InputError: `bad-reference`: it is missing, damaged, or of another version of earwitness.
    """
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ValueError(f"more than {MOST_BYTES:,} bytes")
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        head = json.loads(arrays["head"].tobytes())
        if head["schema"] != SCHEMA:
            raise ValueError(f"of schema {head['schema']}; this version reads {SCHEMA}")
        views = {}
        for name, about in head["views"].items():
            null = dict(zip(about["distances"], arrays[f"{name}.null"], strict=True))
            bound = float(about["cusum_bound"])
            views[name] = View(arrays[f"{name}.rows"], float(about["inside"]), null, bound)
        return Reference(
            str(head["model"]),
            DriftOptions(**head["options"]),
            score=(float(head["score"][0]), float(head["score"][1])),
            views=views,
            **{name: arrays[name] for name in ARRAYS},
        )
    except Exception as error:  # a damaged archive raises nearly anything
        why = getattr(error, "strerror", None) or str(error)[:120]
        raise InputError("bad-reference", f"{path}: not a usable drift reference: {why}") from None
