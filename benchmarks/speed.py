"""Speed and memory of the installed command, whole processes, as a user runs it.

    python benchmarks/speed.py --speech-dir FOLDER

Measures start-up (`--help`, one 5 s WAV from cold, medians of 10), throughput on `--files` mixed
files (audio seconds a CPU second, with one thread), and peak memory there and on a file of `--hours`.
Writes `benchmarks/results/speed.json`. Speech is cut from the recordings in FOLDER.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import tempfile
import time
import wave
from pathlib import Path
from typing import Any

import av
import numpy as np

from earwitness.audio.io import load

RATE = 16_000
KINDS = {  # ending: container, encoder
    "wav": ("wav", "pcm_s16le"),
    "flac": ("flac", "flac"),
    "mp3": ("mp3", "libmp3lame"),
    "m4a": ("ipod", "aac"),
    "ogg": ("ogg", "libopus"),
}


def timed(command: list[str], output: Path = Path(os.devnull)) -> dict[str, float]:
    """Wall and CPU seconds and peak resident MiB of one process, which prints into the file `output`."""
    started, peak_kib = time.monotonic(), 0
    with output.open("wb") as file:
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.DEVNULL)
    while not (ended := os.wait4(process.pid, os.WNOHANG))[0]:
        # Not ru_maxrss: it begins at the size of the process that forked, which is this one.
        status_file = Path(f"/proc/{process.pid}/status").read_text()
        if "VmHWM:" in status_file:
            peak_kib = max(peak_kib, int(status_file.split("VmHWM:")[1].split()[0]))
        time.sleep(0.01)
    wall = time.monotonic() - started
    _, status, usage = ended
    if os.waitstatus_to_exitcode(status) not in (0, 1):
        raise RuntimeError(f"{' '.join(command)} ended with {status}")
    return {
        "wall_s": wall,
        "cpu_s": usage.ru_utime + usage.ru_stime,
        "rss_mib": peak_kib / 1024,
    }


def write_audio(path: Path, audio: np.ndarray) -> None:
    """Encode (samples,) at 16 kHz by the ending of the name."""
    container_format, encoder = KINDS[path.suffix[1:]]
    with av.open(str(path), "w", format=container_format) as container:
        stream: Any = container.add_stream(encoder, rate=RATE, layout="mono")
        pcm = (np.clip(audio, -1, 1) * 32_767).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(pcm[None], format="s16", layout="mono")
        frame.sample_rate = RATE
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def speech(folder: Path, seconds: float, seed: int) -> np.ndarray:
    """Recordings of a folder, in random order, joined to `seconds`."""
    rng = np.random.default_rng(seed)
    files = sorted(p for p in folder.iterdir() if p.suffix in (".flac", ".wav", ".mp3", ".m4a"))
    parts: list[np.ndarray] = []
    while sum(map(len, parts)) < seconds * RATE:
        parts.append(load(files[int(rng.integers(len(files)))]))
    return np.concatenate(parts)[: int(seconds * RATE)]


def write_long(path: Path, audio: np.ndarray, hours: float) -> None:
    """A WAV of `audio` repeated to `hours`."""
    pcm = (np.clip(audio, -1, 1) * 32_767).astype("<i2").tobytes()
    left = int(hours * 3600) * RATE * 2
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        while left > 0:
            file.writeframesraw(pcm[:left])
            left -= len(pcm)


def main() -> None:
    parser = argparse.ArgumentParser(description="Speed and memory of `earwitness scan`.")
    parser.add_argument("--speech-dir", type=Path, default=Path(__file__).parents[1] / "samples")
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--files", type=int, default=1000)
    parser.add_argument("--hours", type=float, default=4.0)
    arguments = parser.parse_args()
    command = shutil.which("earwitness")
    if not command:
        raise SystemExit("earwitness is not installed here")
    results: dict[str, Any] = {"processors": os.cpu_count()}
    results |= {"files": arguments.files, "hours": arguments.hours}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        five = folder / "five.wav"
        write_audio(five, speech(arguments.speech_dir, 5, 0))
        for label, line in (("help", ["--help"]), ("one_5_s_wav", ["scan", str(five)])):
            walls = [timed([command, *line])["wall_s"] for _ in range(10)]
            results[label] = {"median_s": round(statistics.median(walls), 3), "max_s": round(max(walls), 3)}
            print(label, results[label], flush=True)

        many, rng, total = folder / "many", np.random.default_rng(1), 0.0
        many.mkdir()
        source = speech(arguments.speech_dir, 1800, 2)
        for i in range(arguments.files):
            seconds = float(rng.uniform(2, 15))
            start = int(rng.uniform(0, len(source) - seconds * RATE))
            kind = list(KINDS)[i % len(KINDS)]
            write_audio(many / f"{i:04}.{kind}", source[start : start + int(seconds * RATE)])
            total += seconds
        long_file = folder / "long.wav"
        write_long(long_file, source, arguments.hours)
        for label, target, seconds in (
            ("mixed_files", many, total),
            ("long_file", long_file, arguments.hours * 3600),
        ):
            for threads in ("1", "2"):
                used = timed([command, "scan", str(target), "--json", "--threads", threads])
                results[f"{label}_{threads}_threads"] = {
                    "audio_s": round(seconds),
                    "times_real_time_per_cpu_second": round(seconds / used["cpu_s"], 1),
                    "times_real_time_per_wall_second": round(seconds / used["wall_s"], 1),
                    "peak_rss_mib": round(used["rss_mib"]),
                }
                print(label, threads, results[f"{label}_{threads}_threads"], flush=True)
    arguments.results.mkdir(parents=True, exist_ok=True)
    (arguments.results / "speed.json").write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
