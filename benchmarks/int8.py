"""The embedded model's graph with 8-bit products beside the one that ships: what it saves and what it costs.

    python benchmarks/int8.py --corpus CORPUS --runs RUNS

Scores every recording of the sample pages by the graph of the run that held its page out, in single precision
and in 8 bits, one clip at a time on one thread; writes `benchmarks/results/int8.json`: EER of either and the
difference with a 95 % interval from a bootstrap over pages, how far scores move, and audio seconds a CPU
second of the graph alone.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np

from earwitness.audio.corpora import demos
from earwitness.decision.engines import open_graph
from earwitness.decision.graph import quantise, write_graph
from earwitness.metrics.detection import eer
from earwitness.metrics.intervals import grouped_bootstrap
from earwitness.training.cached import piece_of
from earwitness.training.embedded import FOLDS
from earwitness.training.export import MIN_SAMPLES, open_run

RESULTS = Path(__file__).parent / "results"
ENGINES = ("fp32", "int8")


def main() -> None:
    parser = argparse.ArgumentParser(description="8-bit products against single precision.")
    for name in ("corpus", "runs"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    given = parser.parse_args()
    rows = [row for row in demos.read(given.corpus / "demos") if row.fold is not None]
    scores, spent, audio_s = np.zeros((2, len(rows))), np.zeros(2), 0.0
    with tempfile.TemporaryDirectory() as folder:
        for fold in FOLDS:
            paths = [Path(folder) / f"{engine}-{fold}.onnx" for engine in ENGINES]
            write_graph(open_run(given.runs / f"fold-{fold}"), paths[0], MIN_SAMPLES)
            quantise(*paths)
            graphs = [open_graph(path) for path in paths]
            for i in [i for i, row in enumerate(rows) if row.fold == fold]:
                clip = piece_of(rows[i], 0)
                audio_s += len(clip) / 16_000
                for engine, run in enumerate(graphs):
                    started = time.process_time()
                    scores[engine, i] = run([clip]).score[0]
                    spent[engine] += time.process_time() - started
            print(f"fold {fold} done", flush=True)
    bona_fide, pages = np.array([row.bona_fide for row in rows]), np.array([row.group for row in rows])
    found = {
        name: dict(
            zip(
                ("value", "low", "high"),
                np.round(grouped_bootstrap(eer, scores[i], bona_fide, pages), 4),
                strict=True,
            ),
            times_real_time_per_cpu_second=round(audio_s / spent[i], 1),
        )
        for i, name in enumerate(ENGINES)
    }
    paired = grouped_bootstrap(
        lambda b, s: eer(b[:, 1], s[:, 1]) - eer(b[:, 0], s[:, 0]), scores.T, bona_fide, pages
    )
    moved = np.abs(scores[1] - scores[0])
    found["int8_minus_fp32"] = dict(zip(("value", "low", "high"), np.round(paired, 4), strict=True))
    found["score_moved"] = {
        "mean": round(float(moved.mean()), 4),
        "quantile_95": round(float(np.quantile(moved, 0.95)), 4),
    }
    (RESULTS / "int8.json").write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
