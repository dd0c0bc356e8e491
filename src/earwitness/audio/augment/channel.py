"""What lines and recorders do: bands, levels, clipping, lost packets, speed."""

import numpy as np
import soxr

from earwitness.audio.augment.clips import fit
from earwitness.audio.io import SAMPLE_RATE
from earwitness.errors import InputError

RATES_HZ = (6_800, 8_000, 10_000, 11_025, 12_000, 14_000)
PACKET = 320  # samples, 20 ms: what one packet of speech usually holds


def change_level(audio: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Gain to a peak between -36 and +4 dBFS, clipped and rounded to 16 bits."""
    peak_dbfs = rng.uniform(-36.0, 4.0)
    gain = 10 ** (peak_dbfs / 20) / max(float(np.abs(audio).max()), 1e-6)
    return (np.round(np.clip(audio * gain, -1, 1) * 32_767) / 32_767).astype(np.float32)


def limit_band(audio: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A lower sample rate and back, a high-pass, or both."""
    kind = rng.integers(3)
    if kind != 1:
        audio = lower_rate(audio, int(rng.choice(RATES_HZ)))
    if kind != 0:
        audio = high_pass(audio, rng.uniform(60, 300))
    return audio


def lower_rate(audio: np.ndarray, rate_hz: int) -> np.ndarray:
    """Through a lower sample rate and back: nothing is left above half of it."""
    low = soxr.resample(audio, SAMPLE_RATE, rate_hz)
    return fit(soxr.resample(low, rate_hz, SAMPLE_RATE), len(audio))


def high_pass(audio: np.ndarray, corner_hz: float) -> np.ndarray:
    """Without delay; half the amplitude is left at the corner, a fifth an octave lower."""
    hertz = np.fft.rfftfreq(len(audio), 1 / SAMPLE_RATE)
    spectrum = np.fft.rfft(audio) * (hertz**2 / (hertz**2 + corner_hz**2))
    return np.fft.irfft(spectrum, len(audio)).astype(np.float32)


def clip(audio: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Cut off 3 to 20 dB below the peak, which overdriven inputs do; the level stays."""
    ceiling = float(np.abs(audio).max()) * 10 ** (-rng.uniform(3, 20) / 20)
    return np.clip(audio, -ceiling, ceiling).astype(np.float32)


def gilbert(packets: int, rate: float, burst: float, rng: np.random.Generator) -> np.ndarray:
    """Which packets a line loses, bool (packets,): `rate` of them, `burst` in a row on average.

    Two states that pass into each other with fixed chances (E. N. Gilbert, "Capacity of a burst-noise
    channel", Bell System Technical Journal 39, 1960), all packets lost in the bad one: runs of either
    kind have geometric lengths, bad ones 1 / burst, good ones rate / (burst (1 - rate)).

    Raises:
        InputError: `usage`: no such line (`rate` in (0, 1), `burst` at least 1 and rate / (1 - rate)).
    """
    if not (0 < rate < 1 and burst >= max(1.0, rate / (1 - rate))):
        raise InputError("usage", f"no line loses {rate:g} of its packets in bursts of {burst:g} on average")
    leave = {True: 1 / burst, False: rate / (burst * (1 - rate))}
    lost, at, bad = np.zeros(packets, dtype=bool), 0, bool(rng.random() < rate)
    while at < packets:
        run = int(rng.geometric(leave[bad]))
        lost[at : at + run] = bad
        at, bad = at + run, not bad
    return lost


def lose_packets(
    audio: np.ndarray,
    rng: np.random.Generator,
    rate: tuple[float, float] = (0.01, 0.2),
    burst: tuple[float, float] = (1.0, 4.0),
    conceal: str | None = None,
) -> np.ndarray:
    """Packets of 20 ms lost after Gilbert's model, at least one; `conceal` is drawn where not given.

    `zero`: silence in their place. `repeat`: the last one that came, at half the amplitude for each
    further one lost in a row (ITU-T G.711 appendix I fades alike, if more smoothly).

    Raises:
        InputError: `usage`: another way to conceal.
    """
    conceal = conceal or str(rng.choice(["zero", "repeat"]))
    if conceal not in ("zero", "repeat"):
        raise InputError("usage", f"lost packets are concealed by zero or repeat, found {conceal!r}")
    packets = -(-len(audio) // PACKET)
    lost = gilbert(packets, rng.uniform(*rate), rng.uniform(*burst), rng)
    if not lost.any():
        lost[rng.integers(packets)] = True
    blocks = fit(audio, packets * PACKET).reshape(packets, PACKET)
    for i in np.flatnonzero(lost):
        fade = 0.5 if i and lost[i - 1] else 1.0
        blocks[i] = fade * blocks[i - 1] if i and conceal == "repeat" else 0.0
    return blocks.ravel()[: len(audio)]


def change_speed(
    audio: np.ndarray, rng: np.random.Generator, factors: tuple[float, float] = (0.9, 1.1)
) -> tuple[np.ndarray, float]:
    """Played faster or slower, pitch and all: (about samples / factor,) and the factor.

    A label at t seconds moves to t / factor.

    Raises:
        InputError: `too-short`: no sample would be left.
    """
    factor = float(rng.uniform(*factors))
    faster = soxr.resample(audio, SAMPLE_RATE * factor, SAMPLE_RATE)
    if not len(faster):
        raise InputError("too-short", f"a clip of {len(audio)} samples is too short to be played faster")
    return faster, factor
