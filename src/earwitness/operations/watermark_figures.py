"""From what was read under each condition to the figures of a card, with intervals.

Intervals are percentiles of resamples of groups (pages, speakers). A share that is 0 or 1 throughout ends
where Wilson's interval does for as many trials as there are groups. False alarms have Wilson's interval,
recordings taken one by one.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from earwitness.audio.augment.distortions import DISTORTIONS
from earwitness.evidence.watermark import Scheme
from earwitness.metrics.measures import figures, ratio
from earwitness.metrics.reliability import wilson
from earwitness.metrics.resampling import units_of
from earwitness.operations.watermark_trials import NONE, QUALITY, CardOptions, Job, Reading

SHARES = ("detected", "named", "both", "bits")
Figure = dict[str, float | None]


@dataclass(frozen=True)
class Answer:
    """A recording of the card with what was found, of which nothing failed as a whole."""

    job: Job
    group: str
    own: bool  # marked with the name of the generator that made it
    found: Mapping[str, Any]

    @property
    def bona_fide(self) -> bool:
        """Whether the recording is genuine."""
        return self.job.item.bona_fide


def summarise(
    scheme: Scheme, answers: Sequence[Answer], distortions: Sequence[str], options: CardOptions
) -> dict[str, Any]:
    """The figures of a card, fit for JSON.

    Raises:
        KeyError, TypeError, ValueError, AttributeError: answers are not what `Work` gives.
    """
    marked = [one for one in answers if one.job.kind == "marked"]
    unmarked = [one for one in answers if one.job.kind == "unmarked"]
    kinds = list(dict.fromkeys(kind for one in marked for kind in one.found["heard"]))
    attacks = [kind for kind in kinds if kind != NONE and kind not in distortions]
    parts = {
        "all": marked,
        "own": [one for one in marked if one.own],
        "other": [one for one in marked if not one.own],
    }
    return {
        "marked": counts_of(marked) | {"own": len(parts["own"])},
        "conditions": [
            about(kind) | {name: part(scheme, some, "heard", kind, options) for name, some in parts.items()}
            for kind in [NONE, *distortions, *attacks]
        ],
        "forgeries": forgeries(scheme, marked, options),
        "false_alarms": false_alarms(unmarked, distortions, options.level),
        "named_without_a_mark": naming(scheme, unmarked),
        "quality": quality(marked, options),
        "speed": {
            verb: float(np.median([one.found[verb] for one in marked])) if marked else None
            for verb in ("embedding", "detection")
        },
        "failed": failures(marked, unmarked),
    }


def counts_of(answers: Sequence[Answer]) -> dict[str, int]:
    """How many recordings there are, by class."""
    genuine = sum(one.bona_fide for one in answers)
    groups = len({one.group for one in answers})
    return {
        "recordings": len(answers),
        "genuine": genuine,
        "fake": len(answers) - genuine,
        "groups": groups,
    }


def about(kind: str) -> dict[str, Any]:
    """What a condition is."""
    if kind == NONE:
        return {"name": kind, "kind": NONE, "family": NONE, "held_out": False}
    if kind in DISTORTIONS:
        found = DISTORTIONS[kind]
        return {"name": kind, "kind": "distortion", "family": found.family, "held_out": found.held_out}
    family = {"overwritten": "overwriting", "averaged": "averaging"}.get(kind.partition("-")[0], "forgery")
    return {"name": kind, "kind": "attack", "family": family, "held_out": False}


def part(
    scheme: Scheme, answers: Sequence[Answer], where: str, kind: str, options: CardOptions
) -> dict[str, Any]:
    """The figures of a condition: detected, rightly named, both at once, bits that are right, mean score.

    For attacks also how much of the recording they leave, as SNR.
    """
    there = [(one, one.found[where][kind]) for one in answers if kind in one.found[where]]
    heard: list[tuple[Answer, Reading]] = [pair for pair in there if "failed" not in pair[1]]
    detected = [float(reading["marked"]) for _, reading in heard]
    right = [float(reading["name"] == one.job.name) for one, reading in heard] if scheme.names else None
    columns = {
        "detected": detected,
        "named": right,
        "both": right and [a * b for a, b in zip(detected, right, strict=True)],
        "bits": [numeric(reading["bits"]) for _, reading in heard] if scheme.bits is not None else None,
        "score": [numeric(reading["score"]) for _, reading in heard],
        "snr_db": [numeric(reading.get("snr_db")) for _, reading in heard],
    }
    groups = [one.group for one, _ in heard]
    found = means({name: values for name, values in columns.items() if values}, groups, options)
    return {
        "recordings": len(heard),
        "failed": len(there) - len(heard),
        **{name: found.get(name) for name in columns},
    }


def numeric(value: float | None) -> float:
    """A number; nan for None."""
    return float("nan") if value is None else float(value)


def means(
    columns: Mapping[str, Sequence[float]], groups: Sequence[str], options: CardOptions
) -> dict[str, Figure]:
    """Mean and interval of each column (recordings,), what is nan left out; on draws of whole groups."""
    if not groups:
        return {}
    rng = np.random.default_rng(options.seed)
    units = units_of(np.zeros(len(groups), bool), np.array(groups), rng)
    made = {}
    for name, values in columns.items():
        known = np.isfinite(values)
        made[name] = ratio(units, np.where(known, values, 0.0), known.astype(float))
    found = figures(made, units, options.draws, options.level, options.seed)
    return {
        name: edged(dict(figure), sum(units.strata), options.level) if name in SHARES else dict(figure)
        for name, figure in found.items()
    }


def edged(figure: Figure, trials: int, level: float) -> Figure:
    """A share that no draw can move has Wilson's bound for as many trials."""
    if figure["value"] == 1:
        return figure | {"low": wilson(trials, trials, level)[0], "high": 1.0}
    if figure["value"] == 0:
        return figure | {"low": 0.0, "high": wilson(0, trials, level)[1]}
    return figure


