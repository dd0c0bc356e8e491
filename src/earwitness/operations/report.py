"""A report on one recording: scanned, or of a record that is there already; written, and checked later.

`make` gives the report of a record, with or without its file; `html`, `pdf` and `to_json` set it.
"""

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Any

from earwitness import __version__
from earwitness.audio.io import Recording, digest, open_file
from earwitness.decision.bundle import read_card
from earwitness.decision.detector import model_digest
from earwitness.errors import EarwitnessError, InputError
from earwitness.evidence.report import MOST, FileFacts, Report, build, check_record, to_json
from earwitness.evidence.report_credentials import look
from earwitness.evidence.report_html import check, html
from earwitness.evidence.report_pdf import pdf
from earwitness.evidence.report_pictures import Heard, draw, listen, size_of
from earwitness.evidence.report_text import plain
from earwitness.evidence.verdict import to_record
from earwitness.operations.hearing import ScanOptions
from earwitness.operations.inputs import real_name
from earwitness.operations.scan import bundle_of, consulted, open_detector, scan_group
from earwitness.operations.scan import check as check_options
from earwitness.operations.show import visible

__all__ = ["html", "make", "pdf", "run_check", "run_report", "to_json"]

EXIT_OK, EXIT_FAILED = 0, 1
LONG = 1 << 20  # bytes; a smaller file is done before a bar is read
NO_FILE = ("not-found", "unreadable", "not-a-file")
KINDS = {".html": "html", ".htm": "html", ".pdf": "pdf", ".json": "json"}
PACKAGES = ("numpy", "onnxruntime", "av", "soxr", "matplotlib", "c2pa-python")
TIMELINE = ScanOptions(timeline=True)
NO_AUDIO = "The recording was not at hand when this report was made: there are no pictures of it."

Told = Callable[[float], None]  # told the share that is done


@dataclass(frozen=True)
class Wanted:
    """What a report is made of and where it goes."""

    file: Path
    outs: tuple[Path, ...] = ()  # by their endings; one of HTML in the current folder by default
    force: bool = False
    model: str | None = None
    verdict: Path | None = None  # records to take instead of a scan
    options: ScanOptions = TIMELINE


def make(
    path: Path | None, record: Mapping[str, Any], card: Mapping[str, Any] | None, told: Told | None = None
) -> Report:
    """The report of a verdict record.

    Args:
        path: the recording; None where it was not kept.
        record: of `to_record`; with a timeline where there should be one.
        card: of the model that answered; None, or that of another model, where it is not at hand.
        told: called now and then with the share that is drawn.

    Raises:
        InputError: `bad-record`; `other-file`: the recording is not that of the record.
        MissingExtra: matplotlib is not installed.
    """
    record = check_record(record)
    if card is not None and model_digest(dict(card)) != record["model"]["digest"]:
        card = None
    if path is None:
        return build(record, FileFacts(note=NO_AUDIO), card, (), None, versions())
    try:
        with open_file(path) as file:
            found = digest(file)
            if record["sha256"] and found != record["sha256"]:
                raise InputError("other-file", f"{path}: SHA-256 {found[:16]}… is not that of the record")
            size, credentials = size_of(file), look(file)
            heard, why = None, ""
            try:
                heard = listen(file, path.name, record, share_of(record["duration_s"], told))
            except InputError as error:
                why = error.message
    except InputError as error:
        if error.code == "other-file":
            raise
        return build(record, FileFacts(note=no_pictures(error.message)), card, (), None, versions())
    facts, pictures = FileFacts(size, note=no_pictures(why)), ()
    if heard:
        facts, pictures = facts_of(heard, size), draw(heard, record)
    return build(record, facts, card, pictures, credentials, versions())


def share_of(duration_s: float | None, told: Told | None) -> Told | None:
    """What is to be told seconds, where the length is known."""
    return (lambda seconds: told(min(1.0, seconds / duration_s))) if told and duration_s else None


def facts_of(heard: Heard, size: int) -> FileFacts:
    """What is known of a file that was decoded."""
    note = f"Drawn as far as it can be decoded: {plain(heard.note)}." if heard.note else ""
    return FileFacts(size, heard.container, heard.promised_s, note)


