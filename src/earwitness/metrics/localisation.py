"""How well a detector tells which parts of a recording are fake.

Conventions as in `spans`: higher scores support bona fide, and what scores below the threshold is called
spoof; times are seconds. Spoof is what is to be found: precision, recall and F1 are those of spoofed
segments, or of spoofed seconds.

Each metric takes the pooled recordings and gives a `Measure`; `measures.figures` gives values and
intervals of many. An error rate without time of both classes raises; a ratio over nothing is None.
Judged on segments longer than those it was trained for a detector looks better than it is; `range_eer`
and segments of 10 ms do not flatter (Zhang et al., Interspeech 2023).
"""

from collections.abc import Callable, Sequence

import numpy as np

from earwitness.errors import InputError
from earwitness.metrics.counted import Counted, Setting, eer
from earwitness.metrics.detection import eer_threshold, nearest_crossing
from earwitness.metrics.measures import UNDEFINED, Draws, Measure, blocks, measured, ratio
from earwitness.metrics.resampling import Units, merge_scores
from earwitness.metrics.spans import (
    MOMENT,
    Pool,
    Spans,
    Timed,
    found_of,
    frames_of,
    overlap,
    pieces,
    segments,
)
from earwitness.metrics.sweep import thresholds_of

RESOLUTIONS_MS = (10, 20, 40, 80, 160, 320, 640)  # of PartialSpoof
DECISION_S = 0.02  # segments that decisions at a threshold are judged on
LEAST_IOU = (0.5, 0.75, 0.9)


# Error rates


def segment_eer(pool: Pool, resolution_s: float) -> Measure:
    """Equal error rate over all segments of all recordings; as `detection.eer`.

    PartialSpoof's metric (Zhang et al. 2023, section V): long recordings weigh more. 0: some threshold
    parts the classes; 0.5: chance.

    Raises:
        InputError: `bad-scores`: all segments are of one class; `bad-spans`: no frames.
    """
    return interpolated_eer(segments(pool, resolution_s), pool.units)


def range_eer(pool: Pool) -> Measure:
    """Equal error rate in seconds: bona fide time called spoof over bona fide time, and the other way round.

    Zhang et al. 2023: no grid of segments. Exact, by cutting time wherever label or score change. As
    published, the mean of the two rates where they are nearest to each other, without interpolation: on few
    frames it differs from `segment_eer`, which interpolates.

    Raises:
        InputError: `bad-scores`: all seconds are of one class; `bad-spans`: no frames.
    """
    timed = pieces(pool)
    check_classes(timed)
    whole = counted(timed)
    thresholds = thresholds_of(whole.lowest)
    value, threshold = nearest_crossing(thresholds, whole.miss[0], whole.false_alarm[0])
    return Measure(value, rates_of_draws(timed, pool.units, nearest), threshold, rarer(timed))


def utterance_eer(pool: Pool, scores: np.ndarray | None = None) -> Measure:
    """Equal error rate of recordings (R,), of which those with anything spoofed are spoofs.

    Without `scores` a recording's is the lowest of its frames: that of its lowest segment, of whatever
    length, as segments are pooled by their minimum.

    Raises:
        InputError: `bad-scores`: all recordings hold something spoofed, or none; `bad-spans`: no frames.
    """
    if scores is None:
        frames, of_frames = frames_of(pool)
        scores = np.minimum.reduceat(of_frames, np.flatnonzero(np.diff(frames.of, prepend=-1)))
    of = np.arange(len(pool.durations))
    return interpolated_eer(Timed(of, pool.holds_spoof, scores, np.ones(len(of))), pool.units)


def interpolated_eer(timed: Timed, units: Units) -> Measure:
    """Equal error rate of stretches that count one each.

    Raises:
        InputError: `bad-scores`.
    """
    check_classes(timed)
    value, threshold = eer_threshold(timed.scores[~timed.spoof], timed.scores[timed.spoof])
    of_draws = rates_of_draws(timed, units, lambda draws: eer(draws, Setting()))
    return Measure(value, of_draws, threshold, rarer(timed))


