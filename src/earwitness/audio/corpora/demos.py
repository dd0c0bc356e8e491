"""demos: sample pages of published speech-generation projects, that the embedded model was trained on.

- Publisher: none; collected for earwitness from 36 pages, not shipped. Each clip has the licence of its page
  or corpus, in the column `licence_class` of the manifest.
- Size: 909 genuine and 865 fake clips of 156 systems.
- Expected in ROOT: `manifest.csv`, and the audio it names.
- Labels: a header with at least the columns below; `label` real or fake, `page` the sample page (`group`
  here), `page_fold` its fold, 0 to 3, `utt_key` the utterance, shared by all its versions.
- Left out: the ten clips of one page, chandra0132/CodeAlpha_Emotion-Recognition-from-Speech. They are
  labelled genuine but hold synthetic tones (harmonics of 220 to 784 Hz), no speech; `TONES` lists them by
  their ids.
"""

from collections.abc import Iterator
from pathlib import Path

from earwitness.audio.corpora.layout import need, rows_of
from earwitness.audio.corpora.trials import inside, is_bona_fide
from earwitness.audio.protocol import Utterance
from earwitness.errors import InputError

NAME = "demos"
LICENCE = "per clip"
SOURCE = "-"

COLUMNS = "id path label system arch family speaker page page_fold duration_s licence_class".split()

# Clips labelled genuine that are no speech.
TONES = frozenset(
    "15d34fae8b6c 33552545c823 5c5321ea1dfe 65e34e624962 6ad4d84f6ce3 6b01d8cfdaf4 7b8b78e35fa9 "
    "a2f816eb6745 b1d6d67f1330 bbcacd6025a8".split()
)


def number(row: dict[str, str], column: str, path: Path) -> float:
    """A number of a row.

    Raises:
        InputError: `bad-corpus`: it is none.
    """
    try:
        return float(row[column])
    except ValueError:
        raise InputError(
            "bad-corpus", f"{path}: {column} of {row['id']} is {row[column]!r}, expected a number"
        ) from None


def read(root: Path) -> Iterator[Utterance]:
    """All clips but the tones; `group` is the page.

    Raises:
        InputError: `bad-corpus`: there is no manifest, or a row of it is none.
    """
    path = need(root, "manifest.csv")
    for row in rows_of(path, COLUMNS):
        if row["id"] in TONES:
            continue
        bona_fide = is_bona_fide(row["label"], path, row["id"], "real", "fake")
        yield Utterance(
            id=row["id"],
            path=inside(root, row["path"], path),
            bona_fide=bona_fide,
            dataset=NAME,
            generator="-" if bona_fide else row["system"] or "-",
            architecture="-" if bona_fide else row["arch"] or "-",
            family="-" if bona_fide else row["family"] or "-",
            speaker=row["speaker"] or "-",
            language=row.get("language", "").upper() or "-",
            source=row.get("utt_key") or "-",
            text=row.get("text") or "-",
            group=row["page"],
            fold=int(number(row, "page_fold", path)),
            duration_s=number(row, "duration_s", path),
            licence=row["licence_class"] or "-",
        )
