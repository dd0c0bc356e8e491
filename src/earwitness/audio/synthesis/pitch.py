"""A plain pitch track by autocorrelation, for the vocoders that excite a filter or add up harmonics.

Peaks of the autocorrelation, divided by that of the window (P. Boersma, "Accurate short-term analysis of
the fundamental frequency", IFA Proceedings 17, 1993), with a small price on long periods in place of his
search for a path; a median over five frames takes out single jumps.
"""

import numpy as np

from earwitness.audio.io import SAMPLE_RATE
from earwitness.audio.synthesis.spectra import TINY, frames_of, hann

WINDOW = 640  # samples, 40 ms
LOW_HZ, HIGH_HZ = 65.0, 400.0
VOICED = 0.5  # of the energy that a period explains
QUIET = 1e-3  # of the loudest frame's energy: nobody speaks


def track_pitch(audio: np.ndarray, hop: int) -> np.ndarray:
    """Pitch in Hz of frames centred on multiples of `hop`, (1 + samples // hop,); 0 where unvoiced."""
    frames = frames_of(audio - audio.mean(), WINDOW, hop) * hann(WINDOW)
    size = 2 * WINDOW
    correlation = np.fft.irfft(np.abs(np.fft.rfft(frames, size)) ** 2, size)
    energy = correlation[:, :1]
    of_window = np.fft.irfft(np.abs(np.fft.rfft(hann(WINDOW), size)) ** 2, size)
    shortest, longest = int(SAMPLE_RATE / HIGH_HZ), int(SAMPLE_RATE / LOW_HZ)
    lags = np.arange(shortest, longest + 1)
    alike = correlation[:, lags] / np.maximum(energy, TINY) / (of_window[lags] / of_window[0])
    best = np.argmax(alike - 0.1 * np.log2(lags / shortest) / np.log2(longest / shortest), axis=1)
    explained = np.take_along_axis(alike, best[:, None], 1)[:, 0]
    loud = energy[:, 0] > QUIET * energy.max()
    pitch = np.where((explained > VOICED) & loud, SAMPLE_RATE / lags[best], 0.0)
    around = np.lib.stride_tricks.sliding_window_view(np.pad(pitch, 2, mode="edge"), 5)
    return np.median(around, axis=1)


def by_sample(pitch: np.ndarray, hop: int, samples: int) -> tuple[np.ndarray, np.ndarray]:
    """Pitch of every sample, carried through unvoiced stretches, and how voiced it is, 0 to 1; (samples,)."""
    voiced = pitch > 0
    times, at = np.arange(len(pitch)) * hop, np.arange(samples)
    if not voiced.any():
        return np.full(samples, 120.0), np.zeros(samples)
    return np.interp(at, times[voiced], pitch[voiced]), np.interp(at, times, voiced.astype(float))


def pulses(pitch: np.ndarray) -> np.ndarray:
    """A pulse at the begin of each period, (samples,), of unit mean power."""
    turns = np.cumsum(pitch / SAMPLE_RATE)
    begins = np.diff(np.floor(turns), prepend=0.0) > 0
    return np.where(begins, np.sqrt(SAMPLE_RATE / pitch), 0.0)
