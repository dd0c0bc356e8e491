"""Drift as one HTML page: is there any, since when, in which dimensions, and what to listen to.

The page needs nothing else and runs no script; whatever comes from tables (ids, paths, sources, names) is
escaped. Distances of recordings are root mean squares over dimensions, in deviations of the reference, to
the nearest few of its rows. Nothing here knows of audio.
"""

import io
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from earwitness.errors import InputError, needs_extra
from earwitness.metrics.distances import wasserstein
from earwitness.metrics.page import STYLE, inline, table, text, write_page
from earwitness.metrics.plots import BLUE, GREY, SETTINGS, VERMILLION, legible
from earwitness.operations.samples import Samples

if TYPE_CHECKING:
    from matplotlib.axes import Axes

VIEWS = {"all": "everything", "fake": "what is called fake", "genuine": "what is called genuine"}
LINES = [(colour, dash) for dash in ("-", "--", ":") for colour in (BLUE, VERMILLION, GREY)]
TOP = 10  # dimensions, and items to listen to
NEAREST = 5  # rows of the reference that an item's distance is to
GROUPS = range(2, 7)  # clusters that are tried
ITEMS = 2_000  # of the window, that the number of clusters is chosen on
LEAST = 12  # items of a window that is clustered
ALARMS = 50  # rows of the table
BLOCK = 512  # rows compared at once
LONGEST = 300  # characters of an id or a path that are shown

Row = Mapping[str, Any]


def write_report(
    history: Sequence[Row],
    latest: Samples,
    reference_view: np.ndarray,
    standardise: Callable[[np.ndarray], np.ndarray],
    names: Sequence[str],
    path: Path,
) -> None:
    """Write the page.

    Args:
        history: a row for each window and view, in order: window, view, first, last, t0, t1, size, distances,
            deviations, statistic, p, bound, cusum, cusum_bound, alarm, cusum_alarm, change.
        latest: the samples of the last window.
        reference_view: (r, d) standardised rows of the reference.
        standardise: (m, size) embeddings -> (m, d) as the reference's.
        names: of the d dimensions.
        path: written whole or not at all; what was there is replaced.

    Raises:
        InputError: `usage`: no window, or dimensions that do not fit; `unwritable`.
        MissingExtra: matplotlib or scikit-learn is not installed.
    """
    if not history:
        raise InputError("usage", "no window has been checked: there is nothing to report")
    rows = standardise(latest.embeddings) if len(latest) else np.zeros((0, len(names)))
    if not rows.shape[1] == reference_view.shape[1] == len(names):
        raise InputError(
            "usage",
            f"the latest window has {rows.shape[1]} dimensions, the reference {reference_view.shape[1]}, "
            f"and {len(names)} are named",
        )
    write_page(path, page(history, latest, reference_view, rows, names), "the report")


def page(
    history: Sequence[Row], latest: Samples, reference: np.ndarray, rows: np.ndarray, names: Sequence[str]
) -> str:
    """The whole page."""
    views: list[str] = list(dict.fromkeys(row["view"] for row in history))
    parts = ["<h1>Drift</h1>"]
    for view in views:
        drifting, words = sentence([row for row in history if row["view"] == view], view)
        parts.append(f'<p class="warn">{text(words)}</p>' if drifting else f"<p>{text(words)}</p>")
    for view in views:
        name = VIEWS.get(view, view)
        svg = inline(curves([row for row in history if row["view"] == view], view))
        parts.append(f"<h2>{text(name.capitalize())}</h2>")
        parts.append(f'<figure role="img" aria-label="{text(f"drift of {name}")}">{svg}</figure>')
    parts += [
        '<p class="note">The statistic is the greatest of the deviations of the distances from what windows '
        "without drift have. One window above its bound alarms; the CUSUM adds up small drift over windows."
        "</p>",
        alarm_table(history),
    ]
    if len(rows):
        distances = to_reference(reference, rows)
        parts += [
            dimension_table(reference, rows, names),
            cluster_table(latest, rows, distances),
            listen_tables(latest, rows, distances),
        ]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        "style-src 'unsafe-inline'\">\n"
        f"<title>Drift</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(part for part in parts if part)
        + "\n</body>\n</html>\n"
    )


