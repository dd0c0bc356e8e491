"""Turn the runs of `training/embedded.py` into the bundle that ships.

Calibration and thresholds come from the out-of-fold scores of the four page-fold runs: each
recording is scored by a network that never saw its page. The thresholds are set so that about
one genuine recording in ten would be called fake and one fake in ten genuine; whatever lies
between is `uncertain`.

    python -m earwitness.training.export --corpus CORPUS --runs RUNS --bundle src/earwitness/models/embedded
"""

import argparse
import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from earwitness.audio.corpora.demos import TONES
from earwitness.audio.corpora.demos import read as read_demos
from earwitness.audio.frames import SAMPLE_RATE, Windowing
from earwitness.audio.protocol import Utterance
from earwitness.decision.calibration import Calibration, fit_affine, posterior_of_fake
from earwitness.decision.graph import write_graph
from earwitness.decision.logmel_cnn import GRID, LogMelCnn
from earwitness.metrics.detection import cllr, eer
from earwitness.metrics.intervals import Metric, grouped_bootstrap

TIMELINE_S = 0.5
MIN_SAMPLES = 8_000
ERROR_RATE = 0.10  # of either kind at the thresholds, on out-of-fold scores


@dataclass(frozen=True)
class OutOfFold:
    """Scores of the demo pages, each by the run that held its page out."""

    rows: list[Utterance]
    scores: np.ndarray  # (rows,)
    bona_fide: np.ndarray  # (rows,) bool
    steps: list[np.ndarray]  # mean frame scores of each `TIMELINE_S`, per row

    @property
    def pages(self) -> np.ndarray:
        """Page of each row, (rows,)."""
        return np.array([row.group for row in self.rows])


def read_out_of_fold(corpus: Path, runs: Path) -> OutOfFold:
    """Join `runs/fold-K.npz` with the rows of the demo pages; tones, which old runs scored, are left out."""
    rows = {row.id: row for row in read_demos(corpus / "demos")}
    ids, scores, steps = [], [], []
    for fold in range(4):
        with np.load(runs / f"fold-{fold}.npz") as saved:
            ids += list(saved["id"])
            scores.append(saved["score"])
            per_row = np.split(saved["frames"], np.cumsum(saved["frame_counts"])[:-1])
        for frames in per_row:
            step = (GRID.middles(len(frames)) / SAMPLE_RATE / TIMELINE_S).astype(int)
            steps.append(np.bincount(step, frames) / np.maximum(np.bincount(step), 1))
    kept = [i for i, key in enumerate(ids) if key not in TONES]
    ordered = [rows[ids[i]] for i in kept]
    bona_fide = np.array([row.bona_fide for row in ordered])
    return OutOfFold(ordered, np.concatenate(scores)[kept], bona_fide, [steps[i] for i in kept])


def calibrate(found: OutOfFold) -> tuple[Calibration, Calibration, dict[str, float]]:
    """Clip calibration, timeline calibration, and thresholds on P(fake) at a prior of one half."""
    clip = fit_affine(found.scores[found.bona_fide], found.scores[~found.bona_fide])
    by_class = [
        np.concatenate([s for s, label in zip(found.steps, found.bona_fide, strict=True) if label == wanted])
        for wanted in (True, False)
    ]
    p_fake = np.asarray(posterior_of_fake(clip.apply(found.scores), 0.5))
    thresholds = {
        "fake": round(float(np.quantile(p_fake[found.bona_fide], 1 - ERROR_RATE)), 3),
        "genuine": round(float(np.quantile(p_fake[~found.bona_fide], ERROR_RATE)), 3),
    }
    return clip, fit_affine(by_class[0], by_class[1]), thresholds


def transfer(found: OutOfFold) -> tuple[np.ndarray, np.ndarray]:
    """LLRs (rows,) and verdicts (rows,) as a user gets them: the calibration and the thresholds
    applied to a page fold were fitted on the other three.
    """
    folds = np.array([row.fold for row in found.rows])
    llr, verdicts = np.zeros(len(folds)), np.full(len(folds), "uncertain")
    for fold in np.unique(folds):
        others, here = np.flatnonzero(folds != fold), folds == fold
        rest = OutOfFold(
            [found.rows[i] for i in others],
            found.scores[others],
            found.bona_fide[others],
            [found.steps[i] for i in others],
        )
        clip, _, thresholds = calibrate(rest)
        llr[here] = clip.apply(found.scores[here])
        p_fake = np.asarray(posterior_of_fake(llr[here], 0.5))
        verdicts[np.flatnonzero(here)[p_fake >= thresholds["fake"]]] = "fake"
        verdicts[np.flatnonzero(here)[p_fake <= thresholds["genuine"]]] = "genuine"
    return llr, verdicts


