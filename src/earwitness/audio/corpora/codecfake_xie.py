"""Codecfake (Xie et al.): VCTK and AISHELL-3, genuine, through seven neural codecs, and by language models.

- Paper: Xie et al., "The Codecfake Dataset and Countermeasures for the Universally Detection of Deepfake
  Audio", arXiv 2405.04880. CodecFake of Wu et al. is another.
- Publisher: https://github.com/xieyuankun/Codecfake, which lists the records on Zenodo (labels: 13838106).
  Each record states its licence; it could not be confirmed here.
- Size: 130 h genuine and 808 h fake in train, dev and C7, as AntiDeepfake counts; English and Chinese.
- Expected in ROOT: `label/SET.txt` and the recordings in `SET/` or `test/SET/`, SET being train, dev, C1 to
  C7 (codecs; C7 is unseen in training), A1 and A2 (audio language models). Sets without a folder are passed
  over. A3 is left out, as in AntiDeepfake: it holds sounds, not speech.
- Labels: lines `F01_SSB13650058.wav fake 1`, without a header: file, real or fake, method. The method is 0
  for genuine recordings and 1 to 7 for the codecs F01 to F07 (SoundStream, SpeechTokenizer, FunCodec,
  EnCodec, AudioDec, AcademicCodec, DAC in the paper's order); in A1 and A2 it is L1 and L2 for both classes.
- Splits: train, dev (valid), all others test. The genuine recordings of the test sets are the same files in
  each of them, so the set is part of the ID. C7 has more fakes (132,277 by the published counts) than the
  test part has utterances (13,228): it holds copies of training utterances, which `corpus check` reports as
  sources on both sides, as it does the speakers, who stand in all sets.
- Keys: speaker and source `AISHELL3:SSB1365`, `AISHELL3:SSB13650058` or `VCTK:p276`, `VCTK:p276_290`, shared
  with AISHELL-3 and CodecFake.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from earwitness.audio.corpora.layout import fields_of, need
from earwitness.audio.protocol import Utterance
from earwitness.errors import InputError

NAME = "Codecfake-Xie"
LICENCE = "see the records on Zenodo"
SOURCE = "https://github.com/xieyuankun/Codecfake"

SETS = {"train": "train", "dev": "valid"} | dict.fromkeys("C1 C2 C3 C4 C5 C6 C7 A1 A2".split(), "test")
FILE = re.compile(r"(?:[A-Z]\d+_)?((SSB\d{4})\d{4}|([ps]\d+)_\d+)\.wav")


def generator_of(method: str) -> str:
    """F01 of 1, A1 of L1."""
    return f"F{method:0>2}" if method.isdecimal() else f"A{method[1:]}"


def rows(table: Path, folder: Path, part: str) -> Iterator[Utterance]:
    """Utterances of one set.

    Raises:
        InputError: `bad-corpus`: a malformed line, with file and row.
    """
    for number, (name, label, method) in enumerate(fields_of(table, 3), start=1):
        found = FILE.fullmatch(name)
        if not found or label not in ("real", "fake") or not re.fullmatch(r"[0-7]|L\d", method):
            raise InputError(
                "bad-corpus",
                f"{table}, row {number}: expected a line such as 'F01_SSB13650058.wav fake 1', "
                f"found {' '.join((name, label, method))!r}",
            )
        utterance, chinese, english = found.groups()
        corpus, fake = "AISHELL3" if chinese else "VCTK", label == "fake"
        yield Utterance(
            id=f"Codecf-{part}-{name.removesuffix('.wav')}",
            path=folder / name,
            bona_fide=not fake,
            dataset=NAME,
            split=SETS[part],
            generator=generator_of(method) if fake else "-",
            family=("tts" if part in ("A1", "A2") else "codec") if fake else "-",
            speaker=f"{corpus}:{chinese or english}",
            language="ZH" if chinese else "EN",
            source=f"{corpus}:{utterance}",
            licence=LICENCE,
        )


def read(root: Path) -> Iterator[Utterance]:
    """Utterances of all sets whose recordings are there.

    Raises:
        InputError: `bad-corpus`: no labels, no set; a malformed line.
    """
    labels = need(root, "label")
    folders = {
        part: folder for part in SETS for folder in (root / "test" / part, root / part) if folder.is_dir()
    }
    if not folders:
        raise InputError(
            "bad-corpus", f"{root}: expected train, dev, C7 or the like, found none; check the folder"
        )
    for part, folder in folders.items():
        yield from rows(need(labels, f"{part}.txt"), folder, part)
