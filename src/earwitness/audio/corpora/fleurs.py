"""FLEURS: sentences of Wikipedia (FLoRes) read by volunteers in 102 languages; genuine.

- Paper: Conneau et al., "FLEURS: Few-shot Learning Evaluation of Universal Representations of Speech", SLT
  2022, arXiv 2205.12446.
- Publisher: https://huggingface.co/datasets/google/fleurs; licence CC BY 4.0.
- Size: 1,389 h, 16 kHz.
- Expected in ROOT: `fleurs/data/LOCALE/audio/PART/NUMBER.wav` or `data/LOCALE/...`: the repository as
  published with its archives `audio/PART.tar.gz` unpacked; LOCALE is af_za and so on, PART is train, dev or
  test.
- Labels: none, all is genuine. Beside `audio`, `PART.tsv` (not needed) gives the text: seven columns without
  a header, sentence number, file, raw text, normalised text, characters, samples, MALE or FEMALE.
- Speakers are not told apart; those of train are not those of dev and test.
- Language: the first part of LOCALE; Mandarin (`cmn`) is ZH; languages without an ISO 639-1 code keep three
  letters (AntiDeepfake has CN and YUE_HANT where this has ZH and YUE).
- Keys: source `FLEURS:af_za/10587240206760547719`, shared with FLEURS-R.
"""

from collections.abc import Iterator
from pathlib import Path

from earwitness.audio.corpora.layout import audio_under, fields_of, need
from earwitness.audio.protocol import Utterance

NAME = "FLEURS"
LICENCE = "CC-BY-4.0"
SOURCE = "https://huggingface.co/datasets/google/fleurs"

PARTS = {"train": "train", "dev": "valid", "test": "test"}


def language_of(locale: str) -> str:
    """AF of af_za, ZH of cmn_hans_cn."""
    code = locale.partition("_")[0]
    return "ZH" if code == "cmn" else code.upper()


def folders(data: Path) -> Iterator[tuple[str, str, Path]]:
    """Locale, part and folder of recordings, for every locale below `data`."""
    for audio in sorted(data.glob("[!.]*/audio/")):
        for part in PARTS:
            yield audio.parent.name, part, audio / part


def texts_of(table: Path) -> dict[str, str]:
    """Normalised text of each file in a table of a part; none where there is no table.

    Raises:
        InputError: `bad-corpus`: a line has not seven columns.
    """
    if not table.is_file():
        return {}
    return {fields[1]: fields[3] for fields in fields_of(table, 7, "\t")}


def read(root: Path) -> Iterator[Utterance]:
    """All recordings.

    Raises:
        InputError: `bad-corpus`: no folder of data; a malformed table.
    """
    for locale, part, folder in folders(need(root, "fleurs/data", "data")):
        texts = texts_of(folder.parents[1] / f"{part}.tsv")
        for path in audio_under(folder):
            yield Utterance(
                id=f"FLEURS-{language_of(locale)}-{path.stem}",
                path=path,
                bona_fide=True,
                dataset=NAME,
                split=PARTS[part],
                language=language_of(locale),
                source=f"FLEURS:{locale}/{path.stem}",
                text=texts.get(path.name) or "-",
                licence=LICENCE,
            )
