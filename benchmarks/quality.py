r"""Quality of the embedded model's recipe on pages it never saw, beside what others and shortcuts give.

    python benchmarks/quality.py --corpus CORPUS --cache CACHE --runs RUNS --conditions CONDITIONS \
        --aasist scores.csv

Reads the out-of-fold scores that `earwitness.training.export` left under RUNS (each page scored by the
run that held it out), the statistics in CACHE and what `conditions.py` left in CONDITIONS; writes
`benchmarks/results/quality.json`.
Every interval is a 95 % one from a bootstrap over pages. Calibration and thresholds of each fold are those
of the other three.
"""

import argparse
import csv
import json
from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from conditions import CONDITIONS, file_name, some_of

from earwitness.audio.corpora.layout import rows_of
from earwitness.audio.corpora.packages import read as read_packages
from earwitness.audio.io import load
from earwitness.audio.protocol import Utterance
from earwitness.audio.quality import QualityMeter, refuse
from earwitness.decision.calibration import posterior_of_fake
from earwitness.metrics.detection import eer
from earwitness.metrics.intervals import grouped_bootstrap
from earwitness.operations.shortcuts import out_of_fold
from earwitness.training.cached import read_cache
from earwitness.training.embedded import FOLDS
from earwitness.training.export import (
    OutOfFold,
    calibrate,
    measure,
    open_run,
    read_out_of_fold,
    score_statistics,
    transfer,
)

NUMBERS = (
    "rms_dbfs peak lead_silence_s trail_silence_s noise_floor_db digital_zero_frac bandwidth_hz "
    "original_sample_rate channels"
).split()
LEVELS = ("20 dB quieter", "20 dB louder, clipped")
DURATIONS_S = (0.0, 2.0, 4.0, 8.0, 1e9)
LEAST = 5  # recordings of what stands in a table by itself


def entry(metric: Any, scores: np.ndarray, chosen: np.ndarray, found: OutOfFold) -> dict[str, Any]:
    """A metric of the chosen rows with its interval over pages, and their counts."""
    bona_fide, pages = found.bona_fide[chosen], found.pages[chosen]
    value, low, high = grouped_bootstrap(metric, scores[chosen], bona_fide, pages)
    return {
        "value": round(value, 4),
        "low": round(low, 4),
        "high": round(high, 4),
        "bona_fide": int(bona_fide.sum()),
        "spoof": int((~bona_fide).sum()),
        "pages": len(set(pages)),
    }


def described(scores: np.ndarray, chosen: np.ndarray, found: OutOfFold) -> dict[str, Any]:
    """EER of the chosen rows."""
    return entry(eer, scores, chosen, found)


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


def score_folds(runs: Path, kind: str, rows: Sequence[Utterance], statistics: np.ndarray) -> np.ndarray:
    """Scores (rows,) of statistics (rows, features), each row by the run `kind`-K of its fold."""
    scores = np.zeros(len(rows))
    for fold in FOLDS:
        here = np.array([row.fold == fold for row in rows])
        scores[here] = score_statistics(open_run(runs / f"{kind}-{fold}"), statistics[here])
    return scores


def under_conditions(given: argparse.Namespace, found: OutOfFold) -> dict[str, Any]:
    """EER under each condition and how much it rose; how far a change of level moves an LLR."""
    clip, _, _ = calibrate(found)
    rows = some_of(given.corpus)
    tables = {name: np.load(given.conditions / file_name(name)) for name in CONDITIONS}
    scores = {name: score_folds(given.runs, "fold", rows, table) for name, table in tables.items()}
    found = OutOfFold(rows, scores["clean"], np.array([row.bona_fide for row in rows]), [])
    every = np.ones(len(rows), bool)
    index = np.arange(len(rows)).astype(float)  # so that one bootstrap draws pairs
    result: dict[str, Any] = {}
    for name, values in scores.items():

        def rise(real: np.ndarray, fake: np.ndarray, values: np.ndarray = values) -> float:
            drawn = [part.astype(int) for part in (real, fake)]
            ours, clean = ([table[part] for part in drawn] for table in (values, scores["clean"]))
            return eer(*ours) - eer(*clean)

        result[name] = described(values, every, found)
        if name != "clean":
            result[name]["rise"] = entry(rise, index, every, found)
        if name in LEVELS:
            moved = np.abs(clip.apply(values) - clip.apply(scores["clean"]))
            result[name]["llr_moved"] = {
                "mean": round(float(moved.mean()), 4),
                "quantile_95": round(float(np.quantile(moved, 0.95)), 4),
            }
    return result


