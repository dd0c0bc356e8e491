"""Clips to scores: batches by length, one raw score and one LLR a window and a recording."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from earwitness.decision.calibration import posterior_of_fake
from earwitness.decision.detector import Detector
from earwitness.types import Span, Timeline, Window

SAMPLE_RATE = 16_000
MAX_PADDING = 0.15  # share of a batch's longest clip that its shortest may lack


@dataclass(frozen=True)
class ClipScore:
    """What the model says of one clip."""

    score: float
    frame_scores: np.ndarray | None  # (frames,)
    embedding: np.ndarray  # (size,)


def batches_by_length(
    lengths: Sequence[int], batch_s: float, max_padding: float = MAX_PADDING
) -> list[list[int]]:
    """Indices of clips in batches of similar length, at most `batch_s` each (one clip may be more)."""
    batches: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        longest = lengths[batches[-1][0]] if batches else 0
        fits = (
            batches
            and lengths[index] >= (1 - max_padding) * longest
            and (len(batches[-1]) + 1) * longest <= batch_s * SAMPLE_RATE
        )
        if fits:
            batches[-1].append(index)
        else:
            batches.append([index])
    return batches


def score_clips(detector: Detector, clips: Sequence[np.ndarray]) -> list[ClipScore]:
    """Score clips of (samples,) each, in the order given.

    A clip's score does not depend on what else is in the batch. Clips shorter than the model's
    receptive field are repeated up to it.
    """
    ready = [
        clip if len(clip) >= detector.min_samples else np.resize(clip, detector.min_samples) for clip in clips
    ]
    scores: list[ClipScore | None] = [None] * len(clips)
    max_padding = MAX_PADDING if detector.padding else 0.0
    for batch in batches_by_length([len(clip) for clip in ready], detector.batch_s, max_padding):
        outputs = detector.run([ready[i] for i in batch])
        for row, i in enumerate(batch):
            frame_scores = None
            if outputs.frame_scores is not None:
                frames = count_frames(detector, len(clips[i]))
                frame_scores = outputs.frame_scores[row, :frames].copy()
            scores[i] = ClipScore(float(outputs.score[row]), frame_scores, outputs.embedding[row].copy())
    return scores  # type: ignore[return-value]


def count_frames(detector: Detector, samples: int) -> int:
    """Frames that lie inside a clip; at least one."""
    hop_s, length_s = detector.frame_hop_s or 1.0, detector.frame_length_s
    return max(1, int((samples / SAMPLE_RATE - length_s) / hop_s + 1 + 1e-6))


def calibrated(detector: Detector, score: float) -> float:
    """The LLR of a raw score; the score itself where the model is not calibrated."""
    return float(detector.calibration.apply(score)) if detector.calibration else score


class TimelineBuilder:
    """Frame scores of overlapping windows -> mean score of each step of the recording."""

    def __init__(self, detector: Detector) -> None:
        self.detector = detector
        self.sums: list[float] = []
        self.counts: list[int] = []

    def add(self, start: int, frame_scores: np.ndarray) -> None:
        """Frame scores (frames,) of a window that starts at sample `start`."""
        first = start / SAMPLE_RATE + self.detector.frame_length_s / 2
        middle = first + np.arange(len(frame_scores)) * (self.detector.frame_hop_s or 1.0)
        steps = (middle / self.detector.timeline_s).astype(int)
        grow = int(steps[-1]) + 1 - len(self.sums)
        self.sums += [0.0] * max(0, grow)
        self.counts += [0] * max(0, grow)
        for step in np.unique(steps):
            chosen = frame_scores[steps == step]
            self.sums[step] += float(chosen.sum())
            self.counts[step] += len(chosen)

    def finish(self, speaking: list[bool], prior: float) -> Timeline:
        """P(fake) of each step; None where `speaking` is false or nothing was scored."""
        calibration = self.detector.frame_calibration
        p_fake: list[float | None] = []
        pause = [0] * max(0, len(speaking) - len(self.sums))  # after the last window
        scored = zip([*self.sums, *pause], [*self.counts, *pause], strict=True)
        for step, (total, count) in enumerate(scored):
            if not count or (step < len(speaking) and not speaking[step]):
                p_fake.append(None)
                continue
            llr = float(calibration.apply(total / count)) if calibration else total / count
            p_fake.append(float(posterior_of_fake(llr, prior)))
        return Timeline(self.detector.timeline_s, tuple(p_fake))


def find_spans(
    timeline: Timeline, threshold: float, duration_s: float, min_s: float = 1.0
) -> tuple[Span, ...]:
    """Runs of steps at or above `threshold`, joined over gaps of one step, `min_s` or longer."""
    high = [p is not None and p >= threshold for p in timeline.p_fake]
    for i in range(1, len(high) - 1):
        high[i] = high[i] or (high[i - 1] and high[i + 1])
    spans, start = [], None
    for i, flag in enumerate([*high, False]):
        if flag and start is None:
            start = i
        elif not flag and start is not None:
            values = [p for p in timeline.p_fake[start:i] if p is not None]
            if (i - start) * timeline.step_s >= min_s:
                end_s = min(i * timeline.step_s, duration_s)
                spans.append(Span(start * timeline.step_s, end_s, sum(values) / len(values)))
            start = None
    return tuple(spans)


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


def recording_score(windows: Sequence[Window]) -> float:
    """The raw score of a recording: the mean over its scored windows."""
    return float(np.mean([window.score for window in windows]))
