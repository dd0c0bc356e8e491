"""Recordings to the stretches that are scored: whole to 30 s, overlapping windows beyond."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

SAMPLE_RATE = 16_000


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
