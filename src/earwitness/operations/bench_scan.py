"""Whole scans: from cold, of many clips by more and more workers, and of longer and longer recordings."""

import shutil
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from earwitness.errors import EarwitnessError, InputError
from earwitness.operations.bench_apart import MIB, apart, command, peak_mib
from earwitness.operations.bench_audio import speech_of, write_wav
from earwitness.operations.bench_fits import exponent, line
from earwitness.operations.bench_setup import Setup, Step
from earwitness.operations.scan import GROUP, available_processors

CLIP_S = 5.0
VOICE_S = 60.0  # of audio that longer recordings repeat
LENGTHS = (1.0, 10.0, 60.0, 600.0, 3600.0, 14_400.0)
QUICK_S = 600.0
LINEAR_S = 10.0  # from here on the fit is made
LEVEL_S = 60.0  # from here on memory should not grow
LONGEST_S = 5_400.0  # that one scan may take
TRY = 8  # clips
AIM_S = 40.0  # for one worker
MOST = 400  # clips


def measure_start(setup: Setup, found: dict[str, Any], step: Step) -> None:
    """Fill `start`: seconds of `--help`, and of one clip with a process of its own.

    Raises:
        Unmeasured: the command fails.
    """
    step("start")
    file = setup.work / "five.wav"
    write_wav(file, speech_of(setup.audio, CLIP_S))
    words = ("scan", str(file), "--model", str(setup.folder))
    command(*words)  # what is compiled and cached at the first start is no one's time
    times = 2 if setup.quick else 11
    cold, loading, helped = [], [], []
    for _ in range(times):  # in turn, so that what else runs here slows all alike
        cold.append(command(*words)["wall_s"])
        loading.append(command(*words, importing=True)["importing_s"])
        helped.append(command("--help")["wall_s"])
    found["start"] = {
        "one_5_s_file_s": median(cold),
        "slowest_s": max(cold),
        "importing_s": median(loading),
        "help_s": median(helped),
        "starts": times,
    }


def worker_counts(processors: int) -> list[int]:
    """1, 2, 4 and so on, and all processors."""
    return sorted({processors, *(2**power for power in range(20) if 2**power <= processors)})


def measure_cores(setup: Setup, found: dict[str, Any], step: Step) -> None:
    """Fill `cores`: files a second of a whole scan of many clips, by the number of workers.

    Raises:
        Unmeasured: the command fails.
    """
    step("cores: making clips")
    source = speech_of(setup.audio, VOICE_S)
    folder = setup.work / "many"
    folder.mkdir(exist_ok=True)
    size = round(CLIP_S * 16_000)

    def write(count: int) -> None:
        for number in range(count):
            at = 997 * number % (len(source) - size)
            write_wav(folder / f"{number:04}.wav", source[at : at + size])

    def scan(workers: int) -> float:
        words = ("scan", str(folder), "--json", "--workers", str(workers), "--model", str(setup.folder))
        return command(*words)["wall_s"]

    write(1)
    start = scan(1)
    write(TRY)
    each = max((scan(1) - start) / (TRY - 1), 1e-3)
    files = even(round((4.0 if setup.quick else AIM_S) / each), GROUP * available_processors())
    write(files)
    counts = worker_counts(available_processors())
    spent: dict[int, list[float]] = {count: [] for count in counts}
    rounds = 1 if setup.quick else 3
    for number in range(rounds):
        for count in counts:
            step(f"cores: {count} workers, round {number + 1} of {rounds}")
            spent[count].append(scan(count))
    step("cores: scoring alone")
    clip = setup.work / "five.npy"
    np.save(clip, source[:size])
    alone = apart("bench_stages:side_by_side", file=str(clip), model=str(setup.folder), counts=counts[1:])
    found["cores"] = {
        "files": files,
        "clip_s": CLIP_S,
        "start_s": start,
        "rows": [
            row | {"scoring_alone": alone.get(str(row["workers"]), 1.0)}
            for row in speed_ups(files, start, spent)
        ],
    }


