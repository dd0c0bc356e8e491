"""`earwitness corpus stats`: hours and counts of protocols, drawn if wanted, and the shortcut probe."""

import json
import sys
from collections import defaultdict
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np

from earwitness.audio.protocol import Utterance, read_protocols
from earwitness.errors import InputError, MissingExtra, needs_extra
from earwitness.operations.corpus import show_table
from earwitness.operations.shortcuts import find_shortcuts
from earwitness.operations.show import visible

COLUMNS: dict[str, Callable[[Utterance], object]] = {
    "dataset": lambda item: item.dataset,
    "split": lambda item: item.split if item.split != "-" or item.fold is None else f"fold {item.fold}",
    "generator": lambda item: item.generator,
    "family": lambda item: item.family,
    "language": lambda item: item.language,
    "rate": lambda item: item.sample_rate or "-",
    "encoding": lambda item: item.encoding or "-",
    "codec": lambda item: item.codec,
}
QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
LABELS = ("real", "fake")
COLOURS = {"real": "#0072B2", "fake": "#D55E00"}  # told apart by the colour-blind (Okabe & Ito)
SHOWN = 12  # rows of a table for people, and bars of a plot; JSON holds all
PLOTS = (".png", ".svg", ".pdf")


def count(items: Sequence[Utterance]) -> dict[str, Any]:
    """Counts, hours and lengths by class, and tables by the values of each column, most hours first."""
    lengths = {
        label: np.array([item.duration_s for item in items if label_of(item) == label], float)
        for label in LABELS
    }
    return {
        "classes": {label: {"rows": len(s), "hours": hours(s.sum())} for label, s in lengths.items()},
        "duration_s": {
            label: {f"{q:g}": round(float(v), 2) for q, v in zip(QUANTILES, quantiles(s), strict=True)}
            for label, s in lengths.items()
            if len(s)
        },
        "by": {name: tabulate(items, value) for name, value in COLUMNS.items()},
    }


def quantiles(lengths: np.ndarray) -> np.ndarray:
    """Seconds at `QUANTILES`."""
    return np.quantile(lengths, QUANTILES)


def hours(seconds: float) -> float:
    """Hours, to the nearest third of a second."""
    return round(float(seconds) / 3600, 4)


def label_of(item: Utterance) -> str:
    """The class of a row."""
    return "real" if item.bona_fide else "fake"


def tabulate(items: Sequence[Utterance], value: Callable[[Utterance], object]) -> list[dict[str, Any]]:
    """A row for each value: rows and hours of each class; most hours first."""
    found: dict[object, dict[str, list[float]]] = defaultdict(lambda: {label: [0, 0.0] for label in LABELS})
    for item in items:
        cell = found[value(item)][label_of(item)]
        cell[0] += 1
        cell[1] += item.duration_s or 0
    rows = [
        {"value": str(key), **{k: {"rows": int(n), "hours": hours(s)} for k, (n, s) in cells.items()}}
        for key, cells in found.items()
    ]
    return sorted(rows, key=lambda row: (-row["real"]["hours"] - row["fake"]["hours"], row["value"]))


