"""LibriTTS-R: LibriTTS after speech restoration (Miipher); fake, for its waveforms come from a vocoder.

- Paper: Koizumi et al., "LibriTTS-R: A Restored Multi-Speaker Text-to-Speech Corpus", Interspeech 2023.
- Publisher: https://www.openslr.org/141/; licence CC BY 4.0.
- Size: 583 h, 24 kHz, the speakers and utterances of LibriTTS.
- Expected in ROOT (the archives' folder LibriTTS_R): as LibriTTS,
  `PART/SPEAKER/CHAPTER/SPEAKER_CHAPTER_PARAGRAPH_SENTENCE.wav`.
- Labels: none, all counts as fake, as in AntiDeepfake.
- Prefix: AntiDeepfake's `Libri-R-` reads as `Libri` where IDs are grouped by the text before the first '-';
  here it is `LibriR-`.
"""

from collections.abc import Iterator
from pathlib import Path

from earwitness.audio.corpora.layout import need
from earwitness.audio.corpora.libritts import PARTS, recordings
from earwitness.audio.protocol import Utterance

NAME = "LibriTTS-R"
LICENCE = "CC-BY-4.0"
SOURCE = "https://www.openslr.org/141/"


def read(root: Path) -> Iterator[Utterance]:
    """All utterances; speaker and source are those of the LibriTTS utterance that was restored.

    Raises:
        InputError: `bad-corpus`: none of the parts is there.
    """
    need(root, *PARTS)
    for split, speaker, path in recordings(root):
        yield Utterance(
            id=f"LibriR-{path.stem}",
            path=path,
            bona_fide=False,
            dataset=NAME,
            split=split,
            generator="miipher",
            family="vocoder",
            speaker=f"LibriTTS:{speaker}",
            language="EN",
            source=f"LibriTTS:{path.stem}",
            licence=LICENCE,
        )
