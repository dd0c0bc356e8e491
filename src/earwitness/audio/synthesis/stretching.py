"""Speed changed and changed back, and pitch shifted, by a phase vocoder or by overlapping waveforms.

Phase vocoder: J. Laroche and M. Dolson, IEEE Trans. SAP 7 (3), 1999, phases followed bin by bin. WSOLA:
W. Verhelst and M. Roelands, ICASSP 1993. Played at another rate, what was stretched has another pitch in
the old time. Both come back as long as the clip and in time with it.
"""

from dataclasses import dataclass

import numpy as np

from earwitness.audio.augment.clips import fit
from earwitness.audio.io import SAMPLE_RATE
from earwitness.audio.synthesis.spectra import TINY, hann, istft, stft

REACH = 100  # samples, 6 ms: how far WSOLA looks either way; together a period of 80 Hz


@dataclass(frozen=True)
class Stretching:
    """One setting."""

    way: str  # phases or waves
    factor: float  # of the duration
    size: int  # of a frame


def draw_stretch(rng: np.random.Generator) -> Stretching:
    """Settings of a stretch that is undone: 8 to 30 % longer or shorter."""
    return draw(rng, np.log(1.08), np.log(1.3))


def draw_pitch_shift(rng: np.random.Generator) -> Stretching:
    """Settings of a shift by 1 to 5 semitones."""
    return draw(rng, np.log(2) / 12, 5 * np.log(2) / 12)


def draw(rng: np.random.Generator, least: float, most: float) -> Stretching:
    """Settings; `least` and `most` are logarithms of the factor, or of its inverse."""
    way = str(rng.choice(["phases", "waves"]))
    return Stretching(
        way=way,
        factor=float(np.exp(rng.choice([-1, 1]) * rng.uniform(least, most))),
        size=int(rng.choice([512, 1024] if way == "phases" else [320, 480, 640])),
    )


def stretch_and_back(audio: np.ndarray, how: Stretching, rng: np.random.Generator) -> np.ndarray:
    """The clip, (samples,), played slower or faster and back in its own time, at its own pitch."""
    other = stretch(audio, how.factor, how)
    return fit(stretch(other, len(audio) / len(other), how), len(audio))


def shift_pitch(audio: np.ndarray, how: Stretching, rng: np.random.Generator) -> np.ndarray:
    """The clip, (samples,), `factor` times as high, formants and all."""
    import soxr

    longer = stretch(audio, how.factor, how)
    return fit(soxr.resample(longer, SAMPLE_RATE * how.factor, SAMPLE_RATE), len(audio))


def stretch(audio: np.ndarray, factor: float, how: Stretching) -> np.ndarray:
    """About samples * factor samples of the same pitch."""
    if how.way == "phases":
        return stretch_phases(audio, factor, how.size)
    return stretch_waves(audio, factor, how.size)


def stretch_phases(audio: np.ndarray, factor: float, size: int) -> np.ndarray:
    """By a phase vocoder: magnitudes between frames, phases that turn on as they do in the clip."""
    hop, samples = size // 4, round(len(audio) * factor)
    spectra = stft(audio, size, hop)
    place = np.minimum(np.arange(1 + samples // hop) / factor, len(spectra) - 1.001)
    low = place.astype(int)
    part = (place - low)[:, None].astype(np.float32)
    magnitudes = np.abs(spectra)
    phases = np.angle(spectra)
    expected = 2 * np.pi * hop * np.arange(size // 2 + 1) / size
    turns = np.diff(phases, axis=0) - expected
    turns = turns - 2 * np.pi * np.round(turns / (2 * np.pi)) + expected
    turned = np.concatenate([phases[low[:1]], turns[low[:-1]]])
    made = magnitudes[low] * (1 - part) + magnitudes[low + 1] * part
    return istft(made * np.exp(1j * np.cumsum(turned, axis=0)), size, hop, samples)


def stretch_waves(audio: np.ndarray, factor: float, size: int) -> np.ndarray:
    """By WSOLA: frames half over each other, each taken where it best goes on from the one before."""
    hop, samples = size // 2, round(len(audio) * factor)
    count = 2 + samples // hop
    wave = np.pad(audio, (hop + REACH, 2 * size + REACH))
    out = np.zeros((count + 1) * hop, np.float32)
    window = hann(size)
    follow = None  # what would come next
    for t in range(count):
        wanted = min(round(t * hop / factor), len(audio))  # frames are centred on `t * hop`
        area = wave[wanted : wanted + size + 2 * REACH]
        begin = wanted + (REACH if follow is None else best_place(area, follow))
        out[t * hop : t * hop + size] += window * wave[begin : begin + size]
        follow = wave[begin + hop : begin + hop + size]
    return fit(out[hop:], samples)


def best_place(area: np.ndarray, follow: np.ndarray) -> int:
    """Where in `area` it is most like `follow`; of places much alike the one in the middle."""
    alike = np.correlate(area, follow, mode="valid")
    total = np.cumsum(np.concatenate([[0.0], np.square(area, dtype=np.float64)]))
    energy = total[len(follow) :] - total[: -len(follow)]
    alike = alike / np.sqrt(np.maximum(energy, TINY) * max(float(np.dot(follow, follow)), TINY))
    return int(np.argmax(alike - 0.2 * np.abs(np.arange(len(alike)) / REACH - 1)))
