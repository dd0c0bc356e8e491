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
from earwitness.operations.knowledge import report
from earwitness.operations.scan import ScanOptions, open_detector, scan_many
from earwitness.operations.show import make_progress, visible
from earwitness.types import Verdict


def run_rebuild(path: Path, target: Path, model: str | None, as_json: bool) -> int:
    """Fill `target` with what `path` holds; the exit code: 1 if some could not be heard again.

    Raises:
        InputError: `usage`: both are one file; or a base cannot be used.
    """
    if path.resolve() == target.resolve():
        raise InputError("usage", f"{target}: name another file; the old base serves until the new is whole")
    wanted = open_detector(model, ScanOptions(), 1).id
    with Knowledge.open(path) as old:
        entries = old.entries()
    new = Knowledge.open(target, wanted) if target.exists() else None
    done = {entry.id for entry in new.entries()} if new else set()
    todo = [entry for entry in entries if entry.id not in done]
    counts: Counter[str] = Counter(kept=len(entries) - len(todo))
    by_path = {str(Path(entry.path)): entry for entry in todo}
    with make_progress(len(todo), "rebuilding") as progress:
        options = ScanOptions(keep=True)
        for verdict in scan_many([Path(p) for p in by_path], model=model, options=options):
            if new is None and verdict.heard is not None:
                new = Knowledge.create(target, verdict.model, verdict.heard.embeddings.shape[1])
            result = heard_again(new, by_path[verdict.path], verdict)
            counts[result["outcome"]] += 1
            if result["outcome"] != "added":
                report(result, as_json)
            progress.advance(progress.task_ids[0])
    if new is not None:
        new.close()
    if not as_json:
        summary = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
        sys.stderr.write(f"{summary} of {len(entries)}; {visible(str(target))}\n")
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