def measure(found: OutOfFold) -> dict[str, Any]:
    """The card's figures, with intervals from a bootstrap over pages."""
    llr, verdicts = transfer(found)
    figures: dict[str, Any] = {
        "eer": interval(eer, found.scores, found),
        "cllr_bit": interval(cllr, llr, found),
    }
    for verdict in ("fake", "genuine", "uncertain"):
        called = (verdicts == verdict).astype(float)
        figures[f"genuine_recordings_called_{verdict}"] = interval(
            lambda b, _: float(b.mean()), called, found
        )
        figures[f"fake_recordings_called_{verdict}"] = interval(lambda _, s: float(s.mean()), called, found)
    return figures


def interval(metric: Metric, values: np.ndarray, found: OutOfFold) -> dict[str, float]:
    """A metric's value and the ends of its 95 % interval over pages."""
    value, low, high = grouped_bootstrap(metric, values, found.bona_fide, found.pages)
    return {"value": round(value, 4), "low": round(low, 4), "high": round(high, 4)}


def export(corpus: Path, runs: Path, bundle: Path) -> dict[str, Any]:
    """Write `bundle/model.onnx` and `bundle/model.json`; returns the card."""
    found = read_out_of_fold(corpus, runs)
    clip, timeline, thresholds = calibrate(found)
    bundle.mkdir(parents=True, exist_ok=True)
    graph = bundle / "model.onnx"
    network = LogMelCnn()
    network.load_state_dict(torch.load(runs / "all.pt", weights_only=True)["weights"])
    write_graph(network.eval(), graph, MIN_SAMPLES)
    options = torch.load(runs / "all.pt", weights_only=True)["options"]
    card = {
        "name": "embedded",
        "version": "1",
        "what": "A small first countermeasure: log-mel frames, strided convolutions, attentive pooling.",
        "parameters": sum(p.numel() for p in LogMelCnn().parameters()),
        "architecture": "earwitness.decision.logmel_cnn.LogMelCnn",
        "licence": "see LICENSE; trained on material listed in NOTICE.md",
        "input": {"sample_rate": 16_000, "min_samples": MIN_SAMPLES, "normalisation": "RMS, in the graph"},
        "output": {
            "score": "logit of bona fide minus logit of spoof: higher is more bona fide",
            "frame_hop_s": GRID.hop_s,
            "frame_length_s": GRID.length_s,
            "frame_middle_s": GRID.middle_s,
            "timeline_s": TIMELINE_S,
        },
        "windowing": asdict(Windowing()),
        "calibration": {
            "clip": asdict(clip),
            "timeline": asdict(timeline),
            "fitted_on": "out-of-fold scores of the demo pages, both classes weighted alike",
        },
        "thresholds": thresholds,
        "thresholds_rule": f"about {ERROR_RATE:.0%} of either class called the other, out of fold",
        "training": {
            "recipe": "earwitness.training.embedded",
            "options": options,
            "data": "1,774 clips of 36 sample pages (156 systems of 2017 to 2024) and 1,951 clips of "
            "recorded prompts and 26 offline engines; 4.1 h in all",
        },
        "metrics": {
            "split": "four folds of whole pages; each page scored by a run that never saw it; "
            "calibration and thresholds "
            "transferred from the other folds; 95 % intervals from a bootstrap over pages",
            **measure(found),
        },
        "limits": [
            "It is weak: on pages it never saw about one call in three is wrong if it must decide; "
            "that is why most answers are 'uncertain'.",
            "The figures are those of the recipe, from four runs; the weights that ship are a fifth "
            "run on all pages, which nothing here measures.",
            "Trained mostly on read English; short, acted or foreign speech and telephone channels "
            "are little covered.",
            "Vocoded and codec-resynthesised genuine speech counts as fake.",
            "A timeline shows where the model reacts, not proven edits.",
        ],
        "files": {"model.onnx": hashlib.sha256(graph.read_bytes()).hexdigest()},
    }
    (bundle / "model.json").write_text(json.dumps(card, indent=1) + "\n")
    return card


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Turn runs into the bundle that ships.")
    for name in ("corpus", "runs", "bundle"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    arguments = parser.parse_args()
    card = export(arguments.corpus, arguments.runs, arguments.bundle)
    print(json.dumps({key: card[key] for key in ("calibration", "thresholds", "metrics")}, indent=1))


if __name__ == "__main__":
    main()