def check_classes(timed: Timed) -> None:
    """Refuse an error rate of one class.

    Raises:
        InputError: `bad-scores`.
    """
    if not has_both(timed.spoof):
        found = "spoofed" if timed.spoof.any() else "bona fide"
        raise InputError("bad-scores", f"everything is {found}: an error rate needs both classes")


def has_both(spoof: np.ndarray) -> bool:
    """Whether there are both classes (N,)."""
    return bool(spoof.any() and not spoof.all())


def rarer(timed: Timed) -> int:
    """Recordings that hold the class which fewer of them hold."""
    return min(len(np.unique(timed.of[timed.spoof])), len(np.unique(timed.of[~timed.spoof])))


def counted(timed: Timed) -> Counted:
    """Everything once: weights of either class over the distinct scores."""
    distinct, column = np.unique(timed.scores, return_inverse=True)
    bona_fide, spoof = (
        np.bincount(column, timed.weights * side, len(distinct)) for side in (~timed.spoof, timed.spoof)
    )
    nothing = np.zeros(len(distinct))  # Cllr is not asked for
    return Counted(bona_fide[None], spoof[None], distinct, nothing, nothing)


def nearest(draws: Counted) -> np.ndarray:
    """As `detection.eer_nearest`, (D,)."""
    k = np.argmin(np.abs(draws.miss - draws.false_alarm), axis=1)[:, None]
    both = np.take_along_axis(draws.miss, k, 1) + np.take_along_axis(draws.false_alarm, k, 1)
    return both[:, 0] / 2


def rates_of_draws(timed: Timed, units: Units, crossing: Callable[[Counted], np.ndarray]) -> Draws:
    """Error rates of draws, over about `resampling.BINS` scores where there are more."""

    def of_draws(times: np.ndarray) -> np.ndarray:
        scale = merge_scores(counted(timed), Setting())
        width, height = len(scale.lowest), sum(units.strata)
        cell = np.searchsorted(scale.lowest, timed.scores, side="right") - 1
        cell += units.of_trial[timed.of].astype(np.int64) * width
        tables = []
        for side in (~timed.spoof, timed.spoof):
            cells = np.bincount(cell[side], timed.weights[side], minlength=height * width)
            tables.append(cells.astype(np.float32).reshape(height, width))
        with np.errstate(invalid="ignore", divide="ignore"):  # a draw may lack a class
            return np.concatenate([crossing(weighed(block, tables, scale)) for block in blocks(times, width)])

    return of_draws


def weighed(times: np.ndarray, tables: Sequence[np.ndarray], scale: Counted) -> Counted:
    """Weights of each draw over the scores of `scale`, from tables (U, K) of bona fide and spoof."""
    bona_fide, spoof = (times @ table for table in tables)
    return Counted(bona_fide, spoof, scale.lowest, scale.bona_fide_cost, scale.spoof_cost)


# Decisions


def decisions(pool: Pool, threshold: float, resolution_s: float = DECISION_S) -> dict[str, Measure]:
    """`precision`, `recall` and `f1` of spoofed segments at a threshold that was fixed beforehand.

    Precision is None where nothing scores below the threshold, recall where nothing is spoofed.

    Raises:
        InputError: `bad-spans`: no frames.
    """
    timed = segments(pool, resolution_s)
    called, spoof = timed.scores < threshold, timed.spoof
    parts = called & spoof, called & ~spoof, ~called & spoof
    counts = (np.bincount(timed.of, timed.weights * part, len(pool.durations)) for part in parts)
    return right_and_wrong(pool.units, *counts)


def right_and_wrong(
    units: Units, hit: np.ndarray, alarm: np.ndarray, missed: np.ndarray
) -> dict[str, Measure]:
    """`precision`, `recall` and `f1` of what each recording has, (R,) each."""
    return {
        "precision": ratio(units, hit, hit + alarm),
        "recall": ratio(units, hit, hit + missed),
        "f1": ratio(units, 2 * hit, 2 * hit + alarm + missed),
    }


