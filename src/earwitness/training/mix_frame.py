r"""Mix-frame post-training: splice a piece of one utterance into another, learn which frames it has.

Source: Pan, Sailor and Wu, arXiv:2606.25328 (Interspeech 2026). One contiguous segment of 10 to 30 % of
a clip is replaced, in a hard cut, by a piece of a clip of the opposite class; a linear layer on
the last states says for each frame whether its middle lies in foreign material; binary cross-entropy,
mean over frames; adapters of rank 32 on query, key, value and both feed-forward matrices, the rest
frozen. The frame head is thrown away and `train finetune` goes on with the adapters, whatever head it
puts on them.

Departures: both halves of a pair are base once and injector once, so that each is decoded once (theirs:
drawn apart); shorter clips keep their length where theirs are tiled to 64,600 samples; alpha, optimiser,
epochs and schedule are not in the paper, ours are those of `options.py`; classes and data sets are
balanced as in `post_train.py`; WavLM's adapters do act (see `features/lora.py`). Beside the paper: full
training, for networks without a front end too; other splices; frame labels that say what is spoofed
(`--label spoof`), with a loss of the clip beside them, for a detector that says where.

    earwitness train mix-frame PROTOCOL.csv --from wavlm-large --out RUN
    earwitness train finetune PROTOCOL.csv --from RUN/bundle --mode lora --head attm \
        --head-options '{"head": "ecapa"}' --out RUN2
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from earwitness.audio.augment.chain import parse_chain
from earwitness.audio.augment.mixing import Splicing, check_splicing
from earwitness.decision.localisation import SpanRule
from earwitness.decision.network import FRAME_LEVEL, Blueprint, Network, frame_grid
from earwitness.errors import InputError
from earwitness.training.finetune import adapt_lora
from earwitness.training.frames import LABELS, FrameTask
from earwitness.training.loop import Report
from earwitness.training.options import MixFrame
from earwitness.training.recipe import Data, Recipe, run_recipe
from earwitness.training.start import Start
from earwitness.training.trainee import Losses, Others, Targets, Task, frame_losses, utterance_losses

UNFINISHED = (
    "its frame scores tell foreign material, not spoofed speech; make a detector of it with "
    "`earwitness train finetune --from` this bundle"
)

# Segments of 10 to 30 % of four seconds last half a second or more; until `calibrate`, sure frames only.
SPANS = SpanRule(smooth_s=0.2, threshold=0.9, edge=0.5, min_s=0.2, merge_s=0.2)


def mix_frame(data: Data, start: Start, run: Path, options: MixFrame, report: Report) -> dict[str, Any]:
    """Train into the folder `run`, or go on where it stopped; returns the content of `result.json`.

    Raises:
        InputError: an option or the head does not fit, or as `recipe.run_recipe`.
        ModelError: as `recipe.run_recipe`.
    """
    check(options)
    foreign = options.label == "foreign"
    recipe = Recipe(
        "mix-frame",
        lambda network, adapters: adapt(network, adapters, options),
        lambda blueprint: make_task(blueprint, options),
        unfinished=UNFINISHED if foreign else "",
        localisation=None if foreign else asdict(SPANS),
    )
    return run_recipe(recipe, data, start, run, options, report)


def check(options: MixFrame) -> None:
    """Refuse what cannot be run.

    Raises:
        InputError: `usage`, naming the flag.
    """
    check_splicing(splicing_of(options))
    for flag, value, allowed in (
        ("mode", options.mode, ("lora", "full")),
        ("label", options.label, LABELS),
        ("same-label", options.same_label, (0, 1)),
    ):
        if value not in allowed:
            raise InputError("usage", f"--{flag} {value!r}: one of {', '.join(map(str, allowed))}")
    for flag, value in (("same-class", options.same_class), ("whole", options.whole)):
        if not 0 <= value <= 1:
            raise InputError("usage", f"--{flag}: a share between 0 and 1, got {value}")
    if not 0 <= options.utterance <= 100:
        raise InputError("usage", f"--utterance: a weight between 0 and 100, got {options.utterance}")
    if options.utterance and options.label == "foreign":
        raise InputError("usage", "--utterance: needs --label spoof; foreign material says nothing of a clip")
    if any(step.name == "speed" for step in parse_chain(options.augment).steps):
        raise InputError("usage", "--augment speed: moves the frames away from their labels; leave it out")


def splicing_of(options: MixFrame) -> Splicing:
    """How clips are spliced; a codec behind it is a matter of `augment`."""
    return Splicing(options.share, options.segments, options.fade_s, options.match_level)


def make_task(blueprint: Blueprint, options: MixFrame) -> Task:
    """Frames of spliced clips, and perhaps the clips themselves.

    Raises:
        InputError: `usage`: the head says nothing about frames.
    """
    grid = frame_grid(blueprint)
    if grid is None:
        heads = ", ".join(sorted(FRAME_LEVEL))
        raise InputError("usage", f"--head {blueprint.head}: gives no frame scores; one of {heads}")
    frames = FrameTask(
        grid,
        splicing_of(options),
        options.label,
        options.same_class,
        options.same_label,
        options.whole,
    )
    return Task(with_utterances(options.utterance) if options.utterance else frame_losses, frames)


def with_utterances(weight: float) -> Losses:
    """Loss of the frames, and `weight` times that of the clip: spoofed if any of it is."""

    def losses(found: Any, targets: Targets, others: Others) -> Tensor:
        return frame_losses(found, targets) + weight * utterance_losses(found, targets)

    return losses


def adapt(network: Network, adapters: Path | None, options: MixFrame) -> None:
    """Freeze and add adapters; a linear head for foreign frames begins as in the paper (Xavier).

    Raises:
        InputError: `usage`: adapters are wanted, and there is no front end.
    """
    if options.mode == "lora":
        adapt_lora(network, adapters, options.rank, options.alpha)
    if options.label == "foreign" and type(network.head).__name__ == "MeanLinear":
        nn.init.xavier_uniform_(network.head.project.weight)
        nn.init.zeros_(network.head.project.bias)
