"""What labels bring, by how they are chosen: EER against labels bought on the simulated stream (RQ2).

    python benchmarks/selection.py --stream STREAM

`STREAM` is what `stream.py` wrote. The pool is what came in after 2020: later pages and engines, quiet
months, and new speakers and languages. A budget is bought round by round; after each round the correction of
the detector is taught anew from its first scores, all labels bought and the development data as replay, and
the pool has its new scores. Two ways to part pool and test:

  recordings  two thirds of the utterances are the pool, by a hash of their ids; the others are the test
  episodes    whole episodes, every second one, and half of the other sources; then the other way round

Five seeds draw the parts and the items. Where a strategy draws, curves are means over some draws a seed.
Intervals are 95 % ones from a bootstrap over sources of the test and over seeds; differences are paired.
Writes `benchmarks/results/selection.json` and `docs/selection.svg`.
"""

import argparse
import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from selection_plot import CONTROL, RANDOM, plot
from stream import EPISODES, read_stream

from earwitness.decision.correction import fit_correction
from earwitness.evidence.fusion import Fusion, fit_fusion
from earwitness.evidence.neighbours import Retrieval, score
from earwitness.metrics.counted import Counted, Setting
from earwitness.metrics.counted import eer as eer_of_draws
from earwitness.metrics.resampling import Units, times_drawn, units_of
from earwitness.operations.samples import Samples, joined
from earwitness.operations.selection import SelectionOptions, removed, select

HERE = Path(__file__).parent
BUDGETS = (25, 50, 100, 200, 400, 800)
SEEDS = 5
BOOTSTRAP = 500
POOL = 2 / 3  # of the utterances
BENIGN = 1 / 3  # of new speakers and languages, that come in
WRONG = 0.1  # of the labels, where labels are noisy
NEAR = 0.005  # EER above that of labelling everything that is near enough
HOW = Retrieval(k=1, floor=0.2)
WAYS = ("corrected", "patched", "both")
SETS = ("new", "all")
BEST = 3
T_95 = 2.776  # Student's t of four degrees of freedom


ARMS = {  # options, and how many draws of the items are averaged a seed
    RANDOM: (SelectionOptions(RANDOM), 6),
    "energy": (SelectionOptions("energy"), 1),  # with one score margin and entropy too: see `coincide`
    "energy, kmeans++": (SelectionOptions("energy", diversity="kmeans++"), 3),
    "energy, balance": (SelectionOptions("energy", balance=True), 1),
    "energy, cap 0.1": (SelectionOptions("energy", per_source=0.1), 1),
    "removal": (SelectionOptions("removal"), 3),
    "adversarial": (SelectionOptions("adversarial"), 1),
    "coverage": (SelectionOptions("coverage"), 1),
    "core-set": (SelectionOptions("core-set"), 1),
    "kmeans++": (SelectionOptions("kmeans++"), 3),
    CONTROL: (SelectionOptions(CONTROL), 1),
}


@dataclass(frozen=True)
class Scene:
    """What labels can be bought of, what they are judged on, and what was known before."""

    pool: Samples
    test: Samples
    replay: Samples
    fusion: Fusion

    @property
    def new(self) -> np.ndarray:
        """Test items by a generator of an episode, (test,) bool."""
        return (np.array(self.test.column("episode")) != "-") & (self.test.labels == 0)


