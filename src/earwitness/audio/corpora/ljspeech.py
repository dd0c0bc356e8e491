"""LJSpeech 1.1: one American reader of seven books (LibriVox); genuine.

- Authors: Ito and Johnson, "The LJ Speech Dataset", 2017.
- Publisher: https://keithito.com/LJ-Speech-Dataset/; public domain.
- Size: 24 h, one speaker, 13,100 clips, 22.05 kHz.
- Expected in ROOT: `metadata.csv` and `wavs/LJ001-0001.wav`, or these in a folder LJSpeech-1.1.
- Labels: all is genuine; `metadata.csv` has no header and lines `ID|text|normalised text`, without quoting.
  There is no official split.
- Keys: speaker `LJSpeech` and source `LJSpeech:LJ001-0001`, shared with WaveFake. AntiDeepfake takes the
  book's chapter (LJ001) for a speaker, which it is not.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from earwitness.audio.corpora.layout import fields_of, need
from earwitness.audio.protocol import Utterance
from earwitness.errors import InputError

NAME = "LJSpeech"
LICENCE = "public domain"
SOURCE = "https://keithito.com/LJ-Speech-Dataset/"


def read(root: Path) -> Iterator[Utterance]:
    """All clips that `metadata.csv` lists.

    Raises:
        InputError: `bad-corpus`: no list; a line of it is malformed.
    """
    table = need(root, "metadata.csv", "LJSpeech-1.1/metadata.csv")
    for number, (name, _, text) in enumerate(fields_of(table, 3, "|"), start=1):
        if not re.fullmatch(r"LJ\d{3}-\d{4}", name):
            raise InputError(
                "bad-corpus", f"{table}, row {number}: expected a name such as LJ001-0001, found {name!r}"
            )
        yield Utterance(
            id=f"LJ-{name}",
            path=table.parent / "wavs" / f"{name}.wav",
            bona_fide=True,
            dataset=NAME,
            speaker="LJSpeech",
            language="EN",
            source=f"LJSpeech:{name}",
            text=text or "-",
            licence=LICENCE,
        )
