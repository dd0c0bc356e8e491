"""ASVspoof 2019 LA: VCTK speech, and 19 text-to-speech and voice-conversion systems that imitate it.

- Paper: Wang et al., "ASVspoof 2019: A large-scale public database of synthesized, converted and replayed
  speech", Computer Speech & Language 64, 2020.
- Publisher: https://datashare.ed.ac.uk/handle/10283/3336; licence ODC-By 1.0.
- Size: 11.9 h genuine, 97.8 h spoofed; 121,461 utterances, 107 speakers, 16 kHz FLAC, English.
- Expected in ROOT (or in `LA/` in it): `ASVspoof2019_LA_cm_protocols/ASVspoof2019.LA.cm.train.trn.txt`,
  `...dev.trl.txt` and `...eval.trl.txt`, and the audio as `ASVspoof2019_LA_{train,dev,eval}/flac/NAME.flac`.
- Labels: lines `SPEAKER NAME - ATTACK KEY`, as `LA_0039 LA_E_2834763 - A11 spoof` and
  `LA_0079 LA_T_1138215 - - bonafide`.
- Attacks (table 1 of the paper): A01 to A06 in train and dev, A07 to A19 in eval; A16 is A04 and A19 is A06
  with other data. A13 to A15 convert the output of a text-to-speech system and count as vc here.
"""

from collections.abc import Iterator
from pathlib import Path

from earwitness.audio.corpora.layout import fields_of, need
from earwitness.audio.corpora.trials import inside, is_bona_fide
from earwitness.audio.protocol import Utterance

NAME = "ASVspoof2019-LA"
LICENCE = "ODC-By-1.0"
SOURCE = "https://datashare.ed.ac.uk/handle/10283/3336"

# Attack -> family.
FAMILIES = {f"A{number:02}": "tts" for number in range(1, 20)}
FAMILIES |= dict.fromkeys("A05 A06 A13 A14 A15 A17 A18 A19".split(), "vc")

# Ending of the protocol, part of the folder's name, split.
PARTS = (("train.trn", "train", "train"), ("dev.trl", "dev", "valid"), ("eval.trl", "eval", "test"))


def read(root: Path) -> Iterator[Utterance]:
    """All trials of the three countermeasure protocols.

    Raises:
        InputError: `bad-corpus`: a protocol is absent, or a line of it is none.
    """
    protocols = need(root, "ASVspoof2019_LA_cm_protocols", "LA/ASVspoof2019_LA_cm_protocols")
    for ending, part, split in PARTS:
        path = need(protocols, f"ASVspoof2019.LA.cm.{ending}.txt")
        folder = protocols.parent / f"ASVspoof2019_LA_{part}" / "flac"
        for speaker, name, _, attack, key in fields_of(path, 5):
            yield Utterance(
                id=f"ASV19LA-{name}",
                path=inside(folder, f"{name}.flac", path),
                bona_fide=is_bona_fide(key, path, name),
                dataset=NAME,
                split=split,
                generator=attack,
                family=FAMILIES.get(attack, "-"),
                speaker=speaker,
                language="EN",
                licence=LICENCE,
            )
