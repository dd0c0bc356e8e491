"""What the installed command makes of every format, of bad input, of being killed, of noise.

    python benchmarks/robustness.py formats|bad-input|resume|noise|all [--speech-dir FOLDER]

Runs `earwitness scan --json` as a user would, writes `benchmarks/results/robustness-NAME.json` and
prints what went wrong. Speech comes from the repository's samples by default. Seeded.
"""

import argparse
import csv
import io
import json
import os
import struct
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import av.error
import numpy as np
import soundfile
import soxr

import earwitness
from earwitness.audio.io import load

RATE, HUNG_S = 16_000, 10.0
ROOT = Path(__file__).parents[1]
SCORED = ("fake", "genuine", "uncertain")
Maker = Callable[[np.ndarray], bytes]


@dataclass
class Run:
    """One run of the command; `code` is None if it had to be killed."""

    code: int | None
    seconds: float
    peak_mib: int
    out: bytes
    err: bytes

    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]

    def crashed(self) -> bool:
        return self.code not in (0, 1) or b"Traceback" in self.err


def run(*arguments: str | Path, timeout: float = 60, cwd: Path | None = None, **env: str) -> Run:
    """Run `earwitness scan` to its end or `timeout` seconds."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        started = time.monotonic()
        command = ["earwitness", "scan", *map(str, arguments)]
        process = subprocess.Popen(command, stdout=out, stderr=err, cwd=cwd, env={**os.environ, **env})
        peak, killed = 0, False
        while process.poll() is None:
            peak = max(peak, resident_mib(process.pid))
            if time.monotonic() - started > timeout and not killed:
                process.kill()
                killed = True
            time.sleep(0.005)
        seconds = time.monotonic() - started
        out.seek(0)
        err.seek(0)
        code = None if killed else process.returncode
        return Run(code, round(seconds, 2), peak, out.read(), err.read())


def resident_mib(pid: int) -> int:
    """Peak memory so far (`ru_maxrss` would begin with that of this script, which forks)."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) >> 10 for line in status.splitlines() if line.startswith("VmHWM")), 0)


def speech_clips(sources: list[Path], count: int) -> list[np.ndarray]:
    """Up to `count` clips of 4 to 8 s that hold speech, (samples,) of 16 bits."""
    clips: list[np.ndarray] = []
    for path in sources:
        if len(clips) < count and path.suffix in (".flac", ".wav", ".mp3"):
            clip = load(path)[: 8 * RATE]
            if len(clip) >= 4 * RATE and earwitness.scan(clip).llr is not None:
                clips.append((clip * 32_767).round().clip(-32_768, 32_767).astype(np.int16))
    return clips


def coded(
    pcm: np.ndarray,
    container: str,
    codec: str,
    rate: int = RATE,
    video: str = "",
    bits: int = 0,
    kind: str = "",
    **muxer: str,
) -> bytes:
    """16-bit PCM at 16 kHz through FFmpeg, with a small picture beside where `video` is a codec."""
    audio = pcm / 32_768 if rate == RATE else soxr.resample(pcm / 32_768, RATE, rate, "VHQ")
    with tempfile.NamedTemporaryFile() as file:
        with av.open(file.name, "w", format=container, options=muxer) as out:
            picture = add_picture(out, video) if video else None
            stream: Any = out.add_stream(codec, rate=rate, layout="mono")
            if bits:
                stream.bit_rate = bits
            if picture:
                encode_grey(out, picture, len(audio) / rate)
            samples = (audio * 32_768).round().clip(-32_768, 32_767).astype(np.int16)[None]
            whole = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
            whole.sample_rate = rate
            resampler = av.AudioResampler(kind or stream.codec_context.format.name, "mono", rate)
            for part in [*resampler.resample(whole), *resampler.resample(None), None]:
                out.mux(stream.encode(part))
        return Path(file.name).read_bytes()


