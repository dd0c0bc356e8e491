"""One `earwitness scan`, from what the user named to the exit code."""

import hashlib
import io
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from earwitness.audio.io import Source
from earwitness.decision.bundle import file_digest, read_card
from earwitness.decision.detector import choose_engine, read_settings
from earwitness.errors import InputError
from earwitness.evidence.verdict import printable_path, to_record
from earwitness.operations.exports import LABELS_END, SpanFiles, safe_names
from earwitness.operations.hearing import NOT_CALIBRATED, ScanOptions, opened_scheme
from earwitness.operations.inputs import find_files, read_list, real_name
from earwitness.operations.journal import Journal, Key
from earwitness.operations.scan import bundle_of, check, scan_many
from earwitness.operations.show import CsvFile, JsonLines, Table, counting, summarise, visible
from earwitness.types import VERDICTS

STREAM: Key = ("<stream>", None)  # how the record of a stream names it
EXIT_OK, EXIT_FAILED, EXIT_MATCHED = 0, 1, 3


@dataclass(frozen=True)
class Outputs:
    """Where answers go: to the standard output as a table or JSON, and into files."""

    as_json: bool = False
    csv: Path | None = None
    journal: Path | None = None
    rttm: Path | None = None
    labels: Path | None = None  # a folder


def run_scan(
    named: list[str], options: ScanOptions, model: str | None, outputs: Outputs, fail_on: str, ray: str = ""
) -> int:
    """Scan what is named, show it, and give the exit code; `ray` is the address of a cluster that scores.

    Raises:
        InputError: nothing to scan, an unknown verdict in `fail_on`, a journal of other work, an output
            that cannot be written, or of spans that the model cannot tell, a tracer of another model.
        ModelError: the bundle cannot be used.
        ValueError: the prior is not between 0 and 1.
    """
    check(options)
    if sys.stdout is None:
        raise InputError("usage", "the standard output is closed; send it to a file or to /dev/null")
    folder = bundle_of(model)
    card = read_card(folder)  # before any file is written
    engine = " ".join(choose_engine(card, options.engine, options.precision))
    if options.tracer:
        from earwitness.operations.attribute import open_tracer, space_of_card, tracer_file

        options = replace(options, tracer=tracer_file(options.tracer, folder))
        open_tracer(options.tracer or "", space_of_card(card))
    if isinstance(sys.stdout, io.TextIOWrapper):  # a terminal without these characters gets escapes
        sys.stdout.reconfigure(errors="backslashreplace")
    wanted = parse_verdicts(fail_on)
    if outputs.rttm or outputs.labels:
        check_spans(card, folder)
    sources, skipped = gather(named)
    names: dict[Key, str] = {}
    if outputs.rttm or outputs.labels:
        names = safe_names([source_key(source) or STREAM for source in sources])
    guard_outputs(outputs, sources, names)
    counts: Counter[str] = Counter()
    started = time.monotonic()
    with ExitStack() as stack:
        journal, todo = None, sources
        if outputs.journal:
            journal = stack.enter_context(Journal(outputs.journal, journal_head(card, options, engine)))
            todo = [source for source in sources if source_key(source) not in journal.records]
        show = JsonLines() if outputs.as_json else Table(options.timeline)
        files: list[CsvFile | SpanFiles] = []
        if outputs.csv:
            files.append(stack.enter_context(CsvFile(outputs.csv)))
        if outputs.rttm or outputs.labels:
            files.append(stack.enter_context(SpanFiles(names, outputs.rttm, outputs.labels)))
        count_up = stack.enter_context(counting(len(sources)))
        for record in records(sources, todo, journal, options, model, ray):
            counts[record["verdict"]] += 1
            show(record)
            for file in files:
                file.write(record)
            count_up(1)
    if not outputs.as_json:
        summarise(counts, time.monotonic() - started, skipped, len(sources) - len(todo), engine)
        if card["calibration"] is None:
            sys.stderr.write(f"{card['name']}: {NOT_CALIBRATED}\n")
    if any(counts[name] for name in wanted):
        return EXIT_MATCHED
    return EXIT_FAILED if counts["error"] else EXIT_OK


