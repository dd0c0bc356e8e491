"""Source tracing as a command: who made a recording, if it is fake.

Whether it is fake is for the verdict to say, so no name is given without one. `operations/tracers.py` learns
what is asked here.
"""

import io
import json
import sys
import time
import zipfile
import zlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.text import Text

from earwitness.decision.bundle import read_card
from earwitness.decision.detector import model_digest
from earwitness.errors import InputError
from earwitness.evidence import attribution as tracing
from earwitness.evidence.attribution import Tracer
from earwitness.evidence.verdict import to_record
from earwitness.operations.hearing import ScanOptions
from earwitness.operations.scan import bundle_of, check, scan_many
from earwitness.operations.show import COLOURS, JsonLines, counting, similar, summarise, visible
from earwitness.types import Attribution, Verdict

OWN, OWN_FILE = "own", "tracer.npz"  # the tracer that lies in a model's bundle
SHOWN = 3  # neighbours under a row
WIDTH = 26  # of a name in the table
HEAD = f"{'verdict':<10}{'p(fake)':>7}  {'if fake, made by':<{WIDTH}}  confidence  file"


def attributed(verdict: Verdict, tracer: Tracer) -> Verdict:
    """The verdict with who made the recording if it is fake; an error stays as it is.

    The windows' embeddings, of unit length, are averaged and brought to unit length, as those of a table.

    Raises:
        InputError: `bad-embeddings`.
    """
    if verdict.error:
        return verdict
    note = "" if verdict.verdict == "fake" else f"the verdict is {verdict.verdict}"
    if verdict.heard is None:
        note += ": nothing was heard that could be traced"
        return replace(
            verdict, attribution=Attribution(None, None, None, None, tracer.level, "unknown", note)
        )
    (said,) = tracing.trace(tracer, verdict.heard.embeddings.mean(0, keepdims=True))
    note += ": the name holds only if the recording is fake all the same" if note else ""
    found = Attribution(
        said.label,
        said.confidence,
        said.known,
        said.nearest_name,
        tracer.level,
        "acoustic",
        note,
        said.neighbours,
    )
    return replace(verdict, attribution=found)


def tracer_file(place: str | Path, folder: Path) -> Path:
    """The file of a tracer; of `own`, that in the folder of the model's bundle.

    Raises:
        InputError: `usage`: the model has none.
    """
    if place != OWN:
        return Path(place)
    found = folder / OWN_FILE
    if not found.is_file():
        sentence = f"{folder.name}: the model has no tracer of its own"
        raise InputError("usage", f"{sentence}; learn one with `earwitness tracer learn`, and name its file")
    return found


def open_tracer(place: str | Path, space: str | None = None) -> Tracer:
    """A tracer of a file; with `space`, of embeddings of this digest.

    Raises:
        InputError: `bad-tracer`; `tracer-space`: of another model.
    """
    path = Path(place)
    return tracing.load(path, read_space(path) if space is None else space)


def read_space(path: Path) -> str:
    """The digest of the model whose embeddings a tracer compares; nothing else is checked.

    Raises:
        InputError: `bad-tracer`.
    """
    try:
        with zipfile.ZipFile(path) as archive, archive.open("about.npy") as file:
            data = io.BytesIO(file.read(tracing.MAX_BYTES))
        np.lib.format.read_magic(data)
        np.lib.format.read_array_header_1_0(data)
        return str(json.loads(data.read())["space"])
    except (*tracing.DAMAGE, zipfile.BadZipFile, zlib.error) as error:
        sentence = f"{path}: no tracer of earwitness, or damaged ({error!s:.120})"
        raise InputError("bad-tracer", sentence) from None


def space_of_card(card: Mapping[str, Any]) -> str:
    """The digest that models with the same embeddings share; `ModelId.space` of that card's model."""
    return str(card.get("embedding_of") or model_digest(dict(card)))


def run_attribute(
    named: list[str], place: str | Path, model: str | None, as_json: bool, threads: int = 0
) -> int:
    """Say of each recording who made it if it is fake; the exit code: 1 if some could not be read.

    Raises:
        InputError: nothing to hear; `bad-tracer`, `tracer-space`.
        ModelError: the bundle cannot be used.
    """
    from earwitness.operations.run import EXIT_FAILED, EXIT_OK, gather

    folder = bundle_of(model)
    file = tracer_file(place, folder)
    options = ScanOptions(threads=threads, tracer=file)
    check(options)
    tracer = open_tracer(file, space_of_card(read_card(folder)))
    if isinstance(sys.stdout, io.TextIOWrapper):  # a terminal without these characters gets escapes
        sys.stdout.reconfigure(errors="backslashreplace")
    sources, skipped = gather(named)
    show, counts, started = JsonLines() if as_json else Rows(), Counter(), time.monotonic()
    with counting(len(sources), "attributing") as count_up:
        for verdict in scan_many(sources, model=model, options=options):
            counts[verdict.verdict] += 1
            show(to_record(verdict))
            count_up(1)
    if not as_json:
        summarise(counts, time.monotonic() - started, skipped, 0)
        sys.stdout.write(visible(promise(tracer)) + "\n")
    return EXIT_FAILED if counts["error"] else EXIT_OK


def promise(tracer: Tracer) -> str:
    """What a name means, and what its absence."""
    return (
        f"Names are of {tracer.level} and hold only for what is fake; {tracing.NONE!r} is said of about "
        f"{tracer.false_rejection:.0%} of what is known."
    )


class Rows:
    """Rows for people, as they come: the verdict, and who made it if it is fake."""

    def __init__(self) -> None:
        self.console = Console(highlight=False, soft_wrap=True)
        self.headed = False

    def __call__(self, record: dict[str, Any]) -> None:
        if not self.headed:
            self.console.print(Text(HEAD, "bold"))
            self.headed = True
        found, p_fake = record.get("attribution"), record["p_fake"]
        row = Text()
        row.append(f"{record['verdict']:<10}", COLOURS[record["verdict"]])
        row.append("      –" if p_fake is None else f"{p_fake:>7.2f}")
        name, sure = "–", "–"
        if found and found["label"] is not None:
            name, sure = visible(found["label"]), f"{found['confidence']:.2f}"
        row.append(f"  {name:<{WIDTH}}  {sure:>10}  {visible(record['path'])}")
        self.console.print(row)
        for line in remarks(record):
            self.console.print(Text(f"{'':<10}{visible(line)}", "dim"))


def remarks(record: dict[str, Any]) -> list[str]:
    """What a person should read under a row."""
    if record["error"]:
        return [record["error"]["message"]]
    found = record["attribution"]
    lines = [found["note"]] if found["note"] else []
    if found["label"] == tracing.NONE:
        lines.append(f"most like {found['nearest_name']}")
    if found["neighbours"]:
        lines.append("nearest: " + ", ".join(similar(one) for one in found["neighbours"][:SHOWN]))
    return lines
