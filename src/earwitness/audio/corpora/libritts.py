"""LibriTTS: read English audiobooks (LibriVox), cut at sentences; genuine.

- Paper: Zen et al., "LibriTTS: A Corpus Derived from LibriSpeech for Text-to-Speech", Interspeech 2019.
- Publisher: https://www.openslr.org/60/; licence CC BY 4.0.
- Size: 586 h, 2,456 speakers, 24 kHz.
- Expected in ROOT: `PART/SPEAKER/CHAPTER/SPEAKER_CHAPTER_PARAGRAPH_SENTENCE.wav`, PART being train-clean-100,
  train-clean-360, train-other-500, dev-clean, dev-other, test-clean or test-other; any of them may be absent.
- Labels: none, all is genuine. The texts lie beside the recordings (`.normalized.txt`) and are not read.
- Keys: speaker `LibriTTS:84` and source `LibriTTS:84_121123_000007_000001` are those of LibriTTS-R and
  LibriTTS-Vocoded too, so that copies of one utterance are known as such across the three.
"""

from collections.abc import Iterator
from pathlib import Path

from earwitness.audio.corpora.layout import audio_under, need
from earwitness.audio.protocol import Utterance

NAME = "LibriTTS"
LICENCE = "CC-BY-4.0"
SOURCE = "https://www.openslr.org/60/"

PARTS = {
    "train-clean-100": "train",
    "train-clean-360": "train",
    "train-other-500": "train",
    "dev-clean": "valid",
    "dev-other": "valid",
    "test-clean": "test",
    "test-other": "test",
}


def recordings(folder: Path) -> Iterator[tuple[str, str, Path]]:
    """Split, speaker and path of each recording, one speaker's folder at a time to keep memory small."""
    for part, split in PARTS.items():
        for speaker in sorted((folder / part).glob("[!.]*/")):
            for path in audio_under(speaker):
                yield split, speaker.name, path


def read(root: Path) -> Iterator[Utterance]:
    """All utterances.

    Raises:
        InputError: `bad-corpus`: none of the parts is there.
    """
    need(root, *PARTS)
    for split, speaker, path in recordings(root):
        yield Utterance(
            id=f"Libri-{path.stem}",
            path=path,
            bona_fide=True,
            dataset=NAME,
            split=split,
            speaker=f"LibriTTS:{speaker}",
            language="EN",
            source=f"LibriTTS:{path.stem}",
            licence=LICENCE,
        )
