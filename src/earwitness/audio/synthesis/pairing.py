"""The treatment that a genuine clip and all fakes made of it share, so that only artefacts tell them apart.

Before: at most 15 s, rumble and offset filtered out, one level. After: in time with the genuine twin;
low-passed where the twin's band ends; silent where the twin is digitally silent; cut where the twin begins
and ends to speak; as loud as the twin; noise of -90 dBFS under both. The twin goes through all of it, too.
"""

from dataclasses import dataclass

import numpy as np

from earwitness.audio.augment.channel import high_pass
from earwitness.audio.augment.clips import fit, power
from earwitness.audio.augment.mixing import alignment_lag
from earwitness.audio.io import SAMPLE_RATE
from earwitness.audio.quality import bandwidth
from earwitness.audio.speech import CHUNK
from earwitness.audio.synthesis.spectra import local_level
from earwitness.errors import InputError

MAX_S = 15.0
RUMBLE_HZ = 40.0
LEVEL_DBFS = -28.0  # RMS
HIGHEST_PEAK = 0.5  # of a twin: fakes have room for higher ones
MOST_GAIN = 10 ** (40 / 20)
DITHER = 10 ** (-90 / 20)  # RMS
FULL_BAND_HZ = 7_600  # a twin that reaches as far is not low-passed
SPOKEN_DB = 40.0  # below the loudest 20 ms: where a clip begins and ends
MARGIN_S = 0.15
SILENT_S = 0.02  # the shortest run of one value that is digital silence
LATE = 40  # samples, 2.5 ms, that a fake may be off before it is moved
REACH = 1_600  # samples, 100 ms: the most that a fake is moved
ALIKE = 0.3  # correlation of band levels over time, under which a fake is no copy of its source


@dataclass(frozen=True)
class Twin:
    """A genuine clip on its way, and what its fakes follow."""

    audio: np.ndarray  # levelled, untrimmed (samples,): what fakes are made of
    start: int
    stop: int  # what is kept
    band_hz: float  # nothing above; infinite where the band is full
    sounding: np.ndarray  # 0 where it is digitally silent, 1 elsewhere, ramps between (samples,)


def prepare_twin(audio: np.ndarray, rng: np.random.Generator) -> Twin:
    """A clip cropped, filtered and levelled, and what is measured on it.

    Raises:
        InputError: `silence`: nothing is heard in it.
    """
    longest = int(MAX_S * SAMPLE_RATE)
    if len(audio) > longest:
        begin = int(rng.integers(0, len(audio) - longest + 1))
        audio = audio[begin : begin + longest]
    sounding = find_sound(audio)
    audio = high_pass(audio - audio.mean(), RUMBLE_HZ)
    level, peak = np.sqrt(power(audio)), float(np.abs(audio).max())
    gain = min(10 ** (LEVEL_DBFS / 20) / max(level, 1e-9), HIGHEST_PEAK / max(peak, 1e-9))
    if gain > MOST_GAIN:
        raise InputError(
            "silence", f"silent (RMS {20 * np.log10(max(level, 1e-9)):.0f} dBFS): nothing to copy"
        )
    audio = (gain * audio).astype(np.float32)
    start, stop = spoken_part(audio)
    band_hz = float(measure_band(audio[start:stop]))
    return Twin(audio, start, stop, band_hz if band_hz < FULL_BAND_HZ else np.inf, sounding)


def find_sound(audio: np.ndarray) -> np.ndarray:
    """0 inside of runs of one value, `SILENT_S` or longer; 1 elsewhere; ramps of 5 ms; float32 (samples,)."""
    still = np.concatenate([[False], np.diff(audio) == 0, [False]])
    edges = np.flatnonzero(np.diff(still.astype(np.int8)))
    out = np.ones(len(audio), np.float32)
    for start, stop in zip(edges[::2], edges[1::2], strict=True):
        if stop - start >= SILENT_S * SAMPLE_RATE:
            out[start : stop + 1] = 0
    ramp = np.hanning(163)[1:-1]
    return np.clip(np.convolve(np.pad(out, 80, mode="edge"), ramp / ramp.sum(), "valid"), 0, 1).astype(
        np.float32
    )


def spoken_part(audio: np.ndarray) -> tuple[int, int]:
    """First and last sample of what is loud, with a margin."""
    level = local_level(audio, 321)
    loud = np.flatnonzero(level > level.max() * 10 ** (-SPOKEN_DB / 20))
    margin = int(MARGIN_S * SAMPLE_RATE)
    return max(0, int(loud[0]) - margin), min(len(audio), int(loud[-1]) + 1 + margin)


def measure_band(audio: np.ndarray) -> int:
    """Highest frequency in Hz within 60 dB of the peak of the mean spectrum, as the gate measures it."""
    frames = fit(audio, -(-len(audio) // CHUNK) * CHUNK).reshape(-1, CHUNK)
    return bandwidth((np.abs(np.fft.rfft(frames * np.hanning(CHUNK))) ** 2).sum(0))


def finish(made: np.ndarray, twin: Twin, rng: np.random.Generator) -> np.ndarray:
    """A fake, or the twin's own audio, in time, band, silence, cut, level and noise; (samples,).

    Raises:
        InputError: `not-aligned`: it is not a copy of the twin; `bad-samples`: NaN or infinite.
    """
    if not np.isfinite(made).all():
        raise InputError("bad-samples", "the method made NaN or infinite samples")
    if made is not twin.audio:
        made = in_time(made, twin.audio)
    made = low_pass(high_pass(made, RUMBLE_HZ), twin.band_hz) * twin.sounding
    made = made[twin.start : twin.stop]
    wanted = power(low_pass(high_pass(twin.audio, RUMBLE_HZ), twin.band_hz)[twin.start : twin.stop])
    made = made * np.sqrt(wanted / max(power(made), 1e-20))
    made = made / max(1.0, float(np.abs(made).max()) / 0.99)
    return (made + DITHER * rng.standard_normal(len(made))).astype(np.float32)


def in_time(made: np.ndarray, audio: np.ndarray) -> np.ndarray:
    """As long as `audio`, moved where it runs early or late.

    Raises:
        InputError: `not-aligned`.
    """
    made = fit(made, len(audio))
    lag, alike = alignment_lag(audio, made, REACH)
    if alike < ALIKE:
        raise InputError(
            "not-aligned", f"what was made correlates {alike:.2f} with its source, expected {ALIKE}"
        )
    if abs(lag) <= LATE:
        return made
    return fit(made[lag:], len(audio)) if lag > 0 else fit(np.pad(made, (-lag, 0)), len(audio))


def low_pass(audio: np.ndarray, corner_hz: float) -> np.ndarray:
    """Without delay; falls over the 300 Hz below the corner, nothing is left above it."""
    if not np.isfinite(corner_hz):
        return audio
    hertz = np.fft.rfftfreq(len(audio), 1 / SAMPLE_RATE)
    keep = 0.5 + 0.5 * np.cos(np.pi * np.clip((hertz - corner_hz) / 300 + 1, 0, 1))
    return np.fft.irfft(np.fft.rfft(audio) * keep, len(audio)).astype(np.float32)
