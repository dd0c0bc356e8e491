"""Enhancement: noise added and taken out again, which leaves musical noise and holes.

Spectral subtraction (S. F. Boll, IEEE Trans. ASSP 27 (2), 1979) with over-subtraction and a spectral floor
(M. Berouti, R. Schwartz and J. Makhoul, ICASSP 1979), or a Wiener gain, with or without the decision-directed
smoothing of Y. Ephraim and D. Malah (IEEE Trans. ASSP 32 (6), 1984).
"""

from dataclasses import dataclass

import numpy as np

from earwitness.audio.augment.clips import power
from earwitness.audio.synthesis.spectra import TINY, istft, stft


@dataclass(frozen=True)
class Enhancing:
    """One setting."""

    size: int
    snr_db: float  # of the noise that is added first
    colour: float  # its power falls with f^-colour
    gain: str  # subtract or wiener
    over: float  # factor on the estimate of the noise
    floor: float  # least gain
    memory: float  # of the decision-directed estimate; 0: none


def draw_enhancing(rng: np.random.Generator) -> Enhancing:
    """Settings."""
    return Enhancing(
        size=int(rng.choice([256, 512, 1024])),
        snr_db=float(rng.uniform(5, 20)),
        colour=float(rng.uniform(0, 1.5)),
        gain=str(rng.choice(["subtract", "wiener"])),
        over=float(rng.uniform(1.0, 3.0)),
        floor=float(10 ** (rng.uniform(-30, -12) / 20)),
        memory=float(rng.choice([0.0, 0.5, 0.9, 0.98])),
    )


def enhancing(audio: np.ndarray, how: Enhancing, rng: np.random.Generator) -> np.ndarray:
    """The clip, (samples,), noisy and cleaned."""
    shape = np.maximum(np.fft.rfftfreq(len(audio)), 1 / 160) ** (-how.colour / 2)
    noise = np.fft.irfft(np.fft.rfft(rng.standard_normal(len(audio))) * shape, len(audio))
    noise *= np.sqrt(power(audio) / power(noise)) * 10 ** (-how.snr_db / 20)
    hop = how.size // 4
    spectra = stft((audio + noise).astype(np.float32), how.size, hop)
    energy = np.square(np.abs(spectra))
    expected = np.mean(np.square(np.abs(stft(noise.astype(np.float32), how.size, hop))), axis=0)
    ratio = energy / np.maximum(how.over * expected, TINY)  # a posteriori SNR
    gain = np.zeros_like(ratio)
    before = np.zeros(ratio.shape[1])
    for t, now in enumerate(ratio):
        prior = how.memory * before + (1 - how.memory) * np.maximum(now - 1, 0)
        gain[t] = np.sqrt(prior / (1 + prior)) if how.gain == "subtract" else prior / (1 + prior)
        before = np.square(gain[t]) * now
    return istft(spectra * np.maximum(gain, how.floor), how.size, hop, len(audio))
