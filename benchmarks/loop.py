"""Six months of new generators, and what staying current costs (RQ4), on the tables of `stream.py`.

    python benchmarks/loop.py --stream STREAM

Each month brings two or three of the episodes that came after 2020, in their order, and part of what was
known. Half of it, by the hash of the recording, comes in and may be labelled; the detector meets the rest.
Four ways to live with that: never updated; every label into the knowledge base, nothing trained; every label
into the base and a correction a month; and `update`: as that, with a tenth of the labels, which selection
chooses, and without the candidates that the gates refuse. Besides, a tenth at random and by coverage.

EER "met" is that of all recordings of the months so far, with the detector as it is after the month: their
generators are known by then; "alone" is that without the knowledge base. EER "next" is that of the month
after, whose generators nobody has heard. Forgetting is the change on the first month's generators since the
end of the first month.
"""

import argparse
import json
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from stream import EPISODES, read_stream

from earwitness.decision.correction import Correction, fit_correction
from earwitness.evidence.consult import EMBEDDED
from earwitness.evidence.neighbours import Retrieval, score
from earwitness.metrics.detection import eer
from earwitness.operations.gates import Answers, judge
from earwitness.operations.samples import Samples, joined
from earwitness.operations.selection import SelectionOptions, select

RESULTS = Path(__file__).parent / "results"
MONTHS = 6
SEEDS = 5
SHARE = 0.1
HELD_OUT = 3  # one label of so many judges candidates


@dataclass
class Detector:
    """What a way of living knows."""

    correction: Correction | None = None
    base: Samples | None = None  # labelled, searched at scoring time
    labels: int = 0
    refused: int = 0
    refusals: list[str] = field(default_factory=list)  # gates

    def llr(self, samples: Samples, patched: bool = True) -> np.ndarray:
        """LLRs (n,), with the knowledge base unless told otherwise."""
        llr = samples.scores
        if self.correction:
            llr = self.correction.apply(llr, samples.embeddings)
        return llr + retrieval(samples, self.base) if patched and self.base else llr


def retrieval(samples: Samples, base: Samples) -> np.ndarray:
    """What the base adds to the LLR of samples (n,), by the settings that ship."""
    how, fusion = EMBEDDED
    similar = samples.embeddings @ base.embeddings.T
    similar[np.array(samples.ids)[:, None] == np.array(base.ids)] = -np.inf
    genuine = np.broadcast_to(base.labels == 1, similar.shape)
    scores = np.broadcast_to(base.scores, similar.shape)
    counts = int((base.labels == 1).sum()), int((base.labels == 0).sum())
    found = score(similar, genuine, scores, Retrieval(**vars(how)), counts)
    covered = similar.max(1) >= how.floor
    return np.where(covered, fusion.weight * found, 0.0)


@dataclass(frozen=True)
class Month:
    """What a month brings."""

    incoming: Samples  # may be labelled
    met: Samples  # what the detector is judged by


def hashed(samples: Samples, seed: int, parts: int) -> np.ndarray:
    """A number below `parts` for each sample, (n,)."""
    return np.array([zlib.crc32(f"{seed}/{key}".encode()) % parts for key in samples.ids])


