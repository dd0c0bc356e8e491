"""The plot of `selection.py`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from earwitness.metrics.plots import GREY, SETTINGS

RANDOM = "passive"
CONTROL = "positive-energy"


def plot(results: dict[str, Any], budgets: Sequence[int], target: Path) -> None:
    """EER over labels: random with the luck of a single draw, the best three, and the control."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    colours = dict(zip(results["best_three"], ("#0072b2", "#009e73", "#cc79a7"), strict=True))
    colours |= {RANDOM: GREY, CONTROL: "#d55e00"}
    titles = {"recordings": "other recordings, same episodes", "episodes": "episodes that had no label"}
    grey = dict.fromkeys(
        ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), GREY
    )
    with mpl.rc_context({**SETTINGS, **grey, "svg.hashsalt": "selection"}):
        figure = Figure(figsize=(9.5, 4.4), layout="constrained")
        panels = figure.subplots(1, 2, sharey=True)
        for axes, (by, title) in zip(panels, titles.items(), strict=True):
            of = results[by]["corrected"]["new"]
            for key, dashes in (("no_label", ":"), ("all_labels", "--")):
                name = key.replace("_", " ")
                axes.axhline(of[key]["value"] * 100, color=GREY, linestyle=dashes, linewidth=1, label=name)
            for name, colour in colours.items():
                values = np.array([of[name]["at"][str(n)]["eer"]["value"] for n in budgets]) * 100
                shown = name.replace(RANDOM, "random")
                axes.plot(budgets, values, "o-", color=colour, markersize=4, label=shown)
                if name == RANDOM:
                    luck = np.array(list(results[by]["luck_of_a_random_draw"].values())) * 196
                    band = axes.fill_between(budgets, values - luck, values + luck, color=GREY, alpha=0.2)
                    band.set(linewidth=0, label="random, 95 % of single draws")
            axes.set(xscale="log", xlabel="labels bought", title=title)
            axes.set_xticks(budgets, [str(n) for n in budgets])
            axes.minorticks_off()
        panels[0].set_ylabel("EER of new generators (%)")
        panels[1].legend(fontsize=9)
        figure.savefig(target, format="svg", transparent=True, metadata=dict.fromkeys(("Date", "Creator")))
