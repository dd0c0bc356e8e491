"""`earwitness corpus synthesise`: fake speech made of the genuine rows of protocols, in pairs.

OUT gets `audio/`, `protocol.csv` with its JSON (each fake, and the genuine twin of every source that was
used), `manifest.jsonl` (method, settings and source of each file) and `left-out.csv`. Twin and fakes share
Source, group, fold, split, speaker, level, length, band, silence and format; only artefacts differ.
A file depends on seed, source and method alone, so that neither `jobs` nor an interruption changes it; the
same command on a folder that is not complete goes on there, and a larger `count` adds to it.
"""

import json
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from earwitness.audio.io import SAMPLE_RATE
from earwitness.audio.protocol import Utterance, read_protocols, write_protocol
from earwitness.audio.synthesis.methods import METHODS
from earwitness.audio.synthesis.neural import load_vocoder, read_facts
from earwitness.decision.bundle import file_digest
from earwitness.errors import InputError, needs_extra
from earwitness.operations.corpus import show_table, write_about
from earwitness.operations.corpus_copies import (
    NEURAL,
    TWIN,
    Job,
    Request,
    Work,
    draws,
    find_method,
    vocoder_name,
)
from earwitness.operations.corpus_memory import LeftOut
from earwitness.operations.corpus_pairing import MAX_S, Reasons
from earwitness.operations.processes import in_processes
from earwitness.operations.show import visible
from earwitness.types import Failure

MIN_S = 0.5
MAX_COUNT = 1_000_000
REQUEST = ".request.json"


def synthesise_corpus(
    protocols: Sequence[Path], out: Path, request: Request, jobs: int = 0
) -> dict[str, Any]:
    """Write the folder, or go on with it; returns what `protocol.json` says.

    Raises:
        InputError: `usage`: an option that cannot be, or `out` holds something else; `bad-vocoder`; as
            `read_protocols`.
        MissingExtra: a method needs a package that is absent.
    """
    request = complete(request)
    made_from = [{"protocol": path.name, "sha256": file_digest(path)} for path in protocols if path.is_file()]
    items = read_protocols(protocols)
    reasons: Reasons = []
    sources = {item.id: item for item in sift(items, reasons)}
    wanted = plan(list(sources.values()), request)
    claim(out, request, made_from)
    (out / "audio").mkdir(exist_ok=True)
    rows = read_manifest(out)
    todo = [
        job for name, methods in wanted.items() if (job := open_job(sources[name], methods, rows)).methods
    ]
    work = Work(out, request)
    with (out / "manifest.jsonl").open("a", encoding="utf-8") as file:
        file.write("\n" if file.tell() else "")  # ends a line that was cut short
        for job, made in in_processes(work, todo, jobs, "synthesising", lambda job: len(job.methods)):
            if isinstance(made, Failure):
                reasons.append((job.source.id, job.source.path, made.message))
                continue
            source = job.source
            reasons += [(source.id, source.path, f"{method}: {why}") for method, why in made.failures]
            for row in made.rows:
                rows[row["source"], row["method"]] = row
                file.write(json.dumps(row) + "\n")
            file.flush()
    about = conclude(out, request, wanted, rows, sources, reasons) | {"made_from": made_from}
    write_about(about, out / "protocol.json")
    return about


def complete(request: Request) -> Request:
    """The request with its methods named, if all of it can be done.

    Raises:
        InputError: `usage`, `bad-vocoder`.
        MissingExtra: a package is absent.
    """
    if not 1 <= request.count <= MAX_COUNT:
        raise InputError("usage", f"--count {request.count}: expected 1 to {MAX_COUNT:,} fakes")
    if request.seed < 0:
        raise InputError("usage", f"--seed {request.seed}: expected 0 or more")
    known = [*METHODS, NEURAL]
    for name in request.methods:
        if name not in known:
            raise InputError("usage", f"--method {name!r}: expected {', '.join(known)}")
    methods = tuple(dict.fromkeys(request.methods or METHODS))
    if request.vocoder is not None:
        methods = methods if NEURAL in methods else (*methods, NEURAL)
        read_facts(request.vocoder)
        load_vocoder(request.vocoder)
    elif NEURAL in methods:
        raise InputError("usage", "--method neural: needs --vocoder FILE")
    with needs_extra("synthesis"):
        import scipy.signal  # noqa: F401
    if any(name.startswith("world") for name in methods):
        from earwitness.audio.synthesis.world import pyworld

        pyworld()
    return replace(request, methods=methods)


