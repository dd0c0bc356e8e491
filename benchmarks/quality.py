"""Quality of the embedded model's recipe on pages it never saw, beside what shortcuts alone give.

    python benchmarks/quality.py --corpus CORPUS --runs RUNS --aasist aasist_scores.csv

Reads the out-of-fold scores that `earwitness.training.embedded` left under RUNS (each page scored
by the run that held it out) and writes `benchmarks/results/quality.json`: EER with a 95 %
interval from a bootstrap over pages; on subsets (families, unseen architectures and speakers);
AASIST (official weights) on the files it was run on, with ours on the same files; and a probe
that sees level, silence, bandwidth and format only, across pages and on a random split.
"""

import argparse
import csv
import json
from pathlib import Path
from typing import Any

import numpy as np

from earwitness.audio.corpora.layout import rows_of
from earwitness.audio.corpora.packages import read as read_packages
from earwitness.audio.io import load
from earwitness.audio.protocol import Utterance
from earwitness.audio.quality import QualityMeter, refuse
from earwitness.metrics.detection import eer
from earwitness.metrics.intervals import grouped_bootstrap
from earwitness.operations.shortcuts import out_of_fold
from earwitness.training.export import OutOfFold, measure, read_out_of_fold

NUMBERS = (
    "rms_dbfs peak lead_silence_s trail_silence_s noise_floor_db digital_zero_frac bandwidth_hz "
    "original_sample_rate channels"
).split()


def described(scores: np.ndarray, chosen: np.ndarray, found: OutOfFold) -> dict[str, Any]:
    """EER of the chosen rows with its interval over pages, and their counts."""
    bona_fide, pages = found.bona_fide[chosen], found.pages[chosen]
    value, low, high = grouped_bootstrap(eer, scores[chosen], bona_fide, pages)
    return {
        "value": round(value, 4),
        "low": round(low, 4),
        "high": round(high, 4),
        "bona_fide": int(bona_fide.sum()),
        "spoof": int((~bona_fide).sum()),
        "pages": len(set(pages)),
    }


def unseen(rows: list[Utterance], packages: list[Utterance]) -> np.ndarray:
    """Rows whose architecture (fakes) or named speaker (all) stands in no training fold, (rows,)."""
    others = {
        fold: [row for row in rows if row.fold != fold] + packages for fold in {row.fold for row in rows}
    }
    architectures = {fold: {row.architecture for row in seen} for fold, seen in others.items()}
    speakers = {fold: {row.speaker for row in seen} - {"-"} for fold, seen in others.items()}
    return np.array(
        [
            (row.bona_fide or row.architecture not in architectures[row.fold])
            and row.speaker not in speakers[row.fold]
            for row in rows
        ]
    )


def past_the_gate(rows: list[Utterance]) -> np.ndarray:
    """Rows that `earwitness scan` would score and not answer `no-speech`, (rows,)."""
    passed = []
    for row in rows:
        meter = QualityMeter()
        meter.update(load(row.path))
        passed.append(refuse(meter.finish()) is None)
    return np.array(passed)


def probe(manifest: dict[str, dict[str, str]], rows: list[Utterance], folds: np.ndarray) -> np.ndarray:
    """Out-of-fold scores of boosted trees on nuisance measures alone, (rows,)."""
    formats = sorted({manifest[row.id]["original_format"] for row in rows})
    features = np.array(
        [
            [float(manifest[row.id][key] or "nan") for key in NUMBERS]
            + [float(manifest[row.id]["original_format"] == name) for name in formats]
            for row in rows
        ]
    )
    return out_of_fold(features, np.array([row.bona_fide for row in rows]), folds)


def main() -> None:
    parser = argparse.ArgumentParser(description="Quality of the embedded recipe on unseen pages.")
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--runs", type=Path, required=True)
    parser.add_argument("--aasist", type=Path, help="CSV of id,score")
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results")
    arguments = parser.parse_args()

    found = read_out_of_fold(arguments.corpus, arguments.runs)
    rows, scores, every = found.rows, found.scores, np.ones(len(found.rows), bool)
    manifest = {row["id"]: row for row in rows_of(arguments.corpus / "demos" / "manifest.csv", ["id"])}
    folds, families = (np.array([getattr(row, key) for row in rows]) for key in ("fold", "family"))
    results: dict[str, Any] = {
        "what": "EER of out-of-fold scores; four folds of whole pages; page-bootstrap 95 % intervals",
        "all_pages": described(scores, every, found),
        "transferred": measure(found),
        "by_fold": {str(k): described(scores, folds == k, found) for k in range(4)},
        "by_family_against_all_bona_fide": {
            name: described(scores, found.bona_fide | (families == name), found)
            for name in sorted(set(families) - {"-"})
        },
    }
    passed = past_the_gate(rows)
    results["past_the_gate"] = described(scores, passed, found)
    fresh = unseen(rows, list(read_packages(arguments.corpus / "packages")))
    results["unseen_architecture_and_speaker"] = described(scores, fresh, found)
    if arguments.aasist:
        with arguments.aasist.open(newline="") as file:
            theirs = {row["id"]: float(row["score"]) for row in csv.DictReader(file)}
        both = np.array([row.id in theirs for row in rows])
        aasist = np.array([theirs.get(row.id, 0.0) for row in rows])
        results["aasist_on_its_files"] = described(aasist, both, found)
        results["ours_on_the_same_files"] = described(scores, both, found)
    across = probe(manifest, rows, folds)
    shuffled = np.random.default_rng(0).integers(0, 4, len(rows))
    results["probe_across_pages"] = described(across, every, found)
    results["probe_random_split"] = described(probe(manifest, rows, shuffled), every, found)
    results["correlation_of_our_scores_with_the_probe"] = round(float(np.corrcoef(scores, across)[0, 1]), 3)

    arguments.results.mkdir(parents=True, exist_ok=True)
    (arguments.results / "quality.json").write_text(json.dumps(results, indent=1) + "\n")
    for name, entry in [*results.items(), *results["transferred"].items()]:
        if isinstance(entry, dict) and "value" in entry:
            print(f"{name:42} {entry['value']:.3f} [{entry['low']:.3f}, {entry['high']:.3f}]")


if __name__ == "__main__":
    main()
