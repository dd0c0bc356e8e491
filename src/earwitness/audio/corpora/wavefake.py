"""WaveFake 1.2: LJSpeech and JSUT synthesised again by vocoders, and one text-to-speech system; fake.

- Paper: Frank and Schönherr, "WaveFake: A Data Set to Facilitate Audio Deepfake Detection", NeurIPS 2021
  (Datasets and Benchmarks).
- Publisher: https://zenodo.org/records/5642694; licence CC BY-SA 4.0.
- Size: 199 h, 117,985 clips, ten folders; English and Japanese.
- Expected in ROOT: `generated_audio/SYSTEM/*.wav`. SYSTEM is `ljspeech_` or `jsut_` and a vocoder, or
  `common_voices_prompts_from_conformer_fastspeech2_pwg_ljspeech`, which reads prompts of Common Voice in the
  voice of LJSpeech. The names are `LJ001-0001_gen.wav`, `LJ001-0001_generated.wav` (hifiGAN),
  `LJ001-0001.wav` (waveglow), `BASIC5000_0001_gen.wav` and `gen_0.wav`.
- The archive repeats the clips of that last folder in a folder `generated` in it, byte for byte; only what
  lies directly in SYSTEM is read.
- Labels: none, all is fake; the folder is the generator. There is no official split.
- Keys: speaker `LJSpeech` or `JSUT`; source `LJSpeech:LJ001-0001` or `JSUT:BASIC5000_0001`, and '-' where the
  clip has no recording underneath.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from earwitness.audio.corpora.layout import need
from earwitness.audio.protocol import Utterance

NAME = "WaveFake"
LICENCE = "CC-BY-SA-4.0"
SOURCE = "https://zenodo.org/records/5642694"


def source_of(stem: str) -> str:
    """Key of the recording whose features were synthesised, read off the clip's name; '-' where none."""
    if found := re.match(r"LJ\d{3}-\d{4}", stem):
        return f"LJSpeech:{found[0]}"
    if found := re.match(r"BASIC5000_\d{4}", stem):
        return f"JSUT:{found[0]}"
    return "-"


def read(root: Path) -> Iterator[Utterance]:
    """All clips.

    Raises:
        InputError: `bad-corpus`: no folder `generated_audio`.
    """
    for system in sorted(need(root, "generated_audio").glob("[!.]*/")):
        vocoded = re.fullmatch(r"(ljspeech|jsut)_(.+)", system.name)
        japanese = system.name.startswith("jsut")
        for path in sorted(system.glob("[!.]*.wav")):
            yield Utterance(
                id=f"WF-{system.name}_{path.stem}",
                path=path,
                bona_fide=False,
                dataset=NAME,
                generator=system.name,
                architecture=vocoded[2] if vocoded else "-",
                family="vocoder" if vocoded else "tts",
                speaker="JSUT" if japanese else "LJSpeech",
                language="JA" if japanese else "EN",
                source=source_of(path.stem),
                licence=LICENCE,
            )
