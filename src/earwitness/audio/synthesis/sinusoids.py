"""Harmonics and noise: speech as a sum of sines at multiples of the pitch, and noise for the rest.

The amplitudes are those of the clip at the harmonics; phases are integrated from the pitch, so those of
the clip are lost. After the harmonic-plus-noise model (Y. Stylianou, IEEE Trans. SAP 9 (1), 2001), with
one highest voiced frequency for the clip.
"""

from dataclasses import dataclass

import numpy as np

from earwitness.audio.io import SAMPLE_RATE
from earwitness.audio.synthesis.pitch import by_sample, track_pitch
from earwitness.audio.synthesis.spectra import istft, stft

SIZE = 640  # samples, 40 ms
HOP = 80
MOST = 100  # harmonics


@dataclass(frozen=True)
class Sinusoids:
    """One setting."""

    hop: int  # samples between the amplitudes that sines are faded between
    voiced_to_hz: float  # harmonics up to here, noise above
    breath: float  # amplitude of noise below, to that of the clip
    begin: str  # phases of harmonics at the start: zero or random


def draw_sinusoids(rng: np.random.Generator) -> Sinusoids:
    """Settings."""
    return Sinusoids(
        hop=HOP * int(rng.choice([1, 2, 3])),
        voiced_to_hz=float(rng.uniform(3_000, 7_500)),
        breath=float(rng.uniform(0.03, 0.3)),
        begin=str(rng.choice(["zero", "random"])),
    )


def sinusoids(audio: np.ndarray, how: Sinusoids, rng: np.random.Generator) -> np.ndarray:
    """The clip, (samples,), as harmonics and noise."""
    spectra = stft(audio, SIZE, HOP)
    magnitudes = np.abs(spectra)
    pitch, voiced = by_sample(track_pitch(audio, HOP), HOP, len(audio))
    hertz = np.arange(magnitudes.shape[1]) * SAMPLE_RATE / SIZE
    at = np.minimum(np.arange(len(magnitudes)) * HOP, len(audio) - 1)
    breath = 1 - voiced[at, None] * (hertz < how.voiced_to_hz) * (1 - how.breath)
    chance = np.exp(1j * rng.uniform(-np.pi, np.pi, magnitudes.shape))
    noise = istft(magnitudes * breath * chance, SIZE, HOP, len(audio))
    if not voiced.any():
        return noise
    return (noise + harmonics(magnitudes, pitch, voiced, how, rng)).astype(np.float32)


def harmonics(
    magnitudes: np.ndarray, pitch: np.ndarray, voiced: np.ndarray, how: Sinusoids, rng: np.random.Generator
) -> np.ndarray:
    """Sines (samples,) at multiples of `pitch`, as loud as the clip is there."""
    samples = len(pitch)
    turns = 2 * np.pi * np.cumsum(pitch / SAMPLE_RATE)
    times = np.arange(0, len(magnitudes) * HOP, how.hop)
    at = np.minimum(times, samples - 1)
    rows = times // HOP
    out = np.zeros(samples)
    highest = min(MOST, int(how.voiced_to_hz / pitch[voiced > 0].min()))
    for number in range(1, highest + 1):
        place = number * pitch[at] * SIZE / SAMPLE_RATE
        low = np.minimum(place.astype(int), magnitudes.shape[1] - 2)
        part = np.minimum(place - low, 1.0)
        level = magnitudes[rows, low] * (1 - part) + magnitudes[rows, low + 1] * part
        level = level * (number * pitch[at] < how.voiced_to_hz) * voiced[at] * 4 / SIZE
        begin = rng.uniform(-np.pi, np.pi) if how.begin == "random" else 0.0
        out += np.interp(np.arange(samples), times, level) * np.cos(number * turns + begin)
    return out
