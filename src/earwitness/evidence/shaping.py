"""A watermark's residual under its host: bounded in time and frequency by what hides it.

Whatever a generator proposes, at no moment and in no band may it be louder than `RATIO` of the host's own
magnitude there, smoothed over neighbours, and it has nothing where the host is silent. So the quality of a
mark is bounded by construction, and training is left to find what can be read within the bound. (A departure
from AudioSeal and FakeMark, whose residuals are held back by losses alone.) The same is computed with torch
while training (`earwitness.training.marking`); a test holds the two together.
"""

import numpy as np

from earwitness.audio.synthesis.spectra import istft, stft

SIZE, STEP = 512, 128  # samples of a frame, and from one to the next
RATIO = 0.1  # -20 dB
BINS, FRAMES = 9, 3  # neighbours over which the host's magnitude is smoothed
TINY = 1e-9


def shaped(proposed: np.ndarray, host: np.ndarray) -> np.ndarray:
    """The residual (samples,) float32 that a proposal (samples,) becomes under a host (samples,)."""
    limit = RATIO * smoothed(np.abs(stft(host, SIZE, STEP)))
    spectra = stft(proposed, SIZE, STEP)
    return istft(spectra * (limit / (np.abs(spectra) + limit + TINY)), SIZE, STEP, len(host))


def smoothed(magnitudes: np.ndarray) -> np.ndarray:
    """Means of (frames, bins) over neighbouring frames and bins; beyond the edges it is zero."""
    for axis, width in ((1, BINS), (0, FRAMES)):
        side = [(0, 0), (0, 0)]
        side[axis] = (width // 2, width // 2)
        padded = np.pad(magnitudes, side)
        magnitudes = np.lib.stride_tricks.sliding_window_view(padded, width, axis=axis).mean(axis=-1)
    return magnitudes