def no_pictures(why: str) -> str:
    """Why nothing is drawn."""
    return f"There are no pictures: {plain(why)}."


def versions() -> dict[str, str]:
    """Versions of what makes a report, by name."""
    import av

    found = {"earwitness": __version__}
    for name in PACKAGES:
        with suppress(PackageNotFoundError):
            found[name] = version_of(name)
    libraries = {name: ".".join(map(str, av.library_versions[name])) for name in sorted(av.library_versions)}
    return found | {name: text for name, text in libraries.items() if name.startswith(("libavc", "libavf"))}


def run_report(wanted: Wanted) -> int:
    """Make the report, write it, and say where it is; the exit code: 1 where the file could not be heard.

    Raises:
        InputError: `usage`, `unwritable`; of the record, the knowledge base or the tracer.
        ModelError: the bundle cannot be used.
        MissingExtra: a package of the report is absent.
        ValueError: the prior is not between 0 and 1.
    """
    outs = wanted.outs or (default_out(wanted.file),)
    kinds = guard(wanted, outs)
    with bars(wanted.file) as started:
        if wanted.verdict:
            record = recorded(wanted.verdict, wanted.file)
            card = card_of(record, wanted.model)
        else:
            record, card = heard_now(wanted, started("hearing"))
        report = make(wanted.file, record, card, started("drawing"))
    makers = {
        "html": lambda: html(report).encode("utf-8"),
        "pdf": lambda: pdf(report),
        "json": lambda: (json.dumps(to_json(report), indent=1, allow_nan=False) + "\n").encode("ascii"),
    }
    made = {kind: makers[kind]() for kind in dict.fromkeys(kinds)}
    for out, kind in zip(outs, kinds, strict=True):
        write(out, made[kind])
    sys.stdout.write(visible(f"{report.verdict}: {report.headline}") + "\n")
    sys.stdout.writelines(visible(f"written: {out}") + "\n" for out in outs)
    sys.stdout.write(f"digest: {report.digest}\n")
    return EXIT_FAILED if record["verdict"] == "error" else EXIT_OK


