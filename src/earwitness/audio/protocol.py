"""Protocols: tables of labelled recordings (trials), read, checked and written.

A protocol is a CSV with the 12 columns of AntiDeepfake, in their order, and columns of ours behind
them that may be absent. `$ROOT` in a path stands for the folder of the corpus; a file beside the
protocol (`NAME.json`, written by `earwitness corpus prepare`) says where that was. Conventions:
`Label` is real or fake, `Proportion` train, valid, test or '-', and '-' stands for "not known".
"""

import csv
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from earwitness.errors import InputError

COLUMNS = (
    "ID Label Duration SampleRate Path Attack Speaker Proportion AudioChannel AudioEncoding "
    "AudioBitSample Language"
).split()
MORE = "Dataset Architecture Family Source Text Codec Group Fold Licence".split()
SPLITS = ("train", "valid", "test", "-")


@dataclass(frozen=True, kw_only=True)
class Utterance:
    """One labelled recording, as its corpus describes it; '-' where the corpus does not say.

    What a reader leaves None (`duration_s` and below) is read off the audio by `corpus prepare`.
    """

    id: str  # unique in its dataset
    path: Path
    bona_fide: bool
    dataset: str
    split: str = "-"  # train, valid, test
    generator: str = "-"  # the system that made it; '-' for genuine speech
    architecture: str = "-"  # the generator without its variant
    family: str = "-"  # tts, vc, vocoder, codec, edit
    speaker: str = "-"
    language: str = "-"  # upper case, ISO 639-1 where there is one
    source: str = "-"  # key of the recording or utterance underneath: copies share it
    text: str = "-"  # what is spoken, or a key of it
    codec: str = "-"  # condition of the trial: codec or channel it went through
    group: str = "-"  # what must never stand on both sides of a split
    fold: int | None = None
    licence: str = "-"
    duration_s: float | None = None
    sample_rate: int | None = None
    channels: int | None = None
    encoding: str | None = None  # as torchaudio names it: PCM_S, FLAC, MP3, ...
    bits: int | None = None


def as_row(item: Utterance, root: Path) -> dict[str, str]:
    """An utterance as a row; its path relative to `root`."""
    row = {
        "ID": item.id,
        "Label": "real" if item.bona_fide else "fake",
        "Duration": "-1" if item.duration_s is None else f"{item.duration_s:.2f}",
        "SampleRate": str(item.sample_rate or "-"),
        "Path": f"$ROOT/{item.path.relative_to(root).as_posix()}",
        "Attack": item.generator,
        "Speaker": item.speaker,
        "Proportion": item.split,
        "AudioChannel": str(item.channels or "-"),
        "AudioEncoding": item.encoding or "-",
        "AudioBitSample": str(item.bits or "-"),
        "Language": item.language,
        "Dataset": item.dataset,
        "Architecture": item.architecture,
        "Family": item.family,
        "Source": item.source,
        "Text": item.text,
        "Codec": item.codec,
        "Group": item.group,
        "Fold": "-" if item.fold is None else str(item.fold),
        "Licence": item.licence,
    }
    return {name: value or "-" for name, value in row.items()}


def write_protocol(items: Iterable[Utterance], path: Path, root: Path) -> int:
    """Write a protocol whole or not at all; returns its rows."""
    part = path.with_name(f".{path.name}.part")
    count = 0
    try:
        with part.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, [*COLUMNS, *MORE])
            writer.writeheader()
            for item in items:
                writer.writerow(as_row(item, root))
                count += 1
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return count


def root_of(path: Path) -> Path:
    """The corpus' folder that the file beside a protocol names; else the protocol's own folder."""
    about = path.with_suffix(".json")
    if about.is_file():
        try:
            found = json.loads(about.read_text(encoding="utf-8"))
            return path.parent / found["root"]
        except (ValueError, KeyError, TypeError):
            raise InputError("bad-protocol", f"{about}: names no root; prepare the corpus again") from None
    return path.parent


def read_protocol(path: Path, root: Path | None = None) -> Iterator[Utterance]:
    """Rows of a protocol, each checked; no audio is opened.

    Raises:
        InputError: `not-found`; `bad-protocol`, naming file and row: a column is missing, a label or
            number is none, an ID stands twice, a duration is not above zero, a path leaves `root`.
    """
    if not path.is_file():
        raise InputError("not-found", f"{path}: no such protocol")
    root = Path(os.path.abspath(root or root_of(path)))
    seen: dict[str, int] = {}
    number = 1
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            missing = [name for name in COLUMNS if name not in (reader.fieldnames or [])]
            if missing:
                raise InputError(
                    "bad-protocol",
                    f"{path}: the header lacks {', '.join(missing)}; "
                    "`earwitness corpus prepare csv` makes a protocol of any table",
                )
            for number, row in enumerate(reader, start=2):
                try:
                    item = parse_row(row, root)
                    if item.id in seen:
                        raise ValueError(f"ID {item.id!r} stands in row {seen[item.id]} already")
                except ValueError as error:
                    raise InputError("bad-protocol", f"{path}, row {number}: {error}") from None
                seen[item.id] = number
                yield item
    except (UnicodeDecodeError, csv.Error) as error:
        why = error.reason if isinstance(error, UnicodeDecodeError) else error
        raise InputError("bad-protocol", f"{path}, after row {number}: not a CSV in UTF-8: {why}") from None


