"""DiffSSD: English sentences spoken by ten diffusion systems, of which two are commercial.

- Paper: Bhagtani et al., "DiffSSD: A Diffusion-Based Dataset For Speech Forensics", 2024; arXiv 2409.13049.
- Publisher: https://huggingface.co/datasets/purdueviperlab/diffssd; licence CC BY-NC-ND 4.0 (genuine speech:
  LibriSpeech CC BY 4.0, LJSpeech public domain).
- Size: 139.7 h spoofed; the genuine speech is not part of it and must be fetched.
- Expected in ROOT: `generated_speech/SYSTEM/[speaker_S/]sentence_N[_ACCENT].{wav,mp3}`. Where it is in place,
  `real_speech/librispeech/dev-clean/1272/128104/*.flac` and `real_speech/ljspeech/LJ*.wav` are read too, and
  the splits of the authors from `train_val_test_splits.csv`.
- Labels: the folders, or in the table, which has some lines before its header
  `filename,method_name,category,source,set,target`, the paths from ROOT on, `train`, `val` or `test`, and as
  the target 1 for spoof and 0 for bona fide. Rows of genuine speech are left out while `real_speech` is
  absent.
- Splits: of the table, which has diffgan_tts, playht and unit_speech in the test only; else '-'.
- Keys: diffgan_tts, grad_tts, pro_diff and wavegrad2 have the voice `LJSpeech`; the others imitate a speaker
  of LibriSpeech, `LibriTTS:1272` here, whose numbers are LibriTTS's. The text is `sentence_N`, the same for
  all.
"""

import csv
import re
from collections.abc import Iterator
from pathlib import Path

from earwitness.audio.corpora.layout import need
from earwitness.audio.corpora.trials import inside, is_bona_fide, some_audio, split_of
from earwitness.audio.protocol import Utterance
from earwitness.errors import InputError

NAME = "DiffSSD"
LICENCE = "CC-BY-NC-ND-4.0"
SOURCE = "https://huggingface.co/datasets/purdueviperlab/diffssd"

HEADER = ["filename", "method_name", "category", "source", "set", "target"]
ONE_VOICE = frozenset(("diffgan_tts", "grad_tts", "pro_diff", "wavegrad2"))


def table_rows(path: Path) -> Iterator[tuple[str, str, bool]]:
    """Name, split and label of each row of the authors' table.

    Raises:
        InputError: `bad-corpus`, with file and row.
    """
    found = False
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            for cells in reader:
                row = [cell.strip() for cell in cells]
                if found and any(row):
                    if len(row) != len(HEADER):
                        raise InputError(
                            "bad-corpus",
                            f"{path}, row {reader.line_num}: expected {len(HEADER)} fields, found {len(row)}",
                        )
                    item = f"row {reader.line_num}"
                    yield row[0], split_of(row[4], path, item), is_bona_fide(row[5], path, item, "0", "1")
                found = found or row == HEADER
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError("bad-corpus", f"{path}: cannot be read as a table: {error}") from None
    if not found:
        raise InputError("bad-corpus", f"{path}: lacks the header {','.join(HEADER)}")


def generated(root: Path, path: Path, split: str) -> Utterance:
    """A clip of `generated_speech`.

    Raises:
        InputError: `bad-corpus`: it does not lie in a system's folder.
    """
    place, system, *_ = *path.relative_to(root).parts, "-", "-"
    if place != "generated_speech" or path.parent in (root, root / place):
        raise InputError("bad-corpus", f"{path}: expected it in generated_speech/SYSTEM/; correct its place")
    reader = re.fullmatch(r"speaker_(\d+)", path.parent.name)
    sentence = re.match(r"sentence_\d+", path.stem)
    named = path.parent.name if reader else "-"
    return Utterance(
        id=f"DiffSSD-{system}-{named}-EN-{path.stem}",
        path=path,
        bona_fide=False,
        dataset=NAME,
        split=split,
        generator=system,
        family="tts",
        speaker="LJSpeech" if system in ONE_VOICE else f"LibriTTS:{reader[1]}" if reader else "-",
        language="EN",
        text=sentence[0] if sentence else "-",
        licence=LICENCE,
    )


def genuine(path: Path, split: str) -> Utterance:
    """A recording of `real_speech`."""
    line = path.stem.startswith("LJ")
    return Utterance(
        id=f"DiffSSD-real-{path.stem}",
        path=path,
        bona_fide=True,
        dataset=NAME,
        split=split,
        speaker="LJSpeech" if line else f"LibriTTS:{path.stem.partition('-')[0]}",
        language="EN",
        source=f"LJSpeech:{path.stem}" if line else f"LibriSpeech:{path.stem}",
        licence="public-domain" if line else "CC-BY-4.0",
    )


def read(root: Path) -> Iterator[Utterance]:
    """All generated clips, and the genuine recordings that are in place.

    Raises:
        InputError: `bad-corpus`: there is no generated speech, or a row of the table is none.
    """
    folder, real = need(root, "generated_speech"), root / "real_speech"
    table = root / "train_val_test_splits.csv"
    if table.is_file():
        for name, split, bona_fide in table_rows(table):
            path = inside(root, name, table)
            if not bona_fide:
                yield generated(root, path, split)
            elif real.is_dir():
                yield genuine(path, split)
        return
    for path in some_audio(folder, "SYSTEM/speaker_*/sentence_*.wav"):
        yield generated(root, path, "-")
    if real.is_dir():
        for path in some_audio(real, "librispeech/ and ljspeech/"):
            yield genuine(path, "-")
