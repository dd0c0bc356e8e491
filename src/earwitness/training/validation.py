"""Score recordings while training: deterministic, undisturbed, each exactly as it would be alone.

A recording is taken whole up to 30 s and its middle beyond, scored by the difference of its logits,
and judged data set by data set. Where frames are taught, recordings are spliced, each in the same way
every time, and their frames are judged. AntiDeepfake validates through the training pipeline (random crops,
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
from earwitness.training.frames import FrameTask
from earwitness.training.options import LoopOptions
from earwitness.training.sampling import SAMPLE_RATE

LONGEST_S = 30.0  # as scanning takes whole clips


@dataclass(frozen=True)
class Trials:
    """What is judged: recordings, or frames of spliced ones."""

    scores: np.ndarray  # (trials,) float64, NaN where a recording cannot be decoded
    bona_fide: np.ndarray  # (trials,) bool; of a frame: not foreign, or not spoofed
    rows: np.ndarray  # (trials,), the recording of each


@dataclass(frozen=True)
class Middles:
    """Recordings as they are."""

    items: Sequence[Utterance]

    def read(self, row: int) -> tuple[np.ndarray, np.ndarray | None]:
        """Audio (samples,); no frame labels.

        Raises:
            InputError: it cannot be decoded, or is empty.
        """
        return middle(self.items[row]), None


@dataclass(frozen=True)
class Spliced:
    """Recordings spliced with others of the opposite class, both cut to the longest crop."""

    items: Sequence[Utterance]
    task: FrameTask
    options: LoopOptions

    def read(self, row: int) -> tuple[np.ndarray, np.ndarray | None]:
        """Audio (samples,) and frame labels (frames,).

        Raises:
            InputError: one of the two cannot be decoded, or is empty.
        """
        rng = np.random.default_rng([self.options.seed, 4, row])
        base = self.items[row]
        others = [item for item in self.items if item.bona_fide != base.bona_fide]
        other = others[int(rng.integers(len(others)))] if others else base
        longest_s = self.options.crop_s[1]
        first, second = ((middle(item, longest_s), item.bona_fide) for item in (base, other))
        audio, labels, _ = self.task.mix(first, second, rng)
        return audio, labels


@dataclass(frozen=True)
class Lengths:
    """What a network can take: one length only, or one length a batch, or anything."""

    fixed_samples: int | None = None
    alone: bool = False


def middle(item: Utterance, longest_s: float = LONGEST_S) -> np.ndarray:
    """The middle of a recording, or all of it, (samples,).

    Raises:
        InputError: it cannot be decoded, or is empty.
    """
    longest = int(longest_s * SAMPLE_RATE)
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


Scored = tuple[int, np.ndarray, np.ndarray | None]  # row, scores, labels of frames


@torch.no_grad()
def score_items(
    trainee: nn.Module,
    items: Sequence[Utterance],
    rows: Sequence[int],
    reader: Middles | Spliced,
    seconds: float,
    lengths: Lengths,
    device: Any,
) -> list[Scored]:
    """Scores of recordings, or of their frames; those that cannot be decoded are left out.

    Args:
        trainee: (batch, samples) and (batch,) -> scores (batch,), frame scores (batch, frames).
        items: all recordings.
        rows: those to score.
        reader: gives the audio.
        seconds: of audio in a batch, padding included.
        lengths: what the network takes.
        device: where it is.
    """
    was_training = trainee.training
    trainee.eval()
    fixed = lengths.fixed_samples
    scored: list[Scored] = []
    for batch in batches_of([items[row] for row in rows], seconds, lengths.alone and not fixed):
        read = []
        for row in (rows[k] for k in batch):
            try:
                samples, labels = reader.read(row)
            except InputError:
                continue
            audio = torch.from_numpy(samples)
            read.append((row, fit_length(audio, fixed) if fixed else audio, labels))
        if read:
            waveform, counts = padded([audio for _, audio, _ in read])
            scores, frames = trainee(waveform.to(device), counts.to(device))
            for k, (row, _, labels) in enumerate(read):
                found = scores[k : k + 1] if labels is None else frames[k, : len(labels)]
                scored.append((row, found.double().cpu().numpy(), labels))
    trainee.train(was_training)
    return scored


def gather(items: Sequence[Utterance], scored: Sequence[Scored]) -> Trials:
    """What was scored as trials, in the order of the recordings."""
    known = {row: (scores, labels) for row, scores, labels in scored}
    parts = []
    for row, item in enumerate(items):
        scores, labels = known.get(row, (np.array([np.nan]), None))
        right = np.array([item.bona_fide]) if labels is None else labels == 0
        parts.append((scores, right, np.full(len(scores), row)))
    return Trials(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def padded(clips: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Clips as one batch: (batch, samples) with zeros behind each, and lengths (batch,)."""
    lengths = torch.tensor([len(clip) for clip in clips])
    return torch.nn.utils.rnn.pad_sequence(list(clips), batch_first=True), lengths


def judge(items: Sequence[Utterance], trials: Trials) -> dict[str, float]:
    """EER of each data set that has both classes, `pooled` over all, and `mean` of the data sets.

    Raises:
        InputError: `bad-protocol`: no recording of a class was scored.
    """
    scores, bona_fide = trials.scores, trials.bona_fide
    known = np.isfinite(scores)
    datasets = np.array([item.dataset for item in items])[trials.rows]
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
