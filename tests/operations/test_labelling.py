"""Labelling tasks: written, filled in as a person would, read back; Label Studio's exports made by hand."""

import csv
import io
import json
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from earwitness.errors import InputError
from earwitness.operations.labelling import (
    Answer,
    harmless,
    label_samples,
    labelling_config,
    read_answers,
    unharmed,
    write_task,
)
from earwitness.operations.samples import Samples, read_samples, write_samples

NASTY = [
    "=1+1",
    "+a",
    "-b",
    "@c",
    "'=d",
    "''=e",
    "'f",
    'g"h',
    "i,j;k",
    "ü\tl",
    "\tm",
    "ab\ncd\r\x07\x0b\u2028",
    "\x1b[2J",
]


def make(ids, **columns):
    count = len(ids)
    more = {"path": [f"audio/{i}.wav" for i in range(count)], "source": ["s"] * count}
    return Samples(ids, np.linspace(-2, 2, count), np.eye(count, 3, dtype=np.float32), more | columns)


@pytest.fixture
def pool():
    return make(["a", "b", "c", "d"])


def fill(task, labels, generators=None, delimiter=","):
    """Save a task as a spreadsheet would, with these labels from the top."""
    with task.open(encoding="utf-8-sig", newline="") as file:
        head, *rows = csv.reader(file)
    for i, (row, label) in enumerate(zip(rows, labels, strict=False)):
        row[head.index("label")] = label
        row[head.index("generator")] = (generators or {}).get(i, "")
    with task.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows([head, *rows])


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_table_there_and_back(pool, tmp_path, delimiter):
    task = tmp_path / "deep" / "task.csv"
    write_task(pool, [2, 0, 1, 3], task, "energy")
    assert task.read_bytes().startswith(b"\xef\xbb\xbf")
    rows = list(csv.DictReader(io.StringIO(task.read_text("utf-8-sig"))))
    assert [row["id"] for row in rows] == ["c", "a", "b", "d"]
    assert rows[0] == {
        "id": "c",
        "path": "audio/2.wav",
        "score": "0.6667",
        "duration_s": "",
        "source": "s",
        "label": "",
        "generator": "",
        "note": "",
        "why": "energy",
    }
    assert rows[1]["score"] == "-2.0000"
    assert read_answers(task) == ({}, [])
    fill(task, ["Fake ", "real", "", "unusable"], {0: "xtts"}, delimiter)
    assert read_answers(task) == ({"c": Answer(0, "xtts"), "a": Answer(1), "d": Answer(-1)}, [])


def test_answers_become_labelled_samples(pool, tmp_path):
    answers = {"c": Answer(0, "xtts", "robotic"), "a": Answer(1), "d": Answer(-1), "zz": Answer(1)}
    labelled = label_samples(make(pool.ids, generator=["x"] * 4), answers)
    write_samples(tmp_path / "labelled.csv", labelled)
    found = read_samples(tmp_path / "labelled.csv")
    assert found.ids == ["a", "c", "d"]
    assert found.labels.tolist() == [1, 0, -1]
    assert found.columns["generator"] == ["-", "xtts", "-"]
    assert found.columns["note"] == ["-", "robotic", "unusable"]
    assert found.columns["path"] == ["audio/0.wav", "audio/2.wav", "audio/3.wav"]
    np.testing.assert_array_equal(found.embeddings, pool.embeddings[[0, 2, 3]])
    assert "label" not in pool.columns


def test_formulas_and_control_characters(tmp_path):
    pool = make(NASTY, path=NASTY[::-1], source=NASTY)
    task = tmp_path / "task.csv"
    write_task(pool, range(len(pool)), task, "=why")
    with task.open(encoding="utf-8-sig", newline="") as file:
        head, *rows = csv.reader(file)
    assert len(rows) == len(NASTY)
    for row in rows:
        for name, cell in zip(head, row, strict=True):
            assert name == "score" or cell[:1] not in tuple("=+-@\t\r\n") or not cell
    fill(task, ["fake"] * len(NASTY))
    assert list(read_answers(task)[0]) == NASTY


@given(st.text(alphabet="'=+-@\t\r\na ", max_size=6))
def test_harmless_can_be_undone(cell):
    assert unharmed(harmless(cell)) == cell
    assert harmless(cell)[:1] not in tuple("=+-@\t\r\n") or not cell


