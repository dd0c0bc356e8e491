"""How well a knowledge base tells its own entries apart, and the settings that do it best.

Each entry is judged by the others, without those of the same known speaker in the same known source.
The fusion with the detector is cross-fitted: entries of a fold are judged with one fitted on the other
folds, and no source (or generator, where the source is not known) stands in two folds.

Other entries of the same generator stay in the base, so this says how well known generators are
recognised, and nothing of one that the base has never heard.
"""

import json
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from earwitness.decision.calibration import Calibration
from earwitness.errors import InputError
from earwitness.evidence.consult import read_settings, write_settings
from earwitness.evidence.fusion import Fusion, fit_fusion
from earwitness.evidence.knowledge import Entry, Knowledge
from earwitness.evidence.neighbours import Retrieval, ScoreName, score
from earwitness.evidence.places import open_base
from earwitness.metrics.detection import auc, eer
from earwitness.metrics.intervals import bootstrap
from earwitness.metrics.resampling import units_of
from earwitness.operations.corpus import show_table
from earwitness.operations.hearing import ScanOptions
from earwitness.operations.knowledge_matrix import Matrix, Near, load, look_around
from earwitness.operations.scan import open_detector
from earwitness.operations.show import visible

FOLDS = 5
FEWEST = 2  # entries of either class that an error rate is stated of,
FEWEST_FUSED = 5  # that a fusion is cross-fitted on,
FEWEST_LEARNT = 20  # and that settings are learnt from
TRIED_K = (1, 3, 5, 11, 21)
TRIED_FLOORS = (0.0, 0.1, 0.2, 0.3)
TRIED_SCORES: tuple[ScoreName, ...] = ("class-knn", "weighted", "ratio")
LEVEL = 0.95
SYSTEMS = ("detector", "retrieval", "fused")
TITLES = {
    "detector": "the detector alone",
    "retrieval": "the other entries alone",
    "fused": "both, cross-fitted",
}
KNOWN_ONLY = (
    "other recordings of an entry's generator stayed in the base: this is how well known generators are "
    "recognised, and says nothing of unknown ones"
)


@dataclass(frozen=True, eq=False)
class Trials:
    """Entries that vote, as recordings to be judged by the others; arrays are (entries,)."""

    entries: Sequence[Entry]
    bona_fide: np.ndarray
    llr: np.ndarray  # by the detector; its raw scores where it has no calibration
    groups: np.ndarray  # numbers of what never stands in two folds
    similarity: np.ndarray  # greatest with what may judge; minus infinity where nothing may

    @property
    def heard(self) -> np.ndarray:
        """Those that anything may judge."""
        return np.isfinite(self.similarity)

    @property
    def fewest(self) -> int:
        """Of the smaller class among them."""
        genuine = int(self.bona_fide[self.heard].sum())
        return min(genuine, int(self.heard.sum()) - genuine)

    def answer(self, retrieval: np.ndarray, how: Retrieval) -> np.ndarray:
        """Retrieval scores (entries,), and zero where nothing is near: there the detector decides alone."""
        return np.where(self.similarity >= how.floor, retrieval, 0.0)


def leave_one_out(
    base: Knowledge,
    how: Retrieval,
    calibration: Calibration | None = None,
    draws: int = 1_000,
    seed: int = 0,
) -> dict[str, Any]:
    """How well entries that vote are told apart by the detector, by the other entries, and by both.

    Args:
        base: not changed.
        how: how the other entries are searched and scored.
        calibration: from the detector's raw scores to LLRs; None: they are taken for LLRs.
        draws: of the intervals.
        seed: of folds, draws, and of the sample of a very large base.

    Returns:
        Fit for JSON: `measures` with EER and AUC of each system, their intervals, and what those draw;
        `generators`, worst first, each against all genuine entries; `covered`; `notes`.

    Raises:
        InputError: `knowledge-few`: fewer than two entries of either class that others may judge.
    """
    matrix = load(base, voting=True, seed=seed)
    check_enough(base, matrix.bona_fide)
    near = look_around(matrix, how)
    trials = trials_of(matrix, near, calibration)
    check_enough(base, trials.bona_fide[trials.heard])
    systems = {"detector": trials.llr, "retrieval": retrieved(matrix, near, how)}
    if trials.fewest >= FEWEST_FUSED:
        systems["fused"] = cross_fitted(trials, systems["retrieval"], how, seed)
    notes = [KNOWN_ONLY, *matrix.remarks()]
    if not trials.heard.all():
        alone = int((~trials.heard).sum())
        notes.append(f"entries without a neighbour that may judge them, which the detector does: {alone:,}")
    if "fused" not in systems:
        notes.append(f"a fusion is fitted on at least {FEWEST_FUSED} entries of either class")
    if calibration is None:
        notes.append("the detector has no calibration: its raw scores stand for LLRs")
    genuine = int(trials.bona_fide.sum())
    return {
        "retrieval": asdict(how),
        "calibrated": calibration is not None,
        "entries": {"genuine": genuine, "fake": len(trials.entries) - genuine, "of": matrix.known},
        "intervals": {"level": LEVEL, "draws": draws, "by": "source, else generator, else entry"},
        "measures": {name: measured(values, trials, draws, seed) for name, values in systems.items()},
        "covered": rounded((trials.similarity >= how.floor).mean()),
        "generators": by_generator(trials, systems),
        "notes": notes,
    }


