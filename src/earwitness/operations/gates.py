"""Gates: whether a candidate may take the champion's place, judged by their answers to the same items.

A guard set is old data, frozen, on which a candidate must not be worse than the champion by more than a
margin. That is a test of non-inferiority: what must stay below the margin is not the difference that was
seen but the upper end of its one-sided 95 % interval, by a bootstrap that draws the same groups for both.
So a guard set too small to rule the margin out refuses, and so does one below `min_trials` of a class,
where a bootstrap has nothing to resample. Nothing here knows what the answers are about: LLRs in nats,
higher = more bona fide, are all there is.
"""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from earwitness.errors import InputError
from earwitness.metrics.detection import cllr, min_cllr
from earwitness.metrics.intervals import Comparison, compare
from earwitness.operations.samples import LABELS, MOST_ROWS, as_number


@dataclass(frozen=True)
class GateOptions:
    """Limits of the gates."""

    margin: float = 0.02  # EER on a guard set that the upper end of the difference may reach
    false_alarms: float = 0.05  # share of genuine recordings called fake
    calibration_share: float = 1.15  # Cllr at most this times min Cllr
    calibration_chance: float = 1.9  # and this over the trials of the rarer class to the power of 2/3
    speed_share: float = 0.8  # of the champion's speed
    embedding_tolerance: float = 1e-3  # relative, between embeddings that are said to be the same
    min_trials: int = 20  # of either class
    draws: int = 2_000
    seed: int = 0


@dataclass(frozen=True)
class Answers:
    """What both said of the same items; `champion` is None where there is none yet."""

    name: str
    champion: np.ndarray | None  # (n,) LLR, nats
    candidate: np.ndarray  # (n,) LLR, nats
    bona_fide: np.ndarray  # (n,) bool
    groups: np.ndarray  # (n,) text: items of one group are alike (page, speaker, session)

    def excess(self, scores: np.ndarray) -> tuple[float, float]:
        """Cllr and min Cllr in bits of `scores` (n,)."""
        sides = scores[self.bona_fide], scores[~self.bona_fide]
        return cllr(*sides), min_cllr(*sides)


@dataclass(frozen=True)
class Embeddings:
    """Whose embeddings each gives (digests), and both on the same items where they were measured."""

    champion: str
    candidate: str
    own: bool = False  # the candidate is the champion's own network, so that nothing needs measuring
    champion_vectors: np.ndarray | None = None  # (n, size)
    candidate_vectors: np.ndarray | None = None  # (n, size)


@dataclass(frozen=True)
class Gate:
    """What one gate says."""

    name: str
    passed: bool
    measured: dict[str, Any]  # numbers and texts, fit for JSON
    limit: str
    sentence: str


def judge(
    guards: Sequence[Answers],
    new: Answers | None = None,
    thresholds: tuple[float, float] = (0.0, 0.0),
    speeds: tuple[float, float] | None = None,
    embeddings: Embeddings | None = None,
    options: GateOptions = GateOptions(),
) -> list[Gate]:
    """All gates, in order; a candidate may be promoted if every one is passed.

    Args:
        guards: frozen sets of old data, at least one.
        new: the data that the candidate was made for, none of which it was trained on.
        thresholds: LLR at or below which champion and candidate call a recording fake.
        speeds: seconds of audio that champion and candidate judge in a second of CPU; None: not
            measured, and not judged.
        embeddings: None where there is no champion.

    Raises:
        InputError: `no-guard`; `bad-answers`: lengths differ, or answers of the champion are not finite.
    """
    if not guards:
        raise InputError("no-guard", "no guard set: nothing would say what the candidate forgot")
    gates = []
    for answers in [*guards, *([new] if new else [])]:
        check_answers(answers)
        gates.append(enough(answers, options))
        if not gates[-1].passed:
            continue
        if answers.champion is not None:
            gates.append(improves(answers, options) if answers is new else keeps(answers, options))
        gates.append(false_alarms(answers, thresholds, options))
        if answers is not new:
            gates.append(calibrated(answers, options))
    if speeds is not None:
        gates.append(fast_enough(*speeds, options))
    if embeddings is not None:
        gates.append(same_embedding(embeddings, options))
    return gates


def check_answers(answers: Answers) -> None:
    """Refuse tables that cannot be judged at all.

    Raises:
        InputError: `bad-answers`.
    """
    parts = [answers.candidate, answers.bona_fide, answers.groups]
    parts += [] if answers.champion is None else [answers.champion]
    if len({len(part) for part in parts}) != 1:
        raise InputError("bad-answers", f"{answers.name}: answers, labels and groups differ in length")
    if answers.champion is not None and not np.isfinite(answers.champion).all():
        raise InputError("bad-answers", f"{answers.name}: answers of the champion are not finite")


