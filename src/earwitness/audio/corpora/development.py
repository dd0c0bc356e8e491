"""Corpora: one reader each, provenance on top, rows as `Utterance`.

`demos` and `packages` are the development corpora that earwitness's first model was trained
on: sample pages of published speech-generation projects, and speech found in or made by
software packages. They are not shipped; each row's licence is in its manifest.
"""

import csv
from collections.abc import Iterator
from pathlib import Path

from earwitness.audio.protocol import Utterance
from earwitness.errors import InputError


def read_rows(root: Path) -> list[dict[str, str]]:
    """Rows of `root/manifest.csv`.

    Raises:
        InputError: there is no manifest under `root`.
    """
    manifest = root / "manifest.csv"
    if not manifest.is_file():
        raise InputError("not-found", f"{manifest}: expected a corpus manifest, found no such file")
    with manifest.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def read_demos(root: Path) -> Iterator[Utterance]:
    """Sample pages of 37 projects; `group` is the page, `fold` its page fold (0 to 3)."""
    for row in read_rows(root):
        yield Utterance(
            id=row["id"],
            path=root / row["path"],
            bona_fide=row["label"] == "real",
            generator=row["system"],
            architecture=row["arch"],
            family=row["family"],
            speaker=row["speaker"],
            dataset="demos",
            language=row.get("language", "").upper() or "-",
            source=row.get("utt_key") or "-",
            text=row.get("text") or "-",
            group=row["page"],
            fold=int(row["page_fold"]),
            duration_s=float(row["duration_s"]),
            licence=row["licence_class"],
        )


def read_packages(root: Path) -> Iterator[Utterance]:
    """Recorded prompts and offline engines; `group` is the recording set or engine."""
    for row in read_rows(root):
        yield Utterance(
            id=row["id"],
            path=root / row["path"],
            bona_fide=row["label"] == "real",
            generator=row["system"] if row["label"] == "fake" else "ground-truth",
            architecture=row["system"] if row["label"] == "fake" else "ground-truth",
            family=row["family"],
            speaker=row["speaker"],
            dataset="packages",
            language=row.get("language", "").upper() or "-",
            source=row.get("parent_id") or row["id"],
            text=row.get("text") or "-",
            group=row["system"],
            fold=None,
            duration_s=float(row["duration_s"]),
            licence=row["licence"],
        )
