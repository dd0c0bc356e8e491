import json

import pytest

from earwitness.errors import InputError
from earwitness.operations.journal import Journal

HEAD = {"model": "abc", "prior": 0.5}


def test_records_survive_and_a_cut_line_is_dropped(tmp_path):
    path = tmp_path / "j"
    with Journal(path, HEAD) as journal:
        journal.append({"path": "a", "verdict": "fake"})
        journal.append({"path": "b\nc", "verdict": "error"})
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"path": "d", "verd')
    with Journal(path, HEAD) as journal:
        assert set(journal.records) == {("a", None), ("b\nc", None)}
        journal.append({"path": "d", "verdict": "fake"})
    assert [json.loads(line).get("path") for line in path.read_bytes().splitlines()] == [
        None,
        "a",
        "b\nc",
        "d",
    ]


def test_every_cut_of_a_journal_can_be_gone_on_with(tmp_path):
    path = tmp_path / "j"
    with Journal(path, HEAD) as journal:
        for i in range(3):
            journal.append({"path": str(i)})
    whole = path.read_bytes()
    for cut in range(len(whole) + 1):
        path.write_bytes(whole[:cut])
        with Journal(path, HEAD) as journal:
            done = len(journal.records)
            for i in range(done, 3):
                journal.append({"path": str(i)})
        assert path.read_bytes() == whole


def test_names_that_look_alike_are_told_apart(tmp_path):
    with Journal(tmp_path / "j", HEAD) as journal:
        journal.append({"path": "x\\xff", "path_bytes": "78ff"})
        assert ("x\\xff", None) not in journal.records


def test_other_model_or_options_are_refused(tmp_path):
    Journal(tmp_path / "j", HEAD).__exit__()
    with pytest.raises(InputError, match=r"prior 0\.5 \(now 0\.1\)"):
        Journal(tmp_path / "j", {**HEAD, "prior": 0.1})


@pytest.mark.parametrize("content", [b"RIFF....", b"some text\n", b"[1]\n", b'{"path": 1}\n', b"\xff\xfe\n"])
def test_other_files_are_never_overwritten(tmp_path, content):
    path = tmp_path / "precious"
    path.write_bytes(content)
    with pytest.raises(InputError, match="not a journal"):
        Journal(path, HEAD)
    assert path.read_bytes() == content


def test_two_scans_cannot_share_a_journal(tmp_path):
    with Journal(tmp_path / "j", HEAD), pytest.raises(InputError, match="in use"):
        Journal(tmp_path / "j", HEAD)
