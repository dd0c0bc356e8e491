"""Where it sounds fake: frame scores of a recording's windows -> P(fake) step by step, and spans.

Frame scores (higher is more bona fide) lie on cells, one a hop, around the frames' middles
(`audio/frames.py`); where windows overlap, a cell has the mean of what they say. What no window
covered has no cell: it is in no span, and None on the timeline. Memory grows by six bytes a cell.

The timeline has the mean of each step. Spans are runs of cells where the model was taught frames
(`localisation` on its card), their ends a frame apart from the truth at best; else runs of steps,
for a model that never learned which frames are fake says so of a second or two, not of one frame.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from earwitness.audio.frames import SAMPLE_RATE, FrameGrid
from earwitness.decision.calibration import Calibration, posterior_of_fake
from earwitness.types import Span, Timeline

CHUNK = 1 << 14  # cells smoothed at once
ROUNDING = 1e-6  # seconds by which sums of steps may be off


@dataclass(frozen=True)
class SpanRule:
    """What makes a span, in seconds and P(fake). `edge` below `threshold` is a hysteresis."""

    smooth_s: float  # width of a running median over cells, which moves no edge
    threshold: float  # reached by a cell of the span, in which somebody speaks
    edge: float  # reached by every cell of it
    min_s: float  # what is shorter is no span
    merge_s: float  # over gaps up to so long spans are one

    def __post_init__(self) -> None:
        times = (self.smooth_s, self.min_s, self.merge_s)
        if not (self.edge <= self.threshold and all(time_s >= 0 for time_s in times)):
            raise ValueError(f"an edge is not above its threshold, and no time below 0: {self}")


@dataclass(frozen=True)
class Localisation:
    """How the frame scores of a model are read."""

    grid: FrameGrid
    step_s: float  # of the timeline
    calibration: Calibration | None  # of means over a step
    rule: SpanRule
    by_frame: bool  # whether spans are runs of cells, not of steps
    frame_calibration: Calibration | None  # of smoothed frame scores


class Stretch:
    """Windows that overlap or touch, on the grid of the first; all places in samples of the recording."""

    def __init__(self, grid: FrameGrid, start: int) -> None:
        self.grid, self.start, self.stop = grid, start, start
        self.cells = 0
        self.sums = np.zeros(0, np.float32)  # room for more cells than there are
        self.counts = np.zeros(0, np.uint16)

    def add(self, start: int, samples: int, frame_scores: np.ndarray) -> None:
        """A window (samples,) with its frame scores (frames,)."""
        first = int(self.grid.cells(start - self.start + self.grid.middle))  # nearest, where it lies between
        last = first + len(frame_scores)
        self.sums, self.counts = roomy(self.sums, last), roomy(self.counts, last)
        self.sums[first:last] += frame_scores
        self.counts[first:last] += 1
        self.cells, self.stop = max(self.cells, last), max(self.stop, start + samples)

    @property
    def scores(self) -> np.ndarray:
        """Mean score of each cell, (cells,); between windows that only touch, what lies between them."""
        sums, counts = self.sums[: self.cells], self.counts[: self.cells]
        scores = sums / np.maximum(counts, 1)
        holes = np.flatnonzero(counts == 0)
        if len(holes):
            known = np.flatnonzero(counts)
            scores[holes] = np.interp(holes, known, scores[known])
        return scores

    @property
    def middles(self) -> np.ndarray:
        """The sample that each cell is about, (cells,)."""
        return self.start + self.grid.middles(self.cells)

    @property
    def edges(self) -> np.ndarray:
        """Where cells meet, in seconds, (cells + 1,)."""
        return self.start / SAMPLE_RATE + self.grid.edges(self.cells, self.stop - self.start)


def roomy(values: np.ndarray, size: int) -> np.ndarray:
    """The same values with room for `size`, doubled where there is too little."""
    if size <= len(values):
        return values
    return np.concatenate([values, np.zeros(max(size - len(values), len(values)), values.dtype)])


class FrameTrack:
    """Frame scores of a recording, window by window in order of time."""

    def __init__(self, grid: FrameGrid) -> None:
        self.grid = grid
        self.stretches: list[Stretch] = []

    def add(self, start: int, samples: int, frame_scores: np.ndarray) -> None:
        """Frame scores (frames,) of the window [start, start + samples)."""
        if not self.stretches or start > self.stretches[-1].stop:
            self.stretches.append(Stretch(self.grid, start))
        self.stretches[-1].add(start, samples, frame_scores)


def locate(
    track: FrameTrack, how: Localisation, speaking: Sequence[bool], prior: float, duration_s: float
) -> tuple[Timeline, tuple[Span, ...]]:
    """P(fake) of each step, and the spans that sound fake.

    Args:
        track: frame scores of the recording.
        how: of the model.
        speaking: whether somebody speaks, of each step; beyond its end, and where it is empty, yes.
        prior: share of recordings expected to be fake.
        duration_s: where the last window ends.
    """
    timeline = make_timeline(track, how, speaking, prior)
    if how.by_frame:
        spans = [span for stretch in track.stretches for span in frame_spans(stretch, how, speaking, prior)]
    else:
        spans = step_spans(timeline, how.rule, duration_s)
    return timeline, tuple(spans)


def make_timeline(track: FrameTrack, how: Localisation, speaking: Sequence[bool], prior: float) -> Timeline:
    """P(fake) of each step: None where nobody speaks or nothing was scored."""
    steps = [steps_of(stretch.middles, how.step_s) for stretch in track.stretches]
    size = max([len(speaking), *(int(found[-1]) + 1 for found in steps)])
    sums, counts = np.zeros(size), np.zeros(size)
    for stretch, found in zip(track.stretches, steps, strict=True):
        sums += np.bincount(found, stretch.scores, size)
        counts += np.bincount(found, minlength=size)
    p_fake = posterior(sums / np.maximum(counts, 1), how.calibration, prior)
    known = (counts > 0) & spoken(np.arange(size), speaking)
    return Timeline(how.step_s, tuple(float(p) if k else None for p, k in zip(p_fake, known, strict=True)))


def steps_of(middles: np.ndarray, step_s: float) -> np.ndarray:
    """The step in which each sample lies."""
    return (middles / (step_s * SAMPLE_RATE)).astype(int)


def spoken(steps: np.ndarray, speaking: Sequence[bool]) -> np.ndarray:
    """Whether somebody speaks in each of these steps, as far as anyone listened."""
    if not len(speaking):
        return np.ones(len(steps), bool)
    return np.asarray(speaking)[np.minimum(steps, len(speaking) - 1)] | (steps >= len(speaking))


def posterior(scores: np.ndarray, calibration: Calibration | None, prior: float) -> np.ndarray:
    """P(fake) of scores, of the same shape; the scores are their own LLRs where nothing is calibrated."""
    return np.asarray(posterior_of_fake(calibration.apply(scores) if calibration else scores, prior))


def step_spans(timeline: Timeline, rule: SpanRule, duration_s: float) -> list[Span]:
    """Spans of whole steps; the last step ends with the recording."""
    p_fake = np.array([np.nan if p is None else p for p in timeline.p_fake])
    edges = np.minimum(np.arange(len(p_fake) + 1) * timeline.step_s, duration_s)
    return find_spans(p_fake, edges, np.ones(len(p_fake), bool), timeline.step_s, rule)


def frame_spans(stretch: Stretch, how: Localisation, speaking: Sequence[bool], prior: float) -> list[Span]:
    """Spans of cells. Pauses belong to a span, but are none by themselves."""
    p_fake = np.empty(stretch.cells, np.float32)
    scores, half = stretch.scores, half_width(how.rule.smooth_s, how.grid)
    for first in range(0, len(scores), CHUNK):
        chunk = smooth(scores, half, first, first + CHUNK)
        p_fake[first : first + CHUNK] = posterior(chunk, how.frame_calibration, prior)
    heard = spoken(steps_of(stretch.middles, how.step_s), speaking)
    return find_spans(p_fake, stretch.edges, heard, how.grid.hop_s, how.rule)


def half_width(smooth_s: float, grid: FrameGrid) -> int:
    """Cells to either side of one that its median looks at."""
    return round((smooth_s / grid.hop_s - 1) / 2) if smooth_s > grid.hop_s else 0


def smooth(values: np.ndarray, half: int, first: int = 0, stop: int | None = None) -> np.ndarray:
    """Running median of `values` (cells,) from cell `first` to `stop`; the ends are repeated beyond.

    The median of an odd number of cells leaves a step where it is, whatever lies to its sides.
    """
    stop = len(values) if stop is None else min(stop, len(values))
    if not half:
        return values[first:stop]
    near = values[max(0, first - half) : stop + half]
    before, behind = max(0, half - first), max(0, stop + half - len(values))
    near = np.pad(near, (before, behind), mode="edge")
    return np.median(np.lib.stride_tricks.sliding_window_view(near, 2 * half + 1), axis=1)


def find_spans(
    p_fake: np.ndarray, edges: np.ndarray, heard: np.ndarray, cell_s: float, rule: SpanRule
) -> list[Span]:
    """Spans in consecutive cells.

    Args:
        p_fake: of each cell, (cells,), NaN where it is not known.
        edges: where cells meet, in seconds, (cells + 1,).
        heard: whether somebody speaks in each, (cells,).
        cell_s: how long a cell is; the first and the last may be cut or longer, and count as one.
        rule: what makes a span.
    """
    sure = (p_fake >= rule.threshold) & heard
    joined: list[tuple[int, int]] = []
    for first, stop in runs(p_fake >= rule.edge):
        if not sure[first:stop].any():
            continue
        if joined and (first - joined[-1][1]) * cell_s <= rule.merge_s + ROUNDING:
            first = joined.pop()[0]
        joined.append((first, stop))
    return [
        Span(float(edges[first]), float(edges[stop]), float(np.nanmean(p_fake[first:stop], dtype=float)))
        for first, stop in joined
        if (stop - first) * cell_s >= rule.min_s - ROUNDING
    ]


def runs(flags: np.ndarray) -> list[tuple[int, int]]:
    """Where flags (cells,) are up: [first, stop) of each run."""
    turns = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    return [(int(first), int(stop)) for first, stop in turns.reshape(-1, 2)]


def worst_moment(timeline: Timeline, duration_s: float, steps: int = 3) -> Span | None:
    """The `steps` consecutive spoken steps with the highest mean P(fake), or the best there is."""
    best: Span | None = None
    count = len(timeline.p_fake)
    for i in range(max(1, count - steps + 1)):
        values = [p for p in timeline.p_fake[i : i + steps] if p is not None]
        if len(values) < min(steps, count) and best is not None:
            continue
        if values and (best is None or sum(values) / len(values) > best.p_fake):
            end_s = min((i + steps) * timeline.step_s, duration_s)
            best = Span(i * timeline.step_s, end_s, sum(values) / len(values))
    return best
