"""What the installed command makes of every format, of bad input, of being killed, of noise.

    python benchmarks/robustness.py formats|bad-input|resume|noise|all [--speech-dir FOLDER]

Runs `earwitness scan --json` as a user would and writes `benchmarks/results/robustness-NAME.json`.
Speech is taken from FOLDER (the repository's samples by default). Seeded.
"""

import argparse
import io
import json
import os
import shutil
import struct
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import av.error
import numpy as np
import soundfile
import soxr

import earwitness
from earwitness.audio.io import load

RATE = 16_000
ROOT = Path(__file__).parents[1]


def scan(*arguments: str, timeout: float = 60) -> tuple[list[dict[str, Any]], int, float]:
    """Records, exit code and seconds of one run; a crash or hang raises."""
    command = ["earwitness", "scan", "--json", *arguments]
    started = time.monotonic()
    done = subprocess.run(command, capture_output=True, timeout=timeout)
    if b"Traceback" in done.stderr or done.returncode not in (0, 1):
        raise RuntimeError(f"exit {done.returncode}: {done.stderr.decode()[-500:]}")
    return (
        [json.loads(line) for line in done.stdout.splitlines()],
        done.returncode,
        time.monotonic() - started,
    )


def speech_clips(folder: Path, count: int) -> list[np.ndarray]:
    """`count` clips of 4 to 8 s that hold speech, (samples,) rounded to 16 bits."""
    clips = []
    for path in sorted(folder.iterdir()):
        if path.suffix in (".flac", ".wav", ".mp3") and "noise" not in path.name:
            clip = load(path)[: 8 * RATE]
            if len(clip) >= 4 * RATE and (found := earwitness.scan(clip)).llr is not None:
                clips.append(np.round(clip * 32_767).clip(-32_768, 32_767).astype(np.int16))
                assert found.quality is not None
        if len(clips) == count:
            break
    return clips


def coded(pcm: np.ndarray, container: str, codec: str, rate: int = RATE, **options: Any) -> bytes:
    """(samples,) of 16-bit PCM at 16 kHz through an encoder of FFmpeg; `video` adds a picture."""
    audio = pcm / 32_768 if rate == RATE else soxr.resample(pcm / 32_768, RATE, rate)
    file = io.BytesIO()
    with av.open(file, "w", format=container, options=options.get("muxer", {})) as out:
        pictures = int(len(audio) / rate * 10) if options.get("video") else 0
        picture: Any = out.add_stream("mpeg4", rate=10) if pictures else None
        if picture:
            picture.width, picture.height, picture.pix_fmt = 64, 64, "yuv420p"
        stream: Any = out.add_stream(codec, rate=rate, layout="mono")
        if "bit_rate" in options:
            stream.bit_rate = options["bit_rate"]
        for i in range(pictures):
            image = np.full((64, 64, 3), i % 255, np.uint8)
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts = i
            out.mux(picture.encode(frame))
        if pictures:
            out.mux(picture.encode(None))
        kind = options.get("kind", stream.codec_context.format.name)
        samples = (audio * 32_767).astype(np.int16)[None]
        whole = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
        whole.sample_rate = rate
        resampler = av.AudioResampler(format=kind, layout="mono", rate=rate)
        for part in [*resampler.resample(whole), *resampler.resample(None), None]:
            out.mux(stream.encode(part))
    return file.getvalue()


def by_libsndfile(pcm: np.ndarray, rate: int = RATE, channels: int = 1, **options: Any) -> bytes:
    """(samples,) of 16-bit PCM at 16 kHz written by libsndfile; channels are copies."""
    audio = pcm / 32_768 if rate == RATE else soxr.resample(pcm / 32_768, RATE, rate, "VHQ")
    file = io.BytesIO()
    soundfile.write(file, np.repeat(audio[:, None], channels, 1), rate, **options)
    return file.getvalue()


