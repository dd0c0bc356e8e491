"""A scan as people and machines see it: table, timeline, JSON lines, CSV, progress."""

import csv
import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from earwitness.errors import InputError
from earwitness.evidence.report_text import clock as moment
from earwitness.operations.hearing import NOT_CALIBRATED
from earwitness.types import VERDICTS

if TYPE_CHECKING:
    from rich.text import Text

COLOURS = {
    "fake": "bold red",
    "genuine": "green",
    "uncertain": "yellow",
    "no-speech": "dim",
    "error": "magenta",
}
MOST_SPANS = 20  # listed under a row
HEAD = f"{'verdict':<10}{'p(fake)':>7}  {'length':>8}  {'worst moment':<15}  file"
BLOCKS = "▁▂▃▄▅▆▇█"
CSV_COLUMNS = (
    "path verdict p_fake llr score duration_s speech_s worst_start_s worst_end_s prior rule warnings "
    "error_code error_message sha256 sample_rate channels codec model_name model_version model_digest"
).split()


class JsonLines:
    """One JSON object a line on stdout, flushed at once."""

    def __call__(self, record: dict[str, Any]) -> None:
        sys.stdout.write(json.dumps(record, ensure_ascii=True) + "\n")
        sys.stdout.flush()


class Table:
    """Rows for people, as they come; colours on a terminal only."""

    def __init__(self, timeline: bool) -> None:
        from rich.console import Console

        self.console = Console(highlight=False, soft_wrap=True)
        self.timeline = timeline
        self.headed = False

    def __call__(self, record: dict[str, Any]) -> None:
        from rich.text import Text

        if not self.headed:
            self.console.print(Text(HEAD, "bold"))
            self.headed = True
        row = Text()
        row.append(f"{record['verdict']:<10}", COLOURS[record["verdict"]])
        p_fake, duration, worst = record["p_fake"], record["duration_s"], record["worst"]
        row.append("      –" if p_fake is None else f"{p_fake:>7.2f}")
        row.append("  " + f"{'–' if duration is None else clock(duration):>8}")
        moment = f"{clock(worst['start_s'])}–{clock(worst['end_s'])}" if worst else "–"
        row.append(f"  {moment:<15}  {visible(record['path'])}")
        self.console.print(row)
        for line in remarks(record):
            self.console.print(Text(f"{'':<10}{visible(line)}", "dim"))
        if self.timeline and record.get("timeline"):
            for line in draw(record, self.console.width):
                self.console.print(line)


def remarks(record: dict[str, Any]) -> list[str]:
    """What a person should read under a row."""
    lines = [record["error"]["message"]] if record["error"] else []
    if record["verdict"] == "no-speech" or "window" in record["rule"]:
        lines.append(record["rule"].split(": ", 1)[-1])
    if "knowledge" in record:
        lines += [neighbour(one) for one in record["knowledge"]["neighbours"][:1]]
        if record["knowledge"]["decided_by"] == "knowledge":
            lines.append(record["rule"])
    if record.get("watermark") and record["watermark"]["marked"]:
        lines.append(mark(record["watermark"]))
    if record.get("attribution"):
        lines += maker(record["attribution"], record["verdict"])
    return lines + [warning for warning in record["warnings"] if warning != NOT_CALIBRATED]


def neighbour(near: dict[str, Any]) -> str:
    """What of a knowledge base a recording is nearest to."""
    label = "genuine" if near["bona_fide"] else f"fake by {near['generator']}"
    return f"nearest known: {label}, similarity {near['similarity']:.2f}, {near['path']}"


def mark(found: dict[str, Any]) -> str:
    """A watermark that was found; it says who marked a recording, not that it is fake."""
    named = f", says {found['name']} ({found['confidence']:.2f})" if found["name"] else ""
    unread = "" if found["readable"] or not found["name"] else ", not to be relied upon"
    return f"marked by {found['scheme']}{named}{unread}; chance without a mark {found['chance']:.1g}"


def maker(found: dict[str, Any], verdict: str) -> list[str]:
    """Who made a recording if it is fake, never without the verdict."""
    if found["basis"] == "conflict":
        return [f"conflict: {found['note']}; a person should listen"]
    if found["label"] is None:
        return []
    if found["basis"] == "watermark":
        return [f"{verdict}; {found['note']}"]
    who = f"{found['label']} (confidence {found['confidence']:.2f})"
    if found["label"] != found["nearest_name"]:
        who += f", most like {found['nearest_name']}"
    who += "".join(f"; nearest: {similar(one)}" for one in found["neighbours"][:1])
    return [f"fake, made by: {who}" if verdict == "fake" else f"{verdict}; if it is fake, made by: {who}"]


def similar(one: dict[str, Any]) -> str:
    """A labelled recording that another is like."""
    return f"{one['name']} {one['similarity']:.2f} [{one['id']}]"


