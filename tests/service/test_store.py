"""Uploads and answers: durable, found again, the same on either database."""

import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from service_parts import OPTIONS, put, record, take

from earwitness.errors import InputError
from earwitness.service.jobs import claim, finish
from earwitness.service.store import (
    accept_batch,
    batch_of,
    counts,
    ended,
    find,
    new_id,
    open_store,
    remove,
    search,
    set_label,
)
from earwitness.service.tables import about


def answer(store, **more):
    jobs = claim(store, "short", 100)
    for job in jobs:
        assert finish(store, job, record(job.name, **more), b"heard")
    return [job.id for job in jobs]


def test_what_was_accepted_is_there_after_the_store_is_opened_again(reach):
    id = take(reach(), b"four", "Grüße.wav")
    found = find(reach(), id)
    assert (found["id"], found["state"], found["name"], found["size"]) == (id, "queued", "Grüße.wav", 4)
    assert (found["record"], found["label"], found["audio"], found["options"]) == (None, None, True, OPTIONS)
    assert found["created"].endswith("Z")
    assert find(reach(), new_id()) is None


def test_ids_sort_by_time_and_do_not_collide():
    moments = [new_id(1_000_000 + i / 1000) for i in range(2000)]
    assert moments == sorted(moments)
    assert len({new_id(5.0) for _ in range(2000)}) == 2000
    assert {len(id) for id in moments} == {26}


def test_which_are_answered_or_gone(store, monkeypatch):
    monkeypatch.setattr("earwitness.service.store.AT_ONCE", 2)
    ids = [take(store) for _ in range(5)]
    (job,) = claim(store, "short", 1)
    claim(store, "short", 1)
    finish(store, job, record())
    remove(store, ids[4], "joe")
    assert ended(store, ids) == {ids[0], ids[4]}


def test_a_search_finds_by_name_id_digest_verdict_and_label(store):
    ids = [
        take(store, bytes([i]), name) for i, name in enumerate(("ÄRGER.wav", "b_c.wav", "bxc.wav", "d%.wav"))
    ]
    answer(store)
    set_label(store, ids[1], "fake", {"generator": "", "note": ""}, "ada")

    def names(**how):
        return [row["name"] for row in search(store, **how)[0]]

    assert names() == ["d%.wav", "bxc.wav", "b_c.wav", "ÄRGER.wav"]
    assert names(text="ÄRGER") == names(text="ärger") == ["ÄRGER.wav"]
    assert names(text="b_c") == ["b_c.wav"]
    assert names(text="d%") == names(text="%") == ["d%.wav"]
    assert names(text="\0") == names()
    assert names(text=ids[2].upper()) == ["bxc.wav"]
    assert names(text=find(store, ids[3])["sha256"][:12]) == ["d%.wav"]
    assert names(verdict="genuine") == names(label="genuine") == []
    assert names(label="fake") == ["b_c.wav"]
    assert names(label="none") == ["d%.wav", "bxc.wav", "ÄRGER.wav"]
    row = search(store)[0][0]
    assert set(row["record"]) == {"verdict", "p_fake", "llr", "duration_s", "error", "warnings"}
    assert "windows" not in row["record"]


def test_paging_gives_each_analysis_once(store):
    ids = [take(store, name=f"{i}.wav") for i in range(11)]
    pages, before = [], ""
    while before is not None:
        rows, before = search(store, limit=4, before=before)
        pages.append([row["id"] for row in rows])
    assert [len(page) for page in pages] == [4, 4, 3]
    assert [id for page in pages for id in page] == sorted(ids, reverse=True)


def test_a_repeated_request_gets_the_first_analysis(store):
    first = take(store, retry_key="k1")
    assert take(store, retry_key="k1") == first
    assert take(store, retry_key="k1", owner="bob") != first
    assert take(store, retry_key="k2") != first
    with pytest.raises(InputError) as error:
        take(store, b"other", retry_key="k1")
    assert error.value.code == "retry-mismatch"
    with pytest.raises(InputError):
        take(store, retry_key="k1", callback="https://example.org/")
    assert len(list(store.folder.iterdir())) == 3  # what was not taken is not kept


def test_requests_repeated_at_once_make_one_analysis(store):
    with ThreadPoolExecutor(8) as pool:
        ids = list(pool.map(lambda _: take(store, retry_key="k"), range(16)))
    assert len(set(ids)) == 1
    assert counts(store) == {"queued": 1}
    assert [file.name for file in store.folder.iterdir()] == ids[:1]


