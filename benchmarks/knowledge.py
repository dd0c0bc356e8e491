"""What the knowledge base costs: from a file to protection, a query, memory and disk.

    python benchmarks/knowledge.py [--most 1000000]

Adds the samples through the command, then makes bases of random unit embeddings of the embedded model's size
and asks them for ten neighbours, one query at a time, with two threads. Writes
`benchmarks/results/knowledge.json`. How safe it is under `kill -9`: `KILL_MOMENTS=50 pytest -k kill_9`.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "2")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "2")

import numpy as np

from earwitness.evidence.knowledge import Entry, Item, Knowledge
from earwitness.types import ModelId

ROOT = Path(__file__).parents[1]
MODEL = ModelId("embedded", "2", "ab" * 32)
SIZE = 394  # of the embedded model's embedding
SIZES = (10_000, 100_000, 1_000_000)
AT_ONCE = 20_000
QUERIES = 41


def from_file_to_protection(folder: Path) -> dict[str, Any]:
    """Seconds of one core a sample, beyond those that the command takes to start."""
    command = shutil.which("earwitness")
    if not command:
        raise SystemExit("earwitness is not installed here")
    files = sorted(str(path) for path in (ROOT / "samples").glob("g*"))
    spent = {}
    for count in (1, len(files)):
        base = folder / f"{count}.db"
        line = [command, "knowledge", "add", *files[:count], "--label", "fake", "--base", str(base)]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        subprocess.run(line, check=True, capture_output=True, env=environment)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent[count] = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    each = (spent[len(files)] - spent[1]) / (len(files) - 1)
    return {
        "samples": len(files),
        "cpu_s_a_sample": round(each, 3),
        "cpu_s_of_one_from_cold": round(spent[1], 2),
    }


def unit(rng: np.random.Generator, rows: int) -> np.ndarray:
    """Random unit rows."""
    drawn = rng.standard_normal((rows, SIZE), dtype=np.float32)
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def filled(path: Path, entries: int) -> None:
    """A base of one segment an entry."""
    rng = np.random.default_rng(0)
    with Knowledge.create(path, MODEL, SIZE) as base:
        for first in range(0, entries, AT_ONCE):
            rows = unit(rng, min(AT_ONCE, entries - first))
            base.add(
                [
                    Item(Entry(f"{first + i:016x}", bool(i % 2), 5.0, 0.0), row[None], np.zeros(1))
                    for i, row in enumerate(rows)
                ]
            )


def asked(path: Path, entries: int) -> dict[str, Any]:
    """Milliseconds a query, in a process of its own that did nothing else."""
    code = "import sys, knowledge; knowledge.ask(sys.argv[1])"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], check=True, capture_output=True, text=True, env=environment
    )
    return {
        "entries": entries,
        **json.loads(done.stdout),
        "disk_bytes_an_entry": path.stat().st_size // entries,
    }


def resident() -> int:
    """Bytes of this process that are in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def ask(path: str) -> None:
    """Print what `asked` wants to know."""
    queries = unit(np.random.default_rng(1), QUERIES)
    before = resident()
    with Knowledge.open(path) as base:
        started = time.perf_counter()
        base.search(queries[:1], 10)
        first = time.perf_counter() - started
        spent = []
        for query in queries:
            started = time.perf_counter()
            base.search(query[None], 10)
            spent.append(1e3 * (time.perf_counter() - started))
        count = len(base)
        grown = resident() - before
    found = {
        "first_query_s": round(first, 2),
        "median_ms": round(float(np.median(spent)), 2),
        "p95_ms": round(float(np.quantile(spent, 0.95)), 2),
        "memory_bytes_an_entry": round(grown / count),
    }
    sys.stdout.write(json.dumps(found))


def main() -> None:
    parser = argparse.ArgumentParser(description="What the knowledge base costs.")
    parser.add_argument("--most", type=int, default=SIZES[-1], help="entries of the largest base")
    parser.add_argument("--work", type=Path, help="folder for the bases")
    given = parser.parse_args()
    found: dict[str, Any] = {"processors": os.cpu_count(), "embedding": SIZE}
    with tempfile.TemporaryDirectory(dir=given.work) as name:
        folder = Path(name)
        found["from_file_to_protection"] = from_file_to_protection(folder)
        print(found, flush=True)
        found["queries"] = []
        for entries in (size for size in SIZES if size <= given.most):
            path = folder / f"{entries}.db"
            filled(path, entries)
            found["queries"].append(asked(path, entries))
            print(found["queries"][-1], flush=True)
            path.unlink()
    target = Path(__file__).parent / "results" / "knowledge.json"
    target.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
