"""Watermarks as a command: mark recordings, and say of recordings whether and by whom they are marked."""

import io
import os
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.text import Text

from earwitness.audio.io import Recording, Source, digest, open_file, open_recording
from earwitness.audio.native import CONTAINERS, Native, new_file
from earwitness.audio.probe import check_whole
from earwitness.errors import InputError
from earwitness.evidence import watermark as marks
from earwitness.evidence.report_text import clock as moment
from earwitness.evidence.verdict import printable_path, rounded
from earwitness.evidence.watermark import Scheme
from earwitness.evidence.watermark_adapters import UNMEASURED
from earwitness.evidence.watermark_bundle import list_schemes, open_scheme
from earwitness.operations.exports import safe_names
from earwitness.operations.hearing import unexpected
from earwitness.operations.inputs import real_name
from earwitness.operations.scan import available_processors
from earwitness.operations.show import JsonLines, counting, visible

SCHEMA = 1
NOTE = (
    "A watermark says who marked a recording, not that it is fake: anybody can mark genuine speech. "
    "That none was found says nothing: most speech is never marked, and marks can be taken off."
)
WIDTH, SHOWN = 26, 8  # of a name in the table; spans under a row
HEAD = f"{'watermark':<11}{'chance':>8}  {'names':<{WIDTH}}{'confidence':>10}  file"
COLOURS = {"marked": "bold", "none found": "dim", "error": "magenta"}


def run_embed(
    named: list[str],
    place: str,
    who: str | None,
    strength: float,
    out: Path,
    force: bool,
    as_json: bool,
    threads: int = 0,
) -> int:
    """Write a marked copy of each recording; the exit code: 1 if some could not be.

    Raises:
        InputError: nothing to mark, a name that the watermark has not, an output that is an input.
        ModelError: the watermark cannot be used.
        MissingExtra: a package that it needs is absent.
    """
    from earwitness.operations.run import gather

    scheme = open_scheme(place, threads or available_processors())
    message = message_of(scheme, who)
    marks.check(scheme, scheme.sample_rate, message, strength)
    sources = gather(named)[0]
    paths = [source for source in sources if isinstance(source, Path)]
    if len(paths) < len(sources):
        raise InputError("usage", "a stream cannot be marked; save it to a file first")
    targets = targets_of(paths, out)

    def mark(source: Source) -> dict[str, Any]:
        assert isinstance(source, Path)
        return embedded(scheme, source, targets[source], message, strength, force) | {"names": who}

    def row(record: dict[str, Any]) -> list[Text]:
        error = record["error"]
        told = error["message"] if error else "; ".join(record["warnings"])
        first = f"{'error' if error else 'marked':<11}{visible(record['path'])}"
        first += "" if error else f" -> {visible(record['out'])}"
        return [Text(first), *([Text(f"{'':<11}{visible(told)}", "dim")] if told else [])]

    counts = each(sources, mark, as_json, row, "marking")
    return 1 if counts["error"] else 0


def run_detect(named: list[str], place: str, as_json: bool, threads: int = 0) -> int:
    """Say of each recording whether it is marked, where and by whom; the exit code: 1 if some were not read.

    Raises:
        InputError: nothing to hear.
        ModelError: the watermark cannot be used.
        MissingExtra: a package that it needs is absent.
    """
    from earwitness.operations.run import gather

    scheme = open_scheme(place, threads or available_processors())
    sources = gather(named)[0]
    if not as_json:
        Console(highlight=False, soft_wrap=True).print(Text(HEAD, "bold"))
    counts = each(sources, lambda source: detected(scheme, source), as_json, rows_of, "listening")
    if not as_json:
        sys.stdout.write(f"{NOTE}\n")
    return 1 if counts["error"] else 0


def run_list(as_json: bool) -> None:
    """Show what watermarks are at hand, and what the others need."""
    offers = list_schemes()
    if as_json:
        for offer in offers:
            JsonLines()(asdict(offer))
        return
    for offer in offers:
        how = "at hand" if offer.at_hand else f"pip install 'earwitness[{offer.needs}]'"
        how = how if offer.at_hand or offer.needs else "cannot be used"
        sys.stdout.write(f"{offer.name:<16}{how:<40}{offer.what}; {offer.licence or 'no licence'}\n")
        if offer.note:
            sys.stdout.write(f"{'':<16}{visible(offer.note)}\n")
    sys.stdout.write("Any folder with a watermark.json can be used too, by its path.\n")