def add_picture(out: Any, codec: str) -> Any:
    """A video track of 64 x 64 at 10 frames a second."""
    track = out.add_stream(codec, rate=10)
    track.width, track.height, track.pix_fmt = 64, 64, "yuv420p"
    return track


def encode_grey(out: Any, track: Any, seconds: float) -> None:
    """Fill a video track with grey."""
    for i in range(int(seconds * 10)):
        out.mux(
            track.encode(av.VideoFrame.from_ndarray(np.full((64, 64, 3), i % 255, np.uint8), format="rgb24"))
        )
    out.mux(track.encode(None))


def written(pcm: np.ndarray, kind: str, subtype: str, rate: int = RATE, channels: int = 1) -> bytes:
    """16-bit PCM at 16 kHz through libsndfile; channels are copies."""
    audio = pcm / 32_768 if rate == RATE else soxr.resample(pcm / 32_768, RATE, rate, "VHQ")
    file = io.BytesIO()
    soundfile.write(file, np.repeat(audio[:, None], channels, 1), rate, subtype, format=kind)
    return file.getvalue()


LOSSLESS: dict[str, Maker] = {
    **{f"{k}.wav": lambda p, k=k: written(p, "WAV", k) for k in "PCM_24 PCM_32 FLOAT DOUBLE".split()},
    **{f"{n}ch.wav": lambda p, n=n: written(p, "WAV", "PCM_16", channels=n) for n in (2, 3, 6, 8)},
    **{
        f"{r}.wav": lambda p, r=r: written(p, "WAV", "PCM_24", r)
        for r in (22_050, 24_000, 32_000, 44_100, 48_000, 96_000, 192_000)
    },
    **{
        f"{kind}.{ending}": lambda p, k=kind: written(p, k, "PCM_16")
        for kind, ending in zip(
            "WAVEX RF64 W64 AU CAF VOC".split(), "wav wav w64 au caf voc".split(), strict=True
        )
    },
    "16.flac": lambda p: written(p, "FLAC", "PCM_16"),
    "24.flac": lambda p: written(p, "FLAC", "PCM_24"),
    "16.aiff": lambda p: written(p, "AIFF", "PCM_16"),
    "alac.m4a": lambda p: coded(p, "ipod", "alac"),
    "wavpack.wv": lambda p: coded(p, "wv", "wavpack", kind="s16p"),
    "pcm.mov": lambda p: coded(p, "mov", "pcm_s16le", video="mpeg4"),
}
LOSSY: dict[str, Maker] = {
    **{f"{k}.wav": lambda p, k=k: written(p, "WAV", k) for k in "PCM_U8 ULAW ALAW IMA_ADPCM".split()},
    **{f"{r}.wav": lambda p, r=r: written(p, "WAV", "PCM_16", r) for r in (8_000, 11_025)},
    "gsm-in.wav": lambda p: written(p, "WAV", "GSM610", 8_000),
    "raw.gsm": lambda p: written(p, "RAW", "GSM610", 8_000),
    "64k.mp3": lambda p: coded(p, "mp3", "libmp3lame", bits=64_000),
    "44100-128k.mp3": lambda p: coded(p, "mp3", "libmp3lame", 44_100, bits=128_000),
    "vorbis.ogg": lambda p: written(p, "OGG", "VORBIS"),
    "opus.ogg": lambda p: coded(p, "ogg", "libopus", 48_000, bits=32_000),
    "opus.webm": lambda p: coded(p, "webm", "libopus", 48_000),
    "aac.m4a": lambda p: coded(p, "ipod", "aac", bits=64_000),
    "adts.aac": lambda p: coded(p, "adts", "aac", bits=64_000),
    "wmav2.wma": lambda p: coded(p, "asf", "wmav2", bits=64_000),
    "amr-nb.amr": lambda p: coded(p, "amr", "libopencore_amrnb", 8_000, bits=12_200),
    "raw.g722": lambda p: coded(p, "g722", "g722"),
    "h264.mp4": lambda p: coded(p, "mp4", "aac", video="libx264"),
    "mpeg4-aac.mov": lambda p: coded(p, "mov", "aac", video="mpeg4"),
    "h264-opus.mkv": lambda p: coded(p, "matroska", "libopus", 48_000, video="libx264"),
    "vp8-opus.webm": lambda p: coded(p, "webm", "libopus", 48_000, video="libvpx"),
    "mpeg4-mp3.avi": lambda p: coded(p, "avi", "libmp3lame", bits=64_000, video="mpeg4"),
    "aac.ts": lambda p: coded(p, "mpegts", "aac", bits=64_000),
}