def plot(items: Sequence[Utterance], path: Path) -> None:
    """Draw hours by data set, rate and generator, and lengths, into a .png, .svg or .pdf.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    with needs_extra("train"):
        from matplotlib.figure import Figure
    figure = Figure(figsize=(12, 8), layout="constrained")
    axes = figure.subplots(2, 2)
    draw_bars(axes[0, 0], "data sets", tabulate(items, COLUMNS["dataset"]))
    draw_bars(axes[1, 0], "sample rates", tabulate(items, COLUMNS["rate"]))
    fakes = [item for item in items if not item.bona_fide]
    draw_bars(axes[1, 1], "generators of the fakes", tabulate(fakes, COLUMNS["generator"]))
    draw_lengths(axes[0, 1], items)
    figure.savefig(path)


def draw_lengths(axis: Any, items: Sequence[Utterance]) -> None:
    """Share of recordings of each class by their seconds."""
    lengths = {k: [item.duration_s or 0 for item in items if label_of(item) == k] for k in LABELS}
    longest = max(float(np.quantile(seconds, 0.99)) for seconds in lengths.values() if seconds)
    for label, seconds in lengths.items():
        counts, edges = np.histogram(np.minimum(seconds, longest), 50, (0, longest))
        axis.stairs(counts / max(len(seconds), 1), edges, color=COLOURS[label], label=label, lw=2)
    axis.set(xlabel="seconds (the longest 1 % in the last bar)", ylabel="share", title="duration")
    axis.legend()


def draw_bars(axis: Any, name: str, rows: Sequence[dict[str, Any]]) -> None:
    """Hours of each class for the values with most hours."""
    shown = list(rows[:SHOWN])[::-1]
    places = np.arange(len(shown))
    left = np.zeros(len(shown))
    for label in LABELS:
        widths = np.array([row[label]["hours"] for row in shown])
        axis.barh(places, widths, left=left, label=label, color=COLOURS[label])
        left += widths
    names = [visible(row["value"])[:40].replace("$", r"\$") for row in shown]
    axis.set_yticks(places, names)
    more = len(rows) - len(shown)
    axis.set(xlabel="hours", title=f"{name} (and {more} more)" if more else name)
    axis.legend()


def check_request(by: Sequence[str], plot_file: Path | None) -> None:
    """Refuse what cannot be done before anything is.

    Raises:
        InputError: `usage`.
    """
    for name in by:
        if name not in COLUMNS:
            near = get_close_matches(name, COLUMNS, 1) or list(COLUMNS)
            raise InputError("usage", f"--by: no column is called {name!r}; perhaps {', '.join(near)}")
    if plot_file is not None and plot_file.suffix.lower() not in PLOTS:
        raise InputError("usage", f"--plot {plot_file}: expected a name in {', '.join(PLOTS)}")


def run_stats(
    paths: Sequence[Path], by: Sequence[str], plot_file: Path | None, probe: int, as_json: bool
) -> None:
    """`earwitness corpus stats`."""
    check_request(by, plot_file)
    items = read_protocols(paths)
    stats = count(items)
    stats["by"] = {name: table for name, table in stats["by"].items() if not by or name in by}
    if plot_file is not None:
        plot(items, plot_file)
    if not as_json:
        show(stats)
    stats["shortcuts"] = None
    if probe:
        try:
            stats["shortcuts"] = find_shortcuts(items, probe)
        except MissingExtra as error:
            sys.stderr.write(f"no shortcut probe: {error}\n")
    if as_json:
        sys.stdout.write(json.dumps({"protocols": [str(path) for path in paths], **stats}) + "\n")
    elif stats["shortcuts"]:
        show_shortcuts(stats["shortcuts"])


def show(stats: dict[str, Any]) -> None:
    """Classes, lengths and tables for people."""
    titles = ("class", "rows", "hours", *(f"{100 * q:g} %" for q in QUANTILES))
    rows = [
        (label, f"{one['rows']:,}", f"{one['hours']:.2f}", *stats["duration_s"].get(label, {}).values())
        for label, one in stats["classes"].items()
    ]
    show_table(titles, rows, len(titles) - 1)
    sys.stdout.write("(the last columns: seconds that so many recordings do not exceed)\n")
    for name, table in stats["by"].items():
        cells = [
            (
                row["value"],
                *(f"{row[k]['rows']:,}" for k in LABELS),
                *(f"{row[k]['hours']:.2f}" for k in LABELS),
            )
            for row in table[:SHOWN]
        ]
        sys.stdout.write("\n")
        show_table((name, "real", "fake", "hours real", "fake"), cells, 4)
        if len(table) > SHOWN:
            sys.stdout.write(f"... and {len(table) - SHOWN:,} more; --json holds all\n")


def show_shortcuts(found: dict[str, Any]) -> None:
    """What the probe found, for people."""
    sys.stdout.write(
        f"\nshortcut probe: {found['real']:,} real and {found['fake']:,} fake recordings of "
        f"{found['groups']:,} groups, {found['unreadable']:,} could not be read\n"
    )
    if found["measures"]:
        telling = [one for one in found["measures"][:SHOWN] if one["auc"] > 0.5]
        rows = [(one["measure"], one["higher_in"], f"{one['auc']:.3f}") for one in telling]
        show_table(("measure alone", "higher in", "AUC"), rows, 1)
    for name, title in (("random", "random split"), ("grouped", "groups apart")):
        if found[name]:
            figures = (
                f"{label} {one['value']:.3f} [{one['low']:.3f}, {one['high']:.3f}]"
                for label, one in (("AUC", found[name]["auc"]), ("EER", found[name]["eer"]))
            )
            sys.stdout.write(f"all together, {title}: {', '.join(figures)}\n")
    sys.stdout.write(f"{found['says']}\n")
