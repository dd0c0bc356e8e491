"""Diffuse or Confuse: sentences of LJSpeech made by diffusion systems, and by others to compare; fake.

- Paper: Firc, Malinka and Hanáček, "Diffuse or Confuse: A Diffusion Deepfake Speech Dataset", BIOSIG 2024;
  arXiv 2410.06796.
- Publisher: https://zenodo.org/records/15260248; licence not verified here, see the record.
- Size: 231.7 h spoofed, none genuine; the genuine counterpart is LJSpeech. English.
- Expected in ROOT: a folder per model, as `DiffGAN-TTS_aux/LJ044-0144.wav`, or these in folders `dataset_01/`
  to `dataset_04/`, as the parts of the archive unpack.
- Labels: none, all is fake; the folder that holds a clip is its generator. There is no official split.
- Families: a model whose name holds only a vocoder (WaveGrad, DiffWave, BDDM) counts as vocoder, any other as
  tts. The rule is ours; the names are not documented.
- Keys: speaker `LJSpeech`, source `LJSpeech:LJ044-0144`.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from earwitness.audio.corpora.trials import some_audio
from earwitness.audio.protocol import Utterance

NAME = "DiffuseOrConfuse"
LICENCE = "unverified"
SOURCE = "https://zenodo.org/records/15260248"

VOCODERS = re.compile(r"(wavegrad|diffwave|bddm)\W?\d*(_.*)?", re.I)


def read(root: Path) -> Iterator[Utterance]:
    """All clips below ROOT.

    Raises:
        InputError: `bad-corpus`: there are none.
    """
    for path in some_audio(root, "a folder per model with LJ*.wav"):
        model = path.parent.name if path.parent != root else "-"
        line = re.match(r"LJ\d{3}-\d{4}", path.stem)
        yield Utterance(
            id=f"DiffFake-{model}-{path.stem}",
            path=path,
            bona_fide=False,
            dataset=NAME,
            generator=model,
            architecture=model.partition("_")[0],
            family="vocoder" if VOCODERS.fullmatch(model) else "tts",
            speaker="LJSpeech",
            language="EN",
            source=f"LJSpeech:{line[0]}" if line else "-",
            licence=LICENCE,
        )
