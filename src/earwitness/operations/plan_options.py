"""Options of `earwitness plan`, apart from what is heavy: the command line makes its flags of them."""

from dataclasses import dataclass, field
from typing import Any


def flag(default: Any, help: str) -> Any:
    """A field with the help text of its flag."""
    return field(default=default, metadata={"help": help})


@dataclass(frozen=True)
class PlanOptions:
    """Machines and prices. Prices are round examples of November 2026 in USD: give your own."""

    device: str = flag("cpu", "What scores: cpu or gpu. Training takes GPUs.")
    engine: str = flag("auto", "Engine on processors; auto: the fastest known.")
    precision: str = flag("auto", "fp32, bf16 or int8 on processors; auto: the fastest, int8 left out.")
    codec: str = flag("", "Format of the audio: mp3, m4a, opus, flac, wav [default: mp3; flac for training].")
    file_s: float = flag(30.0, "Mean length of a recording in seconds; beyond 30, windows overlap.")
    cores: int = flag(0, "Cores of a machine; 0: 16, or 16 for each of its GPUs.")
    gpus: int = flag(0, "GPUs of a machine; 0: 1 for scoring, 8 for training.")
    gpu: str = flag("", "Kind of GPU: h200, h100 or a100 [default: that which was measured, else h100].")
    gbit: float = flag(10.0, "Network of a machine in Gbit/s.")
    store_gbit: float = flag(100.0, "What the storage gives to all machines together, in Gbit/s.")
    efficiency: float = flag(0.9, "Share of the time that machines work.")
    epochs: float = flag(1.0, "Of training: how often the audio is heard.")
    batch_s: float = flag(0.0, "Of training: seconds in a batch over all GPUs; 0: 100 for each.")
    recompute: bool = flag(False, "Of training: compute activations again rather than keep them.")
    shard: bool = flag(False, "Of training: spread the weights over the GPUs (FSDP).")
    core_hour: float = flag(0.04, "USD an hour of one core (example, November 2026).")
    gpu_hour: float = flag(
        3.0, "USD an hour of one GPU with its share of the machine (example, November 2026)."
    )
    tb_month: float = flag(20.0, "USD a month of one TB (example, November 2026).")


@dataclass(frozen=True)
class Job:
    """What is asked."""

    hours: float = 1e6
    within_h: float | None = 24.0  # None: however long one machine takes
    model: str = "embedded"  # a model or front end of the rates
