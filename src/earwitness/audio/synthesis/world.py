"""WORLD: pitch, spectral envelope and aperiodicity, and speech made of them again.

M. Morise, F. Yokomori and K. Ozawa, "WORLD: a vocoder-based high-quality speech synthesis system", IEICE
Trans. Inf. & Syst. E99-D (7), 2016; run through pyworld. Copies differ in estimator, frame period
and in how many numbers describe a frame; disguises also scale the pitch and warp the envelope.
"""

import importlib.util
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.machinery import PathFinder
from typing import Any

import numpy as np

from earwitness.audio.augment.clips import fit
from earwitness.audio.io import SAMPLE_RATE
from earwitness.audio.synthesis.spectra import smooth
from earwitness.errors import needs_extra

FFT_SIZE = 1_024  # CheapTrick's at 16 kHz for pitches from 71 Hz up


@dataclass(frozen=True)
class World:
    """One setting; the last two are 1 in plain copies."""

    pitch: str  # dio (with StoneMask) or harvest
    period_ms: float
    envelope_bands: int | None  # coded dimensions of the spectral envelope; None: all of it
    code_aperiodicity: bool
    pitch_smooth: int  # frames of a moving average
    pitch_steps: int | None  # steps of an octave that pitch is rounded to
    pitch_factor: float = 1.0
    formant_factor: float = 1.0


def draw_world(rng: np.random.Generator) -> World:
    """Settings of a copy."""
    return World(
        pitch=str(rng.choice(["dio", "harvest"], p=[0.7, 0.3])),
        period_ms=float(rng.choice([3.0, 4.0, 5.0, 8.0, 10.0])),
        envelope_bands=int(rng.integers(24, 81)) if rng.random() < 0.6 else None,
        code_aperiodicity=bool(rng.random() < 0.5),
        pitch_smooth=int(rng.choice([1, 1, 3, 7])),
        pitch_steps=int(rng.integers(12, 49)) if rng.random() < 0.2 else None,
    )


def draw_world_shift(rng: np.random.Generator) -> World:
    """Settings of a disguise: pitch by 2 to 8 semitones, formants by 3 to 22 %, mostly the same way."""
    up = 1 if rng.random() < 0.5 else -1
    formants = up if rng.random() < 0.8 else -up
    return replace(
        draw_world(rng),
        pitch_factor=float(2 ** (up * rng.uniform(2, 8) / 12)),
        formant_factor=float(np.exp(formants * rng.uniform(0.03, 0.2))),
    )


@lru_cache(maxsize=1)
def pyworld() -> Any:
    """The compiled part of pyworld: its 0.3.5 imports pkg_resources first, which setuptools has no longer.

    Raises:
        MissingExtra: it is not installed.
    """
    with needs_extra("synthesis"):
        package = importlib.util.find_spec("pyworld")
        places = package.submodule_search_locations if package else None
        found = PathFinder.find_spec("pyworld.pyworld", places) if places else None
        if found is None or found.loader is None:
            raise ModuleNotFoundError("No module named 'pyworld'", name="pyworld")
        module = importlib.util.module_from_spec(found)
        found.loader.exec_module(module)
        return module


def world(audio: np.ndarray, how: World, rng: np.random.Generator) -> np.ndarray:
    """The clip, (samples,), analysed and synthesised again.

    Raises:
        MissingExtra: pyworld is not installed.
    """
    tool = pyworld()
    wave = audio.astype(np.float64)
    wave += 1e-5 * rng.standard_normal(len(wave))  # digital silence has no envelope
    options = {"f0_floor": 60.0, "f0_ceil": 500.0, "frame_period": how.period_ms}
    if how.pitch == "dio":
        rough, times = tool.dio(wave, SAMPLE_RATE, **options)
        pitch = tool.stonemask(wave, rough, times, SAMPLE_RATE)
    else:
        pitch, times = tool.harvest(wave, SAMPLE_RATE, **options)
    envelope = tool.cheaptrick(wave, pitch, times, SAMPLE_RATE, fft_size=FFT_SIZE)
    aperiodicity = tool.d4c(wave, pitch, times, SAMPLE_RATE, fft_size=FFT_SIZE)
    if how.envelope_bands is not None:
        coded = tool.code_spectral_envelope(envelope, SAMPLE_RATE, how.envelope_bands)
        envelope = tool.decode_spectral_envelope(coded, SAMPLE_RATE, FFT_SIZE)
    if how.code_aperiodicity:
        coded = tool.code_aperiodicity(aperiodicity, SAMPLE_RATE)
        aperiodicity = tool.decode_aperiodicity(coded, SAMPLE_RATE, FFT_SIZE)
    pitch = shape_pitch(pitch, how)
    envelope, aperiodicity = (warp(part, how.formant_factor) for part in (envelope, aperiodicity))
    made = tool.synthesize(pitch, envelope, aperiodicity, SAMPLE_RATE, how.period_ms)
    return fit(made, len(audio))


def shape_pitch(pitch: np.ndarray, how: World) -> np.ndarray:
    """Pitch (frames,) in Hz, 0 where unvoiced, smoothed, rounded and scaled as `how` says."""
    voiced = pitch > 0
    if not voiced.any():
        return pitch
    log = np.log2(np.interp(np.arange(len(pitch)), np.flatnonzero(voiced), pitch[voiced]))
    log = smooth(log, how.pitch_smooth)
    if how.pitch_steps is not None:
        log = np.round(log * how.pitch_steps) / how.pitch_steps
    return np.where(voiced, 2**log * how.pitch_factor, 0.0)


def warp(spectra: np.ndarray, factor: float) -> np.ndarray:
    """Spectra (frames, bins) with what is at f moved to f * factor; the last bin goes on above."""
    if factor == 1:
        return np.ascontiguousarray(spectra)
    bins = spectra.shape[1]
    place = np.minimum(np.arange(bins) / factor, bins - 1)
    low = np.minimum(place.astype(int), bins - 2)
    part = place - low
    log = np.log(spectra)
    return np.ascontiguousarray(np.exp(log[:, low] * (1 - part) + log[:, low + 1] * part))
