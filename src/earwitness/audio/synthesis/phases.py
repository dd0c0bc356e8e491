"""Phases replaced, magnitudes kept: what a vocoder that finds phases badly leaves behind.

`zero`, `random` and `minimum` forget the phases. `followed` lets each spectral peak turn at its own
frequency and its neighbours with it (G. T. Beauregard, M. Harish and L. Wyse, "Single pass spectrogram
inversion", DSP 2015). `noisy` adds noise to the true phases; `above` and `scattered` replace some of them.
"""

from dataclasses import dataclass

import numpy as np

from earwitness.audio.io import SAMPLE_RATE
from earwitness.audio.synthesis.spectra import TINY, istft, stft

KINDS = ("zero", "random", "minimum", "followed", "noisy", "above", "scattered")


@dataclass(frozen=True)
class Phases:
    """One setting."""

    size: int
    hop: int
    kind: str  # of KINDS
    amount: float  # noisy: radians; scattered: share replaced
    corner_hz: float  # above: from here on


def draw_phases(rng: np.random.Generator) -> Phases:
    """Settings."""
    kind = str(rng.choice(KINDS, p=[0.06, 0.14, 0.1, 0.2, 0.2, 0.15, 0.15]))
    size = int(rng.choice([256, 512, 1024]))
    size = min(size, 512) if kind == "minimum" else size  # what rings behind the centre comes late
    return Phases(
        size=size,
        hop=size // int(rng.choice([4, 8])),
        kind=kind,
        amount=float(rng.uniform(0.5, 0.95)),
        corner_hz=float(rng.uniform(500, 4_000)),
    )


def replace_phases(audio: np.ndarray, how: Phases, rng: np.random.Generator) -> np.ndarray:
    """The clip, (samples,), with the phases that `how` says."""
    spectra = stft(audio, how.size, how.hop)
    magnitudes = np.abs(spectra)
    chance = np.exp(1j * rng.uniform(-np.pi, np.pi, spectra.shape))
    if how.kind == "zero":
        made = magnitudes
    elif how.kind == "random":
        made = magnitudes * chance
    elif how.kind == "minimum":
        made = magnitudes * np.exp(1j * minimum_phases(magnitudes))
    elif how.kind == "followed":
        made = magnitudes * np.exp(1j * followed_phases(magnitudes, how.hop, rng))
    elif how.kind == "noisy":
        made = spectra * np.exp(2j * how.amount * rng.standard_normal(spectra.shape))
    else:
        if how.kind == "above":
            replaced = np.arange(spectra.shape[1]) * SAMPLE_RATE / how.size >= how.corner_hz
        else:
            replaced = rng.random(spectra.shape) < how.amount
        made = np.where(replaced, magnitudes * chance, spectra)
    return istft(made, how.size, how.hop, len(audio))


def minimum_phases(magnitudes: np.ndarray) -> np.ndarray:
    """Phases (frames, bins) of the causal, stable filters with these magnitudes: their cepstrum folded."""
    size = 2 * (magnitudes.shape[1] - 1)
    floor = max(1e-5 * float(magnitudes.max()), TINY)
    cepstrum = np.fft.irfft(np.log(np.maximum(magnitudes, floor)), size)
    cepstrum[:, 1 : size // 2] *= 2
    cepstrum[:, size // 2 + 1 :] = 0
    return np.fft.rfft(cepstrum).imag


def followed_phases(magnitudes: np.ndarray, hop: int, rng: np.random.Generator) -> np.ndarray:
    """Phases (frames, bins) that turn from frame to frame by the frequency of the nearest peak above."""
    frames, bins = magnitudes.shape
    log = np.log(np.maximum(magnitudes, TINY))
    left, here, right = log[:, :-2], log[:, 1:-1], log[:, 2:]
    peak = np.zeros(magnitudes.shape, bool)
    peak[:, 1:-1] = (here >= left) & (here > right)
    hollow = np.where(peak[:, 1:-1], left - 2 * here + right, -1.0)
    place = np.tile(np.arange(bins, dtype=float), (frames, 1))
    place[:, 1:-1] += np.clip((left - right) / np.minimum(hollow, -TINY) / 2, -0.5, 0.5) * peak[:, 1:-1]
    nearest = nearest_peak(peak)
    turn = 2 * np.pi * hop / (2 * (bins - 1)) * np.take_along_axis(place, nearest, 1)
    turn[0] = rng.uniform(-np.pi, np.pi, bins)[nearest[0]]
    return np.cumsum(turn, axis=0)


def nearest_peak(peak: np.ndarray) -> np.ndarray:
    """For each bin of (frames, bins) the index of the nearest true one; where there is none, the bin."""
    bins = peak.shape[1]
    index = np.arange(bins)
    below = np.maximum.accumulate(np.where(peak, index, -bins), axis=1)
    above = np.minimum.accumulate(np.where(peak, index, 3 * bins)[:, ::-1], axis=1)[:, ::-1]
    nearest = np.where(index - below <= above - index, below, above)
    return np.where((nearest < 0) | (nearest >= bins), index, nearest)
