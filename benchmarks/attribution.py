r"""Source tracing on pages that the tracer has heard, and on pages that it has not.

    python benchmarks/attribution.py --cache CACHE/demos --runs RUNS

Known are the architectures of `demos` that occur on two pages or more, not counting two recordings that are
the very same on both; unknown, in the open set, are all others, on the same pages. Two arms name the same
recordings:

  seen page   half of the recordings of each architecture on each page is labelled, the rest is heard, then
              the other way round, three times: the usual split at random
  cross page  a page is heard by a tracer that holds no recording of it, page by page

At the level of families (tts, vc, vocoder, codec, edit) all fakes take part, and in the open set each family
in turn is unknown. Two kinds of embedding, always by the run `fold-K` that never saw the page heard:

  detector    that of the countermeasure that ships. The other pages, so the labelled ones of the cross-page
              arm, were in its training, with the names of their generators: they lie further apart than
              what is heard, and thresholds learnt among them are too strict
  front end   statistics of the frozen encoder, standardised, that no label of any page went into

Thresholds for "none of these" at 5 % false rejections come from the labelled recordings alone, a page left
out at a time (random fifths in the arm of seen pages; page folds at the level of families, for time).
Intervals are 95 % ones from a bootstrap over the pages heard, with tracers as they are. Writes
`benchmarks/results/attribution.json`.
"""

import argparse
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from zero_day import embeddings_of

from earwitness.audio.protocol import Utterance
from earwitness.decision.heads.pooled import BOUND
from earwitness.evidence.attribution import (
    FALSE_REJECTION,
    METHODS,
    STRANGENESS,
    Level,
    build,
    posteriors,
    strangeness,
    unit,
)
from earwitness.metrics import attribution as measured
from earwitness.training.cached import read_cache
from earwitness.training.embedded import FOLDS
from earwitness.training.export import open_run

RESULTS = Path(__file__).parent / "results"
REPEATS, PARTS, DRAWS = 3, 5, 1_000
Arm = Literal["seen page", "cross page"]
ARMS: tuple[Arm, ...] = ("seen page", "cross page")
COPIES = {"e2e1dc591652", "f49451ae6ae9"}  # samples of NaturalSpeech that stand on two pages, on the second
ARRAYS = ("names", "pages", "known", "strange", "rejected", "near_page")  # of `Trials`


@dataclass(frozen=True)
class Fakes:
    """Generated recordings, and their embeddings by each run, (rows, size) a fold."""

    names: np.ndarray  # (rows,) at the level that is asked about
    pages: np.ndarray
    folds: np.ndarray
    embeddings: list[np.ndarray]

    def rows(self, kept: np.ndarray) -> "Fakes":
        """Some of them."""
        return Fakes(self.names[kept], self.pages[kept], self.folds[kept], [e[kept] for e in self.embeddings])


@dataclass(frozen=True)
class Trials:
    """What was said of recordings, (n,) each, some heard more than once."""

    names: np.ndarray
    pages: np.ndarray
    known: np.ndarray  # bool: the tracer holds this name
    said: dict[str, np.ndarray]  # by method, and "majority"
    strange: np.ndarray  # (n, STRANGENESS)
    rejected: np.ndarray  # (n, STRANGENESS) bool
    near_page: np.ndarray  # bool: the nearest labelled recording is of the same page

    def rows(self, kept: np.ndarray) -> "Trials":
        """Some of them."""
        arrays = {key: getattr(self, key)[kept] for key in ARRAYS}
        return Trials(said={key: value[kept] for key, value in self.said.items()}, **arrays)


def read(cache: Path, runs: Path) -> tuple[list[Utterance], dict[str, list[np.ndarray]]]:
    """The fakes of `demos`, and their embeddings of both kinds by each run, (rows, size)."""
    items, statistics = read_cache([cache])
    fakes = np.array([i for i, row in enumerate(items) if not row.bona_fide and row.id not in COPIES])
    rows, found = statistics[0][fakes], {"detector": [], "front end": []}
    for fold in FOLDS:
        run = open_run(runs / f"fold-{fold}")
        found["detector"].append(embeddings_of(run, rows))
        found["front end"].append(turned(run.head, rows))
    return [items[i] for i in fakes], found


