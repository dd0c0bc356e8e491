"""`earwitness update` itself, six months in a row, on recordings: nobody does anything but answer its tasks.

    python benchmarks/unattended.py --stream STREAM --work WORK

The months are those of `loop.py` (seed 0), as files in an inbox; the answers are the truth. The detector that
`stream.py` fitted is exported, calibrated on development data, and is the first champion. Writes what each
round found and cost, and the EER on what was met so far by the champions of the first and of the last month,
as `earwitness embed` gives it, into `results/unattended.json`. A stopped run goes on.
"""

import argparse
import csv
import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from loop import SHARE, hashed, months_of
from stream import read_stream

from earwitness.audio.protocol import Utterance, write_protocol
from earwitness.decision.bundle import GRAPH, file_digest, read_card, write_card
from earwitness.decision.graph import write_graph
from earwitness.evidence.consult import EMBEDDED, write_settings
from earwitness.evidence.places import open_base
from earwitness.metrics.detection import eer
from earwitness.metrics.intervals import grouped_bootstrap
from earwitness.operations.calibrate import CalibrationOptions
from earwitness.operations.candidate import calibrate_bundle
from earwitness.operations.embed import embed
from earwitness.operations.hearing import ScanOptions
from earwitness.operations.registry import champion, fetch, open_registry
from earwitness.operations.samples import Samples, joined
from earwitness.operations.scan import scan_many
from earwitness.training.export import MIN_SAMPLES, WINDOWING, halve, open_run

RESULTS = Path(__file__).parent / "results"
RATES = CalibrationOptions(miss_rate=0.02, false_alarm_rate=0.04)  # about those of the model that ships


def first_champion(detector: Path, out: Path) -> None:
    """The detector of the stream as a bundle with a graph, not calibrated yet."""
    out.mkdir(parents=True)
    write_graph(open_run(detector), out / GRAPH, MIN_SAMPLES)
    halve(out / GRAPH)
    card = read_card(detector)
    card |= {
        "name": "stream",
        "version": "2020",
        "input": {"sample_rate": 16_000, "min_samples": MIN_SAMPLES, "normalisation": "level, in the graph"},
        "windowing": asdict(WINDOWING),
        "calibration": None,
        "thresholds": {"fake": 0.9, "genuine": 0.1},
        "files": {GRAPH: file_digest(out / GRAPH)},
    }
    write_card(out, card)


def write_rows(samples: Samples, path: Path) -> None:
    """A protocol of samples."""
    items = [
        Utterance(
            id=key.replace("/", "-"),
            path=Path(samples.column("path")[i]),
            bona_fide=bool(samples.labels[i] == 1),
            dataset="stream",
            generator=samples.column("generator")[i],
            group=samples.column("source")[i],
            duration_s=float(samples.numbers("duration_s")[i]),
        )
        for i, key in enumerate(samples.ids)
    ]
    write_protocol(items, path, Path("/"))
    path.with_suffix(".json").write_text(json.dumps({"root": "/"}) + "\n")


def fill_in(task: Path, truth: dict[str, tuple[str, str]]) -> None:
    """Answer a task."""
    with task.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        row["label"], row["generator"] = truth[Path(row["path"]).name]
    with task.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def earwitness(*arguments: str) -> int:
    """Run the command; its exit code."""
    command = [sys.executable, "-m", "earwitness.cli", *arguments]
    return subprocess.run(command, check=False).returncode


