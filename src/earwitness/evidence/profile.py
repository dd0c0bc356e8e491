"""A voice in numbers, to match a query recording with entries of the knowledge base by speaker and manner.

A profile is groups of measures side by side: pitch, formants, voice quality and rate, for which NumPy
suffices, and the embedding of a speaker model where the caller has one. Each measure is standardised by
genuine speech (`profile_scale.json`, which `benchmarks/profile_scale.py` writes): its mean there, and how
much it varies from clip to clip of one speaker. Groups of any size weigh alike, and the whole has unit
length, so that the dot product of two profiles is their cosine. All is measured beneath 3.6 kHz and
relative to the clip's own level: telephone lines and gain change little.

Sources: P. Boersma, "Accurate short-term analysis of the fundamental frequency and the harmonics-to-noise
ratio of a sampled sound", IFA Proceedings 17, 1993; J. Makhoul, "Spectral linear prediction", IEEE ASSP
23, 1975; D. Reby, K. McComb, Animal Behaviour 65, 2003 (length of the vocal tract); J. Hillenbrand,
R. Cleveland, R. Erickson, JSHR 37, 1994 (cepstral peak prominence); N. de Jong, T. Wempe, Behavior
Research Methods 41, 2009 (syllables as voiced peaks of level).
"""

import json
from collections.abc import Callable, Iterable
from functools import lru_cache
from pathlib import Path

import numpy as np

from earwitness.audio.io import SAMPLE_RATE

Profiler = Callable[[np.ndarray], np.ndarray | None]  # (samples,) -> profile, None where too little is voiced

HOP = 160  # samples, 10 ms
FRAME = 800  # samples, 50 ms: three periods of the lowest voice
TRANSFORM = 1_600  # a bin is 10 Hz
FLOOR_HZ, CEILING_HZ = 60.0, 500.0
FINE = 2  # steps of autocorrelation a sample: between wider ones peaks look lower, and octaves win
BAND_HZ = 3_600  # what telephones leave, and all that is looked at
LONGEST_S, LEAST_VOICED_S = 10.0, 1.0
SILENT = 1e-5  # peak amplitude; -100 dBFS
CANDIDATES = 4  # periods considered in a frame
OCTAVE_COST, JUMP_COST, VOICING_COST, VOICED, HUSH = 0.01, 0.35, 0.14, 0.45, 0.03  # Boersma's
ORDER = 8  # of prediction: four resonances
EDGE_HZ = 50.0  # a root nearer to the ends of the band is tilt, not a resonance
SOUND_CM_S = 35_000.0  # speed of sound in a warm vocal tract
MARKED_HZ = 1_000  # periods are marked beneath it, where peaks are not torn by noise
RANGE_DB = 50.0  # of a spectrum; beneath it codecs leave holes
EPSILON = 1e-12

MEASURES = {
    "pitch": "median spread low high slope movement voiced".split(),
    "formants": "f1 f2 f3 f4 f1_spread f2_spread f3_spread f4_spread tract".split(),
    "voice quality": "hnr hnr_spread jitter shimmer prominence tilt tilt_spread h1_h2".split(),
    "rate": "syllables articulation pauses voiced_run".split(),
}
PROFILE_SIZE = sum(map(len, MEASURES.values()))  # without a speaker embedding


def places() -> dict[str, slice]:
    """Where each group stands in a profile; the speaker embedding, of any size, comes last."""
    found, start = {}, 0
    for group, names in MEASURES.items():
        found[group] = slice(start, start + len(names))
        start += len(names)
    return found | {"speaker": slice(start, None)}


ATTRIBUTES: dict[str, slice] = places()


def profile(audio: np.ndarray, speaker: Profiler | None = None) -> np.ndarray | None:
    """A voice's profile, (PROFILE_SIZE,) float32 of unit length; None under a second of voiced speech.

    `audio` is (samples,) at 16 kHz; of more than ten seconds those with most sound are looked at.
    `speaker` maps the same audio to an embedding (size,) whose cosine compares speakers: it follows the
    measures, (PROFILE_SIZE + size,), and weighs as much as all of them; no profile without it.
    """
    measured = measure(audio)
    if measured is None:
        return None
    mean, deviation = scale()
    standard = np.clip((measured - mean) / deviation, -3, 3)  # one odd measure must not outweigh a group
    voice = weigh(np.nan_to_num(standard, nan=0.0))
    if speaker is None:
        return voice
    embedding = speaker(audio)
    return None if embedding is None else unit(np.concatenate([voice, unit(embedding)]))


