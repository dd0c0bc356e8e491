"""The report of `earwitness evaluate` as lines for a terminal and as a CSV for a spreadsheet."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from earwitness.metrics.page import TITLES, interval, number, spread
from earwitness.operations.show import visible

SHOWN = 20  # subgroups of a column that a terminal gets
RATES = ("miss", "false_alarm")
NONE = ["–", "", "–"]


def table_text(report: Mapping[str, Any]) -> str:
    """All figures as CSV, one a row: by, name, bona_fide, spoof, metric, value, low, high."""
    file = io.StringIO(newline="")
    writer = csv.writer(file)
    writer.writerow(["by", "name", "bona_fide", "spoof", "metric", "value", "low", "high"])
    for row in table_rows(report):
        writer.writerow([harmless_cell(cell) if isinstance(cell, str) else cell for cell in row])
    return file.getvalue()


def table_rows(report: Mapping[str, Any]) -> Iterator[list[Any]]:
    """Rows of the CSV: of all trials first, then of subgroups."""
    everyone = {"by": "all", "name": "all", **report["metrics"]}
    for part in [{**report, **everyone}, *report["subgroups"]]:
        for metric, figure in part.items():
            if (metric in TITLES or metric in RATES) and figure:
                counts = [part["by"], part["name"], part["bona_fide"], part["spoof"]]
                yield [*counts, metric, figure["value"], figure["low"], figure["high"]]


def harmless_cell(cell: str) -> str:
    """A cell that no spreadsheet takes for a formula, without control characters."""
    shown = visible(cell)
    return f"'{shown}" if shown[:1] in ("=", "+", "-", "@") and shown != "-" else shown


def lines(report: Mapping[str, Any]) -> Iterator[str]:
    """The report for a terminal."""
    files = report["files"]
    key = f" with {files['key']['file']}" if files["key"] else ""
    yield f"{files['scores']['file']} ({files['scores']['layout']}){key}, matched by {report['matched_by']}"
    yield f"{report['trials']:,} trials: {report['bona_fide']:,} bona fide, {report['spoof']:,} spoofed"
    yield ""
    drawn = report["intervals"]
    head = f"{spread(report)} by {drawn['by']}" if drawn["draws"] else ""
    rows = [("metric", "value", head)]
    for name, figure in report["metrics"].items():
        title, unit = TITLES[name]
        rows.append((title, number(figure["value"], unit), interval(figure, unit)))
    decided = 1 + list(report["metrics"]).index("hter")
    shown = list(aligned(rows))
    yield from shown[:decided]
    yield ""
    yield f"at threshold {report['threshold']:.4g} ({report['threshold_from']})"
    yield from shown[decided:]
    yield from comparison_lines(report)
    for by in dict.fromkeys(row["by"] for row in report["subgroups"]):
        yield from subgroup_lines(report, by)
    for line in report["warnings"]:
        yield ""
        yield f"! {line}"


def comparison_lines(report: Mapping[str, Any]) -> Iterator[str]:
    """The paired comparison, where there is one."""
    if not report["against"]:
        return
    yield ""
    yield f"against {report['against']['file']} (difference: this minus the other)"
    rows = [("metric", "other", "difference", spread(report), "p")]
    for name, row in report["against"]["metrics"].items():
        title, unit = TITLES[name]
        p_value = "–" if row["p_value"] is None else f"{row['p_value']:.3g}"
        cells = number(row["value"], unit), number(row["difference"], unit), interval(row, unit)
        rows.append((title, *cells, p_value))
    yield from aligned(rows)


def subgroup_lines(report: Mapping[str, Any], by: str) -> Iterator[str]:
    """Parts of the trials by one column, worst first."""
    parts = [row for row in report["subgroups"] if row["by"] == by]
    yield ""
    yield f"by {by}, worst first"
    rows = [["", "bona fide", "spoof", "EER", spread(report), "Cllr", "misses", "false alarms"]]
    for row in parts[:SHOWN]:
        cells = [row["name"][:40], f"{row['bona_fide']:,}", f"{row['spoof']:,}"]
        eer, llr = row["eer"], row["cllr"]
        cells += [number(eer["value"], "%"), interval(eer, "%"), number(llr["value"], "")] if eer else NONE
        cells += [number(row[name]["value"], "%") if row[name] else "–" for name in RATES]
        rows.append(cells)
    yield from aligned(rows)
    hidden = len(parts[SHOWN:]) + report["subgroups_left_out"][by]
    if hidden:
        yield f"... and {hidden:,} more: --csv and --html have those with the most trials"


def aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Cells in columns: the first to the left, the others to the right."""
    shown = [[visible(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    for first, *others in shown:
        cells = [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
        yield "  ".join([first.ljust(widths[0]), *cells]).rstrip()
