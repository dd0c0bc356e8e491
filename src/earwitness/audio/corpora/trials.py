"""What readers of labelled trials share: words that are labels, names that become paths, folders of audio."""

import os
from collections.abc import Iterator
from pathlib import Path

from earwitness.audio.corpora.layout import audio_under
from earwitness.errors import InputError

# Usual names of parts -> split.
SPLIT_WORDS = {
    **dict.fromkeys("train training trn".split(), "train"),
    **dict.fromkeys("valid validation val dev development".split(), "valid"),
    **dict.fromkeys("test testing eval evaluation".split(), "test"),
    **dict.fromkeys(("-", ""), "-"),
}


def is_bona_fide(word: str, path: Path, item: str, genuine: str = "bonafide", spoofed: str = "spoof") -> bool:
    """Whether a label says bona fide; `path` and `item` are the label file and its trial.

    Raises:
        InputError: `bad-corpus`: the label is neither of the two words.
    """
    if word not in (genuine, spoofed):
        raise InputError(
            "bad-corpus", f"{path}: {item} is labelled {word!r}, expected {genuine} or {spoofed}"
        )
    return word == genuine


def split_of(word: str, path: Path, item: str) -> str:
    """train, valid, test or '-' by the usual names of parts.

    Raises:
        InputError: `bad-corpus`: the name is none of them.
    """
    if word.lower() not in SPLIT_WORDS:
        known = ", ".join(filter(None, SPLIT_WORDS))
        raise InputError("bad-corpus", f"{path}: {item} is in the part {word!r}, expected one of {known}")
    return SPLIT_WORDS[word.lower()]


def inside(folder: Path, name: str, path: Path) -> Path:
    """The file that label file `path` calls `name`, in `folder`.

    Raises:
        InputError: `bad-corpus`: the name leads outside of the folder.
    """
    relative = os.path.normpath(name)
    if os.path.isabs(relative) or relative.split(os.sep)[0] in ("..", ".") or "\0" in name:
        raise InputError("bad-corpus", f"{path}: the name {name!r} does not lead into {folder}; correct it")
    return folder / relative


def some_audio(folder: Path, expected: str) -> Iterator[Path]:
    """Recordings below a folder.

    Raises:
        InputError: `bad-corpus`: there are none.
    """
    path = None
    for path in audio_under(folder):
        yield path
    if path is None:
        raise InputError("bad-corpus", f"{folder}: expected {expected} in it, found none; check the folder")
