"""Does mix-frame post-training help a small network, and which splices?

Networks of `folds.py`, equal steps and data in every arm, three seeds: trained on utterances from scratch;
in two halves (the second begins from the weights of the first); mix-frame post-training for the first
half; a third each of both. Then other splices for the first half, one seed.

    python benchmarks/mix_frame.py --corpus CORPUS --work FOLDER [--jobs 2] [--only NAME ...]

Writes `benchmarks/results/mix_frame.json` and the tables in `docs/training.md`.
"""

import argparse
import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from folds import FOLDS, NETWORK, ROOT, compare_arms, put, score_all, table, train, write_folds

SEEDS = (1, 2, 3)
SPLICE_SEEDS = (1,)
STEPS = 240  # of all stages of an arm together
MIX = ["mix-frame", "--mode", "full"]
POST, TUNE = ["post"], ["finetune"]
ARMS: dict[str, list[list[str]]] = {
    "no post-training": [POST],
    "utterance post-training": [POST, TUNE],
    "MFPT": [MIX, TUNE],
    "utterance, then MFPT": [POST, MIX, TUNE],
}
SPLICES: dict[str, list[list[str]]] = {
    "MFPT": [MIX, TUNE],
    "30 to 50 %": [[*MIX, "--share", "0.3", "0.5"], TUNE],
    "50 to 70 %": [[*MIX, "--share", "0.5", "0.7"], TUNE],
    "cross-fade 10 ms": [[*MIX, "--fade-s", "0.01"], TUNE],
    "half same class, labelled 0": [[*MIX, "--same-class", "0.5", "--same-label", "0"], TUNE],
    "half same class, labelled 1": [[*MIX, "--same-class", "0.5", "--same-label", "1"], TUNE],
}
RATES = {"post": "2e-3", "mix-frame": "2e-3", "finetune": "1e-3"}
OPTIONS = (
    "--batch-s 96 --crop-s 2 4 --warm-up 0.1 --final-rate 0.05 --weight-decay 0.02 --clip-norm 5 "
    "--moving-average 0.98 --precision bf16 --workers 0 --save-every 80 --augment level:0.5"
).split()


def run_name(arm: str, seed: int, fold: int) -> str:
    """Folder of an arm's last stage."""
    words = arm.lower().replace("%", "percent").replace(",", "").split()
    return f"{'-'.join(words)}-seed{seed}-fold{fold}"


def run(work: Path, stages: list[list[str]], name: str, seed: int, fold: int) -> None:
    """All stages of an arm; only the last one's folder stays."""
    if (work / name / "result.json").exists():
        return
    before: Path | None = None
    for number, stage in enumerate(stages, start=1):
        out = work / (name if number == len(stages) else f"{name}-stage{number}")
        begin = ["--from", str(before / "bundle")] if before else NETWORK
        given = [
            "--steps",
            str(STEPS // len(stages)),
            "--learning-rate",
            RATES[stage[0]],
            "--seed",
            str(seed),
        ]
        train(out, stage[0], str(work / f"fold-{fold}.csv"), *stage[1:], *begin, *OPTIONS, *given)
        before = out
    for number in range(1, len(stages)):
        shutil.rmtree(work / f"{name}-stage{number}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", nargs="*", choices=[*ARMS, *SPLICES], default=[*ARMS, *SPLICES])
    arguments = parser.parse_args()
    work, wanted = arguments.work, arguments.only
    rows, engines = write_folds(arguments.corpus.resolve(), work)
    every = {name: stages for name, stages in (ARMS | SPLICES).items() if name in wanted}
    seeds = {name: SEEDS if name in ARMS else SPLICE_SEEDS for name in every}
    parts = [[name for name in every if (name in ARMS) == main] for main in (True, False)]
    plans = [
        (name, seed, fold)
        for part in parts
        for seed in SEEDS
        for name in part
        for fold in FOLDS
        if seed in seeds[name]
    ]
    with ThreadPoolExecutor(arguments.jobs) as pool:
        list(pool.map(lambda plan: run(work, every[plan[0]], run_name(*plan), *plan[1:]), plans))
    result: dict = {"seeds": len(SEEDS), "splice_seeds": len(SPLICE_SEEDS), "steps": STEPS}
    text = []
    judged = [
        (
            [row for row in rows if row.fold == fold],
            [run_name(name, seed, fold) for name in every if seed in seeds[name]],
        )
        for fold in FOLDS
        for seed in SEEDS
    ]
    score_all(work, judged, arguments.jobs)
    for part, group, drawn in (("arms", ARMS, SEEDS), ("splices", SPLICES, SPLICE_SEEDS)):
        arms = {
            name: [[work / f"{run_name(name, seed, fold)}.npz" for fold in FOLDS] for seed in drawn]
            for name in group
            if name in every
        }
        result[part] = compare_arms(arms, rows, engines)
        text.append(table(result[part], "trained by" if part == "arms" else "spliced"))
    (ROOT / "benchmarks" / "results" / "mix_frame.json").write_text(json.dumps(result, indent=1) + "\n")
    put(ROOT / "docs" / "training.md", "mix_frame", "\n\n".join(text))
    print("\n\n".join(text))


if __name__ == "__main__":
    main()
