"""Samples, seconds and frames, and the stretches of a recording that are scored.

Frame t of a network covers samples [hop t, hop t + length) and says most about its middle, sample
hop t + middle. Between the frames' middles the nearest frame speaks: its cell is half a hop to either
side, half open; the first cell begins with the clip, the last ends with it. All arithmetic between
samples and frames stands here.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

SAMPLE_RATE = 16_000


@dataclass(frozen=True)
class FrameGrid:
    """Where the frames of a network lie, in samples at 16 kHz."""

    hop: int
    length: int  # samples that frame 0 must see whole: with fewer there is no frame
    middle: int  # sample that frame 0 is about

    def __post_init__(self) -> None:
        if not (self.hop > 0 and self.length > 0 and 0 <= self.middle <= self.length):
            raise ValueError(f"no frames lie at hop {self.hop}, length {self.length}, middle {self.middle}")

    @classmethod
    def from_seconds(cls, hop_s: float, length_s: float, middle_s: float) -> "FrameGrid":
        """The grid that a card describes.

        Raises:
            ValueError: no frames lie so.
        """
        return cls(*(round(seconds * SAMPLE_RATE) for seconds in (hop_s, length_s, middle_s)))

    @property
    def hop_s(self) -> float:
        """Seconds from frame to frame."""
        return self.hop / SAMPLE_RATE

    @property
    def length_s(self) -> float:
        """Seconds that a frame covers."""
        return self.length / SAMPLE_RATE

    @property
    def middle_s(self) -> float:
        """Seconds from the clip's beginning to what frame 0 is about."""
        return self.middle / SAMPLE_RATE

    def count(self, samples: int) -> int:
        """Frames that lie inside a clip of so many samples; 0 where it is shorter than one."""
        return max(0, (samples - self.length) // self.hop + 1)

    def middles(self, frames: int) -> np.ndarray:
        """The sample that each frame is about, (frames,)."""
        return self.middle + self.hop * np.arange(frames)

    def cells(self, samples: np.ndarray | int) -> np.ndarray:
        """The frame whose cell holds each sample, of the shape of `samples`; the last cell has no end."""
        return np.maximum((2 * (np.asarray(samples) - self.middle) + self.hop) // (2 * self.hop), 0)

    def labels(self, spans: Sequence[tuple[int, int]], frames: int) -> np.ndarray:
        """Whether the middle of each frame lies in one of the spans [start, stop) of samples, (frames,)."""
        middles = self.middles(frames)
        inside = np.zeros(frames, bool)
        for start, stop in spans:
            inside |= (start <= middles) & (middles < stop)
        return inside

    def edges(self, frames: int, samples: int) -> np.ndarray:
        """Where the cells of the frames meet, in seconds, (frames + 1,), from 0 to the clip's end.

        Frames beyond the clip's end have empty cells there.
        """
        inner = self.middles(frames)[1:] - self.hop / 2
        end = [samples] if frames else []
        return np.minimum(np.concatenate([[0.0], inner, end]), samples) / SAMPLE_RATE


@dataclass(frozen=True)
class Windowing:
    """Seconds. Short windows cost accuracy (4 s triples the EER of some detectors)."""

    whole_s: float = 30.0
    window_s: float = 12.0
    hop_s: float = 8.0

    def __post_init__(self) -> None:
        if not 0 < self.hop_s <= self.window_s <= self.whole_s:
            raise ValueError("a hop must not be longer than a window, nor a window than a whole clip")


def cut_windows(
    blocks: Iterable[np.ndarray], windowing: Windowing = Windowing()
) -> Iterator[tuple[int, np.ndarray]]:
    """Blocks of audio -> (first sample, window), holding at most `whole_s`, or a window and a hop, in memory.

    A recording up to `whole_s` comes as one window. Beyond, windows of `window_s` start every
    `hop_s`; the last one is moved back to end with the recording, so none is shorter.
    """
    whole, size, hop = (
        round(s * SAMPLE_RATE) for s in (windowing.whole_s, windowing.window_s, windowing.hop_s)
    )
    kept, held, start, long = [], 0, 0, False  # `kept` holds the samples from `start` on
    for block in blocks:
        kept.append(block)
        held += len(block)
        long = long or held > whole
        if not long or held < size + hop:
            continue
        audio = np.concatenate(kept)
        while len(audio) >= size + hop:
            yield start, audio[:size]
            audio, start = audio[hop:], start + hop
        kept, held = [audio], len(audio)
    if not held:
        return
    audio = np.concatenate(kept)
    if not long:
        yield 0, audio
        return
    yield start, audio[:size]
    if len(audio) > size:
        yield start + len(audio) - size, audio[-size:]
