"""What `earwitness plan` reckons with, and the tables of `docs/scale.md` that it makes.

    python benchmarks/plan.py [--keep]

Takes engines, decoding and the speech check from `results/bench.json` of `earwitness bench`, the work of
each front end from `results/detectors.json` and the GPU from `results/gpu.json` where there is one,
measures RawBoost on one core, and writes all of it with its sources into
`src/earwitness/operations/plan_rates.json`; then the tables. `--keep` leaves the rates as they are.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from earwitness.audio.augment.chain import parse_chain
from earwitness.operations.bench_audio import made_voice
from earwitness.operations.plan import plan_scoring, plan_training
from earwitness.operations.plan_options import Job, PlanOptions
from earwitness.operations.plan_rates import DEFAULT, Rates, cpu_rate, read_rates
from earwitness.operations.plan_show import figure

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
CROP_S, CALLS = 12, 40

# Dense bf16 without sparsity, memory, and one direction of the links between the GPUs of one machine.
GPUS = {
    "h200": {"name": "NVIDIA H200 SXM", "bf16_tflops": 989, "memory_gb": 141, "link_gb_s": 450},
    "h100": {"name": "NVIDIA H100 SXM", "bf16_tflops": 989, "memory_gb": 80, "link_gb_s": 450},
    "a100": {"name": "NVIDIA A100 SXM 80 GB", "bf16_tflops": 312, "memory_gb": 80, "link_gb_s": 300},
}
SHARE = {
    "scoring": 0.35,
    "training": 0.30,
    "source": "assumed, not measured: shares of the data sheet's dense bf16 peak",
}
MODELS = {
    "cpu": ("embedded", "w2v-small", "mms-300m", "mms-1b", "xls-r-2b"),
    "gpu": ("w2v-small", "mms-300m", "mms-1b", "xls-r-2b"),
}


def rawboost() -> float:
    """Audio seconds a CPU second, by the fastest of many calls: what else runs here only slows them."""
    chain, rng, crop = parse_chain("rawboost:5"), np.random.default_rng(0), made_voice(CROP_S)
    spent: list[float] = []
    for _ in range(CALLS):
        started = time.process_time()
        chain.apply(crop, rng)
        spent.append(time.process_time() - started)
    return round(CROP_S / min(spent), 1)


def read(name: str) -> dict[str, Any]:
    """One file of results."""
    return json.loads((RESULTS / f"{name}.json").read_text())


def rates() -> dict[str, Any]:
    """All that `earwitness plan` reckons with."""
    bench, costs = read("bench"), read("detectors")["front_ends"]
    gpu = read("gpu")["gpu"] if (RESULTS / "gpu.json").exists() else []
    name = bench["machine"]["name"]
    about = {"machine": name, "source": "benchmarks/results/bench.json"}
    return {
        "about": "written by benchmarks/plan.py",
        "engines": [{**row, **about} for row in bench["engines"] if row.get("times_real_time_a_core")],
        "decoding": {kind: {**row, **about} for kind, row in bench["decoding"].items()},
        "speech_check": {**bench["speech_check"], **about},
        "augmentation": {
            "times_real_time_a_core": rawboost(),
            "machine": name,
            "source": "measured by benchmarks/plan.py",
        },
        "gpu": [row for row in gpu if row.get("measured")],
        "front_ends": {
            name: {"gflop_per_s": row["gflop_per_s"], "parameters": row["parameters"]}
            for name, row in costs.items()
        },
        "front_ends_source": "benchmarks/results/detectors.json",
        "gpus": GPUS,
        "gpus_source": "the vendor's data sheets",
        "share_of_peak": SHARE,
        "record_bytes": {"value": 900, "source": "scan --json of samples/, mean of 10 files"},
    }


def table(head: str, rows: list[tuple]) -> str:
    """A table in Markdown."""
    lines = [f"| {head} |", "|" + "---|" * len(rows[0])]
    return "\n".join([*lines, *("| " + " | ".join(map(str, row)) + " |" for row in rows)])


def rates_block(known: Rates) -> str:
    """What comes before scoring, on one core, and how much that is."""
    rows = [
        (f"decoding {kind}", f"{row.kbit_s:,.0f}", figure(row.value)) for kind, row in known.decoding.items()
    ]
    rows += [("speech check", "", figure(known.speech_check.value))]
    rows += [("RawBoost, in training", "", figure(known.augmentation.value))]
    before = 3600 / known.decoding["mp3"].value + 3600 / known.speech_check.value
    scored = {name: 3600 / cpu_rate(known, name, "auto", "auto").value for name in ("w2v-small", "mms-300m")}
    said = (
        f"Stages that share the cores add up: an hour of MP3 takes {before:.0f} core-seconds before it is "
        f"scored, then\n{scored['w2v-small']:.0f} by w2v-small and {scored['mms-300m']:.0f} by mms-300m "
        "with their fastest engines, int8 left out."
    )
    return table("stage | kbit/s | times real time a core", rows) + "\n\n" + said


def scoring_table(known: Rates, device: str) -> str:
    """Plans of 10^6 hours within a day."""
    rows = []
    for name in MODELS[device]:
        choices = [("auto", "auto")]
        if device == "cpu" and any(row.model == name and row.how == "openvino int8" for row in known.engines):
            choices.append(("openvino", "int8"))
        for engine, precision in choices:
            options = PlanOptions(device, engine, precision)
            one = plan_scoring(Job(1e6, 24.0, name), options, known)
            money = f"{one.money:,.0f} + {one.storage_money:,.0f}"
            figures = (figure(one.rate.value), f"{one.machines:,}", f"{one.unit_hours:,.0f}")
            rows.append((name, f"{one.rate.how}, {one.rate.kind}", *figures, money, one.bottleneck))
    unit = "core" if device == "cpu" else "GPU"
    return table(
        f"model | by | times real time a {unit} | machines | {unit}-hours | "
        "USD: machines + a month of storage | bottleneck",
        rows,
    )


def gpu_block(known: Rates) -> str:
    """Plans on GPUs, and what the processors beside them do."""
    found = {name: plan_scoring(Job(1e6, 24.0, name), PlanOptions("gpu"), known) for name in MODELS["gpu"]}
    fed = found["mms-300m"].limits["processors"]
    share = fed / found["mms-1b"].rate.value * known.share_of_peak["scoring"]
    busy = ", ".join(f"{name} {plan.busy_cores:,.0f}" for name, plan in found.items())
    said = (
        f"16 cores decode and check {fed:,.0f} hours an hour, whoever scores them: with mms-1b at any "
        f"share of\nthe peak above {100 * share:.0f} % the GPU waits for them. Cores that would "
        f"keep one busy:\n{busy}."
    )
    return scoring_table(known, "gpu") + "\n\n" + said


def training_table(known: Rates) -> str:
    """Plans of post-training on 74,000 hours, once."""
    rows = []
    for name in MODELS["gpu"]:
        one = plan_training(Job(74_000, None, name), PlanOptions("gpu"), known)
        speed = f"{one.rate.value:,.0f}, {one.rate.kind}"
        state = f"{one.copied_gb:,.1f} / {one.sharded_gb:,.1f}"
        figures = (f"{one.wall_h:,.1f}", f"{one.unit_hours:,.0f}", state, f"{one.money:,.0f}")
        rows.append((name, speed, *figures, one.bottleneck))
    return table(
        "model | times real time a GPU | hours | GPU-hours | GB of state on a GPU: copied / sharded | USD | "
        "bottleneck",
        rows,
    )


def blocks(known: Rates) -> dict[str, str]:
    """What stands between the marks of the page."""
    return {
        "rates": rates_block(known),
        "cpu": scoring_table(known, "cpu"),
        "gpu": gpu_block(known),
        "training": training_table(known),
    }


def main() -> None:
    """Write the rates, then the tables."""
    parser = argparse.ArgumentParser(description="Rates and tables of `earwitness plan`.")
    parser.add_argument("--keep", action="store_true", help="Leave the rates as they are.")
    arguments = parser.parse_args()
    if not arguments.keep:
        DEFAULT.write_text(json.dumps(rates(), indent=1) + "\n")
    known, page = read_rates(), ROOT / "docs" / "scale.md"
    text = page.read_text()
    for name, block in blocks(known).items():
        head, rest = text.split(f"<!-- {name}: ", 1)
        mark, rest = rest.split("\n", 1)
        behind = rest.split(f"<!-- end of {name} -->", 1)[1]
        text = f"{head}<!-- {name}: {mark}\n{block}\n<!-- end of {name} -->{behind}"
    page.write_text(text)


if __name__ == "__main__":
    main()
