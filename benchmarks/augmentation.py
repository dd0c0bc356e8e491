"""What RawBoost and codecs in training do to a small network, clean and through channels.

Networks of `folds.py` are post-trained from scratch with three seeds under each augmentation.

    python benchmarks/augmentation.py --corpus CORPUS --work FOLDER [--jobs 2] [--only plain ...]

Writes `benchmarks/results/augmentation.json` and the table in `docs/training.md`.
"""

import argparse
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from folds import FOLDS, NETWORK, ROOT, compare_arms, put, score, table, train, write_folds

AUGMENT = {
    "plain": "",
    "RawBoost": "rawboost:5:0.7",
    "codecs": "codecs:0.5",
    "RawBoost + codecs": "rawboost:5:0.7,codecs:0.5",
}
SEEDS = (1, 2, 3)
OPTIONS = (
    "--steps 400 --batch-s 96 --crop-s 2 4 --learning-rate 2e-3 --warm-up 0.07 --final-rate 0.05 "
    "--weight-decay 0.02 --clip-norm 5 --moving-average 0.99 --precision bf16 --workers 0 --save-every 100"
).split()


def run_name(augment: str, seed: int, fold: int) -> str:
    """Folder of a run."""
    return f"{augment.replace(' + ', '-').lower()}-seed{seed}-fold{fold}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", nargs="*", choices=AUGMENT, default=list(AUGMENT))
    arguments = parser.parse_args()
    work = arguments.work
    rows, engines = write_folds(arguments.corpus.resolve(), work)

    def run(plan: tuple[str, int, int]) -> None:
        augment, seed, fold = plan
        given = [*NETWORK, *OPTIONS, "--augment", AUGMENT[augment], "--seed", str(seed)]
        train(work / run_name(*plan), "post", str(work / f"fold-{fold}.csv"), *given)

    with ThreadPoolExecutor(arguments.jobs) as pool:
        list(pool.map(run, [(a, seed, fold) for seed in SEEDS for a in arguments.only for fold in FOLDS]))
    for fold in FOLDS:
        held = [row for row in rows if row.fold == fold]
        score(work, held, [run_name(augment, seed, fold) for seed in SEEDS for augment in arguments.only])
    arms = {
        augment: [[work / f"{run_name(augment, seed, fold)}.npz" for fold in FOLDS] for seed in SEEDS]
        for augment in arguments.only
    }
    result = {"seeds": len(SEEDS), **compare_arms(arms, rows, engines)}
    (ROOT / "benchmarks" / "results" / "augmentation.json").write_text(json.dumps(result, indent=1) + "\n")
    put(ROOT / "docs" / "training.md", "augmentation", table(result, "trained with"))
    print(table(result, "trained with"))


if __name__ == "__main__":
    main()
