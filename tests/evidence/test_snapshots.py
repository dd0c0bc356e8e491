import io
import json
import re
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from base_of_knowledge import MODEL, SIZE, make, same

from earwitness.errors import InputError
from earwitness.evidence import snapshots as copies
from earwitness.evidence.knowledge import Knowledge
from earwitness.evidence.snapshots import export_to, import_from, rollback, snapshot, snapshots


@pytest.fixture
def base(tmp_path):
    with Knowledge.create(tmp_path / "base.knowledge", MODEL, SIZE) as base:
        base.add([make(i, segments=2, profile=5 if i % 2 else None) for i in range(10)])
        base.set_settings({"k": 5})
        yield base


def ids(numbers):
    return [make(i).entry.id for i in numbers]


def test_rolling_back_is_seen_by_who_has_the_base_open(base):
    query = make(3).embeddings[:1]
    snapshot(base.path, "ten")
    base.remove(ids([9]))  # goes from the snapshot too
    base.add([make(i, segments=2) for i in range(20, 25)])
    base.review(make(2).entry.id, True, "ada")
    base.set_settings({"k": 7})
    assert len(base.search(query, 100)[0]) == 2 * 14
    rollback(base.path, "ten")
    assert [entry.id for entry in base.entries()] == ids(range(9))
    assert {hit.id for hit in base.search(query, 100)[0]} == set(ids(range(9)))
    assert not base.entries(ids([2]))[0].reviewed
    assert base.settings() == {"k": 5}
    base.add([make(30, segments=2)])
    assert base.search(make(30, segments=2).embeddings[:1], 1)[0][0].id == make(30).entry.id
    rollback(base.path, "ten")
    base.add([make(31, segments=2)])
    (hits,) = base.search(make(31, segments=2).embeddings[:1], 100)
    assert hits[0].id == make(31).entry.id
    assert make(30).entry.id not in {hit.id for hit in hits}


def test_entries_that_come_back_are_found_again(base):
    snapshot(base.path, "all")
    base.search(make(4).embeddings[:1], 1)
    with Knowledge.open(base.path) as other:
        # As `remove` does, but leaving the snapshot.
        other._sql.execute("DELETE FROM entries WHERE id = ?", (make(4).entry.id,))
        other._sql.execute("DELETE FROM segments WHERE number NOT IN (SELECT number FROM entries)")
        other._count("epoch")
    assert base.search(make(4, segments=2).embeddings[:1], 1)[0][0].id != make(4).entry.id
    rollback(base.path, "all")
    assert base.search(make(4, segments=2).embeddings[:1], 1)[0][0].id == make(4).entry.id


def test_snapshots_are_bases_and_listed_oldest_first(base):
    first = snapshot(base.path, "zebra")
    base.add([make(50)])
    second = snapshot(base.path, "apple")
    third = snapshot(base.path)
    assert snapshots(base.path) == [first, second, third]
    with Knowledge.open(first, MODEL) as kept:
        items = [make(i, segments=2, profile=5 if i % 2 else None) for i in range(10)]
        assert all(map(same, kept.items(), items))
        assert len(kept) == 10
    assert re.fullmatch(r"\d{8}T\d{6}\.\d{6}Z", third.stem)


@pytest.mark.parametrize("name", ["../base", "", ".hidden", "a/b", "x" * 65, "a\nb"])
def test_a_snapshot_s_name_stays_in_its_folder(base, name):
    for act in (snapshot, rollback):
        with pytest.raises(InputError) as error:
            act(base.path, name)
        assert error.value.code == "knowledge-snapshot"
        assert "\n" not in error.value.message


def test_a_snapshot_is_not_overwritten_and_a_missing_one_names_the_others(base):
    snapshot(base.path, "one")
    with pytest.raises(InputError, match="already"):
        snapshot(base.path, "one")
    with pytest.raises(InputError, match="there are: one"):
        rollback(base.path, "two")


def test_an_unfinished_rollback_changes_nothing(base, monkeypatch):
    place = snapshot(base.path, "one")
    base.add([make(20)])
    with Knowledge.open(place) as kept:
        kept._sql.execute("UPDATE meta SET value = NULL WHERE 0")
        kept._sql.execute("DROP TABLE profiles")
    before = list(base.items())
    with pytest.raises(InputError) as error:
        rollback(base.path, "one")
    assert error.value.code == "bad-knowledge"
    with pytest.raises(InputError):
        base.take_back(place)  # fails half way
    after = list(base.items())
    assert len(after) == len(before) == 11
    assert all(map(same, after, before))


def test_a_snapshot_that_cannot_be_cleaned_is_named(base):
    place = snapshot(base.path, "one")
    place.write_bytes(b"damaged")
    (place.parent / "two.77.partial").write_bytes(b"of a snapshot that was killed")
    with pytest.raises(InputError, match=r"one\.db") as error:
        base.remove(ids([1]))
    assert error.value.code == "knowledge-snapshot"
    assert base.entries(ids([1])) == []
    assert not list(place.parent.glob("*.partial"))