def parse_row(row: dict[str, str | None], root: Path) -> Utterance:
    """One row, checked.

    Raises:
        ValueError: saying what is wrong with it.
    """

    def text(name: str) -> str:
        return (row.get(name) or "-").strip() or "-"

    if None in row or None in row.values():
        raise ValueError("has more or fewer fields than the header")
    if text("ID") == "-":
        raise ValueError("has no ID")
    if text("Label") not in ("real", "fake"):
        raise ValueError(f"label {text('Label')!r} is neither real nor fake")
    if text("Proportion") not in SPLITS:
        raise ValueError(f"Proportion {text('Proportion')!r} is none of {', '.join(SPLITS)}")
    duration = number_of(text("Duration"), "Duration")
    if duration is None or not 0 < duration < 1e6:
        raise ValueError(f"Duration {text('Duration')!r} is not above zero seconds")
    fold, rate = whole_of(text("Fold"), "Fold"), whole_of(text("SampleRate"), "SampleRate")
    channels, bits = (whole_of(text(name), name) for name in ("AudioChannel", "AudioBitSample"))
    return Utterance(
        id=text("ID"),
        path=resolve(row["Path"] or "-", root),  # as it stands: a name may end in a space
        bona_fide=text("Label") == "real",
        dataset=text("Dataset") if text("Dataset") != "-" else text("ID").partition("-")[0],
        split=text("Proportion"),
        generator=text("Attack"),
        architecture=text("Architecture"),
        family=text("Family"),
        speaker=text("Speaker"),
        language=text("Language"),
        source=text("Source"),
        text=text("Text"),
        codec=text("Codec"),
        group=text("Group"),
        fold=fold,
        licence=text("Licence"),
        duration_s=duration,
        sample_rate=rate,
        channels=channels,
        encoding=None if text("AudioEncoding") == "-" else text("AudioEncoding"),
        bits=bits,
    )


def number_of(text: str, name: str) -> float | None:
    """A finite number, or None for '-'.

    Raises:
        ValueError: it is none.
    """
    if text == "-":
        return None
    try:
        value = float(text)
    except ValueError:
        raise ValueError(f"{name} {text!r} is no number") from None
    if not abs(value) < 1e12:
        raise ValueError(f"{name} {text!r} is no number")
    return value


def whole_of(text: str, name: str) -> int | None:
    """A whole number from zero up, or None for '-'; 16000.0, as other tools write it, is one.

    Raises:
        ValueError: it is none.
    """
    value = number_of(text, name)
    if value is not None and (value < 0 or value != int(value)):
        raise ValueError(f"{name} {text!r} is no whole number")
    return None if value is None else int(value)


def resolve(text: str, root: Path) -> Path:
    """The path of a row, inside `root`.

    Raises:
        ValueError: it is empty, or leads outside.
    """
    if text.strip() in ("", "-"):
        raise ValueError("has no Path")
    relative = text.removeprefix("$ROOT/").lstrip("/") if text.startswith("$ROOT/") else text
    path = os.path.normpath(os.path.join(root, relative))  # AntiDeepfake's scripts write `$ROOT//`
    if not path.startswith(os.path.join(root, "")) or path == str(root) or "\0" in text:
        raise ValueError(f"Path {text!r} leads outside of {root}; name the corpus' folder with --root")
    return Path(path)


def read_protocols(paths: Sequence[Path], root: Path | None = None) -> list[Utterance]:
    """Rows of several protocols; an ID may stand in one of them only.

    Raises:
        InputError: as `read_protocol`.
    """
    items: list[Utterance] = []
    homes: dict[str, Path] = {}
    for path in paths:
        for item in read_protocol(path, root):
            if item.id in homes:
                where = homes[item.id]
                raise InputError("bad-protocol", f"{path}: ID {item.id!r} stands in {where} already")
            homes[item.id] = path
            items.append(item)
    if not items:
        raise InputError("bad-protocol", f"{', '.join(map(str, paths)) or 'no protocol'}: holds no row")
    return items
