"""Protocols are read as they were written, and refused in one sentence that names file and row."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from earwitness.audio.protocol import (
    COLUMNS,
    MORE,
    Utterance,
    read_protocol,
    read_protocols,
    root_of,
    write_protocol,
)
from earwitness.errors import InputError

# What a cell may hold and is read back as: no spaces around it, and not '-', which means unknown.
CELLS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20).filter(
    lambda text: text == text.strip() and text != "-"
)
NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/\0"), min_size=1, max_size=20)
PARTS = NAMES.filter(lambda name: name not in (".", ".."))
PATHS = st.lists(PARTS, min_size=1, max_size=3).map(lambda parts: Path("/root", *parts))
MAYBE = st.one_of(st.just("-"), CELLS)
NUMBERS = st.one_of(st.none(), st.integers(1, 10**6))

UTTERANCES = st.builds(
    Utterance,
    id=CELLS,
    path=PATHS,
    bona_fide=st.booleans(),
    dataset=CELLS,
    split=st.sampled_from(["train", "valid", "test", "-"]),
    **dict.fromkeys(
        "generator architecture family speaker language source text codec group licence".split(), MAYBE
    ),
    fold=st.one_of(st.none(), st.integers(0, 9)),
    duration_s=st.integers(1, 10**7).map(lambda hundredths: hundredths / 100),
    sample_rate=NUMBERS,
    channels=NUMBERS,
    encoding=st.one_of(st.none(), CELLS),
    bits=NUMBERS,
)

ROW = {
    **dict.fromkeys([*COLUMNS, *MORE], "-"),
    "ID": "LA-1",
    "Label": "fake",
    "Duration": "2.22",
    "SampleRate": "16000",
    "Path": "$ROOT//eval/1.wav",
    "Attack": "A10",
    "Speaker": "LA_0045",
    "Proportion": "test",
    "AudioChannel": "1",
    "AudioEncoding": "PCM_S",
    "AudioBitSample": "16",
    "Language": "EN",
}


@given(st.lists(UTTERANCES, max_size=5, unique_by=lambda item: item.id))
def test_what_is_written_is_read_back(tmp_path_factory, items):
    path = tmp_path_factory.mktemp("round") / "p.csv"
    assert write_protocol(items, path, Path("/root")) == len(items)
    assert list(read_protocol(path, Path("/root"))) == items


def write(path, rows, columns=(*COLUMNS, *MORE)):
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.fixture
def place(tmp_path):
    return tmp_path / "p.csv"


def test_a_row_of_antideepfake_as_its_scripts_write_it(place):
    write(place, [ROW], COLUMNS)
    (item,) = read_protocol(place, Path("/data"))
    assert item == Utterance(
        id="LA-1",
        path=Path("/data/eval/1.wav"),
        bona_fide=False,
        dataset="LA",  # what stands before the first '-'
        split="test",
        generator="A10",
        speaker="LA_0045",
        language="EN",
        duration_s=2.22,
        sample_rate=16_000,
        channels=1,
        encoding="PCM_S",
        bits=16,
    )


def test_other_columns_any_order_and_a_byte_order_mark_do_no_harm(place):
    columns = ["Mine", *reversed(COLUMNS)]
    write(place, [{**ROW, "Mine": "x"}], columns)
    place.write_bytes(b"\xef\xbb\xbf" + place.read_bytes())
    (item,) = read_protocol(place, Path("/data"))
    assert (item.id, item.sample_rate) == ("LA-1", 16_000)


def test_a_whole_number_may_be_written_with_a_point(place):
    write(place, [{**ROW, "SampleRate": "16000.0", "Fold": "2.0"}])
    (item,) = read_protocol(place)
    assert (item.sample_rate, item.fold) == (16_000, 2)


@pytest.mark.parametrize("name", COLUMNS)
def test_a_missing_column_is_named(place, name):
    write(place, [ROW], [column for column in COLUMNS if column != name])
    with pytest.raises(InputError, match=f"p.csv: the header lacks {name};") as caught:
        list(read_protocol(place))
    assert caught.value.code == "bad-protocol"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"Label": "spoof"}, "label 'spoof' is neither real nor fake"),
        ({"Label": "1"}, "label '1' is neither"),
        ({"Label": ""}, "label '-' is neither"),
        ({"Proportion": "dev"}, "Proportion 'dev' is none of train, valid, test, -"),
        ({"Duration": "0"}, "Duration '0' is not above zero"),
        ({"Duration": "0.00"}, "is not above zero"),
        ({"Duration": "-1"}, "is not above zero"),
        ({"Duration": "-"}, "is not above zero"),
        ({"Duration": "1e7"}, "is not above zero"),
        ({"Duration": "nan"}, "'nan' is no number"),
        ({"Duration": "inf"}, "'inf' is no number"),
        ({"Duration": "two"}, "Duration 'two' is no number"),
        ({"SampleRate": "16k"}, "SampleRate '16k' is no number"),
        ({"SampleRate": "-16000"}, "SampleRate '-16000' is no whole number"),
        ({"AudioChannel": "1.5"}, "AudioChannel '1.5' is no whole number"),
        ({"Fold": "0.5"}, "Fold '0.5' is no whole number"),
        ({"ID": ""}, "has no ID"),
        ({"ID": " - "}, "has no ID"),
        ({"Path": ""}, "has no Path"),
        ({"Path": "-"}, "has no Path"),
        ({"Path": "../other/1.wav"}, "leads outside of"),
        ({"Path": "$ROOT/../1.wav"}, "leads outside of"),
        ({"Path": "$ROOT/a/../../1.wav"}, "leads outside of"),
        ({"Path": "/etc/passwd"}, "leads outside of"),
        ({"Path": "$ROOT/"}, "leads outside of"),
        ({"Path": "."}, "leads outside of"),
        ({"Path": "a\0.wav"}, "leads outside of"),
    ],
)
def test_a_bad_row_is_named_in_one_sentence(place, change, says):
    write(place, [{**ROW, "ID": "first"}, {**ROW, **change}])
    with pytest.raises(InputError) as caught:
        list(read_protocol(place))
    assert caught.value.code == "bad-protocol"
    assert caught.value.message.startswith(f"{place}, row 3: ")
    assert says in caught.value.message
    assert "\n" not in caught.value.message


def test_a_path_beside_the_root_is_outside(place):
    write(place, [{**ROW, "Path": "../data2/1.wav"}])
    with pytest.raises(InputError, match="leads outside"):
        list(read_protocol(place, Path("/data")))


def test_paths_may_be_absolute_inside_the_root(place):
    write(place, [{**ROW, "Path": "/data/x/../1.wav"}])
    (item,) = read_protocol(place, Path("/data"))
    assert item.path == Path("/data/1.wav")


def test_an_id_that_stands_twice(place):
    write(place, [ROW, {**ROW, "ID": "LA-2"}, ROW])
    with pytest.raises(InputError, match="row 4: ID 'LA-1' stands in row 2 already"):
        list(read_protocol(place))


@pytest.mark.parametrize(
    "fields", [3, len(COLUMNS), len(COLUMNS) + len(MORE) - 1, len(COLUMNS) + len(MORE) + 1]
)
def test_a_ragged_row(place, fields):
    write(place, [ROW])
    cells = [*ROW.values(), "more"][:fields]
    with place.open("a", newline="") as file:
        csv.writer(file).writerow(["LA-2", *cells[1:]])
    with pytest.raises(InputError, match="row 3: has more or fewer fields than the header"):
        list(read_protocol(place))


def test_what_is_not_utf8_says_after_which_row(place):
    write(place, [{**ROW, "ID": f"LA-{i}"} for i in range(500)])
    with place.open("ab") as file:
        file.write(b"LA-\xff,fake")
    rows = []
    with pytest.raises(InputError, match=r"p.csv, after row \d+: not a CSV in UTF-8") as caught:
        rows.extend(read_protocol(place))
    assert caught.value.code == "bad-protocol"
    assert f"after row {len(rows) + 1}:" in caught.value.message


def test_a_field_without_end_is_refused(place):
    write(place, [{**ROW, "Text": "a" * 200_000}])
    with pytest.raises(InputError, match="after row 1: not a CSV in UTF-8: field larger"):
        list(read_protocol(place))


def test_the_csv_module_is_left_as_it_was(place):
    before = csv.field_size_limit()
    write(place, [ROW, {**ROW, "ID": "LA-2"}])
    one, other = read_protocol(place), read_protocol(place)
    next(one), next(other)
    list(one), list(other)
    assert csv.field_size_limit() == before


def test_no_protocol_at_all(tmp_path):
    for path in (tmp_path / "none.csv", tmp_path):
        with pytest.raises(InputError, match="no such protocol") as caught:
            list(read_protocol(path))
        assert caught.value.code == "not-found"


def test_an_empty_file_lacks_every_column(place):
    place.write_text("")
    with pytest.raises(InputError, match="the header lacks ID, Label"):
        list(read_protocol(place))


def test_the_root_is_asked_for_then_noted_then_where_the_protocol_is(place):
    write(place, [ROW])
    assert next(read_protocol(place)).path == place.parent / "eval" / "1.wav"
    place.with_suffix(".json").write_text(json.dumps({"root": "/noted"}))
    assert next(read_protocol(place)).path == Path("/noted/eval/1.wav")
    assert next(read_protocol(place, Path("/asked"))).path == Path("/asked/eval/1.wav")
    place.with_suffix(".json").write_text(json.dumps({"root": "audio"}))  # written by hand: beside it
    assert next(read_protocol(place)).path == place.parent / "audio" / "eval" / "1.wav"


@pytest.mark.parametrize("text", ["{}", "[]", "not json", '{"root": 3}', "null"])
def test_a_note_that_names_no_root(place, text):
    place.with_suffix(".json").write_text(text)
    with pytest.raises(InputError, match=r"p\.json: names no root"):
        root_of(place)


@pytest.fixture
def item(tmp_path):
    return Utterance(id="a", path=tmp_path / "a.wav", bona_fide=True, dataset="d", duration_s=1.0)


def test_writing_is_whole_or_not_at_all(tmp_path, item):
    place = tmp_path / "p.csv"
    write_protocol([item], place, tmp_path)
    before = place.read_bytes()

    def broken():
        yield replace(item, id="b")
        raise InputError("bad-corpus", "stopped")

    with pytest.raises(InputError, match="stopped"):
        write_protocol(broken(), place, tmp_path)
    assert place.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["p.csv"]


def test_empty_texts_are_written_as_unknown(tmp_path, item):
    write_protocol([replace(item, speaker="", text="")], tmp_path / "p.csv", tmp_path)
    row = next(csv.DictReader((tmp_path / "p.csv").open(newline="")))
    assert list(row) == [*COLUMNS, *MORE]
    assert (row["Speaker"], row["Text"], row["SampleRate"], row["Fold"]) == ("-", "-", "-", "-")


def test_several_protocols_are_one_list(tmp_path, item):
    for name in ("a", "b"):
        write_protocol([replace(item, id=name)], tmp_path / f"{name}.csv", tmp_path)
    assert [one.id for one in read_protocols([tmp_path / "b.csv", tmp_path / "a.csv"])] == ["b", "a"]


def test_an_id_stands_in_one_protocol_only(tmp_path, item):
    for name in ("a.csv", "b.csv"):
        write_protocol([item], tmp_path / name, tmp_path)
    with pytest.raises(InputError, match=r"b.csv: ID 'a' stands in .*a.csv already"):
        read_protocols([tmp_path / "a.csv", tmp_path / "b.csv"])


def test_protocols_without_a_row(tmp_path):
    write_protocol([], tmp_path / "p.csv", tmp_path)
    with pytest.raises(InputError, match=r"p.csv: holds no row"):
        read_protocols([tmp_path / "p.csv"])
    with pytest.raises(InputError, match="no protocol: holds no row"):
        read_protocols([])
