"""What fine-tuning on one place costs elsewhere: cross-entropy, adapters, GRPO and its kin.

The first two layers of Whisper tiny (MIT; `python -m earwitness.training.whisper_weights`) with a linear head
are post-trained on `packages` and one page fold, then fine-tuned on half the clips of each page of a
second fold. In domain are the other halves of those clips; out of domain the two folds that
neither training saw, at most sixteen clips of a class and a page. Four rotations.

    python benchmarks/forgetting.py --corpus CORPUS --front-end BUNDLE --work FOLDER [--jobs 2]

Writes `benchmarks/results/forgetting.json` and the table in `docs/training.md`.
"""

import argparse
import json
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
from folds import FOLDS, ROOT, mean_eer, put, score_all, train

from earwitness.audio.corpora import demos, packages
from earwitness.audio.protocol import Utterance, write_protocol

SEEDS = (1,)
COMMON = (
    "--crop-s 2 4 --warm-up 0.1 --final-rate 0.05 --clip-norm 5 --precision bf16 --workers 0 "
    "--augment level:0.5"
).split()
BASE = ["--steps", "150", "--batch-s", "48", "--learning-rate", "1e-4", "--states", "2", "--head", "linear"]
TUNE = ["--steps", "40", "--batch-s", "48"]
FULL = ["--learning-rate", "3e-5"]
ARMS: dict[str, list[str]] = {
    "cross-entropy": ["--objective", "cross-entropy", *FULL],
    "cross-entropy, adapters": ["--objective", "cross-entropy", "--mode", "lora", "--learning-rate", "1e-3"],
    "cross-entropy + KL": ["--objective", "cross-entropy-kl", "--beta", "1", *FULL],
    "half of the way (WiSE-FT)": ["--objective", "cross-entropy", "--interpolate", "0.5", *FULL],
    "MAE": ["--objective", "mae", *FULL],
    "GCE": ["--objective", "gce", *FULL],
    "GRPO": ["--objective", "grpo", "--refresh", "10", *FULL],
    "GRPO without sampling": ["--objective", "grpo-exact", *FULL],
}
PLACES = ("in domain", "out of domain")
MOST = 16  # clips of a class and a page that are judged


def run_name(arm: str, seed: int, fold: int) -> str:
    """Folder of a run; `base` is what all arms begin from."""
    words = "".join(c if c.isalnum() else " " for c in arm.lower()).split()
    return f"{'-'.join(words)}-seed{seed}-fold{fold}"


def write_data(corpus: Path, work: Path) -> dict[int, list[Utterance]]:
    """Protocols of each rotation; what its runs are judged on, by the fold they are tuned on."""
    rows, engines = list(demos.read(corpus / "demos")), list(packages.read(corpus / "packages"))
    work.mkdir(parents=True, exist_ok=True)
    rng, judged = np.random.default_rng(0), {}
    halves = {row.id: bool(half) for row, half in zip(rows, rng.integers(0, 2, len(rows)), strict=True)}
    for fold in FOLDS:
        known = [*engines, *(row for row in rows if row.fold == (fold + 1) % len(FOLDS))]
        tuned = [row for row in rows if row.fold == fold and halves[row.id]]
        for name, items in (("base", known), ("tune", tuned)):
            protocol = work / f"{name}-{fold}.csv"
            write_protocol((replace(item, split="train") for item in items), protocol, corpus)
            protocol.with_suffix(".json").write_text(json.dumps({"root": str(corpus)}))
        inside = [row for row in rows if row.fold == fold and not halves[row.id]]
        outside = [row for row in rows if row.fold not in (fold, (fold + 1) % len(FOLDS))]
        judged[fold] = [*few_of_each(inside, rng), *few_of_each(outside, rng)]
    return judged


def few_of_each(rows: list[Utterance], rng: np.random.Generator) -> list[Utterance]:
    """At most `MOST` of each class and page, in the order of `rows`."""
    left = Counter((row.group, row.bona_fide) for row in rows)
    left = {key: min(count, MOST) for key, count in left.items()}
    chosen = set()
    for i in rng.permutation(len(rows)):
        key = (rows[i].group, rows[i].bona_fide)
        if left[key]:
            left[key] -= 1
            chosen.add(int(i))
    return [rows[i] for i in sorted(chosen)]


