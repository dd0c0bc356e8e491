"""A bench as people see it: tables, and a plot of the main figures."""

import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from earwitness.errors import InputError, needs_extra
from earwitness.operations.corpus import show_table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BLUE, VERMILLION, GREEN, GREY = "#0072b2", "#d55e00", "#009e73", "#7f7f7f"
BUSY = 0.3  # of its cores
KINDS = {"fp32": BLUE, "bf16": VERMILLION, "int8": GREEN}
Row = dict[str, Any]
Say = Callable[[str], None]


@contextmanager
def progress_of(sections: int) -> Iterator[tuple[Say, Say]]:
    """A bar on stderr, where that is a terminal: tell one function what is being done, the other what is."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:
        task = progress.add_task("", total=sections)
        yield (
            lambda text: progress.update(task, description=text),
            lambda _: progress.advance(task),
        )


def figure(value: Any, unit: str = "") -> str:
    """Three digits, or whole; '-' for none."""
    if value is None:
        return "-"
    return (f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}") + unit


def cells(row: Row, *keys: str) -> tuple[str, ...]:
    """Figures of a row with the units that their keys end in."""
    units = {"s": " s", "ms": " ms"}
    return tuple(figure(row.get(key), units.get(key.rpartition("_")[2], "")) for key in keys)


def percent(value: float | None) -> str:
    """A share."""
    return "-" if value is None else f"{100 * value:.0f} %"


def show(found: Row) -> None:
    """Tables of all sections that ran, on stdout."""
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=True)
    quick = ", quick: figures are rough" if found["quick"] else ""
    console.print(f"{found['machine']['name']}; {found['model']}, {found['audio']}{quick}", markup=False)
    for titles, rows, numbers, remark in tables_of(found):
        console.print()
        show_table(titles, rows, numbers)
        if remark:
            console.print(remark, markup=False)
    load = found["load_before"]
    if load is not None and load > BUSY * found["machine"]["cores"]:
        console.print(f"\nthe machine was busy (load {load:g}): measure again when it is quiet", markup=False)
    for name, why in found["skipped"].items():
        console.print(f"\n{name}: not measured: {why}", markup=False)


Table = tuple[Sequence[str], Sequence[Sequence[object]], int, str]  # titles, rows, columns of words, remark
Made = Table | None


def tables_of(found: Row) -> list[Table]:
    """Tables of all sections that ran."""
    makers = (start_table, engines_table, decoding_table, cores_table, length_table, knowledge_table)
    return [made for make in makers if (made := make(found))]


def start_table(found: Row) -> Made:
    """Cold starts."""
    row = found.get("start")
    if not row:
        return None
    names = ("one 5 s file, whole process", "of which importing", "--help")
    keys = ("one_5_s_file_s", "importing_s", "help_s")
    rows = [(name, figure(row[key], " s")) for name, key in zip(names, keys, strict=True)]
    return ("start", f"median of {row['starts']}"), rows, 1, ""


def engines_table(found: Row) -> Made:
    """Engines."""
    if not found.get("engines"):
        return None
    rows = [
        (
            row["model"],
            f"{row['engine']} {row['precision']}",
            f"not measured: {row['why'][:60]}" if "why" in row else row.get("taught_by", ""),
            figure(row.get("times_real_time_a_core")),
            figure(row.get("best_times_real_time_a_core")),
            percent(row.get("share_of_peak")),
            figure(row.get("gemm_gflop_s")),
            figure(row.get("memory_mib")),
            figure(row.get("llr_moved")),
        )
        for row in found["engines"]
    ]
    titles = ("model", "engine", "", "x real time a core", "best", "of peak", "peak GFLOP/s", "MiB", "moved")
    return titles, rows, 6, "moved: the most that an LLR differs from onnx fp32, or a score not calibrated"


def decoding_table(found: Row) -> Made:
    """What comes before scoring."""
    if not found.get("decoding"):
        return None
    rows = [
        (
            f"decoding {kind}",
            row.get("why", row["of"]),
            figure(row.get("times_real_time_a_core")),
            figure(row.get("feeds_cores")),
        )
        for kind, row in found["decoding"].items()
    ]
    for key, what in (("speech_check", ""), ("scoring", found.get("scoring", {}).get("by", ""))):
        if key in found:
            rows.append((key.replace("_", " "), what, figure(found[key]["times_real_time_a_core"]), ""))
    behind = [kind for kind, row in found["decoding"].items() if row.get("keeps_ahead") is False]
    said = f"falls behind scoring: {', '.join(behind)}" if behind else "decoding keeps ahead of scoring"
    remark = f"{said}; with the speech check, a core feeds so many that score" if "scoring" in found else ""
    return ("stage", "", "x real time a core", "feeds cores"), rows, 2, remark


def cores_table(found: Row) -> Made:
    """Workers."""
    about = found.get("cores")
    if not about:
        return None
    keys = ("files_per_s", "speed_up", "speed_up_beyond_start", "scoring_alone")
    rows = [
        (row["workers"], figure(row["seconds"], " s"), *(figure(row.get(key)) for key in keys))
        for row in about["rows"]
    ]
    remark = f"{about['files']} clips of {about['clip_s']:g} s; starting, {about['start_s']:.2g} s, counts"
    titles = ("workers", "whole scan", "files a second", "speed-up", "beyond starting", "scoring alone")
    return titles, rows, 6, remark


def growth_of(fit: Row | None) -> str:
    """An exponent with its interval."""
    return f"{fit['exponent']:.3f} ± {fit['within']:.3f}" if fit else "-"


def length_table(found: Row) -> Made:
    """Lengths."""
    about = found.get("length")
    if not about:
        return None
    rows = [
        (f"{row['audio_s']:,.0f} s", row.get("why", ""), *cells(row, "scan_s", "cpu_s", "memory_mib"))
        for row in about["rows"]
    ]
    remark = (
        f"from 10 s on time grows with length to the power of {growth_of(about.get('wall'))} "
        f"(CPU {growth_of(about.get('cpu'))}); memory from a minute to the longest by "
        f"{figure(about.get('memory_grows_mib'))} MiB"
    )
    return ("length", "", "scan", "CPU", "MiB"), rows, 3, remark


def knowledge_table(found: Row) -> Made:
    """Knowledge bases."""
    about = found.get("knowledge")
    if not about:
        return None
    keys = ("query_ms", "first_query_s", "memory_mib", "disk_mib")
    rows = [(f"{row['entries']:,}", row.get("why", ""), *cells(row, *keys)) for row in about["rows"]]
    remark = f"{about['neighbours']} neighbours of {about['embedding']} numbers each"
    return ("entries", "", "question", "first", "MiB", "MiB on disk"), rows, 4, remark


def check_plot(file: Path) -> None:
    """Refuse a plot that could not be drawn.

    Raises:
        InputError: `usage`: its ending is neither .png nor .svg.
        MissingExtra: matplotlib is not installed.
    """
    if file.suffix.lower() not in (".png", ".svg"):
        raise InputError("usage", f"--plot {file}: a .png or a .svg")
    with needs_extra("ops"):
        import matplotlib  # noqa: F401


def draw(found: Row, kind: str) -> bytes:
    """A panel for each section that has a curve or bars, as a file's content; kind is png or svg.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    with needs_extra("ops"):
        from matplotlib.figure import Figure
    panels = {
        "engines": draw_engines,
        "decoding": draw_decoding,
        "cores": draw_cores,
        "length": draw_length,
        "knowledge": draw_knowledge,
    }
    wanted = [(make, found) for name, make in panels.items() if found.get(name)]
    across = min(3, max(1, len(wanted)))
    down = -(-len(wanted) // across) or 1
    sheet = Figure(figsize=(5 * across, 4 * down), layout="constrained")
    places = sheet.subplots(down, across, squeeze=False).ravel()
    for axes in places:
        axes.spines[["top", "right"]].set_visible(False)
    for axes, (make, results) in zip(places, wanted, strict=False):
        make(axes, results)
    for axes in places[len(wanted) :]:
        axes.set_axis_off()
    sheet.suptitle(found["machine"]["name"].replace("$", r"\$"))
    file = io.BytesIO()
    sheet.savefig(file, format=kind, dpi=140)
    return file.getvalue()


def bars(axes: "Axes", names: list[str], values: list[float], colours: list[str]) -> None:
    """Bars to the right, the first on top, each with its figure."""
    drawn = axes.barh(range(len(names)), values, color=colours)
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.bar_label(drawn, [figure(value) for value in values], padding=3)
    axes.margins(x=0.15)


def draw_engines(axes: "Axes", found: Row) -> None:
    """Times real time a core."""
    rows = [row for row in found["engines"] if "why" not in row]
    names = [f"{row['model']} {row['engine']} {row['precision']}" for row in rows]
    bars(axes, names, [row["times_real_time_a_core"] for row in rows], [KINDS[r["precision"]] for r in rows])
    axes.set(title="Engines", xlabel="times real time, one core")


def draw_decoding(axes: "Axes", found: Row) -> None:
    """Stages before scoring, and scoring."""
    rows = {kind: row for kind, row in found["decoding"].items() if "why" not in row}
    rows |= {key.replace("_", " "): found[key] for key in ("speech_check", "scoring") if key in found}
    colours = [VERMILLION if name == "scoring" else BLUE for name in rows]
    bars(axes, list(rows), [row["times_real_time_a_core"] for row in rows.values()], colours)
    axes.set(title="Before scoring", xlabel="times real time, one core")


def draw_cores(axes: "Axes", found: Row) -> None:
    """Speed-up by workers, beside what would be ideal."""
    x = [row["workers"] for row in found["cores"]["rows"]]
    axes.plot(x, x, ":", color=GREY, label="ideal")
    axes.plot(x, [row["speed_up"] for row in found["cores"]["rows"]], "o-", color=BLUE, label="measured")
    axes.set(title="Workers", xlabel="workers", ylabel="speed-up", xticks=x)
    axes.legend(frameon=False)


def draw_length(axes: "Axes", found: Row) -> None:
    """Seconds and memory by length."""
    rows = [row for row in found["length"]["rows"] if "why" not in row]
    x = [row["audio_s"] for row in rows]
    axes.loglog(x, [row["scan_s"] for row in rows], "o-", color=BLUE, label="seconds")
    axes.loglog(x, [row["memory_mib"] or 1 for row in rows], "s--", color=VERMILLION, label="MiB")
    axes.set(title="Length of a recording", xlabel="seconds of audio")
    axes.legend(frameon=False)


def draw_knowledge(axes: "Axes", found: Row) -> None:
    """Milliseconds a question by entries."""
    rows = [row for row in found["knowledge"]["rows"] if "why" not in row]
    axes.loglog([row["entries"] for row in rows], [row["query_ms"] for row in rows], "o-", color=BLUE)
    axes.set(title="Knowledge base", xlabel="entries", ylabel="milliseconds a question")
