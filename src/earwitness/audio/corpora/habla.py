"""HABLA: Spanish of five countries of Latin America, genuine and by six kinds of spoofing.

- Paper: Tamayo Flórez, Manrique and Pereira Nunes, "HABLA: A Dataset of Latin American Spanish Accents for
  Voice Anti-spoofing", Interspeech 2023.
- Publisher: https://zenodo.org/record/7370805; licence CC BY 4.0.
- Size: 35.6 h genuine, 87.8 h spoofed, 16 kHz.
- Expected in ROOT: `FinalDataset_16khz/` with `Real/COUNTRY/SPEAKER/*.wav`; `CycleGAN`, `StarGAN` and `Diff`
  with `COUNTRY-COUNTRY/SPEAKER-SPEAKER/*.wav`; `TTS/COUNTRY/TTS-SPEAKER_*.wav`; and `TTS-StarGAN`,
  `TTS-Diff`, which convert the output of TTS, beside these or in a folder `TTS-VC`.
- Labels: the folders. Names are `clf_07508_00799857148` (accent and sex, speaker, recording) and
  `CycleGAN-vem_02484_00993837010-arm_01523_020267` (technique, source, target). The file protocol.txt says
  the same and is not read. There is no official split.
- The speaker of a converted clip is its target; `source` is the recording that was converted.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from earwitness.audio.corpora.layout import need
from earwitness.audio.corpora.trials import some_audio
from earwitness.audio.protocol import Utterance

NAME = "HABLA"
LICENCE = "CC-BY-4.0"
SOURCE = "https://zenodo.org/record/7370805"

SPEAKER = re.compile(r"[a-z]{3}_\d{5}")
RECORDING = re.compile(r"[a-z]{3}_\d{5}_\d+")


def read(root: Path) -> Iterator[Utterance]:
    """All clips.

    Raises:
        InputError: `bad-corpus`: no folder of genuine speech, or no audio.
    """
    base = need(root, "FinalDataset_16khz/Real", "Real").parent
    for path in some_audio(base, "Real/COUNTRY/SPEAKER/*.wav"):
        technique, *inner = path.relative_to(base).parts
        if technique == "TTS-VC" and len(inner) > 1:
            technique = inner[0]
        bona_fide, spoken = technique == "Real", technique == "TTS"
        speakers, recording = SPEAKER.findall(path.stem), RECORDING.search(path.stem)
        yield Utterance(
            id=f"HABLA-{'real' if bona_fide else 'fake'}-{path.stem}",
            path=path,
            bona_fide=bona_fide,
            dataset=NAME,
            generator="-" if bona_fide else technique,
            family="-" if bona_fide else "tts" if spoken else "vc",
            speaker=speakers[-1] if speakers else "-",
            language="ES",
            source=recording[0] if recording and not spoken else "-",
            licence=LICENCE,
        )