def learn_settings(
    base: Knowledge, calibration: Calibration | None = None, seed: int = 0
) -> tuple[Retrieval, Fusion] | None:
    """The score, k and floor whose fused LLR, cross-fitted, has the highest AUC, and their fusion.

    The mode stays that of the base. Of equals the first of `TRIED_SCORES`, the smallest k and the
    floor that the base has are taken. Mode `hybrid1` looks among as many voices for every k as it does for
    the greatest.

    Returns:
        None where fewer than 20 entries of either class vote.
    """
    matrix = load(base, voting=True, seed=seed)
    genuine = int(matrix.bona_fide.sum())
    if min(genuine, len(matrix.entries) - genuine) < FEWEST_LEARNT:
        return None
    now, _ = read_settings(base)
    near = look_around(matrix, replace(now, k=max(TRIED_K)))
    trials = trials_of(matrix, near, calibration)
    if trials.fewest < FEWEST_LEARNT:
        return None
    found = []
    floors = now.floor, *(floor for floor in TRIED_FLOORS if floor != now.floor)
    for name, k, floor in product(TRIED_SCORES, TRIED_K, floors):
        how = replace(now, score=name, k=k, floor=floor)
        fused = cross_fitted(trials, retrieved(matrix, near, how), how, seed)
        found.append((auc(fused[trials.bona_fide], fused[~trials.bona_fide]), how))
    _, chosen = max(found, key=lambda pair: pair[0])
    spoken = trials.answer(retrieved(matrix, near, chosen), chosen)
    return chosen, fit_fusion(trials.llr, spoken, trials.bona_fide)


def check_enough(base: Knowledge, bona_fide: np.ndarray) -> None:
    """Refuse what no error rate can be stated of.

    Raises:
        InputError: `knowledge-few`.
    """
    genuine, fake = int(bona_fide.sum()), int((~bona_fide).sum())
    if min(genuine, fake) < FEWEST:
        raise InputError(
            "knowledge-few",
            f"{base.path}: {genuine} genuine and {fake} fake entries vote and can be judged by others; at "
            f"least {FEWEST} of either are needed: add more, or review what is quarantined",
        )


def trials_of(matrix: Matrix, near: Near, calibration: Calibration | None) -> Trials:
    """The entries of a matrix, to be judged by the neighbours of their windows."""
    raw = np.array([entry.score for entry in matrix.entries])
    numbers: dict[tuple[str, str], int] = {}
    groups = np.array([numbers.setdefault(group_of(entry), len(numbers)) for entry in matrix.entries])
    nearest = near.similarity.max(axis=1, initial=-np.inf)
    return Trials(
        matrix.entries,
        matrix.bona_fide,
        np.asarray(calibration.apply(raw) if calibration else raw),
        groups,
        np.maximum.reduceat(nearest, matrix.edges[:-1]),
    )


def group_of(entry: Entry) -> tuple[str, str]:
    """What an entry is drawn and folded with: its source, else its generator, else nothing but itself."""
    for kind, name in (("source", entry.source), ("generator", entry.generator)):
        if name != "-":
            return kind, name
    return "entry", entry.id


def retrieved(matrix: Matrix, near: Near, how: Retrieval) -> np.ndarray:
    """Retrieval scores of entries, (entries,): the means over their windows."""
    genuine = int(matrix.bona_fide.sum())
    counts = genuine, len(matrix.entries) - genuine
    return matrix.mean_of_rows(score(near.similarity, near.bona_fide, near.scores, how, counts))


def cross_fitted(trials: Trials, retrieval: np.ndarray, how: Retrieval, seed: int) -> np.ndarray:
    """Fused LLRs of entries, (entries,), each by a fusion that was fitted without its fold."""
    rng = np.random.default_rng(seed)
    units = units_of(trials.bona_fide, trials.groups, rng)
    of_unit = np.concatenate([rng.permutation(np.arange(count) % FOLDS) for count in units.strata])
    folds = of_unit[units.of_trial]
    spoken, fused = trials.answer(retrieval, how), np.empty(len(retrieval))
    for fold in range(FOLDS):
        here = folds == fold
        fusion = fit_fusion(trials.llr[~here], spoken[~here], trials.bona_fide[~here])
        fused[here] = fusion.apply(trials.llr[here], spoken[here])
    return fused


