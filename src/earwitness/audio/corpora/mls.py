"""Multilingual LibriSpeech (MLS): audiobooks of LibriVox in eight languages; genuine.

- Paper: Pratap et al., "MLS: A Large-Scale Multilingual Dataset for Speech Research", Interspeech 2020, arXiv
  2012.03411.
- Publisher: https://www.openslr.org/94/; licence CC BY 4.0.
- Size: 50,558 h, nine tenths of them English, 16 kHz.
- Expected in ROOT: `mls_LANGUAGE/PART/transcripts.txt` and
  `mls_LANGUAGE/PART/audio/SPEAKER/BOOK/SPEAKER_BOOK_NUMBER.flac`, PART being train, dev or test;
  `mls_LANGUAGE_opus` with .opus files where the folder of .flac files is absent. Languages and parts may be
  absent.
- Labels: all is genuine; `transcripts.txt` has no header and lines of utterance, tab, text. It is the list
  that is read, for walking over ten million files takes hours.
- Keys: speaker `MLS:1595`, source `MLS:1595_5616_000327`. LibriTTS comes from LibriVox too, cut otherwise:
  that a reader or a book stands in both is not told by these keys.
- AntiDeepfake's script knows six of the languages; Polish and Portuguese are read here as well.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from earwitness.audio.corpora.layout import fields_of, need
from earwitness.audio.protocol import Utterance
from earwitness.errors import InputError

NAME = "MLS"
LICENCE = "CC-BY-4.0"
SOURCE = "https://www.openslr.org/94/"

LANGUAGES = {
    "dutch": "NL",
    "english": "EN",
    "french": "FR",
    "german": "DE",
    "italian": "IT",
    "polish": "PL",
    "portuguese": "PT",
    "spanish": "ES",
}
PARTS = {"train": "train", "dev": "valid", "test": "test"}


def rows(part: Path, language: str, suffix: str) -> Iterator[Utterance]:
    """Utterances of one part of one language.

    Raises:
        InputError: `bad-corpus`: no list; a malformed line, with file and row.
    """
    table = need(part, "transcripts.txt")
    for number, (name, text) in enumerate(fields_of(table, 2, "\t"), start=1):
        found = re.fullmatch(r"(\d+)_(\d+)_\d+", name)
        if not found:
            raise InputError(
                "bad-corpus",
                f"{table}, row {number}: expected an utterance such as 1595_5616_000327, found {name!r}",
            )
        yield Utterance(
            id=f"MLS-{language}-{name}",
            path=part / "audio" / found[1] / found[2] / f"{name}{suffix}",
            bona_fide=True,
            dataset=NAME,
            split=PARTS[part.name],
            speaker=f"MLS:{found[1]}",
            language=language,
            source=f"MLS:{name}",
            text=text or "-",
            licence=LICENCE,
        )


def read(root: Path) -> Iterator[Utterance]:
    """All utterances that the lists name, of the languages and parts that are there.

    Raises:
        InputError: `bad-corpus`: no language; a malformed list.
    """
    found = {}  # the lossless edition replaces the other
    for ending, suffix in (("_opus", ".opus"), ("", ".flac")):
        for name, language in LANGUAGES.items():
            if (root / f"mls_{name}{ending}").is_dir():
                found[language] = (root / f"mls_{name}{ending}", suffix)
    if not found:
        raise InputError(
            "bad-corpus", f"{root}: expected mls_dutch or the like, found none; check the folder"
        )
    for language, (folder, suffix) in sorted(found.items()):
        for part in PARTS:
            if (folder / part).is_dir():
                yield from rows(folder / part, language, suffix)
