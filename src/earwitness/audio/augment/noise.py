"""Noise under speech: coloured and stationary, recorded, or the babble of other voices.

Ratios are in dB over the whole clip: mean power of the clip above that of the noise. The power of
silence is zero, and so is the noise that it gets.
"""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from earwitness.audio.augment.clips import power
from earwitness.audio.io import SAMPLE_RATE, load_part
from earwitness.errors import InputError

KEPT = 32  # recordings of noise held decoded, of each the first five minutes
LONGEST = 300 * SAMPLE_RATE
VOICES = (3, 8)  # in babble, both ends included


def mix(audio: np.ndarray, noise: np.ndarray, snr_db: float) -> np.ndarray:
    """`noise` (samples,), not silent, added `snr_db` under `audio` (samples,)."""
    scale = np.sqrt(power(audio) / power(noise)) / 10 ** (snr_db / 20)
    return (audio + noise * scale).astype(np.float32)


def add_noise(
    audio: np.ndarray, rng: np.random.Generator, snr_db: tuple[float, float] = (8.0, 40.0)
) -> np.ndarray:
    """Stationary noise with a spectral slope of 0 to -9 dB an octave, `snr_db` under the clip."""
    hertz = np.fft.rfftfreq(len(audio), 1 / SAMPLE_RATE)
    slope = np.maximum(hertz, 30.0) ** -rng.uniform(0, 1.5)
    noise = np.fft.irfft(np.fft.rfft(rng.standard_normal(len(audio))) * slope, len(audio))
    return mix(audio, noise, rng.uniform(*snr_db))


def add_recording(
    audio: np.ndarray,
    rng: np.random.Generator,
    recordings: Sequence[Path],
    snr_db: tuple[float, float] = (5.0, 25.0),
) -> np.ndarray:
    """A stretch of one of `recordings`, repeated where it is shorter, `snr_db` under the clip.

    Raises:
        InputError: there are no recordings, or the one drawn is silent or cannot be decoded.
    """
    return mix(audio, stretch(recordings, len(audio), rng), rng.uniform(*snr_db))


def add_babble(
    audio: np.ndarray,
    rng: np.random.Generator,
    recordings: Sequence[Path],
    snr_db: tuple[float, float] = (10.0, 30.0),
) -> np.ndarray:
    """Three to eight of `recordings` at once, equally strong, together `snr_db` under the clip.

    Raises:
        InputError: as `add_recording`.
    """
    voices = [stretch(recordings, len(audio), rng) for _ in range(rng.integers(VOICES[0], VOICES[1] + 1))]
    babble = np.sum([voice / np.sqrt(power(voice)) for voice in voices], axis=0)
    return mix(audio, babble, rng.uniform(*snr_db))


def stretch(recordings: Sequence[Path], samples: int, rng: np.random.Generator) -> np.ndarray:
    """`samples` of a recording from a random place on, going round at its end.

    The first of them is not zero, so the stretch has power.
    """
    if not recordings:
        raise InputError("usage", "noise from recordings needs at least one recording, found none")
    path = recordings[int(rng.integers(len(recordings)))]
    whole = recorded(path)
    sounding = np.flatnonzero(whole)
    if not len(sounding):
        raise InputError("no-samples", f"{path}: is silent and cannot serve as noise; leave it out")
    start = int(sounding[rng.integers(len(sounding))])
    return np.take(whole, np.arange(start, start + samples), mode="wrap")


@lru_cache(maxsize=KEPT)
def recorded(path: Path) -> np.ndarray:
    """A recording, decoded once, (samples,)."""
    return load_part(path, 0, LONGEST)
