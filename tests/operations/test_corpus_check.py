"""`corpus check` finds each fault that was planted, and nothing where none was."""

import itertools
import json
from dataclasses import replace

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from earwitness.audio.protocol import Utterance, write_protocol
from earwitness.errors import InputError
from earwitness.operations.corpus_check import KINDS, check, leaks, plain_text, run_check, separators

NUMBER = itertools.count()


@pytest.fixture
def make(tmp_path):
    """A recording of its own sound, and its row."""

    def one(name, real=True, split="-", seed=None, seconds=0.25, rate=16_000, dataset="d", **more):
        path = tmp_path / (name if "." in name else f"{name}.wav")
        rng = np.random.default_rng(next(NUMBER) + 1_000 if seed is None else seed)
        soundfile.write(
            path, np.round(rng.uniform(-9_000, 9_000, round(seconds * rate))).astype(np.int16), rate
        )
        return Utterance(
            id=name,
            path=path,
            bona_fide=real,
            dataset=dataset,
            split=split,
            duration_s=seconds,
            sample_rate=rate,
            channels=1,
            **more,
        )

    return one


@pytest.fixture
def found(tmp_path):
    """Kind -> finding of the rows, written into one protocol or several."""

    def run(*protocols, decode=False):
        paths = []
        for items in protocols:
            paths.append(tmp_path / f"{len(paths)}.csv")
            write_protocol(items, paths[-1], tmp_path)
        report = check(paths, None, decode)
        assert report["errors"] == sum(one["severity"] == "error" for one in report["findings"])
        return {one["kind"]: one for one in report["findings"]}

    return run


def ids(finding):
    """IDs of the examples."""
    return [[row["id"] for row in example["rows"]] for example in finding["examples"]]


@pytest.mark.parametrize("decode", [False, True])
def test_a_clean_protocol(make, found, decode):
    rows = [
        make("a", split="train", speaker="s1", source="u1", text="one", group="g1"),
        make("b", False, split="train", speaker="s1", source="u1", text="one", group="g1"),
        make("c", split="test", speaker="s2", source="u2", text="two", group="g2", seconds=0.3),
        make("d.flac", False, split="test", speaker="s2", source="u2", text="two", group="g2"),
        make("e", split="valid", speaker="s3"),
        make("f"),
    ]
    assert found(rows, decode=decode) == {}


def test_missing_and_unreadable_files(make, found):
    rows = [make("gone"), make("text"), make("good")]
    rows[0].path.unlink()
    rows[1].path.write_text("no audio")
    kinds = found(rows)
    assert ids(kinds.pop("missing")) == [["gone"]]
    assert ids(kinds["unreadable"]) == [["text"]]
    assert "holds text, not audio" in kinds.pop("unreadable")["examples"][0]["what"]
    assert kinds == {}