@dataclass(frozen=True)
class Resampler:
    """Bootstrap of the sources of the stream, the same for every strategy, seed and scene."""

    place: dict[str, int]  # of an item, by id
    units: Units
    times: np.ndarray  # (1 + draws, units), first each unit once

    @classmethod
    def of(cls, samples: Samples) -> "Resampler":
        rng = np.random.default_rng(0)
        units = units_of(samples.labels == 1, np.array(samples.column("source")), rng)
        drawn = times_drawn(units, BOOTSTRAP, rng)
        times = np.concatenate([np.ones((1, drawn.shape[1])), drawn])
        return cls({key: i for i, key in enumerate(samples.ids)}, units, times)

    def eers(self, scene: Scene, llr: np.ndarray) -> np.ndarray:
        """EER (sets, 1 + draws): of the new generators, of all fakes; each against all genuine items."""
        units = self.units.of_trial[[self.place[key] for key in scene.test.ids]]
        found = []
        for kept in (scene.new | (scene.test.labels == 1), np.ones(len(llr), bool)):
            order = np.flatnonzero(kept)[np.argsort(llr[kept], kind="stable")]
            weights, genuine = self.times[:, units[order]], scene.test.labels[order] == 1
            none = np.zeros(len(order))
            draws = Counted(weights * genuine, weights * ~genuine, llr[order], none, none)
            found.append(eer_of_draws(draws, Setting()))
        return np.array(found)

    def by_way(self, scene: Scene, answers: dict[str, np.ndarray]) -> np.ndarray:
        """EER (ways, sets, 1 + draws)."""
        return np.array([self.eers(scene, answers[way]) for way in WAYS])


def share_of(seed: int, text: str) -> float:
    """A number in [0, 1) that depends on seed and text alone."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{text}".encode()).digest()[:6], "big") / 2**48


def chosen_by(seed: int, samples: Samples, share: float, column: str = "") -> np.ndarray:
    """Rows (n,) bool of a share of the ids, or of the values of a column with all their rows."""
    keys = samples.column(column) if column else samples.ids
    return np.array([share_of(seed, key) < share for key in keys])


def fusion_of(development: Samples) -> Fusion:
    """The weight of neighbours that the development data teach: half of the sources ask the other half."""
    asked = []
    for seed in range(8):
        base = chosen_by(seed, development, 0.5, "source")
        near = neighbours(development.take(~base), development.take(base))
        asked.append((development.scores[~base], near, development.labels[~base] == 1))
    llr, near, genuine = (np.concatenate(column) for column in zip(*asked, strict=True))
    return fit_fusion(llr, near, genuine)


def neighbours(queries: Samples, base: Samples) -> np.ndarray:
    """What the nearest labelled items say of each query, (queries,)."""
    similar = queries.embeddings @ base.embeddings.T
    genuine = base.labels == 1
    every = np.broadcast_to(genuine, similar.shape), np.zeros(similar.shape)
    return score(similar, *every, HOW, (int(genuine.sum()), int((~genuine).sum())))


def scenes_of(stream: dict[str, Samples], by: str, seed: int, fusion: Fusion) -> list[Scene]:
    """The ways to part pool and test of a seed: one by recordings, two by episodes."""
    new, quiet = stream["new"], stream["quiet"]
    benign = joined([stream["benign-speakers"], stream["benign-languages"]])
    benign = benign.take(chosen_by(seed, benign, BENIGN))
    if by == "recordings":
        stays = [chosen_by(seed, part, POOL) for part in (new, quiet)]
        ways = [stays]
    else:
        order = list(EPISODES)
        even = np.array([order.index(name) % 2 == 0 for name in new.column("episode")])
        half = chosen_by(seed, quiet, 0.5, "source")
        ways = [[even, half], [~even, ~half]]
    return [
        Scene(
            joined([new.take(early), quiet.take(known), benign]),
            joined([new.take(~early), quiet.take(~known)]),
            stream["development"],
            fusion,
        )
        for early, known in ways
    ]


def noisy(scene: Scene, seed: int) -> Scene:
    """The scene with some wrong labels in the pool."""
    wrong = chosen_by(1000 + seed, scene.pool, WRONG)
    other = {"real": "fake", "fake": "real"}
    cells = zip(scene.pool.column("label"), wrong, strict=True)
    columns = {**scene.pool.columns, "label": [other[cell] if swap else cell for cell, swap in cells]}
    pool = Samples(scene.pool.ids, scene.pool.scores, scene.pool.embeddings, columns)
    return replace(scene, pool=pool)


def taught(scene: Scene, bought: Samples) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Scores of the pool by the correction that the bought labels teach; those of the test by each way."""
    both = joined([bought, scene.replay])
    is_new = np.arange(len(both)) < len(bought)
    correction = fit_correction(both.scores, both.embeddings, both.labels == 1, is_new)
    test = scene.test
    corrected = correction.apply(test.scores, test.embeddings)
    near = neighbours(test, bought)
    answers = corrected, scene.fusion.apply(test.scores, near), scene.fusion.apply(corrected, near)
    pool = correction.apply(scene.pool.scores, scene.pool.embeddings)
    return pool, dict(zip(WAYS, answers, strict=True))


