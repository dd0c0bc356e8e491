"""AISHELL-3: Mandarin sentences read by 218 speakers in a studio; genuine.

- Paper: Shi et al., "AISHELL-3: A Multi-speaker Mandarin TTS Corpus", Interspeech 2021, arXiv 2010.11567.
- Publisher: https://www.openslr.org/93/; licence Apache 2.0.
- Size: 85.6 h, 88,035 utterances, 44.1 kHz.
- Expected in ROOT: `train/` and `test/`, each with `content.txt` and `wav/SPEAKER/SPEAKERNNNN.wav`.
- Labels: all is genuine; `content.txt` has no header and lines of file, tab, characters and pinyin in turns:
  `SSB00050001.wav<TAB>广 guang3 州 zhou1`. Lists and recordings agree: 63,262 in train, 24,773 in test.
- Splits: train and test as published; there is no development part. Most speakers stand in both, which
  `corpus check` reports.
- Keys: speaker `AISHELL3:SSB0005`, source `AISHELL3:SSB00050001`, shared with Codecfake of Xie et al.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from earwitness.audio.corpora.layout import fields_of, need
from earwitness.audio.protocol import Utterance
from earwitness.errors import InputError

NAME = "AISHELL-3"
LICENCE = "Apache-2.0"
SOURCE = "https://www.openslr.org/93/"

PARTS = ("train", "test")


def rows(folder: Path, part: str) -> Iterator[Utterance]:
    """Utterances of one part.

    Raises:
        InputError: `bad-corpus`: no list; a malformed line, with file and row.
    """
    table = need(folder, "content.txt")
    for number, (name, text) in enumerate(fields_of(table, 2, "\t"), start=1):
        found = re.fullmatch(r"((SSB\d{4})\d{4})\.wav", name)
        if not found:
            raise InputError(
                "bad-corpus",
                f"{table}, row {number}: expected a file such as SSB00050001.wav, found {name!r}",
            )
        utterance, speaker = found.groups()
        yield Utterance(
            id=f"AIShell3-{speaker}-{utterance}",
            path=folder / "wav" / speaker / name,
            bona_fide=True,
            dataset=NAME,
            split=part,
            speaker=f"AISHELL3:{speaker}",
            language="ZH",
            source=f"AISHELL3:{utterance}",
            text="".join(text.split()[::2]) or "-",
            licence=LICENCE,
        )


def read(root: Path) -> Iterator[Utterance]:
    """All utterances that the lists name, of the parts that are there.

    Raises:
        InputError: `bad-corpus`: neither part; a malformed list.
    """
    need(root, *PARTS)
    for part in PARTS:
        if (root / part).is_dir():
            yield from rows(root / part, part)