def sentence(rows: Sequence[Row], view: str) -> tuple[bool, str]:
    """Whether the last window of a view drifts, and since when, in words."""
    name, last = VIEWS.get(view, view).capitalize(), rows[-1]
    alarms = [row for row in rows if alarming(row)]
    if not alarming(last):
        told = f"{name}: no drift in the last window, {window_name(last)}"
        if alarms:
            told += (
                f"; {len(alarms)} of {len(rows)} windows alarmed before, the last {window_name(alarms[-1])}"
            )
        return False, told + "."
    start = since(rows)
    most = max(last["deviations"], key=lambda key: last["deviations"][key], default="")
    how = [words for key, words in (("alarm", "this window"), ("cusum_alarm", "the CUSUM")) if last[key]]
    told = f"{name}: drift since {window_name(start)}; {' and '.join(how)} alarmed"
    told += f" at window {last['window']} (p = {last['p']:.2g})"
    if most:
        told += f", most by {most}, {last['deviations'][most]:.1f} deviations above windows without drift"
    return True, told + "."


def alarming(row: Row) -> bool:
    """Whether a window alarms, by itself or with those before."""
    return bool(row["alarm"] or row["cusum_alarm"])


def since(rows: Sequence[Row]) -> Row:
    """The window from which on the last one's drift is there: its change point, or its run's first alarm."""
    last = rows[-1]
    if last["change"] is not None:
        return next((row for row in rows if row["window"] >= last["change"]), last)
    first = last
    for row in reversed(rows):
        if not alarming(row):
            break
        first = row
    return first


def window_name(row: Row) -> str:
    """A window's number, and its times where they are known."""
    times = [cut(row[key]) for key in ("t0", "t1") if row[key] not in ("", "-", None)]
    return f"window {row['window']}" + (f" ({' to '.join(dict.fromkeys(times))})" if times else "")


def cut(value: object) -> str:
    """A text that is not too long to show."""
    shown = str(value)
    return shown if len(shown) <= LONGEST else shown[: LONGEST - 1] + "…"


def curves(rows: Sequence[Row], view: str) -> bytes:
    """The statistic, the deviations of the distances, and the CUSUM over windows, as SVG."""
    with needs_extra("ops"):
        import matplotlib as mpl
        from matplotlib.figure import Figure
    with mpl.rc_context({**SETTINGS, "svg.hashsalt": f"drift {view}"}):
        figure = Figure(figsize=(9, 8), layout="constrained")
        statistic, deviations, total = figure.subplots(3, 1, sharex=True)
        draw_curve(statistic, rows, ("statistic", "bound", "alarm"))
        draw_deviations(deviations, rows)
        draw_curve(total, rows, ("cusum", "cusum_bound", "cusum_alarm"))
        total.set_xlabel("window")
        file = io.BytesIO()
        metadata = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(file, format="svg", transparent=True, metadata=metadata)
    return file.getvalue()


def draw_curve(axes: "Axes", rows: Sequence[Row], keys: tuple[str, str, str]) -> None:
    """A curve with its bound, its alarms, and the change points that they point to."""
    value, bound, alarm = keys
    title = "CUSUM" if value == "cusum" else value
    windows = [row["window"] for row in rows]
    axes.plot(windows, [row[value] for row in rows], color=BLUE, marker="o", markersize=3, label=title)
    axes.plot(windows, [row[bound] for row in rows], color=GREY, linestyle="--", label="bound")
    found = [row for row in rows if row[alarm]]
    if found:
        places = [row["window"] for row in found], [row[value] for row in found]
        axes.plot(*places, "s", color=VERMILLION, markersize=7, fillstyle="none", label="alarm")
    changes = {row["change"] for row in found if row["change"] is not None}
    for i, change in enumerate(sorted(changes)):
        axes.axvline(change, color=VERMILLION, linestyle=":", label="_" if i else "change")
    axes.set_ylabel(title)
    axes.legend(loc="upper left")


def draw_deviations(axes: "Axes", rows: Sequence[Row]) -> None:
    """How far each distance is above its null."""
    for i, name in enumerate(dict.fromkeys(name for row in rows for name in row["deviations"])):
        colour, dash = LINES[i % len(LINES)]
        values = [row["deviations"].get(name, np.nan) for row in rows]
        axes.plot([row["window"] for row in rows], values, color=colour, linestyle=dash, label=legible(name))
    axes.set_ylabel("deviations above the null")
    if rows[0]["deviations"]:
        axes.legend(loc="upper left", ncols=2)


def alarm_table(history: Sequence[Row]) -> str:
    """The last windows that alarmed."""
    found = [row for row in history if alarming(row)]
    if not found:
        return "<h2>Alarms</h2><p>None.</p>"
    rows = []
    for row in found[: -ALARMS - 1 : -1]:
        which = [name for key, name in (("alarm", "window"), ("cusum_alarm", "CUSUM")) if row[key]]
        cells = [window_name(row), VIEWS.get(row["view"], row["view"]), " and ".join(which)]
        cells += [cut(row["first"]), cut(row["last"]), f"{row['size']:,}"]
        rows.append([*cells, f"{row['statistic']:.2f}", f"{row['bound']:.2f}", f"{row['p']:.2g}"])
    heads = [("window", False), ("of", False), ("alarm by", False), ("first", False), ("last", False)]
    heads += [("size", True), ("statistic", True), ("bound", True), ("p", True)]
    note = f'<p class="note">The last {ALARMS} of {len(found):,}.</p>' if len(found) > ALARMS else ""
    return "<h2>Alarms</h2>" + note + table(heads, rows)