def span_overlap(pool: Pool) -> dict[str, Measure]:
    """Spans found against the spoofed ones, in seconds: `precision`, `recall`, `f1`, `iou`, `mean_iou`.

    `iou` is what is both over what is either (intersection over union), summed over all recordings; as it
    is of the same seconds, it says the same as `f1` = 2 iou / (1 + iou). `mean_iou` is the mean over
    the recordings that hold anything spoofed. A genuine recording has none: with nothing found it is
    0 over 0, and whatever is found in it lowers `iou`. 0: no overlap; 1: found to the dot.

    Raises:
        InputError: `bad-spans`: the hypothesis has no spans.
    """
    hit, alarm, missed = overlap(pool)
    union = hit + alarm + missed
    of_each = np.divide(hit, union, out=np.zeros(len(hit)), where=pool.holds_spoof)
    return {
        **right_and_wrong(pool.units, hit, alarm, missed),
        "iou": ratio(pool.units, hit, union),
        "mean_iou": ratio(pool.units, of_each, pool.holds_spoof.astype(float)),
    }


# Spans one by one


def average_precision(pool: Pool, least_iou: float) -> Measure:
    """Average precision of spans found; one is right if its IoU with a spoofed span is at least `least_iou`.

    Within a recording the most certain comes first, and takes of the spoofed spans that are left the one
    it overlaps most. Over all recordings, precision at each recall is the best at that recall or more, and
    the answer its mean over recall (the area of PASCAL VOC 2010, which ActivityNet takes over). Spans of
    equal score share one point. None without any spoofed span. 0: none right; 1: all found, and first.

    Raises:
        InputError: `bad-spans`: the hypothesis has no spans with scores.
    """
    found, units = found_of(pool), pool.units
    if pool.found_scores is None:
        raise InputError("bad-spans", "average precision needs a score of each span found; there are none")
    order = np.argsort(pool.found_scores, kind="stable")
    right = matches(found, pool.found_scores, pool.spoof, least_iou)[order]
    unit = units.of_trial[found.of[order]]
    points = np.flatnonzero(np.append(np.diff(pool.found_scores[order]) > 0, True)[: len(order)])
    spoofed = np.bincount(units.of_trial[pool.spoof.of], minlength=sum(units.strata))

    def of_draws(times: np.ndarray) -> np.ndarray:
        drawn = []
        for block in blocks(times, len(order)):
            weight = block[:, unit].astype(float)
            hits = np.cumsum(weight * right, axis=1)[:, points]
            precision = hits / np.maximum(np.cumsum(weight, axis=1)[:, points], 1)
            best = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
            with np.errstate(invalid="ignore"):
                recall = hits / (block @ spoofed)[:, None]
            drawn.append((np.diff(recall, axis=1, prepend=0) * best).sum(1))
        return np.concatenate(drawn)

    return measured(units, of_draws) if len(pool.spoof.of) else UNDEFINED


def matches(found: Spans, scores: np.ndarray, spoof: Spans, least_iou: float) -> np.ndarray:
    """Which of the spans found (K,) are right; see `average_precision`."""
    right = np.zeros(len(found.of), bool)
    for recording in np.intersect1d(found.of, spoof.of):
        ours, theirs = (
            slice(*np.searchsorted(spans.of, [recording, recording + 1])) for spans in (found, spoof)
        )
        start, end = found.start[ours, None], found.end[ours, None]
        both = np.minimum(end, spoof.end[theirs]) - np.maximum(start, spoof.start[theirs])
        both = np.maximum(both, 0)
        iou = both / (end - start + spoof.end[theirs] - spoof.start[theirs] - both)
        for k in np.argsort(scores[ours], kind="stable"):
            best = int(np.argmax(iou[k]))
            if iou[k, best] >= least_iou:
                right[ours.start + k] = True
                iou[:, best] = 0.0
    return right


