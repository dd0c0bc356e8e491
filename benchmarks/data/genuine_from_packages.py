"""Genuine speech out of fetched packages: 16 kHz mono FLAC clips of 1 to 15 s and their manifest.

    python benchmarks/data/genuine_from_packages.py --packages DOWNLOADS --out GENUINE

Needs soundfile, soxr and onnxruntime, and what `fetch_packages.py` left under DOWNLOADS. Levels and
bandwidths stay as the source has them; silence around a clip is cut to 0.1 s; recordings longer
than a clip are cut in their pauses. The speech detector inside silero-vad decides where speech is,
and what holds less than 40 % of it (effects, grunts, music) is left out. At most 25 minutes a
package and 6 minutes a speaker, in an order that a hash decides.
"""

import argparse
import csv
import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from fetch_packages import PACKAGES
from package_sources import Candidate, candidates

RATE = 16_000
WINDOW, CONTEXT = 512, 64  # what the speech detector reads at a time, and what it sees again
COLUMNS = (
    "id path label system family source speaker language text licence duration_s original_sample_rate "
    "original_format bandwidth_hz"
).split()
SOURCES = {package.name: package.source for package in PACKAGES}


def to_rate(samples: np.ndarray, rate: int) -> np.ndarray:
    """Mono at 16 kHz, (samples,); of several channels the louder one, so that no mix combs the speech."""
    import soxr

    mono = samples[:, int(np.argmax(np.square(samples).mean(0)))].astype(np.float64)
    mono = mono - mono.mean()
    return (mono if rate == RATE else soxr.resample(mono, rate, RATE, quality="HQ")).astype(np.float32)


def detector(root: Path) -> Callable[[np.ndarray], np.ndarray]:
    """The speech detector of silero-vad: speech probability of every 32 ms."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    model = next((root / "silero-vad").glob("*/src/silero_vad/data/silero_vad.onnx"))
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def probabilities(audio: np.ndarray) -> np.ndarray:
        even = audio.astype(np.float32) / max(2 * float(np.abs(audio).max()), 2e-3)
        padded = np.pad(even, (CONTEXT, WINDOW - len(audio) % WINDOW))
        state, found = np.zeros((2, 1, 128), np.float32), []
        for start in range(0, len(padded) - CONTEXT - WINDOW + 1, WINDOW):
            piece = padded[None, start : start + CONTEXT + WINDOW]
            given = {"input": piece, "state": state, "sr": np.array(RATE, np.int64)}
            chance, state = map(np.asarray, session.run(None, given))
            found.append(float(chance[0, 0]))
        return np.array(found)

    return probabilities


def pieces(audio: np.ndarray, speech: np.ndarray) -> Iterator[np.ndarray]:
    """Clips begun and ended 0.1 s outside of speech, up to 12 s long unless no pause of 0.25 s allows it."""
    on = np.flatnonzero(speech > 0.5) * WINDOW
    if len(on) == 0:
        return
    breaks = np.flatnonzero(np.diff(on) > 0.25 * RATE)
    start, end = on[0], on[0]
    for low, high in zip(on[np.r_[0, breaks + 1]], on[np.r_[breaks, len(on) - 1]] + WINDOW, strict=True):
        if high - start > 12 * RATE and end > start:
            yield audio[max(0, start - RATE // 10) : end + RATE // 10]
            start = low
        end = high
    yield audio[max(0, start - RATE // 10) : end + RATE // 10]


def edges(audio: np.ndarray) -> np.ndarray:
    """A short recording with its outer silence (45 dB below its loudest 20 ms) cut to 0.1 s."""
    frames = np.square(audio[: len(audio) // 320 * 320].reshape(-1, 320)).mean(1)
    on = np.flatnonzero(frames > max(frames.max(initial=0) * 10**-4.5, 3e-8))
    return audio[max(0, on[0] * 320 - RATE // 10) : (on[-1] + 1) * 320 + RATE // 10] if len(on) else audio[:0]


def clips(candidate: Candidate, speech_of: Callable) -> Iterator[tuple[str, np.ndarray, int]]:
    """(id, audio, original rate) of every clip that a recording gives."""
    samples, rate = candidate.read()
    spans = candidate.spans or ((0.0, len(samples) / rate),)
    for number, (start, end) in enumerate(spans):
        audio = to_rate(samples[int(start * rate) : int(end * rate)], rate)
        if len(audio) < RATE or np.abs(audio).max() < 0.003:
            continue
        short = len(audio) <= 12 * RATE
        parts = [edges(audio)] if short else list(pieces(audio, speech_of(audio)))
        for part_number, part in enumerate(parts):
            if RATE <= len(part) <= 15 * RATE and np.mean(speech_of(part) > 0.5) >= 0.4:
                places = ((number, len(spans)), (part_number, len(parts)))
                numbers = [str(place) for place, many in places if many > 1]
                name = "-".join([candidate.package, candidate.key, *numbers])
                yield re.sub(r"[^A-Za-z0-9]+", "-", name.encode("ascii", "ignore").decode()), part, rate


def bandwidth(audio: np.ndarray) -> int:
    """Highest frequency within 60 dB of the mean spectrum's maximum over the louder frames, Hz."""
    frames = np.lib.stride_tricks.sliding_window_view(audio, 512)[::256] * np.hanning(512)
    power = np.square(np.abs(np.fft.rfft(frames, axis=1)))
    power = power[power.sum(1) > power.sum(1).max() * 1e-3].mean(0)
    return int(np.flatnonzero(power > power.max() * 1e-6).max() * RATE / 512)


