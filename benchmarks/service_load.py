"""The service under load, beside `earwitness scan` on the same files.

    python benchmarks/service_load.py --corpus ../shared/corpus --work FOLDER

Clips of 5 s of real speech. Each round has 200 uploads begin at once, each waiting for its answer; rounds of
the service and runs of `scan` alternate. Client, server and workers share the machine. Then the same with a
recording of two hours that is being heard meanwhile. Writes `benchmarks/results/service-load.json`.
"""

import argparse
import asyncio
import json
import os
import platform
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from serving import Server, post

from earwitness.audio.corpora import demos, packages
from earwitness.audio.io import SAMPLE_RATE, load, to_wav
from earwitness.errors import EarwitnessError

RESULTS = Path(__file__).parent / "results" / "service-load.json"
CLIP_S, AT_ONCE, ROUNDS, LONG_S = 5.0, 200, 3, 7_200


def make_clips(corpus: Path, folder: Path) -> list[Path]:
    """Clips of 5 s as 16-bit WAV."""
    import soundfile

    folder.mkdir(parents=True, exist_ok=True)
    found = sorted(folder.glob("*.wav"))
    if len(found) == AT_ONCE:
        return found
    items = [*packages.read(corpus / "packages"), *demos.read(corpus / "demos")]
    random.Random(0).shuffle(items)
    samples = round(CLIP_S * SAMPLE_RATE)
    for item in items:
        if len(found) == AT_ONCE:
            break
        try:
            audio = load(item.path)
        except EarwitnessError:
            continue
        if len(audio) >= samples:
            path = folder / f"{len(found):03d}.wav"
            soundfile.write(path, audio[:samples], SAMPLE_RATE, subtype="PCM_16")
            found.append(path)
    assert len(found) == AT_ONCE, f"only {len(found)} recordings of {CLIP_S} s under {corpus}"
    return found


def scan_s(paths: list[Path]) -> float:
    """Wall time of `earwitness scan --json --timeline`."""
    began = time.perf_counter()
    command = [sys.executable, "-m", "earwitness.cli", "scan", "--json", "--timeline", *map(str, paths)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - began


async def upload(server: Server, clips: list[bytes]) -> dict[str, Any]:
    """All clips at once: statuses, latencies and wall time."""
    began = time.perf_counter()

    async def one(number: int, clip: bytes) -> tuple[int, str, float]:
        status, body = await post(server.port, f"/v1/analyses?wait_s=60&name={number}.wav", clip)
        content = json.loads(body) if body else {}
        return status, content.get("state", ""), time.perf_counter() - began

    answers = await asyncio.gather(*(one(number, clip) for number, clip in enumerate(clips)))
    latencies = np.array([seconds for _, _, seconds in answers])
    return {
        "uploads": len(clips),
        "answered": sum(state == "done" for _, state, _ in answers),
        "server_errors": sum(status >= 500 or status == 0 for status, _, _ in answers),
        "wall_s": round(float(latencies.max()), 3),
        "files_per_s": round(len(clips) / float(latencies.max()), 2),
        "p50_s": round(float(np.quantile(latencies, 0.5)), 3),
        "p95_s": round(float(np.quantile(latencies, 0.95)), 3),
    }


async def one_by_one(server: Server, clips: list[bytes], pause_s: float) -> list[float]:
    """Latencies of uploads that do not wait for each other's turn."""
    latencies = []
    for clip in clips:
        began = time.perf_counter()
        status, _ = await post(server.port, "/v1/analyses?wait_s=60", clip)
        assert status == 200, status
        latencies.append(time.perf_counter() - began)
        await asyncio.sleep(pause_s)
    return latencies


def beside_long(server: Server, clips: list[bytes]) -> dict[str, Any]:
    """Latencies of short uploads alone, and while two hours are heard."""
    alone = asyncio.run(one_by_one(server, clips[:40], 0.1))
    audio = np.concatenate([load(clip) for clip in clips])
    whole = np.tile(audio, LONG_S * SAMPLE_RATE // len(audio) + 1)[: LONG_S * SAMPLE_RATE]
    status, body = asyncio.run(
        post(server.port, "/v1/analyses?wait_s=0&name=long.wav", to_wav(whole, SAMPLE_RATE))
    )
    assert status == 202, status
    long = json.loads(body)["id"]
    while server.get(f"/v1/analyses/{long}")["state"] != "running":
        time.sleep(0.1)
    time.sleep(5)
    beside = asyncio.run(one_by_one(server, clips[:40], 0.1))
    state = server.get(f"/v1/analyses/{long}")["state"]
    return {
        "long_state_after": state,
        "alone_p50_s": round(float(np.median(alone)), 3),
        "alone_max_s": round(max(alone), 3),
        "beside_p50_s": round(float(np.median(beside)), 3),
        "beside_max_s": round(max(beside), 3),
        "worst_delay_s": round(max(beside) - float(np.median(alone)), 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    given = parser.parse_args()
    paths = make_clips(given.corpus, given.work / "clips")
    clips = [path.read_bytes() for path in paths]
    shutil.rmtree(given.work / "service", ignore_errors=True)  # what was left to do there would be done now
    server = Server(given.work / "service", ("--rate", "100000"))
    server.start()
    try:
        asyncio.run(upload(server, clips[:16]))  # every worker has its model
        start_s = scan_s(paths[:1])
        rounds, scans = [], []
        for _ in range(ROUNDS):
            rounds.append(asyncio.run(upload(server, clips)))
            scans.append((len(paths) - 1) / (scan_s(paths) - start_s))
            print(rounds[-1], f"scan {scans[-1]:.2f} files/s", flush=True)
        long = beside_long(server, clips)
    finally:
        server.stop()
    served, scanned = np.median([one["files_per_s"] for one in rounds]), np.median(scans)
    content = {
        "command": "python benchmarks/service_load.py --corpus CORPUS --work FOLDER",
        "machine": f"{platform.machine()}, {os.cpu_count()} processors, client on the same machine",
        "rounds": rounds,
        "scan_files_per_s": [round(rate, 2) for rate in scans],
        "share_of_scan": round(float(served / scanned), 3),
        "beside_two_hours": long,
    }
    print(json.dumps(content, indent=1))
    RESULTS.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