def enough(answers: Answers, options: GateOptions) -> Gate:
    """Whether there are trials to judge by, each with an answer."""
    genuine, fake = int(answers.bona_fide.sum()), int((~answers.bona_fide).sum())
    unanswered = int((~np.isfinite(answers.candidate)).sum())
    passed = min(genuine, fake) >= options.min_trials and not unanswered
    sentence = f"{genuine:,} genuine and {fake:,} fake recordings"
    if unanswered:
        sentence += f", {unanswered:,} of which the candidate has no finite answer to"
    elif not passed:
        sentence += f": too few to judge by, {options.min_trials} of each are needed"
    measured = {"genuine": genuine, "fake": fake, "unanswered": unanswered}
    measured["groups"] = len(np.unique(answers.groups))
    return Gate(
        f"trials: {answers.name}", passed, measured, f">= {options.min_trials} of each", sentence + "."
    )


def difference(answers: Answers, options: GateOptions) -> Comparison:
    """EER of the candidate minus that of the champion; its ends are each one-sided 95 %.

    Raises:
        InputError: `bad-answers`: there is no champion.
    """
    if answers.champion is None:
        raise InputError("bad-answers", f"{answers.name}: no answers of a champion to compare with")
    return compare(
        answers.candidate,
        answers.champion,
        answers.bona_fide,
        answers.groups,
        "eer",
        draws=options.draws,
        level=0.9,
        seed=options.seed,
    )


def keeps(answers: Answers, options: GateOptions) -> Gate:
    """Whether the candidate is not worse than the champion on a guard set, by the margin."""
    found = difference(answers, options)
    passed = found.high <= options.margin
    verdict = "not worse by more than the margin" if passed else "a loss beyond the margin is not ruled out"
    return Gate(
        f"old data: {answers.name}",
        passed,
        {"eer_difference": found.difference, "low": found.low, "high": found.high},
        f"upper end <= {points(options.margin)}",
        f"EER {points(found.difference)} against the champion, at most {points(found.high)} with 95 % "
        f"confidence: {verdict}.",
    )


def improves(answers: Answers, options: GateOptions) -> Gate:
    """Whether the candidate is better than the champion on new data."""
    found = difference(answers, options)
    passed = found.difference < 0
    sure = "" if found.high < 0 else ", which may be chance" if passed else ", so nothing is gained"
    return Gate(
        f"new data: {answers.name}",
        passed,
        {"eer_difference": found.difference, "low": found.low, "high": found.high},
        "below 0",
        f"EER {points(found.difference)} against the champion (90 % interval {points(found.low)} to "
        f"{points(found.high)}){sure}.",
    )


def false_alarms(answers: Answers, thresholds: tuple[float, float], options: GateOptions) -> Gate:
    """Whether few enough genuine recordings are called fake at the candidate's own threshold."""
    rate = float(np.mean(answers.candidate[answers.bona_fide] <= thresholds[1]))
    measured: dict[str, Any] = {"rate": rate}
    limit = options.false_alarms
    if answers.champion is not None:
        measured["champion"] = float(np.mean(answers.champion[answers.bona_fide] <= thresholds[0]))
        limit = max(limit, measured["champion"])
    passed = rate <= limit
    return Gate(
        f"false alarms: {answers.name}",
        passed,
        measured,
        f"<= {limit:.1%}",
        f"{rate:.1%} of genuine recordings are called fake, {'within' if passed else 'above'} {limit:.1%}.",
    )


def calibrated(answers: Answers, options: GateOptions) -> Gate:
    """Whether LLRs mean what they say, or are no further from it than the champion's.

    The least Cllr is that of the best monotone map, which flatters by chance: of perfectly calibrated
    Gaussian sets of 24 to 1,000 trials a class 95 % exceed it by less than 1.9 n^(-2/3) bits.
    """
    found, least = answers.excess(answers.candidate)
    rarer = min(int(answers.bona_fide.sum()), int((~answers.bona_fide).sum()))
    chance = options.calibration_chance * rarer ** (-2 / 3)
    limit = options.calibration_share * least + chance
    measured = {"cllr": found, "min_cllr": least}
    passed = found <= limit
    if answers.champion is not None:
        used, used_least = answers.excess(answers.champion)
        measured |= {"champion_cllr": used, "champion_min_cllr": used_least}
        passed = passed or found - least <= used - used_least
        limit = max(limit, least + used - used_least)
    return Gate(
        f"calibration: {answers.name}",
        passed,
        measured,
        f"Cllr <= {limit:.3f}",
        f"Cllr {found:.3f} where {least:.3f} is possible: "
        + ("calibrated." if passed else "the scores promise more, or less, than they keep."),
    )


