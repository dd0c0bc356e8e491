"""VoxCeleb2: interviews of celebrities from YouTube, many languages and rooms; genuine.

- Paper: Chung, Nagrani and Zisserman, "VoxCeleb2: Deep Speaker Recognition", Interspeech 2018.
- Publisher: https://www.robots.ox.ac.uk/~vgg/data/voxceleb/vox2.html; licence CC BY 4.0, while the copyright
  of the videos stays with their owners.
- Size: 2,442 h, 6,112 speakers, 1.13 million utterances. AntiDeepfake counts 1,180 h of it.
- Expected in ROOT: `dev/aac/SPEAKER/VIDEO/NUMBER.m4a` and `test/aac/...`, either of them. Where a recording
  was decoded to .wav beside its .m4a, the .wav is taken.
- Labels: none, all is genuine; the language is not given.
- Splits: the corpus' `dev` is what its authors train on, hence train; `test` is test; speakers are disjoint.
- Keys: speaker `VoxCeleb2:id00082`, source `VoxCeleb2:id00082/lXxPuqI6Yac/00146`, shared with
  VoxCeleb2-Vocoded.
"""

from collections.abc import Iterator
from pathlib import Path

from earwitness.audio.corpora.layout import audio_under, need
from earwitness.audio.protocol import Utterance

NAME = "VoxCeleb2"
LICENCE = "CC-BY-4.0"
SOURCE = "https://www.robots.ox.ac.uk/~vgg/data/voxceleb/vox2.html"

PARTS = {"dev/aac": "train", "test/aac": "test"}


def recordings(folder: Path) -> Iterator[tuple[str, str, Path]]:
    """Split, SPEAKER/VIDEO/NUMBER and path of each recording, one speaker's folder at a time."""
    for part, split in PARTS.items():
        for speaker in sorted((folder / part).glob("[!.]*/")):
            # of one name the last ending stays, and .wav sorts behind .m4a
            found = {path.with_suffix(""): path for path in audio_under(speaker)}
            for stem, path in found.items():
                yield split, stem.relative_to(speaker.parent).as_posix(), path


def read(root: Path) -> Iterator[Utterance]:
    """All utterances.

    Raises:
        InputError: `bad-corpus`: neither part is there.
    """
    need(root, *PARTS)
    for split, key, path in recordings(root):
        yield Utterance(
            id=f"VoxCeleb2-{key.replace('/', '-')}",
            path=path,
            bona_fide=True,
            dataset=NAME,
            split=split,
            speaker=f"VoxCeleb2:{key.partition('/')[0]}",
            source=f"VoxCeleb2:{key}",
            licence=LICENCE,
        )
