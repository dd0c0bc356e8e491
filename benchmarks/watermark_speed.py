"""How fast watermarks are embedded and looked for, on one core.

    python benchmarks/watermark_speed.py ../shared/corpus/packages --scheme FOLDER_OR_NAME ...

Ten minutes of real speech at 16 kHz, in recordings of up to 30 s, after one that warms up; audio seconds a
second of processor time and of wall time, least of three rounds. Writes
`benchmarks/results/watermark_speed.json`.
"""

import argparse
import json
import os
import platform
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from earwitness.audio.io import SAMPLE_RATE, load
from earwitness.errors import EarwitnessError
from earwitness.evidence.watermark import embed, listen
from earwitness.evidence.watermark_bundle import open_scheme
from earwitness.operations.inputs import find_files

RESULTS = Path(__file__).parent / "results" / "watermark_speed.json"
TOTAL_S, MOST_S, ROUNDS = 600.0, 30.0, 3


def clips(folder: Path) -> list[np.ndarray]:
    """Ten minutes of recordings, the same ones each time."""
    found: list[np.ndarray] = []
    paths = sorted(find_files([folder]).paths)
    np.random.default_rng(0).shuffle(paths)  # type: ignore[arg-type]
    for path in paths:
        try:
            found.append(load(path)[: round(MOST_S * SAMPLE_RATE)])
        except EarwitnessError:
            continue
        if sum(map(len, found)) >= TOTAL_S * SAMPLE_RATE:
            break
    return found


def timed(work: Callable[[np.ndarray], object], audio: list[np.ndarray]) -> dict[str, float]:
    """Audio seconds a second, of the processor and of the wall."""
    seconds = sum(map(len, audio)) / SAMPLE_RATE
    work(audio[0])

    def rounds() -> Iterator[tuple[float, float]]:
        for _ in range(ROUNDS):
            wall, cpu = time.perf_counter(), time.process_time()
            for clip in audio:
                work(clip)
            yield time.process_time() - cpu, time.perf_counter() - wall

    cpus, walls = zip(*rounds(), strict=True)
    return {"times_real_time_cpu": seconds / min(cpus), "times_real_time_wall": seconds / min(walls)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--scheme", action="append", required=True)
    given = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    audio, found = clips(given.folder), {}
    for place in given.scheme:
        scheme = open_scheme(place)
        message = scheme.messages[0]
        found[scheme.name] = {
            "embedding": timed(lambda clip, s=scheme, m=message: embed(s, clip, SAMPLE_RATE, m), audio),
            "detection": timed(lambda clip, s=scheme: listen(s, clip, SAMPLE_RATE), audio),
        }
        print(scheme.name, found[scheme.name], flush=True)
    content = {
        "command": "python benchmarks/watermark_speed.py CORPUS/packages --scheme FOLDER ...",
        "machine": f"{platform.machine()}, one of {os.cpu_count()} processors",
        "minutes": round(sum(map(len, audio)) / SAMPLE_RATE / 60, 2),
        "schemes": found,
    }
    RESULTS.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
