"""Tracers as files: learnt of recordings whose maker is known, judged on groups never heard, shown.

Recordings come from tables of `earwitness embed`, or from knowledge bases; only fakes with a name take part.
Names, and what must never stand on both sides of a split (pages, data sets), are columns of theirs, or of a
protocol that has the same paths. Recordings without a group count as one group, for nobody knows that they
are none.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np

from earwitness.audio.protocol import Utterance, read_protocols
from earwitness.decision.bundle import read_card
from earwitness.decision.detector import model_digest
from earwitness.errors import InputError
from earwitness.evidence import attribution as tracing
from earwitness.evidence.attribution import Level, Method, Tracer
from earwitness.evidence.knowledge import Item
from earwitness.evidence.places import is_server, open_base
from earwitness.metrics import attribution as measured
from earwitness.operations.attribute import open_tracer, space_of_card
from earwitness.operations.corpus import show_table
from earwitness.operations.samples import Samples, joined, read_samples
from earwitness.operations.scan import bundle_of
from earwitness.operations.show import visible

GROUPS = ("group", "source", "dataset")  # columns that may keep recordings apart, the best first
FROM_PROTOCOL = ("architecture", "family", "generator", "group", "dataset")
NAMED_BY = {"architecture": ("architecture", "generator"), "family": ("family",)}  # columns, the best first
FROM_BASE = ("path", "generator", "source", "speaker", "language")
LABEL = {True: "real", False: "fake"}
MOST_NAMES = 2_000
NOT_KNOWN = ("", "-")
CAUTION = "too kind where the model was trained on these recordings, or copies of one stand in two groups"


@dataclass(frozen=True)
class LearnOptions:
    """What a tracer is to tell, and how."""

    level: Level = "architecture"
    method: Method = "linear"
    false_rejection: float = tracing.FALSE_REJECTION
    group: str | None = None  # a column; None: the first of `GROUPS` that says anything


def options_of(level: str, method: str, false_rejection: float, group: str | None) -> LearnOptions:
    """The options of these words.

    Raises:
        InputError: `usage`: one of them cannot be.
    """
    for option, word, choices in (
        ("--level", level, tracing.LEVELS),
        ("--method", method, tracing.METHODS),
    ):
        if word not in choices:
            raise InputError("usage", f"{option} {word!r}: one of {', '.join(choices)}")
    if not 0 < false_rejection < 1:
        raise InputError("usage", f"--false-rejection {false_rejection}: between 0 and 1, both excluded")
    return LearnOptions(cast(Level, level), cast(Method, method), false_rejection, group)


@dataclass(frozen=True, eq=False)
class Labelled:
    """Fakes with names and groups, and how many recordings were left out for which reason."""

    ids: list[str]
    names: np.ndarray  # (n,)
    groups: np.ndarray  # (n,)
    embeddings: np.ndarray  # (n, size)
    column: str  # that the groups are of
    left_out: dict[str, int]


def space_of(table: Samples, model: str | None) -> str:
    """The digest of the model whose embeddings a table holds.

    A table names the model that embedded it. Whether that one took its embeddings over from another is on
    its card: that of `model`, or of the embedded model.

    Raises:
        InputError: `usage`: the table names no model, and nor is any; `tracer-space`: it names another.
        ModelError: the bundle cannot be used.
    """
    card = read_card(bundle_of(model))
    here = space_of_card(card)
    if table.model in (here, model_digest(card)):
        return here
    if table.model in NOT_KNOWN and model is None:
        raise InputError("usage", "the table does not say which model embedded it; name it with --model")
    if table.model not in NOT_KNOWN and model is not None:
        sentence = f"the table holds embeddings of another model ({table.model:.16}) than {card['name']}"
        raise InputError("tracer-space", f"{sentence} ({here:.16}): embed the recordings anew")
    return here if table.model in NOT_KNOWN else table.model


def read_tables(places: Sequence[str], model: str | None, protocols: Sequence[Path]) -> tuple[Samples, int]:
    """All rows of tables and knowledge bases, facts of protocols filled in; how many are quarantined.

    The column `model` holds the digest that models with the same embeddings share.

    Raises:
        InputError: as `read_samples`, `open_base`, `read_protocols`, `space_of`; `bad-samples`: of several
            models; `usage`: protocols of other recordings.
    """
    known = {str(item.path): item for item in read_protocols(protocols)} if protocols else {}
    tables, quarantined = [], 0
    for place in places:
        if not is_server(place) and Path(place).suffix.lower() == ".csv":
            table = read_samples(Path(place))
        else:
            with open_base(place) as base:
                items = list(base.items())
                voting = [item for item in items if not item.entry.quarantined]
                quarantined += len(items) - len(voting)
                table = as_table(voting, base.model.space, base.size)
        if not len(table):
            raise InputError("bad-labels", f"{table_name(place)}: holds no recording to learn from")
        columns = {**table.columns, "model": [space_of(table, model)] * len(table)}
        tables.append(replace(table, columns=columns))
    found = joined(tables)
    if known and known.keys().isdisjoint(found.column("path")):
        raise InputError("usage", "--protocol: has none of the recordings of the tables, by their paths")
    return with_facts(found, known), quarantined


def table_name(place: str) -> str:
    """A place in a sentence; an address may hold a password."""
    return "the knowledge base on the server" if is_server(place) else place


def as_table(items: Sequence[Item], space: str, size: int) -> Samples:
    """Entries of a knowledge base as rows, each with the mean of its windows."""
    means = [item.embeddings.mean(0) for item in items]
    entries = [item.entry for item in items]
    columns = {name: [getattr(entry, name) for entry in entries] for name in FROM_BASE}
    columns |= {"label": [LABEL[entry.bona_fide] for entry in entries], "model": [space] * len(entries)}
    scores = np.array([entry.score for entry in entries], float)
    rows = np.array(means, np.float32).reshape(-1, size)
    return Samples([entry.id for entry in entries], scores, rows, columns)


def with_facts(table: Samples, known: Mapping[str, Utterance]) -> Samples:
    """A table with what a protocol says of the recordings at the same paths, where it says anything."""
    items = [known.get(path) for path in table.column("path")]
    if not any(items):
        return table
    columns = dict(table.columns)
    for name in FROM_PROTOCOL:
        facts = [getattr(item, name) if item else "-" for item in items]
        columns[name] = [
            cell if fact in NOT_KNOWN else fact for fact, cell in zip(facts, table.column(name), strict=True)
        ]
    labels = ["-" if item is None else LABEL[item.bona_fide] for item in items]
    own = zip(table.column("label"), labels, strict=True)
    columns["label"] = [label if cell in NOT_KNOWN else cell for cell, label in own]
    return replace(table, columns=columns)


def labelled_of(table: Samples, options: LearnOptions) -> Labelled:
    """The fakes of a table whose maker is named at the level.

    The names of architectures are in the column `architecture`, or, where it says nothing, `generator`.

    Raises:
        InputError: `usage`: no such column for the groups; `bad-labels`: none is named, or too many names.
    """
    if options.group is not None and options.group not in table.columns:
        there = ", ".join(sorted(table.columns)) or "none"
        raise InputError("usage", f"--group: there is no column {options.group!r}; there are {there}")
    columns = NAMED_BY[options.level]
    column = next((name for name in columns if known_cells(table, name).any()), columns[-1])
    labels, named = table.labels, known_cells(table, column)
    some = table.take((labels == 0) & named)
    if not len(some):
        raise InputError(
            "bad-labels",
            f"no recording is labelled fake with a name in the column {' or '.join(columns)}; "
            "--protocol gives names to the recordings at its paths",
        )
    names = np.array(some.column(column), str)
    if len(np.unique(names)) > MOST_NAMES:
        raise InputError("bad-labels", f"{column}: {len(np.unique(names)):,} names; at most {MOST_NAMES:,}")
    reasons = {
        "genuine": int((labels == 1).sum()),
        "without a label": int((labels < 0).sum()),
        "without a name": int(((labels == 0) & ~named).sum()),
    }
    group = options.group or next((c for c in GROUPS if known_cells(some, c).any()), GROUPS[0])
    return Labelled(some.ids, names, np.array(some.column(group), str), some.embeddings, group, reasons)


def known_cells(table: Samples, column: str) -> np.ndarray:
    """(n,) bool: whether the column says anything."""
    return np.array([cell not in NOT_KNOWN for cell in table.column(column)], bool)


def learn(
    places: Sequence[str],
    out: Path,
    options: LearnOptions = LearnOptions(),
    model: str | None = None,
    protocols: Sequence[Path] = (),
) -> dict[str, Any]:
    """Write a tracer of what tables and knowledge bases hold; what is in it and how good it is, for JSON.

    Raises:
        InputError: `usage`, `bad-labels`, `too-few-groups`, `tracer-space`, `unwritable`; or what is read
            cannot be used.
    """
    if out.suffix.lower() != ".npz":
        raise InputError("usage", f"--out {out}: a tracer is a .npz")
    table, quarantined = read_tables(places, model, protocols)
    labelled = labelled_of(table, options)
    tracer = tracing.build(
        labelled.embeddings,
        labelled.names.tolist(),
        labelled.groups.tolist(),
        space=table.model,
        level=options.level,
        ids=labelled.ids,
        method=options.method,
        false_rejection=options.false_rejection,
    )
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        tracing.save(tracer, out)
    except OSError as error:
        raise InputError("unwritable", f"{out}: cannot be written: {error.strerror or error}") from None
    places_of = {name: len(np.unique(labelled.groups[labelled.names == name])) for name in tracer.names}
    return {
        **described(tracer, out),
        "group": labelled.column,
        "without_group": int(np.isin(labelled.groups, NOT_KNOWN).sum()),
        "groups": len(np.unique(labelled.groups)),
        "groups_of": places_of,
        "one_group_only": sorted(name for name, count in places_of.items() if count == 1),
        "left_out": {**labelled.left_out, "quarantined": quarantined},
        **judged(labelled, tracer),
        "caution": CAUTION,
    }


def described(tracer: Tracer, path: Path) -> dict[str, Any]:
    """What a tracer holds, fit for JSON."""
    counts = np.bincount(tracer.reference.codes, minlength=len(tracer.names)).tolist()
    return {
        "tracer": str(path),
        "space": tracer.space,
        "level": tracer.level,
        "method": tracer.method,
        "by": tracer.by,
        "false_rejection": tracer.false_rejection,
        "threshold": round(tracer.threshold, 6),
        "judged_by": tracer.judged.shape[1],
        "recordings": len(tracer.ids),
        "names": dict(zip(tracer.names, counts, strict=True)),
    }


def judged(labelled: Labelled, tracer: Tracer) -> dict[str, Any]:
    """How well recordings are named by a tracer that holds none of their group, fit for JSON.

    Known is whose name stands in another group too: the closed set. The others are unknown to a tracer
    without their group; that these are told from the known is the AUROC, None where there are none. The
    scale of the logits is that of the whole tracer. An embedding that was taught with these recordings lets
    all of this look better than it is.
    """
    rows, groups = tracing.unit(labelled.embeddings), labelled.groups
    true, names = labelled.names, np.array(tracer.names, str)
    said, common = true.copy(), true.copy()
    strange, known, heard = np.zeros(len(true)), np.zeros(len(true), bool), np.zeros(len(true), bool)
    codes = tracer.reference.codes
    for group in np.unique(groups):
        rest, here = groups != group, groups == group
        if len(np.unique(codes[rest])) < 2:
            continue
        other = tracing.fit(rows[rest], codes[rest], len(names), tracing.K)
        other = tracing.with_scale(other, tracer.reference.scale)
        shares = tracing.posteriors(replace(tracer, reference=other), rows[here])
        said[here] = names[shares.argmax(axis=1)]
        common[here] = names[np.bincount(codes[rest]).argmax()]
        strange[here] = tracing.strangeness(other, rows[here], tracer.by)
        known[here], heard[here] = np.isin(codes[here], codes[rest]), True
    unknown = heard & ~known
    closed = measured.closed_set(true[known], said[known])
    closed = {
        key: closed[key] for key in ("recordings", "accuracy", "balanced_accuracy", "macro_f1", "recall")
    }
    closed["accuracy_of_the_commonest"] = measured.accuracy(true[known], common[known])
    auroc = measured.auroc(strange[known], strange[unknown]) if unknown.any() else None
    return {"closed_set": closed, "open_set": {"unknown": int(unknown.sum()), "auroc": auroc}}


def run_learn(
    places: Sequence[str],
    out: Path,
    options: LearnOptions,
    model: str | None,
    protocols: Sequence[Path],
    as_json: bool,
) -> None:
    """Learn, and say what came of it.

    Raises:
        InputError: as `learn`.
    """
    about = learn(places, out, options, model, protocols)
    if as_json:
        sys.stdout.write(json.dumps(about) + "\n")
        return
    show_names(about)
    closed, opened = about["closed_set"], about["open_set"]
    left_out = ", ".join(f"{count:,} {reason}" for reason, count in about["left_out"].items() if count)
    lines = [
        f"{out}: {about['recordings']:,} recordings, {len(about['names']):,} names, "
        f"{about['groups']:,} groups ({about['group']})",
        f"left out: {left_out}" if left_out else "",
        f"a group never heard: {closed['accuracy']:.0%} of {closed['recordings']:,} named rightly, "
        f"{closed['accuracy_of_the_commonest']:.0%} by always saying the commonest; "
        f"macro-F1 {closed['macro_f1']:.2f}",
        f"known from unknown: AUROC {opened['auroc']:.2f}, {opened['unknown']:,} unknown"
        if opened["auroc"] is not None
        else "known from unknown: cannot be judged, for every name stands in several groups",
    ]
    lines.append(f"these figures are {about['caution']}")
    if about["without_group"]:
        lines.append(f"{about['without_group']:,} recordings have no group and count as one")
    if about["one_group_only"]:
        lines.append(f"in one group only, cannot be judged: {', '.join(about['one_group_only'])}")
    sys.stdout.write("".join(visible(line) + "\n" for line in lines if line))


def show_names(about: dict[str, Any]) -> None:
    """The names of a tracer, and what is known of them, for people."""
    recall, groups = about.get("closed_set", {}).get("recall", {}), about.get("groups_of", {})
    rows = [
        (name, f"{count:,}", groups.get(name, "–"), f"{recall[name]:.2f}" if name in recall else "–")
        for name, count in about["names"].items()
    ]
    if groups:
        show_table((about["level"], "recordings", "groups", "recall, group unheard"), rows, 3)
    else:
        show_table((about["level"], "recordings"), [row[:2] for row in rows], 1)


def run_show(path: Path, as_json: bool) -> None:
    """Say what is in a tracer.

    Raises:
        InputError: `bad-tracer`.
    """
    about = described(open_tracer(path), path)
    if as_json:
        sys.stdout.write(json.dumps(about) + "\n")
        return
    show_names(about)
    lines = (
        f"{path}: {about['recordings']:,} recordings by {len(about['names']):,} names",
        f"of embeddings of {about['space']}",
        f"named by {about['method']}; {tracing.NONE!r} by {about['by']} above {about['threshold']:.4f}, "
        f"at most {about['false_rejection']:.1%} of {about['judged_by']:,} held-out known recordings",
    )
    sys.stdout.write("".join(visible(line) + "\n" for line in lines))
