"""Short-time spectra, mel filters and local levels, which the methods share.

Frame t is centred on sample `t * hop`, and phases are those at its centre; audio is zero outside of the
clip. The window is a periodic Hann window, for analysis and synthesis alike, so `hop` divides a quarter of
`size`.
"""

from functools import lru_cache

import numpy as np

from earwitness.audio.io import SAMPLE_RATE

TINY = 1e-12


@lru_cache(maxsize=16)
def hann(size: int) -> np.ndarray:
    """Periodic Hann window, float32 (size,)."""
    return np.hanning(size + 1)[:-1].astype(np.float32)


@lru_cache(maxsize=16)
def to_centre(size: int) -> np.ndarray:
    """Factors, (size // 2 + 1,), that move the phases of a transform from a frame's begin to its centre."""
    return np.where(np.arange(size // 2 + 1) % 2, -1, 1).astype(np.float32)


def frames_of(audio: np.ndarray, size: int, hop: int) -> np.ndarray:
    """Frames without a window, (1 + samples // hop, size); a view that is not to be written to."""
    count = 1 + len(audio) // hop
    padded = np.pad(audio, (size // 2, size))
    return np.lib.stride_tricks.sliding_window_view(padded, size)[::hop][:count]


def stft(audio: np.ndarray, size: int, hop: int) -> np.ndarray:
    """Short-time spectra, (1 + samples // hop, size // 2 + 1), complex."""
    return np.fft.rfft(frames_of(audio, size, hop) * hann(size)) * to_centre(size)


def istft(spectra: np.ndarray, size: int, hop: int, samples: int) -> np.ndarray:
    """The audio, (samples,), whose short-time spectra are nearest to these in the least-squares sense.

    D. W. Griffin and J. S. Lim, "Signal estimation from modified short-time Fourier transform",
    IEEE Trans. ASSP 32 (2), 1984, eq. 6.
    """
    frames = np.fft.irfft(spectra * to_centre(size), size) * hann(size)
    weight = np.broadcast_to(np.square(hann(size)), frames.shape)
    summed = overlap_add(frames, hop) / np.maximum(overlap_add(weight, hop), 1e-3)
    out = np.zeros(samples, np.float32)
    held = summed[size // 2 :][:samples]
    out[: len(held)] = held
    return out


def overlap_add(frames: np.ndarray, hop: int) -> np.ndarray:
    """Frames (count, size) added up, each `hop` samples, a divisor of size, behind the one before."""
    count, size = frames.shape
    steps = size // hop
    out = np.zeros((count + steps - 1, hop), frames.dtype)
    for i in range(steps):
        out[i : i + count] += frames[:, i * hop : (i + 1) * hop]
    return out.ravel()


def to_mel(hertz: np.ndarray, scale: str) -> np.ndarray:
    """Mel of frequencies: `htk`, 2595 log10(1 + f / 700), or `slaney`, linear to 1 kHz, logarithmic above."""
    if scale == "htk":
        return 2595 * np.log10(1 + hertz / 700)
    above = 15 + 27 * np.log(np.maximum(hertz, 1e3) / 1e3) / np.log(6.4)
    return np.where(hertz < 1e3, hertz * 3 / 200, above)


def from_mel(mel: np.ndarray, scale: str) -> np.ndarray:
    """Frequencies of mels, the inverse of `to_mel`."""
    if scale == "htk":
        return 700 * (10 ** (mel / 2595) - 1)
    return np.where(mel < 15, mel * 200 / 3, 1e3 * np.exp((mel - 15) * np.log(6.4) / 27))


@lru_cache(maxsize=64)
def mel_filters(
    size: int,
    bands: int,
    low_hz: float = 0.0,
    high_hz: float = SAMPLE_RATE / 2,
    sample_rate: int = SAMPLE_RATE,
    scale: str = "slaney",
    unit_area: bool = True,
) -> np.ndarray:
    """Triangular filters, (size // 2 + 1, bands), float32.

    With `unit_area` each is scaled to an area of 1 over frequency (Slaney's Auditory Toolbox); else its
    peak is 1 (HTK).
    """
    ends = to_mel(np.array([low_hz, high_hz]), scale)
    corners = from_mel(np.linspace(ends[0], ends[1], bands + 2), scale)
    hertz = np.linspace(0, sample_rate / 2, size // 2 + 1)[:, None]
    rise = (hertz - corners[:-2]) / np.diff(corners)[:-1]
    fall = (corners[2:] - hertz) / np.diff(corners)[1:]
    filters = np.maximum(0, np.minimum(rise, fall))
    if unit_area:
        filters *= 2 / (corners[2:] - corners[:-2])
    return filters.astype(np.float32)


def band_gains(gains_db: np.ndarray, size: int) -> np.ndarray:
    """Gains of mel bands in dB, (frames, bands), as factors of the bins, (frames, size // 2 + 1)."""
    bands = gains_db.shape[1]
    centres = from_mel(np.linspace(0, float(to_mel(np.array(8e3), "slaney")), bands + 2), "slaney")[1:-1]
    hertz = np.linspace(0, SAMPLE_RATE / 2, size // 2 + 1)
    place = np.interp(hertz, centres, np.arange(bands))
    low = np.minimum(place.astype(int), bands - 2)
    part = (place - low).astype(np.float32)
    decibels = gains_db[:, low] * (1 - part) + gains_db[:, low + 1] * part
    return 10 ** (decibels / 20)


def reshape_spectra(spectra: np.ndarray, change_db: np.ndarray) -> np.ndarray:
    """Spectra (frames, bins) with the levels of mel bands changed, (frames, bands) in dB within 24.

    Each frame keeps its energy: shapes change, loudness over time does not.
    """
    size = 2 * (spectra.shape[1] - 1)
    made = spectra * band_gains(np.clip(change_db, -24, 24), size)
    before, after = (np.square(np.abs(part)).sum(1, keepdims=True) for part in (spectra, made))
    return (made * np.sqrt(before / np.maximum(after, TINY))).astype(spectra.dtype)


def log_mel(magnitudes: np.ndarray, size: int, bands: int) -> np.ndarray:
    """Levels of mel bands in dB, (frames, bands), not under 80 dB below the loudest."""
    mel = magnitudes @ mel_filters(size, bands)
    return 20 * np.log10(np.maximum(mel, max(float(mel.max()) * 1e-4, TINY)))


def smooth(values: np.ndarray, width: int) -> np.ndarray:
    """Moving average over `width` (odd) along the first axis; the ends count as if they went on."""
    if width < 2:
        return values
    half = width // 2
    padded = np.pad(values, [(half + 1, half)] + [(0, 0)] * (values.ndim - 1), mode="edge")
    total = np.cumsum(padded, axis=0, dtype=np.float64)
    return ((total[2 * half + 1 :] - total[: -2 * half - 1]) / (2 * half + 1)).astype(values.dtype)


def local_level(audio: np.ndarray, width: int) -> np.ndarray:
    """RMS of the `width` samples around each sample, (samples,)."""
    return np.sqrt(np.maximum(smooth(np.square(audio, dtype=np.float64), width), TINY))