def fast_enough(champion: float, candidate: float, options: GateOptions) -> Gate:
    """Whether the candidate is not much slower."""
    least = options.speed_share * champion
    passed = candidate >= least
    return Gate(
        "speed",
        passed,
        {"champion": champion, "candidate": candidate},
        f">= {least:.1f} s of audio per CPU second",
        f"{candidate:.1f} s of audio in a second of CPU, the champion {champion:.1f}: "
        + ("fast enough." if passed else "too slow."),
    )


def same_embedding(pair: Embeddings, options: GateOptions) -> Gate:
    """Whether embeddings that are said to be the champion's are; others pass, and are said to be others."""
    name, limit = "embedding", f"relative difference <= {options.embedding_tolerance:g} where the same"
    if pair.champion != pair.candidate:
        sentence = "The embeddings are others than the champion's: what hangs on them must be made again."
        return Gate(name, True, {"same": False}, limit, sentence)
    if pair.own:
        return Gate(name, True, {"same": True}, limit, "The network is the champion's own.")
    if pair.champion_vectors is None or pair.candidate_vectors is None:
        sentence = "The card claims the champion's embeddings, and no measurement of both was given."
        return Gate(name, False, {"same": True}, limit, sentence)
    apart = furthest(pair.champion_vectors, pair.candidate_vectors)
    passed = apart <= options.embedding_tolerance
    sentence = "The embeddings are the champion's." if passed else (
        "The card claims the champion's embeddings, and the candidate gives others."
    )  # fmt: skip
    measured = {"same": True, "relative_difference": apart if np.isfinite(apart) else None}
    return Gate(name, passed, measured, limit, sentence)


def furthest(a: np.ndarray, b: np.ndarray) -> float:
    """Largest ||a - b|| / ||a|| over rows of (n, size); infinite where that cannot be said."""
    if a.shape != b.shape or a.ndim != 2 or not len(a):
        return float("inf")
    apart = np.linalg.norm(a.astype(float) - b, axis=1)
    worst = float(np.max(apart / np.maximum(np.linalg.norm(a.astype(float), axis=1), 1e-12)))
    return worst if np.isfinite(worst) else float("inf")


def points(value: float) -> str:
    """A difference of error rates in percentage points, with its sign."""
    return f"{100 * value:+.2f} points"


def read_answers(table: Path) -> Answers:
    """Answers of a CSV with the columns id, label, candidate and, perhaps, champion and group.

    A cell of `group` that is empty or '-' makes the item a group of its own. An answer that is no number
    is NaN, which `judge` counts.

    Raises:
        InputError: `bad-answers`: the table is missing or damaged, lacks a column, holds an id twice, a
            label that is none, or answers of the champion to some items only.
    """
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            heads = [name.strip().lower() for name in reader.fieldnames or ()]
            reader.fieldnames = heads
            missing = [name for name in ("id", "label", "candidate") if name not in heads]
            if missing:
                raise InputError("bad-answers", f"{table}: has no column {' or '.join(missing)}")
            rows = []
            for number, row in enumerate(reader, 2):
                if None in row or None in row.values() or number > MOST_ROWS:
                    raise InputError(
                        "bad-answers", f"{table}: row {number}: not {len(heads)} cells, or one row too many"
                    )
                rows.append({name: cell.strip() for name, cell in row.items()})
    except (OSError, ValueError, csv.Error) as error:
        raise InputError("bad-answers", f"{table}: cannot be read as CSV: {str(error)[:120]}") from None
    return answers_of(rows, table)


def answers_of(rows: list[dict[str, str]], table: Path) -> Answers:
    """Answers of the rows of a table.

    Raises:
        InputError: `bad-answers`.
    """
    seen: set[str] = set()
    for number, row in enumerate(rows, 2):
        if row["id"] in seen:
            raise InputError("bad-answers", f"{table}: row {number}: the id {row['id']!r} stands there twice")
        if LABELS.get(row["label"].lower(), -1) < 0:
            raise InputError(
                "bad-answers", f"{table}: row {number}: {row['label']!r} is no label; real or fake is"
            )
        seen.add(row["id"])
    given = [row.get("champion", "") not in ("", "-") for row in rows]
    if any(given) and not all(given):
        row = given.index(False) + 2
        raise InputError("bad-answers", f"{table}: row {row}: no answer of the champion, which others have")
    groups = [row.get("group", "") for row in rows]
    return Answers(
        table.stem,
        np.array([as_number(row["champion"]) for row in rows]) if any(given) else None,
        np.array([as_number(row["candidate"]) for row in rows], float),
        np.array([LABELS[row["label"].lower()] for row in rows], bool),
        np.array([f"id {row['id']}" if g in ("", "-") else g for g, row in zip(groups, rows, strict=True)]),
    )
