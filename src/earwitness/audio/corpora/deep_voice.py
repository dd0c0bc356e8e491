"""DEEP-VOICE: speeches of eight well-known people, and each converted into the voices of the other seven.

- Paper: Bird and Lotfi, "Real-time Detection of AI-Generated Speech for DeepFake Voice Conversion", arXiv
  2308.12734.
- Publisher: https://www.kaggle.com/datasets/birdy654/deep-voice-deepfake-voice-recognition; licence MIT.
- Size: 8 genuine and 56 converted recordings, about 10 minutes each; English. AntiDeepfake tests on segments
  of 1.5 to 15 s that its scripts cut (`AUDIO_SEGMENTS`).
- Expected in ROOT: `AUDIO_SEGMENTS`, else `AUDIO`, there or in a folder KAGGLE; in it
  `REAL/biden-original.wav` and `FAKE/biden-to-linus.wav`, segments ending in `_seg_1` and so on.
  DEMONSTRATION is not read.
- Labels: the folder. `A-to-B` is speech of A in the voice of B, made by retrieval-based voice conversion
  (RVC). There is no official split.
- Keys: speaker is whose voice is heard (`DEEP-VOICE:linus`), source the recording of the words
  (`DEEP-VOICE:biden-original`), shared by the original, its seven conversions and all of their segments.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from earwitness.audio.corpora.layout import audio_under, need
from earwitness.audio.protocol import Utterance
from earwitness.errors import InputError

NAME = "DEEP-VOICE"
LICENCE = "MIT"
SOURCE = "https://www.kaggle.com/datasets/birdy654/deep-voice-deepfake-voice-recognition"

FILE = {
    "REAL": re.compile(r"(\w+)-original(?:_seg_\d+)?"),
    "FAKE": re.compile(r"([^\W_]+)-to-([^\W_]+)(?:_seg_\d+)?"),
}


def read(root: Path) -> Iterator[Utterance]:
    """All recordings, or the segments of them where these were cut.

    Raises:
        InputError: `bad-corpus`: no folder of audio; a name that does not tell who speaks.
    """
    folder = need(
        root, *(f"{where}{name}" for name in ("AUDIO_SEGMENTS", "AUDIO") for where in ("", "KAGGLE/"))
    )
    for label, pattern in FILE.items():
        for path in audio_under(need(folder, label)):
            found = pattern.fullmatch(path.stem)
            if not found:
                form = "biden-original" if label == "REAL" else "biden-to-linus"
                raise InputError(
                    "bad-corpus", f"{path}: expected a name such as {form}.wav; move other recordings away"
                )
            people = [name.lower() for name in found.groups()]
            yield Utterance(
                id=f"DeepVoice-{path.stem}",
                path=path,
                bona_fide=label == "REAL",
                dataset=NAME,
                generator="-" if label == "REAL" else "RVC",
                family="-" if label == "REAL" else "vc",
                speaker=f"DEEP-VOICE:{people[-1]}",
                language="EN",
                source=f"DEEP-VOICE:{people[0]}-original",
                licence=LICENCE,
            )
