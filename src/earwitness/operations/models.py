"""The models on this machine: list them, show one, import, export."""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from earwitness.decision.bundle import (
    CARD,
    EMBEDDED,
    GRAPH,
    GRAPH_DATA,
    WEIGHTS,
    check_file,
    file_digest,
    find_bundle,
    models_home,
    read_card,
    write_card,
)
from earwitness.decision.detector import read_settings
from earwitness.errors import EarwitnessError, ModelError, needs_extra
from earwitness.operations.show import visible


def list_models() -> list[dict[str, Any]]:
    """One row a bundle: name, kind, size, engines, where it is; damaged ones say so."""
    home = models_home()
    folders = sorted(path.parent for path in home.glob(f"*/{CARD}") if not path.parent.name.startswith("."))
    rows = []
    for folder in [EMBEDDED, *folders]:
        row: dict[str, Any] = {"name": folder.name, "folder": str(folder)}
        try:
            card = read_card(folder)
        except EarwitnessError as error:
            rows.append(row | {"kind": "damaged", "error": str(error)})
            continue
        rows.append(row | summary(card) | {"bytes": bundle_bytes(folder, card)})
    return rows


def summary(card: dict[str, Any]) -> dict[str, Any]:
    """What a table says of a bundle."""
    architecture = card.get("architecture")
    architecture = architecture if isinstance(architecture, dict) else {}
    sizes = architecture.get("front_end")
    sizes = sizes if isinstance(sizes, dict) else {}
    front_end = "{} {} x {}".format(*(sizes.get(key, "?") for key in ("family", "layers", "width")))
    has_head = architecture.get("head") is not None or GRAPH in card["files"]
    return {
        "kind": "detector" if has_head else "front end",
        "front_end": front_end if sizes else "-",
        "head": architecture.get("head") or "-",
        "parameters": card.get("parameters"),
        "engines": [e for e, file in (("onnx", GRAPH), ("torch", WEIGHTS)) if file in card["files"]],
        "calibrated": card["calibration"] is not None,
        "licence": card.get("licence", "unknown"),
    }


def bundle_bytes(folder: Path, card: dict[str, Any]) -> int:
    """Bytes of the files that a card names."""
    return sum((folder / name).stat().st_size for name in card["files"] if (folder / name).is_file())


def show_model(model: str) -> dict[str, Any]:
    """The card of a bundle, and where it is.

    Raises:
        ModelError: there is none, or its card cannot be read.
    """
    folder = find_bundle(model)
    return {"folder": str(folder), **read_card(folder)}


def export_model(model: str) -> dict[str, Any]:
    """Add an ONNX graph to a bundle, checked against torch; returns the new card.

    Raises:
        ModelError: there is nothing to export, the network cannot be expressed, or the graph
            does not agree.
        MissingExtra: torch, transformers or onnxscript is not installed.
    """
    with needs_extra("train"):
        from earwitness.decision.graph import check_graph, write_graph
        from earwitness.decision.network import fold_weight_norms, load_network, read_blueprint

    folder = find_bundle(model)
    card = read_card(folder)
    if folder == EMBEDDED:
        raise ModelError("the embedded model has its graph already")
    if WEIGHTS not in card["files"]:
        raise ModelError(f"{folder}: has no {WEIGHTS} to export")
    blueprint = read_blueprint(card, folder)
    if blueprint.head is None:
        raise ModelError(f"{folder}: a front end without a head has no score to export")
    network = load_network(blueprint, check_file(folder, card, WEIGHTS))
    fold_weight_norms(network)
    settings = read_settings(card, folder)
    min_samples, masked = settings["min_samples"], settings["padding"]
    free_length = card["input"].get("samples") is None
    with making_room(folder) as part:
        write_graph(network, part / GRAPH, min_samples, free_length)
        gap = check_graph(network, part, min_samples, masked, free_length)
        written = [path.name for path in sorted(part.iterdir())]
        files = {name: file_digest(part / name) for name in written}
        for name in (GRAPH_DATA, GRAPH):  # the card names neither until both are there
            if name in files:
                (part / name).replace(folder / name)
        card["files"] = {**card["files"], **files}
        card["graph"] = {"difference_from_torch": gap, "checked_on": "random audio, alone and in a batch"}
        write_card(folder, card)
    return card


