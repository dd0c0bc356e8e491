"""How well small networks find what is fake in a recording, with and without frames to learn from.

Networks of `folds.py`, trained on three page folds and judged on the fourth: on genuine clips with spliced
segments of fakes, on splices of one utterance in two versions (no seam of content), and on the 80 edits
of `demos` with known boundaries. Compared: windows of one second, slid over a recording, through a
network that knows utterances only; frame scores taught with whole clips; frame scores taught with
splices.

    python benchmarks/mix_frame.py --corpus CORPUS --work FOLDER --only "no post-training"
    python benchmarks/partial_fakes.py --corpus CORPUS --work FOLDER [--jobs 2]

Writes `benchmarks/results/partial_fakes.json` and the table in `docs/training.md`.
"""

import argparse
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from folds import FOLDS, NETWORK, ROOT, put, train, write_folds
from mix_frame import OPTIONS, STEPS
from mix_frame import run_name as arm_name

from earwitness.audio.corpora.layout import rows_of
from earwitness.audio.io import SAMPLE_RATE, load
from earwitness.audio.protocol import Utterance, read_protocol, write_protocol
from earwitness.audio.rttm import read_rttm
from earwitness.metrics.localisation import range_eer, segment_eer, utterance_eer
from earwitness.metrics.resampling import times_drawn
from earwitness.metrics.spans import Recording, pooled

SEEDS = (1, 2)
TAUGHT = {
    "frames, whole clips only": ["--whole", "1"],
    "frames, splices": ["--whole", "0.5"],
}
WINDOWS = "utterances, windows of 1 s"
WINDOW, HOP = SAMPLE_RATE, 1_600  # samples
METRICS = {
    "segments of 20 ms": lambda pool: segment_eer(pool, 0.02),
    "160 ms": lambda pool: segment_eer(pool, 0.16),
    "640 ms": lambda pool: segment_eer(pool, 0.64),
    "range": range_eer,
    "utterance": lambda pool: utterance_eer(pool, pool.scores),
    "utterance, lowest frame": utterance_eer,
}
SPLICES = {"spliced": [], "aligned": ["--aligned"]}


@dataclass(frozen=True)
class Trial:
    """A recording and the truth about it."""

    item: Utterance
    duration_s: float
    spoof: np.ndarray  # (S, 2)


def run_name(detector: str, seed: int, fold: int) -> str:
    """Folder of a run."""
    if detector == WINDOWS:
        return arm_name("no post-training", seed, fold)
    return f"{'-'.join(detector.replace(',', '').split())}-seed{seed}-fold{fold}"


def make_sets(corpus: Path, work: Path, rows: list[Utterance]) -> dict[str, list[Trial]]:
    """Splices of either kind, and the edits with genuine clips of their pages."""
    write_protocol(rows, work / "demos.csv", corpus)
    (work / "demos.json").write_text(json.dumps({"root": str(corpus)}))
    sets = {}
    for name, more in SPLICES.items():
        out = work / name
        if not (out / "protocol.json").exists():
            given = [
                "corpus",
                "splice",
                work / "demos.csv",
                out,
                "--count",
                400,
                "--whole",
                0.25,
                "--seed",
                1,
            ]
            command = [sys.executable, "-m", "earwitness.cli", *map(str, given), *more]
            subprocess.run(command, check=True)
        truth = read_rttm(out / "reference.rttm")
        sets[name] = [
            trial
            for item in read_protocol(out / "protocol.csv")
            if (trial := spliced_trial(item, truth[item.id])) is not None
        ]
    sets["edits"] = edited(corpus, rows)
    return sets


def spliced_trial(item: Utterance, parts: Any) -> Trial | None:
    """A file of `corpus splice`; None for fakes left whole, of which there is nothing to find."""
    spoof = np.array([(part.start_s, part.end_s) for part in parts if not part.bona_fide]).reshape(-1, 2)
    if all(not part.bona_fide for part in parts):
        return None
    return Trial(item, parts[-1].end_s, spoof)


def edited(corpus: Path, rows: list[Utterance]) -> list[Trial]:
    """The edits whose boundaries are known, and the genuine clips of the same pages."""
    bounds = {
        row["id"]: (float(row["edit_start_s"]), float(row["edit_end_s"]))
        for row in rows_of(corpus / "demos" / "manifest.csv", ["id", "edit_start_s", "edit_end_s"])
        if row["edit_start_s"]
    }
    pages = {row.group for row in rows if row.id in bounds}
    trials = []
    for row in rows:
        if row.group in pages and (row.bona_fide or row.id in bounds):
            duration_s = len(load(row.path)) / SAMPLE_RATE
            spoof = np.array([bounds[row.id]] if row.id in bounds else []).reshape(-1, 2)
            trials.append(Trial(row, duration_s, np.minimum(spoof, duration_s)))
    return trials


def hear(network: Any, audio: np.ndarray, windows: bool) -> tuple[np.ndarray, np.ndarray, float]:
    """Edges (frames + 1,) in seconds, scores (frames,) and the score of the whole."""
    import torch

    from earwitness.decision.logmel_cnn import GRID

    wave = torch.from_numpy(audio)[None]
    score, frames, _ = network(wave, torch.tensor([len(audio)]))
    if not windows:
        count = GRID.count(len(audio))
        return GRID.edges(count, len(audio)), frames[0, :count].numpy(), float(score[0])
    padded = torch.nn.functional.pad(wave, (0, max(0, WINDOW - len(audio))))
    cut = padded[0].unfold(0, WINDOW, HOP)
    scores = torch.cat([network(part, torch.full((len(part),), WINDOW))[0] for part in cut.split(64)])
    middles = (WINDOW / 2 + HOP * np.arange(len(scores))) / SAMPLE_RATE
    inner = (middles[1:] + middles[:-1]) / 2
    return np.concatenate([[0.0], inner, [padded.shape[1] / SAMPLE_RATE]]), scores.numpy(), float(score[0])


