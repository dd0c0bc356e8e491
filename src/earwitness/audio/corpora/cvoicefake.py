"""CVoiceFake: Common Voice in five languages, and the same recordings through vocoders.

- Paper: Li et al., "SafeEar: Content Privacy-Preserving Audio Deepfake Detection", CCS 2024.
- Publisher: https://zenodo.org/records/14062964 (all), https://zenodo.org/records/11124319 (a small part);
  licence not verified here, see the records; Common Voice is CC0 1.0.
- Size: 315.1 h genuine, 1,561.2 h fake; English, German, French, Italian, Chinese.
- Expected in ROOT, or in `CVoiceFake_Large/` or `CVoiceFake_small/` in it: `LANGUAGE/SYSTEM/NAME.mp3` (or
  wav), LANGUAGE being EN, DE, FR, IT, CN, or en, de, fr, it, zh-CN.
- Labels: the folder `Bonafide` is genuine; others, as `griffin_lim_generated`, `world_generated`,
  `vctk_parallel_wavegan.v1_generated`, are vocoders. There is no official split.
- Keys: `CommonVoice:common_voice_en_36752138`; fakes append `_Gen` to that name, as
  `common_voice_en_36752138_Gen.mp3`. Speakers are not given.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from earwitness.audio.corpora.layout import audio_under, need
from earwitness.audio.protocol import Utterance

NAME = "CVoiceFake"
LICENCE = "unverified"
SOURCE = "https://zenodo.org/records/14062964"

LANGUAGES = {"EN": "EN", "DE": "DE", "FR": "FR", "IT": "IT", "CN": "ZH", "ZH-CN": "ZH"}
GENUINE = "bonafide"


def read(root: Path) -> Iterator[Utterance]:
    """All clips.

    Raises:
        InputError: `bad-corpus`: no language is there.
    """
    names = [name for key in LANGUAGES for name in (key, key.lower())] + ["zh-CN"]
    around = ("", "CVoiceFake_Large/", "CVoiceFake_small/")
    base = need(root, *(f"{where}{name}" for where in around for name in names)).parent
    for system in sorted(base.glob("[!.]*/[!.]*/")):
        folder = system.parent.name
        if folder.upper() not in LANGUAGES:
            continue
        bona_fide = system.name.lower() == GENUINE
        for path in audio_under(system):
            voice = re.match(r"common_voice_[^_]+_\d+", path.stem)
            yield Utterance(
                id=f"CVoice-{folder}-{system.name}-{path.stem}",
                path=path,
                bona_fide=bona_fide,
                dataset=NAME,
                generator="-" if bona_fide else system.name.removesuffix("_generated"),
                family="-" if bona_fide else "vocoder",
                language=LANGUAGES[folder.upper()],
                source=f"CommonVoice:{voice[0]}" if voice else "-",
                licence=LICENCE,
            )
