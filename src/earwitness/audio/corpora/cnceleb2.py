"""CN-Celeb2: Chinese celebrities in 11 genres, from interviews to singing; genuine.

- Paper: Li et al., "CN-Celeb: multi-genre speaker recognition", Speech Communication 2022, arXiv 2012.12468.
- Publisher: https://www.openslr.org/82/; licence CC BY-SA 4.0.
- Size: 1,084 h, 1,996 speakers, 16 kHz.
- Expected in ROOT: `CN-Celeb2_flac/data/SPEAKER/GENRE-SESSION-NUMBER.flac`, such as
  `id10936/recitation-02-028.flac`.
- Labels: none, all is genuine; recordings of the genre singing are sung. There is no official split.
- Keys: speaker `CNCeleb2:id10936`.
"""

from collections.abc import Iterator
from pathlib import Path

from earwitness.audio.corpora.layout import audio_under, need
from earwitness.audio.protocol import Utterance

NAME = "CN-Celeb2"
LICENCE = "CC-BY-SA-4.0"
SOURCE = "https://www.openslr.org/82/"


def read(root: Path) -> Iterator[Utterance]:
    """All utterances, one speaker's folder at a time.

    Raises:
        InputError: `bad-corpus`: no folder of data.
    """
    for speaker in sorted(need(root, "CN-Celeb2_flac/data").glob("[!.]*/")):
        for path in audio_under(speaker):
            yield Utterance(
                id=f"CNCeleb2-{speaker.name}-{path.stem}",
                path=path,
                bona_fide=True,
                dataset=NAME,
                speaker=f"CNCeleb2:{speaker.name}",
                language="ZH",
                source=f"CNCeleb2:{speaker.name}/{path.stem}",
                licence=LICENCE,
            )
