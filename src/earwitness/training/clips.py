"""From a plan of batches to tensors: decode a stretch, disturb it, put it into a batch.

All randomness of a clip comes from the seed of its `Draw`, so neither the number of workers nor an
interruption changes a batch. A recording that cannot be decoded is replaced by another of its class
and named in the batch; it never stops a run, and never goes unnoticed.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from earwitness.audio.augment.chain import Chain
from earwitness.audio.augment.clips import changed
from earwitness.audio.io import load_part
from earwitness.audio.protocol import Utterance
from earwitness.errors import InputError
from earwitness.training.frames import FrameTask
from earwitness.training.sampling import SAMPLE_RATE, Batch, Packing, Share, plan, sampling_weights

LEAST_SAMPLES = 8_000  # shorter stretches are repeated up to here: half a second
TRIES = 20  # recordings in a row that may fail before a run stops


@dataclass
class Clips:
    """One process's part of a batch."""

    waveform: Tensor  # (batch, samples), zeros behind each clip
    lengths: Tensor  # (batch,)
    labels: Tensor  # (batch,), 1 for bona fide
    frames: Tensor | None  # (batch, frames) labels of spliced clips, -1 behind each
    total: int  # recordings in the batch, over all processes
    next_place: tuple[int, int]
    applied: Counter[str] = field(default_factory=Counter)  # augmentation -> clips that it ran on
    changed: Counter[str] = field(default_factory=Counter)  # augmentation -> clips that it changed
    unreadable: list[tuple[str, str]] = field(default_factory=list)  # ID, reason


def cut(item: Utterance, samples: int, equal: bool, rng: np.random.Generator) -> np.ndarray:
    """A random stretch of a recording, (samples,) or less where it is shorter and `equal` is false.

    Raises:
        InputError: it cannot be decoded, or holds nothing.
    """
    total = int((item.duration_s or 0.0) * SAMPLE_RATE)
    start = int(rng.integers(0, max(1, total - samples + 1)))
    audio = load_part(item.path, start, samples)
    if not len(audio):
        raise InputError("empty-audio", f"{item.path}: holds no audio at {start / SAMPLE_RATE:.2f} s")
    return lengthen(audio, samples if equal else min(samples, LEAST_SAMPLES))


def lengthen(audio: np.ndarray, samples: int) -> np.ndarray:
    """Repeated up to `samples` if it is shorter."""
    return audio if len(audio) >= samples else np.tile(audio, -(-samples // len(audio)))[:samples]


class Batches(torch.utils.data.IterableDataset):
    """Batches of a plan, decoded and disturbed. Workers take turns, so their order is the plan's."""

    def __init__(
        self,
        items: Sequence[Utterance],
        packing: Packing,
        chain: Chain,
        share: Share = Share(),
        place: tuple[int, int] = (0, 0),
        batches: int | None = None,
        frames: FrameTask | None = None,
    ) -> None:
        self.items, self.packing, self.chain = items, packing, chain
        self.share, self.place, self.batches, self.frames = share, place, batches, frames
        self.weights = sampling_weights(items, packing.balance)

    def __iter__(self) -> Iterator[Clips]:
        worker = torch.utils.data.get_worker_info()
        first, step = (worker.id, worker.num_workers) if worker else (0, 1)
        batches = plan(self.items, self.packing, self.place, self.share)
        for batch in islice(batches, first, self.batches, step):
            yield self.make(batch)

    def make(self, batch: Batch) -> Clips:
        """Decode and disturb one batch."""
        clips = Clips(torch.empty(0), torch.empty(0), torch.empty(0), None, batch.total, batch.next_place)
        rngs = [np.random.default_rng(draw.seed) for draw in batch.draws]
        pieces = [
            self.cut(self.items[draw.row], draw.samples, rng, clips)
            for draw, rng in zip(batch.draws, rngs, strict=True)
        ]
        frames = []
        if self.frames:
            mixed = [self.mix(pieces, i, rng, clips) for i, rng in enumerate(rngs)]
            pieces, frames = [(audio, bona_fide) for audio, _, bona_fide in mixed], [row[1] for row in mixed]
        audios = [
            self.disturb(audio, draw.samples, rng, clips)
            for (audio, _), draw, rng in zip(pieces, batch.draws, rngs, strict=True)
        ]
        clips.waveform = filled(audios, 0.0)
        clips.frames = filled(frames, -1.0) if self.frames else None
        clips.lengths = torch.tensor([len(audio) for audio in audios])
        clips.labels = torch.tensor([int(bona_fide) for _, bona_fide in pieces])
        return clips

    def mix(
        self, pieces: Sequence[tuple[np.ndarray, bool]], i: int, rng: np.random.Generator, clips: Clips
    ) -> tuple[np.ndarray, np.ndarray, bool]:
        """Clip `i` with a part of the other of its pair, or of another recording of its own class."""
        assert self.frames is not None
        injector = pieces[i ^ 1]  # pairs are of both classes
        if self.frames.same_class and rng.random() < self.frames.same_class:
            audio, bona_fide = pieces[i]
            row = int(rng.choice(len(self.items), p=self.weights[bona_fide]))
            injector = self.cut(self.items[row], len(audio), rng, clips)
        return self.frames.mix(pieces[i], injector, rng)

    def cut(
        self, item: Utterance, samples: int, rng: np.random.Generator, clips: Clips
    ) -> tuple[np.ndarray, bool]:
        """A stretch of a recording and whether it is bona fide; another's where it cannot be decoded.

        Raises:
            InputError: twenty recordings in a row could not be decoded.
        """
        for _ in range(TRIES):
            try:
                return cut(item, samples, self.packing.equal, rng), item.bona_fide
            except InputError as error:
                clips.unreadable.append((item.id, error.message))
                alike = [other for other in self.items if other.bona_fide == item.bona_fide]
                item = alike[int(rng.integers(len(alike)))]
        raise InputError("unreadable", f"{TRIES} recordings in a row could not be decoded, last {item.path}")

    def disturb(self, audio: np.ndarray, samples: int, rng: np.random.Generator, clips: Clips) -> np.ndarray:
        """A clip through the chain, (samples,); what ran on it is noted in `clips`."""
        for name, before, after in self.chain.trace(audio, rng):
            clips.applied[name] += 1
            clips.changed[name] += changed(before, after)
            audio = after
        return lengthen(audio[:samples], samples if self.packing.equal else 1)


def filled(rows: Sequence[np.ndarray], value: float) -> Tensor:
    """Rows of different lengths as one tensor, (rows, longest), `value` behind each."""
    found = torch.full((len(rows), max(map(len, rows))), value)
    for i, row in enumerate(rows):
        found[i, : len(row)] = torch.from_numpy(row)
    return found
