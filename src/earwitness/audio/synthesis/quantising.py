"""Vector quantisation: a stand-in for neural codecs, with codebooks of a few bits learnt on the clip.

`mel`: frames of log-mel levels are replaced by the nearest of a few, and the difference is applied as a
gain. `mdct`: coefficients of the modified discrete cosine transform (J. P. Princen and A. B. Bradley, IEEE
Trans. ASSP 34 (5), 1986), divided by the level of their band, are replaced group by group in several
stages, each coding what the one before left (residual vector quantisation, as in N. Zeghidour et al.,
"SoundStream", arXiv:2107.03312).
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from earwitness.audio.synthesis.spectra import TINY, istft, log_mel, reshape_spectra, stft

SIZE, HOP, BANDS = 1_024, 256, 80
GROUP = 8  # coefficients that are coded together
LEARNT_FROM = 4_096  # vectors at most


@dataclass(frozen=True)
class Quantising:
    """One setting."""

    kind: str  # mel or mdct
    bits: int  # of a codebook
    stages: int  # of mdct
    hop: int  # of mdct, samples


def draw_quantising(rng: np.random.Generator) -> Quantising:
    """Settings."""
    kind = str(rng.choice(["mel", "mdct"], p=[0.35, 0.65]))
    return Quantising(
        kind=kind,
        bits=int(rng.integers(3, 7)) if kind == "mel" else int(rng.integers(4, 9)),
        stages=int(rng.integers(1, 4)),
        hop=int(rng.choice([160, 320, 640])),
    )


def quantising(audio: np.ndarray, how: Quantising, rng: np.random.Generator) -> np.ndarray:
    """The clip, (samples,), out of codebooks."""
    if how.kind == "mel":
        spectra = stft(audio, SIZE, HOP)
        levels = log_mel(np.abs(spectra), SIZE, BANDS)
        loudness = levels.mean(1, keepdims=True)
        coded = quantise(levels - loudness, how.bits, rng) + loudness
        return istft(reshape_spectra(spectra, coded - levels), SIZE, HOP, len(audio))
    coefficients = mdct(audio, how.hop)
    groups = coefficients.reshape(-1, GROUP)
    level = np.sqrt(np.square(groups).mean(1, keepdims=True)) + TINY
    coarse = 10 ** (np.round(np.log10(level) * 20 / 3) * 3 / 20)  # 3 dB steps
    left, coded = groups / coarse, np.zeros_like(groups)
    for _ in range(how.stages):
        step = quantise(left, how.bits, rng)
        coded, left = coded + step, left - step
    return imdct((coded * coarse).reshape(coefficients.shape), len(audio)).astype(np.float32)


def quantise(vectors: np.ndarray, bits: int, rng: np.random.Generator, rounds: int = 6) -> np.ndarray:
    """Each of the vectors (count, size) replaced by the nearest of 2^bits, which k-means finds among them."""
    some = vectors[rng.permutation(len(vectors))[:LEARNT_FROM]]
    book = some[: 2**bits].copy()
    for _ in range(rounds):
        nearest = nearest_of(some, book)
        count = np.bincount(nearest, minlength=len(book))
        for column in range(some.shape[1]):
            total = np.bincount(nearest, some[:, column], len(book))
            book[:, column] = np.where(count > 0, total / np.maximum(count, 1), book[:, column])
    return book[nearest_of(vectors, book)]


def nearest_of(vectors: np.ndarray, book: np.ndarray) -> np.ndarray:
    """Index of the nearest of `book` for each of `vectors`."""
    return np.argmin(np.square(book).sum(1) - 2 * vectors @ book.T, axis=1)


@lru_cache(maxsize=4)
def mdct_basis(hop: int) -> np.ndarray:
    """The transform with its sine window, (2 hop, hop); orthogonal between frames `hop` apart."""
    n, k = np.arange(2 * hop)[:, None] + 0.5, np.arange(hop) + 0.5
    window = np.sin(np.pi * n / (2 * hop))
    return (window * np.sqrt(2 / hop) * np.cos(np.pi / hop * (n + hop / 2) * k)).astype(np.float32)


def mdct(audio: np.ndarray, hop: int) -> np.ndarray:
    """Coefficients, (frames, hop)."""
    padded = np.pad(audio, (hop, hop + -len(audio) % hop))
    return np.lib.stride_tricks.sliding_window_view(padded, 2 * hop)[::hop] @ mdct_basis(hop)


def imdct(coefficients: np.ndarray, samples: int) -> np.ndarray:
    """The inverse, (samples,)."""
    hop = coefficients.shape[1]
    frames = coefficients @ mdct_basis(hop).T
    out = np.zeros((len(frames) + 1, hop), frames.dtype)
    out[:-1] += frames[:, :hop]
    out[1:] += frames[:, hop:]
    return out.ravel()[hop:][:samples]