def examine(work: Path, detector: str, seed: int, trials: list[Trial]) -> list[Recording]:
    """What the runs of a detector and a seed say of recordings that they never saw."""
    import torch

    from earwitness.decision.network import load_network, read_blueprint

    torch.set_num_threads(1)  # two wait for each other where other jobs run
    found = []
    for fold in FOLDS:
        folder = work / run_name(detector, seed, fold) / "bundle"
        card = json.loads((folder / "model.json").read_text())
        network = load_network(read_blueprint(card, folder), folder / "model.safetensors")
        for trial in (trial for trial in trials if trial.item.fold == fold):
            with torch.no_grad():
                edges, scores, score = hear(network, load(trial.item.path), detector == WINDOWS)
            found.append(Recording(trial.duration_s, trial.spoof, edges, scores, score=score))
    return found


def judge(seeds: list[list[Recording]], groups: np.ndarray, draws: int = 1_000) -> dict[str, dict]:
    """Each metric, the mean over seeds, with its interval over pages, and the draws themselves."""
    pools = [pooled(recordings, groups) for recordings in seeds]
    times = times_drawn(pools[0].units, draws, np.random.default_rng(0))
    found = {}
    for name, metric in METRICS.items():
        measures = [metric(pool) for pool in pools]
        drawn = np.nanmean([measure.of_draws(times) for measure in measures], axis=0)
        low, high = np.nanquantile(drawn, [0.025, 0.975])
        by_seed = [measure.value for measure in measures]
        found[name] = {"eer": float(np.mean(by_seed)), "low": low, "high": high, "by_seed": by_seed}
        found[name]["drawn"] = drawn
    return found


def compare(work: Path, trials: list[Trial]) -> dict:
    """All detectors on one set, and how they differ from sliding windows."""
    trials = sorted(trials, key=lambda trial: trial.item.fold or 0)
    groups = np.array([trial.item.group for trial in trials])
    result: dict = {
        "recordings": len(trials),
        "with_spoof": sum(len(trial.spoof) > 0 for trial in trials),
        "pages": len(set(groups)),
        "spoofed_s": float(sum((trial.spoof[:, 1] - trial.spoof[:, 0]).sum() for trial in trials)),
        "bona_fide_s": float(sum(trial.duration_s for trial in trials)),
        "eer": {},
    }
    result["bona_fide_s"] -= result["spoofed_s"]
    judged = {
        detector: judge([examine(work, detector, seed, trials) for seed in SEEDS], groups)
        for detector in [WINDOWS, *TAUGHT]
    }
    for detector, figures in judged.items():
        for name, figure in figures.items():
            if detector != WINDOWS:
                plain = judged[WINDOWS][name]
                gaps = np.nanquantile(figure["drawn"] - plain["drawn"], [0.025, 0.975])
                figure["against_windows"] = [figure["eer"] - plain["eer"], *gaps]
        result["eer"][detector] = {
            name: {key: value for key, value in figure.items() if key != "drawn"}
            for name, figure in figures.items()
        }
    return result


def table(name: str, result: dict) -> str:
    """One set as Markdown."""
    lines = [f"| {name} | " + " | ".join(METRICS) + " |", "|---|" + "---|" * len(METRICS)]
    for detector, figures in result["eer"].items():
        cells = []
        for figure in figures.values():
            cell = f"{100 * figure['eer']:.1f} [{100 * figure['low']:.1f}, {100 * figure['high']:.1f}]"
            if "against_windows" in figure:
                gap, low, high = (100 * value for value in figure["against_windows"])
                cell += f" ({gap:+.1f} [{low:+.1f}, {high:+.1f}])"
            cells.append(cell)
        lines.append(f"| {detector} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--jobs", type=int, default=2)
    arguments = parser.parse_args()
    corpus, work = arguments.corpus.resolve(), arguments.work
    rows, _ = write_folds(corpus, work)

    def run(plan: tuple[str, int, int]) -> None:
        detector, seed, fold = plan
        given = [*NETWORK, *OPTIONS, "--mode", "full", "--label", "spoof", "--utterance", "1"]
        given += [*TAUGHT[detector], "--steps", str(STEPS), "--learning-rate", "2e-3", "--seed", str(seed)]
        train(work / run_name(*plan), "mix-frame", str(work / f"fold-{fold}.csv"), *given)

    with ThreadPoolExecutor(arguments.jobs) as pool:
        list(pool.map(run, [(name, seed, fold) for seed in SEEDS for name in TAUGHT for fold in FOLDS]))
    sets = make_sets(corpus, work, rows)
    result = {"seeds": len(SEEDS), **{name: compare(work, trials) for name, trials in sets.items()}}
    text = "\n\n".join(table(name, result[name]) for name in sets)
    place = ROOT / "benchmarks" / "results" / "partial_fakes.json"
    place.write_text(json.dumps(result, indent=1, default=float) + "\n")
    put(ROOT / "docs" / "training.md", "partial_fakes", text)
    print(text)


if __name__ == "__main__":
    main()