def even(files: int, share: int) -> int:
    """About so many files, of which each worker gets as many groups as the others."""
    return max(1, min(round(files / share), MOST // share)) * share


def speed_ups(files: int, start: float, spent: dict[int, list[float]]) -> list[dict[str, Any]]:
    """Rows by workers, from the seconds of their scans and of starting; each round has its own one worker."""
    rounds = range(len(spent[1]))
    return [
        {
            "workers": count,
            "seconds": median(times),
            "files_per_s": files / median(times),
            "speed_up": median(spent[1][i] / times[i] for i in rounds),
            "speed_up_beyond_start": median(
                (spent[1][i] - start) / max(times[i] - start, 1e-3) for i in rounds
            ),
        }
        for count, times in spent.items()
    ]


def measure_length(setup: Setup, found: dict[str, Any], step: Step) -> None:
    """Fill `length`: seconds and memory of one recording, by its length, and how they grow.

    Medians, the shorter lengths before and after each of the longest: a machine has slow hours.
    """
    source = speech_of(setup.audio, VOICE_S)
    short = [length for length in LENGTHS if length <= QUICK_S]
    long = [] if setup.quick else [length for length in LENGTHS if length > QUICK_S]
    spent: dict[float, list[dict[str, Any]]] = {length: [] for length in (*short, *long)}
    rate = 1.0  # seconds a second of audio, at worst
    for length in (*short, *(each for longest in long for each in (longest, *short))):
        step(f"length: {length:,.0f} s")
        row = {"audio_s": length} | length_row(setup, source, length, rate)
        rate = row["scan_s"] / length if "scan_s" in row else rate
        spent[length].append(row)
        found["length"] = {"rows": [middle(each) for each in spent.values() if each]}
    found["length"] |= growth(found["length"]["rows"])


def length_row(setup: Setup, source: np.ndarray, length: float, rate: float) -> dict[str, Any]:
    """What a recording of so many seconds takes, or `why` it does not say, after `rate` seconds a second."""
    needed = 1.2 * length * 32_000
    if shutil.disk_usage(setup.work).free < needed:
        return {"why": f"{needed / MIB:,.0f} MiB of disk are needed"}
    if rate * length > LONGEST_S:
        return {"why": f"it would take more than {LONGEST_S / 60:g} minutes"}
    file = setup.work / "long.wav"
    write_wav(file, source, length)
    try:
        return apart("bench_scan:scanned", alone=False, file=str(file), model=str(setup.folder))
    except EarwitnessError as error:
        return {"why": setup.plain(error)}
    finally:
        file.unlink()


def middle(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """One row of several of the same length: medians of those that were measured."""
    good = [row for row in rows if "why" not in row]
    if not good:
        return rows[-1]
    memory = [row["memory_mib"] for row in good if row["memory_mib"]]
    return {
        "audio_s": good[0]["audio_s"],
        "scan_s": median(row["scan_s"] for row in good),
        "cpu_s": median(row["cpu_s"] for row in good),
        "memory_mib": median(memory) if memory else None,
        "times": len(good),
    }


def scanned(file: str, model: str) -> dict[str, Any]:
    """Scan one file after a first one has loaded all there is; short ones several times.

    Raises:
        InputError: `no-speech`, or whatever is wrong with the file.
    """
    from earwitness.operations.scan import scan

    short = Path(file).stat().st_size < 32_000 * LEVEL_S * 1.1
    first = scan(file, model=model) if short else None
    walls, busy = [], []
    while not walls or (short and sum(walls) < 2.0 and len(walls) < 25):
        cpu, wall = time.process_time(), time.perf_counter()
        first = scan(file, model=model)
        walls.append(time.perf_counter() - wall)
        busy.append(time.process_time() - cpu)
    assert first is not None
    if first.verdict in ("error", "no-speech"):
        raise InputError("no-speech", f"nothing was scored: {first.rule}")
    return {
        "scan_s": median(walls),
        "cpu_s": median(busy),
        "memory_mib": peak_mib(),
    }


def growth(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """How seconds and memory grow with length; None where too few lengths were measured."""
    done = [row for row in rows if "why" not in row]
    fitted = [row for row in done if row["audio_s"] >= LINEAR_S]
    lengths = [row["audio_s"] for row in fitted]
    level = [row for row in done if row["audio_s"] >= LEVEL_S and row["memory_mib"]]
    memory = [row["memory_mib"] for row in level]
    hours = [row["audio_s"] / 3600 for row in level]
    return {
        "wall": exponent(lengths, [row["scan_s"] for row in fitted]) if fitted else None,
        "cpu": exponent(lengths, [row["cpu_s"] for row in fitted]) if fitted else None,
        "memory_grows_mib": memory[-1] - memory[0] if len(level) > 1 else None,
        "memory_grows_mib_an_hour": line(hours, memory)[0]
        if hours and hours[-1] >= 1 and len(level) > 2
        else None,
    }