def test_damage_inside_shows_only_when_decoded(make, found):
    item = make("a.flac", seconds=3.0)
    item.path.write_bytes(item.path.read_bytes()[: item.path.stat().st_size // 2])
    assert found([item]) == {}
    assert ids(found([item], decode=True)["unreadable"]) == [["a.flac"]]


def test_nan_shows_only_when_decoded(make, found):
    item = make("a")
    soundfile.write(item.path, np.full(4_000, np.nan), 16_000, subtype="FLOAT")
    assert found([item]) == {}
    assert "NaN" in found([item], decode=True)["unreadable"]["examples"][0]["what"]


@pytest.mark.parametrize("decode", [False, True])
def test_headers_that_contradict_the_protocol(make, found, decode):
    rows = [
        replace(make("longer"), duration_s=0.31),
        replace(make("hair"), duration_s=0.29),
        replace(make("rate"), sample_rate=8_000),
        replace(make("stereo"), channels=2),
        replace(make("unsaid"), sample_rate=None, channels=None),
    ]
    kinds = found(rows, decode=decode)
    assert {kind: ids(one) for kind, one in kinds.items()} == {
        "duration": [["longer"]],
        "sample-rate": [["rate"]],
        "channels": [["stereo"]],
    }
    assert kinds["duration"]["examples"][0]["what"] == "0.25 s, the protocol says 0.31 s"


@pytest.mark.parametrize("suffix", ["mp3", "ogg"])
def test_what_a_codec_pads_is_no_contradiction(make, found, suffix):
    item = make(f"a.{suffix}", seconds=1.0)
    assert found([item], decode=True) == {}


@pytest.mark.parametrize("decode", [False, True])
def test_equal_files_on_one_side(make, found, decode):
    rows = [make("a", seed=1), make("b", seed=1), make("c", seed=2), make("d", seed=1, split="train")]
    kinds = found(rows, decode=decode)
    assert list(kinds) == ["duplicate-bytes", "leak-bytes"]  # 'd' stands on another side than the others
    assert (kinds["duplicate-bytes"]["count"], kinds["duplicate-bytes"]["rows"]) == (1, 3)


def test_equal_files_on_two_sides(make, found):
    kinds = found([make("a", seed=1, split="train"), make("b", seed=1, split="test")])
    assert list(kinds) == ["leak-bytes"]
    (example,) = kinds["leak-bytes"]["examples"]
    assert [(row["id"], row["split"], row["label"]) for row in example["rows"]] == [
        ("a", "train", "real"),
        ("b", "test", "real"),
    ]


def test_equal_sound_in_different_files(make, found, tmp_path):
    rows = [
        make("a.flac", seed=1, split="train"),
        make("b.flac", seed=1, split="test"),
        make("c.wav", seed=1),
    ]
    audio, rate = soundfile.read(rows[1].path, dtype="int16")
    soundfile.write(rows[1].path, audio, rate, format="FLAC", compression_level=0.0)
    assert rows[0].path.read_bytes() != rows[1].path.read_bytes()
    kinds = found(rows)
    assert {kind: one["rows"] for kind, one in kinds.items()} == {"leak-audio": 2}  # by the headers of FLAC
    kinds = found(rows, decode=True)
    assert {kind: one["rows"] for kind, one in kinds.items()} == {"leak-audio": 3}


def test_equal_files_are_no_second_finding_by_their_sound(make, found):
    rows = [make("a.flac", seed=1), make("b.flac", seed=1)]
    assert list(found(rows)) == list(found(rows, decode=True)) == ["duplicate-bytes"]


def test_equal_sizes_alone_are_nothing(make, found):
    rows = [make(f"{i}.wav") for i in range(5)]
    assert len({item.path.stat().st_size for item in rows}) == 1
    assert found(rows, decode=True) == {}


def test_one_recording_under_two_labels(make, found):
    kinds = found([make("a", seed=1), make("b", False, seed=1)])
    assert ids(kinds["two-labels"]) == [["a", "b"]]


@pytest.mark.parametrize(("field", "kind"), [("speaker", "leak-speaker"), ("group", "leak-group")])
def test_what_belongs_to_a_data_set_leaks_within_it(make, found, field, kind):
    rows = [make("a", split="train", **{field: "x"}), make("b", split="test", **{field: "x"})]
    assert ids(found(rows)[kind]) == [["a", "b"]]
    apart = [replace(rows[0], dataset="d1"), replace(rows[1], dataset="d2")]
    kinds = found(apart)
    assert kind not in kinds
    assert list(kinds) == (["leak-speaker-name"] if field == "speaker" else [])


def test_sources_leak_across_data_sets_too(make, found):
    rows = [
        make("a", split="train", dataset="d1", source="LJ:1"),
        make("b", split="valid", dataset="d2", source="LJ:1"),
    ]
    kinds = found(rows)
    assert (kinds["leak-source"]["severity"], ids(kinds["leak-source"])) == ("error", [["a", "b"]])
    assert kinds["leak-source"]["examples"][0]["what"] == "LJ:1"


def test_the_same_text_is_a_warning_however_it_is_written(make, found):
    rows = [make("a", split="train", text="Hello,  World!"), make("b", split="test", text="hello world")]
    kinds = found(rows)
    assert (list(kinds), kinds["leak-text"]["severity"]) == (["leak-text"], "warning")


def test_what_is_not_known_is_never_shared(make, found):
    rows = [
        make("a", split="train", text="?!"),
        make("b", split="test", text="..."),
        make("c", False, split="train"),
    ]
    assert found(rows) == {}


def test_fakes_of_test_speakers_and_of_test_recordings(make, found):
    rows = [
        make("real", split="test", speaker="s1", source="u1"),
        make("of speaker", False, split="train", speaker="s1", source="u9"),
        make("of recording", False, split="train", speaker="s8", source="u1"),
        make("of its id", False, split="train", source="real"),
        make("other", False, split="train", speaker="s2", source="u2"),
        make("in test", False, split="test", speaker="s1", source="u1"),
        make("fake in test", False, split="test", speaker="s3", source="u3"),
        make("shares a fake", False, split="train", source="u3"),
    ]
    kinds = found(rows)
    assert ids(kinds["fake-of-test-speaker"]) == [["of speaker", "real"]]
    assert [pair[0] for pair in ids(kinds["fake-of-test-recording"])] == ["of recording", "of its id"]
    assert kinds["fake-of-test-recording"]["count"] == 2


def test_genuine_training_speech_of_a_test_speaker_is_no_fake(make, found):
    rows = [make("a", split="train", speaker="s"), make("b", False, split="test", speaker="s")]
    assert list(found(rows)) == ["leak-speaker"]


def test_folds_are_sides_where_no_split_is_named(make, found):
    rows = [
        make("a", fold=0, speaker="s", group="p"),
        make("b", False, fold=1, speaker="s", group="p"),
        make("c", fold=1, speaker="t"),
        make("d", False, fold=1, speaker="t"),
    ]
    kinds = found(rows)
    assert set(kinds) == {"leak-speaker", "leak-group", "fake-of-test-speaker"}
    assert ids(kinds["fake-of-test-speaker"]) == [["b", "a"]]
    assert [row["split"] for row in kinds["leak-group"]["examples"][0]["rows"]] == ["fold 0", "fold 1"]


def test_several_protocols_are_one_set(make, found):
    train, test = make("a", split="train", speaker="s"), make("b", split="test", speaker="s")
    assert list(found([train], [test])) == ["leak-speaker"]
    kinds = found([train], [replace(train, split="test"), test])
    assert list(kinds) == ["same-id", "leak-bytes", "leak-speaker"]


def test_at_most_five_examples_and_all_are_counted(make, found):
    items = [make(f"{i}", split=split, speaker=f"s{i // 2}") for i, split in enumerate(["train", "test"] * 8)]
    one = found(items)["leak-speaker"]
    assert (one["count"], one["rows"], len(one["examples"])) == (8, 16, 5)


WORDS = st.sampled_from(["", "a", "b", "-"])
ROWS = st.lists(
    st.tuples(st.booleans(), st.sampled_from(["train", "valid", "test", "-"]), WORDS, WORDS, WORDS),
    max_size=12,
)


@given(ROWS)
def test_leaks_are_those_of_comparing_every_pair(tmp_path_factory, rows):
    items = [
        Utterance(id=str(i), path=None, bona_fide=real, dataset="d", split=split, speaker=s, source=u, text=t)  # type: ignore[arg-type]
        for i, (real, split, s, u, t) in enumerate(rows)
    ]
    kinds = {one.kind: one.count for one in leaks(items)}
    pairs = [(a, b) for a in items for b in items if "-" not in (a.split, b.split) and a.split != b.split]
    expected = {}
    for field in ("speaker", "source", "text"):
        shared = {getattr(a, field) for a, b in pairs if getattr(a, field) == getattr(b, field)} - {"", "-"}
        expected[f"leak-{field}"] = len(shared)
    directed = [(a, b) for a, b in pairs if not a.bona_fide and (a.split, b.split) == ("train", "test")]
    expected["fake-of-test-speaker"] = len(
        {a.id for a, b in directed if a.speaker == b.speaker not in ("", "-")}
    )
    originals = [(a, b) for a, b in directed if b.bona_fide and a.source not in ("", "-")]
    expected["fake-of-test-recording"] = len({a.id for a, b in originals if a.source in (b.source, b.id)})
    assert kinds == {kind: count for kind, count in expected.items() if count}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("It's  here.", "IT S HERE"),
        ("Straße", "STRASSE"),
        ("ＡＢＣ　１２３", "abc 123"),
        ("«Привет», мир!", "привет мир"),
        ("नमस्ते।", "नमस्ते"),
    ],
)
def test_texts_are_compared_without_case_width_punctuation(one, other):
    assert plain_text(one) == plain_text(other)