@contextmanager
def bars(file: Path) -> Iterator[Callable[[str], Told]]:
    """A function that starts a bar for some work, on stderr; on a terminal and for long files only."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    console, size = Console(stderr=True), 0
    with suppress(OSError, ValueError):
        size = file.stat().st_size
    columns = (TextColumn("{task.description:<8}"), BarColumn(), TimeRemainingColumn())
    hidden = not console.is_terminal or size < LONG
    with Progress(*columns, console=console, disable=hidden, transient=True) as progress:

        def start(doing: str) -> Told:
            task = progress.add_task(doing, total=None)
            return lambda share: progress.update(task, total=1.0, completed=share)

        yield start


def default_out(file: Path) -> Path:
    """Where a report goes that nobody named a place for: the current folder."""
    stem = os.fsencode(file.stem)[:200]
    return Path(f"{os.fsdecode(stem)}-report.html")


def guard(wanted: Wanted, outs: tuple[Path, ...]) -> list[str]:
    """The kinds of the outputs; nothing is written over but by force, and the recording never.

    Raises:
        InputError: `usage`, `unwritable`.
    """
    taken = {real_name(wanted.file)} | ({real_name(wanted.verdict)} if wanted.verdict else set())
    kinds = []
    for out in outs:
        kind = KINDS.get(out.suffix.lower())
        if kind is None:
            raise InputError("usage", f"--out {out}: the name must end in .html, .pdf or .json")
        if real_name(out) in taken:
            raise InputError("usage", f"--out {out}: is already read or written here; name another file")
        if out.is_dir() or (os.path.lexists(out) and not wanted.force):
            raise InputError(
                "unwritable", f"{out}: is there already; name another with --out, or use --force"
            )
        if not out.parent.is_dir():
            raise InputError("unwritable", f"{out}: there is no folder {out.parent}")
        taken.add(real_name(out))
        kinds.append(kind)
    return kinds


def heard_now(wanted: Wanted, told: Told) -> tuple[dict[str, Any], dict[str, Any]]:
    """Scan a file: its record, and the card of the model.

    Raises:
        InputError, ModelError, MissingExtra, ValueError: as `operations.scan.scan`.
    """
    check_options(wanted.options)
    folder, options = bundle_of(wanted.model), wanted.options
    if options.tracer:
        from earwitness.operations.attribute import tracer_file

        options = replace(options, tracer=tracer_file(options.tracer, folder))
    detector = open_detector(str(folder), options, workers=1)

    def watch(recording: Recording) -> None:
        whole_s = recording.info.promised_s or (recording.container.duration or 0) / 1e6
        if whole_s:
            told(min(1.0, recording.decoded_s / whole_s))

    with consulted(detector, options) as ask:
        verdict = ask(scan_group(detector, [wanted.file], options, watch)[0])
    if verdict.error and verdict.error.code in NO_FILE:  # a paper on nothing would be none
        raise InputError(verdict.error.code, f"{wanted.file}: {verdict.error.message}")
    record = to_record(verdict)
    return record, read_card(folder)


def recorded(verdicts: Path, file: Path) -> dict[str, Any]:
    """The last record of JSON lines (or of one JSON object) that is of this file, by its digest.

    Raises:
        InputError: `bad-record`: none can be read; `other-file`: all are of other files.
    """
    with open_file(file) as opened:
        sha256 = digest(opened)
    found, count = None, 0
    try:
        with open_file(verdicts) as lines:
            while line := lines.readline(MOST):
                if not line.strip():
                    continue
                one = json.loads(line)
                count += 1
                if isinstance(one, dict) and one.get("sha256") == sha256:
                    found = one
    except (ValueError, RecursionError):
        raise InputError("bad-record", f"{verdicts}: line {count + 1} is no JSON") from None
    if found is None:
        sentence = f"{verdicts}: none of {count:,} records is of {file} (SHA-256 {sha256[:16]}…)"
        raise InputError("other-file", sentence + "; scan it again")
    return check_record(found)


def card_of(record: Mapping[str, Any], model: str | None) -> dict[str, Any] | None:
    """The card of the model of a record, where it is here.

    Raises:
        ModelError: the model that was named cannot be found.
        InputError: `other-model`: it is another than that of the record.
    """
    try:
        card = read_card(bundle_of(model or record["model"]["name"]))
    except EarwitnessError:
        if model:
            raise
        return None
    if model_digest(card) == record["model"]["digest"]:
        return card
    if model:
        sentence = f"--model {model}: is not the model of the record ({record['model']['digest'][:16]}…)"
        raise InputError("other-model", sentence)
    return None


def write(path: Path, content: bytes) -> None:
    """Write a file whole or not at all.

    Raises:
        InputError: `unwritable`.
    """
    part = path.with_name(f".{path.name[:100]}.{os.getpid()}.part")
    try:
        part.write_bytes(content)
        part.replace(path)
    except OSError as error:
        why = error.strerror or error
        raise InputError("unwritable", f"{path}: the report cannot be written: {why}") from None
    finally:
        with suppress(OSError):
            part.unlink()


def run_check(path: Path) -> int:
    """Say whether a report is as it was made; the exit code: 1 where it is not.

    Raises:
        InputError: `bad-report`: it is none, or a PDF; what `open_file` raises.
    """
    with open_file(path) as file:
        content = file.read(MOST + 1)
    if content.startswith(b"%PDF"):
        sentence = (
            f"{path}: a PDF; check the report in HTML or JSON that was made with it, and compare digests"
        )
        raise InputError("bad-report", sentence)
    try:
        found = check(content.decode("utf-8"), __version__)
    except UnicodeDecodeError:
        raise InputError("bad-report", f"{path}: no report of earwitness in HTML or JSON") from None
    except InputError as error:
        raise InputError(error.code, f"{path}: {error.message}") from None
    for line in found.wrong:
        sys.stdout.write(visible(f"NOT as it was made: {line}") + "\n")
    if not found.wrong:
        sys.stdout.write(visible(f"as it was made: report on {found.name}") + "\n")
        sys.stdout.write(visible(f"digest: {found.digest} (compare it with the one you noted)") + "\n")
    if found.note:
        sys.stdout.write(visible(found.note) + "\n")
    return EXIT_FAILED if found.wrong else EXIT_OK
