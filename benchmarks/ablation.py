"""What each part of the embedded model's recipe brings, on pages it never saw.

    python benchmarks/ablation.py --corpus CORPUS --cache CACHE --whisper-base whisper-base --work FOLDER

Reads the statistics that `earwitness.training.embedded cache` left in CACHE (of `demos`, of `packages`, and
where they are there of more genuine speech, more engines, and copies by `earwitness corpus synthesise`), fits
every arm on three page folds and judges it on the fourth. With `--post-training` takes in what
`post_training.py` left. Computes mean and deviation of all states of Whisper base itself, into FOLDER. Writes
`benchmarks/results/ablation.json`. Intervals are 95 % ones from a bootstrap over pages; differences are
paired. Fits have a closed form and no seed.
"""

import argparse
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from folds import FOLDS
from quality import described, entry, unseen
from safetensors.torch import load_file

from earwitness.audio.corpora.demos import read as read_demos
from earwitness.audio.corpora.packages import read as read_packages
from earwitness.audio.protocol import Utterance
from earwitness.decision.bundle import WEIGHTS
from earwitness.decision.heads.output import masked_mean_deviation
from earwitness.decision.heads.pooled import BOUND, side_by_side
from earwitness.features.encoders import FrontEnd
from earwitness.features.frontends import FRONT_ENDS
from earwitness.metrics.detection import eer
from earwitness.training.cached import piece_of, read_cache
from earwitness.training.embedded import SPREAD, Fit, Material, class_weights, kinds_of_evidence, ridge
from earwitness.training.export import OutOfFold

LONGEST_S = 10.0  # of a recording that Whisper base is given


@dataclass(frozen=True)
class Arm:
    """What an arm is fitted to."""

    kinds: list[np.ndarray]  # columns, each with a regression of its own
    sets: tuple[str, ...] = ("demos", "packages")
    crops: bool = False


def arms() -> dict[str, Arm]:
    """In the order of the table."""
    means, deviations, _, lines, long_lines = kinds_of_evidence()
    half = len(deviations) // 2
    still, changes = deviations[:half], deviations[half:]
    every = kinds_of_evidence()
    more = ("demos", "packages", "genuine", "engines")
    return {
        "Whisper tiny, frozen: mean and deviation": Arm([np.concatenate([means, still])]),
        "+ deviation of changes": Arm([np.concatenate([means, still, changes])]),
        "+ lines, 128 ms": Arm([np.concatenate([means, still, changes, lines])]),
        "+ lines, 256 ms": Arm([np.concatenate([means, still, changes, lines, long_lines])]),
        "+ spectrum upside down": Arm([np.concatenate(every)]),
        "each kind by itself": Arm(every),
        "+ genuine speech of 170 more speakers": Arm(every, more[:3]),
        "+ 351 fakes of six more engines": Arm(every, more),
        "+ disturbed crops (the recipe)": Arm(every, more, crops=True),
        "the recipe without lines": Arm(every[:3], more, crops=True),
        "the recipe without the spectrum upside down": Arm([*every[:2], *every[3:]], more, crops=True),
        "the recipe on demos alone": Arm(every, ("demos",), crops=True),
        "no crops, + 2,400 fakes of ten methods of synthesis": Arm(every, (*more, "synth-demos")),
        "no crops, + 500 copies by HiFi-GAN": Arm(every, (*more, "neural-hifigan-16k")),
    }


def out_of_fold(material: Material, arm: Arm, rows: list[Utterance]) -> np.ndarray:
    """Scores of `rows`, (rows,), undisturbed, each by a fit without its page fold."""
    options = Fit()
    versions = material.statistics if arm.crops else material.statistics[:1]
    folds = np.array([-1 if item.fold is None else item.fold for item in material.items])
    place = {item.id: i for i, item in enumerate(material.items) if item.dataset == "demos"}
    judged = np.array([place[row.id] for row in rows])
    scores = np.zeros(len(rows))
    for fold in FOLDS:
        train = np.flatnonzero(folds != fold)
        part = [material.items[i] for i in train]
        single = sum(class_weights(part, label, options) for label in (True, False))
        shares = [options.whole] + [(1 - options.whole) / max(1, len(versions) - 1)] * (len(versions) - 1)
        weights = np.concatenate([single * share for share in shares]).astype(np.float32)
        weights /= weights.sum()
        wanted = np.tile([1.0 if item.bona_fide else -1.0 for item in part], len(versions))
        here = np.array([row.fold == fold for row in rows])
        for columns in arm.kinds:
            flat = np.concatenate([table[train][:, columns] for table in versions]).astype(np.float32)
            mean, scale = flat.mean(0), 1 / np.sqrt(flat.var(0) + SPREAD)
            flat = np.clip((flat - mean) * scale, -BOUND, BOUND)
            found, offset = ridge(
                torch.from_numpy(flat),
                torch.from_numpy(wanted[:, None].astype(np.float32)),
                torch.from_numpy(weights),
                options.ridge,
            )
            said = flat @ found[:, 0].numpy() + float(offset[0])
            test = material.statistics[0][judged[here]][:, columns].astype(np.float32)
            test = np.clip((test - mean) * scale, -BOUND, BOUND) @ found[:, 0].numpy() + float(offset[0])
            scores[here] += test / np.sqrt(weights @ said**2)
    return scores


