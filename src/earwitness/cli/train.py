"""`earwitness train`: post-training, mix-frame post-training, fine-tuning, GRPO."""

from pathlib import Path
from typing import Annotated, Any

import typer

from earwitness.cli.common import plain_errors
from earwitness.cli.flags import with_flags
from earwitness.training.options import FineTuning, Grpo, LoopOptions, MixFrame, PostTraining

train_app = typer.Typer(
    help="Train detectors: post-training, mix-frame post-training, fine-tuning, GRPO.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

PROTOCOLS = Annotated[
    list[Path],
    typer.Argument(
        metavar="PROTOCOL...",
        help="CSVs of `earwitness corpus prepare`: rows of the split 'train' and '-' are trained on, "
        "'valid' validated on, 'test' left alone.",
    ),
]
OUT = Annotated[Path, typer.Option(metavar="FOLDER", help="The run's folder; begun already, it goes on.")]
VALID = Annotated[
    list[Path] | None, typer.Option(metavar="PROTOCOL", help="All rows to validate on; may be repeated.")
]
ROOT = Annotated[
    Path | None, typer.Option(metavar="FOLDER", help="Stands for $ROOT [default: as it was prepared].")
]
HEAD = Annotated[str | None, typer.Option(metavar="NAME", help="A new head; see docs/detectors.md.")]
HEAD_OPTIONS = Annotated[str, typer.Option(metavar="JSON", help="Options of the new head.")]
STATES = Annotated[str, typer.Option(metavar="WHICH", help="Layers it gets: last, all, or numbers: 3,6,9.")]

NOTE = """\b
A run that was stopped, even killed, goes on when the same command is given again, and ends with the
same weights. On several GPUs: torchrun --nproc-per-node 8 -m earwitness.cli train ... [--shard]

"""
POST_HELP = f"""{NOTE}\b
Examples:
  earwitness corpus prepare asvspoof5 /data/asvspoof5
  earwitness train post asvspoof5.csv mlaad.csv --from mms-300m --out runs/mms
  earwitness train post demos.csv --head aasist --learning-rate 1e-3 --steps 5000 --out runs/aasist
  earwitness scan --model runs/mms/bundle samples/
"""
MIX_FRAME_HELP = f"""{NOTE}\b
Examples:
  earwitness train mix-frame asvspoof5.csv --from wavlm-large --out runs/mixed
  earwitness train finetune asvspoof5.csv --from runs/mixed/bundle --mode lora --head attm \\
      --head-options '{{"head": "ecapa"}}' --out runs/detector
  earwitness train mix-frame demos.csv --head logmel-cnn --mode full --learning-rate 2e-3 \\
      --label spoof --utterance 1 --whole 0.5 --out runs/localiser
"""
FINETUNE_HELP = f"""{NOTE}\b
Examples:
  earwitness train finetune mine.csv --from mms-300m-antideepfake --out runs/mine
  earwitness train finetune mine.csv --from mms-300m-antideepfake --crop-s 4 4 --out runs/short
  earwitness train finetune mine.csv --from wavlm-large --mode lora --head attm \\
      --head-options '{{"head": "ecapa"}}' --out runs/lora
"""
GRPO_HELP = f"""{NOTE}\b
Examples:
  earwitness train grpo mine.csv --from mms-300m-antideepfake --out runs/mine
  earwitness train grpo mine.csv --from runs/mms/bundle --objective arcsine --out runs/arcsine
  earwitness train grpo mine.csv --from runs/mms/bundle --objective cross-entropy --interpolate 0.5 \\
      --out runs/half
"""


def parse_options(text: str) -> dict[str, Any]:
    """JSON of a head's options.

    Raises:
        InputError: it is no object.
    """
    import json

    from earwitness.errors import InputError

    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise InputError(
            "usage", f"--head-options {text!r}: expected a JSON object such as '{{\"hidden\": 192}}'"
        )
    return found


def go(
    protocols: list[Path],
    valid: list[Path] | None,
    root: Path | None,
    out: Path,
    start: tuple[str | None, str | None, str, str],
    options: LoopOptions,
) -> None:
    """Train; `start` is a model, a head, the head's options and its layers."""
    with plain_errors("the same command goes on from the last checkpoint"):
        from earwitness.training.command import run

        model, head, head_options, states = start
        run(protocols, valid or [], root, out, (model, head, parse_options(head_options), states), options)


@train_app.command("post", epilog=POST_HELP)
@with_flags(PostTraining)
def train_post(
    protocols: PROTOCOLS,
    out: OUT,
    model: Annotated[
        str | None,
        typer.Option("--from", metavar="MODEL", help="Front end or detector to begin from."),
    ] = None,
    head: HEAD = None,
    head_options: HEAD_OPTIONS = "{}",
    states: STATES = "",
    valid: VALID = None,
    root: ROOT = None,
    options: PostTraining = PostTraining(),
) -> None:
    """Post-train a speech model on genuine and generated speech (AntiDeepfake)."""
    go(protocols, valid, root, out, (model, head, head_options, states), options)


@train_app.command("mix-frame", epilog=MIX_FRAME_HELP)
@with_flags(MixFrame)
def train_mix_frame(
    protocols: PROTOCOLS,
    out: OUT,
    model: Annotated[
        str | None,
        typer.Option("--from", metavar="MODEL", help="Front end or detector to begin from."),
    ] = None,
    head: HEAD = None,
    head_options: HEAD_OPTIONS = "{}",
    states: STATES = "",
    valid: VALID = None,
    root: ROOT = None,
    options: MixFrame = MixFrame(),
) -> None:
    """Post-train on spliced clips, frame by frame: which part does not belong (MFPT)."""
    go(protocols, valid, root, out, (model, head, head_options, states), options)


@train_app.command("finetune", epilog=FINETUNE_HELP)
@with_flags(FineTuning)
def train_finetune(
    protocols: PROTOCOLS,
    out: OUT,
    model: Annotated[
        str,
        typer.Option("--from", metavar="MODEL", help="Detector or front end to begin from: name or folder."),
    ],
    head: HEAD = None,
    head_options: HEAD_OPTIONS = "{}",
    states: STATES = "",
    valid: VALID = None,
    root: ROOT = None,
    options: FineTuning = FineTuning(),
) -> None:
    """Fine-tune a detector: the whole of it, adapters, or its head."""
    go(protocols, valid, root, out, (model, head, head_options, states), options)


@train_app.command("grpo", epilog=GRPO_HELP)
@with_flags(Grpo)
def train_grpo(
    protocols: PROTOCOLS,
    out: OUT,
    model: Annotated[
        str,
        typer.Option("--from", metavar="MODEL", help="Post-trained detector to begin from: name or folder."),
    ],
    head: HEAD = None,
    head_options: HEAD_OPTIONS = "{}",
    states: STATES = "",
    valid: VALID = None,
    root: ROOT = None,
    options: Grpo = Grpo(),
) -> None:
    """Fine-tune a post-trained detector and keep what it knows (GRPO and its kin)."""
    go(protocols, valid, root, out, (model, head, head_options, states), options)