def measured(values: np.ndarray, trials: Trials, draws: int, seed: int) -> dict[str, dict[str, float]]:
    """EER and AUC of scores (entries,), with intervals."""
    found = bootstrap(values, trials.bona_fide, trials.groups, ("eer", "auc"), draws, LEVEL, seed)
    return {
        name: {end: rounded(value) for end, value in vars(interval).items()}
        for name, interval in found.items()
    }


def by_generator(trials: Trials, systems: Mapping[str, np.ndarray]) -> list[dict[str, Any]]:
    """EER and AUC of each generator's entries against all genuine ones; the worst EER of the last first."""
    members: dict[str, list[int]] = defaultdict(list)
    for i, entry in enumerate(trials.entries):
        if not entry.bona_fide:
            members[entry.generator].append(i)
    rows: list[dict[str, Any]] = []
    for name, chosen in members.items():
        row: dict[str, Any] = {"generator": name, "entries": len(chosen)}
        for system, values in systems.items():
            sides = values[trials.bona_fide], values[chosen]
            row[system] = {"eer": rounded(eer(*sides)), "auc": rounded(auc(*sides))}
        rows.append(row)
    last = list(systems)[-1]
    return sorted(rows, key=lambda row: (-row[last]["eer"], row[last]["auc"], row["generator"]))


def rounded(value: float) -> float:
    """A share with four decimals."""
    return round(float(value), 4)


def run_test(path: str | Path, model: str | None, learn: bool, as_json: bool) -> None:
    """`earwitness knowledge test`: judge each entry by the others; with `learn` keep what does best.

    Raises:
        InputError: the base is not there, of another model, or holds too few entries.
        ModelError: the model cannot be used.
    """
    detector = open_detector(model, ScanOptions(), 1)
    with open_base(path, detector.id) as base:
        learnt = learn_settings(base, detector.calibration) if learn else None
        how = learnt[0] if learnt else read_settings(base)[0]
        found = leave_one_out(base, how, detector.calibration)
        if learnt:
            write_settings(base, *learnt)
            found["learnt"] = {"retrieval": asdict(learnt[0]), "fusion": asdict(learnt[1])}
            tried = len(TRIED_K) * len(TRIED_SCORES) * len(TRIED_FLOORS)
            found["notes"].append(f"the best of {tried} settings on these entries: a little optimistic")
        elif learn:
            found["learnt"] = None
            found["notes"].append(f"nothing was learnt: that takes {FEWEST_LEARNT} entries of either class")
    show_left_out(found, as_json)


def show_left_out(found: Mapping[str, Any], as_json: bool) -> None:
    """What `leave_one_out` found, on the standard output."""
    if as_json:
        sys.stdout.write(json.dumps(found) + "\n")
        return
    counts, how = found["entries"], found["retrieval"]
    say(f"{counts['genuine']:,} genuine and {counts['fake']:,} fake entries, each judged by the others")
    say(f"search by {how['mode']}, score {how['score']}, k {how['k']}, floor {how['floor']:g}\n")
    rows = [
        [TITLES[name], *spread(one["eer"], 100, 2), *spread(one["auc"], 1, 4)]
        for name, one in found["measures"].items()
    ]
    level = f"{100 * found['intervals']['level']:g} % interval"
    show_table(("decided by", "EER %", level, "AUC", level), rows, 4)
    say(f"covered by others: {found['covered']:.1%}; elsewhere the detector decides alone\n")
    systems = [name for name in SYSTEMS if name in found["measures"]]
    rows = [
        (row["generator"], f"{row['entries']:,}", *(f"{100 * row[name]['eer']:.2f}" for name in systems))
        for row in found["generators"]
    ]
    show_table(("EER % by generator", "entries", *systems), rows, 1 + len(systems))
    say("")
    for note in found["notes"]:
        say(f"note: {note}")
    if found.get("learnt"):
        weight = found["learnt"]["fusion"]["weight"]
        near = f"where one is as near as {how['floor']:g}"
        say(f"kept with the base: the detector's LLR + {weight:.4g} * score of the neighbours, {near}")


def spread(figure: Mapping[str, float], scale: float, digits: int) -> tuple[str, str]:
    """A figure, and the ends of its interval."""
    value, low, high = (f"{scale * figure[end]:.{digits}f}" for end in ("value", "low", "high"))
    return value, f"{low}–{high}"


def say(line: str) -> None:
    """A line on the standard output."""
    sys.stdout.write("\n".join(visible(part) for part in line.split("\n")) + "\n")
