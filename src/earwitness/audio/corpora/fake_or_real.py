"""Fake-or-Real (FoR): text-to-speech of 2019, commercial and open, and recordings of many origins; English.

- Paper: Reimao and Tzerpos, "FoR: A Dataset for Synthetic Speech Detection", SpeD 2019.
- Publisher: https://bil.eecs.yorku.ca/datasets/, mirrored at
  https://www.kaggle.com/datasets/mohammedabdeldayem/the-fake-or-real-dataset; licence GPL 3.0 as others
  report it.
- Size: 198,000 utterances in for-original, 69,000 in for-norm. AntiDeepfake tests on these two.
- Expected in ROOT: any of the editions for-original (as collected), for-norm (balanced in gender and class,
  one rate, level and channel), for-2seconds (for-norm cut), for-rerecorded (for-2seconds played and
  recorded), as folders or folders in folders (`for-norm/for-norm`, `for-2sec/for-2seconds`,
  `for-rerec/for-rerecorded`), or one of them itself. In an edition:
  `training|validation|testing/real|fake/file1.wav`, in for-original .mp3 too.
- Labels: the folder. Neither the system nor the speaker of a recording is given; all fakes are
  text-to-speech.
- Editions: `codec` is norm, 2seconds or rerecorded, and '-' for the original; each edition has IDs of its own
  (`FoR-`, `FoRnorm-`, `FoR2seconds-`, `FoRrerecorded-`), for they are test sets of their own.
- Keys: the later editions append what was done to the name (`file1000.mp3.wav_16k.wav_norm...`); the source
  (`FoR:training/fake/file1000.mp3`) is the name in front of it. That the numbers stay the same from edition
  to edition is read off the names, not documented; where a name is of another form the source is '-'.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from earwitness.audio.corpora.layout import audio_under
from earwitness.audio.protocol import Utterance
from earwitness.errors import InputError

NAME = "FakeOrReal"
LICENCE = "GPL-3.0"
SOURCE = "https://bil.eecs.yorku.ca/datasets/"

PARTS = {"training": "train", "validation": "valid", "testing": "test"}
EDITIONS = {  # folder -> folder around it, as on Kaggle
    "for-original": "for-original",
    "for-norm": "for-norm",
    "for-2seconds": "for-2sec",
    "for-rerecorded": "for-rerec",
}


def editions(root: Path) -> Iterator[tuple[str, Path]]:
    """Name and folder of each edition that is there."""
    for name, around in EDITIONS.items():
        for folder in (root / around / name, root / name, root):
            if folder.name == name and any((folder / part).is_dir() for part in PARTS):
                yield name.removeprefix("for-"), folder
                break


def recordings(folder: Path) -> Iterator[tuple[str, str, Path]]:
    """Part, label and path of each recording of one edition."""
    for part in PARTS:
        for label in ("real", "fake"):
            for path in audio_under(folder / part / label):
                yield part, label, path


def read(root: Path) -> Iterator[Utterance]:
    """All recordings of the editions that are there.

    Raises:
        InputError: `bad-corpus`: none is there.
    """
    found = list(editions(root))
    if not found:
        raise InputError(
            "bad-corpus", f"{root}: expected for-original/training or the like, found none; check the folder"
        )
    for edition, folder in found:
        changed = "" if edition == "original" else edition
        for part, label, path in recordings(folder):
            original = re.match(r"file\d+\.(?:mp3|wav)", path.name)
            yield Utterance(
                id=f"FoR{changed}-{part}-{label}-{path.name}",
                path=path,
                bona_fide=label == "real",
                dataset=NAME,
                split=PARTS[part],
                family="-" if label == "real" else "tts",
                language="EN",
                source=f"FoR:{part}/{label}/{original[0]}" if original else "-",
                codec=changed or "-",
                licence=LICENCE,
            )