LOSSLESS: dict[str, Callable[[np.ndarray], bytes]] = {
    **{
        f"wav-{kind.lower()}.wav": lambda p, k=kind: by_libsndfile(p, format="WAV", subtype=k)
        for kind in ("PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE")
    },
    **{
        f"wav-{n}-channels.wav": lambda p, n=n: by_libsndfile(p, channels=n, format="WAV", subtype="PCM_16")
        for n in (2, 3, 6, 8)
    },
    **{
        f"wav-{rate}.wav": lambda p, r=rate: by_libsndfile(p, r, format="WAV", subtype="PCM_24")
        for rate in (22_050, 24_000, 32_000, 44_100, 48_000, 96_000, 192_000)
    },
    "flac-16.flac": lambda p: by_libsndfile(p, format="FLAC", subtype="PCM_16"),
    "flac-24.flac": lambda p: by_libsndfile(p, format="FLAC", subtype="PCM_24"),
    "aiff.aiff": lambda p: by_libsndfile(p, format="AIFF", subtype="PCM_16"),
    "alac.m4a": lambda p: coded(p, "ipod", "alac", kind="s16p"),
    "pcm.mov": lambda p: coded(p, "mov", "pcm_s16le", video=True),
}
LOSSY: dict[str, Callable[[np.ndarray], bytes]] = {
    "wav-8-bit.wav": lambda p: by_libsndfile(p, format="WAV", subtype="PCM_U8"),
    "wav-mu-law.wav": lambda p: by_libsndfile(p, format="WAV", subtype="ULAW"),
    "wav-a-law.wav": lambda p: by_libsndfile(p, format="WAV", subtype="ALAW"),
    "wav-8000.wav": lambda p: by_libsndfile(p, 8_000, format="WAV", subtype="PCM_16"),
    "wav-11025.wav": lambda p: by_libsndfile(p, 11_025, format="WAV", subtype="PCM_16"),
    "mp3.mp3": lambda p: coded(p, "mp3", "libmp3lame", bit_rate=64_000),
    "mp3-44100.mp3": lambda p: coded(p, "mp3", "libmp3lame", 44_100, bit_rate=128_000),
    "vorbis.ogg": lambda p: by_libsndfile(p, format="OGG", subtype="VORBIS"),
    "opus.ogg": lambda p: coded(p, "ogg", "libopus", 48_000, bit_rate=32_000),
    "aac.m4a": lambda p: coded(p, "ipod", "aac", bit_rate=64_000),
    "adts.aac": lambda p: coded(p, "adts", "aac", bit_rate=64_000),
    "wma.wma": lambda p: coded(p, "asf", "wmav2", bit_rate=64_000),
    "amr.amr": lambda p: coded(p, "amr", "libopencore_amrnb", 8_000, bit_rate=12_200),
    "g722.g722": lambda p: coded(p, "g722", "g722"),
    "webm.webm": lambda p: coded(p, "webm", "libopus", 48_000),
    "video.mp4": lambda p: coded(p, "mp4", "aac", video=True),
    "video.mkv": lambda p: coded(p, "matroska", "libopus", 48_000, video=True),
}


def formats(speech: Path) -> dict[str, Any]:
    """Every format: decoded, how long, and how far its LLR is from that of the 16-bit WAV."""
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        folder, clips = Path(name), speech_clips(speech, 4)
        for i, pcm in enumerate(clips):
            (folder / f"{i}").mkdir()
            for kind, make in {**LOSSLESS, **LOSSY}.items():
                try:
                    (folder / f"{i}" / kind).write_bytes(make(pcm))
                except av.error.FFmpegError as error:
                    results[kind] = {"not_encoded_here": str(error)}
        records, _, _ = scan(str(folder), timeout=300)
    found = {Path(r["path"]).relative_to(folder).as_posix(): r for r in records}
    for kind in {**LOSSLESS, **LOSSY}:
        if kind in results:
            continue
        rows = [(found[f"{i}/{kind}"], found[f"{i}/wav-pcm_16.wav"]) for i in range(len(clips))]
        failed = [row["error"] for row, _ in rows if row["llr"] is None]
        moved = [abs(row["llr"] - base["llr"]) for row, base in rows if row["llr"] is not None]
        results[kind] = {
            "scored": len(moved),
            "of": len(rows),
            "largest_llr_difference": round(max(moved, default=0.0), 4),
            "largest_length_difference_s": round(
                max(abs(row["duration_s"] - base["duration_s"]) for row, base in rows), 3
            ),
            "errors": failed,
        }
    return {
        "lossless_within_0.05": all(results[k]["largest_llr_difference"] <= 0.05 for k in LOSSLESS),
        "all_scored": all(r.get("scored") == r.get("of") for r in results.values() if "of" in r),
        "formats": results,
    }


def wav_header(size: int, rate: int = RATE, channels: int = 1) -> bytes:
    """A 16-bit WAV header that promises `size` bytes."""
    block = 2 * channels
    layout = struct.pack("<HHIIHH", 1, channels, rate, (rate * block) & 0xFFFFFFFF, block, 16)
    riff = b"RIFF" + struct.pack("<I", min(0xFFFFFFFF, 36 + size)) + b"WAVE"
    return riff + b"fmt " + struct.pack("<I", 16) + layout + b"data" + struct.pack("<I", size)