def order(candidate: Candidate) -> bytes:
    return hashlib.sha256(f"{candidate.package}|{candidate.key}".encode()).digest()


def make(
    root: Path, out: Path, package_minutes: float, speaker_minutes: float, known: set[str]
) -> list[dict]:
    """Write the clips and return the manifest's rows; recordings whose key is known are left out."""
    import soundfile

    speech_of, rows, seconds = detector(root), [], Counter()

    def full(candidate: Candidate) -> bool:
        cast = candidate.speaker.endswith("-cast")  # many actors, not told apart
        most = package_minutes if cast else speaker_minutes
        return seconds[candidate.package] > package_minutes * 60 or seconds[candidate.speaker] > most * 60

    for candidate in sorted(candidates(root), key=order):
        if candidate.key in known or full(candidate):
            continue
        for name, audio, rate in clips(candidate, speech_of):
            if full(candidate):
                break
            path = out / "audio" / f"{name}.flac"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, np.clip(audio, -1, 1), RATE, subtype="PCM_16")
            rows.append(row(candidate, name, path.relative_to(out), audio, rate))
            seconds.update({candidate.package: len(audio) / RATE, candidate.speaker: len(audio) / RATE})
    return rows


def row(candidate: Candidate, name: str, path: Path, audio: np.ndarray, rate: int) -> dict:
    return {
        "id": name,
        "path": path,
        "label": "real",
        "system": candidate.speaker,
        "family": "none",
        "source": SOURCES[candidate.package],
        "speaker": candidate.speaker,
        "language": candidate.language,
        "text": candidate.text,
        "licence": candidate.licence,
        "duration_s": round(len(audio) / RATE, 3),
        "original_sample_rate": rate,
        "original_format": candidate.format,
        "bandwidth_hz": bandwidth(audio),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--packages", type=Path, required=True, help="folder that fetch_packages.py filled")
    parser.add_argument("--out", type=Path, required=True, help="folder for manifest.csv and audio/")
    parser.add_argument("--package-minutes", type=float, default=25)
    parser.add_argument("--speaker-minutes", type=float, default=6)
    parser.add_argument("--besides", type=Path, help="manifest of a corpus that has some of these recordings")
    options = parser.parse_args()
    known: set[str] = set()
    if options.besides:
        with options.besides.open(newline="", encoding="utf-8") as file:
            known = {each["id"].split("_", 1)[-1] for each in csv.DictReader(file)}
    limits = options.package_minutes, options.speaker_minutes
    rows = make(options.packages / "tree", options.out, *limits, known)
    with (options.out / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(sorted(rows, key=lambda each: each["id"]))
    minutes = Counter()
    for each in rows:
        minutes[each["source"]] += each["duration_s"] / 60
    for source, length in minutes.most_common():
        print(f"{source:40s} {length:6.1f} min")


if __name__ == "__main__":
    main()
