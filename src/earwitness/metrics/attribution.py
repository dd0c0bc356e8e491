"""Source tracing: which system made it (closed set), and whether any known one did (open set).

Conventions: `true` and `said` are names, (n,) each. In the open set a recording by a system that the tracer
has not heard of is *unknown*, the positive class (label 1), and a score is higher for what is more likely
unknown; a recording is called unknown at or above the threshold. Tied scores share one operating point.
Thresholds are arguments: they come from other data than those that are judged.
"""

from collections.abc import Collection
from typing import Any

import numpy as np

from earwitness.errors import InputError
from earwitness.metrics.detection import auc, eer
from earwitness.metrics.sweep import checked, operating_points

UNKNOWN = "unknown"  # the extra class of `joint_accuracy`


def confusion(true: np.ndarray, said: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Names, (C,) sorted, and how often which was taken for which, (C, C): rows true, columns said.

    Raises:
        InputError: `bad-labels`.
    """
    true, said = paired(true, said)
    names, codes = np.unique(np.concatenate([true, said]), return_inverse=True)
    table = np.zeros((len(names), len(names)), np.int64)
    np.add.at(table, (codes[: len(true)], codes[len(true) :]), 1)
    return names, table


def accuracy(true: np.ndarray, said: np.ndarray) -> float:
    """Share of recordings whose name is right; large classes count for more.

    Raises:
        InputError: `bad-labels`.
    """
    true, said = paired(true, said)
    return float(np.mean(true == said))


def recalls(true: np.ndarray, said: np.ndarray) -> dict[str, float]:
    """Share of each true class that is given its name.

    Raises:
        InputError: `bad-labels`.
    """
    names, table = confusion(true, said)
    counts = table.sum(1)
    return {
        str(names[i]): float(table[i, i] / counts[i]) for i in range(len(names)) if counts[i]
    }  # a name that was only ever said has no recall


def balanced_accuracy(true: np.ndarray, said: np.ndarray) -> float:
    """Mean recall over the true classes (Brodersen et al. 2010): 1 / C for a constant answer.

    Raises:
        InputError: `bad-labels`.
    """
    return float(np.mean(list(recalls(true, said).values())))


def macro_f1(true: np.ndarray, said: np.ndarray) -> float:
    """Mean over classes, true or said, of 2 TP / (2 TP + FP + FN) (Sokolova & Lapalme 2009).

    A name that was said and is never true counts as a class with F1 0.

    Raises:
        InputError: `bad-labels`.
    """
    _, table = confusion(true, said)
    return float(np.mean(2 * np.diag(table) / (table.sum(0) + table.sum(1))))


def closed_set(true: np.ndarray, said: np.ndarray) -> dict[str, Any]:
    """All measures of the closed set, fit for JSON.

    Raises:
        InputError: `bad-labels`.
    """
    names, table = confusion(true, said)
    return {
        "recordings": int(table.sum()),
        "accuracy": accuracy(true, said),
        "balanced_accuracy": balanced_accuracy(true, said),
        "macro_f1": macro_f1(true, said),
        "recall": recalls(true, said),
        "names": [str(name) for name in names],
        "confusion": table.tolist(),
    }


def auroc(known: np.ndarray, unknown: np.ndarray) -> float:
    """P(an unknown scores above a known) + P(equal) / 2, of scores (n,) and (m,). 0.5: chance.

    Raises:
        InputError: `bad-scores`.
    """
    return auc(unknown, known)


def aupr(known: np.ndarray, unknown: np.ndarray) -> float:
    """Average precision with unknown as the positive class; chance is their share, m / (n + m).

    Sum over thresholds of precision times the step in recall, without interpolation, which would be too
    kind (Davis & Goadrich 2006).

    Raises:
        InputError: `bad-scores`.
    """
    _, miss, false_alarm = operating_points(unknown, known)
    hits, alarms = (1 - miss) * np.size(unknown), false_alarm * np.size(known)
    precision = hits[:-1] / (hits[:-1] + alarms[:-1])
    return float(np.sum(np.diff(miss) * precision))


def fpr_at_tpr(known: np.ndarray, unknown: np.ndarray, tpr: float = 0.95) -> float:
    """Share of the known that is called unknown where at least `tpr` of the unknown is.

    Much of the literature on out-of-distribution detection takes the known as the positive class
    (Hendrycks & Gimpel 2017): the share of the unknown that slips through where `tpr` of the known is
    accepted. That is `fpr_at_tpr(-unknown, -known)`.

    Raises:
        InputError: `bad-scores`.
    """
    _, miss, false_alarm = operating_points(unknown, known)
    return float(false_alarm[1 - miss >= tpr - 1e-12].min())


def ood_eer(known: np.ndarray, unknown: np.ndarray) -> float:
    """Where as large a share of the unknown is accepted as of the known is refused.

    Raises:
        InputError: `bad-scores`.
    """
    return eer(unknown, known)


def f1_at(known: np.ndarray, unknown: np.ndarray, threshold: float) -> float:
    """F1 of the class unknown, called so at or above a threshold that other data gave.

    Raises:
        InputError: `bad-scores`.
    """
    hits = int(np.sum(checked(unknown, "unknown") >= threshold))
    alarms = int(np.sum(checked(known, "known") >= threshold))
    return 2 * hits / (hits + alarms + np.size(unknown))


def oscr_curve(right: np.ndarray, known: np.ndarray, unknown: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Open-set classification rate (Dhamija et al. 2018, equations 8 and 9), a point for each threshold.

    Args:
        right: (n,) bool, whether the known recording got its name.
        known: (n,) scores of the known. unknown: (m,) of the unknown.

    Returns:
        False-positive rates (K + 1,), the share of the unknown that is accepted, rising from 0 to 1; and
        the share of the known that is accepted and has its name.

    Raises:
        InputError: `bad-scores`, `bad-labels`.
    """
    known, unknown = checked(known, "known"), checked(unknown, "unknown")
    right = np.asarray(right, bool).ravel()
    if len(right) != len(known):
        raise InputError("bad-labels", f"expected {len(known)} answers for the known, found {len(right)}")
    distinct = np.unique(np.concatenate([known, unknown]))
    accepted = np.searchsorted(np.sort(unknown), distinct, side="right") / len(unknown)
    correct = np.searchsorted(np.sort(known[right]), distinct, side="right") / len(known)
    return np.append(0.0, accepted), np.append(0.0, correct)


def oscr(right: np.ndarray, known: np.ndarray, unknown: np.ndarray) -> float:
    """Area under `oscr_curve`, by trapezoids. All right: `auroc`; all wrong: 0. Never above the accuracy.

    Raises:
        InputError: `bad-scores`, `bad-labels`.
    """
    accepted, correct = oscr_curve(right, known, unknown)
    return float(np.sum(np.diff(accepted) * (correct[1:] + correct[:-1]) / 2))


def joint_accuracy(true: np.ndarray, said: np.ndarray, known: Collection[str]) -> float:
    """Accuracy where every name that is not among the `known` is one class, unknown.

    Raises:
        InputError: `bad-labels`.
    """
    true, said = paired(true, said)
    names = np.array(sorted(known), dtype=str)
    folded = [np.where(np.isin(labels, names), labels, UNKNOWN) for labels in (true, said)]
    return float(np.mean(folded[0] == folded[1]))


def paired(true: np.ndarray, said: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both as names (n,).

    Raises:
        InputError: `bad-labels`: there are none, or not as many of either.
    """
    true, said = np.asarray(true).ravel().astype(str), np.asarray(said).ravel().astype(str)
    if not len(true) or len(true) != len(said):
        raise InputError(
            "bad-labels", f"expected as many answers as names, found {len(said)} for {len(true)}"
        )
    return true, said