def draw(record: dict[str, Any], width: int) -> "list[Text]":
    """A bar of blocks with its scale, and the spans that sound fake.

    A block is as high as the mean P(fake) of its stretch, or as that of a span within, which
    would drown in minutes of other speech; a dot stands where nobody speaks.
    """
    from rich.text import Text

    steps, step_s = record["timeline"]["p_fake"], record["timeline"]["step_s"]
    columns = max(20, min(width - 12, 100))
    each = -(-len(steps) // columns)  # steps in one column
    bar = Text(" " * 10)
    for i in range(0, len(steps), each):
        values = [p for p in steps[i : i + each] if p is not None]
        if not values:
            bar.append("·", "dim")
            continue
        start_s, end_s = i * step_s, (i + each) * step_s
        inside = [s["p_fake"] for s in record["spans"] if s["start_s"] < end_s and s["end_s"] > start_s]
        mean = sum(values) / len(values)
        height = max([mean, *inside]) if each > 1 else mean
        bar.append(BLOCKS[min(7, int(height * 8))], COLOURS[call(height, record["thresholds"])])
    end = clock(record["duration_s"])
    scale = "0:00" + end.rjust(max(len(bar) - 14, len(end) + 1)) + f"   {each * step_s:g} s a column"
    return [bar, Text(" " * 10 + scale, "dim"), *list_spans(record["spans"])]


def list_spans(spans: list[dict[str, float]]) -> "list[Text]":
    """A line for each span in order of time; of very many, the longest."""
    from rich.text import Text

    longest = sorted(spans, key=lambda span: span["start_s"] - span["end_s"])[:MOST_SPANS]
    lines = []
    for span in sorted(longest, key=lambda span: span["start_s"]):
        times = f"{moment(span['start_s'])}–{moment(span['end_s'])}"
        seconds = f"{span['end_s'] - span['start_s']:.1f} s"
        line = Text(f"{'':<10}fake {times:<21}{seconds:>8}   p(fake) {span['p_fake']:.2f}")
        line.stylize(COLOURS["fake"], 10, 14)
        lines.append(line)
    if len(spans) > len(longest):
        rest = f"and {len(spans) - len(longest)} shorter ones; --json, --rttm and --labels have them all"
        lines.append(Text(f"{'':<10}{rest}", "dim"))
    return lines


def call(p_fake: float, thresholds: dict[str, float]) -> str:
    """What a stretch would be called by itself."""
    if p_fake >= thresholds["fake"]:
        return "fake"
    return "genuine" if p_fake <= thresholds["genuine"] else "uncertain"


def summarise(
    counts: Counter[str], seconds: float, skipped: int, answered_before: int, engine: str = ""
) -> None:
    """One line under the table."""
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False, soft_wrap=True)
    total = sum(counts.values())
    text = Text(f"\n{total} {'file' if total == 1 else 'files'}: ")
    for i, name in enumerate(name for name in VERDICTS if counts[name]):
        text.append(", " if i else "")
        text.append(f"{counts[name]} {name}", COLOURS[name])
    fresh = total - answered_before
    text.append(f"   {seconds:.1f} s" + (f", {fresh / seconds:.1f} files/s" if fresh > 1 else ""))
    text.append(f"   {engine}" if engine else "")
    text.append(f"   {answered_before} from the journal" if answered_before else "")
    text.append(f"   {skipped} other files passed over" if skipped else "")
    console.print(text)


def clock(seconds: float) -> str:
    """1:02:03, 2:03 or 0:03.4 (tenths under a minute)."""
    if seconds < 60:
        return f"0:{int(seconds * 10) / 10:04.1f}"
    whole = int(seconds)
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"


def visible(text: str) -> str:
    """Control characters as escapes: a file name must not drive the terminal."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


class CsvFile:
    """A row a record, flushed at once.

    Raises:
        InputError: `unwritable`: the file cannot be made.
    """

    def __init__(self, path: Path) -> None:
        try:
            self.file = path.open("w", newline="", encoding="utf-8")
        except OSError as error:
            raise InputError("unwritable", f"--csv {path}: {error.strerror}") from None
        self.writer: csv.DictWriter[str] = csv.DictWriter(self.file, list(CSV_COLUMNS))
        self.writer.writeheader()

    def write(self, record: dict[str, Any]) -> None:
        """Append one record."""
        worst, error, model = record["worst"] or {}, record["error"] or {}, record["model"]
        quality = record["quality"] or {}
        row: dict[str, Any] = {key: record[key] for key in CSV_COLUMNS if key in record}
        row |= {
            "path": harmless(record["path"]),
            "speech_s": quality.get("speech_s"),
            "worst_start_s": worst.get("start_s"),
            "worst_end_s": worst.get("end_s"),
            "warnings": "; ".join(record["warnings"]),
            "error_code": error.get("code"),
            "error_message": error.get("message"),
            **{f"model_{key}": value for key, value in model.items()},
        }
        self.writer.writerow(row)
        self.file.flush()

    def __enter__(self) -> "CsvFile":
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()


def harmless(path: str) -> str:
    """The same path, such that a spreadsheet does not take it for a formula."""
    return os.path.join(".", path) if path[:1] in "=+-@" else path


@contextmanager
def counting(total: int, doing: str = "scanning") -> Iterator[Callable[[int], None]]:
    """A bar with files/s and time left, on stderr and on a terminal only; gives what counts some more."""
    if total < 2 or not sys.stderr.isatty():  # rich takes a while to come
        yield lambda done: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        Task,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text(f"{task.finished_speed or task.speed or 0:.1f} files/s")

    columns = (doing, BarColumn(), MofNCompleteColumn(), Rate(), TimeRemainingColumn(), TextColumn("left"))
    console, redirect = Console(stderr=True), sys.stdout.isatty()
    with Progress(*columns, console=console, redirect_stdout=redirect, transient=True) as progress:
        task = progress.add_task(doing, total=total)
        yield lambda done: progress.advance(task, done)
