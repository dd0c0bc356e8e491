"""How far everyday changes of one recording move its LLR: a check for shortcuts.

    python benchmarks/sensitivity.py --speech-dir FOLDER

Every change leaves open whether a person speaks, so a perfect model would not move. Mean shift
(towards genuine is positive) and mean absolute shift over recordings, beside the spread of the
LLRs themselves. Writes `benchmarks/results/sensitivity.json`. Seeded.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soxr

import earwitness
from earwitness.audio.augment.clips import fit
from earwitness.audio.augment.codecs import encode
from earwitness.audio.augment.rooms import add_room
from earwitness.audio.io import load

RATE = 16_000


def with_noise(audio: np.ndarray, rng: np.random.Generator, decibels: float) -> np.ndarray:
    """White noise `decibels` under the recording."""
    return audio + rng.standard_normal(len(audio)) * np.std(audio) * 10 ** (-decibels / 20)


def narrow(audio: np.ndarray, rate: int) -> np.ndarray:
    """Through a lower sample rate and back."""
    return fit(soxr.resample(soxr.resample(audio, RATE, rate), rate, RATE), len(audio))


def with_hum(audio: np.ndarray) -> np.ndarray:
    """50 Hz as strong as the recording."""
    return audio + np.std(audio) * np.sqrt(2) * np.sin(2 * np.pi * 50 * np.arange(len(audio)) / RATE)


CHANGES: dict[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]] = {
    "12 dB quieter": lambda a, _: a / 4,
    "constant offset of 0.1": lambda a, _: a + 0.1,
    "a second of silence before and after": lambda a, _: np.pad(a, RATE),
    "first half only": lambda a, _: a[: len(a) // 2],
    "50 Hz hum as strong as the speech": lambda a, _: with_hum(a),
    "white noise 40 dB under": lambda a, rng: with_noise(a, rng, 40),
    "white noise 20 dB under": lambda a, rng: with_noise(a, rng, 20),
    "band to 5.5 kHz": lambda a, _: narrow(a, 11_000),
    "band to 4 kHz": lambda a, _: narrow(a, 8_000),
    "a room": add_room,
    **{
        f"through {codec}": lambda a, rng, c=codec: encode(a, c, rng)
        for codec in ("mp3", "aac", "opus", "g722")
    },
}


def main() -> None:
    parser = argparse.ArgumentParser(description="How far everyday changes move an LLR.")
    parser.add_argument("--speech-dir", type=Path, default=Path(__file__).parents[1] / "samples")
    parser.add_argument("--files", type=int, default=100)
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results")
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    paths = sorted(p for p in arguments.speech_dir.iterdir() if p.suffix in (".flac", ".wav", ".mp3"))
    paths = [paths[i] for i in rng.permutation(len(paths))[: arguments.files]]
    before: list[float] = []
    moved: dict[str, list[float]] = {name: [] for name in CHANGES}
    for path in paths:
        audio = 0.5 * load(path)
        base = earwitness.scan(audio).llr
        if base is None:
            continue
        before.append(base)
        for name, change in CHANGES.items():
            llr = earwitness.scan(change(audio, rng).astype(np.float32)).llr
            if llr is not None:
                moved[name].append(llr - base)
    results = {
        "recordings": len(before),
        "standard_deviation_of_llr": round(float(np.std(before)), 3),
        "changes": {
            name: {
                "mean_shift": round(float(np.mean(shifts)), 3),
                "mean_absolute_shift": round(float(np.mean(np.abs(shifts))), 3),
                "no_longer_scored": len(before) - len(shifts),
            }
            for name, shifts in moved.items()
        },
    }
    (arguments.results / "sensitivity.json").write_text(json.dumps(results, indent=1) + "\n")
    print(f"{len(before)} recordings, standard deviation of LLR {results['standard_deviation_of_llr']}")
    for name, entry in results["changes"].items():
        print(f"{name:40} shift {entry['mean_shift']:+.2f}, absolute {entry['mean_absolute_shift']:.2f}")


if __name__ == "__main__":
    main()
