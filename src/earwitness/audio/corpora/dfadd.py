"""DFADD: VCTK sentences spoken by five text-to-speech systems that rest on diffusion or flow matching.

- Paper: Du et al., "DFADD: The Diffusion and Flow-Matching Based Audio Deepfake Dataset", SLT 2024; arXiv
  2409.08731.
- Publisher: https://huggingface.co/datasets/isjwdu/DFADD; licence of the fakes not verified here, see there;
  VCTK is CC BY 4.0.
- Size: 41.6 h genuine, 66.0 h spoofed; English.
- Expected in ROOT: `DATASET_SYSTEM/{train,valid,test}/p345_251_pflow.wav` (or flac), SYSTEM being GradTTS,
  MatchaTTS, NaturalSpeech2, PflowTTS or StyleTTS2, and
  `DATASET_VCTK_BONAFIDE/{train,valid,test}/p345_251.wav`.
- Labels: the folder. All of VCTK_BONAFIDE is genuine, the others are text to speech.
- Keys: speaker `VCTK:p345`, source `VCTK:p345_251`, from the names.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from earwitness.audio.corpora.layout import audio_under, need
from earwitness.audio.protocol import Utterance

NAME = "DFADD"
LICENCE = "unverified"
SOURCE = "https://huggingface.co/datasets/isjwdu/DFADD"

GENUINE = "DATASET_VCTK_BONAFIDE"


def read(root: Path) -> Iterator[Utterance]:
    """All clips of the folders `DATASET_*`.

    Raises:
        InputError: `bad-corpus`: the folder of genuine speech is absent.
    """
    need(root, GENUINE)
    for system in sorted(root.glob("DATASET_*/")):
        bona_fide = system.name == GENUINE
        for split in ("train", "valid", "test"):
            for path in audio_under(system / split):
                vctk = re.match(r"([ps]\d+)_\d+", path.stem)
                yield Utterance(
                    id=f"DFADD-{system.name}-{path.stem}",
                    path=path,
                    bona_fide=bona_fide,
                    dataset=NAME,
                    split=split,
                    generator="-" if bona_fide else system.name.removeprefix("DATASET_"),
                    family="-" if bona_fide else "tts",
                    speaker=f"VCTK:{vctk[1]}" if vctk else "-",
                    language="EN",
                    source=f"VCTK:{vctk[0]}" if vctk else "-",
                    licence=LICENCE,
                )
