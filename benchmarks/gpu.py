"""Scoring and training throughput of every front end on one GPU, in bfloat16, with random weights.

    python benchmarks/gpu.py [--front-ends w2v-small,mms-300m,...] [--ways autocast,weights,graph,compile]
    python benchmarks/gpu.py --device cpu --tiny --out FILE      # the logic alone, in seconds

The peak is that of one large bfloat16 matrix product, timed in the same run. A batch is doubled until
it takes 80 % of the memory, in scoring (clips of 10 s) and in training (steps of `train post` on clips of
11.5 s; with activations computed again where a batch of 100 s does not fit otherwise). Scoring is
timed in several ways: weights in float32 under autocast; weights in bfloat16; these captured as a CUDA
graph; compiled. Clips of mixed lengths go through the first of these in batches by length.
Shares of the peak count the work of one forward pass, or three for a step, and nothing computed again.
What cannot be measured is said under `not_measured`. Saves `benchmarks/results/gpu.json`; rows of other
front ends measured there before on the same device stay.
"""

import argparse
import gc
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from detectors import SAMPLES, SECONDS, count
from torch._subclasses.fake_tensor import FakeTensorMode

from earwitness.decision.network import Blueprint, Network, fold_weight_norms
from earwitness.decision.scoring import batches_by_length
from earwitness.features.encoders import FrontEnd
from earwitness.features.frontends import FRONT_ENDS, Architecture
from earwitness.training.clips import Clips
from earwitness.training.loop import make_accelerator, prepare, update
from earwitness.training.options import PostTraining
from earwitness.training.sampling import Packing
from earwitness.training.trainee import Task

RESULTS = Path(__file__).parent / "results"
FULL = 0.8  # share of the memory that a batch may take
SCORED_S, TRAINED_S, RECIPE_S = 10.0, 11.5, 100.0  # clips; the batch of one GPU in the recipe
RATE = 16_000
WAYS = ("autocast", "weights", "graph", "compile")


@dataclass(frozen=True)
class Bench:
    """How to measure."""

    device: str
    seconds: float  # of each timing
    most: int  # clips in a batch
    clip_s: tuple[float, float]  # scored, trained
    ways: tuple[str, ...]
    peak: float  # operations a second


def clock(device: str) -> float:
    """The time when everything asked of the device is done."""
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def repeat(work: Callable[[], Any], seconds: float, device: str) -> float:
    """Median seconds of one call, at least three."""
    work()
    spent: list[float] = []
    while sum(spent) < seconds or len(spent) < 3:
        started = clock(device)
        work()
        spent.append(clock(device) - started)
    return float(np.median(spent))


def peak(device: str, kind: torch.dtype, size: int) -> float:
    """Operations a second of a matrix product of this size, the best of a few."""
    left, right = (torch.randn(size, size, device=device, dtype=kind) for _ in range(2))
    best = 0.0
    for _ in range(8):
        started = clock(device)
        torch.mm(left, right)
        best = max(best, 2 * size**3 / (clock(device) - started))
    return best


def shrunk(architecture: Architecture) -> Architecture:
    """A few thousand parameters of the same family."""
    return replace(architecture, width=64, layers=2, heads=4, ffn=64, conv_width=16, position_groups=4)


def work_of(architecture: Architecture) -> float:
    """Operations a second of audio, counted on networks without memory."""
    with FakeTensorMode(allow_non_fake_inputs=True):
        front_end = FrontEnd(architecture).eval()
        return count(front_end, torch.empty(1, SAMPLES), torch.tensor([SAMPLES])) / SECONDS


def largest(share: Callable[[int], float | None], most: int, first: int = 1) -> int:
    """The largest batch, doubled from `first`, that takes at most `FULL` of the memory; 0: none does.

    `share` runs a batch and says what share of the memory it took, None where that did not suffice.
    """
    batch, found = first, 0
    while batch <= most:
        taken = share(batch)
        if taken is None or taken > FULL:
            break
        found, batch = batch, batch * 2
    return found


def memory_share(work: Callable[[], Any], device: str) -> float | None:
    """What share of the GPU's memory a call takes at its height; None: not enough. 0 on a CPU."""
    if device != "cuda":
        work()
        return 0.0
    forget()
    torch.cuda.reset_peak_memory_stats()
    try:
        work()
        torch.cuda.synchronize()
    except torch.OutOfMemoryError:
        return None
    return torch.cuda.max_memory_reserved() / torch.cuda.get_device_properties(0).total_memory