def forgeries(scheme: Scheme, marked: Sequence[Answer], options: CardOptions) -> list[dict[str, Any]]:
    """How often what a vendor never marked is read as marked by it; of either class.

    The first is framing: whoever has the scheme marks genuine speech.
    """
    classes = {
        "genuine": [one for one in marked if one.bona_fide],
        "fake": [one for one in marked if not one.bona_fide],
    }
    framed = about("framed") | {
        name: part(scheme, some if name == "genuine" else [], "heard", NONE, options)
        for name, some in classes.items()
    }
    kinds = dict.fromkeys(kind for one in marked for kind in one.found["forged"])
    return [framed] + [
        about(kind) | {name: part(scheme, some, "forged", kind, options) for name, some in classes.items()}
        for kind in kinds
    ]


def false_alarms(
    unmarked: Sequence[Answer], distortions: Sequence[str], level: float
) -> list[dict[str, Any]]:
    """Unmarked recordings that look marked, of either class, as they are and after each distortion."""
    rows = []
    for kind in (NONE, *distortions):
        row = about(kind)
        for name, genuine in (("genuine", True), ("fake", False)):
            some = [one.found["heard"].get(kind) for one in unmarked if one.bona_fide == genuine]
            heard = [reading for reading in some if reading and "failed" not in reading]
            alarms = sum(reading["marked"] for reading in heard)
            row[name] = share(alarms, len(heard), level) | {"alarms": alarms, "recordings": len(heard)}
        if row["genuine"]["recordings"] + row["fake"]["recordings"]:
            rows.append(row)
    return rows


def share(count: int, n: int, level: float) -> Figure:
    """A share with Wilson's interval; of nothing, None."""
    if not n:
        return {"value": None, "low": None, "high": None}
    low, high = wilson(count, n, level)
    return {"value": count / n, "low": low, "high": high}


def naming(scheme: Scheme, unmarked: Sequence[Answer]) -> dict[str, Any] | None:
    """Whom unmarked recordings would have named: by chance each name alike; None where nobody is named."""
    if not scheme.names:
        return None
    heard = [one.found["heard"][NONE] for one in unmarked]
    counts = Counter(reading["name"] for reading in heard if reading.get("name") is not None)
    total = sum(counts.values())
    name, most = counts.most_common(1)[0] if counts else (None, 0)
    return {
        "recordings": total,
        "counts": dict(counts.most_common()),
        "most": name,
        "share": most / total if total else None,
        "chance": 1 / len(scheme.names),
    }


def quality(marked: Sequence[Answer], options: CardOptions) -> dict[str, Any]:
    """Means of each measure over clips, and how many have none: `failures`, or `unchanged` by the mark."""
    heard = [one for one in marked if one.found["quality"]]
    groups, found = [one.group for one in heard], {}
    for name in QUALITY:
        values = [one.found["quality"][name] for one in heard]
        missing = next((value for value in values if isinstance(value, str) and value != "same"), None)
        numbers = [float("nan") if isinstance(value, str) else numeric(value) for value in values]
        found[name] = {
            "recordings": len(heard),
            "failures": sum(value is None for value in values),
            "unchanged": sum(value == "same" for value in values),
            "missing": missing,
            **means({name: numbers}, groups, options).get(name, {"value": None, "low": None, "high": None}),
        }
    found["inverted"] = count(heard, "correlation", lambda value: value < 0)
    found["shifted"] = count(heard, "lag", lambda value: value != 0)
    return found


def count(heard: Sequence[Answer], name: str, what: Callable[[float], bool]) -> int:
    """Clips of which a measure is a number that is so."""
    values = [one.found["quality"][name] for one in heard]
    return sum(what(value) for value in values if isinstance(value, int | float))


def failures(marked: Sequence[Answer], unmarked: Sequence[Answer]) -> list[dict[str, Any]]:
    """Conditions that failed, how often, and why the first time."""
    counts: Counter[str] = Counter()
    why: dict[str, str] = {}
    for one in (*marked, *unmarked):
        for kind, reading in (*one.found["heard"].items(), *one.found.get("forged", {}).items()):
            if "failed" in reading:
                counts[kind] += 1
                why.setdefault(kind, reading["failed"])
    return [{"condition": kind, "times": times, "why": why[kind]} for kind, times in counts.most_common()]