def parse_verdicts(text: str) -> set[str]:
    """`fake,error` -> a set of verdicts.

    Raises:
        InputError: `usage`: a word that is no verdict.
    """
    wanted = {word.strip() for word in text.split(",") if word.strip()}
    unknown = sorted(wanted - set(VERDICTS))
    if unknown:
        raise InputError(
            "usage", f"--fail-on: no verdict is called {unknown[0]!r}; one of {', '.join(VERDICTS)}"
        )
    return wanted


def gather(named: list[str]) -> tuple[list[Source], int]:
    """Sources to scan, and the number of files in folders that are no audio by name.

    Raises:
        InputError: `usage`: nothing to scan.
    """
    paths: list[Path] = []
    sources: list[Source] = []
    for name in named:
        if not name:
            raise InputError("usage", "a path is empty; an unset variable, perhaps? '.' is this folder")
        if name == "-":
            paths += read_list(sys.stdin.buffer.read())
        elif name == "/dev/stdin":
            sources.append(sys.stdin.buffer)
        else:
            paths.append(Path(name))
    found = find_files(paths)
    sources += found.paths
    if not sources:
        passed = f" (passed over by name: {found.skipped})" if found.skipped else ""
        shown = visible(" ".join(printable_path(name)[0] for name in named))
        raise InputError("usage", f"no audio files in {shown}{passed}; name a file to scan it anyway")
    return sources, found.skipped


def source_key(source: Source) -> Key | None:
    """How a journal names a source; None for a stream, which cannot be gone on with."""
    return printable_path(source) if isinstance(source, Path) else None


def check_spans(card: dict[str, Any], folder: Path) -> None:
    """Refuse files of spans from a model that only knows whole recordings.

    Raises:
        InputError: `usage`.
        ModelError: the card has a field that cannot be used.
    """
    if read_settings(card, folder)["localisation"] is None:
        raise InputError(
            "usage",
            f"--rttm, --labels: {card['name']} cannot tell which moments are fake; take a model that can",
        )


def guard_outputs(outputs: Outputs, sources: list[Source], names: dict[Key, str]) -> None:
    """Never write over a recording, nor two outputs into one file.

    Raises:
        InputError: `usage`.
    """
    taken = {real_name(source) for source in sources if isinstance(source, Path)}
    wanted = [("--resume", outputs.journal), ("--csv", outputs.csv), ("--rttm", outputs.rttm)]
    if outputs.labels:
        wanted += [("--labels", outputs.labels / f"{name}{LABELS_END}") for name in names.values()]
    for option, path in wanted:
        if path is None:
            continue
        if real_name(path) in taken:
            raise InputError("usage", f"{option} {path}: is already read or written here; name another file")
        taken.add(real_name(path))


def journal_head(card: dict[str, Any], options: ScanOptions, engine: str) -> dict[str, Any]:
    """What must be the same for a journal to be gone on with."""
    return {
        "model": card["files"],
        "card": hashlib.sha256(json.dumps(card, sort_keys=True).encode()).hexdigest(),
        "engine": engine,
        "prior": options.prior,
        "gate": options.gate,
        "timeline": options.timeline,
        "knowledge": named_base(options.knowledge) if options.knowledge else None,
        "tracer": file_digest(Path(options.tracer)) if options.tracer else None,
        "watermark": opened_scheme(options.watermark).digest if options.watermark else None,
    }


def named_base(place: str | Path) -> str:
    """A knowledge base in a journal: the path, or the digest of an address, which may hold a password."""
    from earwitness.evidence.places import is_server

    return hashlib.sha256(str(place).encode()).hexdigest() if is_server(place) else str(Path(place).resolve())


def records(
    sources: list[Source],
    todo: list[Source],
    journal: Journal | None,
    options: ScanOptions,
    model: str | None,
    ray: str = "",
) -> Iterator[dict[str, Any]]:
    """Records of all sources: those in the journal first, then new ones as they come."""
    if journal:
        answered = [source_key(source) for source in sources]
        yield from [journal.records[key] for key in answered if key in journal.records]
    if ray:
        from earwitness.operations.cluster import scan_cluster

        new = scan_cluster(todo, ray, model=model, options=options)
    else:
        new = map(to_record, scan_many(todo, model=model, options=options))
    for record in new:
        if journal:
            journal.append(record)
        yield record
