"""What all steps share: cut, fit, contain, convolve, and see whether a signal changed."""

import numpy as np

from earwitness.errors import InputError

TINY = 1e-300  # in place of a power of 0, where that would divide


def ready(audio: np.ndarray) -> np.ndarray:
    """`audio` as float32 (samples,), if it can be worked on.

    Raises:
        InputError: `no-samples`, or `bad-samples` (not one channel, NaN, infinite).
    """
    audio = np.asarray(audio, dtype=np.float32)
    if audio.ndim != 1:
        raise InputError(
            "bad-samples", f"a clip has the shape (samples,), found {audio.shape}; mix it down first"
        )
    if not len(audio):
        raise InputError("no-samples", "a clip to augment holds no samples; leave it out")
    if not np.isfinite(audio).all():
        raise InputError("bad-samples", "a clip to augment holds NaN or infinite samples; leave it out")
    return audio


def crop(audio: np.ndarray, samples: int, rng: np.random.Generator) -> np.ndarray:
    """A random stretch of `samples`; shorter audio is repeated."""
    if len(audio) < samples:
        audio = np.tile(audio, -(-samples // len(audio)))
    start = int(rng.integers(0, len(audio) - samples + 1))
    return audio[start : start + samples]


def fit(audio: np.ndarray, samples: int) -> np.ndarray:
    """Cut or zero-pad at the end to `samples`."""
    return np.pad(audio[:samples], (0, max(0, samples - len(audio)))).astype(np.float32)


def contain(audio: np.ndarray) -> np.ndarray:
    """Divided by its peak where that is above 1, so that it stays in [-1, 1]."""
    peak = float(np.abs(audio).max())
    return (audio / peak).astype(np.float32) if peak > 1 else audio.astype(np.float32, copy=False)


def power(audio: np.ndarray) -> float:
    """Mean square, in double precision: quiet audio does not underflow."""
    return float(np.mean(np.square(audio, dtype=np.float64)))


def fast_size(samples: int) -> int:
    """The smallest m 2^k of at least `samples` with m in 8, 9, 10, 12, 15: lengths that FFTs like."""
    shift = max(0, (samples - 1).bit_length() - 4)
    return min(size for m in (8, 9, 10, 12, 15, 16) if (size := m << shift) >= samples)


def convolve(audio: np.ndarray, response: np.ndarray) -> np.ndarray:
    """The first samples of the convolution, as many as the audio has, float64."""
    size = fast_size(len(audio) + len(response) - 1)
    return np.fft.irfft(np.fft.rfft(audio, size) * np.fft.rfft(response, size), size)[: len(audio)]


def changed(before: np.ndarray, after: np.ndarray) -> bool:
    """Is any sample, or the length, another one?"""
    return before.shape != after.shape or not np.array_equal(before, after)


def difference_db(before: np.ndarray, after: np.ndarray) -> float | None:
    """Energy of the difference over that of the signal, dB (0: as strong as the signal itself).

    None where that means nothing: another length, silence before, or no difference.
    """
    if before.shape != after.shape or not changed(before, after):
        return None
    signal = power(before)
    return (
        10 * float(np.log10(power(np.subtract(after, before, dtype=np.float64)) / signal)) if signal else None
    )