def forget() -> None:
    """Give back memory that nothing holds."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def peak_mib(device: str) -> int | None:
    """Memory of the GPU at its height since the last reset."""
    return round(torch.cuda.max_memory_reserved() / 2**20) if device == "cuda" else None


def clips_of(batch: int, seconds: float, device: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Noise and lengths."""
    waveform = 0.1 * torch.randn(batch, int(seconds * RATE), device=device)
    return waveform, torch.full((batch,), waveform.shape[1], device=device)


def forward_of(network: Network, way: str, device: str) -> Callable[..., Any]:
    """A forward pass in bfloat16; under autocast also where the front end's weights are in it already."""

    def forward(waveform: torch.Tensor, lengths: torch.Tensor) -> Any:
        with torch.inference_mode(), torch.autocast(device, torch.bfloat16, cache_enabled=way != "graph"):
            return network(waveform, lengths)

    return forward


def captured(
    forward: Callable[..., Any], waveform: torch.Tensor, lengths: torch.Tensor
) -> Callable[[], None]:
    """A forward pass as a CUDA graph of one shape."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            forward(waveform, lengths)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        forward(waveform, lengths)
    return graph.replay


def time_way(network: Network, way: str, batch: int, bench: Bench) -> float:
    """Seconds of a batch scored in one way."""
    waveform, lengths = clips_of(batch, bench.clip_s[0], bench.device)
    forward = forward_of(network, way, bench.device)
    if way == "graph":
        return repeat(captured(forward, waveform, lengths), bench.seconds, bench.device)
    if way == "compile":
        forward = torch.compile(forward, dynamic=False)
    return repeat(lambda: forward(waveform, lengths), bench.seconds, bench.device)


def mixed_lengths(network: Network, batch_s: float, bench: Bench) -> float:
    """Audio seconds a second of 2 to 30 s clips in batches by length, padding not counted as audio."""
    rng = np.random.default_rng(0)
    longest = max(3.0, min(30.0, batch_s))
    lengths = (
        (RATE * rng.uniform(0.1 * longest, longest, 16 if bench.most < 64 else 512)).astype(int).tolist()
    )
    forward = forward_of(network, "autocast", bench.device)

    def work() -> None:
        for rows in batches_by_length(lengths, batch_s):
            sizes = torch.tensor([lengths[i] for i in rows], device=bench.device)
            forward(0.1 * torch.randn(len(rows), int(sizes.max()), device=bench.device), sizes)

    return sum(lengths) / RATE / repeat(work, bench.seconds, bench.device)


def scoring(architecture: Architecture, bench: Bench) -> dict[str, Any]:
    """The best way of scoring, and all of them."""
    torch.manual_seed(0)
    network = Network(Blueprint("linear", architecture)).eval()
    fold_weight_norms(network)
    network = network.to(bench.device)
    forward, seconds = forward_of(network, "autocast", bench.device), bench.clip_s[0]
    batch = largest(
        lambda n: memory_share(lambda: forward(*clips_of(n, seconds, bench.device)), bench.device), bench.most
    )
    if not batch:
        return {"times_real_time": None, "not_measured": ["one clip does not fit into the memory"]}
    memory_share(lambda: forward(*clips_of(batch, seconds, bench.device)), bench.device)
    found: dict[str, Any] = {"batch": batch, "clip_s": seconds, "memory_mib": peak_mib(bench.device)}
    ways: dict[str, float] = {}
    missing: list[str] = []
    try:
        found["mixed_lengths"] = round(mixed_lengths(network, batch * seconds, bench), 1)
    except torch.OutOfMemoryError:  # longer clips of the same length in all
        missing.append("mixed_lengths: not enough memory")
    for way in bench.ways:
        if way in ("graph", "compile") and bench.device != "cuda":
            missing.append(f"{way}: needs a GPU")
            continue
        if way != "autocast" and network.front_end is not None:
            network.front_end.body.to(torch.bfloat16)  # not its filter bank, nor the head
        try:
            ways[way] = round(batch * seconds / time_way(network, way, batch, bench), 1)
        except Exception as error:  # a way that does not run is a finding, not the end
            missing.append(f"{way}: {type(error).__name__}: {str(error)[:120]}")
        forget()
    if not ways:
        return {**found, "times_real_time": None, "not_measured": missing}
    best = max(ways, key=lambda way: ways[way])
    return {**found, "times_real_time": ways[best], "way": best, "ways": ways, "not_measured": missing}


def training(architecture: Architecture, recompute: bool, bench: Bench) -> dict[str, Any]:
    """Steps of post-training on batches of one size."""
    torch.manual_seed(0)
    options = PostTraining(precision="bf16", recompute=recompute, drop=False, augment="")
    seconds = bench.clip_s[1]
    packing = Packing(options.batch_s, (seconds, seconds), options.balance, options.seed, None, False, 0.0)
    machine = prepare(
        Network(Blueprint("linear", architecture)), {}, Task(), packing, options, make_accelerator(options)
    )
    device, step = machine.accelerator.device.type, iter(range(1, 10**9))

    def run(batch: int) -> None:
        waveform, lengths = clips_of(batch, seconds, device)
        labels = torch.arange(batch, device=device) % 2
        update(machine, [Clips(waveform, lengths, labels, None, batch, (0, 0))], next(step), options)

    def share(batch: int) -> float | None:
        taken = memory_share(lambda: run(batch), device)
        if taken is None:  # half a step may be left behind
            machine.optimiser.zero_grad()
        return taken

    batch = largest(share, bench.most, 2)
    if not batch:
        return {"times_real_time": None, "not_measured": ["two clips do not fit into the memory"]}
    share(batch)
    memory = peak_mib(device)
    found = {"batch": batch, "clip_s": seconds, "memory_mib": memory, "recompute": recompute}
    spent = repeat(lambda: run(batch), bench.seconds, device)
    return {**found, "times_real_time": round(batch * seconds / spent, 1), "not_measured": []}


def measure(name: str, architecture: Architecture, bench: Bench) -> list[dict[str, Any]]:
    """Rows of one front end: scoring; training, and again with activations computed again if it must."""
    work = work_of(architecture)
    rows = [{"model": name, "task": "scoring", "passes": 1, **scoring(architecture, bench)}]
    forget()
    for recompute in (False, True):
        row = training(architecture, recompute, bench)
        rows.append({"model": name, "task": "training", "passes": 3, "recompute": recompute} | row)
        forget()
        if (row.get("batch") or 0) * bench.clip_s[1] >= RECIPE_S:
            break
    for row in rows:
        passes = row.pop("passes")
        if row["times_real_time"]:
            row["share_of_peak"] = round(passes * work * row["times_real_time"] / bench.peak, 3)
        if bench.device != "cuda":
            row["not_measured"].append("memory: needs a GPU")
    return rows


def gpu_name(device: str) -> str:
    """What the device is called."""
    return torch.cuda.get_device_name() if device == "cuda" else f"CPU, {torch.get_num_threads()} threads"


def kept_rows(path: Path, device: str, tiny: bool, names: Sequence[str]) -> list[dict[str, Any]]:
    """Rows of an earlier run on the same device, of front ends that this one leaves out."""
    if not path.exists():
        return []
    before = json.loads(path.read_text())
    same = (before["machine"]["name"], before["machine"]["tiny"]) == (gpu_name(device), tiny)
    return [row for row in before["gpu"] if same and row["model"] not in names]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure each front end and save."""
    parser = argparse.ArgumentParser(description="Throughput on a GPU.")
    parser.add_argument("--front-ends", default=",".join(FRONT_ENDS))
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--ways", default="autocast,weights,graph")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each timing")
    parser.add_argument("--most", type=int, default=4_096, help="clips in a batch")
    parser.add_argument("--tiny", action="store_true", help="Tiny networks, short clips: the logic alone.")
    parser.add_argument("--out", type=Path, default=RESULTS / "gpu.json")
    given = parser.parse_args(arguments)
    if given.device == "cuda" and not torch.cuda.is_available():
        raise SystemExit("no GPU is seen here; --device cpu --tiny --out FILE runs the logic alone")
    clip_s = (0.5, 0.5) if given.tiny else (SCORED_S, TRAINED_S)
    limit = peak(given.device, torch.bfloat16, 256 if given.tiny else 8_192)
    most = min(given.most, 4) if given.tiny else given.most
    seconds = 0.01 if given.tiny else given.seconds
    bench = Bench(given.device, seconds, most, clip_s, tuple(given.ways.split(",")), limit)
    measured = given.device == "cuda" and not given.tiny
    names = given.front_ends.split(",")
    rows = kept_rows(given.out, given.device, given.tiny, names)
    for name in names:
        architecture = FRONT_ENDS[name].architecture
        for row in measure(name, shrunk(architecture) if given.tiny else architecture, bench):
            rows.append({"device": gpu_name(given.device), "precision": "bf16", "measured": measured} | row)
            print(json.dumps(rows[-1]), flush=True)
        found = {
            "machine": {"name": gpu_name(given.device), "torch": torch.__version__, "tiny": given.tiny},
            "peak_tflops": round(limit / 1e12, 3),
            "gpu": rows,
        }
        given.out.write_text(json.dumps(found, indent=1) + "\n")  # after each: a run may be cut short


if __name__ == "__main__":
    main()