def test_a_batch_is_taken_whole_or_not_at_all(store):
    uploads = [put(store, name=f"{i}.wav") for i in range(3)]
    batch = accept_batch(store, uploads, OPTIONS, "ada", None)
    assert [one["name"] for one in batch_of(store, batch)] == ["0.wav", "1.wav", "2.wav"]
    other = put(store)
    with pytest.raises(Exception, match=r"(?i)unique"):
        accept_batch(store, [other, uploads[0]], OPTIONS, "ada", None)
    assert find(store, other.id) is None
    assert counts(store) == {"queued": 3}


def test_a_batch_that_is_sent_again_is_the_first(store):
    def batch(*contents, key="k", owner="ada", callback=None):
        uploads = [put(store, content) for content in contents]
        return accept_batch(store, uploads, OPTIONS, owner, callback, key)

    first = batch(b"a", b"b")
    assert batch(b"a", b"b") == first
    assert len({first, batch(b"a", b"b", key=None), batch(b"a", b"b", owner="bob")}) == 3
    for other in ((b"a",), (b"b", b"a"), (b"a", b"b", b"c")):
        with pytest.raises(InputError) as error:
            batch(*other)
        assert error.value.code == "retry-mismatch"
    with pytest.raises(InputError):
        batch(b"a", b"b", callback="https://example.org/")
    with pytest.raises(InputError):
        take(store, b"a", retry_key="k")  # of one that is no batch
    assert counts(store) == {"queued": 6}
    assert len(list(store.folder.iterdir())) == 6
    for one in batch_of(store, first):
        remove(store, one["id"], "ada")
    assert batch(b"a", b"b") != first


def test_nothing_of_what_is_removed_stays_in_the_file(filed):
    id = take(filed, name="a name that nobody is to find.wav")
    remove(filed, id, "ada")
    with filed.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    folder = filed.folder.parent
    assert not any(b"nobody is to find" in file.read_bytes() for file in folder.glob("service.db*"))
    assert id.encode() in (folder / "service.db").read_bytes()  # as the audit log tells


def test_what_is_removed_leaves_no_file(store):
    id = take(store)
    made = store.folder.parent / "made" / f"{id}.wav"
    made.write_bytes(b"made")
    assert remove(store, id, "ada")
    assert not remove(store, id, "ada")
    assert not store.audio(id).exists()
    assert not made.exists()
    assert find(store, id) is None
    assert take(store, retry_key="k") != id


@pytest.mark.parametrize("text", ["\x7f", "a" * 255, "'; DROP TABLE analyses; --", "\N{SNOWMAN}" * 100])
def test_names_come_back_as_they_were(store, text):
    assert find(store, take(store, name=text))["name"] == text


def test_readers_do_not_wait_for_writers(store):
    take(store)
    answered = threading.Event()
    with store.write() as connection:
        connection.execute(about.insert().values(key="x", value="y"))
        reader = threading.Thread(target=lambda: (counts(store), answered.set()))
        reader.start()
        assert answered.wait(10)
    reader.join()


def test_writers_of_several_stores_take_turns(reach):
    stores = [reach() for _ in range(3)]
    with ThreadPoolExecutor(6) as pool:
        ids = list(pool.map(lambda i: take(stores[i % 3], name=f"{i}.wav"), range(48)))
    assert {row["id"] for row in search(stores[0], limit=100)[0]} == set(ids)


def test_a_store_that_cannot_be_used_is_said_so(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError) as error:
        open_store(tmp_path / "file" / "store")
    assert error.value.code == "no-store"
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "service.db").write_bytes(b"no database at all" * 100)
    with pytest.raises(InputError) as error:
        open_store(tmp_path / "bad")
    assert error.value.code == "no-store"
    with pytest.raises(InputError) as error:
        open_store(tmp_path / "s", "postgresql://ear:geheim99@127.0.0.1:1/none")
    assert error.value.code == "no-store"
    assert "geheim99" not in str(error.value)


def test_a_server_without_its_driver_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(InputError, match=r"earwitness\[postgres\]"):
        open_store(tmp_path / "s", "postgresql://ear@127.0.0.1:1/none")


def test_a_store_of_another_schema_is_not_touched(reach):
    store = reach()
    with store.write() as connection:
        connection.execute(about.update().values(value="2"))
    with pytest.raises(InputError, match="schema 2"):
        reach()
