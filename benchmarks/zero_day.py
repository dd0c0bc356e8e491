r"""The zero-day curve: what a few labelled samples of a new generator in the knowledge base bring.

    python benchmarks/zero_day.py --cache CACHE/demos --runs RUNS --profiles profiles.npy

For every generator architecture with at least eight recordings in a page fold: the detector is the run
`fresh-K`, which saw neither the pages of the fold, nor their generators, nor their named speakers. Half of
the other pages of the fold, drawn anew in each of five draws, are a labelled base; the rest are heard: the
recordings of the new generator that are not in the base, the fakes of the other pages, and all genuine
recordings of both. How to search, and the fusion with the detector, are chosen on the other three folds.
Writes `benchmarks/results/zero_day.json`; intervals are 95 % ones from a bootstrap over architectures.
"""

import argparse
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch

from earwitness.audio.io import load
from earwitness.audio.protocol import Utterance
from earwitness.decision.calibration import fit_affine
from earwitness.decision.heads.pooled import BOUND
from earwitness.evidence.fusion import Fusion, fit_fusion
from earwitness.evidence.neighbours import MODES, SCORES, WIDER, Retrieval, ScoreName, score
from earwitness.evidence.profile import MEASURES, PROFILE_SIZE, only, profile
from earwitness.metrics.detection import eer
from earwitness.operations.processes import in_processes
from earwitness.training.cached import read_cache
from earwitness.training.embedded import FOLDS
from earwitness.training.export import open_run, score_statistics

RESULTS = Path(__file__).parent / "results"
SAMPLES = (0, 1, 2, 5, 10, 20)
CHOSEN_AT = (1, 5)  # samples at which the way to search is chosen and the fusion is learnt
NOISE = (0.0, 0.05, 0.2)
DRAWS = 5
LEAST, LEFT = 8, 3  # recordings of an architecture; of them heard at least
NEIGHBOURS = (1, 3, 5, 11, 21, 51)
WITH_FLOOR: tuple[ScoreName, ...] = ("weighted", "class-knn")
FLOORS = (0.0, 0.1, 0.15, 0.2, 0.25, 0.3)


