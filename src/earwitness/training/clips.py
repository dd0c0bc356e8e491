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
from earwitness.training.sampling import SAMPLE_RATE, Batch, Draw, Packing, Share, plan

LEAST_SAMPLES = 8_000  # shorter stretches are repeated up to here: half a second
TRIES = 20  # recordings in a row that may fail before a run stops


@dataclass
class Clips:
    """One process's part of a batch."""

    waveform: Tensor  # (batch, samples), zeros behind each clip
    lengths: Tensor  # (batch,)
    labels: Tensor  # (batch,), 1 for bona fide
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
    ) -> None:
        self.items, self.packing, self.chain = items, packing, chain
        self.share, self.place, self.batches = share, place, batches

    def __iter__(self) -> Iterator[Clips]:
        worker = torch.utils.data.get_worker_info()
        first, step = (worker.id, worker.num_workers) if worker else (0, 1)
        batches = plan(self.items, self.packing, self.place, self.share)
        for batch in islice(batches, first, self.batches, step):
            yield self.make(batch)

    def make(self, batch: Batch) -> Clips:
        """Decode and disturb one batch."""
        clips = Clips(torch.empty(0), torch.empty(0), torch.empty(0), batch.total, batch.next_place)
        pieces = [self.clip(draw, clips) for draw in batch.draws]
        longest = max(len(audio) for audio, _ in pieces)
        clips.waveform = torch.zeros(len(pieces), longest)
        for i, (audio, _) in enumerate(pieces):
            clips.waveform[i, : len(audio)] = torch.from_numpy(audio)
        clips.lengths = torch.tensor([len(audio) for audio, _ in pieces])
        clips.labels = torch.tensor([int(bona_fide) for _, bona_fide in pieces])
        return clips

    def clip(self, draw: Draw, clips: Clips) -> tuple[np.ndarray, bool]:
        """One clip and whether it is bona fide; what happened to it is noted in `clips`.

        Raises:
            InputError: twenty recordings in a row could not be decoded.
        """
        rng = np.random.default_rng(draw.seed)
        item = self.items[draw.row]
        for _ in range(TRIES):
            try:
                audio = cut(item, draw.samples, self.packing.equal, rng)
            except InputError as error:
                clips.unreadable.append((item.id, error.message))
                alike = [other for other in self.items if other.bona_fide == item.bona_fide]
                item = alike[int(rng.integers(len(alike)))]
                continue
            for name, before, after in self.chain.trace(audio, rng):
                clips.applied[name] += 1
                clips.changed[name] += changed(before, after)
                audio = after
            audio = audio[: draw.samples]
            return lengthen(audio, draw.samples if self.packing.equal else 1), item.bona_fide
        raise InputError("unreadable", f"{TRIES} recordings in a row could not be decoded, last {item.path}")
