"""`earwitness plan`: machines, hours, storage and money for scoring or post-training on so much audio.

Every stage has a rate, in hours of audio an hour: what the processors, GPUs and network of one
machine do, and what the storage gives to all of them together. Stages overlap, so the slowest
decides; those that share the processors add up. Plain arithmetic, of `plan_rates.py`'s figures.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from earwitness.audio.frames import Windowing
from earwitness.errors import InputError
from earwitness.operations.plan_options import Job, PlanOptions
from earwitness.operations.plan_rates import Rate, Rates, cpu_rate, gpu_rate, read_rates

TENFOLD = 10
EMBEDDED = "embedded"
WORK = {"family", "width", "layers", "ffn", "conv_width", "mel_bands"}  # what the work hangs on
MOST_MACHINES = 1_024  # that train together
STATE_BYTES = 16  # a parameter in training: weight, gradient and two moments of AdamW, all float32
DEFAULT_BATCH_S = 100.0  # a GPU, as AntiDeepfake


@dataclass(frozen=True)
class Plan:
    """What a job takes. Hours of audio an hour in `limits`: of one machine, or of all that train."""

    hours: float
    machines: int
    wall_h: float
    in_time: bool
    unit: str  # core or GPU
    unit_hours: float
    audio_tb: float
    reading_gbit_s: float
    kept_tb: float  # records, or a checkpoint and the best weights
    money: float  # of the machines
    storage_money: float  # of audio and what is kept, for a month
    bottleneck: str
    limits: Mapping[str, float]
    rate: Rate
    stages: Mapping[str, Rate]
    busy_cores: float = 0.0  # that feed the GPUs of one machine
    copied_gb: float = 0.0  # state of training on a GPU
    sharded_gb: float = 0.0
    batch_s: float = 0.0
    steps: int = 0


def processor_rate(cores: int, rates: Mapping[str, float]) -> float:
    """Audio hours an hour of stages that share the cores: their times add up."""
    return cores / sum(1 / value for value in rates.values())


def network_rate(gbit: float, kbit_s: float) -> float:
    """Audio hours an hour through a network."""
    return gbit * 1e6 / kbit_s


def audio_terabytes(hours: float, kbit_s: float) -> float:
    """10^12 bytes of audio."""
    return hours * 3600 * kbit_s * 1000 / 8 / 1e12


def overlap(file_s: float, windowing: Windowing = Windowing()) -> float:
    """Seconds that are scored for a second of a recording of this length."""
    if file_s <= windowing.whole_s:
        return 1.0
    windows = 1 + math.ceil((file_s - windowing.window_s) / windowing.hop_s)
    return windows * windowing.window_s / file_s


def exchange_bytes(parameters: float, gpus: int, shard: bool) -> float:
    """Bytes that each GPU sends a step: a ring's all-reduce of float32 gradients, or FSDP's two gathers
    of the weights and one scattered reduction.
    """
    return (3 if shard else 2) * 4 * parameters * (gpus - 1) / gpus


def slowest(limits: Mapping[str, float], shares: Mapping[str, float]) -> str:
    """What binds; among the processors' stages, the one that takes most of their time."""
    name = min(limits, key=lambda key: limits[key])
    return min(shares, key=lambda key: shares[key]) if name == "processors" else name


def plan_scoring(job: Job, options: PlanOptions, rates: Rates) -> Plan:
    """What scoring takes.

    Raises:
        InputError: `usage`: a model, engine, format or number that cannot be planned with.
    """
    options = checked(job, options, rates)
    on_gpu = options.device == "gpu"
    codec = rates.decoding[options.codec or "mp3"]
    gpus = (options.gpus or 1) if on_gpu else 0
    cores = options.cores or 16 * max(gpus, 1)
    if on_gpu:
        rate: Rate = gpu_rate(rates, job.model, options.gpu, "scoring")
    else:
        rate = cpu_rate(rates, job.model, options.engine, options.precision)
    repeated = overlap(options.file_s)
    stages: dict[str, Rate] = {"decoding": codec, "speech check": rates.speech_check}
    shares = {name: stage.value for name, stage in stages.items()}
    if not on_gpu:
        shares["scoring"] = rate.value / repeated
    limits = {
        "processors": processor_rate(cores, shares),
        **({"scoring": gpus * rate.value / repeated} if on_gpu else {}),
        "reading (network)": network_rate(options.gbit, codec.kbit_s),
    }
    each = options.efficiency * min(limits.values())
    store = network_rate(options.store_gbit, codec.kbit_s)
    wanted = job.hours / job.within_h if job.within_h else each
    machines = max(1, math.ceil(min(wanted, store) / each - 1e-9))
    done = min(machines * each, store)
    late = wanted > done * (1 + 1e-9)
    wall_h = job.hours / done
    audio_tb = audio_terabytes(job.hours, codec.kbit_s)
    kept_tb = job.hours * 3600 / options.file_s * rates.record_bytes / 1e12
    unit_hours = machines * wall_h * (gpus or cores)
    return Plan(
        hours=job.hours,
        machines=machines,
        wall_h=wall_h,
        in_time=not late,
        unit="GPU" if on_gpu else "core",
        unit_hours=unit_hours,
        audio_tb=audio_tb,
        reading_gbit_s=done * codec.kbit_s / 1e6,
        kept_tb=kept_tb,
        money=unit_hours * (options.gpu_hour if on_gpu else options.core_hour),
        storage_money=(audio_tb + kept_tb) * options.tb_month,
        bottleneck="reading (storage)" if late else slowest(limits, shares),
        limits=limits,
        rate=rate,
        stages={**stages, "scoring": rate},
        busy_cores=cores * limits["scoring"] / limits["processors"] if on_gpu else 0.0,
    )


