"""Turn the bundles of `training/embedded.py` into the one that ships.

Calibration and thresholds come from out-of-fold scores: each recording of the sample pages is scored, as
`earwitness scan` would, by a network that never saw its page. Thresholds lie where of the recordings
that get an answer at most `ERROR_SHARE` get a wrong one, as many on either side; whatever lies between them
is `uncertain`. Weights are kept in half precision and worked on in single precision.

    python -m earwitness.training.export --corpus CORPUS --runs RUNS --bundle src/earwitness/models/embedded
"""

import argparse
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
from earwitness.decision.bundle import GRAPH, WEIGHTS, file_digest, read_card, write_card
from earwitness.decision.calibration import Calibration, fit_affine, posterior_of_fake
from earwitness.decision.graph import write_graph
from earwitness.decision.heads.pooled import BOUND
from earwitness.decision.network import Network, frame_grid, load_network, read_blueprint
from earwitness.metrics.detection import cllr, eer, min_cllr
from earwitness.metrics.intervals import Metric, grouped_bootstrap
from earwitness.training.cached import piece_of
from earwitness.training.embedded import FOLDS, blueprint

TIMELINE_S = 0.5
WINDOWING = Windowing(whole_s=30.0, window_s=12.0, hop_s=11.0)  # a frame score looks half a second ahead
MIN_SAMPLES = 8_000
ERROR_SHARE = 0.04  # of the recordings that get an answer, out of fold; 0.05 is what is promised elsewhere
HALVED = 1_024  # tensors of more elements may be kept in half precision


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


def open_run(folder: Path) -> Network:
    """The network of a run."""
    card = read_card(folder)
    return load_network(read_blueprint(card, folder / "model.json"), folder / WEIGHTS)


def score_folds(corpus: Path, runs: Path) -> None:
    """Score the pages of each fold by the run that never saw them, into `runs/fold-K.npz`; once."""
    torch.set_num_threads(1)
    rows = list(read_demos(corpus / "demos"))
    for fold in FOLDS:
        target = runs / f"fold-{fold}.npz"
        if not target.exists():
            network = open_run(runs / f"fold-{fold}")
            np.savez_compressed(target, **score_rows(network, [row for row in rows if row.fold == fold]))


def score_rows(network: Network, rows: list[Utterance]) -> dict[str, Any]:
    """Clip scores (rows,), and frame scores of all rows one after the other with their counts (rows,)."""
    scores, frames = [], []
    for row in rows:
        wave = torch.from_numpy(piece_of(row, 0))[None]
        with torch.inference_mode():
            score, frame_scores, _ = network(wave, torch.tensor([wave.shape[1]]))
        scores.append(float(score[0]))
        frames.append(frame_scores[0].numpy().astype(np.float32))
    return {
        "id": np.array([row.id for row in rows]),
        "score": np.array(scores),
        "frames": np.concatenate(frames),
        "frame_counts": np.array([len(part) for part in frames]),
    }