def each(
    sources: list[Source],
    work: Callable[[Source], dict[str, Any]],
    as_json: bool,
    rows: Callable[[dict[str, Any]], list[Text]],
    doing: str,
) -> Counter[str]:
    """Work on each source and show its record; how often which `result` came."""
    if isinstance(sys.stdout, io.TextIOWrapper):  # a terminal without these characters gets escapes
        sys.stdout.reconfigure(errors="backslashreplace")
    console, counts, started = Console(highlight=False, soft_wrap=True), Counter(), time.monotonic()
    with counting(len(sources), doing) as count_up:
        for source in sources:
            record = work(source)
            counts[record["result"]] += 1
            if as_json:
                JsonLines()(record)
            else:
                for row in rows(record):
                    console.print(row)
            count_up(1)
    if not as_json:
        total = f"{len(sources)} {'file' if len(sources) == 1 else 'files'}: "
        found = ", ".join(f"{counts[name]} {name}" for name in COLOURS if counts[name])
        console.print(f"\n{total}{found}   {time.monotonic() - started:.1f} s")
    return counts


def message_of(scheme: Scheme, who: str | None) -> np.ndarray:
    """The message (size,) that names somebody; of sixteen bits, say, where a watermark has bits and no names.

    Raises:
        InputError: `usage`.
    """
    if scheme.names:
        if who in scheme.names:
            return scheme.messages[scheme.names.index(who)]
        shown = ", ".join(scheme.names[:20]) + (", ..." if len(scheme.names) > 20 else "")
        raise InputError("usage", f"--as {who or 'NAME'}: {scheme.name} can name {shown}")
    if scheme.bits is not None:
        size = scheme.bits.shape[1]
        if who is None or len(who) != size or set(who) - set("01"):
            raise InputError("usage", f"--as {who or 'BITS'}: {scheme.name} takes {size} bits, each 0 or 1")
        return np.array([1.0 if bit == "1" else -1.0 for bit in who], np.float32)
    if who is not None:
        raise InputError("usage", f"--as {who}: {scheme.name} names nobody; leave --as away")
    return scheme.messages[0]


def targets_of(sources: list[Path], out: Path) -> dict[Path, Path]:
    """Where the marked copy of each source goes: into a folder, or the one file that `out` is by its suffix.

    Raises:
        InputError: `usage`: several sources and one file, or a copy that is one of the sources;
            `unwritable`: the folder cannot be made.
    """
    if out.suffix.lower() in CONTAINERS and not out.is_dir():
        if len(sources) > 1:
            raise InputError(
                "usage", f"--out {out}: is one file, for {len(sources)} recordings; name a folder"
            )
        targets = {sources[0]: out}
    else:
        try:
            out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError("unwritable", f"--out {out}: {error.strerror}") from None
        keys = {source: printable_path(source) for source in sources}
        names = safe_names(list(keys.values()))
        targets = {
            source: out / f"{names[key]}{'.flac' if source.suffix.lower() == '.flac' else '.wav'}"
            for source, key in keys.items()
        }
    taken, identities = {real_name(source) for source in sources}, set(map(identity, sources)) - {None}
    for target in targets.values():
        if real_name(target) in taken or identity(target) in identities:
            raise InputError("usage", f"--out: {target} is one of the recordings; name another place")
    return targets


