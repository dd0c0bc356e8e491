"""Throughput of torch and ONNX Runtime on a CPU with full-size front ends and random weights.

    python benchmarks/engines.py [--front-ends w2v-small,mms-300m,mms-1b,xls-r-2b] [--seconds 20]

Float32, clips of 4 s one at a time: audio hours an hour, and the share of the peak of one large matrix
product, timed in the same run. Saves `benchmarks/results/engines-cpu.json`. For GPUs: `gpu.py`.
"""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import torch
from gpu import peak, repeat

from earwitness.decision.engines import open_graph
from earwitness.decision.graph import write_graph
from earwitness.decision.network import Blueprint, Network, fold_weight_norms
from earwitness.features.frontends import FRONT_ENDS

RESULTS = Path(__file__).parent / "results"


def measure(name: str, seconds: float, folder: Path) -> dict[str, Any]:
    """One front end with the linear head."""
    costs = json.loads((RESULTS / "detectors.json").read_text())["front_ends"]
    torch.manual_seed(0)
    network = Network(Blueprint("linear", FRONT_ENDS[name].architecture)).eval()
    fold_weight_norms(network)
    clip_s = 4.0
    waveform = torch.randn(1, int(clip_s * 16_000)) * 0.1
    lengths = torch.full((1,), waveform.shape[1])

    def forward() -> None:
        with torch.inference_mode():
            network(waveform, lengths)

    engines = {"torch": repeat(forward, seconds, "cpu")}
    write_graph(network, folder / "model.onnx", 400)
    graph = open_graph(folder / "model.onnx", torch.get_num_threads())
    clip = waveform[0].numpy()
    engines["onnx"] = repeat(lambda: graph([clip]), seconds, "cpu")
    work = costs[name]["gflop_per_s"] * 1e9 * clip_s
    limit = peak("cpu", torch.float32, 3_072)
    return {
        engine: {
            "audio_hours_an_hour": round(clip_s / spent, 2),
            "share_of_peak": round(work / spent / limit, 3),
        }
        for engine, spent in engines.items()
    } | {"peak_tflops": round(limit / 1e12, 3), "clip_s": clip_s, "batch": 1}


def main() -> None:
    """Measure each front end and save."""
    parser = argparse.ArgumentParser(description="Throughput of the engines.")
    parser.add_argument("--front-ends", default="w2v-small,mms-300m")
    parser.add_argument("--seconds", type=float, default=20.0)
    arguments = parser.parse_args()
    found: dict[str, Any] = {"device": f"CPU, {torch.get_num_threads()} threads", "precision": "float32"}
    with tempfile.TemporaryDirectory() as folder:
        for name in arguments.front_ends.split(","):
            found[name] = measure(name, arguments.seconds, Path(folder))
            print(name, json.dumps(found[name]), flush=True)
    (RESULTS / "engines-cpu.json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
