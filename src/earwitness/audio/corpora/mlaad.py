"""MLAAD: M-AILABS' sentences spoken by text-to-speech systems in dozens of languages; fake only.

- Paper: Müller et al., "MLAAD: The Multi-Language Audio Anti-Spoofing Dataset", IJCNN 2024; arXiv 2401.09512.
- Publisher: https://huggingface.co/datasets/mueller91/MLAAD; licence CC BY-NC 4.0.
- Size: 378 h spoofed in version 5; it grows. None genuine: the counterpart is the M-AILABS corpus, which has
  eight of the languages, and must be got apart.
- Expected in ROOT: `fake/LANGUAGE/MODEL/` with `meta.csv` and the audio.
- Labels: none, all is fake. `meta.csv` has bars between its fields and the header
  `path|original_file|language|is_original_language|duration|training_data|model_name|architecture|transcript`,
  later versions also `reference_speaker`; path is as `./fake/en/MODEL/NAME.wav`. There is no official split.
- Keys: `source` is the recording whose sentence was spoken, `M-AILABS:` and original_file. Of languages such
  as zh-cn the part before the hyphen is kept.
"""

from collections.abc import Iterator
from pathlib import Path

from earwitness.audio.corpora.layout import rows_of
from earwitness.audio.corpora.trials import inside
from earwitness.audio.protocol import Utterance
from earwitness.errors import InputError

NAME = "MLAAD"
LICENCE = "CC-BY-NC-4.0"
SOURCE = "https://huggingface.co/datasets/mueller91/MLAAD"

COLUMNS = ("path", "original_file", "model_name", "architecture", "transcript")


def read(root: Path) -> Iterator[Utterance]:
    """All rows of all tables.

    Raises:
        InputError: `bad-corpus`: there is no table, or a row of one is none.
    """
    tables = sorted(root.glob("fake/*/*/meta.csv"))
    if not tables:
        raise InputError(
            "bad-corpus", f"{root}: expected fake/*/*/meta.csv in it, found none; check the folder"
        )
    for table in tables:
        language, model = table.parent.parent.name.partition("-")[0].upper(), table.parent.name
        for row in rows_of(table, COLUMNS, delimiter="|"):
            path = inside(table.parent, row["path"].rpartition("/")[2], table)
            original = row["original_file"].removeprefix("./")
            yield Utterance(
                id=f"MLAAD-{language}-{model}-{path.stem}",
                path=path,
                bona_fide=False,
                dataset=NAME,
                generator=row["model_name"] or model,
                architecture=row["architecture"] or "-",
                family="tts",
                speaker=row.get("reference_speaker") or "-",
                language=language,
                source=f"M-AILABS:{original}" if original else "-",
                text=row["transcript"] or "-",
                licence=LICENCE,
            )
