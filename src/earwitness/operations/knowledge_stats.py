"""What a knowledge base holds, and what in it a person should look at.

Two entries are as alike as their two most similar windows, which is how a query finds them too.
"""

import json
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from earwitness.evidence.consult import read_settings
from earwitness.evidence.knowledge import Entry, Knowledge
from earwitness.operations.corpus import show_table
from earwitness.operations.knowledge_leave_out import learn_settings, leave_one_out, run_test, say
from earwitness.operations.knowledge_matrix import Matrix, best, likeness, load

__all__ = ["learn_settings", "leave_one_out", "run_test", "show_statistics", "statistics_of"]

LABELS = ("genuine", "fake")
COLUMNS = ("generator", "source", "language")
PERCENTILES = (1, 50, 99)
CONFLICT = 0.98  # cosine above which two labels cannot both be right
PAIRS = 100  # conflicts that are listed, of however many there are
MISLABELS = 20
USUAL_K = 5  # neighbours that a label is compared with where none is learnt,
FEWEST_K = 3  # and at least: one neighbour is no majority
NEARLY_ALL = 0.8
LOOKED_AT = 5  # entries of either class before watermarks are compared
UNBALANCED = 0.5  # difference of shares
SHOWN = 12  # rows of a table for people; JSON holds all


def statistics_of(base: Knowledge, seed: int = 0) -> dict[str, Any]:
    """Counts, coverage, conflicts of labels, likely mislabels and the balance of watermarks.

    Args:
        base: not changed.
        seed: of the sample of a base with more than 20,000 entries, within which entries are compared.

    Returns:
        Fit for JSON. `coverage`: percentiles of the similarity of each entry that votes to the nearest
        other; `conflicts`: pairs above a cosine of 0.98 under two labels; `mislabels`: at most 20, the
        most doubtful first; `warnings` and `notes`: sentences.
    """
    entries = base.entries()
    how, _ = read_settings(base)
    k = max(FEWEST_K, how.k if "retrieval" in base.settings() else USUAL_K)
    marks = watermarks(entries)
    matrix = load(base, seed=seed)
    coverage, conflicts, mislabels = compared(matrix, k, how.floor)
    return {
        "model": vars(base.model),
        "entries": len(entries),
        "hours": hours(entries),
        "labels": [
            {"value": label, **counted(entry for entry in entries if label_of(entry) == label)}
            for label in LABELS
        ],
        "by": {name: tabulated(entries, name) for name in COLUMNS},
        "coverage": coverage,
        "conflicts": conflicts,
        "mislabels": mislabels,
        "watermarks": marks,
        "warnings": [marks["warning"]] if marks["warning"] else [],
        "notes": matrix.remarks(),
    }


def label_of(entry: Entry) -> str:
    """The label of an entry, as `knowledge add` calls it."""
    return "genuine" if entry.bona_fide else "fake"


def hours(entries: Iterable[Entry]) -> float:
    """Hours of audio, to the nearest third of a second."""
    return round(sum(entry.duration_s for entry in entries) / 3600, 4)


def counted(entries: Iterable[Entry]) -> dict[str, Any]:
    """How many, how long, how many were reviewed by a person, and how many may not vote."""
    chosen = list(entries)
    return {
        "entries": len(chosen),
        "hours": hours(chosen),
        "reviewed": sum(entry.reviewed for entry in chosen),
        "quarantined": sum(bool(entry.quarantined) for entry in chosen),
    }


def tabulated(entries: Iterable[Entry], column: str) -> list[dict[str, Any]]:
    """A row for each value of a column, most entries first."""
    found: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        found[getattr(entry, column)].append(entry)
    rows: list[dict[str, Any]] = []
    for value, chosen in found.items():
        genuine = sum(entry.bona_fide for entry in chosen)
        rows.append({"value": value, "genuine": genuine, "fake": len(chosen) - genuine, **counted(chosen)})
    return sorted(rows, key=lambda row: (-row["entries"], row["value"]))