def test_nothing_is_overwritten(pool, tmp_path):
    for name in ("task.csv", "task.json"):
        write_task(pool, [0], tmp_path / name, "-")
        before = {path: path.read_bytes() for path in tmp_path.iterdir()}
        with pytest.raises(InputError, match="answers") as caught:
            write_task(pool, [1], tmp_path / name, "-")
        assert caught.value.code == "task-exists"
        assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_tasks_that_cannot_be_written(pool, tmp_path):
    with pytest.raises(InputError, match=r"\.csv or"):
        write_task(pool, [0], tmp_path / "task.txt", "-")
    bare = Samples(pool.ids, pool.scores, pool.embeddings, {})
    with pytest.raises(InputError, match="path"):
        write_task(bare, [0], tmp_path / "task.json", "-")
    write_task(bare, [0], tmp_path / "task.csv", "-")
    with pytest.raises(InputError, match="cannot be written"):
        write_task(pool, [0], tmp_path / "task.csv" / "task.csv", "-")
    assert [path.name for path in tmp_path.iterdir()] == ["task.csv"]


def test_tasks_for_label_studio(tmp_path):
    paths = ["/data/a b/ü#1.wav", "clips/x.wav", "https://example.org/y.mp3?z=1", "s3://bucket/k.wav"]
    write_task(make(["a", "b", "c", "=d"], path=paths), [3, 0, 1, 2], tmp_path / "task.json", "coverage")
    tasks = json.loads((tmp_path / "task.json").read_text())
    assert all(set(task) == {"data"} for task in tasks)
    assert [task["data"]["item"] for task in tasks] == ["=d", "a", "b", "c"]
    assert [task["data"]["audio"] for task in tasks] == [
        "s3://bucket/k.wav",
        "/data/local-files/?d=data/a%20b/%C3%BC%231.wav",
        "/data/local-files/?d=clips/x.wav",
        "https://example.org/y.mp3?z=1",
    ]
    assert tasks[1]["data"]["score"] == -2.0
    assert (tmp_path / "task.xml").read_text() == labelling_config()


def test_the_interface_names_what_the_tasks_hold(pool, tmp_path):
    write_task(pool, [0], tmp_path / "task.json", "-")
    data = json.loads((tmp_path / "task.json").read_text())[0]["data"]
    view = ElementTree.fromstring(labelling_config())
    shown = [tag.get("value") for tag in view if tag.tag == "Audio"]
    assert shown == ["$audio"]
    assert "audio" in data
    controls = {tag.get("name"): tag for tag in view if tag.get("toName") == "audio"}
    assert list(controls) == ["label", "generator", "note"]
    assert not set(controls) & set(data)  # Label Studio's CSV lets the data win
    assert [choice.get("value") for choice in controls["label"]] == ["real", "fake", "unusable"]
    assert "score" not in labelling_config()


def result(name, kind, values):
    return {
        "id": "Dx_aB91ISN",
        "from_name": name,
        "to_name": "audio",
        "type": kind,
        "origin": "manual",
        "value": {"choices" if kind == "choices" else "text": values},
    }


def annotation(label, generator=None, cancelled=False, number=1001):
    results = [result("label", "choices", [label])] if label else []
    results += [result("generator", "textarea", [generator])] if generator else []
    return {
        "id": number,
        "completed_by": 1,
        "result": results,
        "was_cancelled": cancelled,
        "ground_truth": False,
        "created_at": "2024-03-09T22:16:08.728353Z",
        "lead_time": 4.288,
        "task": 1,
    }


def exported(number, item, *annotations):
    data = {"audio": f"/data/local-files/?d={item}.wav", "item": item, "score": -0.25}
    return {"id": number, "annotations": list(annotations), "predictions": [], "data": data, "project": 83}


