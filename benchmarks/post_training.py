"""Whisper tiny trained on, instead of frozen: in full, by adapters, and with spliced frames after that.

    python benchmarks/post_training.py --corpus CORPUS --front-end whisper-tiny --work FOLDER [--jobs 2]

Trained on three page folds of `demos` and on `packages`, under a mean over time of a learnt sum of states
and a linear layer, and judged on the fourth; leaves `ARM-foldK.npz` in FOLDER, which `ablation.py` reads.
Runs go on where they stopped.
"""

import argparse
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from folds import FOLDS, score_all, train, write_folds

COMMON = (
    "--batch-s 96 --crop-s 2 4 --warm-up 0.1 --final-rate 0.05 --clip-norm 5 --moving-average 0.98 "
    "--precision bf16 --workers 0 --save-every 50"
).split()
HEAD = ["--head", "linear", "--states", "0,1,2,3", "--steps", "100"]
ARMS = {
    "full": ["post", *HEAD, "--learning-rate", "1e-4"],
    "full-then-mix-frame": ["mix-frame", "--mode", "full", "--steps", "50", "--learning-rate", "3e-5"],
    "adapters": ["finetune", *HEAD, "--mode", "lora", "--learning-rate", "1e-3"],
}


def run(arm: str, fold: int, front_end: Path, work: Path) -> None:
    """One arm on one fold."""
    before = work / f"full-fold{fold}" / "bundle" if arm.startswith("full-") else front_end
    given = [ARMS[arm][0], str(work / f"fold-{fold}.csv"), *ARMS[arm][1:], "--from", str(before), *COMMON]
    train(work / f"{arm}-fold{fold}", *given)


def main() -> None:
    parser = argparse.ArgumentParser(description="Post-train Whisper tiny on page folds.")
    for name in ("corpus", "front-end", "work"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--jobs", type=int, default=2)
    given = parser.parse_args()
    rows, _ = write_folds(given.corpus.resolve(), given.work)
    for arm in ARMS:
        with ThreadPoolExecutor(given.jobs) as pool:
            list(pool.map(lambda fold: run(arm, fold, given.front_end, given.work), FOLDS))  # noqa: B023
        plans = [([row for row in rows if row.fold == fold], [f"{arm}-fold{fold}"]) for fold in FOLDS]
        score_all(given.work, plans, given.jobs, ("clean",))


if __name__ == "__main__":
    main()
