"""Miniatures of corpora: their tables as published, a few lines long, and empty files for the audio."""

from pathlib import Path

import pytest

from earwitness.errors import InputError


def plant(root: Path, tables: dict[str, str], *audio: str) -> Path:
    """Write tables (path -> text) and empty recordings under `root`; returns it."""
    for name, text in {**tables, **dict.fromkeys(audio, "")}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root


def read_all(corpus, root: Path) -> dict:
    """ID -> utterance; no ID stands twice."""
    items = list(corpus.read(root))
    assert len({item.id for item in items}) == len(items)
    return {item.id: item for item in items}


def refusal(corpus, root: Path) -> str:
    """What a reader says of a bad corpus: one line that names a file or folder of it."""
    with pytest.raises(InputError) as caught:
        list(corpus.read(root))
    text = caught.value.message
    assert caught.value.code == "bad-corpus"
    assert "\n" not in text
    assert str(root) in text
    return text