def test_label_studio_json(tmp_path):
    answers = tmp_path / "project-1.json"
    tasks = [
        exported(1, "a", annotation("fake", "xtts")),
        exported(2, "b", annotation("real")),
        exported(3, "c", annotation("unusable", cancelled=True)),
        exported(4, "d"),
        exported(5, "e", annotation(None)),
        exported(6, "f", annotation("fake"), annotation("real", number=1002)),
        exported(7, "g", annotation("fake", "xtts"), annotation("fake", "vits", number=1003)),
        exported(8, "h", annotation("fake", "xtts"), annotation("fake", number=1004)),
        exported(9, "i", annotation("unusable")),
    ]
    answers.write_text(json.dumps(tasks))
    given, contrary = read_answers(answers)
    assert contrary == ["f"]
    assert given == {
        "a": Answer(0, "xtts"),
        "b": Answer(1),
        "g": Answer(0),
        "h": Answer(0, "xtts"),
        "i": Answer(-1),
    }


def minimal(number, item, **answers):
    """As the converter writes it: one choice or text is a string, and `id` is the number of the task."""
    own = {
        "annotator": 1,
        "annotation_id": 1001,
        "created_at": "2024",
        "updated_at": "2024",
        "lead_time": 4.2,
    }
    return {"audio": "/data/local-files/?d=x.wav", "item": item, "score": 1.5, "id": number, **answers, **own}


def test_label_studio_json_min(tmp_path):
    answers = tmp_path / "project-1.json"
    tasks = [
        minimal(1, "a", label="fake", generator="xtts"),
        minimal(2, "b", label="real", note={"text": ["two", "lines"]}),
        minimal(3, "c"),
        minimal(4, "d", label="fake"),
        minimal(4, "d", label="unusable"),
    ]
    answers.write_text(json.dumps(tasks))
    found = {"a": Answer(0, "xtts"), "b": Answer(1, "", "two lines")}
    assert read_answers(answers) == (found, ["d"])


def test_label_studio_csv(tmp_path):
    """Columns in order of their names, what is no number in quotes, the task's number as `id`."""
    answers = tmp_path / "project-1.csv"
    answers.write_text(
        '"annotation_id","annotator","audio","generator","id","item","label","score","was_cancelled"\n'
        '7,"1","/data/x.wav","xtts",1,"\'=a","fake",-0.25,"False"\n'
        '8,"1","/data/y.wav","",2,"b","real",0.5,"True"\n'
    )
    assert read_answers(answers) == ({"'=a": Answer(0, "xtts")}, [])


def test_contrary_rows_of_a_table(tmp_path):
    answers = tmp_path / "answers.csv"
    answers.write_text("id,label,note\na,real,x\na,fake,\nb,1,x\nb,bona fide,y\nb,real,x\nc,-,\n")
    assert read_answers(answers) == ({"b": Answer(1, "", "x; y")}, ["a"])


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.csv", "id,label\na,real\nb,perhaps\n", "row 3.*'perhaps'"),
        ("a.csv", "id,label\n,fake\n", "row 2"),
        ("a.csv", "id,label\na,fake,x\n", "row 2"),
        ("a.csv", "id,verdict\na,fake\n", "columns"),
        ("a.csv", "", "columns"),
        ("a.csv", 'id,label\n"a"b,fake\n', "expected after"),
        ("a.csv", b"id,label\n\xfc,fake\n", "UTF-8"),
        (
            "a.json",
            json.dumps([minimal(1, "a", label="real"), minimal(2, "b", label="maybe")]),
            "task 2.*'maybe'",
        ),
        ("a.json", json.dumps([exported(1, "a", annotation("human"))]), "task 1.*'human'"),
        ("a.json", json.dumps([minimal(1, "a", label={"choices": ["real", "fake"]})]), "task 1.*'real fake'"),
        ("a.json", '[{"id": 1, "label": "real"}]', "task 1 has no item"),
        ("a.json", '[{"data": 5}]', "task 1 has no item"),
        ("a.json", '[{"data": {"item": "a"}, "annotations": [{"result": {}}]}]', "list of objects"),
        ("a.json", '[{"data": {"item": "a"}, "annotations": 7}]', "list of objects"),
        ("a.json", '{"id": 1}', "list of objects"),
        ("a.json", "[7]", "list of objects"),
        ("a.json", "[" * 100_000, "cannot be read"),
        ("a.json", "no", "cannot be read"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path, name, text, said):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError, match=f"(?s){name}: .*{said}") as caught:
        read_answers(path)
    assert caught.value.code == "bad-answers"


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match=r"none\.csv"):
        read_answers(tmp_path / "none.csv")
