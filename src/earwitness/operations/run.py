"""One `earwitness scan`, from what the user named to the exit code."""

import hashlib
import io
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from earwitness.audio.io import Source
from earwitness.decision.bundle import find_bundle, read_card
from earwitness.decision.detector import choose_engine
from earwitness.errors import InputError
from earwitness.evidence import printable_path, to_record
from earwitness.operations.inputs import find_files, read_list, real_name
from earwitness.operations.journal import Journal
from earwitness.operations.scan import NOT_CALIBRATED, ScanOptions, check, scan_many
from earwitness.operations.show import CsvFile, JsonLines, Table, make_progress, summarise, visible
from earwitness.types import VERDICTS

EXIT_OK, EXIT_FAILED, EXIT_MATCHED = 0, 1, 3


def run_scan(
    named: list[str],
    options: ScanOptions,
    model: str | None,
    as_json: bool,
    csv_file: Path | None,
    fail_on: str,
    journal_file: Path | None,
) -> int:
    """Scan what is named, show it, and give the exit code.

    Raises:
        InputError: nothing to scan, an unknown verdict in `fail_on`, or a journal of other work.
        ModelError: the bundle cannot be used.
        ValueError: the prior is not between 0 and 1.
    """
    check(options)
    if sys.stdout is None:
        raise InputError("usage", "the standard output is closed; send it to a file or to /dev/null")
    card = read_card(find_bundle(model))  # before any file is written
    choose_engine(card, options.engine)
    if isinstance(sys.stdout, io.TextIOWrapper):  # a terminal without these characters gets escapes
        sys.stdout.reconfigure(errors="backslashreplace")
    wanted = parse_verdicts(fail_on)
    sources, skipped = gather(named)
    guard_outputs(csv_file, journal_file, sources)
    counts: Counter[str] = Counter()
    started = time.monotonic()
    with ExitStack() as stack:
        journal, todo = None, sources
        if journal_file:
            journal = stack.enter_context(Journal(journal_file, journal_head(card, options)))
            todo = [source for source in sources if source_key(source) not in journal.records]
        show = JsonLines() if as_json else Table(options.timeline)
        table_file = stack.enter_context(CsvFile(csv_file)) if csv_file else None
        progress = stack.enter_context(make_progress(len(sources)))
        for record in records(sources, todo, journal, options, model):
            counts[record["verdict"]] += 1
            show(record)
            if table_file:
                table_file.write(record)
            progress.advance(progress.task_ids[0])
    if not as_json:
        summarise(counts, time.monotonic() - started, skipped, len(sources) - len(todo))
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


def source_key(source: Source) -> tuple[str, str | None] | None:
    """How a journal names a source; None for a stream, which cannot be gone on with."""
    return printable_path(source) if isinstance(source, Path) else None


def guard_outputs(csv_file: Path | None, journal_file: Path | None, sources: list[Source]) -> None:
    """Never write over a recording, nor two outputs into one file.

    Raises:
        InputError: `usage`.
    """
    taken = {real_name(source) for source in sources if isinstance(source, Path)}
    for option, path in (("--resume", journal_file), ("--csv", csv_file)):
        if path is None:
            continue
        if real_name(path) in taken:
            raise InputError("usage", f"{option} {path}: is already read or written here; name another file")
        taken.add(real_name(path))


def journal_head(card: dict[str, Any], options: ScanOptions) -> dict[str, Any]:
    """What must be the same for a journal to be gone on with."""
    return {
        "model": card["files"],
        "card": hashlib.sha256(json.dumps(card, sort_keys=True).encode()).hexdigest(),
        "prior": options.prior,
        "gate": options.gate,
        "timeline": options.timeline,
    }


def records(
    sources: list[Source],
    todo: list[Source],
    journal: Journal | None,
    options: ScanOptions,
    model: str | None,
) -> Iterator[dict[str, Any]]:
    """Records of all sources: those in the journal first, then new ones as they come."""
    if journal:
        answered = [source_key(source) for source in sources]
        yield from [journal.records[key] for key in answered if key in journal.records]
    for verdict in scan_many(todo, model=model, options=options):
        record = to_record(verdict)
        if journal:
            journal.append(record)
        yield record
