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
    twins: float = option(
        0.0, "Share of pairs that are two versions of one utterance, cut and disturbed alike."
    )
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


@dataclass(frozen=True)
class MixFrame(LoopOptions):
    """Of `mix_frame.py`: Pan, Sailor and Wu, arXiv:2606.25328, unless the line says otherwise."""

    mode: str = option("lora", "What is trained: lora (adapters and frame head) or full.")
    rank: int = option(32, "Rank of the adapters.")
    alpha: int = option(64, "Scale of the adapters, over their rank.")  # not reported
    share: tuple[float, float] = option((0.1, 0.3), "Share of a clip that is replaced, between the two.")
    segments: tuple[int, int] = option((1, 1), "Segments that are replaced, between the two.")
    fade_s: float = option(0.0, "Cross-fade at each cut, in seconds.")
    match_level: bool = option(False, "Bring a segment to the level of what it replaces.")
    same_class: float = option(0.0, "Share of the segments that come from the clip's own class.")
    same_label: int = option(1, "Label of such segments: 1 foreign, 0 not.")
    whole: float = option(0.0, "Share of clips that are left whole.")
    label: str = option(
        "foreign", "What frames are taught: foreign (this was not here) or spoof (this is not genuine)."
    )
    utterance: float = option(0.0, "Weight of the clip's own loss beside that of its frames.")
    steps: int = option(20_000, "Updates of the weights.")  # not reported
    batch_s: float = option(1034.0, "Seconds of cropped audio in a batch, over all processes.")  # 256 clips
    crop_s: tuple[float, float] = option(
        (4.0375, 4.0375), "Recordings beyond the second are cut to a length between the two, in seconds."
    )
    learning_rate: float = option(4e-4, "Peak of the learning rate.")
    weight_decay: float = option(1e-4, "Weight decay of AdamW.")  # that of the group's AttM code
    augment: str = option("", "Steps as NAME:PROBABILITY with commas between, after the splice.")
    drop: bool = option(False, "Dropout of the front end as it was published with.")
    validate_every: int = option(1_000, "Steps between validations.")
    save_every: int = option(500, "Steps between checkpoints.")


@dataclass(frozen=True)
class Grpo(LoopOptions):
    """Of `grpo.py`: Wang, Ge and Yamagishi, arXiv:2603.02914, unless the line says otherwise."""

    objective: str = option(
        "grpo",
        "What is minimised: grpo, grpo-simple, grpo-exact, arcsine, cross-entropy, cross-entropy-kl, mae "
        "or gce.",
    )
    mode: str = option("full", "What is trained: full, lora (adapters and head) or head.")
    samples: int = option(64, "Labels drawn of each clip.")
    beta: float = option(0.04, "Weight of the pull to the model that training began from.")
    clip_ratio: float = option(0.2, "How far the ratio to the old policy may lie from 1.")
    normalise: str = option("utterance", "Rewards over the labels of an utterance, or of the batch.")
    refresh: int = option(1_000, "Steps between copies of the trained network into the old policy.")
    q: float = option(0.7, "Of gce: near 0 cross-entropy, at 1 mean absolute error.")
    interpolate: float = option(
        1.0, "Share of the trained weights in the result; the rest is what it began as."
    )
    unprepared: bool = option(False, "Begin even with a model that was not post-trained.")
    learning_rate: float = option(0.0, "Peak of the learning rate; 0: 1e-6 full, 5e-5 lora, 1e-3 head.")
    drop: bool = option(False, "Dropout of the front end as it was published with.")  # the copies do not
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
        ("twins", 0, 1),
        ("moving_average", 0, 0.999999),
        ("workers", 0, 256),
        ("seed", 0, 2**31),
    ):
        if not low <= getattr(options, name) <= high:
            flag = name.replace("_", "-")
            raise InputError("usage", f"--{flag}: between {low} and {high}, got {getattr(options, name)}")
