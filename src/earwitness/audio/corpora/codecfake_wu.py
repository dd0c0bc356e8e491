"""CodecFake (Wu et al.): VCTK sent through 15 neural audio codecs; fake. Codecfake of Xie et al. is another.

- Paper: Wu, Tseng and Lee, "CodecFake: Enhancing Anti-Spoofing Models Against Deepfake Audios from
  Codec-Based Speech Synthesis Systems", Interspeech 2024, arXiv 2406.07237.
- Publisher: https://huggingface.co/datasets/rogertseng/CodecFake_wavs; licence CC BY 4.0.
- Size: 661 h of fake speech, 44,242 utterances of VCTK in each codec.
- Expected in ROOT: `processed`, into which the archives were unpacked, with or without a folder for each
  codec in it; the names are `CODEC+SPEAKER_NUMBER.wav`, such as `encodec_24khz+p272_103.wav`.
- Labels: the name's CODEC is the generator. Where the untouched recordings (`genuine+p272_103.wav`) are
  there, they are read as bona fide; AntiDeepfake has none of them. There is no official split.
- Keys: speaker `VCTK:p272`, source `VCTK:p272_103`, shared with Codecfake of Xie et al.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from earwitness.audio.corpora.layout import audio_under, need
from earwitness.audio.protocol import Utterance
from earwitness.errors import InputError

NAME = "CodecFake-Wu"
LICENCE = "CC-BY-4.0"
SOURCE = "https://huggingface.co/datasets/rogertseng/CodecFake_wavs"


def read(root: Path) -> Iterator[Utterance]:
    """All utterances.

    Raises:
        InputError: `bad-corpus`: no folder `processed`; a name that does not tell codec and speaker.
    """
    for path in audio_under(need(root, "processed")):
        found = re.fullmatch(r"(.+)\+(([ps]\d+)_\d+)", path.stem)
        if not found:
            raise InputError(
                "bad-corpus",
                f"{path}: expected a name such as encodec_24khz+p272_103.wav; move other recordings away",
            )
        codec, utterance, speaker = found.groups()
        genuine = codec == "genuine"
        yield Utterance(
            id=f"CodecF-{path.stem}",
            path=path,
            bona_fide=genuine,
            dataset=NAME,
            generator="-" if genuine else codec,
            family="-" if genuine else "codec",
            speaker=f"VCTK:{speaker}",
            language="EN",
            source=f"VCTK:{utterance}",
            licence=LICENCE,
        )
