"""What `earwitness plan` reckons with: measured rates, the work of each front end, GPUs.

`plan_rates.json` beside this file holds the defaults, each with its machine and source
(`benchmarks/plan.py` writes it). Figures of an `earwitness bench` stand in for them, model by model
and format by format. A rate is audio seconds a second of one core or GPU.
"""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from earwitness.errors import InputError

DEFAULT = Path(__file__).with_name("plan_rates.json")
MAX_BYTES = 8 << 20
PASSES = {"scoring": 1, "training": 3, "training again": 4}  # forward passes' worth of work; see `gpu_rate`


@dataclass(frozen=True)
class Rate:
    """Audio seconds a second of one core or GPU."""

    value: float
    kind: Literal["measured", "estimated"]
    how: str  # engine and precision, or the device
    source: str
    memory_mib: float | None = None  # of one worker


@dataclass(frozen=True)
class EngineRate(Rate):
    """Of one model by one engine, on a core."""

    model: str = ""
    engine: str = ""
    precision: str = ""


@dataclass(frozen=True)
class GpuRate(Rate):
    """Of one model on one GPU."""

    model: str = ""
    task: str = "scoring"  # or training
    recompute: bool = False


@dataclass(frozen=True)
class Decoding(Rate):
    """Of one format, to 16 kHz mono, on a core."""

    kbit_s: float = 0.0


@dataclass(frozen=True)
class Gpu:
    """A kind of GPU as its data sheet says."""

    name: str
    bf16_tflops: float  # dense
    memory_gb: float
    link_gb_s: float  # to the others of its machine, one direction


@dataclass(frozen=True)
class Rates:
    """All that is known."""

    engines: tuple[EngineRate, ...]
    decoding: Mapping[str, Decoding]
    gpu: tuple[GpuRate, ...]
    speech_check: Rate
    augmentation: Rate
    gflop_per_s: Mapping[str, float]  # front end -> work a second of audio
    parameters: Mapping[str, float]
    gpus: Mapping[str, Gpu]
    share_of_peak: Mapping[str, float]  # assumed, by task
    record_bytes: float


def read_rates(bench: Path | None = None) -> Rates:
    """The defaults, with the figures of a bench in their place where it has some.

    Raises:
        InputError: `bad-bench`: it is missing, too large, not JSON, or holds no figure that can be used.
    """
    content = read_json(DEFAULT)
    rates = Rates(
        tuple(engine_rates(content, "")),
        dict(decoding_rates(content, "", {})),
        tuple(gpu_rates(content, "")),
        plain_rate(content["speech_check"], "speech check"),
        plain_rate(content["augmentation"], "RawBoost"),
        {name: row["gflop_per_s"] for name, row in content["front_ends"].items()},
        {name: row["parameters"] for name, row in content["front_ends"].items()},
        {name: Gpu(**row) for name, row in content["gpus"].items()},
        {task: content["share_of_peak"][task] for task in ("scoring", "training")},
        content["record_bytes"]["value"],
    )
    return merged(rates, read_json(bench), bench) if bench else rates


def merged(rates: Rates, content: Any, path: Path) -> Rates:
    """The rates with those of a bench in their place.

    Raises:
        InputError: `bad-bench`: it holds none.
    """
    content = content if isinstance(content, dict) else {}
    source = f"{path.name}: {name_of(content.get('machine'))}"
    engines = tuple(engine_rates(content, source))
    decoding = dict(decoding_rates(content, source, rates.decoding))
    gpu = tuple(gpu_rates(content, source))
    check = check_rate(content, source)
    if not (engines or decoding or gpu):
        raise InputError(
            "bad-bench",
            f"{path}: holds no rate of engines, decoding or gpu above 0; make it with `earwitness bench`",
        )
    models, on_gpu = {row.model for row in engines}, {(row.model, row.task) for row in gpu}
    return replace(
        rates,
        engines=engines + tuple(row for row in rates.engines if row.model not in models),
        decoding={**rates.decoding, **decoding},
        speech_check=check or rates.speech_check,
        gpu=gpu + tuple(row for row in rates.gpu if (row.model, row.task) not in on_gpu),
    )


def read_json(path: Path) -> Any:
    """A file of JSON, of 8 MB at most.

    Raises:
        InputError: `bad-bench`.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise ValueError(f"more than {MAX_BYTES:,} bytes")
        return json.loads(data.decode("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError("bad-bench", f"{path}: not readable as JSON: {str(error)[:120]}") from None


def name_of(machine: Any) -> str:
    """What a bench calls its machine."""
    found = machine if isinstance(machine, dict) else {"name": machine}
    names = (found.get(key) for key in ("name", "cpu", "processor"))
    return next((str(name)[:120] for name in names if name), "machine not named")


def objects(content: Mapping[str, Any], key: str) -> Iterator[dict[str, Any]]:
    """The objects of a list; anything else is passed over."""
    rows = content.get(key)
    yield from (row for row in rows if isinstance(row, dict)) if isinstance(rows, list) else ()


def number(value: Any) -> float | None:
    """A finite number above 0, else None."""
    good = isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf
    return float(value) if good else None


def origin(row: Mapping[str, Any], source: str) -> str:
    """Where a row's figure comes from."""
    own = ", ".join(str(row[key]) for key in ("source", "machine") if row.get(key))
    return source or own


