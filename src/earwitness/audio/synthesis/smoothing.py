"""Over-smoothed spectra: what models that predict the mean of many voices leave behind.

Log-mel levels are averaged over time and frequency, or held over frames, and the difference is applied to
the short-time spectra as a gain; phases stay, or are found again in a few steps of Griffin-Lim.
"""

from dataclasses import dataclass

import numpy as np

from earwitness.audio.synthesis.griffin_lim import find_phases
from earwitness.audio.synthesis.spectra import TINY, istft, log_mel, reshape_spectra, smooth, stft

SIZE, HOP = 1_024, 256


@dataclass(frozen=True)
class Smoothing:
    """One setting."""

    bands: int
    frames: int  # of 16 ms, averaged
    neighbours: int  # bands, averaged
    held: int  # frames that share one level
    iterations: int  # of Griffin-Lim behind it


def draw_smoothing(rng: np.random.Generator) -> Smoothing:
    """Settings; at least one of the three does something."""
    frames, neighbours, held = (
        int(rng.choice(choice)) for choice in ([1, 3, 5, 7], [1, 3, 5, 9], [1, 1, 2, 3])
    )
    return Smoothing(
        bands=int(rng.choice([40, 80, 128])),
        frames=3 if frames == neighbours == held == 1 else frames,
        neighbours=neighbours,
        held=held,
        iterations=int(rng.choice([0, 0, 2, 8])),
    )


def smoothing(audio: np.ndarray, how: Smoothing, rng: np.random.Generator) -> np.ndarray:
    """The clip, (samples,), with its spectra smoothed."""
    spectra = stft(audio, SIZE, HOP)
    levels = log_mel(np.abs(spectra), SIZE, how.bands)
    even = smooth(smooth(levels, how.frames).T, how.neighbours).T
    if how.held > 1:
        even = np.repeat(even[how.held // 2 :: how.held], how.held, axis=0)
        even = np.pad(even, ((0, len(levels)), (0, 0)), mode="edge")[: len(levels)]
    shaped = reshape_spectra(spectra, even - levels)
    if not how.iterations:
        return istft(shaped, SIZE, HOP, len(audio))
    magnitudes = np.abs(shaped)
    return find_phases(
        magnitudes, shaped / np.maximum(magnitudes, TINY), HOP, len(audio), how.iterations, 0.0
    )
