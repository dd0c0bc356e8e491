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
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from earwitness.audio.corpora import Utterance, read_packages, read_rows
from earwitness.metrics.detection import cllr, eer
from earwitness.metrics.intervals import grouped_bootstrap
from earwitness.training.export import calibrate, read_out_of_fold

NUMBERS = (
    "rms_dbfs peak lead_silence_s trail_silence_s noise_floor_db digital_zero_frac bandwidth_hz "
    "original_sample_rate channels"
).split()


def interval(
    scores: np.ndarray,
    bona_fide: np.ndarray,
    pages: np.ndarray,
    metric: Callable[[np.ndarray, np.ndarray], float] = eer,
) -> dict[str, Any]:
    """Value, 95 % interval and counts of a metric."""
    value, low, high = grouped_bootstrap(metric, scores, bona_fide, pages)
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
    speakers = {fold: {row.speaker for row in seen if row.speaker} for fold, seen in others.items()}
    return np.array(
        [
            (row.bona_fide or row.architecture not in architectures[row.fold])
            and row.speaker not in speakers[row.fold]
            for row in rows
        ]
    )


def probe(manifest: dict[str, dict[str, str]], rows: list[Utterance], folds: np.ndarray) -> np.ndarray:
    """Out-of-fold scores of boosted trees on nuisance measures alone, (rows,)."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    formats = sorted({manifest[row.id]["original_format"] for row in rows})
    features = np.array(
        [
            [float(manifest[row.id][key] or "nan") for key in NUMBERS]
            + [float(manifest[row.id]["original_format"] == name) for name in formats]
            for row in rows
        ]
    )
    labels = np.array([row.bona_fide for row in rows])
    scores = np.zeros(len(rows))
    for fold in np.unique(folds):
        model = HistGradientBoostingClassifier(random_state=0, max_iter=150, learning_rate=0.05)
        model.fit(features[folds != fold], labels[folds != fold])
        scores[folds == fold] = model.decision_function(features[folds == fold])
    return scores


def main() -> None:
    parser = argparse.ArgumentParser(description="Quality of the embedded recipe on unseen pages.")
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--runs", type=Path, required=True)
    parser.add_argument("--aasist", type=Path, help="CSV of id,score")
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results")
    arguments = parser.parse_args()

    found = read_out_of_fold(arguments.corpus, arguments.runs)
    rows, scores, bona_fide, pages = found.rows, found.scores, found.bona_fide, found.pages
    clip, _, thresholds = calibrate(found)
    manifest = {row["id"]: row for row in read_rows(arguments.corpus / "demos")}
    folds = np.array([row.fold for row in rows])
    results: dict[str, Any] = {
        "what": "EER of out-of-fold scores; four folds of whole pages; page-bootstrap 95 % intervals",
        "thresholds": thresholds,
        "all_pages": interval(scores, bona_fide, pages),
        "cllr_bit_llr_fitted_on_the_same_scores": interval(
            np.asarray(clip.apply(scores)), bona_fide, pages, cllr
        ),
    }
    results["by_fold"] = {
        str(k): interval(scores[folds == k], bona_fide[folds == k], pages[folds == k]) for k in range(4)
    }
    families = np.array([row.family for row in rows])
    results["by_family_against_all_bona_fide"] = {
        name: interval(scores[chosen], bona_fide[chosen], pages[chosen])
        for name in sorted(set(families) - {"none"})
        for chosen in [bona_fide | (families == name)]
    }
    fresh = unseen(rows, list(read_packages(arguments.corpus / "packages")))
    results["unseen_architecture_and_speaker"] = interval(scores[fresh], bona_fide[fresh], pages[fresh])
    if arguments.aasist:
        with arguments.aasist.open(newline="") as file:
            theirs = {row["id"]: float(row["score"]) for row in csv.DictReader(file)}
        both = np.array([row.id in theirs for row in rows])
        aasist = np.array([theirs.get(row.id, 0.0) for row in rows])
        results["aasist_on_its_files"] = interval(aasist[both], bona_fide[both], pages[both])
        results["ours_on_the_same_files"] = interval(scores[both], bona_fide[both], pages[both])
    across = probe(manifest, rows, folds)
    results["probe_across_pages"] = interval(across, bona_fide, pages)
    shuffled = np.random.default_rng(0).integers(0, 4, len(rows))
    results["probe_random_split"] = interval(probe(manifest, rows, shuffled), bona_fide, pages)
    results["correlation_of_our_scores_with_the_probe"] = round(float(np.corrcoef(scores, across)[0, 1]), 3)

    arguments.results.mkdir(parents=True, exist_ok=True)
    (arguments.results / "quality.json").write_text(json.dumps(results, indent=1) + "\n")
    for name, entry in results.items():
        if isinstance(entry, dict) and "value" in entry:
            print(f"{name:42} {entry['value']:.3f} [{entry['low']:.3f}, {entry['high']:.3f}]")


if __name__ == "__main__":
    main()