def only(vector: np.ndarray, groups: Iterable[str]) -> np.ndarray:
    """A profile (size,) or profiles (n, size) with all but these groups of `ATTRIBUTES` switched off.

    What is switched off is zero, and the rest has unit length again.
    """
    kept = np.zeros_like(vector)
    for group in groups:
        kept[..., ATTRIBUTES[group]] = vector[..., ATTRIBUTES[group]]
    return unit(kept)


def without(vector: np.ndarray, group: str) -> np.ndarray:
    """A profile or profiles with one group switched off; see `only`."""
    return only(vector, ATTRIBUTES.keys() - {group})


def weigh(standard: np.ndarray) -> np.ndarray:
    """Standardised measures (PROFILE_SIZE,) -> unit length, groups of any size weighing alike."""
    weighed = np.zeros(PROFILE_SIZE)
    for group, names in MEASURES.items():
        weighed[ATTRIBUTES[group]] = standard[ATTRIBUTES[group]] / np.sqrt(len(names))
    return unit(weighed)


def unit(vector: np.ndarray) -> np.ndarray:
    """Rows to unit length, float32; zeros stay zeros."""
    length = np.linalg.norm(vector, axis=-1, keepdims=True)
    return (vector / np.maximum(length, EPSILON)).astype(np.float32)