def test_export_and_import_round_trip(base, tmp_path, monkeypatch):
    monkeypatch.setattr(copies, "SHARD_ENTRIES", 4)
    base.quarantine(make(3).entry.id, "Zweifel: \u2028 é\n")
    target = tmp_path / "shared.zip"
    assert export_to(base, target) == 10
    with Knowledge.create(tmp_path / "other", MODEL, SIZE) as other:
        other.add([make(7, segments=2)])
        assert import_from(other, target) == (9, 1)
        mine = {item.entry.id: item for item in base.items()}
        theirs = {item.entry.id: item for item in other.items()}
        assert all(same(theirs[id], mine[id]) for id in mine if id != make(7).entry.id)
        assert all(theirs[id].entry == mine[id].entry for id in mine if id != make(7).entry.id)
        assert other.settings() == {"k": 5}
        assert import_from(other, target) == (0, 10)


def test_other_programs_can_read_an_export(base, tmp_path):
    export_to(base, tmp_path / "e.zip")
    with zipfile.ZipFile(tmp_path / "e.zip") as archive:
        head = json.loads(archive.read("knowledge.json"))
        lines = [json.loads(line) for line in archive.read("00000.jsonl").decode().split("\n") if line]
        rows = np.load(io.BytesIO(archive.read("00000.embeddings.npy")), allow_pickle=False)
    assert head["model"] == vars(MODEL)
    assert head["size"] == SIZE
    assert [line["id"] for line in lines] == ids(range(10))
    np.testing.assert_array_equal(rows, np.concatenate([make(i, segments=2).embeddings for i in range(10)]))


def test_an_export_overwrites_nothing_and_leaves_nothing_half_done(base, tmp_path):
    target = tmp_path / "e.zip"
    target.write_bytes(b"mine")
    with pytest.raises(InputError) as error:
        export_to(base, target)
    assert error.value.code == "knowledge-exists"
    assert target.read_bytes() == b"mine"
    assert not list(tmp_path.glob(".*partial"))


def test_another_model_s_export_is_refused(base, tmp_path):
    export_to(base, tmp_path / "e.zip")
    for model, size in ((replace(MODEL, digest="cd" * 32), SIZE), (MODEL, SIZE + 1)):
        with Knowledge.create(tmp_path / f"{model.digest[:2]}-{size}", model, size) as other:
            with pytest.raises(InputError) as error:
                import_from(other, tmp_path / "e.zip")
            assert error.value.code == "knowledge-model"
            assert "\n" not in error.value.message
            assert len(other) == 0


def npy(shape, kind="<f4", data=b""):
    header = repr({"descr": kind, "fortran_order": False, "shape": shape}).encode()
    return b"\x93NUMPY\x01\x00" + (len(header) + 1).to_bytes(2, "little") + header + b"\n" + data


@pytest.mark.parametrize(
    ("member", "content"),
    [
        ("knowledge.json", b"[]"),
        ("knowledge.json", b"[" * 100_000),
        ("00000.jsonl", b"{}\n"),
        ("00000.jsonl", b'{"id": "x", "segments": -1, "profile": false}\n'),
        ("00000.embeddings.npy", npy((10**12, SIZE))),
        ("00000.embeddings.npy", npy((20, SIZE), "|O", b"cos\nsystem\n(S'true'\ntR.")),
        ("00000.embeddings.npy", npy((20, SIZE), data=bytes(20 * SIZE * 4))),
        ("00000.embeddings.npy", b"\x93NUMPY\x02\x00" + b"\xff" * 40),
        ("00000.starts.npy", npy((3,), "<f8", bytes(24))),
        ("00000.profiles.npy", None),
        ("00000.embeddings.npy", bytes((128 << 20) + 1)),
    ],
)
def test_a_hostile_export_is_refused_in_one_sentence(base, tmp_path, member, content):
    export_to(base, tmp_path / "good.zip")
    with zipfile.ZipFile(tmp_path / "good.zip") as good:
        members = {name: good.read(name) for name in good.namelist()} | {member: content}
    with zipfile.ZipFile(tmp_path / "bad.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as bad:
        for name, data in members.items():
            if data is not None:
                bad.writestr(name, data)
    with Knowledge.create(tmp_path / "other", MODEL, SIZE) as other:
        with pytest.raises(InputError) as error:
            import_from(other, tmp_path / "bad.zip")
        assert error.value.code in ("bad-knowledge", "knowledge-entry")
        assert "\n" not in error.value.message
        assert len(error.value.message) < 500
        assert len(other) == 0


def test_what_is_no_zip_is_refused(base, tmp_path):
    (tmp_path / "notes.txt").write_text("hello")
    for file, code in (("notes.txt", "bad-knowledge"), ("none.zip", "no-knowledge")):
        with pytest.raises(InputError) as error:
            import_from(base, tmp_path / file)
        assert error.value.code == code
