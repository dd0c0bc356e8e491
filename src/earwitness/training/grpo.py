"""Fine-tuning that keeps what post-training taught: GRPO, what it amounts to, and what to compare it with.

Source: Wang, Ge and Yamagishi, arXiv:2603.02914 (Interspeech 2026). The detector's softmax is a policy
over two labels; labels are drawn, those that are right are rewarded, the policy is clipped near its
former self and pulled to the frozen model that training began from. The objectives, with each departure
in the losses, are those of `objectives.py`:

    grpo              as published: 64 drawn labels, old policy refreshed every 1,000 steps
    grpo-simple       the old policy is the current one, nothing is clipped (their GRPO_s)
    grpo-exact        the limit of many samples of the authors' code: (1 - p) / sigma of the batch
    arcsine           the limit of many samples of the paper: -2 arcsin(sqrt(p))
    cross-entropy, cross-entropy-kl, mae, gce   comparators; the second is also pulled to the reference
    --interpolate W   whichever it was: W of the trained weights, 1 - W of those it began from (WiSE-FT)

Departures in the recipe: as in `post_train.py`; the old policy starts as the model that training began
from, and is a copy; nothing is dropped, since the copies would not drop alike; the warm-up is a share of
the steps that are run, where theirs is longer than their training. On a model that was not
post-trained GRPO does worse on other corpora than cross-entropy (their 24.82 against 19.34 % EER), so such
a model is refused unless `--unprepared`.

    earwitness train grpo PROTOCOL.csv --from mms-300m-antideepfake --out RUN
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from earwitness.decision.heads.output import HeadOutput
from earwitness.decision.network import Blueprint
from earwitness.errors import InputError
from earwitness.training.finetune import RATES, adapt
from earwitness.training.loop import Report
from earwitness.training.objectives import OBJECTIVES, ObjectiveOptions, objective
from earwitness.training.options import Grpo
from earwitness.training.recipe import Data, Recipe, run_recipe
from earwitness.training.start import Start
from earwitness.training.trainee import Others, Targets, Task


def grpo(data: Data, start: Start, run: Path, options: Grpo, report: Report) -> dict[str, Any]:
    """Fine-tune into the folder `run`, or go on where it stopped; returns the content of `result.json`.

    Raises:
        InputError: an option is wrong, the model was not post-trained, or as `recipe.run_recipe`.
        ModelError: as `recipe.run_recipe`.
    """
    task = make_task(options)
    if start.head and not options.unprepared:
        raise InputError(
            "usage", "--head: a new head has learnt nothing; fine-tune it first, or --unprepared"
        )
    options = replace(options, learning_rate=options.learning_rate or RATES[options.mode])
    recipe = Recipe(
        "grpo",
        lambda network, adapters: adapt(network, adapters, options),
        lambda blueprint: fitting(task, blueprint),
        check=(lambda card: None) if options.unprepared else check_start,
    )
    return run_recipe(recipe, data, start, run, options, report)


def make_task(options: Grpo) -> Task:
    """What a step minimises, and the networks that this needs.

    Raises:
        InputError: `usage`, naming the flag.
    """
    if options.mode not in RATES:
        raise InputError("usage", f"--mode {options.mode!r}: one of {', '.join(RATES)}")
    if options.refresh < 1:
        raise InputError("usage", f"--refresh: at least 1 step, got {options.refresh}")
    if not 0 < options.interpolate <= 1:
        raise InputError("usage", f"--interpolate: above 0 and up to 1, got {options.interpolate}")
    compute = objective(
        options.objective,
        ObjectiveOptions(options.samples, options.beta, options.clip_ratio, options.normalise, options.q),
    )
    needs = OBJECTIVES[options.objective]

    def losses(found: HeadOutput, targets: Targets, others: Others) -> Tensor:
        return compute(found.logits, targets.labels, others.reference, others.old)

    beside = tuple(name for name in ("reference", "old") if getattr(needs, name))
    refresh = options.refresh if needs.old else 0
    return Task(losses, beside=beside, refresh=refresh, interpolate=options.interpolate)


def fitting(task: Task, blueprint: Blueprint) -> Task:
    """The task, if the head's logits are those of a softmax.

    Raises:
        InputError: `usage`: they are not.
    """
    if blueprint.head == "oc-softmax":
        raise InputError("usage", "--from: a head of OC-Softmax has its own loss; use `train finetune`")
    return task


def check_start(card: dict[str, Any]) -> None:
    """Refuse a model that was not post-trained, as far as its card tells.

    Raises:
        InputError: `not-post-trained`.
    """
    architecture = card.get("architecture") or {}
    recipes = card.get("training", {}).get("recipes")
    trained = architecture.get("head") is not None
    if not trained or (recipes is not None and not {"post", "mix-frame"} & set(recipes)):
        raise InputError(
            "not-post-trained",
            f"{card.get('name')}: was not post-trained, and GRPO would make it worse on other recordings; "
            "begin with `earwitness train post`, or say --unprepared",
        )
