import unicodedata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from earwitness.audio.rttm import read_rttm, write_rttm
from earwitness.errors import InputError
from earwitness.operations.exports import LABELS_END, SpanFiles, parts_of, safe_names

NAMES = st.lists(
    st.one_of(
        st.text(st.characters(blacklist_categories=["Cs"]), min_size=1, max_size=12),
        st.sampled_from("a/x.wav b/x.wav b/X.flac x x-2 a_x .. \u00c4.wav A\u0308.wav".split()),
    ),
    max_size=12,
    unique=True,
)


def record(path="a.wav", windows=(), spans=(), score=0.0):
    return {
        "path": path,
        "score": score,
        "windows": [{"start_s": a, "end_s": b} for a, b in windows],
        "spans": [{"start_s": a, "end_s": b, "p_fake": 0.9} for a, b in spans],
    }


@settings(max_examples=200)
@given(NAMES)
def test_names_are_safe_and_unique(paths):
    keys = [(path, None) for path in paths]
    names = safe_names(keys)
    assert list(names) == keys
    folded = {unicodedata.normalize("NFC", name.casefold()) for name in names.values()}
    assert len(folded) == len(keys)
    for name in names.values():
        assert name.split() == [name]
        assert name[0] not in "._"
        assert "/" not in name
        assert len(name.encode()) < 240


def test_names_are_those_of_the_files_where_that_is_enough():
    keys = [("in/a/x.wav", None), ("in/b/x.wav", None), ("in/caf\u00e9 1.mp3", None), ("<stream>", None)]
    assert list(safe_names(keys).values()) == ["in_a_x.wav", "in_b_x.wav", "caf\u00e9_1", "stream"]
    assert list(safe_names([("x?.wav", None), ("x*.wav", None)]).values()) == ["x_.wav", "x_.wav-2"]
    assert list(safe_names([("x" * 300 + ".wav", None)]).values()) == ["x" * 200]
    twice = [("bad\\xff.wav", "62"), ("bad\\xff.wav", "63")]
    assert len(set(safe_names(twice).values())) == 2


TIMES = st.lists(st.integers(0, 400), max_size=10, unique=True).map(sorted)


@settings(max_examples=200)
@given(windows=TIMES, spans=TIMES, overlap=st.integers(0, 3))
def test_parts_are_what_was_scored_cut_by_the_spans(windows, spans, overlap):
    whole = list(zip(windows[::2], windows[1::2], strict=False))
    cut = list(zip(spans[::2], spans[1::2], strict=False))
    shifted = [(max(0, a - overlap), b) for a, b in whole]
    tenths = [[(a / 10, b / 10) for a, b in spans] for spans in (shifted, cut)]
    found = list(parts_of(record(windows=tenths[0], spans=tenths[1])))
    state = np.zeros(400, int)  # tenths of a second: 0 not scored, 1 bona fide, 2 spoof
    for a, b in shifted:
        state[a:b] = 1
    for a, b in cut:
        state[a:b] *= 2
    again = np.zeros(400, int)
    for part in found:
        a, b = round(part.start_s * 10), round(part.end_s * 10)
        assert a < b
        assert (again[a:b] == 0).all()
        again[a:b] = 1 if part.bona_fide else 2
    np.testing.assert_array_equal(again, state)
    assert found == sorted(found, key=lambda part: part.start_s)


def test_rounded_spans_leave_no_slivers():
    parts = list(parts_of(record(windows=[(0.774062, 3.136437)], spans=[(0.774, 3.136)])))
    assert [(p.start_s, p.end_s, p.bona_fide) for p in parts] == [(0.774062, 3.136437, False)]


def test_files_hold_the_answered_recordings(tmp_path):
    paths = ["b.wav", "a.wav", "none.wav", "broken.wav"]
    names = safe_names([(path, None) for path in paths])
    with SpanFiles(names, tmp_path / "out.rttm", tmp_path / "new" / "labels") as files:
        files.write(record("a.wav", [(0.0, 10.0)], [(3.4, 4.2), (6.0, 7.0)]))
        files.write(record("none.wav", [(0.5, 2.0)]))
        files.write(record("broken.wav", score=None))
        assert not (tmp_path / "out.rttm").exists()
        files.write(record("b.wav", [(0.0, 12.0), (8.0, 20.0), (30.0, 42.0)], [(30.0, 42.0)]))
    found = read_rttm(tmp_path / "out.rttm")
    assert list(found) == ["b", "a", "none"]  # as named, not as answered
    assert [(p.start_s, p.end_s, p.bona_fide) for p in found["a"]] == [
        (0.0, 3.4, True), (3.4, 4.2, False), (4.2, 6.0, True), (6.0, 7.0, False), (7.0, 10.0, True),
    ]  # fmt: skip
    assert [(p.start_s, p.end_s, p.bona_fide) for p in found["b"]] == [(0.0, 20.0, True), (30.0, 42.0, False)]
    tracks = {path.name: path.read_bytes() for path in (tmp_path / "new" / "labels").iterdir()}
    assert tracks == {
        f"a{LABELS_END}": b"3.400000\t4.200000\tfake 0.90\n6.000000\t7.000000\tfake 0.90\n",
        f"b{LABELS_END}": b"30.000000\t42.000000\tfake 0.90\n",
        f"none{LABELS_END}": b"",
    }


def test_a_scan_that_breaks_off_leaves_the_old_rttm(tmp_path):
    old = tmp_path / "out.rttm"
    old.write_text("old")
    files = SpanFiles({("a.wav", None): "a"}, old, None)
    files.write(record("a.wav", [(0.0, 1.0)]))
    files.__exit__(KeyboardInterrupt)
    assert old.read_text() == "old"


def test_places_that_cannot_be_written_are_refused_before_the_scan(tmp_path):
    (tmp_path / "file").write_text("")
    for rttm, labels in (
        (tmp_path, None),
        (tmp_path / "missing" / "x.rttm", None),
        (None, tmp_path / "file"),
        (None, tmp_path / "file" / "below"),
    ):
        with pytest.raises(InputError) as caught:
            SpanFiles({}, rttm, labels)
        assert caught.value.code == "unwritable"


@given(NAMES)
@settings(max_examples=50)
def test_every_name_is_one_that_rttm_takes(tmp_path_factory, paths):
    names = safe_names([(path, None) for path in paths]).values()
    path = tmp_path_factory.mktemp("rttm") / "x.rttm"
    parts = list(parts_of(record(windows=[(0.0, 1.0)])))
    write_rttm(path, {name: parts for name in names})
    assert set(read_rttm(path)) == set(names)
