"""A neural vocoder out of a file: mel spectra to a waveform, in ONNX or TorchScript.

Beside FILE.onnx or FILE.ts stands FILE.json, which says what mel spectra the vocoder was taught. ONNX runs in
ONNX Runtime; TorchScript is a program and runs in torch, so such a file must be trusted as code is. Clips
go through whole. Some mels are blurred or made coarse on the way, so that one vocoder stands for systems
whose acoustic models predict better and worse.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import soxr

from earwitness.audio.augment.clips import fit
from earwitness.audio.io import SAMPLE_RATE
from earwitness.audio.synthesis.spectra import hann, mel_filters, smooth
from earwitness.errors import InputError, needs_extra

MAX_FACTS = 65_536  # bytes of the JSON
MAX_MODEL = 2 << 30


@dataclass(frozen=True)
class VocoderFacts:
    """What FILE.json says; lengths in samples at `sample_rate`."""

    sample_rate: int
    n_fft: int
    hop: int
    window: int  # Hann, in the middle of n_fft
    mels: int
    fmin: float
    fmax: float
    floor: float = 1e-5  # least value before the logarithm
    log: str = "ln"  # ln or log10
    scale: str = "slaney"  # mel scale: slaney or htk
    norm: str = "slaney"  # of the filters: slaney (area 1) or none (peak 1)
    power: int = 1  # 1: filters weigh magnitudes, 2: powers
    centre: bool = True  # frames centred on multiples of hop; else padded by (n_fft - hop) / 2, as HiFi-GAN's
    pad: str = "constant"  # or reflect
    name: str = "-"  # what protocols call it; the file's name if it is not given


@dataclass(frozen=True)
class Neural:
    """One setting: what happens to the mels."""

    blur: int  # frames of a moving average
    step_db: float  # levels are rounded to multiples; 0: not
    noise_db: float  # deviation of noise on levels


def draw_neural(rng: np.random.Generator) -> Neural:
    """Settings; half the clips keep their mels."""
    if rng.random() < 0.5:
        return Neural(1, 0.0, 0.0)
    return Neural(
        blur=int(rng.choice([1, 3, 5])),
        step_db=float(rng.choice([0.0, 1.5, 3.0])),
        noise_db=float(rng.choice([0.0, 1.0, 2.0])),
    )


def read_facts(path: Path) -> VocoderFacts:
    """What the JSON beside a vocoder says, checked.

    Raises:
        InputError: `bad-vocoder`: there is no such file, a key is missing, unknown or out of bounds.
    """
    beside = path.with_suffix(".json")
    try:
        if not path.is_file() or path.suffix not in (".onnx", ".ts", ".pt"):
            raise ValueError("expected a file .onnx, or TorchScript .ts or .pt")
        if path.stat().st_size > MAX_MODEL or beside.stat().st_size > MAX_FACTS:
            raise ValueError("is too big")
        said = json.loads(beside.read_text(encoding="utf-8"))
        facts = VocoderFacts(**said)
        check_facts(facts)
    except OSError:
        raise InputError("bad-vocoder", f"{beside}: not there; it says what mels {path.name} takes") from None
    except (ValueError, TypeError, RecursionError) as error:
        names = ", ".join(field.name for field in fields(VocoderFacts))
        raise InputError("bad-vocoder", f"{path} and {beside.name}: {error}; keys are {names}") from None
    return facts


def check_facts(facts: VocoderFacts) -> None:
    """Refuse what no vocoder takes.

    Raises:
        ValueError: saying what is wrong.
        TypeError: something is of another kind.
    """
    for name, low, high in (
        ("sample_rate", 8_000, 48_000), ("n_fft", 64, 8_192), ("hop", 16, 4_096), ("window", 32, 8_192),
        ("mels", 8, 512), ("power", 1, 2),
    ):  # fmt: skip
        value = getattr(facts, name)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise ValueError(f"{name} is {value!r}, expected a whole number from {low} to {high}")
    if not (facts.window <= facts.n_fft and facts.hop <= facts.n_fft and facts.n_fft % 2 == 0):
        raise ValueError("window and hop are at most n_fft, which is even")
    if not 0 <= facts.fmin < facts.fmax <= facts.sample_rate / 2:
        raise ValueError("expected 0 <= fmin < fmax <= sample_rate / 2")
    if not 0 < facts.floor < 1:
        raise ValueError(f"floor is {facts.floor!r}, expected 0 to 1")
    for name, choices in (
        ("log", ("ln", "log10")), ("scale", ("slaney", "htk")), ("norm", ("slaney", "none")),
        ("pad", ("constant", "reflect")), ("centre", (True, False)),
    ):  # fmt: skip
        if getattr(facts, name) not in choices:
            raise ValueError(f"{name} is {getattr(facts, name)!r}, expected one of {choices}")
    if not isinstance(facts.name, str) or len(facts.name) > 60 or not facts.name.isprintable():
        raise ValueError("name is no short text")


def mel_of(audio: np.ndarray, facts: VocoderFacts) -> np.ndarray:
    """Mel levels as the vocoder takes them, float32 (mels, frames), of audio (samples,) at its rate."""
    size = facts.n_fft
    side = size // 2 if facts.centre else (size - facts.hop) // 2
    padded = np.pad(
        audio, side, mode="reflect" if facts.pad == "reflect" and len(audio) > side else "constant"
    )
    window = np.pad(hann(facts.window), ((size - facts.window) // 2, (size - facts.window + 1) // 2))
    count = 1 + len(audio) // facts.hop if facts.centre else len(audio) // facts.hop
    frames = np.lib.stride_tricks.sliding_window_view(padded, size)[:: facts.hop][:count]
    magnitudes = np.abs(np.fft.rfft(frames * window))
    filters = mel_filters(
        size, facts.mels, facts.fmin, facts.fmax, facts.sample_rate, facts.scale, facts.norm == "slaney"
    )
    mel = np.maximum((magnitudes**facts.power) @ filters, facts.floor)
    return (np.log(mel) if facts.log == "ln" else np.log10(mel)).T.astype(np.float32)


def disturb(mel: np.ndarray, how: Neural, facts: VocoderFacts, rng: np.random.Generator) -> np.ndarray:
    """Mels (mels, frames) as `how` says, not under the floor."""
    decibel = facts.power * (np.log(10) if facts.log == "ln" else 1.0) / 20  # in units of the mels
    mel = smooth(mel.T, how.blur).T
    if how.step_db:
        mel = np.round(mel / (how.step_db * decibel)) * (how.step_db * decibel)
    mel = mel + how.noise_db * decibel * rng.standard_normal(mel.shape)
    least = np.log(facts.floor) if facts.log == "ln" else np.log10(facts.floor)
    return np.maximum(mel, least).astype(np.float32)


@lru_cache(maxsize=1)
def load_vocoder(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    """A function from mels (mels, frames) to audio (samples,), on one thread.

    Raises:
        InputError: `bad-vocoder`: the file is no such model.
        MissingExtra: it is TorchScript, and torch is not installed.
    """
    try:
        return load_onnx(path) if path.suffix == ".onnx" else load_torchscript(path)
    except (RuntimeError, ValueError) as error:
        why = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
        raise InputError("bad-vocoder", f"{path}: cannot be loaded: {why}") from None


def load_onnx(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    """As `load_vocoder`: a graph with one input (1, mels, frames)."""
    import onnxruntime as ort

    options: Any = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # classes of its own, which derive from Exception
        raise ValueError(str(error)) from None
    name = session.get_inputs()[0].name
    return lambda mel: np.asarray(session.run(None, {name: mel[None]})[0]).ravel()


def load_torchscript(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    """As `load_vocoder`: a module that takes (1, mels, frames)."""
    with needs_extra("train"):
        import torch
    torch.set_num_threads(1)
    module = torch.jit.load(str(path), map_location="cpu").eval()

    def run(mel: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return module(torch.from_numpy(mel[None])).float().numpy().ravel()

    return run


def neural(audio: np.ndarray, how: Neural, rng: np.random.Generator, path: Path) -> np.ndarray:
    """The clip, (samples,), through the vocoder in `path`.

    Raises:
        InputError: `bad-vocoder`: as `read_facts` and `load_vocoder`, or what comes out is no such clip.
    """
    facts = read_facts(path)
    run = load_vocoder(path)
    wave = soxr.resample(audio, SAMPLE_RATE, facts.sample_rate)
    mel = disturb(mel_of(wave, facts), how, facts, rng)
    try:
        made = run(mel)
    except Exception as error:  # whatever the model raises
        why = str(error).strip().splitlines()[:1] or [type(error).__name__]
        raise InputError(
            "bad-vocoder", f"{path}: takes no mels of the shape {mel.shape}: {why[0][:200]}"
        ) from None
    if not np.isfinite(made).all() or abs(len(made) - len(wave)) > 4 * facts.n_fft + 4 * facts.hop:
        raise InputError(
            "bad-vocoder",
            f"{path}: made {len(made)} samples of {len(wave)}; compare hop and rate in its JSON",
        )
    return fit(soxr.resample(made.astype(np.float32), facts.sample_rate, SAMPLE_RATE), len(audio))