def decided(names: Sequence[str], verdicts: np.ndarray, found: OutOfFold) -> dict[str, Any]:
    """For each name (rows,): recordings, answers among them, wrong ones among those, false alarms."""
    table = {}
    for name in sorted(set(names)):
        here = np.array(names) == name
        if here.sum() >= LEAST:
            answered = here & (verdicts != "uncertain")
            wrong = answered & (np.where(found.bona_fide, "genuine", "fake") != verdicts)
            table[name] = {
                "bona_fide": int((here & found.bona_fide).sum()),
                "spoof": int((here & ~found.bona_fide).sum()),
                "answered": round(float(answered.sum() / here.sum()), 3),
                "wrong_among_answers": round(float(wrong.sum() / max(1, answered.sum())), 3),
                "genuine_called_fake": int((wrong & found.bona_fide).sum()),
                "fake_called_genuine": int((wrong & ~found.bona_fide).sum()),
            }
    return table


def by_generator(scores: np.ndarray, verdicts: np.ndarray, found: OutOfFold) -> list[dict[str, Any]]:
    """Architectures, worst first: EER against all bona fide recordings, and the answers they get."""
    members = defaultdict(list)
    for i, row in enumerate(found.rows):
        if not row.bona_fide:
            members[row.family, row.architecture].append(i)
    table = [
        {
            "architecture": name,
            "family": family,
            "recordings": len(rows),
            "eer": round(eer(scores[found.bona_fide], scores[rows]), 4),
            "called_fake": round(float((verdicts[rows] == "fake").mean()), 3),
            "called_genuine": round(float((verdicts[rows] == "genuine").mean()), 3),
        }
        for (family, name), rows in members.items()
    ]
    return sorted(table, key=lambda line: (-line["eer"], line["architecture"]))


def prompts(runs: Path, folder: Path, found: OutOfFold) -> dict[str, Any]:
    """Answers to genuine telephone prompts at 8 kHz, by the run that saw none."""
    clip, _, thresholds = calibrate(found)
    scores = score_statistics(open_run(runs / "no-prompts"), np.load(folder / "prompts.npy"))
    p_fake = np.asarray(posterior_of_fake(clip.apply(scores), 0.5))
    return {
        "recordings": len(scores),
        "called_fake": round(float((p_fake >= thresholds["fake"]).mean()), 4),
        "called_genuine": round(float((p_fake <= thresholds["genuine"]).mean()), 4),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Quality of the embedded recipe on unseen pages.")
    for name in ("corpus", "cache", "runs", "conditions"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--aasist", type=Path, help="CSV of id,score")
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results")
    arguments = parser.parse_args()

    found = read_out_of_fold(arguments.corpus, arguments.runs)
    rows, scores, every = found.rows, found.scores, np.ones(len(found.rows), bool)
    manifest = {row["id"]: row for row in rows_of(arguments.corpus / "demos" / "manifest.csv", ["id"])}
    folds, families = (np.array([getattr(row, key) for row in rows]) for key in ("fold", "family"))
    _, verdicts = transfer(found)
    results: dict[str, Any] = {
        "what": "EER of out-of-fold scores; four folds of whole pages; page-bootstrap 95 % intervals",
        "all_pages": described(scores, every, found),
        "transferred": measure(found),
        "by_fold": {str(k): described(scores, folds == k, found) for k in range(4)},
        "by_family_against_all_bona_fide": {
            name: described(scores, found.bona_fide | (families == name), found)
            for name in sorted(set(families) - {"-"})
        },
        "past_the_gate": described(scores, past_the_gate(rows), found),
    }
    fresh = unseen(rows, list(read_packages(arguments.corpus / "packages")))
    results["unseen_architecture_and_speaker"] = described(scores, fresh, found)
    cached, statistics = read_cache([arguments.cache / "demos"])
    place = {row.id: i for i, row in enumerate(cached)}
    statistics = statistics[0][[place[row.id] for row in rows]]
    new = score_folds(arguments.runs, "fresh", rows, statistics)
    results["generators_and_speakers_left_out"] = described(new, every, found)
    others = OutOfFold(rows, new, found.bona_fide, found.steps)
    results["generators_left_out_worst_first"] = by_generator(new, transfer(others)[1], found)
    results["under_conditions"] = under_conditions(arguments, found)
    results["telephone_prompts_at_8_khz"] = prompts(arguments.runs, arguments.conditions, found)
    answers = {
        "page": [row.group for row in rows],
        "source_corpus": [manifest[row.id]["source_corpus"] or "-" for row in rows],
        "language": [row.language for row in rows],
        "family": [row.family if not row.bona_fide else "bona fide" for row in rows],
        "duration_s": [
            f"{low:g} to {high:g}" if high < 1e9 else f"over {low:g}"
            for row in rows
            for low, high in pairwise(DURATIONS_S)
            if low <= (row.duration_s or 0) < high
        ],
    }
    results["answers_by"] = {key: decided(names, verdicts, found) for key, names in answers.items()}
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
    shown = [*results.items(), *results["transferred"].items(), *results["under_conditions"].items()]
    for name, line in shown:
        if isinstance(line, dict) and "value" in line:
            print(f"{name:42} {line['value']:.3f} [{line['low']:.3f}, {line['high']:.3f}]")


if __name__ == "__main__":
    main()
