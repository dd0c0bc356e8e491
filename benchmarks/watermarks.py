"""Four watermarks trained alike, exported, and measured side by side on pages that none of them has heard.

    python -m earwitness.training.whisper_weights --work DOWNLOADS --out MODELS whisper-tiny
    python benchmarks/watermarks.py --corpus ../shared/corpus --front-end MODELS/whisper-tiny --work FOLDER

  train    page folds 0 and 2 of `demos`, and a third of `packages` by system or group (Kokoro among them)
  valid    another third of `packages`: the thresholds of presence come from here, unmarked
  test     page folds 1 and 3 of `demos`, and the last third: marked, distorted, attacked and read

Sixteen architectures have a name: all that stand on training and on test pages, and three of the training
side. A recording of the test side by one of them is marked as its own, every other with a name drawn.
FakeMark-A and -T, AudioSeal's and Timbre's style have the same steps, batches and attacks; Perth has its own
weights, and names nobody. Steps go on where they stopped; so does the card. Writes
`benchmarks/results/watermarks.json`, and `card.html` in the folder.

The claim is judged on the same recordings for all: by how much does attribution fall from clean marks to
attacked ones, FakeMark's less each baseline's, with 95 % intervals over pages.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from earwitness.audio.corpora import demos, packages
from earwitness.audio.protocol import Utterance, read_protocols, write_protocol
from earwitness.errors import EarwitnessError
from earwitness.operations.watermark_card import Opener, Outputs, digest, group_of, run_card
from earwitness.operations.watermark_trials import CardOptions

RESULTS = Path(__file__).parent / "results"
SCHEMES = ("fakemark-a", "fakemark-t", "audioseal", "timbre")  # longest first
SIGNED, BASELINES = SCHEMES[:2], SCHEMES[2:]
NAMED = (
    "bigvgan clarinet hifigan naturalspeech2 parallel-wavegan styletts2 tacotron2+waveglow vall-e waveflow "
    "waveglow wavenet wavenet-mol yourtts "  # on pages of both sides
    "kokoro naturalspeech vits"
).split()
STEPS, DRAWS = 2_400, 2_000
TRAINED_FOLDS = (0, 2)
PARTS = ("train", "valid", "test")
CLAIMS = {
    "overwriting": "overwritten-",
    "averaging": "averaged-",
    "codecs": ("mp3", "aac", "opus", "vorbis", "g722", "mulaw", "amr", "gsm"),
}


def write_parts(corpus: Path, work: Path) -> dict[str, Path]:
    """The three protocols."""
    parts: dict[str, list[Utterance]] = {name: [] for name in PARTS}
    for item in demos.read(corpus / "demos"):
        parts["train" if item.fold in TRAINED_FOLDS else "test"].append(item)
    for item in packages.read(corpus / "packages"):
        key = item.group if item.bona_fide else item.generator
        parts["train" if key in NAMED else PARTS[zlib.crc32(key.encode()) % 3]].append(item)
    work.mkdir(parents=True, exist_ok=True)
    for name, items in parts.items():
        write_protocol(items, work / f"{name}.csv", corpus)
        (work / f"{name}.json").write_text(json.dumps({"root": str(corpus.resolve())}))
    return {name: work / f"{name}.csv" for name in PARTS}


def run_all(commands: Sequence[Sequence[str]], processes: int) -> None:
    """Run Python modules, so many at a time, each on one thread; stop at the first that fails."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    waiting, running = list(commands), []
    while waiting or running:
        while waiting and len(running) < processes:
            running.append(subprocess.Popen([sys.executable, "-m", *waiting.pop(0)], env=environment))
        time.sleep(1)
        for process in [one for one in running if one.poll() is not None]:
            running.remove(process)
            if process.returncode:
                for other in running:
                    other.terminate()
                raise SystemExit(f"{process.args} failed")