def prepare(stream: dict[str, Samples], detector: Path, work: Path) -> None:
    """Protocols, settings, and the first champion."""
    development = stream["development"]
    guarding = hashed(development, 0, 2) == 0
    write_rows(development.take(guarding), work / "guard.csv")
    write_rows(development.take(~guarding), work / "development.csv")
    first_champion(detector, work / "start")
    raw, _, _ = embed([str(work / "development.csv")], work / "raw.csv", str(work / "start"))
    calibrate_bundle(work / "start", raw, RATES)
    items = round(SHARE * len(months_of(stream, 0)[0].incoming))
    (work / "loop.toml").write_text(
        'name = "stream"\nstart = "start"\ninbox = "inbox"\ndevelopment = "development.csv"\n'
        f'guards = ["guard.csv"]\nknowledge = "known.db"\nitems = {items}\n'
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Six months of `earwitness update`, on recordings.")
    parser.add_argument("--stream", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    given = parser.parse_args()
    stream, work = read_stream(given.stream), given.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    if not (work / "loop.toml").exists():
        prepare(stream, given.stream / "detector", work)
    months = months_of(stream, 0)
    truth = {}
    for number, month in enumerate(months, 1):
        folder = work / "inbox" / f"month-{number}"
        folder.mkdir(parents=True, exist_ok=True)
        columns = (month.incoming.column(name) for name in ("path", "label", "generator"))
        for source, label, generator in zip(*columns, strict=True):
            place = folder / Path(source).name
            truth[place.name] = label, generator
            if not place.exists():
                os.link(source, place) if os.stat(source).st_dev == os.stat(
                    folder
                ).st_dev else place.write_bytes(Path(source).read_bytes())
        state = work / "update" / "rounds" / f"{number:04}" / "round.json"
        if state.exists() and "finished" in json.loads(state.read_text()):
            continue
        if earwitness("update", str(work / "loop.toml")) == 5:
            fill_in(state.parent / "task.csv", truth)
            earwitness("update", str(work / "loop.toml"))
    rounds = [json.loads(path.read_text()) for path in sorted(work.glob("update/rounds/*/round.json"))]
    result = {"rounds": [summary(one) for one in rounds], "met": judged(work, months, rounds)}
    (RESULTS / "unattended.json").write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


def summary(state: dict[str, Any]) -> dict[str, Any]:
    """What a round found and cost."""
    steps = state["steps"]
    return {
        "round": state["round"],
        "champion": state["champion"],
        "drift": steps["drift"].get("drift"),
        "proposals": steps["discover"]["proposals"],
        "promoted": steps["promote"]["promoted"],
        "refused_by": steps["gate"].get("refused_by", []),
        **state["cost"],
    }


def judged(work: Path, months: list, rounds: list[dict[str, Any]]) -> dict[str, Any]:
    """EER on all that was met: by the first and the last champion, and with the knowledge base."""
    registry = open_registry(work / "registry")
    last = champion(registry, "stream")
    assert last is not None
    met = joined([month.met for month in months])
    write_rows(met, work / "met.csv")
    llr: dict[str, dict[str, float]] = {}
    for name, bundle in (("first", work / "start"), ("last", fetch(registry, last))):
        found, _, _ = embed([str(work / "met.csv")], work / f"met-{name}-{last.number}.csv", str(bundle))
        llr[name] = dict(zip(found.column("path"), found.scores, strict=True))
    place = str(work / "known.db")
    with open_base(place) as base:
        write_settings(base, *EMBEDDED)  # the detector is of the embedded model's recipe
    options = ScanOptions(knowledge=place)
    paths = [Path(path) for path in llr["last"]]
    verdicts = scan_many(paths, model=str(fetch(registry, last)), options=options)
    llr["last_with_base"] = {verdict.path: verdict.llr for verdict in verdicts if verdict.llr is not None}
    truth = {path: i for i, path in enumerate(met.column("path"))}
    kept = [path for path in llr["first"] if all(path in one for one in llr.values())]
    rows = np.array([truth[path] for path in kept])
    bona_fide, groups = met.labels[rows] == 1, np.array(met.column("source"))[rows]
    scores = {name: np.array([one[path] for path in kept]) for name, one in llr.items()}
    return {
        "recordings": len(kept),
        "promotions": sum(one["steps"]["promote"]["promoted"] for one in rounds),
        "eer": {name: eer_of(values, bona_fide, groups) for name, values in scores.items()},
        "change": {
            name: change(scores["first"], scores[name], bona_fide, groups)
            for name in ("last", "last_with_base")
        },
    }


def eer_of(scores: np.ndarray, bona_fide: np.ndarray, groups: np.ndarray) -> dict[str, float]:
    """The EER, with its interval over sources."""
    value, low, high = grouped_bootstrap(eer, scores, bona_fide, groups)
    return {"value": round(value, 4), "low": round(low, 4), "high": round(high, 4)}


def change(
    before: np.ndarray, after: np.ndarray, bona_fide: np.ndarray, groups: np.ndarray, draws: int = 1_000
) -> dict[str, float]:
    """The difference of two EERs, with its paired interval over sources."""
    rng, known = np.random.default_rng(0), np.unique(groups)
    rows_of = {name: np.flatnonzero(groups == name) for name in known}
    found = []
    for _ in range(draws):
        rows = np.concatenate([rows_of[name] for name in rng.choice(known, len(known))])
        sides = bona_fide[rows]
        if sides.any() and not sides.all():
            found.append(
                eer(after[rows][sides], after[rows][~sides]) - eer(before[rows][sides], before[rows][~sides])
            )
    low, high = np.quantile(found, [0.025, 0.975])
    value = eer(after[bona_fide], after[~bona_fide]) - eer(before[bona_fide], before[~bona_fide])
    return {"value": round(float(value), 4), "low": round(float(low), 4), "high": round(float(high), 4)}


if __name__ == "__main__":
    main()
