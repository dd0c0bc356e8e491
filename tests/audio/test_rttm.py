"""RTTM: what is written is read back, and what is no RTTM is refused with its line."""

import math
import os
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from earwitness.audio import rttm
from earwitness.audio.rttm import Part, read_rttm, write_rttm
from earwitness.errors import InputError


@pytest.fixture
def path(tmp_path):
    return tmp_path / "reference.rttm"


def refused(path, text):
    """The error that a file of this text is refused with."""
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError) as caught:
        read_rttm(path)
    return caught.value


def line(start, duration, label="spoof", name="a", kind="SPEAKER"):
    return f"{kind} {name} 1 {start} {duration} NA NA {label} NA NA\n"


def test_the_lines_are_those_of_the_layout(path):
    write_rttm(path, {"CON_1": [Part(0.0, 0.5, True), Part(0.5, 0.73, False)], "b": [Part(0, 2, True)]})
    assert path.read_text() == (
        "SPEAKER CON_1 1 0.0000000 0.5000000 NA NA bonafide NA NA\n"
        "SPEAKER CON_1 1 0.5000000 0.2300000 NA NA spoof NA NA\n"
        "SPEAKER b 1 0.0000000 2.0000000 NA NA bonafide NA NA\n"
    )


def test_lines_of_others_in_any_order_with_comments(path):
    path.write_text(
        "\ufeff;; a comment\n\n"
        + line("0.5", ".23", name="u1")
        + line("0", "0.6", "bonafide", "u2")
        + "  SPEAKER\tu1 2 0 5e-1 <NA> <NA> bonafide <NA> <NA>\r\n",
        encoding="utf-8",
    )
    assert read_rttm(path) == {
        "u1": (Part(0.0, 0.5, True), Part(0.5, 0.73, False)),
        "u2": (Part(0.0, 0.6, True),),
    }


cuts = st.lists(st.integers(0, 16_000 * 3600), min_size=2, max_size=12, unique=True).map(sorted)
names = st.text(st.characters(exclude_categories=("Z", "C")), min_size=1).filter(
    lambda name: name.split() == [name]
)


@given(st.dictionaries(names, st.tuples(cuts, st.booleans()), max_size=4))
def test_times_at_16_khz_come_back_exactly_and_parts_meet(tmp_path_factory, given_cuts):
    path = tmp_path_factory.mktemp("rttm") / "a.rttm"
    parts = {
        name: tuple(
            Part(start / 16_000, stop / 16_000, genuine == (i % 2 == 0))
            for i, (start, stop) in enumerate(pairwise(places))
        )
        for name, (places, genuine) in given_cuts.items()
    }
    write_rttm(path, parts)
    assert read_rttm(path) == parts


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (line("nan", "1"), "start 'nan'"),
        (line("-0.1", "1"), "start '-0.1'"),
        (line("0", "inf"), "duration 'inf'"),
        (line("zero", "1"), "start 'zero'"),
        (line("1e999999999", "1"), "start"),
        (line("1000001", "1"), "start"),
        (line("1", "0"), "is empty"),
        (line("1", "-1"), "duration '-1'"),
        (line("999999", "1e-30"), "is empty"),
        (line("0", "1", "fake"), "label 'fake' is neither"),
        (line("0", "1", kind="LEXEME"), "begin with 'LEXEME'"),
        ("SPEAKER a 1 0 1 NA NA spoof NA\n", "found 9 fields"),
        (line("0", "1", name="a b"), "found 11 fields"),
        ("x" * (1 << 20), "found 1 fields"),
    ],
)
def test_what_is_no_part_is_refused_with_its_line(path, text, says):
    error = refused(path, line("0", "1", name="good") + text)
    assert error.code == "bad-rttm"
    assert f"{path}, line 2: " in error.message
    assert says in error.message
    assert len(error.message) < len(str(path)) + 300


def test_parts_that_overlap_are_refused_with_both_lines(path):
    error = refused(path, line("2", "1") + line("0", "1", name="b") + line("0", "2.1", "bonafide"))
    assert (error.code, f"{path}, line 1: " in error.message) == ("bad-rttm", True)
    assert "line 3, which ends at 2.1 s" in error.message
    assert refused(path, line("0", "2") + line("0", "2")).code == "bad-rttm"
    assert refused(path, line("0", "0.002") + line("0.0005", "0.001")).code == "bad-rttm"


def test_an_overlap_by_rounding_is_taken_off_the_later_part(path):
    path.write_text(line("0.334", "0.334", "bonafide") + line("0.667", "0.333"))
    assert read_rttm(path)["a"] == (Part(0.334, 0.668, True), Part(0.668, 1.0, False))


def test_files_that_are_none(path, tmp_path, monkeypatch):
    for place, code in ((tmp_path / "none", "not-found"), (tmp_path, "not-a-file")):
        with pytest.raises(InputError) as caught:
            read_rttm(place)
        assert (caught.value.code, str(place) in caught.value.message) == (code, True)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="named pipe"):
        read_rttm(tmp_path / "pipe")
    error = refused(path, line("0", "1").encode() + b"SPEAKER \xff\n")
    assert (error.code, "UTF-8" in error.message) == ("bad-rttm", True)
    monkeypatch.setattr(rttm, "MAX_PARTS", 3)
    assert refused(path, "\n" * 4).code == "too-big"
    monkeypatch.setattr(rttm, "MAX_BYTES", 10)
    assert refused(path, line("0", "1")).code == "too-big"
    path.write_text("")
    assert read_rttm(path) == {}


@pytest.mark.parametrize("name", ["", "a b", "a\tb", "a\n", " a", "a\u2003b", "a\x1cb", "\udcff"])
def test_names_that_could_not_be_read_back_are_refused_and_nothing_is_written(path, name):
    path.write_text("before")
    with pytest.raises(InputError) as caught:
        write_rttm(path, {"good": [Part(0, 1, True)], name: [Part(0, 1, True)]})
    assert caught.value.code == "bad-name"
    assert path.read_text() == "before"
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.parametrize(
    "spans",
    [[(0, 0)], [(1, 0.5)], [(-1, 1)], [(math.nan, 1)], [(0, math.inf)], [(0, 1), (0.9, 2)], [(1, 2), (0, 1)]],
)
def test_parts_that_are_none_are_not_written(path, spans):
    with pytest.raises(InputError) as caught:
        write_rttm(path, {"a": [Part(start, end, True) for start, end in spans]})
    assert caught.value.code == "bad-rttm"
    assert not os.listdir(path.parent)
