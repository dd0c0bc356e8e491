"""Scores meet their key: every trial once, nothing dropped in silence."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from earwitness.errors import InputError
from earwitness.metrics.matching import match
from earwitness.metrics.scores import read_key, read_scores, write_key, write_scores

pytest.importorskip("polars")

KEY = "filename\tcm-label\nb\tspoof\na\tbonafide\nc\tspoof\n"


@pytest.fixture
def pair(tmp_path):
    """Read a score file and a key from their texts."""

    def pair(scores, key, want=()):
        (tmp_path / "scores").write_text(scores)
        (tmp_path / "key").write_text(key)
        return read_scores(tmp_path / "scores", want), read_key(tmp_path / "key", want)

    return pair


def found(matched):
    return {row["id"]: (row["score"], row["label"]) for row in matched.frame.iter_rows(named=True)}


def test_trials_are_matched_by_id_in_the_order_of_the_scores(pair):
    matched = match(*pair("c 3\na 1\nb 2\n", KEY))
    assert list(found(matched).items()) == [("c", (3, 0)), ("a", (1, 1)), ("b", (2, 0))]
    assert (matched.how, matched.key_rows, matched.without_key, matched.without_score) == ("id", 3, 0, 0)


@settings(max_examples=30, deadline=None)
@given(order=st.permutations(range(12)), seed=st.integers(0, 9))
def test_the_order_of_rows_never_matters(tmp_path_factory, order, seed):
    folder = tmp_path_factory.mktemp("pair")
    ids = np.array([f"t{i}" for i in range(12)])
    scores, bona_fide = np.random.default_rng(seed).normal(size=12), np.arange(12) % 3 == 0
    write_scores(folder / "scores", ids.tolist(), scores)
    write_key(folder / "key", ids[order].tolist(), bona_fide[order])
    matched = match(read_scores(folder / "scores"), read_key(folder / "key"))
    assert found(matched) == dict(zip(ids, zip(scores, bona_fide, strict=True), strict=True))


def test_sets_that_differ_are_refused_and_named_or_reported(pair):
    scores, key = pair("a 1\nb 2\nx 3\ny 3\nz 3\nw 3\n", KEY)
    with pytest.raises(InputError) as caught:
        match(scores, key)
    assert "4 trials have no row in the key (x, y, z, ...)" in caught.value.message
    assert "1 rows of the key have no score (c)" in caught.value.message
    assert "--allow-missing" in caught.value.message
    matched = match(scores, key, allow_missing=True)
    assert found(matched) == {"a": (1, 1), "b": (2, 0)}
    assert (matched.key_rows, matched.without_key, matched.without_score) == (3, 4, 1)


def test_nothing_in_common_says_what_either_side_has(pair):
    with pytest.raises(InputError, match=r"none of its trials .* scores of x, y, a key of b, a, c"):
        match(*pair("x 1\ny 2\n", KEY), allow_missing=True)


def test_sasv_trials_are_matched_by_claimed_speaker_and_file(pair):
    key = "spk\tfilename\tcm-label\tasv-label\nS1\ta\tbonafide\ttarget\nS2\ta\tbonafide\tnontarget\n"
    scores = "spk\tfilename\tcm-score\tasv-score\tsasv-score\nS2\ta\t2\t-5\t6\nS1\ta\t1\t7\t8\n"
    frame = match(*pair(scores, key)).frame
    assert frame.select("id", "asv_score", "asv_label").rows() == [("S2 a", -5, 2), ("S1 a", 7, 1)]
    with pytest.raises(InputError, match="several trials have the id 'a'"):
        match(*pair("filename\tcm-score\na\t1\n", key))


def test_recordings_are_matched_by_path_below_the_root(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "key.csv").write_text("ID,Label,Path\nX-1,real,$ROOT//a/1.wav\nX-2,fake,$ROOT/b/1.wav\n")
    records = [("corpus/a/1.wav", 1.0), (str(tmp_path / "corpus/b/../b/1.wav"), 2.0)]
    rows = [{"path": p, "llr": s, "score": s, "verdict": "fake"} for p, s in records]
    (tmp_path / "scan").write_text("".join(json.dumps(row) + "\n" for row in rows))
    scores, key = read_scores(tmp_path / "scan"), read_key(tmp_path / "key.csv")
    matched = match(scores, key, root=tmp_path / "corpus")
    assert matched.how == "path"
    assert matched.frame.select("score", "label").rows() == [(1, 1), (2, 0)]
    with pytest.raises(InputError, match="several trials have the file name '1'"):
        match(scores, key, root=tmp_path / "elsewhere")


def test_else_by_file_name_without_folder_and_ending(pair):
    matched = match(*pair("flac/a.flac 1\nC:\\x\\b.WAV 2\nc 3\n", KEY))
    assert matched.how == "file name"
    assert found(matched) == {"a": (1, 1), "b": (2, 0), "c": (3, 0)}
    assert found(match(*pair("x/t-3.5.wav 1\n", "id,label\nt-3.5,real\n"))) == {"t-3.5": (1, 1)}


def test_only_keeps_the_trials_that_were_asked_for(pair):
    key = "S a - - A1 spoof notrim eval\nS b - - - bonafide notrim eval\nS c - - - bonafide trim hidden\n"
    key = key.replace("S c", "S d - - - bonafide trim progress\nS c")
    scores, key = pair("a 1\nb 2\nc 3\nd 4\n", key, ["split"])
    assert set(found(match(scores, key, only={"split": ["eval"]}))) == {"a", "b"}
    assert set(found(match(scores, key, only={"split": ["eval", "hidden"]}))) == {"a", "b", "c"}
    with pytest.raises(InputError, match="--only codec"):
        match(scores, key, only={"codec": ["x"]})
    with pytest.raises(InputError, match="no scored trial is left"):
        match(scores, key, only={"split": ["nowhere"]})


def test_rows_outside_of_the_choice_may_lack_a_score(pair):
    key = "S a - - A1 spoof notrim eval\nS b - - - bonafide notrim eval\nS c - - - bonafide trim hidden\n"
    scores, key = pair("a 1\nb 2\n", key, ["split"])
    matched = match(scores, key, only={"split": ["eval"]})
    assert (matched.key_rows, matched.without_score) == (2, 0)
    for only in (None, {"split": ["eval", "hidden"]}):
        with pytest.raises(InputError, match=r"1 rows of the key have no score \(c\)"):
            match(scores, key, only=only)


def test_recordings_without_a_score_are_counted_by_class(pair):
    scores = "path,verdict,score\na.wav,genuine,3\nb.wav,no-speech,\nc.wav,error,\n"
    matched = match(*pair(scores, KEY))
    assert found(matched) == {"a": (3, 1)}
    assert matched.unscored == {
        "error": {"bona_fide": 0, "spoof": 1},
        "no-speech": {"bona_fide": 0, "spoof": 1},
    }
    assert (matched.key_rows, matched.without_score) == (3, 0)


def test_labels_of_the_score_file_must_agree_with_the_key(pair):
    scores, key = pair("a - bonafide 1\nb A1 spoof 2\nc A1 spoof 3\n", KEY)
    assert match(scores, None).how == "own labels"
    assert found(match(scores, key)) == found(match(scores, None))
    scores, key = pair("a - bonafide 1\nb A1 bonafide 2\nc A1 spoof 3\n", KEY)
    with pytest.raises(InputError, match=r"contradict .* in 1 trials \(b\)"):
        match(scores, key)
    with pytest.raises(InputError, match="name its key with --key"):
        match(pair("a 1\n", KEY)[0], None)