def to_reference(reference: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Mean distance (m,) of rows (m, d) to their NEAREST rows of the reference (r, d)."""
    reference, count = reference.astype(np.float64), min(NEAREST, len(reference))
    squares, found = (reference**2).sum(1), []
    for i in range(0, len(rows), BLOCK):
        some = rows[i : i + BLOCK].astype(np.float64)
        apart = (some**2).sum(1)[:, None] + squares - 2 * some @ reference.T
        near = np.sqrt(np.maximum(np.partition(apart, count - 1, axis=1)[:, :count], 0))
        found.append(near.mean(1) / np.sqrt(rows.shape[1]))
    return np.concatenate(found)


def dimension_table(reference: np.ndarray, rows: np.ndarray, names: Sequence[str]) -> str:
    """The dimensions that moved most."""
    moved = wasserstein(reference, rows)
    shift = rows.mean(0) - reference.mean(0)
    order = np.argsort(-moved, kind="stable")[:TOP]
    cells = [[cut(names[i]), f"{moved[i]:.2f}", f"{shift[i]:+.2f}"] for i in order]
    heads = [("dimension", False), ("Wasserstein-1", True), ("mean shift", True)]
    note = '<p class="note">In deviations of the reference; a distance without a shift is another spread.</p>'
    return "<h2>Dimensions of the last window that moved most</h2>" + note + table(heads, cells)


def clusters_of(rows: np.ndarray, seed: int = 0) -> np.ndarray:
    """Labels (m,) by k-means; how many by the silhouette (P. Rousseeuw 1987), one where none is above 0.1."""
    with needs_extra("ops"):
        from sklearn.cluster import KMeans
        from sklearn.metrics import silhouette_score

    best, found = 0.1, np.zeros(len(rows), int)
    some = np.sort(np.random.default_rng(seed).permutation(len(rows))[:ITEMS])
    for count in GROUPS:
        if len(np.unique(rows[some], axis=0)) <= count:
            break
        labels = KMeans(count, n_init="auto", random_state=seed).fit_predict(rows)
        if len(set(labels[some].tolist())) < 2:
            continue
        value = silhouette_score(rows[some], labels[some])
        if value > best:
            best, found = value, labels
    return found


def cluster_table(latest: Samples, rows: np.ndarray, distances: np.ndarray) -> str:
    """Clusters of the last window, the farthest first."""
    if len(rows) < LEAST:
        return ""
    labels, sources = clusters_of(rows), latest.column("source")
    cells = []
    for label in sorted(set(labels.tolist()), key=lambda one: -distances[labels == one].mean()):
        here = np.flatnonzero(labels == label)
        typical = here[np.argmin(np.square(rows[here] - rows[here].mean(0)).sum(1))]
        most = Counter(sources[i] for i in here if sources[i] not in ("", "-")).most_common(3)
        told = ", ".join(f"{cut(name)} {count / len(here):.0%}" for name, count in most) or "–"
        numbers = f"{len(here):,}", f"{distances[here].mean():.2f}", f"{latest.scores[here].mean():+.2f}"
        cells.append([*numbers, told, place(latest, int(typical))])
    heads = [("size", True), ("mean distance", True), ("mean score", True), ("most from", False)]
    return "<h2>Clusters of the last window</h2>" + table([*heads, ("most typical", False)], cells)


def place(latest: Samples, row: int) -> str:
    """Where to find an item: its path, or its id."""
    path = latest.column("path")[row]
    return cut(path if path not in ("", "-") else latest.ids[row])


def listen_tables(latest: Samples, rows: np.ndarray, distances: np.ndarray) -> str:
    """The items that the last window is made of, and those that the reference knows least."""
    centre = np.square(rows - rows.mean(0)).sum(1)
    orders = {"Most typical of the last window": np.argsort(centre, kind="stable")}
    orders["Farthest from the reference"] = np.argsort(-distances, kind="stable")
    heads = [("item", False), ("score", True), ("distance to the reference", True)]
    found = ""
    for title, order in orders.items():
        cells = [
            [place(latest, i), f"{latest.scores[i]:+.2f}", f"{distances[i]:.2f}"]
            for i in order[:TOP].tolist()
        ]
        found += f"<h2>{title}</h2>" + table(heads, cells)
    return found