def identity(path: Path) -> tuple[int, int] | None:
    """Device and number of a file; None where there is none."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    return status.st_dev, status.st_ino


def embedded(
    scheme: Scheme, source: Path, target: Path, message: np.ndarray, strength: float, force: bool
) -> dict[str, Any]:
    """Write a marked copy, whole or not at all; its record, whatever happens."""
    record = begun(scheme, source, "marked") | {"out": printable_path(target)[0], "strength": strength}

    def mark(recording: Recording, track: Native) -> None:
        with new_file(target, track.form, force) as file:
            rate = track.form.sample_rate
            for block in marks.embed_stream(scheme, track.blocks(), rate, message, strength):
                file.write(block)
            check_whole(recording)
        if file.clipped:
            lost = f"{file.clipped} samples beyond full scale were cut; a .wav of a float source keeps them"
            record["warnings"].append(lost)

    return opened(record, source, mark)


def detected(scheme: Scheme, source: Source) -> dict[str, Any]:
    """What a scheme finds in a recording, as a record, whatever happens."""
    record = begun(scheme, source, "none found")
    record |= dict.fromkeys(("marked", "score", "threshold", "chance", "spans", "named", "bits"))

    def hear(recording: Recording, track: Native) -> None:
        found = marks.listen_stream(scheme, track.blocks(), track.form.sample_rate)
        seen = marks.detect(scheme, found)
        record["marked"], record["result"] = seen.marked, "marked" if seen.marked else "none found"
        record["score"] = rounded(seen.score) if np.isfinite(seen.score) else None
        record["threshold"], record["chance"] = rounded(seen.threshold), float(f"{seen.chance:.3g}")
        spans = [{"start_s": start_s, "end_s": end_s} for start_s, end_s in seen.spans]
        record["spans"] = spans if scheme.step else None
        if seen.marked:  # what is read where nothing was written means nothing
            who = marks.attribute(scheme, found)
            record["named"] = vars(who) | {"confidence": rounded(who.confidence)} if who else None
            record["bits"] = "".join(map(str, marks.decode(scheme, found))) or None
        try:
            check_whole(recording)
        except InputError as error:
            record["warnings"].append(error.message)

    return opened(record, source, hear)


def begun(scheme: Scheme, source: Source, result: str) -> dict[str, Any]:
    """The record of a recording that is yet to be opened."""
    path, raw = printable_path(source) if isinstance(source, Path) else ("<stream>", None)
    return {
        "schema": SCHEMA,
        "path": path,
        **({"path_bytes": raw} if raw else {}),
        "result": result,
        **dict.fromkeys(("sha256", "duration_s", "sample_rate", "channels", "codec")),
        "scheme": {"name": scheme.name, "digest": scheme.digest},
        "note": NOTE,
        "warnings": [UNMEASURED[scheme.name]] if scheme.name in UNMEASURED else [],
        "error": None,
    }


def opened(
    record: dict[str, Any], source: Source, work: Callable[[Recording, Native], None]
) -> dict[str, Any]:
    """The record of a source, worked on as it is stored; of one that fails, with its error."""
    try:
        with open_file(source) as file:
            record["sha256"] = digest(file)
            with open_recording(file, record["path"]) as recording:
                track = Native(recording)
                form = track.form
                record |= {"sample_rate": form.sample_rate, "channels": form.channels}
                record["codec"] = recording.info.codec
                work(recording, track)
                record["duration_s"] = rounded(recording.decoded_s, 3)
                record["warnings"] += recording.notes
    except InputError as error:
        record |= {"result": "error", "error": {"code": error.code, "message": error.message}}
    except Exception as error:  # whatever a hostile file brings about, the others go on
        record |= {"result": "error", "error": vars(unexpected(error))}
    return record


def rows_of(record: dict[str, Any]) -> list[Text]:
    """What was found in a recording, for people."""
    row = Text()
    row.append(f"{record['result']:<11}", COLOURS[record["result"]])
    chance, who = record["chance"], record["named"]
    row.append(f"{'–' if chance is None else f'{chance:.2g}':>8}  ")
    name, sure = (visible(who["name"]), f"{who['confidence']:.2f}") if who else ("–", "–")
    row.append(f"{name:<{WIDTH}}{sure:>10}  {visible(record['path'])}")
    lines = [record["error"]["message"]] if record["error"] else []
    if record["spans"]:
        spans = [f"{moment(span['start_s'])}–{moment(span['end_s'])}" for span in record["spans"]]
        lines.append("marked: " + ", ".join(spans[:SHOWN]) + (", ..." if len(spans) > SHOWN else ""))
    if record["bits"]:
        lines.append(f"bits: {record['bits']}")
    if who and not who["valid"]:
        lines.append("the bits are not exactly those of the name")
    return [row, *(Text(f"{'':<11}{visible(line)}", "dim") for line in lines + record["warnings"])]