def sift(items: Sequence[Utterance], reasons: Reasons) -> Iterator[Utterance]:
    """Genuine rows of a length that can be worked on; genuine ones of others are listed."""
    for item in items:
        seconds = item.duration_s or 0.0
        if not item.bona_fide:
            continue
        if seconds < MIN_S:
            reasons.append((item.id, item.path, f"lasts {seconds:.2f} s, expected {MIN_S} s or more"))
        elif seconds > MAX_S:
            reasons.append(
                (item.id, item.path, f"lasts {seconds:.0f} s, expected at most {MAX_S:.0f}; cut it first")
            )
        else:
            yield item


def plan(items: Sequence[Utterance], request: Request) -> dict[str, list[str]]:
    """Sources by ID with the methods they go through; a larger count only adds to it.

    Methods take turns. Each takes sources without repeats, such that groups come by about the square root of
    their size: a source of a group of n is drawn with the weight n^-0.5 (weighted draws as an order:
    P. S. Efraimidis and P. G. Spirakis, Information Processing Letters 97 (5), 2006).

    Raises:
        InputError: `usage`: there are too few sources.
    """
    if request.count > len(items) * len(request.methods):
        raise InputError(
            "usage",
            f"--count {request.count}: {len(items)} genuine recordings and {len(request.methods)} methods "
            f"make at most {len(items) * len(request.methods)}",
        )
    sizes = Counter(group_of(item) for item in items)
    price = np.array([sizes[group_of(item)] ** 0.5 for item in items])
    orders = {
        method: np.argsort(
            draws(request.seed, "", method).exponential(size=len(items)) * price, kind="stable"
        )
        for method in request.methods
    }
    wanted: dict[str, list[str]] = defaultdict(list)
    for i in range(request.count):
        turn, method = divmod(i, len(request.methods))
        wanted[items[orders[request.methods[method]][turn]].id].append(request.methods[method])
    return wanted


def group_of(item: Utterance) -> str:
    """What sources are balanced over: the group; where the protocol has none, speaker or dataset."""
    return next(
        name for name in (item.group, item.speaker, item.dataset) if name != "-" or name == item.dataset
    )


def claim(out: Path, request: Request, made_from: list[dict[str, Any]]) -> None:
    """Make the folder ours, or find that it is: its request is this one, but for the count.

    Raises:
        InputError: `usage`: something else is in it.
    """
    asked = asdict(request) | {"made_from": made_from, "vocoder": None}
    if request.vocoder is not None:
        asked["vocoder"] = file_digest(request.vocoder)
    asked = json.loads(json.dumps(asked))
    path = out / REQUEST
    if path.is_file():
        try:
            before = json.loads(path.read_text(encoding="utf-8"))
        except (ValueError, RecursionError):
            before = None
        if not isinstance(before, dict) or before | {"count": 0} != asked | {"count": 0}:
            raise InputError(
                "usage",
                f"{out}: was begun with other protocols or options; repeat those, or name a new folder",
            )
    elif out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError("usage", f"{out}: is there and not empty; name a new folder, or remove it")
    out.mkdir(parents=True, exist_ok=True)
    write_about(asked, path)


def read_manifest(out: Path) -> dict[tuple[str, str], dict[str, Any]]:
    """Rows by source and method whose files are there; lines cut short are passed over."""
    rows = {}
    path = out / "manifest.jsonl"
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else ():
        try:
            row = json.loads(line)
            key, file = (row["source"], row["method"]), out / "audio" / f"{row['id']}.flac"
        except (ValueError, TypeError, KeyError, RecursionError):
            continue
        if file.is_file():
            rows[key] = row
    return rows