def watermarks(entries: Iterable[Entry]) -> dict[str, Any]:
    """How many entries that vote carry a watermark, and a warning where that alone tells the classes apart.

    A base in which fakes are marked and genuine recordings are not finds watermarks, not fakes: whoever
    marks a genuine recording has it called fake, and whoever strips a fake has it called genuine.
    """
    found: dict[str, Any] = {label: {"looked_at": 0, "marked": 0} for label in LABELS}
    for entry in entries:
        if entry.wm_present is not None and not entry.quarantined:
            found[label_of(entry)]["looked_at"] += 1
            found[label_of(entry)]["marked"] += entry.wm_present
    looked = [found[label]["looked_at"] for label in LABELS]
    warning = None
    if not sum(looked):
        warning = "no entry was looked at for watermarks: whether they tell the classes apart is not known"
    elif min(looked) < LOOKED_AT:
        warning = (
            f"{looked[0]} genuine and {looked[1]} fake entries were looked at for watermarks: too few to say "
            "whether these tell the classes apart"
        )
    else:
        shares = [found[label]["marked"] / found[label]["looked_at"] for label in LABELS]
        if abs(shares[0] - shares[1]) > UNBALANCED:
            warning = (
                f"{shares[1]:.0%} of fake and {shares[0]:.0%} of genuine entries carry a watermark: "
                "neighbours may be alike for that alone; add fakes without and genuine recordings with one"
            )
    return {**found, "warning": warning}