@dataclass(frozen=True)
class Fold:
    """The recordings of a page fold, as the detector that never saw their like hears them."""

    rows: list[Utterance]
    scores: np.ndarray  # (rows,) raw
    llr: np.ndarray  # (rows,) calibrated on the other folds
    similar: np.ndarray  # (rows, rows) cosines of embeddings
    profiles: np.ndarray  # (rows, size) of unit length, or zeros

    @property
    def bona_fide(self) -> np.ndarray:
        return np.array([row.bona_fide for row in self.rows])

    @property
    def pages(self) -> np.ndarray:
        return np.array([row.group for row in self.rows])

    def architectures(self) -> list[str]:
        """Those with enough recordings."""
        counts = Counter(row.architecture for row in self.rows if not row.bona_fide)
        return sorted(name for name, count in counts.items() if count >= LEAST)

    def by(self, how: Retrieval, base: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Similarity of each row to the rows in the base, (rows, base)."""
        near = self.similar[:, base]
        if how.mode == "cm":
            return near
        voices = self.profiles @ self.profiles[base].T
        if how.mode == "profile":
            return voices
        if how.mode == "hybrid2":
            return (1 - how.voice) * near + how.voice * voices
        kept = np.zeros(near.shape, bool)
        for label in (True, False):
            there = np.flatnonzero(labels == label)
            order = np.argsort(-voices[:, there], axis=1)[:, : WIDER * how.k]
            np.put_along_axis(kept, there[order], True, axis=1)
        return np.where(kept, near, -np.inf)


@dataclass(frozen=True)
class Trials:
    """What is heard once the base holds `samples` of a new generator."""

    samples: int
    llr: np.ndarray
    retrieval: np.ndarray
    bona_fide: np.ndarray
    new: np.ndarray  # bool: by the new generator
    same_page: np.ndarray  # bool: on a page of the new generator


def heard_voice(path: Path) -> np.ndarray:
    """The profile of a recording, (PROFILE_SIZE,); zeros where there is none."""
    found = profile(load(path))
    return np.zeros(PROFILE_SIZE, np.float32) if found is None else found


def voices_of(items: Sequence[Utterance], kept: Path) -> np.ndarray:
    """Profiles (items, PROFILE_SIZE), out of the file where they are kept."""
    if not kept.exists():
        found = []
        for path, voice in in_processes(heard_voice, [item.path for item in items], 0, "profiles"):
            if not isinstance(voice, np.ndarray):
                raise SystemExit(f"{path}: {voice}")
            found.append(voice)
        np.save(kept, np.stack(found))
    return np.load(kept)


def read_folds(cache: Path, runs: Path, profiles: Path) -> list[Fold]:
    """The folds of `demos`."""
    items, statistics = read_cache([cache])
    voices = voices_of(items, profiles)
    found = []
    for fold in FOLDS:
        here = np.array([i for i, row in enumerate(items) if row.fold == fold])
        run = open_run(runs / f"fresh-{fold}")
        raw = score_statistics(run, statistics[0][here])
        unit = embeddings_of(run, statistics[0][here])
        found.append(Fold([items[i] for i in here], raw, raw, unit @ unit.T, voices[here]))
    return [calibrated(found, i) for i in range(len(found))]


def embeddings_of(run: Any, statistics: np.ndarray) -> np.ndarray:
    """Unit embeddings (rows, size) of statistics (rows, features)."""
    with torch.inference_mode():
        rows = run.head.standardise(torch.from_numpy(statistics.astype(np.float32))).clamp(-BOUND, BOUND)
        embedding = run.head.embed(rows).numpy()
    return embedding / np.linalg.norm(embedding, axis=1, keepdims=True)


def calibrated(folds: Sequence[Fold], index: int) -> Fold:
    """A fold with LLRs by the calibration of the others."""
    others = [fold for i, fold in enumerate(folds) if i != index]
    scores, labels = (
        np.concatenate([getattr(fold, key) for fold in others]) for key in ("scores", "bona_fide")
    )
    mapped = fit_affine(scores[labels], scores[~labels]).apply(folds[index].scores)
    return replace(folds[index], llr=np.asarray(mapped))


def draws_of(fold: Fold, architecture: str, draw: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows of the labelled base, of the new generator in random order, and of the rest that is heard."""
    rng = np.random.default_rng([draw, *map(ord, architecture)])
    new = np.array([not row.bona_fide and row.architecture == architecture for row in fold.rows])
    its_pages = np.unique(fold.pages[new])
    others = rng.permutation(np.setdiff1d(np.unique(fold.pages), its_pages))
    base = np.isin(fold.pages, others[: len(others) // 2])
    return np.flatnonzero(base), rng.permutation(np.flatnonzero(new)), np.flatnonzero(~base & ~new)


def hear(
    fold: Fold, architecture: str, draw: int, samples: int, how: Retrieval, noise: float, alone: bool
) -> Trials | None:
    """The trials of one draw; None where too few of the new generator would be left.

    `alone`: the base holds nothing but the samples.
    """
    known, new, rest = draws_of(fold, architecture, draw)
    if len(new) - samples < LEFT:
        return None
    base = np.append(known[: 0 if alone else None], new[:samples])
    heard = np.append(rest, new[samples:])
    rng = np.random.default_rng([draw, samples, *map(ord, architecture)])
    labels = fold.bona_fide[base] ^ (rng.random(len(base)) < noise)
    similar = fold.by(how, base, labels)[heard]
    every = np.broadcast_to(labels, similar.shape), np.broadcast_to(fold.scores[base], similar.shape)
    retrieval = score(similar, *every, how, (int(labels.sum()), int((~labels).sum())))
    is_new = np.isin(heard, new)
    pages = np.isin(fold.pages[heard], fold.pages[new])
    return Trials(samples, fold.llr[heard], retrieval, fold.bona_fide[heard], is_new, pages)


def every_trial(
    folds: Sequence[Fold], samples: Sequence[int], how: Retrieval, noise: float = 0.0, alone: bool = False
) -> Iterator[tuple[str, Trials]]:
    """Trials of every architecture and draw."""
    for fold in folds:
        for architecture, count, draw in product(fold.architectures(), samples, range(DRAWS)):
            trials = hear(fold, architecture, draw, count, how, noise, alone)
            if trials is not None:
                yield architecture, trials


def learn(folds: Sequence[Fold], how: Retrieval) -> Fusion:
    """The fusion that these folds teach: new generators against genuine recordings, all alike."""
    found = [
        trials for alone in (False, True) for _, trials in every_trial(folds, CHOSEN_AT, how, alone=alone)
    ]
    kept = [trials.new | trials.bona_fide for trials in found]

    def together(key: str) -> np.ndarray:
        return np.concatenate([getattr(one, key)[some] for one, some in zip(found, kept, strict=True)])

    return fit_fusion(together("llr"), together("retrieval"), together("bona_fide"))


def measures(trials: Trials, llr: np.ndarray) -> dict[str, float]:
    """EER, AUC and recall at 5 % false alarms of the new generator; the others' EER."""
    genuine, new = llr[trials.bona_fide], llr[trials.new]
    other = llr[~trials.bona_fide & ~trials.new]
    near = llr[trials.bona_fide & trials.same_page]
    found = {
        "eer": eer(genuine, new),
        "auc": area(genuine, new),
        "recall_at_5": float((new < np.quantile(genuine, 0.05)).mean()),
        "others_eer": eer(genuine, other) if len(other) else np.nan,
    }
    return {**found, "auc_against_its_pages": area(near, new) if len(near) >= LEFT else np.nan}


def area(genuine: np.ndarray, spoof: np.ndarray) -> float:
    """Probability that a genuine recording scores above a fake one."""
    return float((np.sign(genuine[:, None] - spoof[None]) / 2 + 0.5).mean())


def averaged(trials: Iterator[tuple[str, Trials]], fusion: Fusion | None) -> dict[tuple[str, int], dict]:
    """Means over draws, by architecture and samples."""
    found: dict[tuple[str, int], list[dict[str, float]]] = {}
    for architecture, one in trials:
        llr = fusion.apply(one.llr, one.retrieval) if fusion else one.llr
        found.setdefault((architecture, one.samples), []).append(measures(one, llr))
    return {
        key: {name: float(np.mean([m[name] for m in many])) for name in many[0]}
        for key, many in found.items()
    }


def interval(values: Sequence[float], draws: int = 2_000) -> dict[str, float]:
    """Mean with its 95 % interval, from a bootstrap over architectures."""
    known = np.array([value for value in values if np.isfinite(value)])
    rng = np.random.default_rng(0)
    means = known[rng.integers(0, len(known), (draws, len(known)))].mean(1)
    low, high = np.quantile(means, [0.025, 0.975])
    return {
        "value": round(float(known.mean()), 4),
        "low": round(float(low), 4),
        "high": round(float(high), 4),
    }


def curve(
    found: dict[tuple[str, int], dict[str, float]], plain: dict, samples: Sequence[int]
) -> dict[str, Any]:
    """By number of samples: every measure, and its change from the detector alone on the same recordings."""
    table = {}
    for count in samples:
        names = [key for key in found if key[1] == count]
        if not names:
            continue
        table[str(count)] = {
            "architectures": len(names),
            **{m: interval([found[key][m] for key in names]) for m in found[names[0]]},
            **{
                f"{m}_change": interval([found[key][m] - plain[key][m] for key in names])
                for m in ("eer", "auc", "recall_at_5", "others_eer")
            },
        }
    return table


def choose(folds: Sequence[Fold], ways: Sequence[Retrieval]) -> tuple[Retrieval, Fusion, list[dict]]:
    """The way to search with the best mean AUC of new generators on these folds, and its fusion."""
    tried = []
    for how in ways:
        fusion = learn(folds, how)
        found = [
            entry["auc"]
            for alone in (False, True)
            for entry in averaged(every_trial(folds, CHOSEN_AT, how, alone=alone), fusion).values()
        ]
        tried.append((float(np.mean(found)), how, fusion))
    best = max(tried, key=lambda one: one[0])
    return best[1], best[2], [{**asdict(how), "auc": round(value, 4)} for value, how, _ in tried]


def ways_to_search() -> list[Retrieval]:
    """What is compared: every score and number of neighbours by embedding, the best two scores by voice."""
    by_embedding = [
        Retrieval("cm", name, k, floor)
        for name, k in product(SCORES, NEIGHBOURS)
        for floor in (FLOORS if name in WITH_FLOOR else (0.0,))
    ]
    by_voice = [
        Retrieval(mode, name, k, floor)
        for mode, name, k, floor in product(MODES[1:], WITH_FLOOR, NEIGHBOURS[:3], FLOORS[::2])
    ]
    return by_embedding + by_voice


def by_attribute(folds: Sequence[Fold], how: Retrieval) -> dict[str, dict[str, float]]:
    """AUC of new generators where the voice counts too: all attributes, each alone, all but each."""
    mixed = replace(how, mode="hybrid2")
    chosen = {"no profile": None, "all": tuple(MEASURES)}
    chosen |= {f"{name} alone": (name,) for name in MEASURES}
    chosen |= {f"without {name}": tuple(other for other in MEASURES if other != name) for name in MEASURES}
    found = {}
    for name, groups in chosen.items():
        heard = [replace(fold, profiles=only(fold.profiles, groups or MEASURES)) for fold in folds]
        searched = mixed if groups else how
        told = averaged(every_trial(heard, CHOSEN_AT, searched), learn(heard, searched))
        found[name] = interval([entry["auc"] for entry in told.values()])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description="A new generator, after a few labelled samples of it.")
    for name in ("cache", "runs", "profiles"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    given = parser.parse_args()
    folds = read_folds(given.cache, given.runs, given.profiles)
    ways = ways_to_search()
    fused: dict[float, dict] = {noise: {} for noise in NOISE}
    alone: dict[tuple[str, int], dict[str, float]] = {}
    plain: dict[tuple[str, int], dict[str, float]] = {}
    chosen = []
    for index, fold in enumerate(folds):
        others = [other for i, other in enumerate(folds) if i != index]
        how, fusion, tried = choose(others, ways)
        chosen.append({"fold": index, **asdict(how), "fusion": asdict(fusion), "tried": tried})
        print(f"fold {index}: {how} {fusion}", flush=True)
        plain |= averaged(every_trial([fold], SAMPLES, how), None)
        alone |= averaged(every_trial([fold], SAMPLES, how, alone=True), fusion)
        for noise in NOISE:
            fused[noise] |= averaged(every_trial([fold], SAMPLES, how, noise), fusion)
    how, fusion, _ = choose(folds, ways)
    found = {
        "recordings_of_a_fold": [len(fold.rows) for fold in folds],
        "detector_alone": curve(plain, plain, SAMPLES),
        "with_samples": curve(fused[0.0], plain, SAMPLES),
        "with_nothing_else_in_the_base": curve(alone, plain, SAMPLES),
        "with_label_noise": {str(noise): curve(fused[noise], plain, SAMPLES) for noise in NOISE[1:]},
        "by_architecture": {
            name: {str(n): fused[0.0][name, n] for n in SAMPLES if (name, n) in fused[0.0]}
            for name in sorted({name for name, _ in fused[0.0]})
        },
        "profile_attributes_auc": by_attribute(folds, how),
        "chosen_by_fold": chosen,
        "defaults": {**asdict(how), "fusion": asdict(fusion)},
    }
    (RESULTS / "zero_day.json").write_text(json.dumps(found, indent=1) + "\n")
    for count, entry in found["with_samples"].items():
        print(count, {m: entry[m] for m in ("eer", "auc", "recall_at_5", "others_eer_change")}, flush=True)


if __name__ == "__main__":
    main()
