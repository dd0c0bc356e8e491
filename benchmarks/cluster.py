"""Scanning on local Ray: what it costs beside a plain scan, what killing does to it, and a million rows.

    python benchmarks/cluster.py --corpus ../shared/corpus --work FOLDER

Clips of 3 s of real speech. First `earwitness scan` and `earwitness scan --ray local`, both with two workers
and with all of their start, take turns. Then a scan with a journal of which a worker gets SIGKILL at random
moments, and once the driver, which is started again: each file must have one record, and the plain scan's
scores. Last a list of rows that name no files goes all the way into a journal, through workers that answer
without hearing. Writes `benchmarks/results/cluster.json`.
"""

import argparse
import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from earwitness.audio.corpora import demos, packages
from earwitness.audio.io import SAMPLE_RATE, load
from earwitness.errors import EarwitnessError
from earwitness.operations import cluster
from earwitness.operations.bench import machine
from earwitness.operations.cluster_worker import Row, Worker
from earwitness.operations.hearing import ScanOptions
from earwitness.operations.journal import Journal

RESULTS = Path(__file__).parent / "results" / "cluster.json"
CLIP_S, WORKERS, CLIPS_EACH = 3.0, 2, 60


def make_clips(corpus: Path, folder: Path, count: int) -> list[Path]:
    """Clips of 3 s as 16-bit WAV, a few of each recording."""
    import soundfile

    folder.mkdir(parents=True, exist_ok=True)
    found = [folder / f"{number:05d}.wav" for number in range(count)]
    if found[-1].exists():
        return found
    items = [*packages.read(corpus / "packages"), *demos.read(corpus / "demos")]
    random.Random(0).shuffle(items)
    samples = round(CLIP_S * SAMPLE_RATE)

    def clips():
        for item in items:
            try:
                audio = load(item.path)
            except EarwitnessError:
                continue
            for start in range(0, min(len(audio), CLIPS_EACH * samples) - samples + 1, samples):
                yield audio[start : start + samples]

    cut = 0
    for path, audio in zip(found, clips(), strict=False):
        soundfile.write(path, audio, SAMPLE_RATE, subtype="PCM_16")
        cut += 1
    assert cut == count, f"only {cut} clips of {CLIP_S} s under {corpus}"
    return found


def command(folder: Path, *extra: str) -> list[str]:
    """A scan of the clips by two workers."""
    return [
        *(sys.executable, "-m", "earwitness.cli", "scan", str(folder)),
        *("--json", "--workers", str(WORKERS), *extra),
    ]


def scan(folder: Path, *extra: str) -> tuple[float, dict[str, dict[str, Any]]]:
    """Wall time of a scan, start and end of Python and Ray included, and its records by path."""
    began = time.perf_counter()
    done = subprocess.run(command(folder, *extra), check=True, capture_output=True, text=True)
    elapsed = time.perf_counter() - began
    records = [json.loads(line) for line in done.stdout.splitlines()]
    by_path = {record["path"]: record for record in records}
    assert len(by_path) == len(records)
    return elapsed, by_path


def difference(one: dict[str, dict[str, Any]], other: dict[str, dict[str, Any]]) -> float:
    """The largest difference of two scans' LLRs."""
    assert one.keys() == other.keys()
    pairs = [(one[path]["llr"], other[path]["llr"]) for path in one]
    assert all((a is None) == (b is None) for a, b in pairs)
    return max((abs(a - b) for a, b in pairs if a is not None), default=0.0)


def processes(root: int, title: bytes = b"ray::MapWorker") -> list[int]:
    """Those of a title that a process brought about."""
    parents: dict[int, int] = {}
    titled = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(place.name)] = int((place / "stat").read_text().rsplit(")", 1)[1].split()[1])
            if (place / "cmdline").read_bytes().startswith(title):
                titled.append(int(place.name))
        except OSError:  # it ended meanwhile
            continue

    def below(pid: int) -> bool:
        return pid == root or (pid in parents and below(parents[pid]))

    return [pid for pid in titled if below(pid)]


class Driver:
    """A scan with a journal, in a process that can be killed."""

    def __init__(self, clips: Path, journal: Path) -> None:
        self.command = command(clips, "--ray", "local", "--resume", str(journal))
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(
            self.command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )

    def running(self) -> bool:
        return self.process.poll() is None

    def kill_worker(self, draws: random.Random) -> bool:
        """Kill one of its workers; False where the scan ended before there was one."""
        while self.running():
            if found := processes(self.process.pid):
                os.kill(draws.choice(found), signal.SIGKILL)
                return True
            time.sleep(0.1)
        return False

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


