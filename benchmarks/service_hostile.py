"""Two thousand broken recordings against the service: no 5xx, no hang, no leak.

    python benchmarks/service_hostile.py --work FOLDER --files 2000

Samples with bytes flipped, cut, doubled, swapped and overwritten, seeded, so that every run sends the same.
Memory and open files of the server are read before, between and after. Then, if it is installed,
schemathesis runs over the OpenAPI description. Writes `benchmarks/results/service-hostile.json`.
"""

import argparse
import asyncio
import json
import os
import platform
import random
import shutil
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

from serving import Server, post, resident

RESULTS = Path(__file__).parent / "results" / "service-hostile.json"
SAMPLES = Path(__file__).parent.parent / "samples"
AT_ONCE = 8
PARTS = 5


def mutated(data: bytes, draws: random.Random) -> bytes:
    """A broken copy."""
    broken = bytearray(data)
    for _ in range(draws.choice((1, 1, 3, 30))):
        place = draws.choice((draws.randrange(min(256, len(broken))), draws.randrange(len(broken))))
        size = draws.choice((1, 2, 4, 64, 1024))
        kind = draws.randrange(5)
        if kind == 0:
            broken[place] ^= 1 << draws.randrange(8)
        elif kind == 1:
            broken[place : place + size] = draws.randbytes(size)
        elif kind == 2:
            broken[place : place + size] = draws.choice((b"\x00", b"\xff", b"\x7f")) * size
        elif kind == 3:
            del broken[place : place + size]
        else:
            broken[place:place] = broken[place : place + size]
        broken = broken or bytearray(b"\x00")
    return bytes(broken[: draws.randrange(1, len(broken) + 1)] if draws.random() < 0.1 else broken)


async def send_all(server: Server, files: list[bytes]) -> Counter[str]:
    """Statuses and verdicts of all files, a few at a time."""
    found: Counter[str] = Counter()
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(data: bytes) -> None:
        async with gate:
            status, body = await asyncio.wait_for(post(server.port, "/v1/analyses?wait_s=60", data), 120)
        found[str(status)] += 1
        if status == 200:
            content = json.loads(body)
            found[content["state"] if content["state"] == "parked" else content["record"]["verdict"]] += 1

    await asyncio.gather(*(one(data) for data in files))
    return found


def of_workers(server: Server) -> int:
    """MiB that the largest worker holds."""
    return max(map(resident, server.workers()), default=0) >> 20


def describe(server: Server, work: Path) -> dict[str, Any]:
    """What schemathesis finds."""
    if shutil.which("st") is None:
        return {"skipped": "schemathesis is not installed"}
    report = (work / "schemathesis.xml").resolve()
    command = [
        "st",
        "run",
        server.url("/v1/openapi.json"),
        "--checks",
        "not_a_server_error,response_schema_conformance",
    ]
    command += ["--max-examples", "30", "--seed", "0", "--request-timeout", "70", "--report", "junit"]
    command += ["--report-junit-path", str(report), "--no-color"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1_800, cwd=work)
    (work / "schemathesis.log").write_text(done.stdout + done.stderr)
    counted = [line.strip() for line in done.stdout.splitlines() if " generated, " in line]
    return {"exit_code": done.returncode, "cases": counted}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--files", type=int, default=2_000)
    given = parser.parse_args()
    draws = random.Random(0)
    originals = [
        path.read_bytes()
        for path in sorted(SAMPLES.iterdir())
        if path.suffix in (".flac", ".ogg", ".mp3", ".m4a")
    ]
    files = [mutated(draws.choice(originals), draws) for _ in range(given.files)]
    shutil.rmtree(given.work / "service", ignore_errors=True)
    server = Server(given.work / "service", ("--rate", "100000"))
    server.start()
    try:
        asyncio.run(send_all(server, originals))
        memory, workers, open_files, found = (
            [server.memory()],
            [of_workers(server)],
            [server.files()],
            Counter(),
        )
        part = -(-len(files) // PARTS)
        for start in range(0, len(files), part):
            found += asyncio.run(send_all(server, files[start : start + part]))
            memory.append(server.memory())
            workers.append(of_workers(server))
            open_files.append(server.files())
            print(dict(found), [f"{m >> 20} MiB" for m in memory], workers, open_files, flush=True)
        kept = len(list((server.folder / "audio").iterdir())) - found["200"] - len(originals)
        described = describe(server, given.work)
    finally:
        server.stop()
    content = {
        "command": "python benchmarks/service_hostile.py --work FOLDER",
        "machine": f"{platform.machine()}, {os.cpu_count()} processors",
        "files": len(files),
        "found": dict(found),
        "server_mib": [m >> 20 for m in memory],
        "largest_worker_mib": workers,
        "server_open_files": open_files,
        "files_of_nobody": kept,
        "schemathesis": described,
    }
    print(json.dumps(content, indent=1))
    RESULTS.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
