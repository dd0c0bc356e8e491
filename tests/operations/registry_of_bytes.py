"""Bundles of a few bytes, and tables of answers, for tests of the registry and of promotion."""

import csv
import json
from pathlib import Path

import numpy as np

from earwitness.decision.bundle import file_digest


def tiny_bundle(folder: Path, seed: int, **fields) -> Path:
    """A bundle whose graph is random bytes: nothing in it can be run."""
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(np.random.default_rng(seed).bytes(5_000))
    card = {
        "name": "tiny",
        "version": str(seed),
        "calibration": None,
        "thresholds": {"fake": 0.5, "genuine": 0.1},
        "windowing": {"whole_s": 30.0, "window_s": 12.0, "hop_s": 11.0},
        "input": {"min_samples": 8000},
        "output": {},
        "files": {"model.onnx": file_digest(folder / "model.onnx")},
    }
    (folder / "model.json").write_text(json.dumps(card | fields))
    return folder


def gaussian_llrs(count: int, distance: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """LLRs of two Gaussians of variance 1 that far apart, and which are bona fide; calibrated exactly.

    Their log-likelihood ratio is distance * x, x being centred between the two means.
    """
    rng = np.random.default_rng(seed)
    bona_fide = np.arange(count) % 2 == 0
    x = rng.standard_normal(count) + np.where(bona_fide, distance / 2, -distance / 2)
    return distance * x, bona_fide


def write_answers(path: Path, bona_fide, candidate, champion=None) -> Path:
    """A table for `earwitness promote`; groups of two of the same class."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "label", "candidate", "group", *([] if champion is None else ["champion"])])
        for i, genuine in enumerate(bona_fide):
            row = [f"i{i}", "real" if genuine else "fake", repr(float(candidate[i])), f"g{i // 4}-{i % 2}"]
            writer.writerow(row + ([] if champion is None else [repr(float(champion[i]))]))
    return path
