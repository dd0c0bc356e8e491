"""The first steps of a round: from what came in to labels in the knowledge base.

Of the labels of each round a third, by the hash of the recording, is never taught: it judges the candidates.
"""

import csv
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from earwitness.errors import InputError
from earwitness.evidence.places import is_server, make_base, open_base
from earwitness.operations.discovery import Known, update_proposals
from earwitness.operations.drift import judge, make_reference
from earwitness.operations.drift_command import as_entry, report
from earwitness.operations.drift_file import read_reference, write_reference
from earwitness.operations.drift_options import LEAST, DriftOptions
from earwitness.operations.embed import embed, stamp, stamp_of
from earwitness.operations.hearing import ScanOptions
from earwitness.operations.inputs import find_files
from earwitness.operations.knowledge import Facts, taken
from earwitness.operations.labelling import read_answers, write_task
from earwitness.operations.promotion import depend
from earwitness.operations.proposals import read_proposals, write_proposals
from earwitness.operations.samples import read_samples
from earwitness.operations.scan import scan_many
from earwitness.operations.selection import SelectionOptions, select
from earwitness.operations.show import visible
from earwitness.operations.update_round import Round, now, read_labels, write_labels

NULL_WINDOWS = 600
HELD_OUT = 3  # one label of so many judges instead of teaching


class Waiting(Exception):
    """Labels are wanted before the round can go on."""


def step_embed(turn: Round) -> dict[str, Any]:
    """What came in since the last round."""
    earlier = [table for table in turn.loop.work.glob("rounds/*/incoming.csv") if table.parent != turn.folder]
    seen = {
        stamp_of(dict(zip(("path", "bytes", "modified"), cells, strict=True)))
        for table in map(read_samples, earlier)
        for cells in zip(*(table.column(name) for name in ("path", "bytes", "modified")), strict=True)
    }
    files = [path for path in find_files([turn.loop.inbox]).paths if stamp(path) not in seen]
    if not files:
        return {"recordings": 0, "left_out": 0, "audio_hours": 0.0}
    table = turn.folder / "incoming.csv"
    found, failed, _ = embed([str(path) for path in files], table, str(turn.bundle))
    for path, why in failed:
        sys.stderr.write(visible(f"{path}: {why}") + "\n")
    hours = float(np.nansum(found.numbers("duration_s"))) / 3600
    return {"recordings": len(found), "left_out": len(failed), "audio_hours": round(hours, 4)}


def step_drift(turn: Round) -> dict[str, Any]:
    """The recordings that came in as one window, against development data."""
    if len(turn.incoming) < LEAST:
        return {"drift": None, "why": f"{len(turn.incoming)} recordings; at least {LEAST} are compared"}
    place = turn.loop.work / "tables" / turn.used.digest[:16] / "reference.npz"
    if not place.exists():
        options = DriftOptions(window=len(turn.incoming), windows=NULL_WINDOWS)
        try:
            write_reference(make_reference(turn.development, options), place)
        except InputError as error:  # too little development data: the other steps go on
            return {"drift": None, "why": error.message}
    reference = read_reference(place)
    names = [v for v in reference.views if reference.in_view(turn.incoming, v).sum() >= LEAST]
    found = [judge(reference, turn.incoming, name) for name in names]
    entries = [as_entry(reference, one, turn.incoming) for one in found]
    report(entries, turn.incoming, reference, turn.folder / "drift.html")
    return {
        "drift": any(one.alarm for one in found),
        "views": {one.view: {"p": one.p, "statistic": round(one.statistic, 2)} for one in found},
        "report": str(turn.folder / "drift.html"),
    }


def step_discover(turn: Round) -> dict[str, Any]:
    """Clusters that no known generator explains."""
    place = turn.loop.work / "proposals.json"
    found = update_proposals(read_proposals(place), Known(turn.known), turn.incoming, now())
    write_proposals(place, found)
    announced = [one for one in found if one.announced]
    return {
        "proposals": len(found),
        "announced": [{"id": one.id, "recordings": len(one.members)} for one in announced],
        "state": str(place),
    }


def step_select(turn: Round) -> dict[str, Any]:
    """What is worth a label, as a task to be filled in."""
    loop, task = turn.loop, turn.folder / "task.csv"
    options = SelectionOptions(
        loop.strategy,
        loop.items,
        loop.minutes,
        loop.per_source,
        loop.balance,
        loop.diversity,
        seed=turn.number,
    )
    rows = select(turn.incoming, turn.known, options)
    task.unlink(missing_ok=True)  # of an attempt that was stopped, so that nobody has answered it
    write_task(turn.incoming, rows, task, f"{loop.strategy}, round {turn.number}")
    minutes = float(np.nansum(turn.incoming.take(rows).numbers("duration_s"))) / 60
    return {"chosen": len(rows), "listening_minutes": round(minutes, 2), "task": str(task)}


def step_labels(turn: Round) -> dict[str, Any]:
    """The answers, once all are there; given outright, as many as there are."""
    task = turn.folder / "task.csv"
    given, contrary = read_answers(turn.answers or task)
    wanted = [key for key in read_task_ids(task) if key not in given]
    if wanted and turn.answers is None:
        raise Waiting(f"{len(wanted)} rows of {task} have no label yet: fill them in, or name --answers FILE")
    ids = {key: i for i, key in enumerate(turn.incoming.ids)}
    usable = {key: answer for key, answer in given.items() if answer.label >= 0 and key in ids}
    paths, sources = turn.incoming.column("path"), turn.incoming.column("source")
    rows = [
        {
            "id": key,
            "path": paths[ids[key]],
            "label": "real" if answer.label else "fake",
            "generator": answer.generator or "-",
            "source": sources[ids[key]],
            "round": str(turn.number),
            "part": "judge" if int(key[:8], 16) % HELD_OUT == 0 else "teach",
        }
        for key, answer in usable.items()
    ]
    earlier = [row for row in read_labels(turn.loop.work) if row["round"] != str(turn.number)]
    write_labels(turn.loop.work, [*earlier, *rows])
    counts = Counter(f"{row['label']}_{row['part']}" for row in rows)
    return {"labels": len(rows), **counts, "contrary": contrary, "unusable": len(given) - len(rows)}


def step_patch(turn: Round) -> dict[str, Any]:
    """The new labels into the knowledge base, all but those that judge."""
    place = turn.loop.knowledge
    rows = [row for row in read_labels(turn.loop.work) if row["round"] == str(turn.number)]
    todo = {row["path"]: row for row in rows if row["part"] == "teach"}
    if not place or not todo:
        return {"outcomes": {}}
    outcomes: Counter[str] = Counter()
    base = open_base(place) if is_server(place) or Path(place).exists() else None
    for verdict in scan_many(list(todo), model=str(turn.bundle), options=ScanOptions(voice=True)):
        if base is None and verdict.heard is not None:
            base = make_base(place, verdict.model, verdict.heard.embeddings.shape[1])
        row = todo[verdict.path]
        if base is not None:
            base.check_model(verdict.model)
        facts = Facts(row["label"] == "real", row["generator"], source=row["source"], added_by="update")
        outcomes[taken(base, verdict, facts)["outcome"]] += 1
    if base is not None:
        base.close()
        depend(turn.registry, turn.loop.name, place)
    return {"outcomes": dict(outcomes), "base": place}


def read_task_ids(task: Path) -> list[str]:
    """The ids that a task asks about."""
    with task.open(encoding="utf-8-sig", newline="") as file:
        text = file.read()
    separator = max(",;\t", key=text.split("\n", 1)[0].count)
    return [row["id"] for row in csv.DictReader(text.splitlines(), delimiter=separator)]
