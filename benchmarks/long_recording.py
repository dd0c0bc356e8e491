"""Three fakes of two seconds in an hour of genuine speech: what `earwitness scan` finds, where, at what cost.

    python benchmarks/long_recording.py --model BUNDLE --corpus CORPUS --fold 0

The hour is made of the genuine clips of the demo pages of one fold, which the model must not have been
trained on, one after another in random order and as often as it takes, each at the same level. In
the middle of three of them, near 10, 30 and 50 minutes, two seconds are replaced in a hard cut by
speech of fakes of the same pages, of three generators. The installed command scans it as a user would
run it, and five minutes of it too, so that memory can be compared. Writes
`benchmarks/results/long_recording.json`: the fakes, the spans found, how far each edge is off, the share of
all stretches of two seconds that sound less fake than each, what else was called fake, wall time and
peak memory. Where one clip ends and the next begins, speaker and channel
change too: a harder hour than one of a single microphone.
"""

import argparse
import json
import os
import sys
import tempfile
import warnings
import wave
from pathlib import Path
from typing import Any

import numpy as np
from timed import timed

from earwitness.audio.corpora.demos import read
from earwitness.audio.io import load
from earwitness.audio.protocol import Utterance

RATE = 16_000
LEVEL = 10 ** (-26 / 20)  # RMS of every clip
FAKE_S = 2.0
MARGIN_S = 1.0  # of genuine speech, at least, of the same clip to either side of a fake
CLOSE_S = 0.2  # what the edges of a fake should be found within
PLACES = (1 / 6, 1 / 2, 5 / 6)


def levelled(path: Path) -> np.ndarray:
    """A clip (samples,) at `LEVEL`."""
    audio = load(path)
    return np.clip(audio * (LEVEL / max(float(np.sqrt(np.mean(audio**2))), 1e-6)), -1, 1)