def make_bad_files(folder: Path, pcm: np.ndarray) -> None:
    """One file (or link, or pipe) for each kind of bad input."""
    rng = np.random.default_rng(0)
    raw, whole = pcm[: 5 * RATE].tobytes(), by_libsndfile(pcm, format="WAV", subtype="PCM_16")
    mp3, flac = coded(pcm, "mp3", "libmp3lame", bit_rate=64_000), coded(pcm, "flac", "flac")
    m4a = coded(pcm, "ipod", "aac")
    fragmented = coded(pcm, "mp4", "aac", muxer={"movflags": "frag_keyframe+empty_moov"})
    bare = coded(pcm, "mp3", "libmp3lame", bit_rate=64_000, muxer={"write_xing": "0"})
    floats = pcm[: 5 * RATE].astype(np.float32) / 32_768
    files = {
        "empty.wav": b"",
        "text.wav": b"This is a letter, not a recording.\n" * 40,
        "random.mp3": rng.bytes(20_000),
        "promises-10-hours.wav": wav_header(10 * 3600 * 2 * RATE) + raw,
        "unknown-length.wav": wav_header(0xFFFFFFFF) + raw,
        "rate-1-hz.wav": wav_header(len(raw), 1) + raw,
        "rate-4-ghz.wav": wav_header(len(raw), 4_000_000_000) + raw,
        "no-samples.wav": wav_header(0),
        "64-channels.wav": by_libsndfile(pcm, channels=64, format="WAV", subtype="PCM_16"),
        "100-channels.wav": by_libsndfile(pcm[:RATE], channels=100, format="WAV", subtype="PCM_16"),
        "tenth.wav": wav_header(3_200) + raw[:3_200],
        "hundredth.wav": wav_header(320) + raw[:320],
        "=formula().wav": whole,
        "two\nlines.wav": whole,
        "\x1b[31mred.wav": whole,
        "concat:a|b.wav": whole,
        "playlist.m3u8.wav": b"#EXTM3U\n#EXTINF:5,\n=formula().wav\n#EXT-X-ENDLIST\n",
        "long-tag.mp3": b"ID3\x04\x00\x00\x7f\x7f\x7f\x7f" + mp3,
    }
    for label, data in (("mp3", mp3), ("flac", flac), ("m4a", m4a), ("wav", whole)):
        for percent in (30, 70):
            files[f"cut-{percent}.{label}"] = data[: len(data) * percent // 100]
        if label != "wav":
            flipped = bytearray(data)
            for place in rng.integers(len(data) // 4, len(data), 40):
                flipped[place] ^= 0xFF
            files[f"flipped.{label}"] = bytes(flipped)
    files["cut-50-no-count.mp3"] = bare[: len(bare) // 2]
    files["cut-50-fragmented.mp4"] = fragmented[: len(fragmented) // 2]
    for label, value in (("nan", np.nan), ("inf", np.inf)):
        floats_bad = floats.copy()
        floats_bad[1_000:1_010] = value
        soundfile.write(folder / f"{label}.wav", floats_bad, RATE, subtype="FLOAT")
    soundfile.write(folder / "integers-as-floats.wav", floats * 32_768, RATE, subtype="FLOAT")
    for label, data in files.items():
        (folder / label).write_bytes(data)
    (Path(os.fsdecode(os.fsencode(folder) + b"/not-\xff\xfe-utf8.wav"))).write_bytes(whole)
    with av.open(str(folder / "silent-film.mp4"), "w") as out:
        picture: Any = out.add_stream("mpeg4", rate=10)
        picture.width, picture.height, picture.pix_fmt = 64, 64, "yuv420p"
        for _ in range(20):
            out.mux(
                picture.encode(av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24"))
            )
        out.mux(picture.encode(None))
    (folder / "unreadable.wav").write_bytes(whole)
    (folder / "unreadable.wav").chmod(0)
    (folder / "itself.wav").symlink_to(folder / "itself.wav")
    (folder / "dangling.wav").symlink_to(folder / "gone.wav")
    (folder / "loop").symlink_to(folder)
    os.mkfifo(folder / "pipe.wav")
    for hours, label in ((4, "4-hours-of-silence.wav"), (4, "4-hours-of-silence.flac"), (20, "bomb.flac")):
        size = hours * 3600 * RATE
        if label.endswith(".wav"):
            with (folder / label).open("wb") as file:
                file.write(wav_header(2 * size))
                file.truncate(44 + 2 * size)
        else:
            with soundfile.SoundFile(folder / label, "w", RATE, 1, "PCM_16") as file:
                for _ in range(hours * 60):
                    file.write(np.zeros(60 * RATE, np.int16))


def bad_input(speech: Path) -> dict[str, Any]:
    """Each kind alone (seconds, answer) and all of them in one batch with the folder named twice."""
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "bad"
        folder.mkdir()
        make_bad_files(folder, speech_clips(speech, 1)[0])
        paths = [p for p in sorted(folder.iterdir()) if p.name != "loop"]
        for path in [*paths, folder / "missing.wav", Path("/dev/zero")]:
            records, _, seconds = scan(str(path))
            (record,) = records
            code = record["error"]["code"] if record["error"] else None
            message = record["error"]["message"] if record["error"] else record["rule"]
            shown = path.name.encode("unicode_escape").decode()
            results[shown] = {"verdict": record["verdict"], "code": code, "seconds": round(seconds, 2)}
            print(f"{shown[:28]:28} {record['verdict']:10} {code or '':15} {seconds:5.1f} s  {message}")
        records, exit_code, seconds = scan(str(folder), str(folder), timeout=300)
        seen = Counter((r["path"], r.get("path_bytes")) for r in records)
        vanished = vanish(Path(name), speech_clips(speech, 1)[0])
    return {
        "batch": {
            "files": len(paths),
            "records": len(records),
            "any_twice": max(seen.values()) > 1,
            "exit_code": exit_code,
            "seconds": round(seconds, 1),
        },
        "vanishing_files": vanished,
        "slowest_alone_s": max(entry["seconds"] for entry in results.values()),
        "alone": results,
    }


def vanish(folder: Path, pcm: np.ndarray) -> dict[str, int]:
    """Files deleted during the scan: every one still has its record."""
    many = folder / "many"
    many.mkdir()
    for i in range(60):
        (many / f"{i:02}.wav").write_bytes(by_libsndfile(pcm, format="WAV", subtype="PCM_16"))
    process = subprocess.Popen(
        ["earwitness", "scan", "--json", "--threads", "1", str(many)], stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    lines = [process.stdout.readline()]
    for i in range(40, 60):
        (many / f"{i}.wav").unlink()
    lines += process.stdout.readlines()
    codes = Counter((json.loads(line)["error"] or {}).get("code", "scored") for line in lines)
    return {"files": 60, "deleted": 20, "records": len(lines), **codes}


def resume(speech: Path) -> dict[str, Any]:
    """Kill -9 at 20 random moments of a 300-file scan, then finish: what the journal holds."""
    rng, kills = np.random.default_rng(0), []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "in"
        folder.mkdir()
        clips = speech_clips(speech, 4)
        for i in range(300):
            size = int(rng.uniform(2, 4) * RATE)
            data = by_libsndfile(clips[i % len(clips)][:size], format="WAV", subtype="PCM_16")
            (folder / f"{i:03}.wav").write_bytes(data)
        _, _, whole_s = scan(str(folder), timeout=300)
        rounds = []
        while len(kills) < 20:
            journal = Path(name) / f"journal-{len(rounds)}"
            command = ["earwitness", "scan", "--json", str(folder), "--resume", str(journal)]
            for _ in range(4):  # the last kills of a round fall near its end
                process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
                try:
                    process.wait(rng.uniform(0.05, 0.6 * whole_s))
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
                    kills.append(journal.read_bytes().count(b"\n") - 1 if journal.exists() else 0)
            records, _, _ = scan(str(folder), "--resume", str(journal), timeout=300)
            lines = [json.loads(line)["path"] for line in journal.read_bytes().splitlines()[1:]]
            rounds.append(
                {
                    "records_in_last_output": len(records),
                    "different_files_in_last_output": len({r["path"] for r in records}),
                    "records_in_journal": len(lines),
                    "different_files_in_journal": len(set(lines)),
                }
            )
    perfect = all(set(entry.values()) == {300} for entry in rounds)
    return {"kills": len(kills), "answered_when_killed": kills, "perfect": perfect, "rounds": rounds}


def coloured(rng: np.random.Generator, samples: int, slope: float) -> np.ndarray:
    """Noise with power falling as frequency to the `slope`, unit RMS."""
    hertz = np.maximum(np.fft.rfftfreq(samples, 1 / RATE), 10)
    noise = np.fft.irfft(np.fft.rfft(rng.standard_normal(samples)) * hertz ** (-slope / 2), samples)
    return noise / noise.std()


def traffic(rng: np.random.Generator, time: np.ndarray) -> np.ndarray:
    """Rumble, passing cars, an engine whose speed drifts, now and then a horn."""
    audio = 0.7 * coloured(rng, len(time), 2)
    for _ in range(rng.integers(1, 5)):
        passing = np.exp(-(((time - rng.uniform(0, time[-1])) / rng.uniform(0.4, 3)) ** 2))
        audio += 2 * coloured(rng, len(time), 1.2) * passing
    turns = np.cumsum(rng.uniform(25, 120) * (1 + 0.1 * np.sin(rng.uniform(0.3, 3) * time))) / RATE
    audio += sum(rng.uniform(0.1, 0.8) / k * np.sin(2 * np.pi * k * turns) for k in range(1, 15))
    if rng.random() < 0.5:
        start, length = rng.uniform(0, time[-1]), rng.uniform(0.2, 1.5)
        horn = sum(np.sin(2 * np.pi * f * k * time) / k for f in (390, 490) for k in range(1, 7))
        audio += horn * ((time > start) & (time < start + length))
    return audio


NOISES: dict[str, Callable[[np.random.Generator, np.ndarray], Any]] = {
    "white": lambda rng, t: coloured(rng, len(t), 0),
    "pink": lambda rng, t: coloured(rng, len(t), 1),
    "brown": lambda rng, t: coloured(rng, len(t), 2),
    "traffic": traffic,
    "tones": lambda rng, t: sum(
        np.sin(2 * np.pi * f * t) for f in rng.uniform(60, 4_000, rng.integers(1, 6))
    ),
    "hum": lambda rng, t: sum(np.sin(2 * np.pi * 50 * k * t) / k for k in range(1, 20)),
    "voice-pitched-buzz": lambda rng, t: sum(
        np.sin(2 * np.pi * k * np.cumsum(150 + 40 * np.sin(2 * t)) / RATE) / k for k in range(1, 20)
    ),
    "sweep": lambda rng, t: np.sin(2 * np.pi * (100 + 1_500 * t / t[-1]) * t),
    "beeps": lambda rng, t: np.sin(2 * np.pi * 1_000 * t) * (np.sin(2 * np.pi * rng.uniform(0.5, 4) * t) > 0),
    "pulsing-at-4-hz": lambda rng, t: coloured(rng, len(t), 1) * (1 + np.sin(8 * np.pi * t)),
    "rain": lambda rng, t: coloured(rng, len(t), 0) * (rng.random(len(t)) < 0.01),
    "silence": lambda rng, t: np.zeros(len(t)),
    "dithered-silence": lambda rng, t: rng.integers(-1, 2, len(t)) / 32_768,
    "constant": lambda rng, t: np.ones(len(t)),
}


def noise(speech: Path) -> dict[str, Any]:
    """What is not speech, at many levels: how often is it called genuine? (`speech` is not used.)"""
    rng, levels = np.random.default_rng(0), (-70, -55, -40, -25, -12, 0)
    with tempfile.TemporaryDirectory() as name:
        for kind, make in NOISES.items():
            for i in range(18):
                axis = np.arange(int(RATE * rng.choice([1, 3, 8, 20, 45]))) / RATE
                audio = make(rng, axis)
                gain = 1.0 if kind == "dithered-silence" else 10 ** (levels[i % 6] / 20) / (audio.std() or 1)
                target = Path(name) / f"{kind}_{i}.wav"
                soundfile.write(target, np.clip(audio * gain, -1, 1), RATE, subtype="PCM_16")
        records, _, _ = scan(name, timeout=600)
    by_kind: dict[str, Counter[str]] = {kind: Counter() for kind in NOISES}
    for record in records:
        by_kind[Path(record["path"]).name.rsplit("_", 1)[0]][record["verdict"]] += 1
    return {
        "files": len(records),
        "called_genuine": sum(counts["genuine"] for counts in by_kind.values()),
        "verdicts": {kind: dict(counts) for kind, counts in by_kind.items()},
    }


PARTS = {"formats": formats, "bad-input": bad_input, "resume": resume, "noise": noise}


def main() -> None:
    parser = argparse.ArgumentParser(description="Robustness of `earwitness scan`.")
    parser.add_argument("part", choices=[*PARTS, "all"])
    parser.add_argument("--speech-dir", type=Path, default=ROOT / "samples")
    parser.add_argument("--results", type=Path, default=ROOT / "benchmarks" / "results")
    arguments = parser.parse_args()
    if not shutil.which("earwitness"):
        raise SystemExit("earwitness is not installed here")
    for part in PARTS if arguments.part == "all" else [arguments.part]:
        result = PARTS[part](arguments.speech_dir)
        (arguments.results / f"robustness-{part}.json").write_text(json.dumps(result, indent=1) + "\n")
        print(part, json.dumps({k: v for k, v in result.items() if not isinstance(v, dict | list)}))


if __name__ == "__main__":
    main()
