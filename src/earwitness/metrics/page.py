"""A report as one HTML page that needs nothing else: no scripts, no fonts, no pictures from elsewhere.

Whatever comes from files (names of trials, generators, paths) is escaped. The page is readable on
light and dark screens; the plots' colours follow.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from html import escape
from pathlib import Path
from typing import Any

from earwitness.errors import InputError

TITLES = {  # of metrics, and the unit they are shown in
    "eer": ("EER", "%"),
    "eer_asvspoof": ("EER as ASVspoof's packages count it", "%"),
    "auc": ("AUC", ""),
    "min_dcf": ("minDCF", ""),
    "act_dcf": ("actDCF", ""),
    "cllr": ("Cllr", "bit"),
    "min_cllr": ("min Cllr", "bit"),
    "calibration_loss": ("calibration loss", "bit"),
    "min_tdcf": ("min t-DCF", ""),
    "a_dcf": ("a-DCF", ""),
    "t_eer": ("t-EER", "%"),
    "hter": ("HTER", "%"),
    "accuracy": ("accuracy", "%"),
    "f1_bona_fide": ("F1, bona fide", ""),
    "f1_spoof": ("F1, spoof", ""),
}
MEANING = {
    "eer": "misses equal false alarms; tied scores share one point, the crossing is interpolated",
    "eer_asvspoof": "nearest crossing, ties walked through one by one; for comparison with published tables",
    "auc": "chance that a bona fide trial scores above a spoof",
    "min_dcf": "least cost over all thresholds, 1 is the cost without a detector",
    "act_dcf": "cost at the threshold that the scores themselves imply",
    "cllr": "0 is perfect, 1 is what saying nothing costs",
    "min_cllr": "Cllr after the best monotone map",
    "calibration_loss": "Cllr minus min Cllr",
    "min_tdcf": "least tandem cost with speaker verification",
    "a_dcf": "least cost of the single SASV score",
    "t_eer": "tandem equal error rate",
    "hter": "mean of misses and false alarms at the threshold",
    "accuracy": "at the threshold; depends on the class shares",
    "f1_bona_fide": "at the threshold",
    "f1_spoof": "at the threshold",
}
CAPTIONS = {
    "det": "Detection error trade-off",
    "roc": "Receiver operating characteristic",
    "reliability": "Reliability",
    "scores": "Scores",
}
COLOURS = {"#0072b2": "var(--first)", "#d55e00": "var(--second)", "#7f7f7f": "var(--grey)"}
STYLE = """
:root { color-scheme: light dark; --first: #0072b2; --second: #d55e00; --grey: #6b6b6b;
  --line: #d0d0d0; --warn: #fff4d6; --back: #ffffff; --text: #1a1a1a; }
@media (prefers-color-scheme: dark) { :root { --first: #56b4e9; --second: #ff9d4d; --grey: #a0a0a0;
  --line: #444444; --warn: #3d3210; --back: #161616; --text: #ececec; } }
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 64rem; padding: 0 1rem;
  background: var(--back); color: var(--text); }
table { border-collapse: collapse; width: 100%; margin: 1rem 0; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .3rem .6rem; border-bottom: 1px solid var(--line); }
td.n, th.n { text-align: right; white-space: nowrap; }
td, p { overflow-wrap: anywhere; }
.wide { overflow-x: auto; }
.warn { background: var(--warn); padding: .6rem 1rem; border-left: 4px solid var(--second); }
.note { color: var(--grey); font-size: .9rem; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(20rem, 1fr)); gap: 1rem; }
figure { margin: 0; } svg { width: 100%; height: auto; } svg text { fill: currentColor; }
"""


def page(report: Mapping[str, Any], plots: Mapping[str, bytes]) -> str:
    """The page of a report of `earwitness evaluate` with its plots as SVG, by name."""
    title = f"Evaluation of {report['files']['scores']['file']}"
    parts = [
        f"<h1>{text(title)}</h1>",
        f"<p>{text(sentence(report))}</p>",
        *(f'<p class="warn">{text(line)}</p>' for line in report["warnings"]),
        metric_table(report),
        comparison_table(report),
        '<div class="plots">',
        *(
            f'<figure role="img" aria-label="{text(CAPTIONS[name])}">{inline(svg)}</figure>'
            for name, svg in plots.items()
        ),
        "</div>",
        *(subgroup_table(report, by) for by in dict.fromkeys(row["by"] for row in report["subgroups"])),
        f'<p class="note">{text(origin(report))}</p>',
    ]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        "style-src 'unsafe-inline'\">\n"
        f"<title>{text(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(part for part in parts if part)
        + "\n</body>\n</html>\n"
    )


def write_page(path: Path, content: str, what: str) -> None:
    """Write a page whole or not at all; `what` names it in an error.

    Raises:
        InputError: `unwritable`.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_text(content, encoding="utf-8", newline="\n")
        part.replace(path)
    except OSError as error:
        why = error.strerror or error
        raise InputError("unwritable", f"{path}: {what} cannot be written: {why}") from None
    finally:
        with suppress(OSError):
            part.unlink()


def text(value: object) -> str:
    """Anything as HTML text; control characters as escapes."""
    shown = "".join(c if c.isprintable() else repr(c)[1:-1] for c in str(value))
    return escape(shown.encode("utf-8", "backslashreplace").decode("utf-8"))


def number(value: float | None, unit: str) -> str:
    """A figure in its unit: rates in per cent, the rest with four decimals."""
    if value is None:
        return "–"
    return f"{value * 100:.3f} %" if unit == "%" else f"{value:.4f}" + (f" {unit}" if unit else "")


def interval(figure: Mapping[str, float | None], unit: str) -> str:
    """The ends of a figure's interval, or nothing."""
    low, high = figure["low"], figure["high"]
    if low is None or high is None:
        return ""
    scale, digits = (100, 3) if unit == "%" else (1, 4)
    return f"{low * scale:.{digits}f} – {high * scale:.{digits}f}"


def sentence(report: Mapping[str, Any]) -> str:
    """What was evaluated, in words."""
    coverage = report["coverage"]
    words = f"{report['trials']:,} trials: {report['bona_fide']:,} bona fide, {report['spoof']:,} spoofed"
    if coverage["share"] < 1:
        words += f"; {coverage['share']:.1%} of what the key names"
    return f"{words}. Higher scores mean bona fide."


def table(heads: Sequence[tuple[str, bool]], rows: Sequence[Sequence[str]]) -> str:
    """A table; heads are (title, whether numbers stand under it). Cells are plain text."""
    kinds = [' class="n"' if numeric else "" for _, numeric in heads]
    head = "".join(f"<th{kind}>{text(title)}</th>" for (title, _), kind in zip(heads, kinds, strict=True))
    body = ""
    for row in rows:
        cells = (f"<td{kind}>{text(cell)}</td>" for cell, kind in zip(row, kinds, strict=True))
        body += f"<tr>{''.join(cells)}</tr>"
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def spread(report: Mapping[str, Any]) -> str:
    """What stands over a column of intervals."""
    found = report["intervals"]
    return f"{found['level'] * 100:g} % interval" if found["draws"] else "interval"


def metric_table(report: Mapping[str, Any]) -> str:
    """All metrics with their intervals and what they mean."""
    rows = []
    for name, figure in report["metrics"].items():
        title, unit = TITLES[name]
        rows.append([title, number(figure["value"], unit), interval(figure, unit), MEANING[name]])
    heads = [("metric", False), ("value", True), (spread(report), True), ("meaning", False)]
    return table(heads, rows)


def comparison_table(report: Mapping[str, Any]) -> str:
    """The paired comparison, where there is one."""
    against = report["against"]
    if not against:
        return ""
    rows = []
    for name, row in against["metrics"].items():
        title, unit = TITLES[name]
        p_value = "–" if row["p_value"] is None else f"{row['p_value']:.3g}"
        values = [report["metrics"][name]["value"], row["value"], row["difference"]]
        rows.append([title, *(number(value, unit) for value in values), interval(row, unit), p_value])
    heads = [("metric", False), ("this", True), ("other", True), ("difference", True)]
    heads += [(spread(report), True), ("p", True)]
    title = f"Against {against['file']}, on the same trials and draws"
    return f"<h2>{text(title)}</h2>" + table(heads, rows)


def subgroup_table(report: Mapping[str, Any], by: str) -> str:
    """Parts of the trials by one column, worst first."""
    rows = []
    for row in report["subgroups"]:
        if row["by"] != by:
            continue
        cells = [row["name"], f"{row['bona_fide']:,}", f"{row['spoof']:,}"]
        for name, unit in (("eer", "%"), ("cllr", "bit")):
            figure = row[name]
            cells += [number(figure["value"], unit), interval(figure, unit)] if figure else ["–", ""]
        cells += [number(row[name]["value"], "%") if row[name] else "–" for name in ("miss", "false_alarm")]
        rows.append(cells)
    heads = [(by, False), ("bona fide", True), ("spoof", True), ("EER", True), (spread(report), True)]
    heads += [("Cllr", True), (spread(report), True), ("misses", True), ("false alarms", True)]
    left = report["subgroups_left_out"].get(by, 0)
    note = "Worst first; the worst of many is partly chance. Misses and false alarms are at the threshold."
    note += (
        " Each generator stands against the bona fide trials of its data set." if by == "generator" else ""
    )
    note += f" {left:,} smaller ones are left out." if left else ""
    return f'<h2>By {text(by)}</h2><p class="note">{text(note)}</p>' + table(heads, rows)


def origin(report: Mapping[str, Any]) -> str:
    """How the figures came about, and from which files."""
    costs, intervals, files = report["costs"], report["intervals"], report["files"]
    words = (
        f"Costs: P(spoof) {costs['p_spoof']:g}, miss {costs['c_miss']:g}, false alarm {costs['c_fa']:g}. "
        f"Threshold {report['threshold']:.4g} ({report['threshold_from']}). "
    )
    if intervals["draws"]:
        words += f"Intervals: {intervals['draws']:,} bootstrap draws by {intervals['by']}. "
    words += f"Trials matched by {report['matched_by']}. "
    names = [f"{name}: {found['file']}, SHA-256 {found['sha256']}" for name, found in files.items() if found]
    return words + "; ".join(names) + f". earwitness {report['version']}."


def inline(svg: bytes) -> str:
    """An SVG file as an element of the page, in the page's colours."""
    found = svg.decode("utf-8")
    found = found[found.index("<svg") :]
    for colour, variable in COLOURS.items():
        found = found.replace(colour, variable)
    return found.replace("#000000", "currentColor").replace("#262626", "currentColor")
