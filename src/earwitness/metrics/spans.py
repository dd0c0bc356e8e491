"""Recordings that are fake in part: the truth and what a detector says of it, laid over each other in time.

Conventions: seconds; spans are half open, never empty, in order and disjoint; higher scores support bona
fide, those of frames and of spans found too. A hypothesis is frames (edges, and a score each), spans, or
both. It counts within the recording only: what lies behind the end is dropped, and the first and the last
frame are stretched to the ends. Spoofed spans that touch are one.

Recordings are pooled into flat arrays, which name the recording of each row. What is judged is stretches
of time with one label and one score each (`Timed`): `segments` of one length, as PartialSpoof has them
(Zhang et al., IEEE/ACM TASLP 31, 2023), or exact `pieces`, as long as nothing changes (Zhang et al.,
Interspeech 2023, "Range-based equal error rate for spoof localization").
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from earwitness.errors import InputError
from earwitness.metrics.resampling import PACKS, Units, units_of

SHARE = 1e-6  # of a segment: what overlaps it by less is rounding
MOMENT = 1e-9  # seconds: what is shorter is rounding


@dataclass(frozen=True)
class Recording:
    """What is true of a recording, and what a detector says of it.

    Raises:
        InputError: `bad-spans`: spans that are empty, out of order, overlap, or end behind the recording;
            edges that do not rise; `bad-scores`: a NaN, or not one score each.
    """

    duration_s: float
    spoof: np.ndarray  # (S, 2) starts and ends of what is spoofed
    edges: np.ndarray | None = None  # (frames + 1,) where frames meet
    scores: np.ndarray | None = None  # (frames,)
    found: np.ndarray | None = None  # (K, 2) spans called spoof; None where the detector names no spans
    found_scores: np.ndarray | None = None  # (K,)
    score: float | None = None  # of the whole recording

    def __post_init__(self) -> None:
        if not 0 < self.duration_s < np.inf:
            raise InputError("bad-spans", f"expected a duration above 0 s, found {self.duration_s} s")
        spoof = checked_spans(self.spoof, "spoofed")
        if len(spoof) and spoof[-1, 1] > self.duration_s + MOMENT:
            raise InputError(
                "bad-spans", f"spoofed until {spoof[-1, 1]:g} s in a recording of {self.duration_s:g} s"
            )
        if (self.edges is None) != (self.scores is None):
            raise InputError("bad-spans", "frames have edges and scores, or neither")
        if self.edges is not None:
            edges = np.asarray(self.edges, float)
            if len(edges) < 2 or not (0 <= edges[0] < self.duration_s and np.all(np.diff(edges) > 0)):
                raise InputError("bad-spans", "edges of frames must rise and begin within the recording")
            check_scores(self.scores, len(edges) - 1, "frames")
        found = 0 if self.found is None else len(checked_spans(self.found, "found"))
        check_scores(self.found_scores, found, "spans found")
        check_scores(None if self.score is None else (self.score,), 1, "recording")


def checked_spans(spans: np.ndarray, name: str) -> np.ndarray:
    """Spans as (S, 2).

    Raises:
        InputError: `bad-spans`.
    """
    spans = np.asarray(spans, float)
    if not spans.size:
        return np.empty((0, 2))
    fit = spans.ndim == 2 and spans.shape[1] == 2 and spans[0, 0] >= 0
    if not (fit and np.all(spans[:, 0] < spans[:, 1]) and np.all(spans[1:, 0] >= spans[:-1, 1] - MOMENT)):
        raise InputError(
            "bad-spans", f"{name} spans must begin at 0 s or later, not be empty and not overlap, in order"
        )
    return spans


def check_scores(scores: Sequence[float] | np.ndarray | None, count: int, name: str) -> None:
    """Refuse a NaN, and scores that are not `count`.

    Raises:
        InputError: `bad-scores`.
    """
    if scores is None:
        return
    values = np.asarray(scores, float)
    if values.shape != (count,) or np.isnan(values).any():
        nan = int(np.isnan(values).sum())
        raise InputError(
            "bad-scores", f"expected {count:,} scores of {name}, found {values.size:,}, {nan:,} of them NaN"
        )


@dataclass(frozen=True)
class Spans:
    """Spans, or frames, of all recordings in their order."""

    of: np.ndarray  # (S,) recording
    start: np.ndarray  # (S,)
    end: np.ndarray  # (S,)


@dataclass(frozen=True)
class Pool:
    """R recordings; what they do not have is None."""

    durations: np.ndarray  # (R,)
    spoof: Spans
    units: Units  # what a resample draws: recordings, or groups of them
    frames: Spans | None = None
    frame_scores: np.ndarray | None = None
    found: Spans | None = None
    found_scores: np.ndarray | None = None
    scores: np.ndarray | None = None  # (R,)

    @property
    def holds_spoof(self) -> np.ndarray:
        """Whether anything is spoofed in each recording, (R,)."""
        return np.bincount(self.spoof.of, minlength=len(self.durations)) > 0


def pooled(recordings: Sequence[Recording], groups: np.ndarray | None = None, seed: int = 0) -> Pool:
    """R recordings as one pool.

    Args:
        recordings: all of them have frames, or none; spans found, or none; and so on.
        groups: (R,) name of what recordings share (page, speaker, generator); None: each stands alone.
        seed: of the packs into which more than `resampling.PACKS` units are dealt.

    Raises:
        InputError: `bad-spans`: no recordings, or some lack what others have.
    """
    if not recordings:
        raise InputError("bad-spans", "expected recordings, found none")
    durations = np.array([item.duration_s for item in recordings], float)
    spoof, _ = clipped(flat([joined(item.spoof) for item in recordings]), durations)
    frames = frame_scores = found = found_scores = None
    if edges := every(recordings, "edges"):
        frames, inside = clipped(flat([np.stack([one[:-1], one[1:]], axis=1) for one in edges]), durations)
        frames = stretched(frames, durations)
        frame_scores = np.concatenate(every(recordings, "scores"))[inside]
    if spans := every(recordings, "found"):
        found, inside = clipped(flat(spans), durations)
        if scores := every(recordings, "found_scores"):
            found_scores = np.concatenate(scores)[inside]
    whole = every(recordings, "score")
    rng = np.random.default_rng(seed)
    genuine = np.bincount(spoof.of, minlength=len(recordings)) == 0
    units = packed(units_of(genuine, groups, rng), rng)
    scores = np.array(whole) if whole else None
    return Pool(durations, spoof, units, frames, frame_scores, found, found_scores, scores)


def every(recordings: Sequence[Recording], field: str) -> list[np.ndarray]:
    """That field of each recording; nothing where no recording has it.

    Raises:
        InputError: `bad-spans`: some have it only.
    """
    values = [getattr(item, field) for item in recordings]
    given = [np.asarray(value, float) for value in values if value is not None]
    if 0 < len(given) < len(values):
        raise InputError(
            "bad-spans", f"{len(given):,} of {len(values):,} recordings have {field}: all must, or none"
        )
    return given


def joined(spans: np.ndarray) -> np.ndarray:
    """Spans (S, 2), those that touch as one."""
    spans = np.asarray(spans, float).reshape(-1, 2)
    if len(spans) < 2:
        return spans
    apart = spans[1:, 0] > spans[:-1, 1] + MOMENT
    starts, ends = spans[np.append(True, apart), 0], spans[np.append(apart, True), 1]
    return np.stack([starts, ends], axis=1)


def flat(spans: Sequence[np.ndarray]) -> Spans:
    """Spans (S, 2) of each recording, one recording behind the other."""
    rows = [one.reshape(-1, 2) for one in spans]
    start, end = np.concatenate(rows).T
    return Spans(np.repeat(np.arange(len(rows)), [len(one) for one in rows]), start, end)


def clipped(spans: Spans, durations: np.ndarray) -> tuple[Spans, np.ndarray]:
    """Spans as far as they lie within their recordings, and which of them do, (S,)."""
    end = np.minimum(spans.end, durations[spans.of])
    inside = end > spans.start
    return Spans(spans.of[inside], spans.start[inside], end[inside]), inside


def stretched(frames: Spans, durations: np.ndarray) -> Spans:
    """Frames, the first of each recording from 0, the last one to its end."""
    change = frames.of[1:] != frames.of[:-1]
    start = np.where(np.append(True, change), 0.0, frames.start)
    end = np.where(np.append(change, True), durations[frames.of], frames.end)
    return Spans(frames.of, start, end)


def packed(units: Units, rng: np.random.Generator) -> Units:
    """Units dealt at random into equal packs, at most `resampling.PACKS` a stratum (see there)."""
    of_trial, strata, begin = units.of_trial.copy(), [], 0
    for size in units.strata:
        kept = min(size, PACKS)
        here = (units.of_trial >= begin) & (units.of_trial < begin + size)
        pack = rng.permutation(size) % kept if size > kept else np.arange(size)
        of_trial[here] = sum(strata) + pack[units.of_trial[here] - begin]
        strata.append(kept)
        begin += size
    return Units(of_trial, (strata[0], strata[1], strata[2]))


@dataclass(frozen=True)
class Timed:
    """Stretches of time, each of one label and one score."""

    of: np.ndarray  # (N,) recording
    spoof: np.ndarray  # (N,) boolean
    scores: np.ndarray  # (N,)
    weights: np.ndarray  # (N,) what each counts: 1, or its seconds


def frames_of(pool: Pool) -> tuple[Spans, np.ndarray]:
    """Frames and their scores.

    Raises:
        InputError: `bad-spans`: there are none.
    """
    if pool.frames is None or pool.frame_scores is None:
        raise InputError("bad-spans", "this metric needs scores of frames; the hypothesis has none")
    return pool.frames, pool.frame_scores


def segments(pool: Pool, resolution_s: float) -> Timed:
    """Segments of one length, from the start of each recording on; the last may be shorter.

    Spoof where any part is spoofed, whatever the frames are. The score is the lowest of the frames
    whose middle lies in the segment; where there is none, as frames are longer, that of the frame at
    the segment's own middle. So frames whose length is a part of a segment's are pooled by their
    minimum, and those of which it is a part are repeated.

    Raises:
        InputError: `bad-spans`: no frames, or no length above 0.
    """
    frames, scores = frames_of(pool)
    if not 0 < resolution_s < np.inf:
        raise InputError("bad-spans", f"expected segments longer than 0 s, found {resolution_s} s")
    counts = np.maximum(np.ceil(pool.durations / resolution_s - SHARE), 1).astype(np.int64)
    first = np.cumsum(counts) - counts
    of = np.repeat(np.arange(len(counts)), counts)
    begin = (np.arange(len(of)) - first[of]) * resolution_s
    middle = (begin + np.minimum(begin + resolution_s, pool.durations[of])) / 2
    at = np.floor((frames.start + frames.end) / (2 * resolution_s) + SHARE).astype(np.int64)
    at = first[frames.of] + np.minimum(at, counts[frames.of] - 1)  # it never falls
    lowest = np.full(len(of), np.nan)
    begins = np.flatnonzero(np.diff(at, prepend=-1))
    lowest[at[begins]] = np.minimum.reduceat(scores, begins)
    empty = np.isnan(lowest)
    origin = np.cumsum(pool.durations) - pool.durations  # of each recording on a common axis
    wanted = origin[of[empty]] + middle[empty] + SHARE * resolution_s
    lowest[empty] = scores[np.searchsorted(origin[frames.of] + frames.start, wanted, side="right") - 1]
    return Timed(of, touched(pool, resolution_s, first, len(of)), lowest, np.broadcast_to(1.0, len(of)))


def touched(pool: Pool, resolution_s: float, first: np.ndarray, count: int) -> np.ndarray:
    """Whether any part of each segment (count,) is spoofed; recordings begin at segments `first` (R,)."""
    start, end = pool.spoof.start / resolution_s, pool.spoof.end / resolution_s
    low = np.floor(start + SHARE).astype(np.int64)
    high = np.maximum(np.ceil(end - SHARE).astype(np.int64), low)
    low, high = first[pool.spoof.of] + low, first[pool.spoof.of] + high
    steps = np.bincount(low, minlength=count + 1) - np.bincount(high, minlength=count + 1)
    return np.cumsum(steps)[:count] > 0


def pieces(pool: Pool) -> Timed:
    """Time cut at every edge of a frame and of a spoofed span, each piece weighing its seconds.

    Raises:
        InputError: `bad-spans`: no frames.
    """
    frames, scores = frames_of(pool)
    spoof = pool.spoof
    of = np.concatenate([frames.of, spoof.of, spoof.of])
    time = np.concatenate([frames.start, spoof.start, spoof.end])
    sizes = (len(frames.of), len(spoof.of), len(spoof.of))
    begun, inside = np.repeat([1, 0, 0], sizes), np.repeat([0, 1, -1], sizes)
    of, seconds, (begun, inside) = swept(pool.durations, of, time, (begun, inside))
    return Timed(of, inside > 0, scores[begun - 1], seconds)


def overlap(pool: Pool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Seconds of each recording that are spoofed and found, found only, spoofed only: (R,) each.

    Raises:
        InputError: `bad-spans`: the hypothesis has no spans.
    """
    found, spoof = found_of(pool), pool.spoof
    of = np.concatenate([found.of, found.of, spoof.of, spoof.of])
    time = np.concatenate([found.start, found.end, spoof.start, spoof.end])
    sizes = (len(found.of), len(found.of), len(spoof.of), len(spoof.of))
    ours, theirs = np.repeat([1, -1, 0, 0], sizes), np.repeat([0, 0, 1, -1], sizes)
    of, seconds, (ours, theirs) = swept(pool.durations, of, time, (ours, theirs))
    found_here, spoofed = ours > 0, theirs > 0
    parts = found_here & spoofed, found_here & ~spoofed, ~found_here & spoofed
    hit, alarm, missed = (np.bincount(of, seconds * part, len(pool.durations)) for part in parts)
    return hit, alarm, missed


def found_of(pool: Pool) -> Spans:
    """Spans found.

    Raises:
        InputError: `bad-spans`: the hypothesis has none.
    """
    if pool.found is None:
        raise InputError("bad-spans", "this metric needs spans found; the hypothesis has none")
    return pool.found


def swept(
    durations: np.ndarray, of: np.ndarray, time: np.ndarray, steps: Sequence[np.ndarray]
) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """Walk through events (E,) in time: recording and seconds of the stretch behind each, and running sums.

    `steps` are what each event adds. The last stretch of a recording ends with it. Stretches of no
    length are left out.
    """
    order = np.lexsort((time, of))
    of, time = of[order], time[order]
    last = np.append(of[1:] != of[:-1], True)[: len(of)]
    seconds = np.where(last, durations[of], np.append(time[1:], 0.0)[: len(of)]) - time
    kept = seconds > MOMENT
    return of[kept], seconds[kept], [np.cumsum(step[order])[kept] for step in steps]
