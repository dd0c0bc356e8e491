"""What a question to a knowledge base costs, by the number of its entries, on one core."""

import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np

from earwitness.errors import EarwitnessError
from earwitness.operations.bench_apart import MIB, apart, free_memory_mib, peak_mib
from earwitness.operations.bench_fits import exponent
from earwitness.operations.bench_setup import Setup, Step

SIZES = (1_000, 10_000, 100_000, 1_000_000)
QUICK = 10_000
AT_ONCE = 20_000  # entries added in one transaction
NEIGHBOURS = 10
MOST_S, MOST_QUERIES = 3.0, 101


def measure(setup: Setup, found: dict[str, Any], step: Step) -> None:
    """Fill `knowledge`: a row for each size of base, of random embeddings as large as the model's.

    Raises:
        Unmeasured: the model cannot be used.
    """
    size = apart("bench_knowledge:embedding_size", model=str(setup.folder))
    rows: list[dict[str, Any]] = []
    found["knowledge"] = {"embedding": size, "neighbours": NEIGHBOURS, "rows": rows}
    file = setup.work / "base.db"
    for entries in SIZES:
        if setup.quick and entries > QUICK:
            continue
        row: dict[str, Any] = {"entries": entries}
        rows.append(row)
        short = too_large(entries, size, setup.work)
        if short:
            row["why"] = short
            continue
        step(f"knowledge: making {entries:,} entries")
        try:
            row["adding_s"] = apart("bench_knowledge:fill", path=str(file), entries=entries, size=size)
            row["disk_mib"] = file.stat().st_size / MIB
            step(f"knowledge: asking {entries:,} entries")
            row |= apart("bench_knowledge:ask", path=str(file), size=size)
        except EarwitnessError as error:
            row["why"] = setup.plain(error)
        file.unlink(missing_ok=True)
    done = [row for row in rows if "why" not in row]
    found["knowledge"]["fit"] = exponent(
        [row["entries"] for row in done] or [1.0], [row["query_ms"] for row in done]
    )


def too_large(entries: int, size: int, work: Path) -> str:
    """Why a base cannot be tried here; '' where it can."""
    disk, memory = entries * (4 * size + 900) * 1.5 / MIB, (200 * MIB + entries * 4 * size * 2.5) / MIB
    if shutil.disk_usage(work).free / MIB < disk:
        return f"{disk:,.0f} MiB of disk are needed"
    free = free_memory_mib()
    return f"{memory:,.0f} MiB of memory are needed" if free is not None and free < memory else ""


def embedding_size(model: str) -> int:
    """Numbers in an embedding of a model.

    Raises:
        ModelError, MissingExtra: it cannot be used.
    """
    from earwitness.decision.detector import load_detector
    from earwitness.decision.scoring import score_clips
    from earwitness.operations.bench_audio import made_voice

    return len(score_clips(load_detector(model, 1), [made_voice(2.0)])[0].embedding)


def unit(rng: np.random.Generator, rows: int, size: int) -> np.ndarray:
    """Random unit rows (rows, size)."""
    drawn = rng.standard_normal((rows, size), dtype=np.float32)
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def fill(path: str, entries: int, size: int) -> float:
    """Make a base of one segment an entry; the seconds that adding takes, a commit for `AT_ONCE`."""
    from earwitness.evidence.knowledge import Entry, Item, Knowledge
    from earwitness.types import ModelId

    rng, spent = np.random.default_rng(0), 0.0
    with Knowledge.create(path, ModelId("random", "1", "ab" * 32), size) as base:
        for first in range(0, entries, AT_ONCE):
            rows = unit(rng, min(AT_ONCE, entries - first), size)
            items = [
                Item(Entry(f"{first + number:016x}", bool(number % 2), 5.0, 0.0), row[None], np.zeros(1))
                for number, row in enumerate(rows)
            ]
            began = time.perf_counter()
            base.add(items)
            spent += time.perf_counter() - began
    return spent


def ask(path: str, size: int) -> dict[str, Any]:
    """Milliseconds of a question, and seconds of the first, which reads the base into memory."""
    from earwitness.evidence.knowledge import Knowledge

    queries = unit(np.random.default_rng(1), MOST_QUERIES, size)
    with Knowledge.open(path) as base:
        began = time.perf_counter()
        base.search(queries[:1], NEIGHBOURS)
        first, spent = time.perf_counter() - began, []
        for query in queries:
            began = time.perf_counter()
            base.search(query[None], NEIGHBOURS)
            spent.append(1e3 * (time.perf_counter() - began))
            if sum(spent) > 1e3 * MOST_S and len(spent) > 10:
                break
    return {
        "query_ms": float(np.median(spent)),
        "p95_ms": float(np.quantile(spent, 0.95)),
        "first_query_s": first,
        "memory_mib": peak_mib(),
    }
