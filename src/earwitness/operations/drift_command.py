"""`earwitness drift`: make a reference, check a batch, watch a stream."""

import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from earwitness.errors import MissingExtra
from earwitness.operations.drift import (
    Judged,
    Reference,
    judge,
    make_reference,
)
from earwitness.operations.drift_file import read_reference, write_reference
from earwitness.operations.drift_options import LEAST, VIEWS, DriftOptions
from earwitness.operations.drift_watch import digest_of, drifting, read_log, read_state, watch
from earwitness.operations.embed import embed
from earwitness.operations.samples import Samples, read_samples
from earwitness.operations.show import counting, visible

DRIFT = 3  # exit code


def say(text: str) -> None:
    """A line on the standard output."""
    sys.stdout.write(visible(text) + "\n")


def run_reference(table: Path, out: Path, options: DriftOptions, as_json: bool) -> None:
    """Make a reference and say what is in it.

    Raises:
        InputError: as `read_samples`, `make_reference`, `write_reference`.
    """
    samples = read_samples(table)
    with counting(len(VIEWS) * options.windows, "drawing the null") as count_up:
        made = make_reference(samples, options, lambda: count_up(1))
    write_reference(made, out)
    views = {
        name: {"reference": len(view.rows), "cusum_bound": view.cusum_bound}
        for name, view in made.views.items()
    }
    if as_json:
        say(
            json.dumps(
                {"reference": str(out), "model": made.model, "options": asdict(options), "views": views}
            )
        )
        return
    say(f"{out}: {len(samples)} samples, windows of {options.window}")
    for name in VIEWS:
        if name in views:
            held = views[name]
            say(f"  {name:<8} {held['reference']} to compare with; sum alarms at {held['cusum_bound']:.1f}")
        else:
            say(f"  {name:<8} left out: fewer than {LEAST} such samples on a side")


def run_check(table: Path, reference: Path, html: Path | None, as_json: bool) -> int:
    """Judge a batch as one window; the exit code.

    Raises:
        InputError: as `read_samples`, `read_reference`, `judge`.
    """
    made, samples = read_reference(reference), read_samples(table)
    enough = [name for name in made.views if made.in_view(samples, name).sum() >= LEAST]
    found = [judge(made, samples, name) for name in enough or ("all",)]
    entries = [as_entry(made, one, samples) for one in found]
    if html:
        report(entries, samples, made, html)
    if as_json:
        say(json.dumps({"drift": any(one.alarm for one in found), "views": [asdict(one) for one in found]}))
    else:
        for one in found:
            say(f"{one.view:<8} {one.size:>6} samples  p {one.p:.4f}  {'DRIFT' if one.alarm else 'no drift'}")
            for name, value in one.distances.items():
                say(f"         {name:<20} {value:9.4f}  {one.deviations[name]:+7.1f} deviations of the null")
        say_moved(made, samples)
    return DRIFT if any(one.alarm for one in found) else 0


def as_entry(reference: Reference, found: Judged, samples: Samples) -> dict[str, Any]:
    """A check as the only line of a log."""
    times = samples.column("time")
    ends = {"first": samples.ids[0], "last": samples.ids[-1], "t0": times[0], "t1": times[-1]}
    sums = {"cusum": 0.0, "cusum_bound": reference.views[found.view].cusum_bound, "cusum_alarm": False}
    return {"window": 0, **asdict(found), **ends, **sums, "repeated_alarm": False, "change": None}


def say_moved(reference: Reference, samples: Samples, count: int = 5) -> None:
    """Which dimensions moved most."""
    shift = reference.standardise(samples.embeddings).mean(0)
    most = np.argsort(-np.abs(shift))[:count]
    say("moved most: " + ", ".join(f"dimension {i} by {shift[i]:+.2f} deviations" for i in most))


def report(entries: Sequence[Mapping[str, Any]], latest: Samples, reference: Reference, path: Path) -> None:
    """Write the page."""
    from earwitness.operations.drift_report import write_report

    names = [f"dimension {i}" for i in range(len(reference.mean))]
    write_report(entries, latest, reference.sketch, reference.standardise, names, path)


def run_watch(
    incoming: Path, reference: Path, folder: Path, every: float, model: str | None, as_json: bool
) -> int:
    """Judge what came in since the last look, again and again if asked; the exit code of the last look.

    Raises:
        InputError: as `embed`, `read_samples`, `read_reference`, `watch`.
    """
    made, digest = read_reference(reference), digest_of(reference)
    while True:
        code = look(incoming, made, digest, folder, model, as_json)
        if not every:
            return code
        time.sleep(every)


def look(
    incoming: Path, reference: Reference, digest: str, folder: Path, model: str | None, as_json: bool
) -> int:
    """One look; the exit code."""
    failed: list[tuple[str, str]] = []
    if incoming.is_dir():
        samples, failed, _ = embed([str(incoming)], folder / "incoming.csv", model)
        for path, why in failed:
            sys.stderr.write(visible(f"{path}: {why}") + "\n")
    else:
        samples = read_samples(incoming)
    closed = watch(reference, digest, samples, folder)
    history = read_log(folder, read_state(folder, digest))
    if closed:
        latest = samples.take(range(max(0, len(samples) - reference.options.window), len(samples)))
        try:
            report(history, latest, reference, folder / "report.html")
        except MissingExtra as missing:  # the watch goes on without its page
            sys.stderr.write(f"no report: {missing}\n")
    for entry in closed:
        say(json.dumps(entry) if as_json else line_of(entry))
    now = {entry["view"]: entry for entry in history}
    alarm = [entry for entry in now.values() if drifting(entry)]
    if not as_json:
        waiting = {name: len(s.waiting) for name, s in read_state(folder, digest).views.items()}
        say(
            f"{len(samples)} samples, {len(closed)} windows closed; waiting: "
            + (", ".join(f"{count} {name}" for name, count in waiting.items()) or "none")
        )
        for entry in alarm:
            since = f" since window {entry['change']}" if entry["change"] is not None else ""
            say(f"DRIFT in the view {entry['view']}{since}: see {folder / 'report.html'}")
    return DRIFT if alarm else 1 if failed else 0


def line_of(entry: Mapping[str, Any]) -> str:
    """A window for a person."""
    alarm = "ALARM" if entry["alarm"] else "     "
    sums = f"sum {entry['cusum']:6.1f} of {entry['cusum_bound']:.1f}"
    return (
        f"{entry['view']:<8} window {entry['window']:>4}  p {entry['p']:.4f} {alarm} {sums}  to {entry['t1']}"
    )
