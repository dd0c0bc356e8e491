"""`earwitness knowledge`: add recordings to a base, ask it, take them out again."""

import json
import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from earwitness.decision.bundle import models_home
from earwitness.errors import InputError
from earwitness.evidence.consult import consult
from earwitness.evidence.knowledge import Entry, Item, Knowledge
from earwitness.evidence.neighbours import Retrieval, find, top_mean
from earwitness.evidence.places import is_server, make_base, open_base
from earwitness.evidence.verdict import to_record
from earwitness.operations.hearing import ScanOptions
from earwitness.operations.inputs import find_files
from earwitness.operations.scan import check, open_detector, scan_many
from earwitness.operations.show import counting, visible
from earwitness.types import Heard, ModelId, Verdict

SAME = 0.999  # similarity at which two recordings are one, if they are also as long
SAME_LENGTH = 0.02  # relative
SUSPECT_NEAREST = 5  # neighbours that speak against a label,
SUSPECT_MARGIN = 0.2  # and how much nearer than those that speak for it they must be
ENOUGH = 10  # entries of either class before a label is doubted
MOST_OF_SOURCE = 0.2  # share of the base that one named source may hold,
FREE_OF_SOURCE = 50  # and entries that it may hold in any case
LABELS = {"genuine": True, "bona-fide": True, "fake": False, "spoof": False}
Outcome = Literal["added", "quarantined", "duplicate"]


@dataclass(frozen=True)
class Facts:
    """What whoever adds recordings says of them."""

    bona_fide: bool
    generator: str = "-"
    speaker: str = "-"
    source: str = "-"
    licence: str = "-"
    language: str = "-"
    wm_present: bool | None = None
    added_by: str = ""


def default_base() -> str | Path:
    """`$EARWITNESS_KNOWLEDGE`, or `knowledge.db` beside the folder of models."""
    return os.environ.get("EARWITNESS_KNOWLEDGE") or models_home().parent / "knowledge.db"


def file_of(place: str | Path) -> Path:
    """The file of a base.

    Raises:
        InputError: `usage`: it lies on a server.
    """
    if is_server(place):
        raise InputError("usage", "snapshots are of files; a server has backups of its own")
    return Path(place)


def parse_label(text: str) -> bool:
    """True for bona fide.

    Raises:
        InputError: `usage`: no label is called that.
    """
    if text not in LABELS:
        raise InputError("usage", f"--label: no label is called {text!r}; one of {', '.join(LABELS)}")
    return LABELS[text]


@contextmanager
def opened(place: str | Path, model: ModelId | None = None) -> Iterator[Knowledge]:
    """The base, closed afterwards."""
    with open_base(place, model) as found:
        yield found


def run_add(named: Sequence[str], place: str | Path, facts: Facts, model: str | None, as_json: bool) -> int:
    """Add recordings, one at a time as they are heard; the exit code: 1 if some could not be read.

    Raises:
        InputError: no audio is named, or the base is of another model or cannot be written.
    """
    sources = find_files([Path(name) for name in named]).paths
    if not sources:
        raise InputError("usage", "no audio files among what is named")
    detector = open_detector(model, ScanOptions(), 1)
    known = None
    if not is_server(place) and Path(place).exists():
        known = open_base(place, detector.id)  # before anything is heard
    counts: Counter[str] = Counter()
    with counting(len(sources), "adding") as count_up:
        for verdict in scan_many(sources, model=model, options=ScanOptions(voice=True)):
            if known is None and verdict.heard is not None:
                known = make_base(place, verdict.model, verdict.heard.embeddings.shape[1])
            done = taken(known, verdict, facts)
            counts[done["outcome"]] += 1
            report(done, as_json)
            count_up(1)
    if known is not None:
        if not as_json:
            summary = ", ".join(f"{count} {name}" for name, count in counts.items())
            sys.stderr.write(f"{summary}; {len(known)} in {visible(str(known.path))}\n")
        known.close()
    return 1 if counts["error"] or counts["no-speech"] else 0


def taken(base: Knowledge | None, verdict: Verdict, facts: Facts) -> dict[str, Any]:
    """Add one recording, if it can be: what became of it, fit for JSON."""
    done: dict[str, Any] = {"path": verdict.path, "id": None, "outcome": verdict.verdict, "why": verdict.rule}
    if base is None or verdict.heard is None:
        if verdict.error:
            done |= {"outcome": "error", "why": verdict.error.message}
        return done
    assert verdict.sha256 is not None
    assert verdict.quality is not None
    assert verdict.score is not None
    entry = Entry(
        id=verdict.sha256[:16],
        duration_s=verdict.quality.duration_s,
        score=verdict.score,
        path=str(Path(verdict.path).resolve()),
        **vars(facts),
    )
    outcome, why = add_heard(base, entry, verdict.heard)
    return {**done, "id": entry.id, "outcome": outcome, "why": why}


def add_heard(base: Knowledge, entry: Entry, heard: Heard) -> tuple[Outcome, str]:
    """Add what was heard of a recording, if it can be: what became of it, and why."""
    for there in base.entries([entry.id]):
        label = "genuine" if there.bona_fide else "fake"
        return "duplicate", f"the same content is there already, as {label}"
    double = twin(base, heard.embeddings, entry)
    if double:
        return "duplicate", f"entry {double} sounds the same and is as long"
    why = over_cap(base, entry.source) or doubted(base, heard.embeddings, heard.profile, entry.bona_fide)
    item = Item(replace(entry, quarantined=why), heard.embeddings, heard.starts_s, heard.profile)
    if not base.add([item]):
        return "duplicate", "another process has just added the same content"
    return ("quarantined" if why else "added"), why