def turned(head: Any, statistics: np.ndarray) -> np.ndarray:
    """Standardised statistics (rows, features) as (rows, rows), turned so that no inner product changes."""
    with torch.inference_mode():
        rows = head.standardise(torch.from_numpy(statistics.astype(np.float32))).clamp(-BOUND, BOUND)
    rows = unit(rows.numpy())
    values, vectors = np.linalg.eigh((rows @ rows.T).astype(float))
    return (vectors * np.sqrt(np.maximum(values, 0))).astype(np.float32)


def splits(fakes: Fakes, known: np.ndarray, arm: Arm) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Which are labelled and which heard, (rows,) bool each; heard ones of one split share a fold."""
    if arm == "cross page":
        for page in np.unique(fakes.pages):
            yield known & (fakes.pages != page), fakes.pages == page
        return
    rng = np.random.default_rng(0)
    for _ in range(REPEATS):
        half = np.zeros(len(known), bool)
        for name in np.unique(fakes.names):
            members = rng.permutation(np.flatnonzero(fakes.names == name))
            by_page = members[np.argsort(fakes.pages[members], kind="stable")]
            half[by_page[int(rng.integers(2)) :: 2]] = True  # of every page, and every name in both halves
        for labelled in (half, ~half):
            for fold in FOLDS:
                yield known & labelled, ~labelled & (fakes.folds == fold)


def hear(fakes: Fakes, known: np.ndarray, arm: Arm, level: Level) -> Trials:
    """All recordings heard, page by page or half by half; `known` (rows,) is what tracers may hold."""
    rng = np.random.default_rng(1)
    parts = []
    for labelled, heard in splits(fakes, known, arm):
        if not heard.any():
            continue
        embeddings = fakes.embeddings[fakes.folds[heard][0]]
        if arm == "seen page":
            groups = rng.integers(0, PARTS, labelled.sum()).astype(str)
        else:
            groups = (fakes.folds.astype(str) if level == "family" else fakes.pages)[labelled]
        tracer = build(
            embeddings[labelled], fakes.names[labelled].tolist(), groups.tolist(), space="-", level=level
        )
        rows = unit(embeddings[heard])
        said = {
            method: np.array(tracer.names)[
                posteriors(replace(tracer, method=method), rows).argmax(axis=1)
            ].astype("U64")
            for method in METHODS
        }
        most = Counter(fakes.names[labelled].tolist()).most_common(1)[0][0]
        said["majority"] = np.full(heard.sum(), most, "U64")
        strange = np.stack([strangeness(tracer.reference, rows, by) for by in STRANGENESS], 1)
        thresholds = np.array([replace(tracer, by=by).threshold for by in STRANGENESS])
        nearest = (rows @ tracer.reference.embeddings.T).argmax(axis=1)
        same = fakes.pages[labelled][nearest] == fakes.pages[heard]
        names, pages = fakes.names[heard], fakes.pages[heard]
        parts.append(Trials(names, pages, known[heard], said, strange, strange > thresholds, same))
    return joined(parts)


def joined(parts: Sequence[Trials]) -> Trials:
    """Trials one after the other."""
    arrays = {key: np.concatenate([getattr(part, key) for part in parts]) for key in ARRAYS}
    said = {key: np.concatenate([part.said[key] for part in parts]) for key in parts[0].said}
    return Trials(said=said, **arrays)


def closed(trials: Trials, method: str) -> dict[str, float]:
    """The closed set: recordings by known systems."""
    true, said = trials.names[trials.known], trials.said[method][trials.known]
    return {
        "accuracy": measured.accuracy(true, said),
        "balanced_accuracy": measured.balanced_accuracy(true, said),
        "macro_f1": measured.macro_f1(true, said),
    }


def opened(trials: Trials, column: int) -> dict[str, float]:
    """The open set, by one score."""
    known, unknown = trials.strange[trials.known, column], trials.strange[~trials.known, column]
    rejected = trials.rejected[:, column]
    found = {
        "auroc": measured.auroc(known, unknown),
        "aupr": measured.aupr(known, unknown),
        "fpr95": measured.fpr_at_tpr(known, unknown),
        "fpr95_known_positive": measured.fpr_at_tpr(-unknown, -known),
        "ood_eer": measured.ood_eer(known, unknown),
        "false_rejection": float(rejected[trials.known].mean()),
        "f1_at_threshold": measured.f1_at(rejected[trials.known], rejected[~trials.known], 0.5),
    }
    for method in METHODS:
        said = trials.said[method]
        names = {*trials.names[trials.known].tolist(), *said.tolist()}
        right = (said == trials.names)[trials.known]
        answers = np.where(rejected, measured.UNKNOWN, said)
        found[f"oscr_{method}"] = measured.oscr(right, known, unknown)
        found[f"joint_accuracy_{method}"] = measured.joint_accuracy(trials.names, answers, names)
    return found


def page_draws(trials: Sequence[Trials]) -> Iterator[list[np.ndarray]]:
    """Rows of each of some trials, which share their pages, in draws of pages that lack no class."""
    pages = np.unique(trials[0].pages)
    members = [[np.flatnonzero(one.pages == page) for page in pages] for one in trials]
    rng, count = np.random.default_rng(0), 0
    both = not trials[0].known.all()
    while count < DRAWS:
        drawn = rng.integers(0, len(pages), len(pages))
        rows = [np.concatenate([of_page[i] for i in drawn]) for of_page in members]
        known = trials[0].known[rows[0]]
        if known.any() and not (both and known.all()):
            count += 1
            yield rows


def bounded(value: dict[str, float], draws: Sequence[dict[str, float]]) -> dict[str, Any]:
    """Every figure with its 95 % interval."""
    found = {}
    for key in value:
        low, high = np.quantile([draw[key] for draw in draws], [0.025, 0.975])
        figures = (round(float(figure), 4) for figure in (value[key], low, high))
        found[key] = dict(zip(("value", "low", "high"), figures, strict=True))
    return found


def with_intervals(trials: Trials, measure: Callable[[Trials], dict[str, float]]) -> dict[str, Any]:
    """Every figure with its interval over pages."""
    draws = [measure(trials.rows(rows)) for (rows,) in page_draws([trials])]
    return bounded(measure(trials), draws)


def change(seen: Trials, cross: Trials, method: str) -> dict[str, Any]:
    """The closed set across pages less that on pages seen, with intervals over pages."""

    def less(one: Trials, other: Trials) -> dict[str, float]:
        before = closed(one, method)
        return {key: value - before[key] for key, value in closed(other, method).items()}

    draws = [less(seen.rows(rows), cross.rows(more)) for rows, more in page_draws([seen, cross])]
    return bounded(less(seen, cross), draws)


def page_alone(fakes: Fakes) -> float:
    """Accuracy of whoever knows the page and says its most frequent name: what a page gives away."""
    right = sum(
        Counter(fakes.names[fakes.pages == page].tolist()).most_common(1)[0][1]
        for page in np.unique(fakes.pages)
    )
    return round(right / len(fakes.names), 4)


def summary(trials: Trials, with_open: bool) -> dict[str, Any]:
    """One arm."""
    found: dict[str, Any] = {
        "heard": len(trials.names),
        "nearest_is_of_the_same_page": round(float(trials.near_page[trials.known].mean()), 4),
        "closed_set": {
            method: with_intervals(trials, lambda some, method=method: closed(some, method))
            for method in (*METHODS, "majority")
        },
    }
    if with_open:
        found["open_set"] = {
            by: with_intervals(trials, lambda some, column=column: opened(some, column))
            for column, by in enumerate(STRANGENESS)
        }
    return found


def architectures(items: Sequence[Utterance], embeddings: list[np.ndarray]) -> dict[str, Any]:
    """Both arms at the level of architectures, on the pages where known ones occur."""
    fakes = fakes_of(items, embeddings, "architecture")
    where = {name: set(fakes.pages[fakes.names == name].tolist()) for name in np.unique(fakes.names)}
    several = sorted(str(name) for name, pages in where.items() if len(pages) > 1)
    fakes = fakes.rows(np.isin(fakes.pages, sorted(set().union(*(where[name] for name in several)))))
    known = np.isin(fakes.names, several)
    result: dict[str, Any] = {
        "names": several,
        "pages": len(np.unique(fakes.pages)),
        "known": int(known.sum()),
        "unknown": int((~known).sum()),
        "copies_left_out": sorted(COPIES),
        "unknown_architectures": len(np.unique(fakes.names[~known])),
        "page_alone_accuracy": page_alone(fakes.rows(known)),
    }
    arms: dict[Arm, Trials] = {arm: hear(fakes, known, arm, "architecture") for arm in ARMS}
    result["change"] = {method: change(arms["seen page"], arms["cross page"], method) for method in METHODS}
    for arm, trials in arms.items():
        result[arm] = summary(trials, True)
        told = measured.closed_set(trials.names[trials.known], trials.said["linear"][trials.known])
        result[arm]["recall_linear"] = {name: round(value, 3) for name, value in told["recall"].items()}
    return result


def families(items: Sequence[Utterance], embeddings: list[np.ndarray]) -> dict[str, Any]:
    """Both arms at the level of families, each of which is unknown in turn."""
    fakes = fakes_of(items, embeddings, "family")
    names = np.unique(fakes.names)
    result: dict[str, Any] = {
        "names": names.tolist(),
        "pages": len(np.unique(fakes.pages)),
        "known": len(fakes.names),
        "page_alone_accuracy": page_alone(fakes),
    }
    every = np.ones(len(fakes.names), bool)
    arms: dict[Arm, Trials] = {arm: hear(fakes, every, arm, "family") for arm in ARMS}
    result["change"] = {method: change(arms["seen page"], arms["cross page"], method) for method in METHODS}
    for arm, trials in arms.items():
        result[arm] = summary(trials, False)
        _, table = measured.confusion(trials.names, trials.said["linear"])
        result[arm]["confusion_linear"] = table.tolist()
        result[arm]["auroc_of_an_unknown_family"] = {}
        for name in names:
            without = hear(fakes, fakes.names != name, arm, "family")
            found = {by: opened(without, i)["auroc"] for i, by in enumerate(STRANGENESS)}
            result[arm]["auroc_of_an_unknown_family"][str(name)] = {k: round(v, 4) for k, v in found.items()}
    return result


def fakes_of(items: Sequence[Utterance], embeddings: list[np.ndarray], level: Level) -> Fakes:
    """Recordings named at a level."""
    columns = zip(*((getattr(row, level), row.group, row.fold) for row in items), strict=True)
    names, pages, folds = (np.array(column) for column in columns)
    return Fakes(names, pages, folds, embeddings)


def show(kind: str, level: str, found: dict[str, Any]) -> None:
    """Every figure that has an interval."""
    tables = [("change", found["change"])]
    tables += [(arm, found[arm].get(part, {})) for arm in ARMS for part in ("closed_set", "open_set")]
    for arm, table in tables:
        for by, entry in table.items():
            cells = (f"{k} {v['value']:.3f} [{v['low']:.3f}, {v['high']:.3f}]" for k, v in entry.items())
            print(kind, level, arm, by, *cells, sep="  ", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Who made it, on pages heard and not heard before.")
    for name in ("cache", "runs"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    given = parser.parse_args()
    torch.set_num_threads(1)
    result: dict[str, Any] = {"false_rejection": FALSE_REJECTION, "draws": DRAWS}
    items, kinds = read(given.cache, given.runs)
    result["embeddings"] = {kind: {} for kind in kinds}
    for level, judge in (("architecture", architectures), ("family", families)):
        for kind, embeddings in kinds.items():
            result["embeddings"][kind][level] = found = judge(items, embeddings)
            show(kind, level, found)
            (RESULTS / "attribution.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