def make_hour(
    rows: list[Utterance], seconds: float, rng: np.random.Generator
) -> tuple[np.ndarray, list[dict[str, Any]]]:
    """The recording (samples,) and its fakes: `start_s`, `end_s`, and what they are of."""
    genuine, fakes = ([row for row in rows if row.bona_fide == side] for side in (True, False))
    clips = {row.id: levelled(row.path) for row in genuine}
    audio, edges = [], [0]
    while edges[-1] < seconds * RATE:
        for i in rng.permutation(len(genuine)):
            audio.append(clips[genuine[i].id])
            edges.append(edges[-1] + len(audio[-1]))
    joined = np.concatenate(audio)[: round(seconds * RATE)]
    size, room = round(FAKE_S * RATE), round((FAKE_S + 2 * MARGIN_S) * RATE)
    usable = [i for i in range(len(audio)) if len(audio[i]) >= room and edges[i + 1] <= len(joined)]
    middles = {i: (edges[i] + edges[i + 1]) // 2 for i in usable}
    long = [fakes[i] for i in rng.permutation(len(fakes)) if (fakes[i].duration_s or 0) >= FAKE_S + 1]
    chosen = list({row.generator: row for row in long}.values())  # one of each
    truth = []
    for place, row in zip(PLACES, chosen, strict=False):
        start = min(middles.values(), key=lambda middle: abs(middle - place * len(joined))) - size // 2
        fake = levelled(row.path)
        first = (len(fake) - size) // 2
        joined[start : start + size] = fake[first : first + size]
        about = {"generator": row.generator, "family": row.family, "page": row.group}
        truth.append({"start_s": start / RATE, "end_s": (start + size) / RATE, **about})
    return joined, truth


def write_wav(path: Path, audio: np.ndarray) -> None:
    """16 bits at 16 kHz."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes((audio * 32_767).astype("<i2").tobytes())


def scan(path: Path, model: str, work: Path) -> tuple[dict[str, Any], dict[str, float]]:
    """The record of a recording, and what it cost."""
    output = work / "record.jsonl"
    command = [sys.executable, "-m", "earwitness.cli", "scan", str(path), "--timeline", "--json"]
    used = timed([*command, "--model", model], output)
    record = json.loads(output.read_text())
    if record["error"]:
        raise SystemExit(record["error"]["message"])
    minutes = round(record["duration_s"] / 60, 1)
    cost = {
        "minutes": minutes,
        "wall_s": used["wall_s"],
        "cpu_s": used["cpu_s"],
        "peak_rss_mib": used["rss_mib"],
    }
    return record, {name: round(value, 1) for name, value in cost.items()}


def overlap(a: dict[str, Any], b: dict[str, Any]) -> float:
    """Seconds that two spans share; not above 0 where they share none."""
    return min(a["end_s"], b["end_s"]) - max(a["start_s"], b["start_s"])


def compare(spans: list[dict[str, Any]], truth: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each fake with the span that covers half of it or more, and how far its edges are off (s)."""
    rows = []
    for fake in truth:
        best = max(spans, key=lambda span: overlap(span, fake), default=None)
        if best is None or overlap(best, fake) < FAKE_S / 2:
            rows.append({**fake, "found": None, "start_off_s": None, "end_off_s": None, "close": False})
            continue
        off = [round(best[edge] - fake[edge], 3) for edge in ("start_s", "end_s")]
        close = max(map(abs, off)) <= CLOSE_S
        rows.append({**fake, "found": best, "start_off_s": off[0], "end_off_s": off[1], "close": close})
    return rows


def less_fake(timeline: dict[str, Any], start_s: float) -> float:
    """Share of the stretches as long as a fake whose mean P(fake) is below that of the one at `start_s`."""
    step = timeline["step_s"]
    p_fake = np.array([np.nan if value is None else value for value in timeline["p_fake"]])
    size, first = round(FAKE_S / step), round(start_s / step)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # stretches of silence have no mean
        means = np.nanmean(np.lib.stride_tricks.sliding_window_view(p_fake, size), axis=1)
    return round(float((means[np.isfinite(means)] < means[first]).mean()), 3)


def main() -> None:
    parser = argparse.ArgumentParser(description="Three short fakes in an hour of genuine speech.")
    parser.add_argument("--model", required=True, help="a bundle that never saw the pages of the fold")
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--fold", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, help="keep the recording here")
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results")
    arguments = parser.parse_args()

    rows = [row for row in read(arguments.corpus / "demos") if row.fold == arguments.fold]
    audio, truth = make_hour(rows, arguments.minutes * 60, np.random.default_rng(arguments.seed))
    with tempfile.TemporaryDirectory() as name:
        work = arguments.work or Path(name)
        work.mkdir(parents=True, exist_ok=True)
        write_wav(work / "hour.wav", audio)
        write_wav(work / "part.wav", audio[: 300 * RATE])
        _, short = scan(work / "part.wav", arguments.model, work)
        record, cost = scan(work / "hour.wav", arguments.model, work)
    compared = compare(record["spans"], truth)
    for row in compared:
        row["less_fake_elsewhere"] = less_fake(record["timeline"], row["start_s"])
    others = [span for span in record["spans"] if all(overlap(span, fake) <= 0 for fake in truth)]
    results = {
        "what": f"{FAKE_S:g} s fakes in genuine speech of unseen pages",
        "fold": arguments.fold,
        "seed": arguments.seed,
        "model": record["model"],
        "verdict": record["verdict"],
        "fakes": compared,
        "found": sum(row["found"] is not None for row in compared),
        "found_within_0.2_s": sum(row["close"] for row in compared),
        "other_spans": len(others),
        "other_spans_s": round(sum(span["end_s"] - span["start_s"] for span in others), 1),
        "spans": record["spans"],
        "cost": {"part": short, "whole": cost, "processors": os.cpu_count()},
    }
    arguments.results.mkdir(parents=True, exist_ok=True)
    (arguments.results / "long_recording.json").write_text(json.dumps(results, indent=1) + "\n")
    for row in compared:
        off = "missed" if row["found"] is None else f"{row['start_off_s']:+.3f} s, {row['end_off_s']:+.3f} s"
        rank = f"{row['less_fake_elsewhere']:.1%} of the hour sounds less fake"
        print(f"{row['start_s']:9.3f} to {row['end_s']:9.3f} s  {row['generator']:<30} {off}; {rank}")
    print(f"{len(others)} other spans, {results['other_spans_s']} s; {results['cost']}")


if __name__ == "__main__":
    main()