def training_limits(
    machines: int, job: Job, options: PlanOptions, rates: Rates, rate: Rate
) -> dict[str, float]:
    """Audio hours an hour that each resource allows to so many machines together."""
    gpus, codec = options.gpus or 8, rates.decoding[options.codec or "flac"]
    reading = {"decoding": codec.value, "augmentation": rates.augmentation.value}
    limits = {
        "processors": machines * processor_rate(options.cores or 16 * gpus, reading),
        "training": machines * gpus * rate.value,
        "reading (network)": machines * network_rate(options.gbit, codec.kbit_s),
        "reading (storage)": network_rate(options.store_gbit, codec.kbit_s),
    }
    everyone = machines * gpus
    if everyone > 1:
        sent = exchange_bytes(rates.parameters[job.model], everyone, options.shard)
        link = rates.gpus[options.gpu].link_gb_s if machines == 1 else options.gbit / 8
        limits["exchanging gradients"] = batch_seconds(options, everyone) * link * 1e9 / sent
    return limits


def batch_seconds(options: PlanOptions, everyone: int) -> float:
    """Seconds in a batch over all GPUs."""
    return options.batch_s or DEFAULT_BATCH_S * everyone


def plan_training(job: Job, options: PlanOptions, rates: Rates) -> Plan:
    """What post-training takes: one machine, or the fewest that end in time.

    Raises:
        InputError: `usage`: a model, GPU, format or number that cannot be planned with.
    """
    options = checked(job, options, rates)
    if job.model not in rates.parameters:
        known = ", ".join(rates.parameters)
        raise InputError("usage", f"training of {job.model} cannot be planned; front ends: {known}")
    rate = gpu_rate(rates, job.model, options.gpu, "training", options.recompute)
    codec, gpus = rates.decoding[options.codec or "flac"], options.gpus or 8
    heard = job.hours * options.epochs

    def wall(machines: int) -> float:
        limits = training_limits(machines, job, options, rates, rate)
        return heard / (options.efficiency * min(limits.values()))

    counts = range(1, MOST_MACHINES + 1) if job.within_h else (1,)
    machines = next((m for m in counts if wall(m) <= (job.within_h or math.inf)), 0)
    in_time = machines > 0
    machines = machines or min(counts, key=wall)
    limits = training_limits(machines, job, options, rates, rate)
    unit_hours = machines * gpus * wall(machines)
    parameters, batch_s = rates.parameters[job.model], batch_seconds(options, machines * gpus)
    audio_tb = audio_terabytes(job.hours, codec.kbit_s)
    kept_tb = parameters * 16 / 1e12  # weights and two moments in the checkpoint, and the best weights
    reading = {"decoding": codec, "augmentation": rates.augmentation}
    return Plan(
        hours=job.hours,
        machines=machines,
        wall_h=wall(machines),
        in_time=in_time,
        unit="GPU",
        unit_hours=unit_hours,
        audio_tb=audio_tb,
        reading_gbit_s=heard / wall(machines) * codec.kbit_s / 1e6,
        kept_tb=kept_tb,
        money=unit_hours * options.gpu_hour,
        storage_money=(audio_tb + kept_tb) * options.tb_month,
        bottleneck=slowest(limits, {name: stage.value for name, stage in reading.items()}),
        limits=limits,
        rate=rate,
        stages={**reading, "training": rate},
        busy_cores=(options.cores or 16 * gpus) * limits["training"] / limits["processors"],
        copied_gb=parameters * STATE_BYTES / 1e9,
        sharded_gb=parameters * STATE_BYTES / (machines * gpus) / 1e9,
        batch_s=batch_s,
        steps=math.ceil(heard * 3600 / batch_s),
    )


