"""SpoofCeleb: VoxCeleb1 speech as found, and 23 text-to-speech systems trained on such speech.

- Paper: Jung et al., "SpoofCeleb: Speech Deepfake Detection and SASV In The Wild", IEEE OJSP 6, 2025; arXiv
  2409.17285.
- Publisher: https://huggingface.co/datasets/jungjee/spoofceleb; licence CC BY 4.0.
- Size: 173.0 h genuine, 1,916.2 h spoofed; 1,251 speakers, 16 kHz FLAC.
- Expected in ROOT, or in `spoofceleb/` in it: `metadata/{train,development,evaluation}.csv` and the audio
  `flac/{train,development,evaluation}/FILE`.
- Labels: a header `file,speaker,attack`, rows as `a00/id10318/YYsxcZ5saac-00002-006.flac,id10318,a00`; the
  attack a00 is genuine speech, a01 to a23 are text to speech.
- Keys: speaker `VoxCeleb1:id10318`; the source of genuine speech is its name below a00. The language of the
  speakers is not given.
"""

from collections.abc import Iterator
from pathlib import Path

from earwitness.audio.corpora.layout import need, rows_of
from earwitness.audio.corpora.trials import inside
from earwitness.audio.protocol import Utterance
from earwitness.errors import InputError

NAME = "SpoofCeleb"
LICENCE = "CC-BY-4.0"
SOURCE = "https://huggingface.co/datasets/jungjee/spoofceleb"

PARTS = {"train": "train", "development": "valid", "evaluation": "test"}


def read(root: Path) -> Iterator[Utterance]:
    """All rows of the three tables.

    Raises:
        InputError: `bad-corpus`: a table is absent, or a row of it is none.
    """
    base = need(root, "metadata", "spoofceleb/metadata").parent
    for part, split in PARTS.items():
        path = need(base, f"metadata/{part}.csv")
        for number, row in enumerate(rows_of(path, ("file", "speaker", "attack")), start=2):
            name, attack = row["file"].removesuffix(".flac"), row["attack"]
            if not attack:
                raise InputError(
                    "bad-corpus", f"{path}, row {number}: {name} has no attack, expected a00 to a23"
                )
            bona_fide = attack == "a00"
            yield Utterance(
                id=f"SpoofCeleb-{name}",
                path=inside(base / "flac" / part, row["file"], path),
                bona_fide=bona_fide,
                dataset=NAME,
                split=split,
                generator="-" if bona_fide else attack,
                family="-" if bona_fide else "tts",
                speaker=f"VoxCeleb1:{row['speaker']}",
                source=f"VoxCeleb1:{name.removeprefix('a00/')}" if bona_fide else "-",
                licence=LICENCE,
            )