def shared(scene: Scene) -> float:
    """Share of the new generators' test items whose generator is in the pool too."""
    new = scene.test.take(scene.new)
    return float(np.isin(new.column("generator"), scene.pool.column("generator")).mean())


def described(bought: Samples, pool: Samples) -> dict[str, float]:
    """What the money went for."""
    known = {name for name in bought.column("generator") if name != "-"}
    there = {name for name in pool.column("generator") if name != "-"}
    return {
        "fake": float((bought.labels == 0).mean()),
        "of_episodes": float(np.mean([name != "-" for name in bought.column("episode")])),
        "generators": len(known) / len(there),
        "sources": len(set(bought.column("source"))) / len(set(pool.column("source"))),
    }


def bought_by(scene: Scene, options: SelectionOptions, seed: int) -> Iterator[tuple[Samples, dict]]:
    """Buy labels round by round: what is bought so far, and scores of the test by each way."""
    pool, rows, out = scene.pool, [], set()
    scores = pool.scores
    for budget in BUDGETS:
        options = replace(options, items=budget - len(rows), seed=1000 * seed + budget)
        left = np.array([i for i in range(len(pool)) if i not in out])
        seen = Samples(pool.ids, scores, pool.embeddings, pool.columns).take(left)
        labelled = joined([scene.replay, pool.take(rows)]) if rows else scene.replay
        found = left[select(seen, labelled, options)].tolist()
        if options.strategy == "removal":
            out |= {int(left[i]) for i in removed(seen, labelled, options)}
            spare = sorted(out - set(found), key=lambda i: share_of(options.seed, pool.ids[i]))
            found += spare[: options.items - len(found)]  # a small pool runs out of what was not dropped
            out -= set(found)
        rows += found
        scores, answers = taught(scene, pool.take(rows))
        yield pool.take(rows), answers


@dataclass(frozen=True)
class Curves:
    """EER of one strategy; draws of the bootstrap last, the first being the data as they are."""

    eer: np.ndarray  # (ways, sets, budgets, seeds, 1 + bootstrap)
    luck: np.ndarray  # (budgets, ways, sets), standard deviation of single draws of one seed
    about: list[dict[str, float]]  # of each budget


def curves_of(scenes: Sequence[Sequence[Scene]], name: str, resampler: Resampler) -> Curves:
    """Buy by one strategy with every seed; `scenes` (seeds, ways to part)."""
    options, draws = ARMS[name]
    about: list[list[dict[str, float]]] = [[] for _ in BUDGETS]
    runs = []  # (seeds, draws, ways to part, budgets), of EERs (ways, sets, 1 + bootstrap) each
    for seed, draw in product(range(len(scenes)), range(draws)):
        for scene in scenes[seed]:
            for i, (bought, answers) in enumerate(bought_by(scene, options, 10 * seed + draw)):
                runs.append(resampler.by_way(scene, answers))
                about[i].append(described(bought, scene.pool))
    eers = np.stack(runs).reshape(len(scenes), draws, len(scenes[0]), len(BUDGETS), *runs[0].shape).mean(2)
    luck = np.sqrt(eers[..., 0].var(1, ddof=1).mean(0)) if draws > 1 else np.zeros(eers.shape[2:-1])
    return Curves(eers.mean(1).transpose(2, 3, 1, 0, 4), luck, [average(rows) for rows in about])


def ends_of(scenes: Sequence[Sequence[Scene]], resampler: Resampler) -> list[np.ndarray]:
    """EER with no label and with all, (ways, sets, seeds, 1 + bootstrap) each."""
    before, after = [], []
    for scene in (scene for several in scenes for scene in several):
        before.append(resampler.by_way(scene, {way: scene.test.scores for way in WAYS}))
        after.append(resampler.by_way(scene, taught(scene, scene.pool)[1]))
    shape = len(scenes), len(scenes[0]), *before[0].shape
    return [np.stack(eers).reshape(shape).mean(1).transpose(1, 2, 0, 3) for eers in (before, after)]


