"""Splices: stretches of one recording in the place of stretches of another, exact to the sample.

Cut and paste as in Mix-Frame Post-Training (Pan, Sailor and Wu, arXiv 2606.25328): one segment of 10
to 30 % of the clip, from anywhere in the injector to anywhere in the base, hard cuts, levels as they
are. The other options of `Splicing` take away what a hard cut gives away. Labels of frames are
`FrameGrid.labels` of the spans that come back.

Two versions of one utterance that run in time (a recording and what a vocoder made of it) can be
spliced at the same place, so that the words go on through the cut; `check_aligned` tells which do.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from earwitness.audio.augment import codecs
from earwitness.audio.augment.clips import fast_size, power, ready
from earwitness.audio.io import SAMPLE_RATE
from earwitness.errors import InputError

MAX_SEGMENTS = 100
MAX_FADE_S = 1.0
MAX_GAIN = 4.0  # 12 dB up or down: silence is not made as loud as the speech it replaces

HOP = 80  # samples between the spectra that are compared: 5 ms
WINDOW, FFT_SIZE = 400, 512
BAND_EDGES = np.round(np.geomspace(100, 7_000, 17) / SAMPLE_RATE * FFT_SIZE).astype(int)  # 16 bands
FLOOR_DB = 60  # below the loudest: quieter is silence
BLOCK = 4_096  # spectra at a time, so that memory stays small
FINE = 32  # samples (2 ms) by which the lag of the spectra may be off
IN_PHASE = 0.5  # correlation from which waveforms are one signal
MAX_LAG = SAMPLE_RATE  # samples; recordings on a page are trimmed by up to a second
# Measured on the 602 pairs of genuine and fake clips of one `utt_key` in `demos`. Each of the 253 that
# correlate 0.92 or more (241 vocoded, coded or converted) has seven of eight of its half-second stretches
# within 10 ms of the lag; from 0.88 to 0.9, where TTS in its own time begins, some have three of seven.
# Two different utterances reach 0.65 at most (1,717 draws).
ALIGNED = 0.92

Span = tuple[int, int]  # [start, stop) in samples


@dataclass(frozen=True)
class Splicing:
    """How splices are made; the defaults are those of the paper."""

    share: tuple[float, float] = (0.1, 0.3)  # of the base that is foreign, all segments together
    segments: tuple[int, int] = (1, 1)  # fewest and most, both included
    fade_s: float = 0.0  # length of the cross-fade at each cut
    match_level: bool = False  # each segment gets the RMS of what it replaces, within 12 dB
    codec: float = 0.0  # probability that the result goes through a lossy codec


def check_splicing(splicing: Splicing) -> None:
    """Refuse what cannot be done.

    Raises:
        InputError: `usage`, naming the option.
    """
    low, high = splicing.share
    if not 0 < low <= high < 1:
        raise InputError("usage", f"share {low} to {high}: expected two shares between 0 and 1, low to high")
    few, many = splicing.segments
    if not 1 <= few <= many <= MAX_SEGMENTS:
        raise InputError("usage", f"segments {few} to {many}: expected 1 to {MAX_SEGMENTS}, low to high")
    if not 0 <= splicing.fade_s <= MAX_FADE_S:
        raise InputError("usage", f"fade_s {splicing.fade_s}: expected 0 to {MAX_FADE_S:g} seconds")
    if not 0 <= splicing.codec <= 1:
        raise InputError("usage", f"codec {splicing.codec}: expected a probability, 0 to 1")


def splice(
    base: np.ndarray, injector: np.ndarray, rng: np.random.Generator, splicing: Splicing = Splicing()
) -> tuple[np.ndarray, list[Span]]:
    """The base with segments of the injector in it, (samples,) float32, and where they are.

    Lengths and places are those of `draw_spans`; where in the injector a segment begins is uniform and
    independent. An injector shorter than the base is repeated first, to the base's length. With no
    options the result is cut and paste, bit for bit.

    With a cross-fade the injector's weight rises as sin² through a fade whose middle is the cut, so a
    span holds just those samples whose larger part is foreign, and all beyond the fades is base or
    injector as it was. A fade is shortened where base, segment or injector has not enough on one side of
    the cut; where a segment begins or ends with the clip there is no cut.

    Returns:
        The audio, as long as the base, and the foreign spans [start, stop) in samples: sorted, never
        touching; none where the clip is too short to hold a segment.

    Raises:
        InputError: `usage` (an option), `no-samples`, `bad-samples`; what the codec raises.
        MissingExtra: a codec needs a package that is absent.
    """
    check_splicing(splicing)
    base, injector = ready(base), ready(injector)
    if len(injector) < len(base):
        injector = np.resize(injector, len(base))
    spans = draw_spans(len(base), rng, splicing)
    starts = [int(rng.integers(0, len(injector) - (stop - start) + 1)) for start, stop in spans]
    return through_codec(paste(base, injector, spans, starts, splicing), rng, splicing), spans


def splice_aligned(
    base: np.ndarray,
    other: np.ndarray,
    rng: np.random.Generator,
    splicing: Splicing = Splicing(),
    lag: int = 0,
) -> tuple[np.ndarray, list[Span]]:
    """As `splice`, with each segment from the same place of the other version: other[n + lag] at base[n].

    `check_aligned` gives the lag. Segments keep to what both have, and shares are of that.

    Raises:
        InputError: as `splice`.
        MissingExtra: as `splice`.
    """
    check_splicing(splicing)
    base, other = ready(base), ready(other)
    first = max(0, -lag)
    shared = max(0, min(len(base), len(other) - lag) - first)
    spans = [(start + first, stop + first) for start, stop in draw_spans(shared, rng, splicing)]
    starts = [start + lag for start, _ in spans]
    return through_codec(paste(base, other, spans, starts, splicing), rng, splicing), spans


def check_aligned(base: np.ndarray, other: np.ndarray) -> int:
    """The lag in samples of two versions of one utterance, if they run in time.

    Raises:
        InputError: `not-aligned`: they correlate less than `ALIGNED`; as `splice` for the audio.
    """
    lag, peak = alignment_lag(base, other)
    if peak < ALIGNED:
        raise InputError(
            "not-aligned",
            f"correlates {peak:.2f} with its other version at best, {1000 * lag / SAMPLE_RATE:.0f} ms late; "
            f"expected {ALIGNED} or more: one utterance in the same time",
        )
    return lag


def alignment_lag(base: np.ndarray, other: np.ndarray, limit: int = MAX_LAG) -> tuple[int, float]:
    """How late `other` runs, and how well it then fits: other[n + lag] sounds with base[n].

    The energies of 16 bands in dB are correlated, each band about its mean, at lags up to `limit` samples
    and half of the shorter clip. The peak found is interpolated (to a millisecond or so), and moved to
    where the waveforms correlate, if they do: then it is good to a sample.

    Returns:
        Samples, and the correlation of the bands at the peak, -1 to 1, over the stretch both have.

    Raises:
        InputError: `no-samples`, `bad-samples`.
    """
    base, other = ready(base), ready(other)
    one, two = bands(base), bands(other)
    reach = min(limit // HOP, len(one) // 2, len(two) // 2)
    size = fast_size(len(one) + len(two))
    spectra = [np.fft.rfft(x - x.mean(0), size, axis=0) for x in (one, two)]
    curve = np.fft.irfft((np.conj(spectra[0]) * spectra[1]).sum(1), size)
    curve = curve[np.arange(-reach, reach + 1)]
    place = int(np.argmax(curve))
    frames = place - reach
    left, right = max(0, -frames), min(len(one), len(two) - frames)
    peak = correlation(one[left:right], two[left + frames : right + frames])
    return waveform_lag(base, other, round(HOP * (frames + bend(curve, place)))), peak


def bands(audio: np.ndarray) -> np.ndarray:
    """Energies of the bands in dB, (frames, 16), those under the floor raised to it."""
    shape = np.hanning(WINDOW).astype(np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(audio, WINDOW // 2), WINDOW)[::HOP]
    found = []
    for start in range(0, len(windows), BLOCK):
        spectra = np.abs(np.fft.rfft(windows[start : start + BLOCK] * shape, FFT_SIZE)) ** 2
        found.append(np.add.reduceat(spectra[:, : BAND_EDGES[-1]], BAND_EDGES[:-1], axis=1))
    decibels = 10 * np.log10(np.maximum(np.concatenate(found), 1e-12))
    return np.maximum(decibels, decibels.max() - FLOOR_DB)


def correlation(one: np.ndarray, two: np.ndarray) -> float:
    """Of two arrays (frames, bands), each band about its mean; 0 where one is constant."""
    one, two = one - one.mean(0), two - two.mean(0)
    scale = np.sqrt((one**2).sum() * (two**2).sum())
    return float((one * two).sum() / scale) if scale else 0.0


def bend(curve: np.ndarray, place: int) -> float:
    """Where the parabola through a peak and its neighbours has its top, -0.5 to 0.5 from the peak."""
    if not 0 < place < len(curve) - 1:
        return 0.0
    before, top, behind = curve[place - 1 : place + 2]
    hollow = before - 2 * top + behind
    return float((before - behind) / hollow / 2) if hollow else 0.0


def waveform_lag(base: np.ndarray, other: np.ndarray, about: int) -> int:
    """The lag within `FINE` samples of `about` at which waveforms correlate most, whichever their sign.

    Where they correlate under `IN_PHASE` there, that would be chance: then `about` itself.
    """
    best, found = IN_PHASE * float(np.linalg.norm(base)) * float(np.linalg.norm(other)), about
    for lag in range(about - FINE, about + FINE + 1):
        left, right = max(0, -lag), min(len(base), len(other) - lag)
        alike = abs(float(np.dot(base[left:right], other[left + lag : right + lag]))) if right > left else 0.0
        if alike > best:
            best, found = alike, lag
    return found


def draw_spans(samples: int, rng: np.random.Generator, splicing: Splicing) -> list[Span]:
    """Where segments go in a clip: round(samples * U(share)) samples in all, in equal parts.

    All places at which the segments neither overlap nor touch are equally likely. At least one sample of
    the base stays; a clip that is too short for so many segments gets fewer.
    """
    total = min(round(samples * rng.uniform(*splicing.share)), samples - 1)
    wanted = int(rng.integers(splicing.segments[0], splicing.segments[1] + 1))
    count = min(wanted, total, samples - total + 1)
    if count < 1:
        return []
    lengths = np.full(count, total // count)
    lengths[: total % count] += 1
    lengths = rng.permutation(lengths)
    before = np.sort(rng.choice(samples - total + 1, count, replace=False))  # samples of the base
    stops = before + np.cumsum(lengths)
    return [(int(stop - length), int(stop)) for stop, length in zip(stops, lengths, strict=True)]


def paste(
    base: np.ndarray, injector: np.ndarray, spans: Sequence[Span], starts: Sequence[int], splicing: Splicing
) -> np.ndarray:
    """The base with `injector[starts[i] :]` in spans[i]; cut and levelled as `splicing` says."""
    half = round(splicing.fade_s * SAMPLE_RATE / 2)
    out = base.copy()
    for i, ((start, stop), source) in enumerate(zip(spans, starts, strict=True)):
        length = stop - start
        gap_before = start - (spans[i - 1][1] if i else 0)
        gap_behind = (spans[i + 1][0] if i + 1 < len(spans) else len(base)) - stop
        # halves of fades: two of them may meet in a segment, or between two segments
        rise = min(half, length // 2, gap_before // 2, source)
        fall = min(half, length // 2, gap_behind // 2, len(injector) - source - length)
        foreign = injector[source - rise : source + length + fall]
        if splicing.match_level:
            foreign = foreign * gain(base[start:stop], foreign[rise : rise + length])
        weight = np.ones(len(foreign), np.float32)
        weight[: 2 * rise] = ramp(rise)
        weight[len(weight) - 2 * fall :] = ramp(fall)[::-1]
        place = slice(start - rise, stop + fall)
        mixed = weight * foreign + (1 - weight) * out[place]
        out[place] = np.where(weight == 1, foreign, mixed)
    return out


def ramp(half: int) -> np.ndarray:
    """Weights of a fade of 2 half samples, float32: below 0.5 before its middle, above behind it."""
    return (np.sin(np.pi / 2 * (np.arange(2 * half) + 0.5) / (2 * half or 1)) ** 2).astype(np.float32)


def gain(replaced: np.ndarray, segment: np.ndarray) -> np.float32:
    """What gives the segment the RMS of what it replaces, within `MAX_GAIN` and without passing 1."""
    wanted, found = power(replaced), power(segment)
    if not found:
        return np.float32(1)
    factor = float(np.clip(np.sqrt(wanted / found), 1 / MAX_GAIN, MAX_GAIN))
    return np.float32(min(factor, max(1.0, 1 / float(np.abs(segment).max()))))


def through_codec(audio: np.ndarray, rng: np.random.Generator, splicing: Splicing) -> np.ndarray:
    """The audio, with probability `codec` after a lossy codec; clips under 20 ms stay as they are."""
    if rng.random() < splicing.codec and len(audio) >= codecs.SHORTEST:
        return codecs.encode_any(audio, rng)
    return audio
