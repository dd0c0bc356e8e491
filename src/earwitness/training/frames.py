"""What the frames of a spliced clip are taught.

Mix-frame post-training (Pan, Sailor and Wu, arXiv:2606.25328) labels a frame 1 where its middle lies
in foreign material, whatever the classes: not authenticity, but "this was not here". With `spoof`
a frame is 1 where what is heard is spoofed: that is what a detector of partial fakes needs.
"""

from dataclasses import dataclass, field

import numpy as np

from earwitness.audio.augment.mixing import Splicing, splice
from earwitness.audio.frames import FrameGrid

LABELS = ("foreign", "spoof")


@dataclass(frozen=True)
class FrameTask:
    """How clips are spliced and labelled."""

    grid: FrameGrid
    splicing: Splicing = field(default_factory=Splicing)
    label: str = "foreign"
    same_class: float = 0.0  # share of splices within a class
    same_label: int = 1  # of the frames of such a segment, under `foreign`
    whole: float = 0.0  # share of clips left as they are

    def mix(
        self,
        base: tuple[np.ndarray, bool],
        injector: tuple[np.ndarray, bool],
        rng: np.random.Generator,
    ) -> tuple[np.ndarray, np.ndarray, bool]:
        """Clips (samples,), each with whether it is bona fide -> clip, frame labels, bona fide throughout.

        Labels (frames,) are 1 for foreign or spoofed frames, else 0.
        """
        audio, bona_fide = base
        frames = self.grid.count(len(audio))
        if rng.random() < self.whole:
            spoofed = self.label == "spoof" and not bona_fide
            return audio, np.full(frames, float(spoofed), np.float32), bona_fide
        mixed, spans = splice(audio, injector[0], rng, self.splicing)
        foreign = self.grid.labels(spans, frames)
        if self.label == "spoof":
            labels = np.where(foreign, not injector[1], not bona_fide)
        else:
            labels = foreign & bool(self.same_label or bona_fide != injector[1])
        return mixed, labels.astype(np.float32), bona_fide and injector[1]
