"""Kill a training run at random moments and see whether it ends with the same bits.

A front end of two layers is post-trained on a miniature corpus, once in one go and once killed with
SIGKILL at random moments and started again; then with two processes, copied (DDP) and sharded (FSDP).

    python benchmarks/resume.py [--kills 10]

Writes `benchmarks/results/resume.json`.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from miniature import make_bundle, make_corpus  # noqa: E402

OPTIONS = (
    "--steps 60 --batch-s 16 --crop-s 1 1.5 --learning-rate 1e-3 --validate-every 20 --save-every 3 "
    "--moving-average 0.9 --keep-best 2 --augment rawboost:5:0.5,codecs:0.5 --workers 1"
).split()


ALONE = ["-m", "earwitness.cli"]
TWO = "-m torch.distributed.run --nproc-per-node 2 --standalone -m earwitness.cli".split()


def command(folder: Path, out: str, launcher: Sequence[str], extra: Sequence[str]) -> list[str]:
    """The command of a run."""
    given = ["train", "post", folder / "corpus" / "protocol.csv", "--from", folder / "tiny"]
    return [sys.executable, *launcher, *map(str, given), *OPTIONS, *extra, "--out", str(folder / out)]


def train(folder: Path, out: str, launcher: Sequence[str], extra: Sequence[str]) -> None:
    """A run to its end."""
    done = subprocess.run(command(folder, out, launcher, extra), capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)


def train_killed(folder: Path, kills: int, whole_s: float) -> dict[str, list[float]]:
    """Runs killed at random moments until they end; when each was killed, in seconds since it was started."""
    rng, runs = np.random.default_rng(0), {}
    while sum(map(len, runs.values())) < kills:
        out = f"killed-{len(runs) + 1}"
        runs[out] = []
        while True:
            process = subprocess.Popen(
                command(folder, out, ALONE, []), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
            )
            moment = float(rng.uniform(0.1, 0.9 * whole_s))
            try:
                process.wait(moment)
                break
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                runs[out].append(round(moment, 2))
        train(folder, out, ALONE, [])
    return runs


def difference(one: Path, other: Path) -> float:
    """The largest difference between the weights of two runs."""
    a, b = (load_file(run / "bundle" / "model.safetensors") for run in (one, other))
    return max(float((a[name].double() - b[name].double()).abs().max()) for name in a)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--kills", type=int, default=10)
    kills = parser.parse_args().kills
    os.environ["OMP_NUM_THREADS"] = "1"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_corpus(folder / "corpus")
        make_bundle(folder / "tiny")
        started = time.monotonic()
        train(folder, "whole", ALONE, [])
        moments = train_killed(folder, kills, time.monotonic() - started)
        train(folder, "ddp", TWO, [])
        train(folder, "fsdp", TWO, ["--shard"])
        whole = load_file(folder / "whole" / "bundle" / "model.safetensors")
        killed = [load_file(folder / out / "bundle" / "model.safetensors") for out in moments]
        result = {
            "steps": 60,
            "killed_after_s": moments,
            "bit_equal": all(torch.equal(whole[name], run[name]) for run in killed for name in whole),
            "largest_difference": {
                "killed": max(difference(folder / "whole", folder / out) for out in moments),
                "two_processes": difference(folder / "whole", folder / "ddp"),
                "two_processes_sharded": difference(folder / "whole", folder / "fsdp"),
            },
        }
    text = json.dumps(result, indent=1)
    (ROOT / "benchmarks" / "results" / "resume.json").write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