@lru_cache(maxsize=1)
def scale() -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation of each measure in genuine speech, (PROFILE_SIZE,) each."""
    kept = json.loads(Path(__file__).with_name("profile_scale.json").read_text())
    names = [f"{group} {name}" for group, names in MEASURES.items() for name in names]
    return (
        np.array([kept[name]["mean"] for name in names]),
        np.array([kept[name]["deviation"] for name in names]),
    )


def measure(audio: np.ndarray) -> np.ndarray | None:
    """The measures as they are, (PROFILE_SIZE,) in the order of `MEASURES`; NaN where one has no value.

    None where less than a second is voiced. Frequencies are log2 of Hz, levels dB, jitter and shimmer
    natural logarithms.
    """
    wave = busiest(audio)
    if wave is None:
        return None
    wave = below(wave, BAND_HZ)
    frames = np.lib.stride_tricks.sliding_window_view(wave, FRAME)[::HOP]
    window = np.hanning(FRAME + 1)[:-1].astype(np.float32)
    frames = (frames - frames.mean(axis=1, keepdims=True)) * window
    power = np.abs(np.fft.rfft(frames, TRANSFORM)) ** 2
    peaks = np.abs(frames).max(axis=1)
    pitch, strength = follow_pitch(power, peaks, window)
    voiced = pitch > 0
    if voiced.sum() * HOP < LEAST_VOICED_S * SAMPLE_RATE:
        return None
    level = 10 * np.log10(power.sum(axis=1) + EPSILON)
    return np.concatenate(
        [
            pitch_measures(pitch, level),
            formant_measures(power[voiced]),
            quality_measures(wave, power[voiced], pitch, strength[voiced]),
            rate_measures(level, voiced),
        ]
    )


def busiest(audio: np.ndarray) -> np.ndarray | None:
    """The ten seconds with most sound, peak 1, no offset; None for silence and what is too short."""
    if len(audio) < LEAST_VOICED_S * SAMPLE_RATE or np.ptp(audio) < SILENT:
        return None
    longest = int(LONGEST_S * SAMPLE_RATE)
    if len(audio) > longest:
        blocks = audio[: len(audio) // HOP * HOP].reshape(-1, HOP)
        energy = blocks.var(axis=1)
        heard = np.append(0, np.cumsum(energy > np.percentile(energy, 95) * 1e-3))
        span = longest // HOP
        start = int(np.argmax(heard[span:] - heard[:-span])) * HOP
        audio = audio[start : start + longest]
    wave = audio.astype(np.float32) - np.float32(audio.mean())
    return wave / max(float(np.abs(wave).max()), SILENT)


def below(wave: np.ndarray, top_hz: float) -> np.ndarray:
    """What lies from half the lowest pitch to `top_hz`."""
    size = -(-len(wave) // 8_000) * 8_000  # lengths without large prime factors transform quickly
    spectrum = np.fft.rfft(wave, size)
    hertz = np.fft.rfftfreq(size, 1 / SAMPLE_RATE)
    spectrum[(hertz > top_hz) | (hertz < FLOOR_HZ / 2)] = 0
    return np.fft.irfft(spectrum, size)[: len(wave)].astype(np.float32)


def follow_pitch(power: np.ndarray, peaks: np.ndarray, window: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """F0 in Hz, 0 where unvoiced, and the autocorrelation there, (frames,) each.

    Boersma's algorithm: the autocorrelation over that of the window, its best peaks as candidates, the
    cheapest path through them.
    """
    rate = FINE * SAMPLE_RATE
    shape = np.fft.irfft(np.abs(np.fft.rfft(window, TRANSFORM)) ** 2, FINE * TRANSFORM)
    shortest, longest = int(rate / CEILING_HZ), int(rate / FLOOR_HZ) + 2
    raw = np.fft.irfft(power, FINE * TRANSFORM)[:, : longest + 1]
    raw /= raw[:, :1] + EPSILON
    raw *= shape[0] / shape[: longest + 1]
    left, middle, right = (raw[:, shortest - 1 + i : longest - 1 + i] for i in range(3))
    bend = left - 2 * middle + right
    offset = np.where(bend < 0, 0.5 * (left - right) / np.minimum(bend, -EPSILON), 0).clip(-0.5, 0.5)
    top = middle - 0.25 * (left - right) * offset
    lag = np.arange(shortest, longest) + offset
    good = (middle > left) & (middle >= right) & (top > 0.5 * VOICED)
    worth = np.where(good, top - OCTAVE_COST * np.log2(FLOOR_HZ * lag / rate), -np.inf)
    best = np.argpartition(-worth, CANDIDATES, axis=1)[:, :CANDIDATES]
    worth, lag, top = (np.take_along_axis(values, best, axis=1) for values in (worth, lag, top))
    loudness = peaks / max(float(np.percentile(peaks, 99)), EPSILON)
    unvoiced = VOICED + np.maximum(0, 2 - loudness / (HUSH / (1 + VOICED)))
    chosen = cheapest(np.column_stack([worth, unvoiced]), np.log2(rate / lag))
    pitch = np.column_stack([rate / lag, np.zeros(len(lag))])
    strength = np.column_stack([top, np.zeros(len(lag))])
    frame = np.arange(len(chosen))
    return pitch[frame, chosen], np.minimum(strength[frame, chosen], 1 - 1e-5)


def cheapest(worth: np.ndarray, octave: np.ndarray) -> np.ndarray:
    """The best path, (frames,) of columns of `worth` (frames, candidates + 1), the last being unvoiced.

    `octave` (frames, candidates): log2 of the candidates' frequencies; jumps between them cost.
    """
    states = worth.shape[1]
    cost = np.full((len(worth) - 1, states, states), VOICING_COST)
    cost[:, :-1, :-1] = JUMP_COST * np.abs(octave[:-1, :, None] - octave[1:, None, :])
    cost[:, -1, -1] = 0
    came = np.zeros((len(worth), states), int)
    total = worth[0]
    for i in range(1, len(worth)):
        ways = total[:, None] - cost[i - 1]
        came[i] = ways.argmax(axis=0)
        total = ways.max(axis=0) + worth[i]
    path = np.zeros(len(worth), int)
    path[-1] = total.argmax()
    for i in range(len(worth) - 1, 0, -1):
        path[i - 1] = came[i, path[i]]
    return path


def pitch_measures(pitch: np.ndarray, level: np.ndarray) -> np.ndarray:
    """Median, spread, 5 % and 95 % points (octaves), slope (octaves a second), movement, share voiced."""
    at = np.flatnonzero(pitch > 0)
    octave = np.log2(pitch[at])
    low, middle, high = np.percentile(octave, [5, 50, 95])
    seconds = at * HOP / SAMPLE_RATE
    slope = np.polyfit(seconds - seconds.mean(), octave, 1)[0]
    steps = np.abs(np.diff(octave))[np.diff(at) == 1]
    movement = np.log(np.median(steps) + 1e-4) if len(steps) else np.nan
    share = len(at) / max(int(sounding(level).sum()), 1)
    return np.array([middle, octave.std(), low, high, slope, movement, share])


def formant_measures(power: np.ndarray) -> np.ndarray:
    """Median log2 of F1 to F4, their spreads, and log2 of the vocal tract's length in cm."""
    found = np.log2(resonances(power[:: max(1, len(power) // 200)]))
    quarters = np.full((3, 4), np.nan)
    for i, values in enumerate(found.T):
        values = values[np.isfinite(values)]
        if len(values) >= 10:
            quarters[:, i] = np.percentile(values, [25, 50, 75])
    odd = np.array([0.5, 1.5, 2.5])  # a tube closed at one end: F1 to F3 in units of their spacing
    spacing = (odd @ 2 ** quarters[1, :3]) / (odd @ odd)
    tract = np.log2(SOUND_CM_S / 2 / spacing)
    return np.concatenate([quarters[1], quarters[2] - quarters[0], [tract]])


def resonances(power: np.ndarray) -> np.ndarray:
    """The resonances in Hz of power spectra (frames, bins), lowest first, (frames, 4); NaN where fewer."""
    bins = BAND_HZ * TRANSFORM // SAMPLE_RATE + 1
    hertz = np.arange(bins) * SAMPLE_RATE / TRANSFORM
    band = power[:, :bins].astype(np.float64) * (50.0**2 + hertz**2)  # pre-emphasis of 6 dB an octave
    correlation = np.fft.irfft(band)[:, : ORDER + 1]
    correlation[:, 0] = correlation[:, 0] * (1 + 1e-6) + EPSILON
    companion = np.zeros((len(power), ORDER, ORDER))
    companion[:, 0] = predict(correlation)
    companion[:, np.arange(1, ORDER), np.arange(ORDER - 1)] = 1
    frequency = np.angle(np.linalg.eigvals(companion)) * BAND_HZ / np.pi
    kept = (frequency > EDGE_HZ) & (frequency < BAND_HZ - EDGE_HZ)
    return np.sort(np.where(kept, frequency, np.nan), axis=1)[:, :4]


def predict(correlation: np.ndarray) -> np.ndarray:
    """Levinson and Durbin's recursion: (frames, order + 1) -> coefficients of the past, (frames, order)."""
    order = correlation.shape[1] - 1
    past = np.zeros((len(correlation), order))
    error = correlation[:, 0].copy()
    for i in range(order):
        gap = correlation[:, i + 1] - np.einsum("fo,fo->f", past[:, :i], correlation[:, i:0:-1])
        reflection = gap / error
        past[:, :i] -= reflection[:, None] * past[:, :i][:, ::-1]
        past[:, i] = reflection
        error *= 1 - reflection**2
    return past


def quality_measures(
    wave: np.ndarray, power: np.ndarray, pitch: np.ndarray, strength: np.ndarray
) -> np.ndarray:
    """HNR and its spread, jitter, shimmer, cepstral prominence, tilt and its spread, H1 - H2."""
    harmonicity = 10 * np.log10(strength / (1 - strength))
    low, middle, high = np.percentile(harmonicity, [25, 50, 75])
    decibels = 10 * np.log10(power + EPSILON)
    edge = 1_000 * TRANSFORM // SAMPLE_RATE
    last = BAND_HZ * TRANSFORM // SAMPLE_RATE
    tilt = 10 * np.log10(
        (power[:, :edge].sum(axis=1) + EPSILON) / (power[:, edge:last].sum(axis=1) + EPSILON)
    )
    first = np.rint(pitch[pitch > 0] * TRANSFORM / SAMPLE_RATE).astype(int)
    frame = np.arange(len(first))
    harmonics = np.median(decibels[frame, first] - decibels[frame, 2 * first])
    jitter, shimmer = perturbation(wave, pitch)
    return np.array(
        [
            middle,
            high - low,
            jitter,
            shimmer,
            prominence(decibels[:, : last + 1]),
            np.median(tilt),
            tilt.std(),
            harmonics,
        ]
    )


def prominence(decibels: np.ndarray) -> float:
    """Cepstral peak prominence of log spectra (frames, bins up to `BAND_HZ`), median, in dB."""
    decibels = np.maximum(decibels, decibels.max(axis=1, keepdims=True) - RANGE_DB)
    cepstrum = np.abs(np.fft.irfft(decibels - decibels.mean(axis=1, keepdims=True)))
    rate = 2 * BAND_HZ
    start, end = int(rate / CEILING_HZ), int(rate / FLOOR_HZ)
    heights = 20 * np.log10(cepstrum[:, start:end] + 1e-6)
    place = np.arange(start, end)
    slope, base = np.polyfit(place, heights.T, 1)
    peak = heights.argmax(axis=1)
    line = base + slope * place[peak]
    return float(np.median(heights[np.arange(len(peak)), peak] - line))


def perturbation(wave: np.ndarray, pitch: np.ndarray) -> tuple[float, float]:
    """Natural logarithms of local jitter and shimmer: how much neighbouring periods and peaks differ."""
    wave = below(wave, MARKED_HZ)
    wave = wave if (wave**3).sum() >= 0 else -wave  # peaks are sharper on the side of the glottal closures
    jitters, shimmers = [], []
    edges = np.flatnonzero(np.diff(np.concatenate([[False], pitch > 0, [False]]).astype(np.int8)))
    for start, end in edges.reshape(-1, 2):
        times, heights = cycles(wave, pitch, start, end)
        periods = np.diff(times)
        if len(periods) < 2:
            continue
        alike = np.abs(np.diff(np.log(periods))) < np.log(1.3)
        jitters.append(np.abs(np.diff(periods))[alike] / periods[1:][alike])
        ratio = np.abs(np.diff(np.log(np.maximum(heights, EPSILON))))
        shimmers.append(ratio[ratio < np.log(1.6)])
    found = [np.concatenate(values) if values else np.zeros(0) for values in (jitters, shimmers)]
    jitter, shimmer = (np.log(v.mean() + 1e-4) if len(v) else np.nan for v in found)
    return float(jitter), float(shimmer)


def cycles(wave: np.ndarray, pitch: np.ndarray, start: int, end: int) -> tuple[np.ndarray, np.ndarray]:
    """Times in samples and heights of the peaks, one a period, in voiced frames [start, end)."""
    offset = FRAME // 2
    last = end * HOP + offset - HOP
    period = SAMPLE_RATE / pitch[start]
    here = start * HOP + offset - int(period / 2)
    here += int(wave[here : here + int(period) + 1].argmax())
    times, heights = [], []
    while here < last:
        before, middle, after = (float(v) for v in wave[here - 1 : here + 2])
        bend = before - 2 * middle + after
        shift = 0.5 * (before - after) / bend if bend < 0 else 0.0
        times.append(here + min(max(shift, -0.5), 0.5))
        heights.append(middle - 0.25 * (before - after) * shift)
        period = SAMPLE_RATE / pitch[min(max((here - offset) // HOP, start), end - 1)]
        ahead = here + int(0.8 * period)
        here = ahead + int(wave[ahead : here + int(1.25 * period) + 1].argmax())
    return np.array(times), np.array(heights)


def sounding(level: np.ndarray) -> np.ndarray:
    """Frames within 25 dB of the loud ones."""
    return level > np.percentile(level, 95) - 25


def rate_measures(level: np.ndarray, voiced: np.ndarray) -> np.ndarray:
    """Syllables a second from first to last sound and of sounding time, share of pauses, voiced runs."""
    heard = np.flatnonzero(sounding(level))
    span = slice(heard[0], heard[-1] + 1)
    smooth = np.convolve(level, np.ones(5) / 5, "same")
    peaks = count_peaks(smooth[span], voiced[span])
    whole = (span.stop - span.start) * HOP / SAMPLE_RATE
    edges = np.flatnonzero(np.diff(np.concatenate([[False], voiced, [False]]).astype(np.int8)))
    runs = np.diff(edges.reshape(-1, 2), axis=1)
    sound = len(heard) * HOP / SAMPLE_RATE
    return np.array([peaks / whole, peaks / sound, 1 - sound / whole, np.log(np.median(runs))])


def count_peaks(level: np.ndarray, voiced: np.ndarray, dip_db: float = 2.0) -> int:
    """Voiced peaks of level that stand `dip_db` above the dips on both sides."""
    count, rising, extreme, place = 0, True, level[0], 0
    for i, value in enumerate(level):
        if (value >= extreme) == rising:
            extreme, place = value, i
        elif abs(value - extreme) > dip_db:
            count += rising and bool(voiced[place])
            rising, extreme, place = not rising, value, i
    return count + (rising and bool(voiced[place]))