def train(parts: dict[str, Path], front_end: Path, work: Path, steps: int, processes: int) -> None:
    """Train what is not trained, and export what is not exported."""
    options = ["--generators", ",".join(NAMED), "--names", str(len(NAMED)), "--steps", str(steps)]
    commands = [
        [
            *("earwitness.training.fakemark", str(parts["train"]), "--scheme", scheme, *options),
            *("--from", str(front_end), "--out", str(work / "runs" / scheme)),
        ]
        for scheme in SCHEMES
        if not (work / "bundles" / scheme / "watermark.json").exists()
    ]
    run_all(commands, processes)
    commands = [
        [
            *("earwitness.training.watermark_export", str(work / "runs" / scheme), "--name", scheme),
            *("--unmarked", str(parts["valid"]), "--from", str(front_end)),
            *("--out", str(work / "bundles" / scheme)),
        ]
        for scheme in SCHEMES
        if not (work / "bundles" / scheme / "watermark.json").exists()
    ]
    run_all(commands, processes)


def places(work: Path) -> list[str]:
    """The schemes that are measured: those trained here, and Perth where it is installed."""
    found = [str(work / "bundles" / scheme) for scheme in SCHEMES]
    try:
        Opener("perth")()
    except EarwitnessError as error:
        print(f"Perth is left out: {error}")
        return found
    return [*found, "perth"]


def answers(work: Path, place: str) -> Iterator[tuple[str, dict[str, bool]]]:
    """Of each marked recording of a scheme's journal the id, and by condition whether its name was right."""
    for line in (work / "card" / digest(place)[:8] / "journal.jsonl").read_text().splitlines():
        record = json.loads(line)
        if str(record.get("path", "")).startswith("marked/") and "heard" in record:
            heard = record["heard"].items()
            yield (
                record["path"].removeprefix("marked/"),
                {condition: read["name"] == record["name"] for condition, read in heard if "name" in read},
            )


def claims(work: Path, groups: dict[str, str]) -> dict[str, Any]:
    """How much less FakeMark's attribution falls than a baseline's, on the same recordings."""
    read = {scheme: dict(answers(work, str(work / "bundles" / scheme))) for scheme in SCHEMES}
    shared = sorted(set.intersection(*(set(one) for one in read.values())))
    pages = np.array([groups[item] for item in shared])
    falls: dict[tuple[str, str], np.ndarray] = {}
    for scheme, found in read.items():
        for family, prefixes in CLAIMS.items():
            rows = []
            for item in shared:
                hit = [right for name, right in found[item].items() if name.startswith(prefixes)]
                rows.append(float(found[item]["none"]) - float(np.mean(hit)))
            falls[scheme, family] = np.array(rows)
    result: dict[str, Any] = {"recordings": len(shared), "pages": len(set(pages.tolist()))}
    for family in CLAIMS:
        result[family] = {scheme: interval(falls[scheme, family], pages) for scheme in SCHEMES} | {
            f"{baseline} less {scheme}": interval(falls[baseline, family] - falls[scheme, family], pages)
            for scheme in SIGNED
            for baseline in BASELINES
        }
    return result


def interval(values: np.ndarray, pages: np.ndarray) -> dict[str, float]:
    """A mean with its 95 % interval over pages."""
    rng, every = np.random.default_rng(0), np.unique(pages)
    sums = np.array([[values[pages == page].sum(), (pages == page).sum()] for page in every])
    drawn = sums[rng.integers(0, len(every), (DRAWS, len(every)))].sum(axis=1)
    low, high = np.quantile(drawn[:, 0] / drawn[:, 1], [0.025, 0.975])
    figures = zip(("value", "low", "high"), (values.mean(), low, high), strict=True)
    return {name: round(float(value), 4) for name, value in figures}


def main() -> None:
    """Parse and run what is left to do."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--front-end", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--limit", type=int, default=CardOptions.limit, help="marked recordings")
    given = parser.parse_args()
    parts = write_parts(given.corpus, given.work)
    train(parts, given.front_end, given.work, given.steps, given.processes)
    items = read_protocols([parts["test"]])
    options = CardOptions(limit=given.limit, unmarked=len(items))
    outputs = Outputs(given.work / "card.html", given.work / "card.json", given.work / "card")
    run_card([parts["test"]], places(given.work), outputs, options, (), None, given.processes)
    cards = json.loads(outputs.json.read_text())["cards"] if outputs.json else []
    content = {
        "command": "python benchmarks/watermarks.py --corpus CORPUS --front-end whisper-tiny --work FOLDER",
        "machine": f"{platform.machine()}, {os.cpu_count()} processors",
        "steps": given.steps,
        "names": NAMED,
        "claims": claims(given.work, {item.id: group_of(item) for item in items}),
        "cards": cards,
    }
    (RESULTS / "watermarks.json").write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