def test_vowel_signs_are_no_punctuation():
    assert plain_text("कि") != plain_text("की")
    assert ord("\u0915") not in separators()


def test_every_kind_has_a_severity_and_only_two_are_warnings():
    assert [kind for kind, (severity, _) in KINDS.items() if severity == "warning"] == [
        "leak-text",
        "leak-speaker-name",
    ]


def test_exit_codes_and_output(make, tmp_path, capsys):
    rows = [
        make("a", split="train", speaker="s", text="t"),
        make("b\x1b[2J.wav", split="test", speaker="s", text="t"),
    ]
    write_protocol(rows, tmp_path / "p.csv", tmp_path)
    assert run_check([tmp_path / "p.csv"], None, False, as_json=False) == 1
    text = capsys.readouterr().out
    assert "\x1b" not in text
    assert "1 speakers on several sides (2 rows)" in text
    assert run_check([tmp_path / "p.csv"], None, False, as_json=True) == 1
    report = json.loads(capsys.readouterr().out)
    assert (report["rows"], report["sides"], report["errors"], report["warnings"]) == (
        2,
        {"test": 1, "train": 1},
        1,
        1,
    )
    write_protocol([replace(item, speaker="-") for item in rows], tmp_path / "p.csv", tmp_path)
    assert run_check([tmp_path / "p.csv"], None, False, as_json=False) == 0  # a warning is no error
    write_protocol(rows[:1], tmp_path / "p.csv", tmp_path)
    assert run_check([tmp_path / "p.csv"], None, False, as_json=False) == 0
    assert "leaks cannot be looked for" in capsys.readouterr().out


def test_another_root(make, tmp_path):
    write_protocol([make("a")], tmp_path / "p.csv", tmp_path)
    (tmp_path / "p.json").write_text('{"root": "/nowhere"}')
    assert check([tmp_path / "p.csv"])["errors"] == 1
    assert check([tmp_path / "p.csv"], tmp_path)["errors"] == 0


def test_no_row_at_all(tmp_path):
    write_protocol([], tmp_path / "p.csv", tmp_path)
    with pytest.raises(InputError, match="holds no row"):
        check([tmp_path / "p.csv"])


@pytest.mark.shared
def test_the_leaks_between_folds_of_the_development_corpus(shared, tmp_path):
    from earwitness.audio.corpora.demos import read

    items = list(read(shared / "corpus" / "demos"))
    counts = {one.kind: (one.count, one.rows) for one in leaks(items)}
    # counted apart, straight from the manifest
    assert counts["leak-speaker"] == (36, 678)
    assert counts["leak-source"] == (17, 115)
    assert counts["fake-of-test-speaker"][0] == 343
    assert counts["fake-of-test-recording"][0] == 74
    assert "leak-group" not in counts  # no page stands in two folds