def killed(clips: Path, work: Path, kills: int, whole_s: float, seed: int) -> dict[str, Any]:
    """Kill workers at random moments of a scan, and after half of them the driver."""
    draws, journal = random.Random(seed), work / "killed.journal"
    journal.unlink(missing_ok=True)
    driver, moments, at_restart = Driver(clips, journal), [], 0
    began = time.perf_counter()
    for number in range(kills):
        time.sleep(draws.uniform(0.2, 1.2) * whole_s / (kills + 1))
        if not driver.kill_worker(draws):
            break
        moments.append(round(time.perf_counter() - began, 2))
        if number == kills // 2:
            time.sleep(draws.uniform(0, 0.5) * whole_s / (kills + 1))
            driver.kill()
            at_restart = len(answered(journal))
            driver.start()
    code = driver.process.wait()
    records = answered(journal)
    times = Counter(record["path"] for record in records)
    wanted = {str(path) for path in clips.iterdir()}
    assert journal.read_bytes().endswith(b"\n")
    return {
        "workers_killed_at_s": moments,
        "driver_killed_with_records": at_restart,
        "exit_code": code,
        "wall_s": round(time.perf_counter() - began, 1),
        "files": len(wanted),
        "without_record": len(wanted - times.keys()),
        "with_two": sum(count > 1 for count in times.values()),
        "errors": sum(record["verdict"] == "error" for record in records),
        "records": {record["path"]: record for record in records},
    }


def answered(journal: Path) -> list[dict[str, Any]]:
    """The records of a journal, without its head and what a killed driver left of a line."""
    lines = journal.read_bytes().split(b"\n")[:-1] if journal.exists() else []
    return [json.loads(line) for line in lines[1:]]


class Silent(Worker):
    """A worker that answers without hearing."""

    def records(self, rows: Sequence[Row]) -> list[str]:
        return [json.dumps({"path": path, "verdict": "no-speech", "rule": "not heard"}) for _, path in rows]


def many_rows(rows: int, work: Path) -> dict[str, Any]:
    """A list of rows planned, handed to Ray, answered and written into a journal."""
    paths = [Path(f"/absent/{number % 1000:03d}/{number:07d}.opus") for number in range(rows)]
    texts = list(map(str, paths))
    held_mb = peak_mb()
    began = time.perf_counter()
    blocks = sum(1 for _ in cluster.plan(texts, cluster.MOST_FILES))
    plan_s, plan_mb = time.perf_counter() - began, peak_mb() - held_mb
    cluster.Worker = Silent  # type: ignore[misc]
    place = work / "rows.journal"
    place.unlink(missing_ok=True)
    began = time.perf_counter()
    with Journal(place, {}) as journal:
        found = cluster.scan_cluster(paths, "local", model=None, options=ScanOptions(threads=WORKERS))
        for record in islice(found, 1):
            first_s = time.perf_counter() - began
            journal.append(record)
        for record in found:
            journal.append(record)
    elapsed = time.perf_counter() - began
    times = Counter(record["path"] for record in answered(place))
    return {
        "rows": rows,
        "blocks": blocks,
        "plan_s": round(plan_s, 2),
        "plan_mb": round(plan_mb, 1),
        "first_record_s": round(first_s, 1),
        "all_records_s": round(elapsed, 1),
        "peak_mb": round(peak_mb()),
        "list_alone_mb": round(held_mb),
        "without_record": rows - len(times),
        "with_two": sum(count > 1 for count in times.values()),
    }


def peak_mb() -> float:
    """The most memory that this process has held so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--files", type=int, default=2_000)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--rows", type=int, default=10**6)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--results", type=Path, default=RESULTS)
    given = parser.parse_args()
    clips = given.work / f"clips-{given.files}"
    make_clips(given.corpus, clips, given.files)
    plain, on_ray, plain_records, ray_records = [], [], {}, {}
    for _ in range(given.rounds):
        elapsed, plain_records = scan(clips)
        plain.append(round(elapsed, 2))
        elapsed, ray_records = scan(clips, "--ray", "local")
        on_ray.append(round(elapsed, 2))
        print(f"plain {plain[-1]} s, Ray {on_ray[-1]} s", flush=True)
    kills = killed(clips, given.work, given.kills, float(np.median(on_ray)), given.seed)
    content = {
        "command": "python benchmarks/cluster.py --corpus CORPUS --work FOLDER",
        "machine": machine()["name"],
        "files": given.files,
        "seconds_of_audio": given.files * CLIP_S,
        "workers": WORKERS,
        "plain_s": plain,
        "ray_s": on_ray,
        "overhead": round(float(np.median(on_ray) / np.median(plain)) - 1, 3),
        "largest_difference_of_llr": difference(plain_records, ray_records),
        "killed": {
            "largest_difference_of_llr": difference(plain_records, kills.pop("records")),
            **kills,
        },
        "many_rows": many_rows(given.rows, given.work),
    }
    print(json.dumps(content, indent=1))
    given.results.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
