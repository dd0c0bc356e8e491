"""DET, ROC, reliability and score histograms, as SVG or PNG.

Every plot takes one or two systems: a name and the scores of its bona fide and spoofed trials.
Colours are two of Okabe and Ito's ("Color universal design", 2008), told apart with any colour
vision and, where they carry meaning, by line style too. Curves are thinned to what an eye can see.
"""

import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np

from earwitness.errors import InputError, needs_extra
from earwitness.metrics.detection import eer_threshold
from earwitness.metrics.reliability import reliability_points
from earwitness.metrics.sweep import operating_points, thin

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, VERMILLION, GREY = "#0072b2", "#d55e00", "#7f7f7f"
STYLES = ((BLUE, "-"), (VERMILLION, "--"))  # of the first and the second system
DOTS = ((1, 1), (4, 2), (6, 2, 1, 2))  # of the lines at thresholds
DET_TICKS = (1e-5, 1e-4, 1e-3, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 0.9, 0.95, 0.99, 0.999)
BINS = 80  # of a histogram
OUTSIDE = 0.0005  # share of trials that a histogram may push into its first and last bin
SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "legend.frameon": False,
}

System = tuple[np.ndarray, np.ndarray]  # bona fide (N,), spoof (M,)


def draw_plots(
    systems: Mapping[str, System], thresholds: Mapping[str, float] | None = None, kind: str = "svg"
) -> dict[str, bytes]:
    """All plots, by name (`det`, `roc`, `reliability`, `scores`), each as a file's content.

    Args:
        systems: one or two, by name.
        thresholds: lines in the histogram of the first system, by what they are.
        kind: svg or png.

    Raises:
        MissingExtra: matplotlib is not installed.
        InputError: `bad-scores`.
    """
    with needs_extra("train"):
        import matplotlib as mpl
        from matplotlib.figure import Figure
    named = [(legible(name), *sides) for name, sides in systems.items()]
    curves = [(name, *curve_of(bona_fide, spoof)) for name, bona_fide, spoof in named]
    makers: dict[str, Callable[[Figure], None]] = {
        "det": lambda figure: draw_det(figure.subplots(), curves),
        "roc": lambda figure: draw_roc(figure.subplots(), curves),
        "reliability": lambda figure: draw_reliability(figure.subplots(), named),
        "scores": lambda figure: draw_scores(figure, named, thresholds or {}),
    }
    made = {}
    for name, make in makers.items():
        with mpl.rc_context({**SETTINGS, "svg.hashsalt": name}):
            figure = Figure(figsize=(6, 5), layout="constrained")
            make(figure)
            file = io.BytesIO()
            metadata = dict.fromkeys(("Date", "Creator", "Format", "Type")) if kind == "svg" else {}
            figure.savefig(file, format=kind, dpi=160, transparent=kind == "svg", metadata=metadata)
        made[name] = file.getvalue()
    return made


def save_plots(folder: Path, systems: Mapping[str, System], thresholds: Mapping[str, float]) -> list[Path]:
    """Write each plot as SVG and PNG into a folder, which is made.

    Raises:
        InputError: `unwritable`.
    """
    written = []
    for kind in ("svg", "png"):
        for name, content in draw_plots(systems, thresholds, kind).items():
            path = folder / f"{name}.{kind}"
            try:
                folder.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
            except OSError as error:
                why = error.strerror or error
                raise InputError("unwritable", f"{path}: cannot be written: {why}") from None
            written.append(path)
    return written


def legible(name: str) -> str:
    """A name that matplotlib shows as it is: no formula, no control characters, not too long."""
    shown = "".join(c if c.isprintable() else "?" for c in name)
    shown = shown if len(shown) <= 40 else shown[:19] + "…" + shown[-20:]
    return shown.replace("$", r"\$").lstrip("_") or "-"


def curve_of(bona_fide: np.ndarray, spoof: np.ndarray) -> tuple[np.ndarray, np.ndarray, float, int, int]:
    """Miss and false-alarm rates (K,), (K,) of a curve, its EER, and the trials of either class."""
    _, miss, false_alarm = thin(*operating_points(bona_fide, spoof))
    return miss, false_alarm, eer_threshold(bona_fide, spoof)[0], len(bona_fide), len(spoof)


def probit(rates: Sequence[float] | np.ndarray, n: int) -> np.ndarray:
    """Normal deviates (K,) of rates (K,) in `n` trials; 0 and 1 are half a trial away from their ends."""
    inverse = NormalDist().inv_cdf
    return np.array([inverse(min(max(float(rate), 0.5 / n), 1 - 0.5 / n)) for rate in rates])


