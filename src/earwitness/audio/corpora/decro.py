"""DECRO: Chinese and English speech in two halves of one make, to test detectors across languages.

- Paper: Ba et al., "Transferring Audio Deepfake Detection Capability across Languages", WWW 2023.
- Publisher: https://zenodo.org/record/7603208; licence not verified here, see the record.
- Size: 35.2 h genuine, 102.4 h spoofed (as counted by AntiDeepfake).
- Expected in ROOT, or in the folder `petrichorwq-DECRO-dataset-*` that the archive unpacks to: the label
  files `{ch,en}_{train,dev,eval}.txt`, and the audio of each in a folder of its name, `en_train/NAME.wav`.
- Labels: lines `SPEAKER NAME - SYSTEM KEY` (a space may follow) with the keys bonafide and spoof. For genuine
  speech SYSTEM is the corpus that it comes from and is not kept; SPEAKER may be `unknown`.
- Families are told by the names of the systems, whose spelling could not be checked against the paper; a name
  that tells nothing gives '-'.
- Splits: train, dev (`valid`) and eval (`test`) of the authors, in each language.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from earwitness.audio.corpora.layout import fields_of, need
from earwitness.audio.corpora.trials import inside, is_bona_fide
from earwitness.audio.protocol import Utterance

NAME = "DECRO"
LICENCE = "unverified"
SOURCE = "https://zenodo.org/record/7603208"

LANGUAGES = {"ch": "ZH", "en": "EN"}
PARTS = {"train": "train", "dev": "valid", "eval": "test"}
FAMILIES = {
    "vc": re.compile(r"stargan|nvc", re.I),
    "tts": re.compile(r"tacotron|fastspeech|vits|baidu|xunfei", re.I),
    "vocoder": re.compile(r"gan|pwg|wave", re.I),
}


def family_of(system: str) -> str:
    """Family that a system's name tells; '-' where it tells none."""
    return next((family for family, words in FAMILIES.items() if words.search(system)), "-")


def read(root: Path) -> Iterator[Utterance]:
    """All trials of the six label files.

    Raises:
        InputError: `bad-corpus`: a label file is absent, or a line of it is none.
    """
    inner = sorted(path.name for path in root.glob("petrichorwq-DECRO-dataset-*/"))
    base = need(root, "en_train.txt", *(f"{name}/en_train.txt" for name in inner)).parent
    for prefix, language in LANGUAGES.items():
        for part, split in PARTS.items():
            path = need(base, f"{prefix}_{part}.txt")
            for speaker, name, _, system, key in fields_of(path, 5):
                bona_fide = is_bona_fide(key, path, name)
                yield Utterance(
                    id=f"DECRO-{split}-{language}-{name}",
                    path=inside(base / path.stem, f"{name}.wav", path),
                    bona_fide=bona_fide,
                    dataset=NAME,
                    split=split,
                    generator="-" if bona_fide else system,
                    family="-" if bona_fide else family_of(system),
                    speaker="-" if speaker == "unknown" else speaker,
                    language=language,
                    licence=LICENCE,
                )
