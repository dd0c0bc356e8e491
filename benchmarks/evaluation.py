"""Speed and memory of `earwitness evaluate`, whole processes, as a user runs it.

    python benchmarks/evaluation.py [--trials 10000000] [--folder FOLDER]

Generates that many scores and their key as ASVspoof 5 TSVs (the key in another order, one trial in
five bona fide, two overlapping normal distributions), and evaluates them with 1,000 draws and with
none; then the 29,548 development trials of ASVspoof 5, where they are at hand (`--reference`).
Writes `benchmarks/results/evaluation.json`. FOLDER needs 60 bytes a trial; the files are deleted.
"""

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from timed import timed

from earwitness.metrics.scores import write_key, write_scores

COMMAND = [sys.executable, "-m", "earwitness.cli", "evaluate"]
BONA_FIDE = 0.2  # share of the trials


def generate(folder: Path, trials: int) -> tuple[Path, Path]:
    """Scores and key of made-up trials."""
    rng = np.random.default_rng(0)
    bona_fide = rng.random(trials) < BONA_FIDE
    scores = np.where(bona_fide, 2.0, -2.0) + 1.5 * rng.standard_normal(trials)
    ids = np.char.add("E_", np.char.zfill(np.arange(trials).astype(str), 10))
    order = rng.permutation(trials)
    write_scores(folder / "scores.tsv", ids.tolist(), scores)
    write_key(folder / "key.tsv", ids[order].tolist(), bona_fide[order])
    return folder / "scores.tsv", folder / "key.tsv"


def measure(arguments: list[str], runs: int) -> dict[str, Any]:
    """The quickest of some runs, and the most memory that any of them took."""
    used = [timed([*COMMAND, *arguments, "--json"]) for _ in range(runs)]
    return {
        "seconds": round(min(run["wall_s"] for run in used), 2),
        "cpu_seconds": round(min(run["cpu_s"] for run in used), 2),
        "peak_rss_mib": round(max(run["rss_mib"] for run in used)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Speed and memory of `earwitness evaluate`.")
    parser.add_argument("--trials", type=int, default=10_000_000)
    parser.add_argument("--folder", type=Path, default=None)
    parser.add_argument("--runs", type=int, default=2)
    parser.add_argument("--reference", type=Path, default=None, help="asvspoof5_dev_scores.csv")
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results")
    arguments = parser.parse_args()
    results: dict[str, Any] = {"processors": os.cpu_count(), "trials": arguments.trials}
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        scores, key = generate(Path(name), arguments.trials)
        results["megabytes"] = round((scores.stat().st_size + key.stat().st_size) / 1e6)
        for draws in ("0", "1000"):
            line = [str(scores), "--key", str(key), "--draws", draws]
            results[f"draws_{draws}"] = measure(line, arguments.runs)
            print(draws, results[f"draws_{draws}"], flush=True)
    if arguments.reference:
        reference: dict[str, Any] = {"trials": 29_548}
        for draws in ("0", "1000"):
            line = [str(arguments.reference), "--draws", draws]
            reference[f"draws_{draws}"] = measure(line, arguments.runs)
            print("asvspoof5_dev", draws, reference[f"draws_{draws}"], flush=True)
        results["asvspoof5_dev"] = reference
    arguments.results.mkdir(parents=True, exist_ok=True)
    (arguments.results / "evaluation.json").write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