def open_job(source: Utterance, methods: Sequence[str], rows: dict[tuple[str, str], dict[str, Any]]) -> Job:
    """What is not made yet."""
    return Job(source, tuple(method for method in (*methods, TWIN) if (source.id, method) not in rows))


def conclude(
    out: Path,
    request: Request,
    wanted: dict[str, list[str]],
    rows: dict[tuple[str, str], dict[str, Any]],
    sources: dict[str, Utterance],
    reasons: Reasons,
) -> dict[str, Any]:
    """Write manifest, protocol and left-out list in the order of the plan; returns what they hold."""
    from earwitness import __version__

    with LeftOut(out / "left-out.csv") as left_out:
        for reason in reasons:
            left_out.add(*reason)
    keys = [(name, method) for name, methods in wanted.items() for method in (TWIN, *methods)]
    kept = [rows[key] for key in keys if key in rows]
    part = out / ".manifest.jsonl.part"
    part.write_text("".join(json.dumps(row) + "\n" for row in kept), encoding="utf-8")
    part.replace(out / "manifest.jsonl")
    items = [row_of(row, sources[row["source"]], out, request) for row in kept]
    write_protocol(items, out / "protocol.csv", out)
    files = Counter(row["method"] for row in kept)
    seconds = dict.fromkeys((TWIN, *request.methods), 0.0)
    for row in kept:
        seconds[row["method"]] += row["samples"] / SAMPLE_RATE
    return {
        "corpus": "synthesised",
        "root": ".",
        "request": {"count": request.count, "methods": list(request.methods), "seed": request.seed},
        "vocoder": request.vocoder
        and {"name": vocoder_name(request.vocoder), "sha256": file_digest(request.vocoder)},
        "earwitness": __version__,
        "rows": len(kept),
        "fakes": len(kept) - files[TWIN],
        "kinds": [
            {"method": method, "files": files[method], "hours": round(total / 3600, 4)}
            for method, total in seconds.items()
        ],
        "left_out": len(reasons),
        "sha256": file_digest(out / "protocol.csv"),
    }


def row_of(row: dict[str, Any], source: Utterance, out: Path, request: Request) -> Utterance:
    """The row of a file in the protocol: its source's, but for the file and what made it."""
    twin = replace(
        source,
        id=row["id"],
        path=out / "audio" / f"{row['id']}.flac",
        dataset=f"{source.dataset}-synth",  # apart from originals, which did not go the same way
        source=source.id if source.source in ("", "-") else source.source,
        duration_s=row["samples"] / SAMPLE_RATE,
        sample_rate=SAMPLE_RATE,
        channels=1,
        encoding="FLAC",
        bits=16,
    )
    if row["method"] == TWIN:
        return twin
    method = find_method(row["method"], request)
    name = method.architecture if row["method"] == NEURAL else row["method"]
    return replace(
        twin,
        bona_fide=False,
        generator=f"synth/{name}",
        architecture=f"synth/{method.architecture}",
        family=method.family,
    )


def run_synthesise(protocols: Sequence[Path], out: Path, request: Request, jobs: int, as_json: bool) -> int:
    """`earwitness corpus synthesise`: 0, or 1 where there are fewer fakes than asked for."""
    about = synthesise_corpus(protocols, out, request, jobs)
    if as_json:
        sys.stdout.write(json.dumps(about) + "\n")
    else:
        show_table(
            ("method", "files", "hours"),
            [(kind["method"], f"{kind['files']:,}", f"{kind['hours']:.2f}") for kind in about["kinds"]],
            2,
        )
        genuine = about["rows"] - about["fakes"]
        sys.stdout.write(visible(f"{out}: {about['fakes']:,} fakes of {genuine:,} genuine clips") + "\n")
    if about["left_out"]:
        listed = out / "left-out.csv"
        sys.stderr.write(visible(f"left out: {about['left_out']:,}; {listed} says why of each") + "\n")
    return 0 if about["fakes"] == request.count else 1
