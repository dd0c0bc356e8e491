"""Griffin-Lim: phases found for magnitudes that lost theirs, on the way through mel bands or not.

D. W. Griffin and J. S. Lim, IEEE Trans. ASSP 32 (2), 1984; with momentum after N. Perraudin, P. Balazs and
P. L. Søndergaard, "A fast Griffin-Lim algorithm", WASPAA 2013, where T(n) = P(c(n-1)) and
c(n) = T(n) + momentum (T(n) - T(n-1)).
"""

from dataclasses import dataclass

import numpy as np

from earwitness.audio.synthesis.spectra import TINY, istft, mel_filters, smooth, stft


@dataclass(frozen=True)
class GriffinLim:
    """One setting: `size` and `hop` in samples; `bands` None takes the magnitudes as they are."""

    size: int
    hop: int
    iterations: int
    momentum: float
    start: str  # phases to begin with: random or zero
    bands: int | None  # of mel filters that the magnitudes go through
    inverse: str  # of the filters: pinv, nnls or spread
    blur: int  # frames of a moving average over magnitudes


def draw_griffin_lim(rng: np.random.Generator) -> GriffinLim:
    """Settings: most go through mel filters, as what text-to-speech systems predict does."""
    size = int(rng.choice([512, 1024, 2048], p=[0.3, 0.5, 0.2]))
    bands = int(rng.choice([40, 80, 100, 128])) if rng.random() < 0.7 else None
    return GriffinLim(
        size=size,
        hop=size // int(rng.choice([4, 8])),
        iterations=round(2 * 30 ** rng.random()),
        momentum=float(rng.choice([0.0, 0.5, 0.99])),
        start=str(rng.choice(["random", "zero"], p=[0.8, 0.2])),
        bands=bands,
        inverse=str(rng.choice(["pinv", "nnls", "spread"])),
        blur=int(rng.choice([1, 3], p=[0.8, 0.2])),
    )


def griffin_lim(audio: np.ndarray, how: GriffinLim, rng: np.random.Generator) -> np.ndarray:
    """The clip, (samples,), of its magnitudes alone."""
    magnitudes = np.abs(stft(audio, how.size, how.hop))
    if how.bands is not None:
        magnitudes = through_mel(magnitudes, how.size, how.bands, how.inverse)
    magnitudes = smooth(magnitudes, how.blur)
    angles = rng.uniform(-np.pi, np.pi, magnitudes.shape) if how.start == "random" else 0.0
    phases = np.exp(1j * angles).astype(np.complex64) * np.ones_like(magnitudes)
    return find_phases(magnitudes, phases, how.hop, len(audio), how.iterations, how.momentum)


def find_phases(
    magnitudes: np.ndarray, phases: np.ndarray, hop: int, samples: int, iterations: int, momentum: float
) -> np.ndarray:
    """Audio, (samples,), with about these magnitudes (frames, bins), beginning with unit `phases`."""
    size = 2 * (magnitudes.shape[1] - 1)
    before = magnitudes * phases
    for _ in range(iterations):
        rebuilt = stft(istft(magnitudes * phases, size, hop, samples), size, hop)
        pushed = rebuilt + momentum * (rebuilt - before)
        phases = pushed / np.maximum(np.abs(pushed), TINY)
        before = rebuilt
    return istft(magnitudes * phases, size, hop, samples)


def through_mel(magnitudes: np.ndarray, size: int, bands: int, inverse: str) -> np.ndarray:
    """Magnitudes (frames, bins) through mel filters and back.

    `pinv`: the pseudo-inverse, negatives cut off. `nnls`: 20 multiplicative steps of least squares without
    negatives (D. D. Lee and H. S. Seung, NIPS 2000). `spread`: each bin gets the mean of its bands, which
    leaves no harmonics at all.
    """
    filters = mel_filters(size, bands)
    mel = magnitudes @ filters
    if inverse == "pinv":
        return np.maximum(mel @ np.linalg.pinv(filters), 0).astype(np.float32)
    even = mel / np.maximum(filters.sum(0), TINY)
    guess = even @ (filters / np.maximum(filters.sum(1, keepdims=True), TINY)).T
    if inverse == "spread":
        return guess
    guess += 1e-6 * guess.max() + TINY
    wanted, square = mel @ filters.T, filters @ filters.T
    for _ in range(20):
        guess = guess * (wanted / np.maximum(guess @ square, TINY))
    return guess
