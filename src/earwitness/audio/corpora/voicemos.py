"""VoiceMOS: synthetic speech of the challenges from 2008 on, collected for the prediction of its quality.

- Paper: Cooper and Yamagishi, "How do Voices from Past Speech Synthesis Challenges Compare Today?", SSW 2021
  (BVCC); Huang et al., "The VoiceMOS Challenge 2022", Interspeech 2022.
- Publisher: https://zenodo.org/records/6572573; the Blizzard Challenges' audio must be got from their pages
  and is for research only. The licence of the whole was not verified here.
- Size: 448 h fake in AntiDeepfake's count, which takes all of it as fake.
- Expected in ROOT, either or both, also in `main/`: `DATA/wav/sys64e2f-utt0a1b2c3.wav` with
  `DATA/sets/{train,val,test}_mos_list.txt`, as the challenge's scripts leave it; and
  `blizzard/blizzard_wavs_and_scores_YEAR_*/TEAM/submission_directory/**.wav`, TEAM a capital letter.
- Labels: none of its own. Team A of each Blizzard Challenge is natural speech and genuine here; all other
  systems are fake. The challenge hides systems by a hash of their names, which is undone for those of the
  Blizzard Challenges (`sys64e2f` is `BC2008-A`). The systems of the Voice Conversion Challenges and ESPnet
  stay hidden: should natural references be among them, they are called fake, as AntiDeepfake does.
- Lists of sets: lines `sys64e2f-utt0a1b2c3.wav,3.25`, a mean opinion score, which is not kept.
"""

import hashlib
import re
import string
from collections.abc import Iterator
from pathlib import Path

from earwitness.audio.corpora.layout import fields_of, need
from earwitness.audio.corpora.trials import inside, some_audio
from earwitness.audio.protocol import Utterance
from earwitness.errors import InputError

NAME = "VoiceMOS"
LICENCE = "unverified"
SOURCE = "https://zenodo.org/records/6572573"

SETS = {"train": "train", "val": "valid", "test": "test"}
YEARS = (2008, 2009, 2010, 2011, 2013, 2016)
LANGUAGES = {
    "english": "EN",
    "mandarin": "ZH",
    "hindi": "HI",
    "bengali": "BN",
    "tamil": "TA",
    "kannada": "KN",
    "malayalam": "ML",
    "telugu": "TE",
    "gujarati": "GU",
    "rajasthani": "-",
    "assamese": "AS",
}


def hidden_name(system: str) -> str:
    """What the challenge calls a system: a reversed piece of the MD5 digest of its reversed name."""
    digest = hashlib.md5(system[::-1].encode(), usedforsecurity=False).hexdigest()
    return f"sys{digest[:5][::-1]}"


SYSTEMS = [f"BC{year}-{letter}" for year in YEARS for letter in string.ascii_uppercase]
BLIZZARD = {hidden_name(name): name for name in SYSTEMS}


def item(name: str, path: Path, system: str, split: str = "-", language: str = "-") -> Utterance:
    """A clip of a system, known as `BC2008-A` or hidden."""
    blizzard = re.fullmatch(r"BC\d{4}-([A-Z])", system)
    bona_fide = blizzard is not None and blizzard[1] == "A"
    return Utterance(
        id=f"VoiceMOS-{name}",
        path=path,
        bona_fide=bona_fide,
        dataset=NAME,
        split=split,
        generator="-" if bona_fide else system,
        family="tts" if blizzard and not bona_fide else "-",
        language=language,
        licence=LICENCE,
    )


def listed(data: Path) -> Iterator[Utterance]:
    """Clips of the challenge's lists.

    Raises:
        InputError: `bad-corpus`: a list is absent, or a line of it is none.
    """
    for part, split in SETS.items():
        path = need(data, f"sets/{part}_mos_list.txt")
        for name, _ in fields_of(path, 2, ","):
            system = name.partition("-")[0]
            clip = inside(data / "wav", name, path)
            yield item(clip.stem, clip, BLIZZARD.get(system, system), split=split)


def submitted(folder: Path) -> Iterator[Utterance]:
    """Clips of the Blizzard Challenges, as submitted.

    Raises:
        InputError: `bad-corpus`: a clip lies in no folder of a year and a team.
    """
    for path in some_audio(folder, "blizzard_wavs_and_scores_YEAR_*/TEAM/**.wav"):
        release, *inner = path.relative_to(folder).parts
        year = re.match(r"blizzard_wavs_and_scores_(\d{4})", release)
        if year is None or len(inner) < 2 or not re.fullmatch("[A-Z]", inner[0]):
            raise InputError(
                "bad-corpus",
                f"{path}: expected blizzard_wavs_and_scores_YEAR_*/TEAM/ before it, TEAM one letter",
            )
        system = f"BC{year[1]}-{inner[0]}"
        named = [part for part in inner[1:-1] if part != "submission_directory"]
        words = [code for word, code in LANGUAGES.items() if word in "/".join(named).lower()]
        language = words[0] if words else "EN" if year[1] in ("2011", "2016") else "-"
        yield item("-".join([system, *named, path.stem]), path, system, language=language)


def read(root: Path) -> Iterator[Utterance]:
    """All clips of either part.

    Raises:
        InputError: `bad-corpus`: neither is there; a list or a folder is none.
    """
    places = ("DATA/sets", "main/DATA/sets", "blizzard", "main/blizzard")
    need(root, *places)
    for place in places:
        if (root / place).is_dir():
            yield from listed((root / place).parent) if place.endswith("sets") else submitted(root / place)