def score_statistics(network: Network, statistics: np.ndarray) -> np.ndarray:
    """Scores (rows,) of what the head of a run reads, (rows, features), as `training/cached.py` keeps it."""
    head: Any = network.head
    scores = []
    with torch.inference_mode():
        for part in np.array_split(statistics, max(1, len(statistics) // 1_000)):
            rows = head.standardise(torch.from_numpy(part.astype(np.float32))).clamp(-BOUND, BOUND)
            logits = head.classify(head.embed(rows))
            scores.append((logits[:, 1] - logits[:, 0]).numpy())
    return np.concatenate(scores)


def read_out_of_fold(corpus: Path, runs: Path) -> OutOfFold:
    """Join `runs/fold-K.npz` with the rows of the demo pages; tones, which old runs scored, are left out."""
    rows = {row.id: row for row in read_demos(corpus / "demos")}
    ids, scores, steps = [], [], []
    grid = frame_grid(blueprint(1))
    assert grid is not None
    for fold in FOLDS:
        with np.load(runs / f"fold-{fold}.npz") as saved:
            ids += list(saved["id"])
            scores.append(saved["score"])
            per_row = np.split(saved["frames"], np.cumsum(saved["frame_counts"])[:-1])
        for frames in per_row:
            step = (grid.middles(len(frames)) / SAMPLE_RATE / TIMELINE_S).astype(int)
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
    thresholds = find_thresholds(p_fake[found.bona_fide], p_fake[~found.bona_fide])
    return clip, fit_affine(by_class[0], by_class[1]), thresholds


def find_thresholds(genuine: np.ndarray, fake: np.ndarray) -> dict[str, float]:
    """The least cautious thresholds on P(fake) of either class, (recordings,) each.

    An error rate is given away on either side, as large as it may be so that of the answers at most
    `ERROR_SHARE` are wrong, both classes weighted alike.
    """
    chosen = {"fake": 1.0, "genuine": 0.0}
    for rate in np.arange(0.001, 0.2, 0.001):
        high, low = float(np.quantile(genuine, 1 - rate)), float(np.quantile(fake, rate))
        right = (fake >= high).mean() + (genuine <= low).mean()
        wrong = (genuine >= high).mean() + (fake <= low).mean()
        if high <= low or wrong > ERROR_SHARE * (wrong + right):
            break
        chosen = {"fake": high, "genuine": low}
    return {name: round(value, 4) for name, value in chosen.items()}


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
        "min_cllr_bit": interval(min_cllr, llr, found),
    }
    for verdict in ("fake", "genuine", "uncertain"):
        called = (verdicts == verdict).astype(float)
        figures[f"genuine_recordings_called_{verdict}"] = interval(
            lambda b, _: float(b.mean()), called, found
        )
        figures[f"fake_recordings_called_{verdict}"] = interval(lambda _, s: float(s.mean()), called, found)
    wrong = np.where(found.bona_fide, verdicts == "fake", verdicts == "genuine")
    decided = verdicts != "uncertain"
    figures["answers"] = {
        "share": round(float(decided.mean()), 4),
        "wrong": round(float(wrong[decided].mean()), 4),
    }
    return figures


def interval(metric: Metric, values: np.ndarray, found: OutOfFold) -> dict[str, float]:
    """A metric's value and the ends of its 95 % interval over pages."""
    value, low, high = grouped_bootstrap(metric, values, found.bona_fide, found.pages)
    return {"value": round(value, 4), "low": round(low, 4), "high": round(high, 4)}


def halve(graph: Path) -> None:
    """Keep large weights in half precision where that loses nothing, as it does none of Whisper's; they are
    cast back once, when the graph is opened.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    model = onnx.load(graph)
    casts = []
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if tensor.data_type != TensorProto.FLOAT or values.size <= HALVED:
            continue
        if np.array_equal(values.astype(np.float16).astype(np.float32), values):
            name = tensor.name
            half = numpy_helper.from_array(values.astype(np.float16), f"{name}.half")
            casts.append(helper.make_node("Cast", [half.name], [name], to=TensorProto.FLOAT))
            tensor.CopyFrom(half)
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    onnx.checker.check_model(model)
    onnx.save(model, graph)


def export(corpus: Path, runs: Path, bundle: Path) -> dict[str, Any]:
    """Write `bundle/model.onnx` and `bundle/model.json`; returns the card."""
    score_folds(corpus, runs)
    found = read_out_of_fold(corpus, runs)
    clip, timeline, thresholds = calibrate(found)
    bundle.mkdir(parents=True, exist_ok=True)
    graph = bundle / GRAPH
    network, card = open_run(runs / "all"), read_card(runs / "all")
    write_graph(network, graph, MIN_SAMPLES)
    halve(graph)
    training = card["training"]
    card |= {
        "name": "embedded",
        "version": "2",
        "what": "Whisper tiny's encoder, statistics of its layers and of the spectrum's fine structure.",
        "input": {"sample_rate": 16_000, "min_samples": MIN_SAMPLES, "normalisation": "level, in the graph"},
        "windowing": asdict(WINDOWING),
        "calibration": {
            "clip": asdict(clip),
            "timeline": asdict(timeline),
            "fitted_on": "out-of-fold scores of the sample pages, both classes weighted alike",
        },
        "thresholds": thresholds,
        "thresholds_rule": f"at most {ERROR_SHARE:.0%} of the answers wrong, out of fold",
        "training": training,
        "metrics": {
            "split": "four folds of whole pages; each page scored by a run that never saw it; "
            "calibration and thresholds "
            "transferred from the other folds; 95 % intervals from a bootstrap over pages",
            **measure(found),
        },
        "limits": [
            "It abstains where it is not sure, which is often: see the coverage among the figures.",
            "The figures are those of the recipe, from four runs; the weights that ship are a fifth "
            "run on all pages, which nothing here measures.",
            "Trained mostly on read English; short, acted or foreign speech and telephone channels "
            "are little covered.",
            "Vocoded and codec-resynthesised genuine speech counts as fake.",
            "A timeline shows where the model reacts, not proven edits.",
        ],
        "files": {GRAPH: file_digest(graph)},
    }
    write_card(bundle, card)
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
