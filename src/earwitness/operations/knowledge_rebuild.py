"""`earwitness knowledge rebuild`: hear every entry of a base again, by another model.

The new base is another file, so that the old one serves on until the new one is whole; what stands in it
already is not heard again.
"""

import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

from earwitness.errors import InputError
from earwitness.evidence.knowledge import Entry, Item, Knowledge
from earwitness.evidence.places import is_server, make_base, open_base
from earwitness.operations.hearing import ScanOptions
from earwitness.operations.knowledge import report
from earwitness.operations.scan import open_detector, scan_many
from earwitness.operations.show import counting, visible
from earwitness.types import Verdict


def run_rebuild(place: str | Path, target: str | Path, model: str | None, as_json: bool) -> int:
    """Fill `target` with what `place` holds; the exit code: 1 if some could not be heard again.

    Raises:
        InputError: `usage`: both are one file; or a base cannot be used.
    """
    if str(place) == str(target) or (
        not is_server(place) and Path(place).resolve() == Path(target).resolve()
    ):
        raise InputError(
            "usage", "name another file for the new base; the old base serves until the new is whole"
        )
    wanted = open_detector(model, ScanOptions(), 1).id
    with open_base(place) as old:
        entries = old.entries()
    new = open_base(target, wanted) if not is_server(target) and Path(target).exists() else None
    done = {entry.id for entry in new.entries()} if new else set()
    todo = [entry for entry in entries if entry.id not in done]
    counts: Counter[str] = Counter(kept=len(entries) - len(todo))
    by_path = {str(Path(entry.path)): entry for entry in todo}
    with counting(len(todo), "rebuilding") as count_up:
        options = ScanOptions(voice=True)
        for verdict in scan_many([Path(p) for p in by_path], model=model, options=options):
            if new is None and verdict.heard is not None:
                new = make_base(target, verdict.model, verdict.heard.embeddings.shape[1])
            result = heard_again(new, by_path[verdict.path], verdict)
            counts[result["outcome"]] += 1
            if result["outcome"] != "added":
                report(result, as_json)
            count_up(1)
    if not as_json:
        summary = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
        where = f"; {visible(str(new.path))}" if new else ""
        sys.stderr.write(f"{summary} of {len(entries)}{where}\n")
    if new is not None:
        new.close()
    return 0 if counts["kept"] + counts["added"] == len(entries) else 1


def heard_again(base: Knowledge | None, entry: Entry, verdict: Verdict) -> dict[str, Any]:
    """Add an entry as the new model hears it: what became of it, fit for JSON."""
    done: dict[str, Any] = {"path": entry.path, "id": entry.id, "outcome": "error", "why": verdict.rule}
    if verdict.error:
        return {**done, "why": verdict.error.message}
    if base is None or verdict.heard is None or verdict.score is None:
        return {**done, "outcome": verdict.verdict}
    if verdict.sha256 is None or not verdict.sha256.startswith(entry.id):
        return {**done, "why": "the file is not what it was when it was added; add it anew"}
    heard = verdict.heard
    base.add([Item(replace(entry, score=verdict.score), heard.embeddings, heard.starts_s, heard.profile)])
    return {**done, "outcome": "added", "why": ""}
