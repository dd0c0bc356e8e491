"""Score files and keys as others write them, and files that mean harm."""

import json

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from earwitness.errors import InputError
from earwitness.metrics.scores import read_key, read_scores, write_key, write_scores

pytest.importorskip("polars")


@pytest.fixture
def put(tmp_path):
    """Write a file and give its path; its name says nothing."""

    def put(content, name="file.dat"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return put


def rows(trials, *columns):
    return [tuple(row[name] for name in columns) for row in trials.frame.iter_rows(named=True)]


SCORE_FILES = {
    "ASVspoof 5": "filename\tcm-score\na\t1.5\nb\t-2e-1\n",
    "ASVspoof 5 of another system": "cm-score\tfilename\r\n1.5\ta\r\n-0.2\tb\r\n",
    "byte order mark": "\ufefffilename\tcm-score\na\t1.5\nb\t-0.2\n",
    "ASVspoof 2019 and 2021": "a 1.5\nb  -0.2 \n\n",
    "the same with tabs": "a\t1.5\nb\t-0.2\n",
    "ASVspoof 2019 with labels": "a - bonafide 1.5\nb A07 spoof -0.2\n",
    "AntiDeepfake": 'ID,Score,Label\na,"[-0.5, 1.0]",1\nb,"[2.0, 1.8]",0\n',
    "named columns": 'utt,llr,extra\na,1.5,"x, y"\n"b",-0.2,\n',
    "the LLR before the raw score": "path,p_fake,llr,score\na,0.1,1.5,9\nb,0.9,-0.2,8\n",
}


@pytest.mark.parametrize("name", SCORE_FILES)
def test_layouts_are_told_by_their_content(put, name):
    trials = read_scores(put(SCORE_FILES[name]))
    assert rows(trials, "id") == [("a",), ("b",)]
    assert trials.frame["score"].to_list() == pytest.approx([1.5, -0.2])
    if "label" in trials.frame.columns:
        assert trials.frame["label"].to_list() == [1, 0]


def test_sasv_scores_keep_the_claimed_speaker_and_drop_what_is_absent(put):
    text = "spk\tfilename\tcm-score\tasv-score\tsasv-score\nS1\ta\t1\t-\t3\nS2\ta\t2\t-\t4\n"
    trials = read_scores(put(text))
    assert rows(trials, "claim", "id", "score", "sasv_score") == [("S1", "a", 1, 3), ("S2", "a", 2, 4)]
    assert not trials.has("asv_score")


def test_asv_scores_of_2019_and_the_fusion_tools_table(put):
    trials = read_scores(put("A07 spoof 1.5\n- target 3\n- nontarget -1\n"))
    assert rows(trials, "asv_score", "asv_label", "label") == [(1.5, 0, 0), (3, 1, 1), (-1, 2, 1)]
    trials = read_scores(put("asv_score,cm_score,sasv_label\n.5,10,1.0\n.2,-3,0.0\n.1,7,2.0\n"))
    assert rows(trials, "score", "asv_score", "label", "asv_label") == [
        (10, 0.5, 1, 1),
        (-3, 0.2, 0, 0),
        (7, 0.1, 1, 2),
    ]


def record(path, score=1.0, llr=2.0, verdict="fake", **more):
    return {"path": path, "score": score, "llr": llr, "verdict": verdict, "model": {"digest": "ab"}} | more


def lines(*records):
    return "".join(json.dumps(one) + "\n" for one in records)


def test_records_of_a_scan_give_llr_or_raw_score_and_say_what_has_none(put):
    path = put(
        lines(record("x/a.wav"), record("b.wav", None, None, "no-speech"), record("c", None, None, "error"))
    )
    assert rows(read_scores(path), "id", "score", "unscored") == [
        ("x/a.wav", 2.0, None),
        ("b.wav", None, "no-speech"),
        ("c", None, "error"),
    ]
    assert read_scores(path, raw=True).frame["score"].to_list() == [1.0, None, None]


def test_the_csv_of_a_scan_gives_the_same(put):
    path = put("path,verdict,p_fake,llr,score\nx/a.wav,fake,.9,-2,-3\nb.wav,no-speech,,,\n")
    assert rows(read_scores(path), "id", "score", "unscored") == [
        ("x/a.wav", -2, None),
        ("b.wav", None, "no-speech"),
    ]
    assert read_scores(path, raw=True).frame["score"].to_list() == [-3, None]


KEYS = {  # what a key holds for one spoofed trial, and what is known of it
    "ASVspoof 5": ("filename\tcm-label\nT1\tspoof\n", {}),
    "SASV": ("spk\tfilename\tcm-label\tasv-label\nS1\tT1\tspoof\tspoof\n", {"speaker": "S1", "claim": "S1"}),
    "full key": (
        "tar_spk_anon trial_anon asv-label cm-label attack_anon codec track_2_tag\n"
        "S1 T1 spoof spoof A17 C03 x\nS1 T9 spoof spoof A17 C03 dummy\n",
        {"generator": "A17", "codec": "C03"},
    ),
    "2019 LA": ("LA_0079 T1 - A01 spoof\n", {"speaker": "LA_0079", "generator": "A01"}),
    "2021 LA": (
        "LA_0009 T1 alaw ita_tx A07 spoof notrim eval\n",
        {
            "speaker": "LA_0009",
            "generator": "A07",
            "codec": "alaw",
            "split": "eval",
            "transmission": "ita_tx",
        },
    ),
    "2021 DF": (
        "LA_0023 T1 nocodec asvspoof A14 spoof notrim progress traditional_vocoder - - - -\n",
        {"generator": "A14", "codec": "nocodec", "split": "progress", "family": "traditional_vocoder"},
    ),
    "2021 PA": (
        "PA_0010 T1 R3 M3 d4 r1 m1 s4 c4 spoof notrim eval\n",
        {"speaker": "PA_0010", "split": "eval"},
    ),
    "ASVspoof 5 protocol": ("D_0755 T1 F - - - AC3 A11 spoof -\n", {"speaker": "D_0755", "generator": "A11"}),
    "AntiDeepfake protocol": (
        "ID,Label,Duration,SampleRate,Path,Attack,Speaker,Proportion,AudioChannel,AudioEncoding,"
        "AudioBitSample,Language\nT1,fake,2.22,16000,$ROOT//eval/T1.wav,A10,LA_0045,test,1,PCM_S,16,EN\n",
        {"generator": "A10", "speaker": "LA_0045", "split": "test", "language": "EN", "duration": 2.22},
    ),
    "any table": ("file,label,system\nT1,fake,xtts\n", {"generator": "xtts"}),
}


@pytest.mark.parametrize("name", KEYS)
def test_keys_give_labels_and_what_is_known(put, name):
    text, known = KEYS[name]
    trials = read_key(put(text), list(known))
    assert rows(trials, "id", "label", *known) == [("T1", 0, *known.values())]


def test_the_data_set_is_the_ids_prefix_where_no_column_names_it(put):
    path = put("ID,Label\nItW-1,real\nFoR-x-2,fake\n3,fake\n")
    assert read_key(path, ["dataset"]).frame["dataset"].to_list() == ["ItW", "FoR", "-"]


WRONG = {
    "score that is no number": ("id,score\na,1\n\nb,x\n", "row 4: score 'x' is no finite number"),
    "no score": ("id,score\na,1\nb,\n", "row 3: score '' is no finite number"),
    "NaN": ("a 1\nb nan\n", "row 2: score 'nan'"),
    "infinite": ("filename\tcm-score\na\t-inf\n", "row 2: score '-inf'"),
    "NaN among logits": ('ID,Score,Label\na,"[1, 2]",1\nb,"[nan, 2]",0\n', "row 3: score '[nan, 2]'"),
    "softmax": ('ID,Score,Label\na,"[0.25, 0.75]",1\nb,"[1.0, 0.0]",0\n', "softmax"),
    "probabilities": ("id,p_fake\na,0.5\n", "p_fake, which ties"),
    "twice": ("id,score\na,1\nb,2\na,3\n", "1 ids stand there more than once (a)"),
    "no id": ("id,score\n,1\n", "row 2: has no id"),
    "long id": (f"id,score\n{'x' * 5000},1\n", "row 2: has no id, or one longer"),
    "more fields": ("id,score\na,1\nb,2,3\n", "row 3: 3 fields where 2 are expected"),
    "fewer words": ("a 1\nb\n", "row 2: 1 fields where 2 are expected"),
    "header only": ("id\tscore\n", "a header and no rows"),
    "one column twice": ("id,cm-score,cm_score\na,1,2\n", "names column 'cm_score' twice"),
    "prose": ("hello world of words\n", "no known layout"),
    "empty": ("", "an empty file"),
    "blank": ("\n \n", "blank lines only"),
    "binary": (b"RIFF\0\0\0\0WAVE", "NUL bytes"),
    "UTF-16": ("id,score\na,1\n".encode("utf-16"), "NUL bytes"),
    "Latin-1": ("id,score\na,1\nü,2\n".encode("latin-1"), "not text in UTF-8"),
    "endless line": ("x" * 100_000, "a line is longer than 65,536 bytes"),
    "endless line later": ("id,score\n" + "a,1\n" * 40_000 + "x" * 70_000, "a line is longer"),
    "open quote": ('id,score\n"a,1\nb,2\n', "row 2: unexpected end"),
    "nested": ("{" * 100_000 + "\n", "row 1: no record of a scan"),
    "infinite record": (lines(record("a")).replace("2.0", "1e999"), "row 1: no record of a scan: llr is inf"),
    "huge integer": (lines(record("a")).replace("2.0", "9" * 400), "row 1: no record of a scan"),
    "record without a verdict": ('{"path": "a", "llr": 1}\n', "row 1: no record of a scan: 'verdict'"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_one_sentence_with_its_row(put, name):
    content, expected = WRONG[name]
    with pytest.raises(InputError) as caught:
        read_scores(put(content))
    assert expected in caught.value.message
    assert "file.dat" in caught.value.message
    assert "\n" not in caught.value.message.strip()
    assert len(caught.value.message) < 600


def test_calibrated_scores_are_refused_where_raw_ones_are_needed(put):
    with pytest.raises(InputError, match="calibrated already"):
        read_scores(put("path,llr\na,1\n"), raw=True)


def test_labels_that_are_none_are_refused(put):
    with pytest.raises(InputError, match="row 3: label 'maybe'"):
        read_key(put("id,label\na,spoof\nb,maybe\n"))
    with pytest.raises(InputError, match="holds no labels"):
        read_key(put("id,score\na,1\n"))
    with pytest.raises(InputError, match="no such file"):
        read_key(put("id,label\n").with_name("absent"))


NAMES = st.text("abcXYZ019_-./=+ü", min_size=1, max_size=12)
FLOATS = st.floats(allow_nan=False, allow_infinity=False, width=64)


@settings(max_examples=60, deadline=None)
@given(
    found=st.dictionaries(NAMES, st.tuples(FLOATS, st.booleans()), min_size=1, max_size=8),
    layout=st.sampled_from(["asvspoof5", "asvspoof2021", "antideepfake"]),
)
def test_what_is_written_is_read_back_exactly(tmp_path_factory, found, layout):
    path = tmp_path_factory.mktemp("scores") / "scores"
    scores = np.array([score for score, _ in found.values()])
    bona_fide = np.array([label for _, label in found.values()])
    assume(layout != "antideepfake" or not ((scores != 0) & (np.abs(scores) < 1e-300)).any())  # halves
    write_scores(path, list(found), scores, layout, bona_fide)
    trials = read_scores(path)
    assert rows(trials, "id", "score") == list(zip(found, scores, strict=True))
    if layout == "antideepfake":
        assert trials.frame["label"].to_list() == bona_fide.astype(int).tolist()
    write_key(path, list(found), bona_fide)
    assert rows(read_key(path), "id", "label") == list(zip(found, bona_fide.astype(int), strict=True))


@pytest.mark.parametrize("ids", [["a", "a"], ["a\tb", "c"], ["a\nb", "c"], ["", "c"], ["a"]])
def test_ids_that_would_break_a_table_are_not_written(tmp_path, ids):
    with pytest.raises(InputError):
        write_scores(tmp_path / "scores", ids, np.zeros(2))
    with pytest.raises(InputError):
        write_scores(tmp_path / "scores", ["a", "b"], np.array([0, np.nan]))
    assert not list(tmp_path.iterdir())