@contextmanager
def making_room(folder: Path) -> Iterator[Path]:
    """A hidden folder inside a bundle, gone when done.

    Raises:
        ModelError: the bundle cannot be written.
    """
    try:
        with TemporaryDirectory(prefix=".graph-", dir=folder, ignore_cleanup_errors=True) as part:
            yield Path(part)
    except OSError as error:
        raise ModelError(f"{folder}: cannot be written: {error.strerror or error}") from None


@contextmanager
def working(what: str) -> Iterator[None]:
    """Show on a terminal that something long goes on, and for how long by now."""
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        progress.add_task(visible(what), total=None)
        yield


def run_import(source: Path, name: str, heads: int | None, as_json: bool) -> None:
    """`earwitness models import`."""
    with needs_extra("train"):
        from earwitness.decision.importer import import_model

    started = time.monotonic()
    with working(f"importing {source.name}"):
        card = import_model(source, name, heads)
    report(card, f"imported in {time.monotonic() - started:.1f} s", as_json)


def run_export(model: str, as_json: bool) -> None:
    """`earwitness models export`."""
    started = time.monotonic()
    with working(f"exporting {model}"):
        card = export_model(model)
    gap = card["graph"]["difference_from_torch"]
    report(
        card, f"graph written in {time.monotonic() - started:.1f} s, within {gap:.1g} nats of torch", as_json
    )


def report(card: dict[str, Any], did: str, as_json: bool) -> None:
    """Say what was made: the card for machines, two lines for people."""
    if as_json:
        sys.stdout.write(json.dumps(card) + "\n")
        return
    row = summary(card)
    name, parameters = card["name"], row["parameters"]
    size = f"{parameters / 1e6:.2f} M parameters" if parameters else ""
    sys.stdout.write(f"{name}: {row['kind']}, {row['front_end']}, head {row['head']}, {size}; {did}\n")
    sys.stdout.write(f"licence: {row['licence']}\n")
    if row["kind"] == "detector":
        sys.stdout.write(f"next: earwitness scan --model {name} FILES\n")


def run_list(as_json: bool) -> None:
    """`earwitness models list`."""
    rows = list_models()
    if as_json:
        for row in rows:
            sys.stdout.write(json.dumps(row) + "\n")
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for title, right in (("model", 0), ("kind", 0), ("front end", 0), ("head", 0), ("M", 1), ("engines", 0)):
        table.add_column(title, justify="right" if right else "left")
    table.add_column("calibrated")
    table.add_column("MB", justify="right")
    for row in rows:
        if row["kind"] == "damaged":
            sys.stderr.write(visible(f"{row['name']}: damaged: {row['error']}") + "\n")
            continue
        cells = (
            row["name"],
            row["kind"],
            row["front_end"],
            row["head"],
            f"{row['parameters'] / 1e6:.2f}" if row["parameters"] else "-",
            ", ".join(row["engines"]) or "-",
            "yes" if row["calibrated"] else "no",
            f"{row['bytes'] / 1e6:.1f}",
        )
        table.add_row(*(Text(visible(str(cell)), no_wrap=True) for cell in cells))  # no markup in a name
    Console(width=None if sys.stdout.isatty() else 160).print(table)


def run_show(model: str, as_json: bool) -> None:
    """`earwitness models show`."""
    card = show_model(model)
    if as_json:
        sys.stdout.write(json.dumps(card) + "\n")
        return
    row = summary(card)
    lines = {
        "name": f"{card['name']} (version {card['version']}), {row['kind']}",
        "what": card.get("what"),
        "folder": card["folder"],
        "front end": row["front_end"],
        "head": row["head"],
        "parameters": f"{row['parameters']:,}" if row["parameters"] else None,
        "engines": ", ".join(row["engines"]),
        "calibrated": "yes" if row["calibrated"] else "no: scores are raw, thresholds cautious guesses",
        "thresholds": f"fake from {card['thresholds']['fake']}, genuine to {card['thresholds']['genuine']}",
        "licence": row["licence"],
        "source": source_line(card),
        **{f"file {name}": str(digest)[:16] for name, digest in card["files"].items()},
    }
    for limit in card.get("limits", []):
        lines[f"limit {len(lines)}"] = limit
    for key, value in lines.items():
        if value:
            title = "limit" if key.startswith("limit") else key
            sys.stdout.write(f"{title:<24}{visible(str(value))}\n")


def source_line(card: dict[str, Any]) -> str | None:
    """Where an imported model came from."""
    source = card.get("source")
    return f"{source['file']} ({source['layout']} layout, {source['sha256'][:16]})" if source else None
