"""A round of `earwitness update`: what it works with, and the labels of all rounds."""

import csv
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from earwitness.decision.bundle import find_bundle
from earwitness.errors import InputError
from earwitness.operations.embed import embed
from earwitness.operations.loop_config import Loop
from earwitness.operations.promotion import begin
from earwitness.operations.registry import Registry, Version, champion, fetch, open_registry
from earwitness.operations.samples import LABELS, Samples, joined, read_samples
from earwitness.operations.show import visible

FIELDS = ("id", "path", "label", "generator", "source", "round", "part")


@dataclass
class Round:
    """A round on its way."""

    loop: Loop
    number: int
    answers: Path | None  # None: the task itself, filled in
    state: dict[str, Any] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        return self.loop.work / "rounds" / f"{self.number:04}"

    @cached_property
    def registry(self) -> Registry:
        return open_registry(self.loop.registry, make=True)

    @cached_property
    def used(self) -> Version:
        """The champion that the round began with."""
        found = champion(self.registry, self.loop.name)
        return found or begin(
            self.registry, self.loop.name, find_bundle(self.loop.start), "earwitness update"
        )

    @cached_property
    def bundle(self) -> Path:
        return fetch(self.registry, self.used)

    @cached_property
    def incoming(self) -> Samples:
        return read_samples(self.folder / "incoming.csv")

    @cached_property
    def development(self) -> Samples:
        return self.table(self.loop.development, self.bundle, self.used.digest)

    def table(self, protocol: Path, bundle: Path, digest: str) -> Samples:
        """A protocol as a model scores it; heard once."""
        place = self.loop.work / "tables" / digest[:16] / f"{protocol.stem}.csv"
        found, failed, _ = embed([str(protocol)], place, str(bundle))
        for path, why in failed:
            sys.stderr.write(visible(f"{path}: {why}") + "\n")
        return found

    def labelled(self, part: str, bundle: Path, digest: str) -> Samples | None:
        """What was labelled so far, as a model scores it; `part` is teach or judge."""
        rows = [row for row in read_labels(self.loop.work) if row["part"] == part]
        if not rows:
            return None
        place = self.loop.work / "tables" / digest[:16] / "labelled.csv"
        known = set(read_samples(place).ids) if place.exists() else set()
        todo = [row["path"] for row in read_labels(self.loop.work) if row["id"] not in known]
        found = embed(todo, place, str(bundle))[0] if todo else read_samples(place)
        by_id = {row["id"]: row for row in rows}
        found = found.take([i for i, key in enumerate(found.ids) if key in by_id])
        columns = {
            name: [by_id[key][name] for key in found.ids]
            for name in ("label", "generator", "source", "round")
        }
        return Samples(found.ids, found.scores, found.embeddings, {**found.columns, **columns})

    @cached_property
    def known(self) -> Samples:
        """What explains a recording: development data, and all labels."""
        parts = [self.labelled(part, self.bundle, self.used.digest) for part in ("teach", "judge")]
        return joined([self.development, *(part for part in parts if part)])


def write_state(turn: Round) -> None:
    """Whole or not at all."""
    turn.state |= {"round": turn.number, "champion": str(turn.used)} if "champion" not in turn.state else {}
    part = turn.folder / ".round.part"
    part.write_text(json.dumps(turn.state, indent=1) + "\n", encoding="utf-8")
    part.replace(turn.folder / "round.json")


def now() -> str:
    """ISO 8601, UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def read_labels(work: Path) -> list[dict[str, str]]:
    """All labels so far.

    Raises:
        InputError: `bad-labels`.
    """
    path = work / "labels.csv"
    if not path.exists():
        return []
    rows = read_rows(path)
    for number, row in enumerate(rows, 2):
        if set(row) != set(FIELDS) or LABELS.get(row["label"], -1) < 0:
            raise InputError("bad-labels", f"{path}: row {number}: not what `earwitness update` writes")
    return rows


def read_rows(path: Path) -> list[dict[str, str]]:
    """Rows of a table of ours."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def write_labels(work: Path, rows: Sequence[dict[str, str]]) -> None:
    """Whole or not at all."""
    part = work / ".labels.part"
    with part.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(FIELDS)
        writer.writerows([row[name] for name in FIELDS] for row in rows)
    part.replace(work / "labels.csv")