def engine_rates(content: Mapping[str, Any], source: str) -> Iterator[EngineRate]:
    """Rows of `engines` that have a rate."""
    for row in objects(content, "engines"):
        model, engine, precision = (str(row.get(key) or "") for key in ("model", "engine", "precision"))
        value = number(row.get("times_real_time_a_core"))
        if value and model and engine:
            about = (f"{engine} {precision}".strip(), origin(row, source), number(row.get("memory_mib")))
            yield EngineRate(value, "measured", *about, model, engine, precision)


def decoding_rates(
    content: Mapping[str, Any], source: str, known: Mapping[str, Decoding]
) -> Iterator[tuple[str, Decoding]]:
    """Formats of `decoding` that have a rate; those without a bit rate take the one known."""
    found = content.get("decoding")
    for kind, row in found.items() if isinstance(found, dict) else ():
        row = row if isinstance(row, dict) else {"times_real_time_a_core": row}
        value = number(row.get("times_real_time_a_core"))
        kbit_s = number(row.get("kbit_s")) or (known[kind].kbit_s if kind in known else None)
        if value and kbit_s:
            yield kind, Decoding(value, "measured", kind, origin(row, source), kbit_s=kbit_s)


def check_rate(content: Mapping[str, Any], source: str) -> Rate | None:
    """`speech_check`, where it has a rate."""
    found = content.get("speech_check")
    value = number(found.get("times_real_time_a_core")) if isinstance(found, dict) else None
    return Rate(value, "measured", "speech check", source) if value else None


def gpu_rates(content: Mapping[str, Any], source: str) -> Iterator[GpuRate]:
    """Rows of `gpu` that have a rate."""
    for row in objects(content, "gpu"):
        value, model, task = (row.get(key) for key in ("times_real_time", "model", "task"))
        known = number(value) and row.get("measured") is not False  # a run of the logic alone
        if known and model and task in ("scoring", "training"):
            about = (str(row.get("device") or "a GPU"), origin(row, source), number(row.get("memory_mib")))
            recompute = row.get("recompute") is True
            yield GpuRate(float(value), "measured", *about, str(model), task, recompute)  # type: ignore[arg-type]


def plain_rate(row: Mapping[str, Any], how: str) -> Rate:
    """A row of the defaults."""
    return Rate(row["times_real_time_a_core"], "measured", how, origin(row, ""))


def cpu_rate(rates: Rates, model: str, engine: str, precision: str) -> EngineRate:
    """How fast a core scores a model; the fastest engine where none is named, int8 only where it is.

    A front end that nobody measured is reckoned from the one nearest to it in work.

    Raises:
        InputError: `usage`: nothing measured fits.
    """
    fits = [
        row
        for row in rates.engines
        if engine in ("auto", row.engine)
        and (row.precision == precision or (precision == "auto" and row.precision != "int8"))
    ]
    own = [row for row in fits if row.model == model]
    if own:
        return max(own, key=lambda row: row.value)
    works = rates.gflop_per_s
    others = [row for row in fits if row.model in works]
    if model not in works or not others:
        known = ", ".join(sorted({f"{row.model} ({row.how})" for row in rates.engines}))
        raise InputError("usage", f"no rate of {model} by {engine}, {precision} is known; there are: {known}")
    near = min(abs(math.log(works[model] / works[row.model])) for row in others)
    alike = [row for row in others if abs(math.log(works[model] / works[row.model])) <= near + 1e-9]
    best = max(alike, key=lambda row: row.value)
    source = f"from {best.model} by work a second of audio; {best.source}"
    value = best.value * works[best.model] / works[model]
    return replace(best, value=value, kind="estimated", source=source, memory_mib=None)


def gpu_rate(rates: Rates, model: str, gpu: str, task: str, recompute: bool = False) -> Rate:
    """How fast a GPU scores or trains a model.

    Where nobody measured it: the assumed share of the GPU's dense bf16 peak over the work; a training
    step is three forward passes' worth, four where activations are computed again.

    Raises:
        InputError: `usage`: no such GPU, or the work of the model is not known.
    """
    if gpu not in rates.gpus:
        raise InputError("usage", f"--gpu {gpu!r}: one of {', '.join(rates.gpus)}")
    for row in rates.gpu:
        if (row.model, row.task, row.recompute) == (model, task, recompute) and gpu in row.how.lower():
            return row
    if model not in rates.gflop_per_s:
        raise InputError(
            "usage", f"the work of {model} is not known; front ends: {', '.join(rates.gflop_per_s)}"
        )
    kind, share = rates.gpus[gpu], rates.share_of_peak[task]
    passes = PASSES["training again" if recompute and task == "training" else task]
    value = kind.bf16_tflops * 1e3 * share / (passes * rates.gflop_per_s[model])
    source = f"{100 * share:.0f} % of {kind.bf16_tflops:g} TFLOP/s assumed"
    return Rate(value, "estimated", f"{kind.name} bf16", source)