def formats(sources: list[Path]) -> dict[str, Any]:
    """Every format: is it scored, how long is it, how far is its LLR from that of the 16-bit WAV?"""
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        folder, clips = Path(name), speech_clips(sources, 4)
        for i, pcm in enumerate(clips):
            (folder / f"{i}").mkdir()
            (folder / f"{i}" / "reference.wav").write_bytes(written(pcm, "WAV", "PCM_16"))
            for kind, make in {**LOSSLESS, **LOSSY}.items():
                try:
                    (folder / f"{i}" / kind).write_bytes(make(pcm))
                except (av.error.FFmpegError, soundfile.LibsndfileError, ValueError) as error:
                    results[kind] = {"passed": True, "no_encoder_here": str(error)}
            opposite = np.stack([pcm, -pcm.clip(-32_767)], 1)
            soundfile.write(folder / f"{i}" / "opposite-polarity.wav", opposite, RATE, "PCM_16")
        done = run("--json", folder, timeout=300)
        found = {Path(r["path"]).relative_to(folder).as_posix(): r for r in done.records()}
        for kind in ["reference.wav", *LOSSLESS, *LOSSY, "opposite-polarity.wav"]:
            if kind not in results:
                rows = [(found[f"{i}/{kind}"], found[f"{i}/reference.wav"]) for i in range(len(clips))]
                results[kind] = compared(rows, 0.05 if kind in LOSSLESS else np.inf)
                if kind != "raw.g722":  # told by its name only, which bytes have not
                    results[kind] |= {"in_python": in_python(folder / "0" / kind, rows[0][0]["llr"])}
                    results[kind]["passed"] &= results[kind]["in_python"] == "same"
    return {"clips": len(clips), "crashed": done.crashed(), "results": results}


def compared(rows: list[tuple[dict[str, Any], dict[str, Any]]], tolerance: float) -> dict[str, Any]:
    """One format over all clips beside the reference."""
    scored = [(row, base) for row, base in rows if row["llr"] is not None]
    moved = max((abs(row["llr"] - base["llr"]) for row, base in scored), default=0.0)
    longer = max((abs(row["duration_s"] - base["duration_s"]) for row, base in scored), default=0.0)
    return {
        "passed": len(scored) == len(rows) and longer <= 0.15 and moved <= tolerance,
        "scored": f"{len(scored)} of {len(rows)}",
        "largest_llr_difference": round(moved, 4),
        "verdicts_changed": sum(row["verdict"] != base["verdict"] for row, base in rows),
        "largest_length_difference_s": round(longer, 3),
        "said": sorted({(r["error"] or {}).get("message", r["rule"]) for r, _ in rows if r["llr"] is None}),
    }


def in_python(path: Path, llr: float | None) -> str:
    """Whether bytes and a file object give the LLR that the command gave."""
    with path.open("rb") as file:
        for source in (path.read_bytes(), file):
            verdict = earwitness.scan(source)
            if llr is None or verdict.llr is None or abs(verdict.llr - llr) > 1e-3:
                return f"{type(source).__name__}: {verdict.llr} for {llr}; {verdict.error}"
    return "same"


