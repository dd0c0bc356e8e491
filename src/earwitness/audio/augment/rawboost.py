"""RawBoost: convolutive, impulsive and stationary noise drawn from the signal itself, no data needed.

Source: H. Tak, M. Kamble, J. Patino, M. Todisco, N. Evans, "RawBoost: a raw data boosting and
augmentation method applied to automatic speaker verification anti-spoofing", ICASSP 2022
(arXiv 2111.04433), and the authors' published defaults, which AntiDeepfake also trains with
(algorithm 5, on every clip).

Kept as in the authors' code: the bias between linear and harmonic gains is subtracted once, for all
harmonics alike; convolved audio comes one sample early (half of length + 1 is cut, not half of
length - 1), which makes a mild low pass of algorithm 8; stationary noise may lift the peak above 1.
Changed: whole numbers are drawn as such; the stationary noise is scaled once, to its ratio, so
silence divides by nothing; at least one sample gets an impulse, however small the share drawn.
"""

from dataclasses import dataclass

import numpy as np

from earwitness.audio.augment.clips import TINY, contain, fast_size, power
from earwitness.audio.io import SAMPLE_RATE
from earwitness.errors import InputError

RESPONSE_POINTS = 512  # frequencies at which the peak of a filter is looked for
EDGE_HZ = 1e-3  # how near a band may come to 0 Hz and to half the sample rate


@dataclass(frozen=True)
class RawBoost:
    """Ranges to draw from, uniformly. Defaults: the authors' (their published code)."""

    bands: int = 5  # band-stop filters in a row, N_notch
    centre_hz: tuple[float, float] = (20.0, 8_000.0)
    width_hz: tuple[float, float] = (100.0, 1_000.0)
    taps: tuple[int, int] = (10, 100)  # of one band-stop filter, upper end excluded, then made odd
    gain_db: tuple[float, float] = (0.0, 0.0)  # of the linear part
    harmonic_bias_db: tuple[float, float] = (5.0, 20.0)  # what harmonics stand below it
    orders: int = 5  # N_f: powers 1 to 5 of the signal
    impulse_percent: float = 10.0  # P: most samples that may get an impulse
    impulse_gain: float = 2.0  # g_sd
    snr_db: tuple[float, float] = (
        10.0,
        40.0,
    )  # AntiDeepfake's settings lack the upper end; the authors' is 40


def band_stop(taps: int, low_hz: float, high_hz: float) -> np.ndarray:
    """A linear-phase band-stop filter (taps,): Hamming-windowed sinc, unit gain at 0 Hz; `taps` odd."""
    place = np.arange(taps) - (taps - 1) / 2
    low, high = 2 * low_hz / SAMPLE_RATE, 2 * high_hz / SAMPLE_RATE
    ideal = low * np.sinc(low * place) + np.sinc(place) - high * np.sinc(high * place)
    filter_ = ideal * np.hamming(taps)
    return filter_ / filter_.sum()


def draw_filter(
    rng: np.random.Generator, gain_db: tuple[float, float], options: RawBoost = RawBoost()
) -> np.ndarray:
    """Band-stop filters in a row with a peak gain within `gain_db`, (odd number of taps,)."""
    filter_ = np.ones(1)
    for _ in range(options.bands):
        centre, width = rng.uniform(*options.centre_hz), rng.uniform(*options.width_hz)
        taps = int(rng.uniform(*options.taps)) | 1
        low = max(centre - width / 2, EDGE_HZ)
        high = min(centre + width / 2, SAMPLE_RATE / 2 - EDGE_HZ)
        filter_ = np.convolve(band_stop(taps, low, high), filter_)
    gain = 10 ** (between(rng, gain_db) / 20)
    size = max(2 * RESPONSE_POINTS, len(filter_))
    return filter_ * gain / np.abs(np.fft.rfft(filter_, size)[:RESPONSE_POINTS]).max()


def between(rng: np.random.Generator, ends: tuple[float, float]) -> float:
    """Uniform between two numbers, whichever is larger."""
    return ends[0] + (ends[1] - ends[0]) * rng.random()


