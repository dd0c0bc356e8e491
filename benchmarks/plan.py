"""What `earwitness plan` reckons with, and the tables of `docs/scale.md` that it makes.

    python benchmarks/plan.py [--bench FILE] [--keep]

Measures decoding, the speech check and RawBoost on one core, takes the work of each front end from
`results/detectors.json`, the embedded model's speed from `results/speed.json`, the engines from
`--bench FILE` (else from the table below) and the GPU from `results/gpu.json` where there is one, and
writes them with their sources into `src/earwitness/operations/plan_rates.json`; then the tables.
`--keep` leaves the rates as they are.
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import soxr
from speed import speech

from earwitness.audio.augment.chain import parse_chain
from earwitness.audio.io import load
from earwitness.audio.quality import QualityMeter
from earwitness.operations.plan import plan_scoring, plan_training
from earwitness.operations.plan_options import Job, PlanOptions
from earwitness.operations.plan_rates import DEFAULT, Rates, cpu_rate, read_rates
from earwitness.operations.plan_show import figure

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
AUDIO_S, CPU_S = 30, 3.0
FORMATS = {  # ending: container, encoder, samples a second, channels, bits a second
    "mp3": ("mp3", "libmp3lame", 44_100, 2, 128_000),
    "m4a": ("ipod", "aac", 44_100, 2, 128_000),
    "opus": ("ogg", "libopus", 48_000, 1, 32_000),
    "flac": ("flac", "flac", 16_000, 1, None),
    "wav": ("wav", "pcm_s16le", 16_000, 1, None),
}

# Times real time a core, clips of 4 s one at a time, random weights; measured before the project began.
TABLE_MACHINE = "2 cores of an AMD EPYC of the Zen 5 kind (AVX-512, avx512_bf16, VNNI)"
TABLE_SOURCE = "PERFORMANCE.md, before the project began: torch 2.13, ONNX Runtime 1.31, OpenVINO 2026.4"
TABLE = {
    ("torch", "fp32"): {"w2v-small": 7.9, "mms-300m": 2.5, "mms-1b": 1.0},
    ("torch", "bf16"): {"w2v-small": 21.4, "mms-300m": 8.5, "mms-1b": 3.5},
    ("onnx", "fp32"): {"w2v-small": 13.9, "mms-300m": 5.3},
    ("onnx", "int8"): {"w2v-small": 22.2, "mms-300m": 11.9},
    ("openvino", "fp32"): {"w2v-small": 15.7, "mms-300m": 6.1, "mms-1b": 2.0},
    ("openvino", "bf16"): {"w2v-small": 29.0, "mms-300m": 11.0, "mms-1b": 3.7},
    ("openvino", "int8"): {"w2v-small": 48.4, "mms-300m": 19.7},
}
TABLE_MIB = {("openvino", "bf16"): 2_098, ("openvino", "int8"): 1_049, ("torch", "bf16"): 1_621}  # mms-300m

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


def machine() -> str:
    """This machine's processors."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    known = dict(line.split(":", 1) for line in lines if ":" in line)
    found = {key.strip(): value.strip() for key, value in known.items()}
    kind = f"family {found.get('cpu family')}, model {found.get('model')}"
    return f"{os.cpu_count()} cores of {found.get('model name', 'unknown')} ({kind})"


def rate(work: Callable[[], Any], audio_s: float) -> float:
    """Audio seconds a CPU second, by the fastest of many calls: what else runs here only slows them."""
    work()
    spent: list[float] = []
    while sum(spent) < CPU_S or len(spent) < 5:
        started = time.process_time()
        work()
        spent.append(time.process_time() - started)
    return round(audio_s / min(spent), 1)


def write(path: Path, audio: np.ndarray) -> None:
    """Encode (samples,) at 16 kHz as `FORMATS` says."""
    container_format, encoder, samples, channels, bits = FORMATS[path.suffix[1:]]
    pcm = (np.clip(soxr.resample(audio, 16_000, samples), -1, 1) * 32_767).astype(np.int16)
    with av.open(str(path), "w", format=container_format) as container:
        layout = "stereo" if channels == 2 else "mono"
        stream: Any = container.add_stream(encoder, rate=samples, layout=layout)
        if bits:
            stream.bit_rate = bits
        frame = av.AudioFrame.from_ndarray(np.repeat(pcm, channels)[None], format="s16", layout=layout)
        frame.sample_rate = samples
        resampler = av.AudioResampler(stream.format, layout, samples)
        for ready in resampler.resample(frame):
            container.mux(stream.encode(ready))
        container.mux(stream.encode(None))


