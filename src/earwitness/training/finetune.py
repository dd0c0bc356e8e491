"""Fine-tuning: a post-trained detector learns the recordings of one place.

Three ways: the whole network (AntiDeepfake, arXiv:2506.21090, README of the authors' code: the recipe
of post-training at ten times the rate), low-rank adapters on a frozen front end (the third stage of
mix-frame post-training, Pan, Sailor and Wu, arXiv:2606.25328: rank 32 on query, key, value and both
feed-forward matrices, rate 5e-5, and a heavier head if wanted), or the head alone.

Departures: as in `post_train.py`. The authors' warm-up (80,000 steps) is longer than their
fine-tuning, so that their rate only rises; here it is a tenth of the steps. Segment lengths of 4 to
50 s are a matter of `crop_s`.

    earwitness train finetune PROTOCOL.csv --from mms-300m-antideepfake --out RUN
    earwitness train finetune PROTOCOL.csv --from wavlm-large --head attm --mode lora --out RUN
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

from earwitness.decision.bundle import WEIGHTS, file_digest
from earwitness.decision.network import Network
from earwitness.errors import InputError
from earwitness.features.lora import LoraOptions, add_adapters, continue_adapters, read_adapters
from earwitness.training.loop import Report
from earwitness.training.options import FineTuning, Grpo
from earwitness.training.recipe import Data, Recipe, run_recipe
from earwitness.training.start import Start

RATES = {"full": 1e-6, "lora": 5e-5, "head": 1e-3}  # the last is ours


def finetune(data: Data, start: Start, run: Path, options: FineTuning, report: Report) -> dict[str, Any]:
    """Fine-tune into the folder `run`, or go on where it stopped; returns the content of `result.json`.

    Raises:
        InputError: no such mode, or as `recipe.run_recipe`.
        ModelError: as `recipe.run_recipe`.
    """
    if options.mode not in RATES:
        raise InputError("usage", f"--mode {options.mode!r}: one of {', '.join(RATES)}")
    if start.model is None:
        raise InputError("usage", "--from: name the detector or front end to begin from")
    options = replace(options, learning_rate=options.learning_rate or RATES[options.mode])
    if options.mode != "full":
        options = replace(options, drop=False)

    recipe = Recipe("finetune", lambda network, adapters: adapt(network, adapters, options))
    return run_recipe(recipe, data, start, run, options, report)


def adapt(network: Network, adapters: Path | None, options: FineTuning | Grpo) -> None:
    """Freeze what the mode leaves alone.

    Raises:
        InputError: `usage`: there is no front end.
    """
    if options.mode == "lora":
        adapt_lora(network, adapters, options.rank, options.alpha)
    elif options.mode == "head":
        if network.front_end is None:
            raise InputError("usage", "--mode head: this detector has no front end; use --mode full")
        network.front_end.requires_grad_(False)


def adapt_lora(network: Network, adapters: Path | None, rank: int, alpha: int) -> None:
    """Freeze the front end and add adapters, or go on with those that its bundle carries.

    Raises:
        InputError: `usage`: there is no front end.
        ModelError: the bundle's adapters are damaged or of another rank.
    """
    if network.front_end is None:
        raise InputError("usage", "--mode lora: this detector has no front end; use --mode full")
    options = LoraOptions(rank=rank, alpha=alpha)
    if adapters is None:
        add_adapters(network.front_end, options)
    else:
        found = read_adapters(adapters, file_digest(adapters.with_name(WEIGHTS)))
        continue_adapters(network.front_end, found, options)
