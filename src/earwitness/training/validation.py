"""Score recordings while training: deterministic, undisturbed, each exactly as it would be alone.

A recording is taken whole up to 30 s and its middle beyond, scored by the difference of its logits,
and judged data set by data set. AntiDeepfake validates through the training pipeline (random crops,
RawBoost), unmasked, by one logit, and calls the odds of the error rate "EER"; none of that here.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from earwitness.audio.io import load_part
from earwitness.audio.protocol import Utterance
from earwitness.decision.heads.aasist import fit_length
from earwitness.errors import InputError
from earwitness.metrics.detection import eer
from earwitness.training.clips import LEAST_SAMPLES, lengthen
from earwitness.training.sampling import SAMPLE_RATE

LONGEST_S = 30.0  # as scanning takes whole clips


@dataclass(frozen=True)
class Lengths:
    """What a network can take: one length only, or one length a batch, or anything."""

    fixed_samples: int | None = None
    alone: bool = False


def middle(item: Utterance) -> np.ndarray:
    """The middle 30 s of a recording, or all of it, (samples,).

    Raises:
        InputError: it cannot be decoded, or is empty.
    """
    longest = int(LONGEST_S * SAMPLE_RATE)
    start = max(0, (int((item.duration_s or 0.0) * SAMPLE_RATE) - longest) // 2)
    audio = load_part(item.path, start, longest)
    if not len(audio):
        raise InputError("empty-audio", f"{item.path}: holds no audio")
    return lengthen(audio, LEAST_SAMPLES)


def batches_of(items: Sequence[Utterance], seconds: float, alone: bool) -> Iterator[list[int]]:
    """Rows of batches of like lengths and at most `seconds` of audio with padding; one each if `alone`."""
    lengths = np.array([min(item.duration_s or 0.0, LONGEST_S) for item in items])
    batch: list[int] = []
    for row in np.argsort(lengths, kind="stable"):
        if batch and (alone or (len(batch) + 1) * lengths[row] > seconds):
            yield batch
            batch = []
        batch.append(int(row))
    if batch:
        yield batch


@torch.no_grad()
def score_items(
    trainee: nn.Module, items: Sequence[Utterance], seconds: float, lengths: Lengths, device: Any
) -> np.ndarray:
    """Scores (items,) float64, logit differences; NaN where a recording cannot be decoded.

    Args:
        trainee: (batch, samples) and (batch,) -> scores (batch,).
        seconds: of audio in a batch, padding included.
    """
    was_training = trainee.training
    trainee.eval()
    fixed = lengths.fixed_samples
    scores = np.full(len(items), np.nan)
    for rows in batches_of(items, seconds, lengths.alone and not fixed):
        read = []
        for row in rows:
            try:
                audio = torch.from_numpy(middle(items[row]))
            except InputError:
                continue
            read.append((row, fit_length(audio, fixed) if fixed else audio))
        if read:
            waveform, counts = padded([audio for _, audio in read])
            found = trainee(waveform.to(device), counts.to(device))
            scores[[row for row, _ in read]] = found.double().cpu().numpy()
    trainee.train(was_training)
    return scores


def padded(clips: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Clips as one batch: (batch, samples) with zeros behind each, and lengths (batch,)."""
    lengths = torch.tensor([len(clip) for clip in clips])
    return torch.nn.utils.rnn.pad_sequence(list(clips), batch_first=True), lengths


def judge(items: Sequence[Utterance], scores: np.ndarray) -> dict[str, float]:
    """EER of each data set that has both classes, `pooled` over all, and `mean` of the data sets.

    Raises:
        InputError: `bad-protocol`: no recording of a class was scored.
    """
    known = np.isfinite(scores)
    bona_fide = np.array([item.bona_fide for item in items])
    datasets = np.array([item.dataset for item in items])
    for label, name in ((True, "bona fide"), (False, "spoofed")):
        if not (known & (bona_fide == label)).any():
            raise InputError("bad-protocol", f"validation: no {name} recording could be scored")
    found = {}
    for dataset in np.unique(datasets):
        here = known & (datasets == dataset)
        if (here & bona_fide).any() and (here & ~bona_fide).any():
            found[str(dataset)] = eer(scores[here & bona_fide], scores[here & ~bona_fide])
    pooled = eer(scores[known & bona_fide], scores[known & ~bona_fide])
    mean = float(np.mean(list(found.values()))) if found else pooled
    return found | {"pooled": pooled, "mean": mean}