def checked(job: Job, options: PlanOptions, rates: Rates) -> PlanOptions:
    """The options with a kind of GPU: that which was measured, else an H100.

    Raises:
        InputError: `usage`, naming the flag.
    """
    if options.device not in ("cpu", "gpu"):
        raise InputError("usage", f"--device {options.device!r}: cpu or gpu")
    if options.codec and options.codec not in rates.decoding:
        raise InputError("usage", f"--codec {options.codec!r}: one of {', '.join(rates.decoding)}")
    numbers = {"hours": job.hours, "within": 1.0 if job.within_h is None else job.within_h, **asdict(options)}
    for name, low, high in (
        ("hours", 1e-3, 1e12),
        ("within", 1e-3, 1e6),
        ("file_s", 0.1, 1e6),
        ("cores", 0, 1e5),
        ("gpus", 0, 1e5),
        ("gbit", 1e-3, 1e6),
        ("store_gbit", 1e-3, 1e9),
        ("efficiency", 0.01, 1),
        ("epochs", 1e-6, 1e6),
        ("batch_s", 0, 1e9),
        ("core_hour", 0, 1e6),
        ("gpu_hour", 0, 1e6),
        ("tb_month", 0, 1e6),
    ):
        if not low <= numbers[name] <= high:
            shown = name.replace("_", "-")
            raise InputError("usage", f"--{shown}: between {low:g} and {high:g}, got {numbers[name]:g}")
    measured = (name for name in rates.gpus if any(name in row.how.lower() for row in rates.gpu))
    return replace(options, gpu=options.gpu or next(measured, "h100"))


def parse_within(text: str) -> float:
    """Hours of `24h`, `3d`, or a number of days.

    Raises:
        InputError: `usage`.
    """
    unit = {"h": 1.0, "d": 24.0}.get(text[-1:].lower())
    try:
        value = float(text[:-1] if unit else text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise InputError("usage", f"--within {text!r}: hours as 24h, or days as 3d or 3")
    return value * (unit or 24.0)


def model_of(front_end: str | None, model: str | None, rates: Rates, job: str) -> str:
    """The name of the rates for a front end, or for a model: its own, else that of its front end.

    `job` is cpu, gpu or train.

    Raises:
        InputError: `usage`: no such front end, or both are named.
        ModelError: there is no such model.
    """
    if front_end and model:
        raise InputError("usage", "--front-end and --model: give one of them")
    if front_end and front_end not in rates.gflop_per_s:
        raise InputError("usage", f"--front-end {front_end!r}: one of {', '.join(rates.gflop_per_s)}")
    name = front_end or model or ("mms-300m" if job == "train" else EMBEDDED)
    own = {row.model for row in rates.engines} if job == "cpu" else {row.model for row in rates.gpu}
    return name if name in own or name in rates.gflop_per_s else front_end_of(name)


def front_end_of(model: str) -> str:
    """The front end that a bundle's card describes.

    Raises:
        InputError: `usage`: it has none of those known here.
        ModelError: there is no such model.
    """
    from earwitness.decision.bundle import find_bundle, read_card
    from earwitness.features.frontends import FRONT_ENDS

    architecture = read_card(find_bundle(None if model == EMBEDDED else model)).get("architecture")
    found = architecture.get("front_end") if isinstance(architecture, dict) else None
    sizes = found if isinstance(found, dict) else {}
    for name, row in FRONT_ENDS.items():
        if all(sizes.get(key) == value for key, value in asdict(row.architecture).items() if key in WORK):
            return name
    raise InputError("usage", f"--model {model}: no rates are known for it; give the --front-end like it")


def run_plan(
    wanted: tuple[float | None, float | None],
    within: str | None,
    names: tuple[str | None, str | None],
    options: PlanOptions,
    bench: Path | None,
    as_json: bool,
) -> None:
    """Plan, and plan for ten times as much; print both.

    Args:
        wanted: hours to score, or to train on.
        within: as `parse_within`; None: 24 hours of scoring, or training on one machine.
        names: a front end, or a model.
        options: machines and prices.
        bench: file of `earwitness bench`.
        as_json: for machines.

    Raises:
        InputError: as `plan_scoring`, `plan_training` and `plan_rates.read_rates`.
    """
    scored, trained = wanted
    if (scored is None) == (trained is None):
        raise InputError("usage", "give --hours or --train, and not both")
    training = trained is not None
    rates = read_rates(bench)
    limit = parse_within(within) if within else None if training else 24.0
    name = model_of(*names, rates, "train" if training else options.device)
    job = Job(float(trained if training else scored or 0.0), limit, name)
    make = plan_training if training else plan_scoring
    plans = [make(replace(job, hours=job.hours * times), options, rates) for times in (1, TENFOLD)]
    if as_json:
        asked = {"job": asdict(job), "training": training, "options": asdict(options)}
        print(json.dumps({**asked, "plans": [asdict(plan) for plan in plans]}))  # noqa: T201
        return
    from earwitness.operations.plan_show import show

    show(job, training, options, plans)
