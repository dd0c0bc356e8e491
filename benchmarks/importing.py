"""A full-size detector in the authors' layout, with random weights, through import, export and scoring.

    python benchmarks/importing.py --work FOLDER [--front-end mms-300m]

Writes a checkpoint as AntiDeepfake's authors do (every tensor, those of pre-training too), imports
and exports it with the installed command as whole processes (wall seconds, peak resident memory),
and compares the scores of torch, of the graph, and of padded batches. Saves
`benchmarks/results/importing-<front end>.json`.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from earwitness.decision.detector import load_detector
from earwitness.decision.scoring import score_clips
from earwitness.features.convert import UNUSED, to_authors
from earwitness.features.frontends import FRONT_ENDS, Architecture, make_body

RESULTS = Path(__file__).parent / "results"


def authors_state(architecture: Architecture) -> dict[str, torch.Tensor]:
    """A detector with random weights by the authors' names, complete."""
    torch.manual_seed(0)
    body = make_body(architecture)
    state = {to_authors(name, architecture): tensor for name, tensor in body.state_dict().items()}
    with torch.no_grad():  # so that the layers do something
        for tensor in state.values():
            tensor.add_(torch.randn_like(tensor) * 0.02)
    width, final = architecture.width, {768: 256, 1024: 768}.get(architecture.width, 1024)
    sizes = {
        "quantizer.vars": (1, 640, final // 2),
        "quantizer.weight_proj.weight": (640, 512),
        "quantizer.weight_proj.bias": (640,),
        "project_q.weight": (final, final),
        "project_q.bias": (final,),
        "label_embs_concat": (504, final),
        "final_proj.weight": (final, width),
        "final_proj.bias": (final,),
    }
    unused = ("mask_emb", *UNUSED[architecture.family])
    state |= {name: torch.randn(sizes.get(name, (width,))) for name in unused}
    detector = {f"m_ssl.model.{name}": tensor for name, tensor in state.items()}
    return detector | {"proj_fc.weight": torch.randn(2, width) * 0.1, "proj_fc.bias": torch.randn(2)}


def run(*arguments: str) -> dict[str, float]:
    """Wall seconds and peak resident gigabytes of one `earwitness` process."""
    started = time.monotonic()
    code = (
        "import resource, subprocess, sys;"
        "code = subprocess.call(sys.argv[1:], stdout=2);"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss); sys.exit(code)"
    )
    command = [sys.executable, "-c", code, sys.executable, "-m", "earwitness.cli", *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return {"seconds": round(time.monotonic() - started, 1), "peak_gb": round(int(done.stdout) / 1e6, 2)}


def agreement(name: str) -> dict[str, float]:
    """Greatest differences of the score between engines, alone and in padded batches."""
    rng = np.random.default_rng(0)
    clips = [rng.normal(0, 0.1, size).astype(np.float32) for size in (64_600, 60_001, 56_789, 16_000)]
    by_torch, by_graph = (load_detector(name, 2, engine) for engine in ("torch", "onnx"))
    alone = np.array([score_clips(by_torch, [clip])[0].score for clip in clips])
    together = np.array([scored.score for scored in score_clips(by_torch, clips)])
    graph = np.array([score_clips(by_graph, [clip])[0].score for clip in clips])
    graph_batch = np.array([scored.score for scored in score_clips(by_graph, clips)])
    return {
        "scores_deviate_by": float(alone.std()),
        "torch_batch": float(np.abs(together - alone).max()),
        "graph_alone": float(np.abs(graph - alone).max()),
        "graph_batch": float(np.abs(graph_batch - alone).max()),
    }


def main() -> None:
    """Make, import, export, compare."""
    parser = argparse.ArgumentParser(description="Import a full-size detector with random weights.")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--front-end", default="mms-300m", choices=list(FRONT_ENDS))
    arguments = parser.parse_args()
    home = arguments.work / "models"
    os.environ["EARWITNESS_MODELS"] = str(home)
    shutil.rmtree(home, ignore_errors=True)
    arguments.work.mkdir(parents=True, exist_ok=True)
    file = arguments.work / "detector.ckpt"
    state = authors_state(FRONT_ENDS[arguments.front_end].architecture)
    torch.save(state, file)
    found: dict[str, Any] = {
        "front_end": arguments.front_end,
        "tensors": len(state),
        "parameters": sum(tensor.numel() for tensor in state.values()),
    }
    del state
    found["import"] = run("models", "import", str(file), "--name", "full")
    found["export"] = run("models", "export", "full")
    found["greatest_difference_nats"] = agreement("full")
    found["processors"] = os.cpu_count()
    found["peak_gb_of_this_process"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 2)
    (RESULTS / f"importing-{arguments.front_end}.json").write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