def filter_all(signals: list[np.ndarray], filters: list[np.ndarray]) -> np.ndarray:
    """The sum of each signal (samples,) through its filter, (samples,), delays taken out.

    Each filter of n taps is advanced by (n + 1) / 2 samples: one more than its delay, as in the
    authors' code.
    """
    samples = len(signals[0])
    size = fast_size(samples + max(len(taps) for taps in filters))
    spectrum = np.zeros(size // 2 + 1, dtype=np.complex128)
    for signal, taps in zip(signals, filters, strict=True):
        ahead = np.roll(np.pad(taps, (0, size - len(taps))), -((len(taps) + 1) // 2))
        spectrum += np.fft.rfft(signal, size) * np.fft.rfft(ahead)
    return np.fft.irfft(spectrum, size)[:samples]


def convolutive(audio: np.ndarray, rng: np.random.Generator, options: RawBoost = RawBoost()) -> np.ndarray:
    """Linear and non-linear convolutive noise: powers of the signal, each through a drawn filter.

    Stands for cables, loudspeakers and amplifiers that colour and distort.
    """
    powers = [audio.astype(np.float64)]
    gains = [options.gain_db]
    low, high = (g - b for g, b in zip(options.gain_db, options.harmonic_bias_db, strict=True))
    for _ in range(1, options.orders):
        powers.append(powers[-1] * powers[0])
        gains.append((low, high))
    mixed = filter_all(powers, [draw_filter(rng, gain, options) for gain in gains])
    return contain(mixed - mixed.mean())


def impulsive(audio: np.ndarray, rng: np.random.Generator, options: RawBoost = RawBoost()) -> np.ndarray:
    """Impulsive, signal-dependent noise: some samples gain or lose up to `impulse_gain` times themselves.

    Stands for clipping, quantisation, data that were lost or bent.
    """
    share = rng.uniform(0, options.impulse_percent) / 100
    chosen = rng.permutation(len(audio))[: max(1, int(len(audio) * share))]
    one, other = 2 * rng.random(len(chosen)) - 1, 2 * rng.random(len(chosen)) - 1
    noisy = audio.astype(np.float64)
    noisy[chosen] += options.impulse_gain * noisy[chosen] * one * other
    return contain(noisy)


def stationary(audio: np.ndarray, rng: np.random.Generator, options: RawBoost = RawBoost()) -> np.ndarray:
    """Stationary noise: white noise through a drawn filter, `snr_db` under the signal.

    Stands for thermal and quantisation noise, which does not depend on the signal.
    """
    white = rng.standard_normal(len(audio))
    noise = filter_all([white], [draw_filter(rng, options.gain_db, options)])
    snr_db = rng.uniform(*options.snr_db)
    scale = np.sqrt(power(audio) / max(power(noise), TINY)) / 10 ** (snr_db / 20)
    return (audio + noise * scale).astype(np.float32)


# algorithm -> the parts it runs, one after the other; 8 adds two of them up and stands below
SERIES = {
    0: (),
    1: (convolutive,),
    2: (impulsive,),
    3: (stationary,),
    4: (convolutive, impulsive, stationary),
    5: (convolutive, impulsive),
    6: (convolutive, stationary),
    7: (impulsive, stationary),
}
PARALLEL = 8


def rawboost(
    audio: np.ndarray, rng: np.random.Generator, algorithm: int = 5, options: RawBoost = RawBoost()
) -> np.ndarray:
    """One of RawBoost's algorithms on (samples,), float32 of the same length.

    0: none. 1: convolutive. 2: impulsive. 3: stationary. In a row, 4: 1, 2, 3; 5: 1, 2; 6: 1, 3;
    7: 2, 3. 8: 1 and 2 beside each other, added, divided by their peak where it is above 1.

    Raises:
        InputError: `usage`: there is no such algorithm.
    """
    if algorithm == PARALLEL:
        return contain(convolutive(audio, rng, options) + impulsive(audio, rng, options))
    if algorithm not in SERIES:
        raise InputError("usage", f"RawBoost has the algorithms 0 to 8, found {algorithm!r}")
    for part in SERIES[algorithm]:
        audio = part(audio, rng, options)
    return audio