def twin(base: Knowledge, embeddings: np.ndarray, entry: Entry) -> str:
    """The id of an entry that is this recording in another file, or ''."""
    nearest = [hit for hits in base.search(embeddings, 1) for hit in hits]
    if not nearest or min(hit.similarity for hit in nearest) < SAME or len({hit.id for hit in nearest}) > 1:
        return ""
    (other,) = base.entries([nearest[0].id])
    as_long = abs(other.duration_s - entry.duration_s) <= SAME_LENGTH * entry.duration_s
    return other.id if as_long else ""


def over_cap(base: Knowledge, source: str) -> str:
    """Why a source may not add more votes, or ''."""
    if source == "-":
        return ""
    entries = base.entries()
    held = sum(entry.source == source and not entry.quarantined for entry in entries)
    most = max(FREE_OF_SOURCE, MOST_OF_SOURCE * len(entries))
    return f"the source {source} holds {held} of {len(entries)} entries already" if held >= most else ""


def doubted(base: Knowledge, embeddings: np.ndarray, profile: np.ndarray | None, bona_fide: bool) -> str:
    """Why a label is doubted, or '': the recording lies far inside the other class.

    That is a mislabelled recording, or somebody who wants to have his fakes called genuine.
    """
    genuine, spoof = base.counts()
    if min(genuine, spoof) < ENOUGH:
        return ""
    near = find(base, embeddings, profile, Retrieval(k=SUSPECT_NEAREST))
    own, other = [], []
    for one in near:
        rows = one.similarity[None]
        own.append(top_mean(np.where(one.bona_fide == bona_fide, rows, -np.inf), SUSPECT_NEAREST)[0])
        other.append(top_mean(np.where(one.bona_fide != bona_fide, rows, -np.inf), SUSPECT_NEAREST)[0])
        if (one.bona_fide[:SUSPECT_NEAREST] == bona_fide).any():
            return ""
    if np.mean(other) - np.mean(own) < SUSPECT_MARGIN:
        return ""
    label = "spoof" if bona_fide else "bona fide"
    nearest = max((hit for one in near for hit in one.hits), key=lambda hit: hit.similarity)
    return f"its nearest entries are all {label} ({nearest.id} at {nearest.similarity:.2f})"


def run_query(named: Sequence[str], place: str | Path, model: str | None, as_json: bool) -> int:
    """Show what a base says of recordings; the exit code: 1 if some could not be read.

    Raises:
        InputError: no audio is named, or the base is not there or of another model.
    """
    sources = find_files([Path(name) for name in named]).paths
    if not sources:
        raise InputError("usage", "no audio files among what is named")
    check(ScanOptions())
    failed = False
    with opened(place, open_detector(model, ScanOptions(), 1).id) as base:
        for verdict in scan_many(sources, model=model, options=ScanOptions(voice=True)):
            verdict = consult(verdict, base)
            failed |= verdict.remembered is None
            if as_json:
                say(json.dumps(to_record(verdict)))
            else:
                say("\n".join(described(verdict)))
    return 1 if failed else 0


def described(verdict: Verdict) -> list[str]:
    """Lines for a person: the answer, who decided, and the neighbours."""
    lines = [f"{visible(verdict.path)}: {verdict.verdict}, {visible(verdict.rule)}"]
    told = verdict.remembered
    if told is None:
        return lines + ([f"  {visible(verdict.error.message)}"] if verdict.error else [])
    if not told.covered:
        lines.append("  nothing in the base is near: the detector decided alone")
    lines.append(f"  LLR {verdict.llr:+.2f}, by the detector alone {told.detector_llr:+.2f}")
    for near in told.neighbours:
        label = "genuine" if near.bona_fide else f"fake ({near.generator})"
        where = f"from {near.start_s:.1f} s like ours from {near.window_s:.1f} s"
        lines.append(visible(f"  {near.similarity:5.2f}  {label:<24} {near.id}  {where}  {near.path}"))
    return lines


def say(line: str) -> None:
    """A line on the standard output, at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def report(done: dict[str, Any], as_json: bool) -> None:
    """One line on what became of a recording."""
    if as_json:
        say(json.dumps(done))
    else:
        why = f": {done['why']}" if done["why"] and done["outcome"] != "added" else ""
        say(visible(f"{done['outcome']:<12} {done['id'] or '-':<16} {done['path']}{why}"))


def run_remove(place: str | Path, ids: Sequence[str], speaker: str | None, source: str | None) -> int:
    """Remove entries by id, and all of a speaker or a source; how many there were.

    Raises:
        InputError: `usage`: nothing is named, or nothing there is called that.
    """
    with opened(place) as base:
        wanted = [
            entry.id
            for entry in base.entries()
            if entry.id in ids
            or (speaker is not None and entry.speaker == speaker)
            or (source is not None and entry.source == source)
        ]
        if not wanted:
            raise InputError(
                "usage", f"{base.path}: no entry is called that; `knowledge stats` shows what is there"
            )
        return base.remove(wanted)


def run_import(place: str | Path, source: Path) -> tuple[int, int]:
    """Add what another base exported: how many entries came, and how many were here already.

    A base that is not there is made.

    Raises:
        InputError: what is read is no export, or of another model than the base.
    """
    from earwitness.evidence.snapshots import import_from, model_of

    with make_base(place, *model_of(source)) as base:
        return import_from(base, source)
