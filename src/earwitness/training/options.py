"""Options of the recipes; the command line makes its flags of them, so nothing heavy is imported here.

Defaults are those of AntiDeepfake's post-training (Ge, Wang, Liu and Yamagishi, arXiv:2506.21090, and
the authors' hparams, nii-yamagishilab/AntiDeepfake); where ours differ the line says so.
"""

from dataclasses import dataclass, field
from typing import Any

from earwitness.errors import InputError


def option(default: Any, help: str) -> Any:
    """A field of a recipe, with the help text of its flag."""
    return field(default=default, metadata={"help": help})


@dataclass(frozen=True)
class LoopOptions:
    """How a network is trained, whatever it is trained for."""

    steps: int = option(800_000, "Updates of the weights.")
    batch_s: float = option(100.0, "Seconds of cropped audio in a batch, over all processes.")
    accumulate: int = option(1, "Batches an update.")
    crop_s: tuple[float, float] = option(
        (10.0, 13.0), "Recordings beyond the second are cut to a length between the two, in seconds."
    )
    learning_rate: float = option(1e-7, "Peak of the learning rate.")
    warm_up: float = option(0.1, "Share of the steps until the peak.")
    final_rate: float = option(0.01, "Share of the peak that is left at the end.")
    weight_decay: float = option(0.01, "Weight decay of AdamW.")
    clip_norm: float = option(100.0, "Largest norm of the gradient.")
    balance: float = option(
        0.5, "Weight of large data sets and groups: 1 as many as there are, 0 all alike."
    )  # theirs: 1, of which MLS is 90 % of the genuine hours
    augment: str = option("rawboost:5", "Steps as NAME:PROBABILITY with commas between; empty for none.")
    drop: bool = option(True, "Dropout of the front end as it was published with.")
    precision: str = option("auto", "auto, fp32, bf16 or fp16; auto is bf16 where a GPU has it.")
    recompute: bool = option(False, "Compute activations again rather than keep them: slower, less memory.")
    shard: bool = option(False, "Spread the weights over the processes (FSDP) rather than copy them.")
    moving_average: float = option(0.0, "Decay of an average of the weights over steps; 0 for none.")
    keep_best: int = option(1, "Weights of this many best validations are averaged at the end.")
    validate_every: int = option(20_000, "Steps between validations.")  # theirs: 100,000
    save_every: int = option(1_000, "Steps between checkpoints.")
    workers: int = option(2, "Processes that read audio, for each process that trains.")
    track: str = option("", "Also log to MLflow: a folder, or the URI of a server.")
    seed: int = option(1234, "Of every random draw.")


@dataclass(frozen=True)
class PostTraining(LoopOptions):
    """Of `post_train.py`: the defaults above."""


@dataclass(frozen=True)
class FineTuning(LoopOptions):
    """Of `finetune.py`; the authors' where they are known, as above."""

    mode: str = option("full", "What is trained: full, lora (adapters and head) or head.")
    learning_rate: float = option(0.0, "Peak of the learning rate; 0: 1e-6 full, 5e-5 lora, 1e-3 head.")
    steps: int = option(20_000, "Updates of the weights.")  # theirs: ten epochs of about 2,000
    validate_every: int = option(2_000, "Steps between validations.")
    save_every: int = option(500, "Steps between checkpoints.")
    rank: int = option(32, "Rank of the adapters.")
    alpha: int = option(64, "Scale of the adapters, over their rank.")


def check_options(options: LoopOptions) -> None:
    """Refuse what cannot be run.

    Raises:
        InputError: `usage`, naming the flag.
    """
    if options.precision not in ("auto", "fp32", "bf16", "fp16"):
        raise InputError("usage", f"--precision {options.precision!r}: one of auto, fp32, bf16, fp16")
    if not 0.1 <= options.crop_s[0] <= options.crop_s[1] <= 120:
        raise InputError("usage", f"--crop-s {options.crop_s}: two lengths, 0.1 to 120 s, the shorter first")
    for name in ("steps", "accumulate", "keep_best", "validate_every", "save_every"):
        if getattr(options, name) < 1:
            raise InputError("usage", f"--{name.replace('_', '-')}: at least 1, got {getattr(options, name)}")
    for name, low, high in (
        ("learning_rate", 0, 10),
        ("warm_up", 0, 1),
        ("final_rate", 1e-9, 1),
        ("weight_decay", 0, 10),
        ("clip_norm", 1e-6, 1e9),
        ("balance", 0, 1),
        ("moving_average", 0, 0.999999),
        ("workers", 0, 256),
        ("seed", 0, 2**31),
    ):
        if not low <= getattr(options, name) <= high:
            flag = name.replace("_", "-")
            raise InputError("usage", f"--{flag}: between {low} and {high}, got {getattr(options, name)}")