def of_whisper_base(front_end: Path, items: list[Utterance], target: Path) -> np.ndarray:
    """Mean and deviation of all states of the first ten seconds, (items, features); kept in a file."""
    if not target.exists():
        sizes = replace(FRONT_ENDS["whisper-base"].architecture, normalise=True)
        body = FrontEnd(sizes, range(sizes.layers + 1)).eval()
        tensors = load_file(front_end / WEIGHTS)
        body.load_state_dict({name.removeprefix("front_end."): tensor for name, tensor in tensors.items()})
        found = []
        for item in items:
            clip = torch.from_numpy(piece_of(item, 0)[: round(LONGEST_S * 16_000)])[None]
            with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
                states, mask = body(clip, torch.tensor([clip.shape[1]]))
                found.append(masked_mean_deviation(side_by_side(states), mask)[0].float().numpy())
        np.save(target, np.stack(found).astype(np.float16))
    return np.load(target)


def by_regression(features: np.ndarray, items: list[Utterance], rows: list[Utterance]) -> np.ndarray:
    """Scores of `rows` by logistic regression on standardised features of `items`, page-grouped."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    folds = np.array([-1 if item.fold is None else item.fold for item in items])
    place = {item.id: i for i, item in enumerate(items) if item.dataset == "demos"}
    bona_fide = np.array([item.bona_fide for item in items])
    scores = np.zeros(len(rows))
    for fold in FOLDS:
        train = folds != fold
        scaler = StandardScaler().fit(features[train].astype(np.float32))
        model = LogisticRegression(C=0.003, max_iter=200, class_weight="balanced")
        model.fit(scaler.transform(features[train].astype(np.float32)), bona_fide[train])
        here = np.array([row.fold == fold for row in rows])
        judged = [place[row.id] for row in rows if row.fold == fold]
        scores[here] = model.decision_function(scaler.transform(features[judged].astype(np.float32)))
    return scores


def main() -> None:
    parser = argparse.ArgumentParser(description="What each part of the embedded recipe brings.")
    for name in ("corpus", "cache", "whisper-base", "work"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--post-training", type=Path)
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results")
    given = parser.parse_args()
    torch.set_num_threads(1)
    given.work.mkdir(parents=True, exist_ok=True)
    rows = list(read_demos(given.corpus / "demos"))
    engines = list(read_packages(given.corpus / "packages"))
    scores: dict[str, np.ndarray] = {}
    base = of_whisper_base(given.whisper_base, rows + engines, given.work / "whisper-base.npy")
    scores["Whisper base, frozen: mean and deviation, logistic regression"] = by_regression(
        base, rows + engines, rows
    )
    for arm in ("adapters", "full", "full-then-mix-frame") if given.post_training else ():
        paths = [given.post_training / f"{arm}-fold{fold}.npz" for fold in FOLDS]
        if all(path.exists() for path in paths):
            known = [np.load(path) for path in paths]
            table = {
                str(key): float(score)
                for part in known
                for key, score in zip(part["id"], part["clean"], strict=True)
            }
            scores[f"Whisper tiny, 100 steps: {arm}"] = np.array([table[row.id] for row in rows])
    for name, arm in arms().items():
        if all((given.cache / folder / "items.json").exists() for folder in arm.sets):
            material = Material(*read_cache([given.cache / folder for folder in arm.sets]))
            scores[name] = out_of_fold(material, arm, rows)
            print(name, round(report(scores[name], rows), 4), flush=True)
    bona_fide = np.array([row.bona_fide for row in rows])
    found = OutOfFold(rows, np.zeros(len(rows)), bona_fide, [])
    every, new = np.ones(len(rows), bool), unseen(rows, engines)
    recipe = scores["+ disturbed crops (the recipe)"]
    index = np.arange(len(rows)).astype(float)  # so that one bootstrap draws pairs
    result: dict[str, Any] = {"what": "EER on unseen pages, by what an arm is fitted to", "arms": {}}
    for name, values in scores.items():

        def rise(real: np.ndarray, fake: np.ndarray, values: np.ndarray = values) -> float:
            parts = [part.astype(int) for part in (real, fake)]
            theirs, ours = ([table[part] for part in parts] for table in (values, recipe))
            return eer(*theirs) - eer(*ours)

        result["arms"][name] = {
            "all_pages": described(values, every, found),
            "unseen_architecture_and_speaker": described(values, new, found),
            "above_the_recipe": entry(rise, index, every, found),
        }
    (given.results / "ablation.json").write_text(json.dumps(result, indent=1) + "\n")
    for name, line in result["arms"].items():
        value, rest = line["all_pages"], line["above_the_recipe"]
        print(
            f"{name:62} {value['value']:.3f} [{value['low']:.3f}, {value['high']:.3f}]  "
            f"{rest['value']:+.3f} [{rest['low']:+.3f}, {rest['high']:+.3f}]"
        )


def report(scores: np.ndarray, rows: list[Utterance]) -> float:
    """EER over all rows."""
    bona_fide = np.array([row.bona_fide for row in rows])
    return eer(scores[bona_fide], scores[~bona_fide])


if __name__ == "__main__":
    main()