def draw_det(axes: "Axes", curves: Sequence[tuple[str, np.ndarray, np.ndarray, float, int, int]]) -> None:
    """Detection error trade-off (Martin et al. 1997): both error rates on normal-deviate axes."""
    most = max(max(n, m) for *_, n, m in curves)
    for (name, miss, false_alarm, rate, n, m), (colour, line) in zip(curves, STYLES, strict=False):
        x, y = probit(false_alarm, m), probit(miss, n)
        axes.plot(
            x, y, color=colour, linestyle=line, label=f"{name}: EER {rate:.2%}", gid=f"det-{colour[1:]}"
        )
        axes.plot(*probit([rate, rate], min(n, m))[:, None], "o", color=colour)
    ticks = [tick for tick in DET_TICKS if 0.5 / most <= tick <= 1 - 0.5 / most]
    places, texts = probit(ticks, most), [f"{tick * 100:g}" for tick in ticks]
    axes.set_xticks(places, texts, rotation=45)
    axes.set_yticks(places, texts)
    axes.axline((0, 0), slope=1, color=GREY, linewidth=0.8, linestyle=":")
    if max(rate for *_, rate, _, _ in curves) < 0.4:  # what lies beyond is of no use to anyone
        start = probit([0], most)[0] - 0.2
        axes.set(xlim=(start, probit([0.65], most)[0]), ylim=(start, probit([0.65], most)[0]))
    axes.set_xlabel("false alarms: spoofs accepted (%)")
    axes.set_ylabel("misses: bona fide rejected (%)")
    axes.set_title("Detection error trade-off")
    axes.legend(loc="upper right")


def draw_roc(axes: "Axes", curves: Sequence[tuple[str, np.ndarray, np.ndarray, float, int, int]]) -> None:
    """Receiver operating characteristic: bona fide accepted against spoofs accepted."""
    for (name, miss, false_alarm, *_), (colour, line) in zip(curves, STYLES, strict=False):
        axes.plot(false_alarm * 100, (1 - miss) * 100, color=colour, linestyle=line, label=name)
    axes.axline((0, 0), slope=1, color=GREY, linewidth=0.8, linestyle=":", label="chance")
    axes.set(xlim=(-1, 101), ylim=(-1, 101), title="Receiver operating characteristic")
    axes.set_xlabel("spoofs accepted (%)")
    axes.set_ylabel("bona fide accepted (%)")
    axes.legend(loc="lower right")


def draw_reliability(axes: "Axes", named: Sequence[tuple[str, np.ndarray, np.ndarray]]) -> None:
    """What the scores promise against what is so (Murphy & Winkler 1977), at even odds."""
    for (name, bona_fide, spoof), (colour, line) in zip(named, STYLES, strict=False):
        x, y, low, high = reliability_points(bona_fide, spoof).T[:4] * 100
        bars = np.maximum([y - low, high - y], 0)
        axes.errorbar(x, y, bars, color=colour, linestyle=line, marker="o", markersize=4, label=name)
    axes.axline((0, 0), slope=1, color=GREY, linewidth=0.8, linestyle=":", label="calibrated")
    axes.set(xlim=(-3, 103), ylim=(-3, 103), title="Reliability of the scores, read as LLRs")
    axes.set_xlabel("P(fake) by the scores, at even odds (%)")
    axes.set_ylabel("share of fakes observed (%)")
    axes.legend(loc="upper left")


def draw_scores(
    figure: "Figure", named: Sequence[tuple[str, np.ndarray, np.ndarray]], thresholds: Mapping[str, float]
) -> None:
    """How the scores of either class are spread; a row a system."""
    rows = figure.subplots(len(named), 1, squeeze=False)[:, 0]
    for axes, (name, bona_fide, spoof) in zip(rows, named, strict=True):
        low, high = np.quantile(np.concatenate([bona_fide, spoof]), [OUTSIDE, 1 - OUTSIDE])
        edges = np.linspace(low, high if high > low else low + 1, BINS + 1)
        sides = (("bona fide", bona_fide), ("spoof", spoof))
        for (label, scores), (colour, line) in zip(sides, STYLES, strict=True):
            counts, _ = np.histogram(np.clip(scores, edges[0], edges[-1]), edges)
            share, label = counts / len(scores) * 100, f"{label} ({len(scores):,})"
            axes.stairs(share, edges, color=colour, linestyle=line, label=label)
        lines = thresholds.items() if axes is rows[0] else ()
        for (what, place), dots in zip(lines, DOTS, strict=False):
            if edges[0] <= place <= edges[-1]:
                label = f"{what} {place:.2f}"
                axes.axvline(place, color=GREY, linewidth=1, linestyle=(0, dots), label=label)
        axes.set_ylabel("share of the class (%)")
        axes.set_title(name)
        axes.legend()
    rows[-1].set_xlabel("score (nats where calibrated): higher is more bona fide")
