"""ADD 2023, track 1.2: detection of faked Mandarin utterances, of the second audio deepfake challenge.

- Paper: Yi et al., "ADD 2023: the Second Audio Deepfake Detection Challenge", 2023; "ADD 2023: Towards Audio
  Deepfake Detection and Analysis in the Wild", arXiv 2408.04967.
- Publisher: http://addchallenge.cn/downloadADD2023, on request; licence not verified here.
- Expected in ROOT: `label.txt` beside a folder `wav/`, or one or more folders with these, as
  `Track1.2/{train,dev,testR1,testR2}/`.
- Labels: lines `NAME KEY` with the key genuine or fake, as `ADD2023_T1.2R2_E_00000003.wav genuine`.
- Splits: by the letter in the name, `_T_` train, `_D_` `valid`, `_E_` `test`; else '-'. What made the fakes
  and who speaks is not published. AntiDeepfake takes the test of round 2 only.
- IDs keep the ending .wav, as AntiDeepfake's do.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from earwitness.audio.corpora.layout import fields_of
from earwitness.audio.corpora.trials import inside, is_bona_fide
from earwitness.audio.protocol import Utterance
from earwitness.errors import InputError

NAME = "ADD2023"
LICENCE = "unverified"
SOURCE = "http://addchallenge.cn/downloadADD2023"

SPLITS = {"T": "train", "D": "valid", "E": "test"}


def read(root: Path) -> Iterator[Utterance]:
    """All lines of all label files.

    Raises:
        InputError: `bad-corpus`: there is no label file, or a line of it is none.
    """
    files = [found for where in ("", "*/", "Track1.2/*/") for found in sorted(root.glob(f"{where}label.txt"))]
    if not files:
        raise InputError(
            "bad-corpus", f"{root}: expected label.txt in it or in Track1.2/*/; check the folder"
        )
    for path in files:
        for name, key in fields_of(path, 2):
            part = re.search(r"_([TDE])_", name)
            yield Utterance(
                id=f"ADD2023-{name}",
                path=inside(path.parent / "wav", name, path),
                bona_fide=is_bona_fide(key, path, name, "genuine", "fake"),
                dataset=NAME,
                split=SPLITS[part[1]] if part else "-",
                language="ZH",
                licence=LICENCE,
            )
