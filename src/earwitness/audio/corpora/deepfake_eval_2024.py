"""Deepfake-Eval-2024, the audio: what users of TrueMedia.org and X had checked in 2024, labelled by hand.

- Paper: Chandra et al., "Deepfake-Eval-2024: A Multi-Modal In-the-Wild Benchmark of Deepfakes Circulated in
  2024", arXiv 2503.02857.
- Publisher: https://huggingface.co/datasets/nuriachandra/Deepfake-Eval-2024, on request; licence CC BY-SA
  4.0.
- Size: 56.5 h, 1,980 recordings (.mp3, .m4a, .mp4, .wav) in many languages, most of them English.
- Expected in ROOT: `audio-metadata-publish.csv` (or the edition `...-with-links.csv`, or `metadata.csv`) and
  `audio-data/`. The recordings are rows as they are; cutting them into segments comes later.
- Labels: columns `Filename`, `Ground Truth` (Real, Fake or Unknown) and `Finetuning Set` (Train or Test),
  read without regard to case. Rows of another truth or set are passed over, as in AntiDeepfake. Columns
  beside these are not read: what they hold could not be established.
"""

from collections.abc import Iterator
from pathlib import Path

from earwitness.audio.corpora.layout import need, rows_of
from earwitness.audio.protocol import Utterance
from earwitness.errors import InputError

NAME = "Deepfake-Eval-2024"
LICENCE = "CC-BY-SA-4.0"
SOURCE = "https://huggingface.co/datasets/nuriachandra/Deepfake-Eval-2024"

TABLES = ("audio-metadata-publish.csv", "audio-metadata-publish-with-links.csv", "metadata.csv")


def read(root: Path) -> Iterator[Utterance]:
    """Recordings of the sets Train and Test that are labelled real or fake.

    Raises:
        InputError: `bad-corpus`: no table, or a column missing; a file name with a folder in it.
    """
    table = need(root, *TABLES)
    for number, row in enumerate(rows_of(table, ("Filename", "Ground Truth", "Finetuning Set")), start=2):
        name, truth, split = row["Filename"], row["Ground Truth"].lower(), row["Finetuning Set"].lower()
        if truth not in ("real", "fake") or split not in ("train", "test"):
            continue
        if Path(name).name != name or not name.strip("."):
            raise InputError(
                "bad-corpus",
                f"{table}, row {number}: expected the name of a file in audio-data, found {name!r}",
            )
        yield Utterance(
            id=f"DFEval2024-{name}",
            path=root / "audio-data" / name,
            bona_fide=truth == "real",
            dataset=NAME,
            split=split,
            source=f"DFEval2024:{name}",
            licence=LICENCE,
        )