def compared(
    matrix: Matrix, k: int, threshold: float
) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Coverage, conflicts and likely mislabels: every entry compared with every other.

    Args:
        matrix: of the base.
        k: neighbours that a label is compared with.
        threshold: similarity from which the base counts as covering.
    """
    label, votes, voters = matrix.bona_fide, matrix.votes, np.flatnonzero(matrix.votes)
    count, pairs, near, alike = 0, np.zeros((0, 3)), [], []
    for part, block in likeness(matrix):
        block = np.maximum.reduceat(block, matrix.edges[part] - matrix.edges[part.start], axis=0)
        own = np.arange(part.start, part.stop)
        block[own - part.start, own] = -np.inf
        contrary = (block > CONFLICT) & (label[own][:, None] & ~label)  # a genuine row, a fake column
        rows, columns = np.nonzero(contrary)
        count += len(rows)
        more = np.column_stack([own[rows], columns, block[rows, columns]])
        pairs = np.concatenate([pairs, more])
        pairs = pairs[np.argsort(-pairs[:, 2], kind="stable")[:PAIRS]]
        found, values = best(block, voters, k)
        near.append(found)
        alike.append(values)
    neighbours = np.concatenate(near) if near else np.zeros((0, 0), np.int64)
    similarity = np.concatenate(alike) if alike else np.zeros((0, 0))
    conflicts = {
        "above": CONFLICT,
        "count": count,
        "pairs": [pair(matrix.entries[int(a)], matrix.entries[int(b)], value) for a, b, value in pairs],
    }
    nearest = similarity[votes].max(axis=1, initial=-np.inf)
    return (
        covered(nearest[np.isfinite(nearest)], threshold),
        conflicts,
        doubtful(matrix, neighbours, similarity, k),
    )


def pair(genuine: Entry, fake: Entry, similarity: float) -> dict[str, Any]:
    """A conflict, fit for JSON."""
    return {
        "similarity": cosine(similarity),
        "genuine": genuine.id,
        "fake": fake.id,
        "generator": fake.generator,
        "quarantined": [entry.id for entry in (genuine, fake) if entry.quarantined],
    }


def covered(nearest: np.ndarray, threshold: float) -> dict[str, Any]:
    """Percentiles of similarities (entries,) to the nearest other entry, and how many stand alone."""
    values = np.percentile(nearest, PERCENTILES) if len(nearest) else ()
    return {
        "entries": len(nearest),
        "similarity": {f"{q}": cosine(value) for q, value in zip(PERCENTILES, values, strict=False)},
        "threshold": threshold,
        "alone": int((nearest < threshold).sum()),
    }


def doubtful(matrix: Matrix, neighbours: np.ndarray, similarity: np.ndarray, k: int) -> dict[str, Any]:
    """Entries that vote whose nearest others nearly all carry the other label, the most doubtful first.

    Doubt is the mean similarity to the neighbours, negative for those of the entry's own label.

    Args:
        matrix: of the base.
        neighbours: (entries, k) of those that vote, nearest first.
        similarity: (entries, k), minus infinity where there is none.
        k: neighbours wanted.
    """
    label, there = matrix.bona_fide, np.isfinite(similarity)
    other = (label[neighbours] != label[:, None]) & there
    number = np.maximum(there.sum(axis=1), 1)
    share = other.sum(axis=1) / number
    doubt = (np.where(there, similarity, 0) * np.where(other, 1, -1)).sum(axis=1) / number
    chosen = np.flatnonzero(matrix.votes & (share >= NEARLY_ALL) & (number >= FEWEST_K))
    chosen = chosen[np.argsort(-doubt[chosen], kind="stable")]
    listed = []
    for i in chosen[:MISLABELS]:
        entry = matrix.entries[i]
        found = [
            {"id": matrix.entries[j].id, "label": label_of(matrix.entries[j]), "similarity": cosine(value)}
            for j, value in zip(neighbours[i], similarity[i], strict=True)
            if np.isfinite(value)
        ]
        known = {name: getattr(entry, name) for name in ("generator", "source", "path", "reviewed")}
        doubts = {"contrary": int(other[i].sum()), "doubt": cosine(doubt[i])}
        listed.append({"id": entry.id, "label": label_of(entry), **known, **doubts, "neighbours": found})
    return {"k": k, "count": len(chosen), "entries": listed}


def cosine(value: float) -> float:
    """A similarity with four decimals, at most 1."""
    return round(min(float(value), 1.0), 4)


def show_statistics(stats: Mapping[str, Any], as_json: bool) -> None:
    """What `statistics_of` found, on the standard output."""
    if as_json:
        sys.stdout.write(json.dumps(stats) + "\n")
        return
    model = stats["model"]
    say(f"{stats['entries']:,} entries, {stats['hours']:.2f} hours, of {model['name']} {model['version']}\n")
    kept = ("entries", "hours", "reviewed", "quarantined")
    rows = [(row["value"], *(row[name] for name in kept)) for row in stats["labels"]]
    show_table(("label", *kept), rows, len(kept))
    for name, table in stats["by"].items():
        kept = (*LABELS, "hours", "quarantined")
        say("")
        show_part((name, *kept), [(row["value"], *(row[one] for one in kept)) for row in table], 4)
    show_coverage(stats["coverage"])
    show_doubts(stats["conflicts"], stats["mislabels"])
    for kind in ("warnings", "notes"):
        for line in stats[kind]:
            say(f"{kind[:-1]}: {line}")


def show_part(titles: Sequence[str], rows: Sequence[Sequence[object]], numbers: int) -> None:
    """The first rows of a table, and how many more there are."""
    show_table(titles, rows[:SHOWN], numbers)
    if len(rows) > SHOWN:
        say(f"... and {len(rows) - SHOWN:,} more; --json holds all")


def show_coverage(coverage: Mapping[str, Any]) -> None:
    """How near entries are to each other."""
    if not coverage["similarity"]:
        say("\ncoverage: no two entries vote\n")
        return
    shares = ", ".join(f"{q} % below {value:.2f}" for q, value in coverage["similarity"].items())
    say(f"\ncoverage: similarity of an entry to the nearest other: {shares}")
    say(
        f"entries that stand alone, below the threshold of {coverage['threshold']:g}: {coverage['alone']:,}\n"
    )


def show_doubts(conflicts: Mapping[str, Any], mislabels: Mapping[str, Any]) -> None:
    """Conflicts and likely mislabels, and what can be done about them."""
    say(f"pairs alike above {conflicts['above']:g} under two labels: {conflicts['count']:,}")
    if conflicts["pairs"]:
        kept = ("genuine", "fake", "generator", "similarity")
        show_part(kept, [tuple(row[name] for name in kept) for row in conflicts["pairs"]], 1)
        say("")
    count, k = mislabels["count"], mislabels["k"]
    say(f"entries whose {k} nearest others nearly all carry the other label: {count:,}")
    if mislabels["entries"]:
        rows = []
        for row in mislabels["entries"]:
            nearest = row["neighbours"][0]
            known = row["id"], row["label"], row["path"], "yes" if row["reviewed"] else "no"
            rows.append([*known, row["contrary"], nearest["id"], f"{nearest['similarity']:.2f}"])
        show_table(("entry", "label", "path", "reviewed", "against", "nearest", "similarity"), rows, 3)
        say("`knowledge review ID --label LABEL` confirms or changes a label")
    say("")