def wav(data: bytes, size: int, rate: int = RATE, channels: int = 1) -> bytes:
    """A 16-bit WAV whose header promises `size` bytes, whatever `data` holds."""
    layout = struct.pack("<HHIIHH", 1, channels, rate, (2 * rate * channels) & 0xFFFFFFFF, 2 * channels, 16)
    head = b"RIFF" + struct.pack("<I", min(0xFFFFFFFF, 36 + size)) + b"WAVEfmt " + struct.pack("<I", 16)
    return head + layout + b"data" + struct.pack("<I", size) + data


def bad_files(pcm: np.ndarray) -> dict[str, tuple[str, bytes]]:
    """Name -> what must come of it, and its bytes."""
    rng, raw = np.random.default_rng(0), pcm[: 5 * RATE].tobytes()
    whole, size = written(pcm, "WAV", "PCM_16"), len(pcm[: 5 * RATE]) * 2
    mp3, flac = coded(pcm, "mp3", "libmp3lame", bits=64_000), written(pcm, "FLAC", "PCM_16")
    kinds = {
        "xing.mp3": mp3,
        "bare.mp3": coded(pcm, "mp3", "libmp3lame", bits=64_000, write_xing="0", id3v2_version="0"),
        "moov-last.m4a": coded(pcm, "ipod", "aac"),
        "moov-first.m4a": coded(pcm, "ipod", "aac", movflags="faststart"),
        "fragmented.mp4": coded(pcm, "mp4", "aac", movflags="frag_keyframe+empty_moov"),
        "cut.flac": flac,
        "cut.wav": whole,
        "vorbis.ogg": written(pcm, "OGG", "VORBIS"),
        "opus.ogg": coded(pcm, "ogg", "libopus", 48_000),
        "cut.webm": coded(pcm, "webm", "libopus", 48_000),
        "cut.aac": coded(pcm, "adts", "aac", bits=64_000),
    }
    # Of these nothing tells how long the whole was, so what is there is scored.
    open_ended = ("bare.mp3", "cut.aac", "vorbis.ogg", "opus.ogg", "fragmented.mp4")
    files = {
        f"{share}%-{kind}": ("any" if kind in open_ended else "error", data[: len(data) * share // 100])
        for kind, data in kinds.items()
        for share in (30, 70)
    }
    for kind in ("xing.mp3", "cut.flac", "cut.aac", "moov-first.m4a", "opus.ogg"):
        flipped = bytearray(kinds[kind])
        for place in rng.integers(len(flipped) // 4, 3 * len(flipped) // 4, 40):
            flipped[place] ^= 1 << int(rng.integers(8))
        files[f"flipped-{kind}"] = ("any", bytes(flipped))
    playlist = b"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\nspeech.wav\n#EXT-X-ENDLIST\n"
    for (
        name
    ) in "speech.wav|two\nlines.wav|\x1b]0;owned\x07\x1b[31m.wav|=cmd().wav|-dash.wav|http:x.wav".split("|"):
        files[name] = ("scored", whole)
    for label, value in (("nan", np.nan), ("inf", np.inf), ("times-32768", 32_768.0)):
        floats = pcm.astype(np.float32) / 32_768
        floats[1_000:] = floats[1_000:] * value if value == 32_768 else value
        files[f"{label}.wav"] = ("error:bad-samples", earwitness_wav(floats))
    return files | {
        "concat:a|b.wav": ("scored", whole),
        "no-ending": ("scored", whole),
        "mp3-named.wav": ("scored", mp3),
        "wav-named.mp3": ("scored", whole),
        "empty.wav": ("error:empty-file", b""),
        "text.wav": ("error:not-audio", b"This is a letter, not a recording.\n" * 40),
        "random.mp3": ("error", rng.bytes(20_000)),
        "promises-10-hours.wav": ("error:truncated", wav(raw, 10 * 3600 * 2 * RATE)),
        "streamed-ffffffff.wav": ("scored", wav(raw, 0xFFFFFFFF)),
        "streamed-7fffffff.wav": ("scored", wav(raw, 0x7FFFFFFF)),
        "streamed-0.wav": ("scored", wav(raw, 0)),
        "no-samples.wav": ("error:no-samples", wav(b"", 0)),
        "rate-1-hz.wav": ("error", wav(raw, size, 1)),
        "rate-4-ghz.wav": ("error", wav(raw, size, 4_000_000_000)),
        "0-channels.wav": ("error", wav(raw, size, RATE, 0)),
        "64-channels.wav": ("scored", written(pcm, "WAV", "PCM_16", channels=64)),
        "100-channels.wav": ("error:unsupported", written(pcm, "WAV", "PCM_16", channels=100)),
        "tenth.wav": ("no-speech", wav(raw[:3_200], 3_200)),
        "hundredth.wav": ("no-speech", wav(raw[:320], 320)),
        "playlist.wav": ("error", playlist),
        "playlist.mp3": ("error", playlist),
        "script.wav": ("error", b"ffconcat version 1.0\nfile speech.wav\n"),
        "huge-tag.mp3": ("any", b"ID3\x04\x00\x00\x7f\x7f\x7f\x7f" + mp3),
    }


def earwitness_wav(audio: np.ndarray) -> bytes:
    """A 32-bit float WAV that keeps NaN and infinity."""
    file = io.BytesIO()
    soundfile.write(file, audio, RATE, "FLOAT", format="WAV")
    return file.getvalue()


def make_bad_files(folder: Path, pcm: np.ndarray) -> dict[str, str]:
    """Put everything bad into `folder`; name -> what must come of it."""
    files = bad_files(pcm)
    whole = files["speech.wav"][1]
    for name, (_, data) in files.items():
        (folder / name).write_bytes(data)
    expected = {name: wanted for name, (wanted, _) in files.items()}
    for name in (os.fsdecode(b"not-\xff\xfe-utf8.wav"), "unreadable.wav"):
        (folder / name).write_bytes(whole)
        expected[name] = "scored"
    (folder / "unreadable.wav").chmod(0)  # root reads it all the same
    expected["unreadable.wav"] = "any" if os.geteuid() == 0 else "error:unreadable"
    with av.open(str(folder / "silent-film.mp4"), "w") as out:
        encode_grey(out, add_picture(out, "mpeg4"), 2.0)
    for name, target in (
        ("itself.wav", "itself.wav"),
        ("dangling.wav", "gone.wav"),
        ("again.wav", "speech.wav"),
    ):
        (folder / name).symlink_to(target)
    os.mkfifo(folder / "pipe.wav")
    for hours, name in ((4, "4-hours.wav"), (4, "4-hours.flac"), (20, "20-hours.flac")):
        if name.endswith(".wav"):
            (folder / name).write_bytes(wav(b"", hours * 7_200 * RATE))
            os.truncate(folder / name, 44 + hours * 7_200 * RATE)
        else:
            with soundfile.SoundFile(folder / name, "w", RATE, 1, "PCM_16") as file:
                for _ in range(hours * 60):
                    file.write(np.zeros(60 * RATE, np.int16))
        expected[name] = "no-speech"
    return expected | {
        "silent-film.mp4": "error:no-audio-track",
        "itself.wav": "error",
        "dangling.wav": "error:not-found",
        "again.wav": "scored",
        "pipe.wav": "error:not-a-file",
        "/dev/zero": "error:not-a-file",
        "missing.wav": "error:not-found",
    }


def as_expected(record: dict[str, Any], wanted: str) -> bool:
    """Whether a record is `any`, `scored`, `no-speech`, `error` or `error:CODE`."""
    if wanted in ("any", "scored"):
        return wanted == "any" or record["verdict"] in SCORED
    verdict, _, code = wanted.partition(":")
    return record["verdict"] == verdict and code in ("", (record["error"] or {}).get("code"))


def bad_input(sources: list[Path]) -> dict[str, Any]:
    """Each kind alone, then all in one batch that names everything twice, as JSON, table and CSV."""
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "bad"
        folder.mkdir()
        clip = speech_clips(sources, 1)[0]
        expected = make_bad_files(folder, clip)
        for file, wanted in expected.items():
            done = run("--json", "--", file, timeout=HUNG_S, cwd=folder)
            records = [] if done.code is None or done.crashed() else done.records()
            record = records[0] if len(records) == 1 else {}
            error = record.get("error") or {}
            results[file.encode("unicode_escape").decode()] = {
                "passed": bool(record) and not done.err and as_expected(record, wanted),
                "wanted": wanted,
                "verdict": record.get("verdict", "hung" if done.code is None else "crashed"),
                "code": error.get("code"),
                "said": "; ".join(
                    [error.get("message", ""), record.get("rule", ""), *record.get("warnings", [])]
                ),
                "seconds": done.seconds,
                "peak_mib": done.peak_mib,
                "stderr": done.err.decode(errors="replace")[-300:],
            }
        (folder / "loop").symlink_to(folder)
        named = [*(folder / file for file in expected), folder, folder, "/dev/zero"]
        done = run("--json", "--csv", Path(name) / "all.csv", *named, timeout=300)
        seen = Counter((r["path"], r.get("path_bytes")) for r in done.records())
        one_file_twice = {"again.wav"}  # a link to another file of the batch
        rows = list(csv.DictReader((Path(name) / "all.csv").open(newline="")))
        table = run("--timeline", folder, timeout=300, FORCE_COLOR="1")
        batch = {
            "files": len(expected) - len(one_file_twice),
            "records": len(seen),
            "none_twice": max(seen.values()) == 1,
            "exit_code": done.code,
            "seconds": done.seconds,
            "peak_mib": done.peak_mib,
            "csv_rows": len(rows),
            "csv_formulas": sum(row["path"][:1] in "=+-@" for row in rows),
            "table_is_harmless": not any(bad in table.out for bad in (b"\x1b]", b"\x07", b"two\nlines")),
            "table_crashed": table.crashed(),
        }
        return {"results": results, "batch": batch, "vanishing": vanish(Path(name) / "many", clip)}


def vanish(folder: Path, pcm: np.ndarray) -> dict[str, Any]:
    """Of 40 files the last 15 are deleted while the first are scanned: each has its record."""
    folder.mkdir()
    for i in range(40):
        (folder / f"{i:02}.wav").write_bytes(written(pcm, "WAV", "PCM_16"))
    command = ["earwitness", "scan", "--json", "--threads", "1", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline()]
        for i in range(25, 40):
            (folder / f"{i}.wav").unlink()
        lines += process.stdout.readlines()
    codes = Counter((json.loads(line)["error"] or {}).get("code", "scored") for line in lines)
    return {"files": 40, "deleted": 15, "records": len(lines), "exit_code": process.returncode, **codes}


def resume(sources: list[Path]) -> dict[str, Any]:
    """Kill -9 a scan of 300 files 20 times, sometimes tear the journal's end, then finish it."""
    rng, kills, rounds = np.random.default_rng(0), [], []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "in"
        folder.mkdir()
        clips = speech_clips(sources, 4)
        for i in range(300):
            pcm = clips[i % len(clips)][int(rng.uniform(0, 1) * RATE) :][: int(rng.uniform(2, 4) * RATE)]
            (folder / f"{i:03}.wav").write_bytes(written(pcm, "WAV", "PCM_16"))
        whole = run("--json", folder, timeout=300)
        llr = {r["path"]: r["llr"] for r in whole.records()}
        while len(kills) < 20:
            journal = Path(name) / f"journal-{len(rounds)}"
            command = ["--json", folder, "--resume", journal]
            torn, complete = 0, False
            while len(kills) < 20 and not complete:
                complete = run(*command, timeout=rng.uniform(0.1, 1.0 * whole.seconds)).code is not None
                if not complete:
                    data = journal.read_bytes() if journal.exists() else b""
                    kills.append(max(0, data.count(b"\n") - 1))
                    if data and rng.random() < 0.5:  # as a crash of the machine would leave it
                        journal.write_bytes(data[: -int(rng.integers(1, min(len(data), 1_200)))])
                        torn += 1
            last = run(*command, timeout=300)
            kept = [json.loads(line)["path"] for line in journal.read_bytes().splitlines()[1:]]
            shown = {r["path"]: r["llr"] for r in last.records()}
            moved = max(abs(value - llr[path]) for path, value in shown.items() if value is not None)
            rounds.append(
                {
                    "torn": torn,
                    "journal": [len(kept), len(set(kept))],
                    "last_output": [len(last.records()), len(shown)],
                    "exit_code": last.code,
                    "llr_moved": round(moved, 6),
                }
            )
    passed = all(r["journal"] == r["last_output"] == [300, 300] and r["exit_code"] == 0 for r in rounds)
    return {"passed": passed, "whole_run_s": whole.seconds, "answered_when_killed": kills, "rounds": rounds}


def coloured(rng: np.random.Generator, samples: int, slope: float) -> np.ndarray:
    """Noise with power falling as frequency to the `slope`, unit RMS."""
    hertz = np.maximum(np.fft.rfftfreq(samples, 1 / RATE), 10)
    noise = np.fft.irfft(np.fft.rfft(rng.standard_normal(samples)) * hertz ** (-slope / 2), samples)
    return noise / noise.std()


def stack(time: np.ndarray, hertz: Any, count: int = 19) -> Any:
    """Harmonics falling as 1/k of a fundamental, fixed or (samples,)."""
    turns = np.cumsum(np.broadcast_to(hertz, time.shape)) / RATE
    return sum(np.sin(2 * np.pi * k * turns) / k for k in range(1, count + 1))


def traffic(rng: np.random.Generator, time: np.ndarray) -> np.ndarray:
    """Rumble, passing cars, an engine whose speed drifts, now and then a horn."""
    audio = 0.7 * coloured(rng, len(time), 2)
    for _ in range(rng.integers(1, 5)):
        passing = np.exp(-(((time - rng.uniform(0, time[-1])) / rng.uniform(0.4, 3)) ** 2))
        audio += 2 * coloured(rng, len(time), 1.2) * passing
    audio += 0.6 * stack(time, rng.uniform(25, 120) * (1 + 0.1 * np.sin(rng.uniform(0.3, 3) * time)), 14)
    if rng.random() < 0.5:
        start, length = rng.uniform(0, time[-1]), rng.uniform(0.2, 1.5)
        audio += (stack(time, 390, 6) + stack(time, 490, 6)) * ((time > start) & (time < start + length))
    return audio


def speech_shaped(rng: np.random.Generator, time: np.ndarray) -> np.ndarray:
    """Noise with the long-term spectrum of speech, swelling four times a second."""
    hertz = np.fft.rfftfreq(len(time), 1 / RATE)
    shape = (hertz > 80) / (1 + (hertz / 500) ** 1.5)
    noise = np.fft.irfft(np.fft.rfft(rng.standard_normal(len(time))) * shape, len(time))
    return noise * (1 + np.sin(2 * np.pi * rng.uniform(3, 5) * time)) ** 2


NOISES: dict[str, Callable[[np.random.Generator, np.ndarray], Any]] = {
    "white": lambda rng, t: coloured(rng, len(t), 0),
    "pink": lambda rng, t: coloured(rng, len(t), 1),
    "brown": lambda rng, t: coloured(rng, len(t), 2),
    "traffic": traffic,
    "tone": lambda rng, t: np.sin(2 * np.pi * rng.uniform(60, 4_000) * t),
    "tones": lambda rng, t: sum(np.sin(2 * np.pi * f * t) for f in rng.uniform(60, 4_000, 4)),
    "harmonics": lambda rng, t: stack(t, rng.uniform(80, 400)),
    "gliding-harmonics": lambda rng, t: stack(t, rng.uniform(100, 200) + 40 * np.sin(2 * t)),
    "chirp": lambda rng, t: np.sin(2 * np.pi * (100 + 1_500 * t / t[-1]) * t),
    "beeps": lambda rng, t: np.sin(2e3 * np.pi * t) * (np.sin(2 * np.pi * rng.uniform(0.5, 4) * t) > 0),
    "pulsing": lambda rng, t: (
        coloured(rng, len(t), 1) * (1 + 0.9 * np.sin(2 * np.pi * rng.uniform(1, 8) * t))
    ),
    "clicks": lambda rng, t: (rng.random(len(t)) < 5 / RATE) * 1.0,
    "hum": lambda rng, t: stack(t, rng.choice([50, 60])),
    "fan": lambda rng, t: coloured(rng, len(t), 1.5) + 0.3 * stack(t, rng.uniform(20, 90), 6),
    "rain": lambda rng, t: coloured(rng, len(t), 0) * (rng.random(len(t)) < 0.01),
    "speech-shaped": speech_shaped,
    "silence": lambda rng, t: np.zeros(len(t)),
    "dithered-silence": lambda rng, t: rng.integers(-1, 2, len(t)) / 32_768,
    "constant": lambda rng, t: np.ones(len(t)),
}


def noise(_: list[Path]) -> dict[str, Any]:
    """What is not speech, at many levels and lengths: how often is it called genuine?"""
    rng, levels = np.random.default_rng(0), (-70, -55, -40, -25, -12, 0)
    with tempfile.TemporaryDirectory() as name:
        for kind, make in NOISES.items():
            for i in range(18):
                audio = np.asarray(make(rng, np.arange(int(RATE * rng.choice([1, 3, 8, 20]))) / RATE))
                rms = np.sqrt(np.mean(audio**2)) or 1
                gain = 1.0 if kind == "dithered-silence" else 10 ** (levels[i % 6] / 20) / rms
                target = Path(name) / f"{kind}_{levels[i % 6]}dBFS_{i}.wav"
                soundfile.write(target, np.clip(audio * gain, -1, 1), RATE, "PCM_16")
        records = run("--json", name, timeout=600).records()
    by_kind: dict[str, Counter[str]] = {kind: Counter() for kind in NOISES}
    for record in records:
        by_kind[Path(record["path"]).name.split("_")[0]][record["verdict"]] += 1
    return {
        "files": len(records),
        "called_genuine": sum(counts["genuine"] for counts in by_kind.values()),
        "scored": [Path(r["path"]).stem + f" {r['llr']:.1f}" for r in records if r["verdict"] in SCORED],
        "results": {kind: {"passed": not counts["genuine"], **counts} for kind, counts in by_kind.items()},
    }


PARTS = {"formats": formats, "bad-input": bad_input, "resume": resume, "noise": noise}


def main() -> None:
    parser = argparse.ArgumentParser(description="Robustness of `earwitness scan`.")
    parser.add_argument("part", choices=[*PARTS, "all"])
    parser.add_argument("--speech", type=Path, nargs="+", default=[])
    parser.add_argument("--speech-dir", type=Path, default=ROOT / "samples")
    parser.add_argument("--results", type=Path, default=ROOT / "benchmarks" / "results")
    arguments = parser.parse_args()
    in_folder = [path for path in sorted(arguments.speech_dir.iterdir()) if "noise" not in path.name]
    arguments.results.mkdir(parents=True, exist_ok=True)
    for part in PARTS if arguments.part == "all" else [arguments.part]:
        result = PARTS[part](arguments.speech or in_folder)
        (arguments.results / f"robustness-{part}.json").write_text(json.dumps(result, indent=1) + "\n")
        rows = result.get("results", {})
        print(part, json.dumps({key: value for key, value in result.items() if key != "results"}))
        print(f"  {sum(row['passed'] for row in rows.values())} of {len(rows)} passed")
        for kind, row in rows.items():
            if not row["passed"]:
                print(f"  FAILED {kind:24} {json.dumps({k: v for k, v in row.items() if k != 'passed'})}")


if __name__ == "__main__":
    main()