def summarise(work: Path, judged: dict[int, list[Utterance]], draws: int = 1_000) -> dict:
    """EERs in and out of domain, means over rotations and seeds, with intervals over pages."""
    arms = ["base", *ARMS]
    result: dict = {"seeds": len(SEEDS), "draws": draws, "eer": {arm: {} for arm in arms}}
    for place in PLACES:
        drawn = {arm: np.zeros(draws) for arm in arms}
        values = {arm: 0.0 for arm in arms}
        for fold, rows in judged.items():
            part = np.array([(row.fold == fold) == (place == PLACES[0]) for row in rows])
            bona_fide = np.array([row.bona_fide for row in rows])[part]
            pages = np.array([row.group for row in rows])[part]
            members = [np.flatnonzero(pages == page) for page in np.unique(pages)]
            for arm in arms:
                paths = [work / f"{run_name(arm, seed, fold)}.npz" for seed in SEEDS]
                scores = np.stack([np.load(path)["clean"][part] for path in paths])
                values[arm] += mean_eer(scores, bona_fide) / len(judged)
                drawn[arm] += resampled(scores, bona_fide, members, draws, fold) / len(judged)
        for arm in arms:
            low, high = np.quantile(drawn[arm], [0.025, 0.975])
            gap = np.quantile(drawn[arm] - drawn["base"], [0.025, 0.975])
            entry = {"eer": values[arm], "low": low, "high": high}
            result["eer"][arm][place] = entry | {"against_base": [values[arm] - values["base"], *gap]}
    return json.loads(json.dumps(result, default=float))


def resampled(
    scores: np.ndarray, bona_fide: np.ndarray, members: Sequence[np.ndarray], draws: int, seed: int
) -> np.ndarray:
    """Mean EER over seeds of scores (seeds, clips) on draws of pages, (draws,); each has both classes."""
    rng, found = np.random.default_rng(seed), []
    while len(found) < draws:
        chosen = np.concatenate([members[i] for i in rng.integers(0, len(members), len(members))])
        if 0 < bona_fide[chosen].sum() < len(chosen):
            found.append(mean_eer(scores[:, chosen], bona_fide[chosen]))
    return np.array(found)


def table(result: dict) -> str:
    """The result as Markdown: EER % with intervals; in brackets the difference to the base."""
    lines = ["| fine-tuned by | " + " | ".join(PLACES) + " |", "|---|---|---|"]
    for arm, places in result["eer"].items():
        cells = []
        for entry in places.values():
            cell = f"{100 * entry['eer']:.1f} [{100 * entry['low']:.1f}, {100 * entry['high']:.1f}]"
            if arm != "base":
                cell += " ({:+.1f} [{:+.1f}, {:+.1f}])".format(*(100 * x for x in entry["against_base"]))
            cells.append(cell)
        lines.append(f"| {'not at all' if arm == 'base' else arm} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--front-end", required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--jobs", type=int, default=2)
    arguments = parser.parse_args()
    work = arguments.work
    judged = write_data(arguments.corpus.resolve(), work)

    def base(plan: tuple[int, int]) -> None:
        seed, fold = plan
        given = ["--from", arguments.front_end, *BASE, *COMMON, "--seed", str(seed)]
        train(work / run_name("base", seed, fold), "post", str(work / f"base-{fold}.csv"), *given)

    def tune(plan: tuple[str, int, int]) -> None:
        arm, seed, fold = plan
        begin = str(work / run_name("base", seed, fold) / "bundle")
        given = ["--from", begin, *TUNE, *ARMS[arm], *COMMON, "--seed", str(seed)]
        train(work / run_name(arm, seed, fold), "grpo", str(work / f"tune-{fold}.csv"), *given)

    with ThreadPoolExecutor(arguments.jobs) as pool:
        list(pool.map(base, [(seed, fold) for seed in SEEDS for fold in FOLDS]))
        list(pool.map(tune, [(arm, seed, fold) for seed in SEEDS for arm in ARMS for fold in FOLDS]))
    arms = ("base", *ARMS)
    runs = [
        (rows, [run_name(arm, seed, fold) for arm in arms]) for fold, rows in judged.items() for seed in SEEDS
    ]
    score_all(work, runs, arguments.jobs, ["clean"])
    result = summarise(work, judged)
    place = ROOT / "benchmarks" / "results" / "forgetting.json"
    place.write_text(json.dumps(result, indent=1) + "\n")
    put(ROOT / "docs" / "training.md", "forgetting", table(result))
    print(table(result))


if __name__ == "__main__":
    main()