def measure() -> dict[str, Any]:
    """Decoding to 16 kHz mono, the speech check, and RawBoost on crops, on one core."""
    audio = speech(ROOT / "samples", AUDIO_S, 0)
    found: dict[str, Any] = {"decoding": {}}
    with tempfile.TemporaryDirectory() as folder:
        for kind, (_, encoder, samples, channels, _) in FORMATS.items():
            path = Path(folder) / f"speech.{kind}"
            write(path, audio)
            found["decoding"][kind] = {
                "times_real_time_a_core": rate(lambda path=path: load(path), AUDIO_S),
                "kbit_s": round(path.stat().st_size * 8 / AUDIO_S / 1000, 1),
                "of": f"{encoder}, {samples} Hz, {'stereo' if channels == 2 else 'mono'}",
            }

    def check() -> None:
        meter = QualityMeter()
        meter.update(audio)
        meter.finish()

    chain, rng = parse_chain("rawboost:5"), np.random.default_rng(0)
    crop = audio[: 12 * 16_000]
    found["speech_check"] = {"times_real_time_a_core": rate(check, AUDIO_S)}
    found["augmentation"] = {"times_real_time_a_core": rate(lambda: chain.apply(crop, rng), 12)}
    for row in (*found["decoding"].values(), found["speech_check"], found["augmentation"]):
        row |= {"machine": machine(), "source": "measured by benchmarks/plan.py"}
    return found


def read(name: str) -> dict[str, Any]:
    """One file of results."""
    return json.loads((RESULTS / f"{name}.json").read_text())


def engines(bench: Path | None) -> list[dict[str, Any]]:
    """The engines of a bench, else of the table; the embedded model's whole scan where the bench lacks it."""
    rows: list[dict[str, Any]] = []
    if bench:
        found = json.loads(bench.read_text())
        about = {"machine": found["machine"].get("name", ""), "source": f"`earwitness bench`: {bench.name}"}
        rows = [{**row, **about} for row in found["engines"]]
    else:
        about = {"machine": TABLE_MACHINE, "source": TABLE_SOURCE}
        for (engine, precision), speeds in TABLE.items():
            for model, value in speeds.items():
                row = {"model": model, "engine": engine, "precision": precision}
                mib = TABLE_MIB.get((engine, precision)) if model == "mms-300m" else None
                row |= {"times_real_time_a_core": value, **({"memory_mib": mib} if mib else {}), **about}
                rows.append(row)
    if not any(row["model"] == "embedded" for row in rows):
        line = read("speed")["mixed_files_1_threads"]
        row = {"model": "embedded", "engine": "onnx", "precision": "fp32", "whole": True}
        row |= {"times_real_time_a_core": line["times_real_time_per_cpu_second"]}
        row |= {"memory_mib": line["peak_rss_mib"], "machine": f"{read('speed')['processors']} cores"}
        rows.append(row | {"source": "benchmarks/results/speed.json: the whole scan of short mixed files"})
    return rows


def rates(bench: Path | None) -> dict[str, Any]:
    """All that `earwitness plan` reckons with."""
    costs = read("detectors")["front_ends"]
    gpu = read("gpu")["gpu"] if (RESULTS / "gpu.json").exists() else []
    found = measure()
    if bench:
        about = {"source": f"`earwitness bench`: {bench.name}"}
        for kind, row in json.loads(bench.read_text()).get("decoding", {}).items():
            found["decoding"].setdefault(kind, {}).update({**row, **about})
    return {
        "about": "written by benchmarks/plan.py",
        "engines": engines(bench),
        **found,
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
    parser.add_argument("--bench", type=Path)
    parser.add_argument("--keep", action="store_true", help="Leave the rates as they are.")
    arguments = parser.parse_args()
    if not arguments.keep:
        DEFAULT.write_text(json.dumps(rates(arguments.bench), indent=1) + "\n")
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
