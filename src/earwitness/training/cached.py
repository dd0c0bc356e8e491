"""What the pooled head reads, of disturbed crops, computed once: a head learns from it within seconds.

A frozen front end gives the same states every time, so that only the crops and what disturbs them need
to be many: version 0 of a recording is what `earwitness scan` scores of it, every further one a random
crop through the augmentation of the embedded model. Crops and disturbances are drawn by utterance
(`source`), so that the genuine and the generated version of one are cut and disturbed alike. A cache
is a folder for each protocol: `items.json`, and `version-K.npy` with a row for each recording, NaN where
one could not be read; versions that are there stay.
"""

import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from earwitness.audio.augment.chain import disturb
from earwitness.audio.io import SAMPLE_RATE, load
from earwitness.audio.protocol import Utterance, read_protocols
from earwitness.audio.quality import QualityMeter
from earwitness.decision.bundle import WEIGHTS
from earwitness.errors import InputError
from earwitness.features.encoders import FrontEnd
from earwitness.features.frontends import FRONT_ENDS, Architecture

FRONT_END = "whisper-tiny"
STATES = (0, 1, 2, 3)  # the last tells least, and is not run
CROP_S = (2.0, 8.0)
WHOLE_S = 30.0  # of an undisturbed recording
LEAST = 8_000  # samples


@dataclass(frozen=True)
class Job:
    """One version of the recordings of one protocol."""

    protocol: Path
    root: Path | None
    version: int
    front_end: Path  # a bundle
    target: Path


def architecture() -> Architecture:
    """Whisper tiny's encoder, at one level for every clip."""
    return replace(FRONT_ENDS[FRONT_END].architecture, normalise=True)


def load_front_end(bundle: Path) -> FrontEnd:
    """The encoder with the weights of a bundle of `whisper_weights`."""
    from safetensors.torch import load_file

    front_end = FrontEnd(architecture(), STATES, empty=True)
    tensors = {name.removeprefix("front_end."): t for name, t in load_file(bundle / WEIGHTS).items()}
    front_end.load_state_dict(tensors, assign=True)
    return front_end


def statistics_of(front_end: Path) -> Any:
    """A function: clip (samples,) -> pooled statistics (features,) by the front end of a bundle."""
    import torch

    from earwitness.decision.heads.pooled import (
        WINDOWS,
        LongTermSpectrum,
        both_ways_up,
        side_by_side,
        sounding,
        statistics,
        without_top,
    )

    torch.set_num_threads(1)
    body, kinds = load_front_end(front_end).eval(), [LongTermSpectrum(size) for size in WINDOWS]

    def run(clip: np.ndarray) -> np.ndarray:
        waveform, lengths = torch.from_numpy(clip)[None], torch.tensor([len(clip)])
        with torch.inference_mode():
            waveform = without_top(waveform, lengths)
            with torch.autocast("cpu", torch.bfloat16):
                states, turned, mask = both_ways_up(body, waveform, lengths)
            spectra = [spectrum(waveform, lengths) for spectrum in kinds]
            frames, upside = side_by_side(states), side_by_side(turned)
            return statistics(frames, upside, sounding(waveform, mask), spectra)[0].numpy()

    return run


def piece_of(item: Utterance, version: int) -> np.ndarray:
    """A version of a recording, (samples,).

    Raises:
        InputError: it cannot be read.
    """
    audio = load(item.path)
    if version == 0:
        return spoken(audio)
    key = zlib.crc32(f"{item.dataset}/{item.source if item.source != '-' else item.id}".encode())
    rng = np.random.default_rng([version, key])
    size, place = round(rng.uniform(*CROP_S) * SAMPLE_RATE), rng.random()
    start = int(place * max(0, len(audio) - size))
    audio = audio[start : start + size]
    return disturb(np.resize(audio, max(len(audio), LEAST)), rng)


def spoken(audio: np.ndarray) -> np.ndarray:
    """What `earwitness scan` would score of a clip, (samples,): from the first to the last speech."""
    meter = QualityMeter()
    meter.update(audio)
    meter.finish()
    start, end = meter.spoken_part()
    audio = audio[start:end][: round(WHOLE_S * SAMPLE_RATE)]
    return np.resize(audio, max(len(audio), LEAST)) if len(audio) else np.zeros(LEAST, np.float32)


def make(job: Job) -> str:
    """Write one version; returns what could not be read, a line each."""
    items, failed, rows = read_protocols([job.protocol], job.root), [], []
    run = statistics_of(job.front_end)
    for item in items:
        try:
            rows.append(run(piece_of(item, job.version)))
        except InputError as error:
            failed.append(f"{item.id}: {error.message}")
            rows.append(None)
    features = next(len(row) for row in rows if row is not None)
    found = np.stack([np.full(features, np.nan) if row is None else row for row in rows]).astype(np.float16)
    part = job.target.with_suffix(".part.npy")
    np.save(part, found)
    part.replace(job.target)
    return "\n".join(failed)


def cache(
    protocols: Sequence[Path], root: Path | None, front_end: Path, out: Path, versions: int, processes: int
) -> None:
    """Make what is not there yet of `versions` disturbed versions and the undisturbed one."""
    from earwitness.operations.processes import in_processes

    jobs = []
    for version in range(versions + 1):
        for protocol in protocols:
            folder = out / protocol.stem
            folder.mkdir(parents=True, exist_ok=True)
            target = folder / f"version-{version}.npy"
            if not target.exists():
                jobs.append(Job(protocol.resolve(), root, version, front_end.resolve(), target))
            about = {"protocol": str(protocol.resolve()), "root": str(root.resolve()) if root else None}
            (folder / "items.json").write_text(json.dumps(about) + "\n")
    for job, failed in in_processes(make, jobs, processes, "caching"):
        if failed:
            print(f"{job.protocol.stem}, version {job.version}: {failed}", flush=True)


def read_cache(folders: Sequence[Path]) -> tuple[list[Utterance], np.ndarray]:
    """Recordings, and their statistics (versions, recordings, features) float16; what has NaN is left out.

    Raises:
        InputError: `usage`: a folder is no cache, or holds fewer versions than another.
    """
    items: list[Utterance] = []
    parts: list[list[np.ndarray]] = []
    for folder in folders:
        if not (folder / "items.json").exists():
            raise InputError("usage", f"{folder}: no cache; make one with `embedded cache`")
        about = json.loads((folder / "items.json").read_text())
        items += read_protocols([Path(about["protocol"])], Path(about["root"]) if about["root"] else None)
        count = len(list(folder.glob("version-*.npy"))) - len(list(folder.glob("*.part.npy")))
        parts.append([np.load(folder / f"version-{k}.npy") for k in range(count)])
    versions = min(map(len, parts))
    found = np.stack([np.concatenate([part[k] for part in parts]) for k in range(versions)])
    kept = np.flatnonzero(~np.isnan(found[:, :, 0]).any(0))
    return [items[i] for i in kept], found[:, kept]
