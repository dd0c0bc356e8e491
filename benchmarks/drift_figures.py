"""Figures of `drift.py`: shares, means and correlations with their intervals, and the picture of the year."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from scipy.stats import rankdata

from earwitness.metrics.reliability import wilson

Cell = dict[str, Any]
BANDS = {"quiet": "#999999", "new": "#d55e00", "benign": "#0072b2"}
TEXT = "#808080"


def rounded(value: float, low: float, high: float, **more: Any) -> Cell:
    """An entry of the results."""
    return {"value": round(value, 4), "low": round(low, 4), "high": round(high, 4), **more}


def share(count: int, n: int) -> Cell:
    """A share with Wilson's interval."""
    return rounded(count / n, *wilson(count, n, 0.95), n=n)


def two_way(table: np.ndarray, draws: int = 2_000) -> Cell:
    """Mean of (draws, months); both are resampled. Nothing where the table is empty."""
    if not np.isfinite(table).any():
        return {}
    rng = np.random.default_rng(0)
    picks = (tuple(rng.integers(0, n, n) for n in table.shape) for _ in range(draws))
    means = [np.nanmean(table[np.ix_(*pick)]) for pick in picks]
    return rounded(float(np.nanmean(table)), *np.nanquantile(means, (0.025, 0.975)).tolist())


def spearman(x: np.ndarray, y: np.ndarray) -> float:
    """Rank correlation of what both have."""
    both = np.isfinite(x) & np.isfinite(y)
    if both.sum() < 4 or min(np.ptp(x[both]), np.ptp(y[both])) == 0:
        return float("nan")
    return float(np.corrcoef(rankdata(x[both]), rankdata(y[both]))[0, 1])


def column_means(table: np.ndarray) -> np.ndarray:
    """Means of what is there; NaN where nothing is."""
    counts = np.isfinite(table).sum(0)
    return np.where(counts > 0, np.nansum(table, axis=0) / np.maximum(counts, 1), np.nan)


def correlation(x: np.ndarray, y: np.ndarray) -> Cell:
    """Spearman of tables (draws, months): mean over draws, intervals over draws and over months."""
    each = [spearman(*pair) for pair in zip(x, y, strict=True)]
    middles = [column_means(table) for table in (x, y)]
    rng = np.random.default_rng(0)
    picks = [rng.integers(0, x.shape[1], x.shape[1]) for _ in range(1_000)]
    over = [spearman(*(middle[pick] for middle in middles)) for pick in picks]
    low, high = np.nanquantile(over, (0.025, 0.975)).tolist()
    months = rounded(spearman(middles[0], middles[1]), low, high)
    ends = np.nanquantile(each, (0.025, 0.975)).tolist()
    return rounded(float(np.nanmean(each)), *ends, mean_of_draws_over_months=months)


def draw_year(names: Sequence[str], kinds: Sequence[str], year: Sequence[Cell], path: Path) -> None:
    """Statistic of each window of one draw with the bounds, and the EER of each month beneath."""
    settings: dict[Any, Any] = {
        "svg.fonttype": "none",
        "svg.hashsalt": "drift",
        "font.family": "sans-serif",
        "font.size": 9,
    }
    coloured = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color")
    settings |= dict.fromkeys(coloured, TEXT)
    with mpl.rc_context(settings):
        figure = Figure(figsize=(10, 6.4), layout="constrained")
        top, low = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
        for i, kind in enumerate(kinds):
            for axes in (top, low):
                colour = BANDS[kind.split()[0]]
                axes.axvspan(i, i + 1, color=colour, alpha=0.22, lw=0)
        styles = {"all": ("o", "#009e73"), "fake": ("v", "#cc79a7"), "genuine": ("^", "#56b4e9")}
        for view, (marker, colour) in styles.items():
            placed = [
                (i + (end - 4) / 80, one) for i, month in enumerate(year) for end, one in month["found"]
            ]
            here = [(x, one) for x, one in placed if one.view == view]
            top.plot(
                [x for x, _ in here],
                [one.statistic for _, one in here],
                marker,
                color=colour,
                ms=4,
                label=f"{view} ({here[0][1].size} a window)",
            )
            top.axhline(here[0][1].bound, color=colour, lw=1, ls="--")
        top.set(ylabel="statistic (dashed: alarm at 1 %)", yscale="symlog")
        top.set_yticks([-1, 0, 1, 2, 5, 10, 20], ["-1", "0", "1", "2", "5", "10", "20"])
        patches = [Patch(color=colour, alpha=0.4, label=key) for key, colour in BANDS.items()]
        handles = [*top.get_legend_handles_labels()[0], *patches]
        top.legend(handles=handles, ncols=6, frameon=False, loc="lower left", bbox_to_anchor=(0, 1))
        middles = np.arange(len(names)) + 0.5
        whole = [100 * one["eer"] for one in year]
        low.bar(middles, whole, 0.6, color=TEXT, label="all of the month")
        new = [100 * one["eer_new"] for one in year]
        low.plot(middles, new, "D", color=BANDS["new"], ms=5, label="its new fakes, quiet genuine")
        low.set(ylabel="EER, %", xlim=(0, len(names)))
        low.set_xticks(middles, names, rotation=90)
        low.legend(frameon=False, ncols=2, loc="upper left")
        for axes in (top, low):
            axes.spines[["top", "right"]].set_visible(False)
            axes.set_facecolor("none")
        metadata = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(path, format="svg", transparent=True, metadata=metadata)
