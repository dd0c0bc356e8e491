"""Throughput of the torch and ONNX engines with full-size front ends and random weights.

    python benchmarks/engines.py [--front-ends w2v-small,mms-300m,mms-1b,xls-r-2b] [--seconds 20]

On a GPU: bfloat16, batches of equal 10 s clips, audio hours an hour and the share of the GPU's
bfloat16 peak, which is measured first with one large matrix product. On a CPU: float32 in torch and
in ONNX Runtime, clips of 4 s one at a time. Saves `benchmarks/results/engines-<device>.json`.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from earwitness.decision.engines import open_graph
from earwitness.decision.graph import write_graph
from earwitness.decision.network import Blueprint, Network, fold_weight_norms
from earwitness.features.frontends import FRONT_ENDS

RESULTS = Path(__file__).parent / "results"


def peak(device: str, kind: torch.dtype) -> float:
    """Operations a second of a large matrix product, the best of a few."""
    size = 8_192 if device == "cuda" else 3_072
    left, right = (torch.randn(size, size, device=device, dtype=kind) for _ in range(2))
    best = 0.0
    for _ in range(8):
        started = clock(device)
        torch.mm(left, right)
        best = max(best, 2 * size**3 / (clock(device) - started))
    return best


def clock(device: str) -> float:
    """The time when everything asked of the device is done."""
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def repeat(work: Any, seconds: float, device: str) -> float:
    """Median seconds of one call."""
    work()
    spent: list[float] = []
    while sum(spent) < seconds or len(spent) < 3:
        started = clock(device)
        work()
        spent.append(clock(device) - started)
    return float(np.median(spent))


def measure(name: str, seconds: float, device: str, folder: Path) -> dict[str, Any]:
    """One front end with the linear head."""
    costs = json.loads((RESULTS / "detectors.json").read_text())["front_ends"]
    torch.manual_seed(0)
    network = Network(Blueprint("linear", FRONT_ENDS[name].architecture)).eval()
    fold_weight_norms(network)
    clip_s, batch = (10.0, 64) if device == "cuda" else (4.0, 1)
    network = network.to(device)
    waveform = torch.randn(batch, int(clip_s * 16_000), device=device) * 0.1
    lengths = torch.full((batch,), waveform.shape[1], device=device)

    def forward() -> None:
        with torch.inference_mode(), torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
            network(waveform, lengths)

    engines = {"torch": repeat(forward, seconds, device)}
    if device == "cpu":
        write_graph(network, folder / "model.onnx", 400)
        graph = open_graph(folder / "model.onnx", torch.get_num_threads())
        clip = waveform[0].numpy()
        engines["onnx"] = repeat(lambda: graph([clip]), seconds, device)
    work = costs[name]["gflop_per_s"] * 1e9 * clip_s * batch
    limit = peak(device, torch.bfloat16 if device == "cuda" else torch.float32)
    return {
        engine: {
            "audio_hours_an_hour": round(clip_s * batch / spent, 2),
            "share_of_peak": round(work / spent / limit, 3),
        }
        for engine, spent in engines.items()
    } | {"peak_tflops": round(limit / 1e12, 3), "clip_s": clip_s, "batch": batch}


def main() -> None:
    """Measure each front end and save."""
    parser = argparse.ArgumentParser(description="Throughput of the engines.")
    parser.add_argument("--front-ends", default="w2v-small,mms-300m")
    parser.add_argument("--seconds", type=float, default=20.0)
    arguments = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    found: dict[str, Any] = {
        "device": torch.cuda.get_device_name()
        if device == "cuda"
        else f"CPU, {torch.get_num_threads()} threads",
        "precision": "bfloat16" if device == "cuda" else "float32",
    }
    with tempfile.TemporaryDirectory() as folder:
        for name in arguments.front_ends.split(","):
            found[name] = measure(name, arguments.seconds, device, Path(folder))
            print(name, json.dumps(found[name]), flush=True)
    (RESULTS / f"engines-{device}.json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