def over_seeds(values: np.ndarray) -> np.ndarray:
    """Means (..., 1 + bootstrap) of (..., seeds, 1 + bootstrap), seeds drawn again in every draw."""
    seeds, draws = values.shape[-2:]
    drawn = np.random.default_rng(1).integers(0, seeds, (draws, seeds))
    drawn[0] = np.arange(seeds)
    return np.stack([values[..., drawn[i], i].mean(-1) for i in range(draws)], axis=-1)


def interval(draws: np.ndarray, digits: int = 4) -> dict[str, float]:
    """Value (the first draw) with percentiles of the others."""
    low, high = np.quantile(draws[1:], [0.025, 0.975])
    found = (("value", draws[0]), ("low", low), ("high", high))
    return {name: round(float(v), digits) + 0.0 for name, v in found}  # no -0.0


def by_t(values: np.ndarray) -> dict[str, float]:
    """Mean of the seeds (seeds,) with Student's interval."""
    half = T_95 * values.std(ddof=1) / np.sqrt(len(values))
    mean = values.mean()
    return {"value": round(mean, 4), "low": round(mean - half, 4), "high": round(mean + half, 4)}


def area(curve: np.ndarray) -> np.ndarray:
    """Mean height of curves (budgets, ...) over the logarithm of the labels, from 25 to 800."""
    return ((curve[1:] + curve[:-1]) / 2).mean(0)  # budgets double


def needed(curve: np.ndarray, size: float) -> np.ndarray:
    """Labels (...) at which a curve (0, budgets, all; ...) first comes near its end, interpolated."""
    labels = np.array([0, *BUDGETS, size])
    place = np.log2(labels + BUDGETS[0])
    flat = curve.reshape(len(labels), -1)
    found = []
    for values in flat.T:
        wanted = values[-1] + NEAR
        k = int(np.argmax(values <= wanted))
        share = (values[k - 1] - wanted) / (values[k - 1] - values[k]) if k else 0.0
        found.append(2 ** (place[max(k - 1, 0)] * (1 - share) + place[k] * share) - BUDGETS[0])
    return np.array(found).reshape(curve.shape[1:])


def table_of(curves: dict[str, Curves], ends: list[np.ndarray], size: float) -> dict[str, Any]:
    """By way and set, what each strategy reached."""
    table: dict[str, Any] = {}
    for w, way in enumerate(WAYS):
        table[way] = {}
        for s, name in enumerate(SETS):
            first, last = (over_seeds(end[w, s]) for end in ends)
            entry: dict[str, Any] = {"no_label": interval(first), "all_labels": interval(last)}
            entry["all_labels"]["change"] = interval(last - first)
            base = curves[RANDOM].eer[w, s]
            for key, curve in curves.items():
                mean, gap = over_seeds(curve.eer[w, s]), over_seeds(curve.eer[w, s] - base)
                whole = np.concatenate([first[None], mean, last[None]])
                entry[key] = {
                    "at": {
                        str(n): {"eer": interval(mean[i]), "against_random": interval(gap[i])}
                        for i, n in enumerate(BUDGETS)
                    },
                    "area": interval(area(mean)),
                    "area_against_random": interval(area(gap)),
                    "area_against_random_over_seeds": by_t(area(curve.eer[w, s] - base)[:, 0]),
                    "labels_needed": interval(needed(whole, size), 0),
                }
            table[way][name] = entry
    return table


