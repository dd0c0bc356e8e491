"""DSD: Korean, English and Japanese speech, genuine with noise and synthetic of 2024's systems.

- Paper: the corpus is described at its publisher; AntiDeepfake lists it as DSD-corpus.
- Publisher: https://zenodo.org/records/13788455; licence not verified here, see the record (likely not for
  commercial use).
- Size: 101.0 h genuine, 60.2 h spoofed.
- Expected in ROOT: `DSD_corpus_v1.csv`, and the audio `NAME.wav` beside it.
- Labels: a header `Utterence name (file name),TTS or VC,Is multi-speaker?,Language,Noise type 1,Source
  link,utt,group,Speaker name,Gender,Age,label,Model,subset,duration` (spelled so), label bonafide or spoof,
  subset train, dev or eval, language in words. AntiDeepfake's script loses the first row.
"""

from collections.abc import Iterator
from pathlib import Path

from earwitness.audio.corpora.layout import need, rows_of
from earwitness.audio.corpora.trials import inside, is_bona_fide, split_of
from earwitness.audio.protocol import Utterance

NAME = "DSD"
LICENCE = "unverified"
SOURCE = "https://zenodo.org/records/13788455"

FILE, FAMILY = "Utterence name (file name)", "TTS or VC"
LANGUAGES = {"korean": "KO", "english": "EN", "japanese": "JA"}


def read(root: Path) -> Iterator[Utterance]:
    """All rows of the table.

    Raises:
        InputError: `bad-corpus`: the table is absent, or a row of it is none.
    """
    path = need(root, "DSD_corpus_v1.csv")
    for row in rows_of(path, (FILE, FAMILY, "Language", "Speaker name", "label", "Model", "subset")):
        name = row[FILE].removesuffix(".wav")
        bona_fide = is_bona_fide(row["label"], path, name)
        yield Utterance(
            id=f"DSD-{name}",
            path=inside(root, f"{name}.wav", path),
            bona_fide=bona_fide,
            dataset=NAME,
            split=split_of(row["subset"], path, name),
            generator="-" if bona_fide else row["Model"] or "-",
            family="-" if bona_fide else row[FAMILY].lower() or "-",
            speaker=row["Speaker name"] or "-",
            language=LANGUAGES.get(row["Language"].lower(), "-"),
            licence=LICENCE,
        )
