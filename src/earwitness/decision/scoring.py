"""Clips to scores: batches by length, one raw score and one LLR a window and a recording."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from earwitness.decision.detector import Detector
from earwitness.types import Window

SAMPLE_RATE = 16_000
MAX_PADDING = 0.15  # share of a batch's longest clip that its shortest may lack


@dataclass(frozen=True)
class ClipScore:
    """What the model says of one clip."""

    score: float
    frame_scores: np.ndarray | None  # (frames,) that lie inside the clip, or one
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
            if outputs.frame_scores is not None and detector.localisation:
                frames = max(1, detector.localisation.grid.count(len(clips[i])))
                frame_scores = outputs.frame_scores[row, :frames].copy()
            scores[i] = ClipScore(float(outputs.score[row]), frame_scores, outputs.embedding[row].copy())
    return scores  # type: ignore[return-value]


def calibrated(detector: Detector, score: float) -> float:
    """The LLR of a raw score; the score itself where the model is not calibrated."""
    return float(detector.calibration.apply(score)) if detector.calibration else score


def recording_score(windows: Sequence[Window]) -> float:
    """The raw score of a recording: the mean over its scored windows."""
    return float(np.mean([window.score for window in windows]))
