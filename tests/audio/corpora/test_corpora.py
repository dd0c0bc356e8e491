"""What all readers have in common."""

import ast
from importlib import import_module
from pathlib import Path

import pytest

from earwitness.audio import corpora
from earwitness.audio.corpora import CORPORA, find_corpus
from earwitness.audio.corpora.trials import inside, split_of
from earwitness.errors import InputError

FOLDER = Path(corpora.__file__).parent
READERS = sorted(module for module in CORPORA.values() if (FOLDER / f"{module}.py").exists())


@pytest.mark.parametrize("name", READERS)
def test_a_reader_says_what_it_reads(name):
    module = import_module(f"earwitness.audio.corpora.{name}")
    assert all(isinstance(value, str) and value for value in (module.NAME, module.LICENCE, module.SOURCE))
    assert callable(module.read)
    about = module.__doc__ or ""
    assert any(word in about.lower() for word in ("licence", "public domain"))
    assert "ROOT" in about


def test_names_are_distinct():
    names = [import_module(f"earwitness.audio.corpora.{name}").NAME for name in READERS]
    assert len(set(names)) == len(names)


def test_prefixes_of_ids_are_distinct():
    """Each reader writes its IDs with a prefix that no other has, or the protocols could not be joined."""
    homes: dict[str, str] = {}
    for name in READERS:
        for node in ast.walk(ast.parse((FOLDER / f"{name}.py").read_text())):
            if isinstance(node, ast.keyword) and node.arg == "id" and isinstance(node.value, ast.JoinedStr):
                first = node.value.values[0]
                if isinstance(first, ast.Constant):
                    prefix = str(first.value).partition("-")[0]
                    assert homes.setdefault(prefix, name) == name
    assert len(homes) > 15


def test_find_corpus():
    assert find_corpus("csv").NAME == "csv"
    with pytest.raises(InputError, match=r"no corpus is called 'asvspoof6'; perhaps .*asvspoof5"):
        find_corpus("asvspoof6")


@pytest.mark.parametrize(
    ("word", "split"),
    [("train", "train"), ("Dev", "valid"), ("val", "valid"), ("eval", "test"), ("TEST", "test"), ("-", "-")],
)
def test_usual_names_of_splits(word, split):
    assert split_of(word, Path("x"), "item") == split


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/x", "", ".", "a\0b", "a/.."])
def test_names_stay_inside(name):
    with pytest.raises(InputError, match="does not lead into"):
        inside(Path("folder"), name, Path("labels.txt"))
    assert inside(Path("folder"), "a/../b/c.wav", Path("labels.txt")) == Path("folder/b/c.wav")