def boundary_error(pool: Pool) -> Measure:
    """Median seconds from each true boundary to the nearest boundary found in the same recording.

    Boundaries lie between genuine and spoofed speech; the ends of a recording are none. A boundary of a
    recording without any found is infinitely far, so the median is None if these are half or more, as
    it is without true boundaries; the upper end of its interval may be infinite.

    Raises:
        InputError: `bad-spans`: the hypothesis has no spans.
    """
    of, away = distances(pool)
    order = np.argsort(away)
    away, unit = away[order], pool.units.of_trial[of[order]]

    def of_draws(times: np.ndarray) -> np.ndarray:
        if not len(away):
            return np.full(len(times), np.nan)
        drawn = []
        for block in blocks(times, len(away)):
            weight = np.cumsum(block[:, unit], axis=1, dtype=float)
            half = weight[:, -1:] / 2
            low, high = np.argmax(weight >= half, axis=1), np.argmax(weight > half, axis=1)
            drawn.append(np.where(half[:, 0] > 0, (away[low] + away[high]) / 2, np.nan))
        return np.concatenate(drawn)

    return measured(pool.units, of_draws)


def distances(pool: Pool) -> tuple[np.ndarray, np.ndarray]:
    """Recording of each true boundary (B,), and seconds to the nearest one found there, perhaps infinite."""
    of, time = boundaries(pool.spoof, pool.durations)
    found, at = boundaries(found_of(pool), pool.durations)
    if not len(at):
        return of, np.full(len(of), np.inf)
    origin = np.cumsum(pool.durations) - pool.durations  # of each recording on a common axis
    after = np.searchsorted(origin[found] + at, origin[of] + time)
    away = np.full(len(of), np.inf)
    for near in (np.clip(after - 1, 0, len(at) - 1), np.clip(after, 0, len(at) - 1)):
        away = np.where(found[near] == of, np.minimum(away, np.abs(at[near] - time)), away)
    return of, away


def boundaries(spans: Spans, durations: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Recording and time of each start and end within a recording, in order."""
    of, time = np.repeat(spans.of, 2), np.stack([spans.start, spans.end], axis=1).ravel()
    inside = (time > MOMENT) & (time < durations[of] - MOMENT)
    return of[inside], time[inside]


# All of them


def measures(pool: Pool, threshold: float | None = None) -> dict[str, Measure]:
    """Every metric of what the recordings have.

    Frames give `segment_eer_10ms` to `_640ms`, `range_eer`, `utterance_eer_lowest` and, at `threshold`,
    `segment_precision`, `segment_recall`, `segment_f1`; scores of recordings give `utterance_eer`; spans
    give `span_precision`, `span_recall`, `span_f1`, `span_iou`, `span_mean_iou`, `boundary_error_s`, and
    with scores `ap_50`, `ap_75` and `ap_90`. Utterance EERs need genuine recordings, and long segments some
    that are genuine throughout; they are else not defined.

    Raises:
        InputError: `bad-scores`: no spoofed or no bona fide time.
    """
    made: dict[str, Measure] = {}
    genuine = has_both(pool.holds_spoof)
    if pool.frames is not None:
        at_once = range_eer(pool)
        for ms in RESOLUTIONS_MS:
            timed = segments(pool, ms / 1000)
            both = has_both(timed.spoof)
            made[f"segment_eer_{ms}ms"] = interpolated_eer(timed, pool.units) if both else UNDEFINED
        made["range_eer"] = at_once
    if pool.scores is not None:
        made["utterance_eer"] = utterance_eer(pool, pool.scores) if genuine else UNDEFINED
    if pool.frames is not None:
        made["utterance_eer_lowest"] = utterance_eer(pool) if genuine else UNDEFINED
    if pool.frames is not None and threshold is not None:
        made |= {f"segment_{name}": one for name, one in decisions(pool, threshold).items()}
    if pool.found is not None:
        made |= {f"span_{name}": one for name, one in span_overlap(pool).items()}
        made["boundary_error_s"] = boundary_error(pool)
    if pool.found_scores is not None:
        made |= {f"ap_{least * 100:.0f}": average_precision(pool, least) for least in LEAST_IOU}
    return made