def months_of(stream: dict[str, Samples], seed: int) -> list[Month]:
    """The six months of a seed."""
    new, quiet = stream["new"], stream["quiet"]
    episodes = list(EPISODES)
    month_of = {name: i * MONTHS // len(episodes) for i, name in enumerate(episodes)}
    of_new = np.array([month_of[name] for name in new.column("episode")])
    of_quiet = hashed(quiet, seed + 100, MONTHS)
    found = []
    for month in range(MONTHS):
        samples = joined([new.take(of_new == month), quiet.take(of_quiet == month)])
        half = hashed(samples, seed, 2) == 0
        found.append(Month(samples.take(half), samples.take(~half)))
    return found


def never(detector: Detector, month: Month, guard: Samples, replay: Samples, seed: int) -> None:
    """Nothing is learnt."""


def buy(detector: Detector, labelled: Samples) -> None:
    """Labels into the base."""
    detector.base = joined([detector.base, labelled]) if detector.base else labelled
    detector.labels += len(labelled)


def patch(detector: Detector, month: Month, guard: Samples, replay: Samples, seed: int) -> None:
    """Every label into the knowledge base."""
    buy(detector, month.incoming)


def everything(detector: Detector, month: Month, guard: Samples, replay: Samples, seed: int) -> None:
    """Every label into the base, and a correction by all so far, ungated."""
    buy(detector, month.incoming)
    assert detector.base is not None
    detector.correction = taught(detector.base, replay)


def taught(labelled: Samples, replay: Samples) -> Correction:
    """The correction that labels teach."""
    data = joined([labelled, replay])
    new = np.arange(len(data)) < len(labelled)
    return fit_correction(data.scores, data.embeddings, data.labels == 1, new)


def updated(strategy: str) -> Callable[[Detector, Month, Samples, Samples, int], None]:
    """As `earwitness update` does: a tenth of the labels, a third of which judge, and gates."""

    def step(detector: Detector, month: Month, guard: Samples, replay: Samples, seed: int) -> None:
        pool = month.incoming
        now = Samples(pool.ids, detector.llr(pool), pool.embeddings, pool.columns)
        options = SelectionOptions(strategy, items=round(SHARE * len(pool)), seed=seed)
        chosen = pool.take(
            select(now, joined([replay, *([detector.base] if detector.base else [])]), options)
        )
        buy(detector, chosen)
        assert detector.base is not None
        judging = hashed(detector.base, 7, HELD_OUT) == 0
        candidate = Detector(taught(detector.base.take(~judging), replay))
        before = Detector(detector.correction)
        tables = [("guard", guard), ("new", detector.base.take(judging))]
        answers = [
            Answers(name, before.llr(s), candidate.llr(s), s.labels == 1, np.array(s.column("source")))
            for name, s in tables
        ]
        enough = min((answers[1].bona_fide).sum(), (~answers[1].bona_fide).sum()) >= 20
        thresholds = called_fake(before, replay), called_fake(candidate, replay)
        gates = judge(answers[:1], answers[1] if enough else None, thresholds)
        detector.refusals += [gate.name.split(":")[0] for gate in gates if not gate.passed]
        if all(gate.passed for gate in gates):
            detector.correction = candidate.correction
        else:
            detector.refused += 1

    return step


def called_fake(detector: Detector, development: Samples) -> float:
    """The LLR that 2 % of genuine development data lies beneath: the threshold of `fake`."""
    return float(np.quantile(detector.llr(development, False)[development.labels == 1], 0.02))


WAYS = {
    "never updated": never,
    "knowledge patch only": patch,
    "monthly correction, all labels": everything,
    "update, 10 % by energy": updated("energy"),
    "update, 10 % at random": updated("passive"),
    "update, 10 % by coverage": updated("coverage"),
}


def rate(llr: np.ndarray, samples: Samples) -> float:
    """The EER."""
    return eer(llr[samples.labels == 1], llr[samples.labels == 0])


def live(stream: dict[str, Samples], way: Callable, seed: int) -> dict[str, list]:
    """Six months with one way: figures by month."""
    months, development = months_of(stream, seed), stream["development"]
    guarding = hashed(development, seed, 2) == 0
    guard, replay = development.take(guarding), development.take(~guarding)
    detector = Detector()
    found: dict[str, list] = {
        name: [] for name in ("met", "alone", "next", "old", "first", "labels", "refused")
    }
    for i, month in enumerate(months):
        way(detector, month, guard, replay, seed)
        met = joined([one.met for one in months[: i + 1]])
        found["met"].append(rate(detector.llr(met), met))
        found["alone"].append(rate(detector.llr(met, patched=False), met))
        if i + 1 < MONTHS:
            after = months[i + 1].met
            found["next"].append(rate(detector.llr(after), after))
        found["old"].append(rate(detector.llr(guard), guard))
        found["first"].append(rate(detector.llr(months[0].met), months[0].met))
        found["labels"].append(detector.labels)
        found["refused"].append(detector.refused)
    found["by"] = detector.refusals
    return found


def lies(samples: Samples) -> Samples:
    """The same with every label turned round."""
    turned = ["fake" if label == "real" else "real" for label in samples.column("label")]
    return Samples(samples.ids, samples.scores, samples.embeddings, {**samples.columns, "label": turned})


def planted(stream: dict[str, Samples], seed: int) -> dict[str, list[str]]:
    """Which gates refuse candidates that are bad on purpose, and a good one."""
    months, development = months_of(stream, seed), stream["development"]
    guarding = hashed(development, seed, 2) == 0
    guard, replay = development.take(guarding), development.take(~guarding)
    labelled = joined([month.incoming for month in months])
    new = joined([month.met for month in months])
    good, liar, forgetful = (
        taught(*pair) for pair in ((labelled, replay), (lies(labelled), replay), (labelled, lies(replay)))
    )
    candidates: dict[str, Callable[[Samples], np.ndarray]] = {
        "good": lambda s: good.apply(s.scores, s.embeddings),
        "taught flipped labels": lambda s: liar.apply(s.scores, s.embeddings),
        "better on new, worse on old": lambda s: forgetful.apply(s.scores, s.embeddings),
        "badly calibrated": lambda s: 4 * good.apply(s.scores, s.embeddings) + 3,
    }
    found = {}
    for name, llr in candidates.items():
        answers = [
            Answers(part, s.scores, llr(s), s.labels == 1, np.array(s.column("source")))
            for part, s in (("guard", guard), ("new", new))
        ]
        at = [float(np.quantile(x[replay.labels == 1], 0.02)) for x in (replay.scores, llr(replay))]
        found[name] = [
            gate.name for gate in judge(answers[:1], answers[1], (at[0], at[1])) if not gate.passed
        ]
    return found


def interval(values: np.ndarray) -> dict[str, float]:
    """Mean over seeds with its 95 % interval by Student's t."""
    spread = float(values.std(ddof=1)) / np.sqrt(len(values)) * 2.776  # t of four degrees of freedom
    mean = float(values.mean())
    return {"value": round(mean, 4), "low": round(mean - spread, 4), "high": round(mean + spread, 4)}


def main() -> None:
    parser = argparse.ArgumentParser(description="Six months, and four ways to live with them.")
    parser.add_argument("--stream", type=Path, required=True)
    stream = read_stream(parser.parse_args().stream)
    result: dict = {"months": MONTHS, "seeds": SEEDS, "interval": "over seeds, Student's t", "ways": {}}
    lives = {name: [live(stream, way, seed) for seed in range(SEEDS)] for name, way in WAYS.items()}
    for name, seeds in lives.items():
        table = {}
        for figure in ("met", "alone", "next", "old", "first"):
            by_month = np.array([one[figure] for one in seeds])
            against = np.array([one[figure] for one in lives["never updated"]])
            table[figure] = [interval(by_month[:, i]) for i in range(by_month.shape[1])]
            table[f"{figure}_change"] = interval((by_month - against)[:, -1])
            table[f"{figure}_mean_change"] = interval((by_month - against).mean(1))
        firsts = np.array([one["first"] for one in seeds])
        table["forgetting"] = interval(firsts[:, -1] - firsts[:, 0])
        table["labels"] = int(np.mean([one["labels"][-1] for one in seeds]))
        table["refused"] = float(np.mean([one["refused"][-1] for one in seeds]))
        table["refused_by"] = dict(Counter(gate for one in seeds for gate in one["by"]))
        result["ways"][name] = table
        met = " ".join(f"{100 * one['value']:.1f}" for one in table["met"])
        alone = f"{100 * table['alone'][-1]['value']:.1f}"
        ahead = " ".join(f"{100 * one['value']:.1f}" for one in table["next"])
        print(
            f"{name:<32} {table['labels']:>5} labels  met {met} ({alone} alone)  next {ahead}  "
            f"forgetting {100 * table['forgetting']['value']:+.1f}  refused {table['refused_by']}",
            flush=True,
        )
    result["planted"] = [planted(stream, seed) for seed in range(SEEDS)]
    print(json.dumps(result["planted"], indent=1))
    (RESULTS / "loop.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