def measured(scenes: Sequence[Sequence[Scene]], arms: Sequence[str], resampler: Resampler) -> dict[str, Any]:
    """All about one way to part the stream."""
    began = time.monotonic()
    curves = {}
    for name in arms:
        curves[name] = curves_of(scenes, name, resampler)
        print(f"  {name} ({time.monotonic() - began:.0f} s)", flush=True)
    every = [scene for several in scenes for scene in several]
    size = float(np.mean([len(scene.pool) for scene in every]))
    test = [
        {"genuine": float(sum(one.test.labels == 1)), "fake": float(sum(one.test.labels == 0))}
        for one in every
    ]
    new = [
        {"new_fake": float(sum(one.new)), "of_them_by_generators_in_the_pool": shared(one)} for one in every
    ]
    about = {
        "pool": round(size),
        "pool_is": rounded(average([described(scene.pool, scene.pool) for scene in every])),
        "test": rounded(average(test) | average(new)),
        "bought": {
            name: {str(n): rounded(one) for n, one in zip(BUDGETS, curve.about, strict=True)}
            for name, curve in curves.items()
        },
        "luck_of_a_random_draw": rounded(
            dict(zip(map(str, BUDGETS), map(float, curves[RANDOM].luck[:, 0, 0]), strict=True)), 4
        ),
    }
    return about | table_of(curves, ends_of(scenes, resampler), size)


def average(rows: Sequence[dict[str, float]]) -> dict[str, float]:
    """Means by key."""
    return {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}


def rounded(row: dict[str, float], digits: int = 3) -> dict[str, float]:
    """To a few digits."""
    return {key: round(value, digits) for key, value in row.items()}


def coincide(scene: Scene) -> bool:
    """Whether energy, margin and entropy choose the same items."""
    found = [
        set(select(scene.pool, scene.replay, SelectionOptions(name, items=BUDGETS[-1])))
        for name in ("energy", "margin", "entropy")
    ]
    return found[0] == found[1] == found[2]


def best_of(table: dict[str, Any]) -> list[str]:
    """The strategies with the smallest areas for new generators, random and the control left out."""
    of = table["corrected"]["new"]
    names = [name for name in ARMS if name not in (RANDOM, CONTROL)]
    return sorted(names, key=lambda name: of[name]["area"]["value"])[:BEST]


def show(title: str, table: dict[str, Any]) -> None:
    """The short table."""
    for way in WAYS:
        of = table[way]["new"]
        print(f"{title}, {way}: none {of['no_label']['value']:.2%}, all {of['all_labels']['value']:.2%}")
        for name in (name for name in ARMS if name in of):
            line, gap = of[name], of[name]["area_against_random"]
            row = " ".join(f"{line['at'][str(n)]['eer']['value']:6.2%}" for n in BUDGETS)
            print(
                f"  {name:17} {row}  area {line['area']['value']:.2%}, against random {gap['value']:+.2%}"
                f" [{gap['low']:+.2%}, {gap['high']:+.2%}], needs {line['labels_needed']['value']:.0f}"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description="What labels bring, by how they are chosen.")
    parser.add_argument("--stream", type=Path, required=True)
    parser.add_argument("--results", type=Path, default=HERE / "results")
    parser.add_argument("--docs", type=Path, default=HERE.parent / "docs")
    given = parser.parse_args()
    stream = read_stream(given.stream)
    fusion = fusion_of(stream["development"])
    resampler = Resampler.of(joined([stream["new"], stream["quiet"]]))
    parted = {
        by: [scenes_of(stream, by, seed, fusion) for seed in range(SEEDS)]
        for by in ("recordings", "episodes")
    }
    results: dict[str, Any] = {
        "what": "EER by labels bought; 5 seeds; 95 % intervals, bootstrap over sources of the test and seeds",
        "weight_of_neighbours": round(fusion.weight, 2),
        "energy_margin_and_entropy_choose_the_same": coincide(parted["recordings"][0][0]),
    }
    for by, scenes in parted.items():
        print(by, flush=True)
        results[by] = measured(scenes, list(ARMS), resampler)
    best = best_of(results["recordings"])
    noised = [[noisy(one, seed) for one in several] for seed, several in enumerate(parted["recordings"])]
    print("noisy", flush=True)
    results["recordings_with_wrong_labels"] = measured(noised, [RANDOM, *best], resampler)
    results["best_three"] = best
    given.results.mkdir(parents=True, exist_ok=True)
    (given.results / "selection.json").write_text(json.dumps(results, indent=1) + "\n")
    plot(results, BUDGETS, given.docs / "selection.svg")
    for by in ("recordings", "episodes", "recordings_with_wrong_labels"):
        show(by, results[by])


if __name__ == "__main__":
    main()
