"""In-the-Wild: 58 celebrities and politicians, genuine and faked, from video and audio sites; English.

- Paper: Müller et al., "Does Audio Deepfake Detection Generalize?", Interspeech 2022.
- Publisher: https://deepfake-total.com/in_the_wild; licence Apache-2.0.
- Size: 20.7 h genuine, 17.2 h fake; 31,779 clips of 4.3 s on average, 16 kHz.
- Expected in ROOT, or in `release_in_the_wild/` in it: `meta.csv` and the audio it names.
- Labels: a header `file,speaker,label`, rows as `0.wav,Alec Guinness,spoof`, label bona-fide or spoof.
- Splits: none; it is a set to test on. What made the fakes is not known.
"""

from collections.abc import Iterator
from pathlib import Path

from earwitness.audio.corpora.layout import need, rows_of
from earwitness.audio.corpora.trials import inside, is_bona_fide
from earwitness.audio.protocol import Utterance

NAME = "In-the-Wild"
LICENCE = "Apache-2.0"
SOURCE = "https://deepfake-total.com/in_the_wild"


def read(root: Path) -> Iterator[Utterance]:
    """All rows of the table.

    Raises:
        InputError: `bad-corpus`: the table is absent, or a row of it is none.
    """
    path = need(root, "meta.csv", "release_in_the_wild/meta.csv")
    for row in rows_of(path, ("file", "speaker", "label")):
        name = row["file"]
        yield Utterance(
            id=f"ItW-{name.removesuffix('.wav')}",
            path=inside(path.parent, name, path),
            bona_fide=is_bona_fide(row["label"], path, name, "bona-fide"),
            dataset=NAME,
            speaker=row["speaker"] or "-",
            language="EN",
            licence=LICENCE,
        )
