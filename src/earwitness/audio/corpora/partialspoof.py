"""PartialSpoof: utterances of ASVspoof 2019 LA with segments of spoofed speech put in.

- Paper: Zhang et al., "The PartialSpoof Database and Countermeasures for the Detection of Short Fake Speech
  Segments Embedded in an Utterance", IEEE/ACM TASLP 31, 2023.
- Publisher: https://zenodo.org/records/5766198; licence not verified here, see the record.
- Size: 121,461 utterances, as many as ASVspoof 2019 LA, 16 kHz; English.
- Expected in ROOT, or in `database/` in it: the protocols
  `protocols/PartialSpoof_LA_cm_protocols/PartialSpoof.LA.cm.{train,dev,eval}.trl.txt` and the audio
  `{train,dev,eval}/con_wav/NAME.wav`.
- Labels: of whole utterances, lines `SPEAKER NAME - CON KEY`, as `LA_0079 CON_T_0000029 - CON spoof` and
  `LA_0079 LA_T_1138215 - - bonafide`. The labels of segments are not read.
- Splits: train, dev (`valid`), eval (`test`), speakers and genuine recordings being those of ASVspoof 2019
  LA.
"""

from collections.abc import Iterator
from pathlib import Path

from earwitness.audio.corpora.layout import fields_of, need
from earwitness.audio.corpora.trials import inside, is_bona_fide
from earwitness.audio.protocol import Utterance

NAME = "PartialSpoof"
LICENCE = "unverified"
SOURCE = "https://zenodo.org/records/5766198"

PARTS = {"train": "train", "dev": "valid", "eval": "test"}


def read(root: Path) -> Iterator[Utterance]:
    """All trials of the three protocols.

    Raises:
        InputError: `bad-corpus`: a protocol is absent, or a line of it is none.
    """
    inner = "protocols/PartialSpoof_LA_cm_protocols"
    protocols = need(root, inner, f"database/{inner}")
    for part, split in PARTS.items():
        path = need(protocols, f"PartialSpoof.LA.cm.{part}.trl.txt")
        folder = protocols.parent.parent / part / "con_wav"
        for speaker, name, _, system, key in fields_of(path, 5):
            bona_fide = is_bona_fide(key, path, name)
            yield Utterance(
                id=f"PartialSpoof-{name}",
                path=inside(folder, f"{name}.wav", path),
                bona_fide=bona_fide,
                dataset=NAME,
                split=split,
                generator="-" if bona_fide else system,
                family="-" if bona_fide else "edit",
                speaker=speaker,
                language="EN",
                licence=LICENCE,
            )
