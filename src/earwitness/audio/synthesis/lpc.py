"""Linear prediction: an all-pole filter for the vocal tract, and something simpler for what excites it.

`vocoder`: pulses and noise (as LPC-10 does); `mixed`: pulses below a frequency, noise above it;
`regenerate`: the low band of the true residual, its highs made by rectifying (residual-excited, RELP);
`sparse`: only the largest pulses of the true residual stay (multi-pulse). Autocorrelation method, after
J. Makhoul, "Linear prediction: a tutorial review", Proc. IEEE 63 (4), 1975.
"""

from dataclasses import dataclass

import numpy as np

from earwitness.audio.augment.clips import fit
from earwitness.audio.io import SAMPLE_RATE
from earwitness.audio.synthesis.pitch import by_sample, pulses, track_pitch
from earwitness.audio.synthesis.spectra import TINY, frames_of, hann, local_level, smooth
from earwitness.errors import needs_extra

WINDOW = 480  # samples, 30 ms
PITCH_HOP = 80
AROUND = 241  # samples, 15 ms: over which excitations are matched
LOUD = 961  # samples, 60 ms: over which clips are


@dataclass(frozen=True)
class Lpc:
    """One setting."""

    order: int
    hop: int  # samples that a filter holds for
    excitation: str  # vocoder, mixed, regenerate or sparse
    corner_hz: float  # mixed: voiced below; regenerate: true below
    kept: int  # sparse: pulses of each 5 ms


def draw_lpc(rng: np.random.Generator) -> Lpc:
    """Settings."""
    return Lpc(
        order=int(rng.integers(12, 25)),
        hop=int(rng.choice([80, 160, 240])),
        excitation=str(rng.choice(["vocoder", "mixed", "regenerate", "sparse"])),
        corner_hz=float(rng.uniform(600, 3_000)),
        kept=int(rng.integers(3, 10)),
    )


def lpc(audio: np.ndarray, how: Lpc, rng: np.random.Generator) -> np.ndarray:
    """The clip, (samples,), of its filters and a simpler excitation as loud as the true one.

    Raises:
        MissingExtra: scipy is not installed.
    """
    wave = audio.astype(np.float64)
    filters = predict(wave, how.order, how.hop)
    true = residual(wave, filters, how.hop)
    made = excite(wave, true, how, rng)
    made *= local_level(true, AROUND) / local_level(made, AROUND)
    made = synthesise(made, filters, how.hop)
    return fit(made * local_level(wave, LOUD) / local_level(made, LOUD), len(audio))


def predict(wave: np.ndarray, order: int, hop: int) -> np.ndarray:
    """Prediction-error filters of frames centred on multiples of `hop`, (frames + 1, order + 1), the first 1.

    Levinson's recursion on all frames at once; white noise 60 dB down keeps it stable. The last filter
    stands twice: half a hop may be left behind its frame.
    """
    frames = frames_of(wave, WINDOW, hop) * hann(WINDOW)
    r = np.fft.irfft(np.abs(np.fft.rfft(frames, 2 * WINDOW)) ** 2)[:, : order + 1]
    error = r[:, 0] * (1 + 1e-6) + TINY
    a = np.zeros((len(frames), order + 1))
    a[:, 0] = 1
    for i in range(1, order + 1):
        k = -(a[:, :i] * r[:, i:0:-1]).sum(1) / error
        a[:, 1 : i + 1] += k[:, None] * a[:, i - 1 :: -1][:, :i]
        error *= 1 - k**2
    return np.vstack([a, a[-1:]])


def residual(wave: np.ndarray, filters: np.ndarray, hop: int) -> np.ndarray:
    """What prediction misses, (samples,); frame t holds from `t * hop - hop / 2` on."""
    order, count = filters.shape[1] - 1, len(filters)
    padded = np.pad(wave, (order + hop // 2, 2 * hop))
    past = np.lib.stride_tricks.sliding_window_view(padded, order + 1)[: count * hop]
    blocks = past.reshape(count, hop, order + 1)
    return np.einsum("tno,to->tn", blocks, filters[:, ::-1]).ravel()[hop // 2 :][: len(wave)]


def synthesise(excitation: np.ndarray, filters: np.ndarray, hop: int) -> np.ndarray:
    """The inverse of `residual`, (samples,).

    Raises:
        MissingExtra: scipy is not installed.
    """
    with needs_extra("synthesis"):
        from scipy.signal import lfilter
    order, count = filters.shape[1] - 1, len(filters)
    padded = np.pad(excitation, (hop // 2, 2 * hop))[: count * hop].reshape(count, hop)
    index = np.arange(order)[:, None] + np.arange(order) + 1
    carry = -np.pad(filters, ((0, 0), (0, order)))[:, index]  # (frames, order, order): outputs to states
    out = np.zeros((count, hop))
    past = np.zeros(order)  # last outputs, the latest first
    for t in range(count):
        out[t] = lfilter([1.0], filters[t], padded[t], zi=carry[t] @ past)[0]
        past = out[t, : -order - 1 : -1]
    return out.ravel()[hop // 2 :][: len(excitation)]


def excite(wave: np.ndarray, true: np.ndarray, how: Lpc, rng: np.random.Generator) -> np.ndarray:
    """An excitation, (samples,); its level is not matched yet."""
    if how.excitation == "sparse":
        return keep_largest(true, how.kept)
    noise = rng.standard_normal(len(wave))
    if how.excitation == "regenerate":
        low = split(true, how.corner_hz)[0]
        bright = np.abs(low) - smooth(np.abs(low), AROUND)
        return low + split(bright / local_level(bright, AROUND) * local_level(true, AROUND), how.corner_hz)[1]
    pitch, voiced = by_sample(track_pitch(wave, PITCH_HOP), PITCH_HOP, len(wave))
    train = pulses(pitch)
    if how.excitation == "mixed":
        train = split(train, how.corner_hz)[0] + split(noise, how.corner_hz)[1]
    return np.where(voiced > 0.5, train, noise)


def split(wave: np.ndarray, corner_hz: float) -> tuple[np.ndarray, np.ndarray]:
    """What lies below and above a frequency; together they are the wave."""
    hertz = np.fft.rfftfreq(len(wave), 1 / SAMPLE_RATE)
    low = np.fft.irfft(np.fft.rfft(wave) / (1 + (hertz / corner_hz) ** 16), len(wave))
    return low, wave - low


def keep_largest(true: np.ndarray, kept: int) -> np.ndarray:
    """Of each 80 samples the `kept` largest; the others are zero."""
    blocks = np.pad(true, (0, -len(true) % 80)).reshape(-1, 80)
    order = np.argsort(np.abs(blocks), axis=1)
    out = blocks.copy()
    np.put_along_axis(out, order[:, :-kept], 0.0, axis=1)
    return out.ravel()[: len(true)]
