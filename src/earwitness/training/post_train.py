"""Post-training: a speech model learns on many corpora what generated speech sounds like.

Source: Ge, Wang, Liu and Yamagishi, "Post-training for Deepfake Speech Detection",
arXiv:2506.21090, and the authors' code (nii-yamagishilab/AntiDeepfake). The whole network is trained
with cross-entropy on the mean frame's logits, RawBoost on every clip, AdamW, a linear warm-up and
an exponential decay.

Departures, each for a fault named in their issues or measured here: recordings keep their length
through masks where theirs are zero-padded into the mean; batches are budgeted by what is cropped, not
by what is on disk; classes, data sets and groups are balanced (their genuine hours are 90 % one
corpus); bfloat16 is really used on GPUs that have it; the warm-up is a share of the steps that are
run; validation is deterministic, undisturbed, by data set and by the difference of the logits; the
test partitions of corpora are not trained on.

    earwitness train post PROTOCOL.csv --from mms-300m --out RUN
    torchrun --nproc-per-node 8 -m earwitness.cli train post PROTOCOL.csv --from xls-r-1b --out RUN
"""

from pathlib import Path
from typing import Any

from earwitness.training.loop import Report
from earwitness.training.options import PostTraining
from earwitness.training.recipe import Data, Recipe, run_recipe
from earwitness.training.start import Start


def post_train(data: Data, start: Start, run: Path, options: PostTraining, report: Report) -> dict[str, Any]:
    """Post-train into the folder `run`, or go on where it stopped; returns the content of `result.json`.

    Raises:
        InputError: as `recipe.run_recipe`.
        ModelError: as `recipe.run_recipe`.
    """
    return run_recipe(Recipe("post"), data, start, run, options, report)
