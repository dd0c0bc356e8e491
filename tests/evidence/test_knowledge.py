import os
import random
import re
import shutil
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import base_of_knowledge
import numpy as np
import pytest
from base_of_knowledge import MODEL, SIZE, make, same, unit
from hypothesis import given, settings
from hypothesis import strategies as st

from earwitness.errors import InputError
from earwitness.evidence.knowledge import Entry, Item, Knowledge
from earwitness.evidence.snapshots import snapshot
from earwitness.types import ModelId


@pytest.fixture
def base(tmp_path):
    with Knowledge.create(tmp_path / "base.knowledge", MODEL, SIZE) as base:
        yield base


def brute(items, queries, k, *, bona_fide=None, without=()):
    """Cosines of every query with every voting segment, sorted: the definition."""
    rows = [
        (item.entry.id, float(start), row.astype(float))
        for item in items
        if not item.entry.quarantined
        and bona_fide in (None, item.entry.bona_fide)
        and item.entry.id not in without
        for start, row in zip(item.starts_s, item.embeddings, strict=True)
    ]
    found = []
    for query in queries:
        scored = sorted(((float(query @ row), id, start) for id, start, row in rows), reverse=True)
        found.append([(id, start, cosine) for cosine, id, start in scored[:k]])
    return found


def agree(hits, expected):
    assert [len(row) for row in hits] == [len(row) for row in expected]
    for row, truth in zip(hits, expected, strict=True):
        assert [(hit.id, hit.start_s) for hit in row] == [(id, start) for id, start, _ in truth]
        np.testing.assert_allclose([h.similarity for h in row], [c for _, _, c in truth], atol=1e-6)


def files_with(folder, needle):
    return [path for path in folder.rglob("*") if path.is_file() and needle in path.read_bytes()]


def traces(item):
    """What must not be found of a person: name, path, and each row of numbers."""
    entry = item.entry
    rows = [*item.embeddings, *([item.profile] if item.profile is not None else [])]
    return [entry.speaker.encode(), entry.path.encode(), entry.id.encode(), *(r.tobytes()[:32] for r in rows)]


def test_what_was_added_comes_back_also_after_reopening(base):
    items = [make(1), make(2, profile=None, wm_present=True, quarantined="odd"), make(3, segments=1)]
    assert base.add(items) == [item.entry.id for item in items]
    base.close()
    with Knowledge.open(base.path, MODEL) as again:
        assert (len(again), again.model, again.size) == (3, MODEL, SIZE)
        assert all(map(same, again.items(), items))
        assert [replace(e, added_at="") for e in again.entries()] == [item.entry for item in items]
        assert all(len(e.added_at) == 25 for e in again.entries())
        assert [e.id for e in again.entries([items[2].entry.id, "0" * 16, items[0].entry.id])] == [
            items[2].entry.id,
            items[0].entry.id,
        ]


def test_items_are_paged_without_loss(base):
    items = [make(i, segments=1) for i in range(600)]
    base.add(items)
    pages = base.items()
    first = next(pages)
    base.add([make(1000)])  # nobody is kept waiting
    assert [first.entry.id, *(item.entry.id for item in pages)] == [
        *(item.entry.id for item in items),
        make(1000).entry.id,
    ]


def test_duplicates_are_not_new(base):
    assert base.add([make(1), make(1)]) == [make(1).entry.id]
    assert base.add([make(1), make(2)]) == [make(2).entry.id]
    assert len(base) == 2


@settings(max_examples=25, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 4), max_size=12),
    seed=st.integers(0, 2**20),
    k=st.integers(1, 60),
    label=st.sampled_from([None, True, False]),
    data=st.data(),
)
def test_search_is_brute_force(tmp_path_factory, sizes, seed, k, label, data):
    items = [make(seed + i, segments=n, bona_fide=(seed >> i) % 2) for i, n in enumerate(sizes)]
    without = {item.entry.id for item in items if data.draw(st.booleans())}
    held = {item.entry.id for item in items if data.draw(st.booleans())}
    queries = unit(np.random.default_rng(seed + 99).normal(size=(3, SIZE)))
    folder = tmp_path_factory.mktemp("hypothesis")
    with Knowledge.create(folder / "b", MODEL, SIZE) as base:
        half = len(items) // 2
        base.add(items[:half])
        agree(base.search(queries, k), brute(items[:half], queries, k))
        base.add(items[half:])
        for id in held:
            base.quarantine(id, "drawn")
        items = [replace(i, entry=replace(i.entry, quarantined="x" * (i.entry.id in held))) for i in items]
        expected = brute(items, queries, k, bona_fide=label, without=without)
        agree(base.search(queries, k, bona_fide=label, without=without), expected)
    shutil.rmtree(folder)


def test_search_over_many_blocks_and_queries_is_brute_force(base, monkeypatch):
    monkeypatch.setattr("earwitness.evidence.nearest.BLOCK_BYTES", 64 * SIZE * 4)
    rng = np.random.default_rng(0)
    items = [
        Item(replace(make(i).entry, bona_fide=i % 3 == 0), unit(rng.normal(size=(7, SIZE))), np.arange(7.0))
        for i in range(60)
    ]
    base.add(items)
    queries = unit(rng.normal(size=(130, SIZE)))
    for k in (1, 2, 5, 100):
        agree(base.search(queries, k, bona_fide=False), brute(items, queries, k, bona_fide=False))


def test_of_equals_the_oldest_comes_first(base):
    twins = [replace(make(i), embeddings=make(0).embeddings) for i in range(1, 9)]
    base.add(twins)
    (hits,) = base.search(make(0).embeddings[:1], 3)
    assert [hit.id for hit in hits] == [item.entry.id for item in twins[:3]]
    assert hits[0].similarity == pytest.approx(1, abs=1e-6)


def test_by_profile_a_hit_is_an_entry(base):
    items = [make(i, profile=None if i % 4 == 0 else 5) for i in range(20)]
    base.add(items)
    query = unit(np.random.default_rng(5).normal(size=(1, 5)))
    (hits,) = base.search(query, 50, by="profile", without=[items[1].entry.id])
    cosines = {
        item.entry.id: float(query[0] @ item.profile) for item in items[2:] if item.profile is not None
    }
    assert {hit.id: pytest.approx(hit.similarity, abs=1e-6) for hit in hits} == cosines
    assert [hit.id for hit in hits] == sorted(cosines, key=lambda id: -cosines[id])
    assert {hit.start_s for hit in hits} == {0.0}


def test_an_empty_base_answers_with_nothing(base):
    assert base.search(np.eye(SIZE)[:2], 3) == [[], []]
    assert base.search(np.eye(SIZE)[:2], 3, by="profile") == [[], []]
    assert base.entries() == []
    assert list(base.items()) == []
    assert base.remove(["0" * 16]) == 0


def test_search_sees_what_another_process_changed(base):
    items = [make(i) for i in range(6)]
    base.add(items[:4])
    query = items[0].embeddings[:1]
    base.search(query, 5)
    with Knowledge.open(base.path) as other:
        other.add(items[4:])
        agree(base.search(query, 9), brute(items, query, 9))
        other.remove([items[0].entry.id, items[4].entry.id])
        left = [items[i] for i in (1, 2, 3, 5)]
        agree(base.search(query, 99), brute(left, query, 99))
        other.quarantine(items[1].entry.id, "far inside the other class")
        agree(base.search(query, 99), brute(left[1:], query, 99))
        other.review(items[1].entry.id, True, "somebody")
        other.add([items[0]])
        agree(base.search(query, 99), brute([*left, items[0]], query, 99))


def test_a_review_sets_the_label_and_lets_vote(base):
    base.add([make(2, quarantined="inside the other class")])
    id = make(2).entry.id
    assert base.search(make(2).embeddings[:1], 1) == [[]]
    base.review(id, True, "ada")
    (entry,) = base.entries()
    assert (entry.bona_fide, entry.reviewed, entry.quarantined) == (True, True, "")
    assert base.search(make(2).embeddings[:1], 1, bona_fide=True)[0][0].id == id
    with pytest.raises(InputError, match="no entry"):
        base.review("0" * 16, True, "ada")


def test_settings_are_json_values_that_stay(base):
    assert base.settings() == {}
    base.set_settings({"k": 11, "weights": [0.5, -1.25], "mode": "hybrid"})
    base.close()
    with Knowledge.open(base.path) as again:
        assert again.settings() == {"k": 11, "weights": [0.5, -1.25], "mode": "hybrid"}
    with pytest.raises(ValueError, match="JSON"):
        again.set_settings({"k": float("nan")})


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (replace(make(1), embeddings=make(1).embeddings * 2), "unit length"),
        (replace(make(1), embeddings=make(1).embeddings * np.nan), "unit length"),
        (replace(make(1), embeddings=make(1).embeddings[:, 1:]), "shape"),
        (replace(make(1), starts_s=np.zeros(2)), "starts"),
        (replace(make(1), profile=np.zeros(3, np.float32)), "profile"),
        (replace(make(1), entry=replace(make(1).entry, id="../../etc")), "id"),
        (replace(make(1), entry=replace(make(1).entry, score=float("inf"))), "score"),
        (replace(make(1), entry=replace(make(1).entry, path="x" * 5000)), "path"),
        (replace(make(1), entry=replace(make(1).entry, path="\udcff")), "path"),
        (replace(make(1), entry=replace(make(1).entry, bona_fide="fake")), "bona_fide"),
        (make(1, profile=9), "profiles"),
    ],
)
def test_an_item_that_cannot_be_taken_takes_the_others_with_it(base, wrong, says):
    base.add([make(7)])
    with pytest.raises(InputError, match=says) as error:
        base.add([make(3), wrong])
    assert error.value.code == "knowledge-entry"
    assert "\n" not in error.value.message
    assert [e.id for e in base.entries()] == [make(7).entry.id]


def test_another_model_s_base_is_refused_in_one_sentence(base):
    other = replace(MODEL, version="2", digest="cd" * 32)
    with pytest.raises(InputError) as error:
        Knowledge.open(base.path, other)
    assert error.value.code == "knowledge-model"
    assert {"abababababab", "cdcdcdcdcdcd"} <= set(re.findall(r"[0-9a-f]{12}", error.value.message))
    assert "\n" not in error.value.message
    Knowledge.open(base.path, ModelId("renamed", "1", MODEL.digest)).close()


def test_a_base_is_not_made_twice_nor_found_where_there_is_none(base, tmp_path):
    for code, call in {
        "knowledge-exists": lambda: Knowledge.create(base.path, MODEL, SIZE),
        "no-knowledge": lambda: Knowledge.open(tmp_path / "none"),
        "bad-knowledge": lambda: Knowledge.open(tmp_path),
    }.items():
        with pytest.raises(InputError) as error:
            call()
        assert error.value.code == code
    with pytest.raises(InputError, match="no such folder"):
        Knowledge.create(tmp_path / "no" / "base", MODEL, SIZE)
    assert len(base) == 0


def test_nothing_is_left_of_the_removed_in_any_file(base, tmp_path):
    items = [make(i, segments=1 + i % 30) for i in range(150)]  # rows over several pages, which split
    order = random.Random(4).sample(items, len(items))
    for start in range(0, 150, 7):
        base.add(order[start : start + 7])
        base.quarantine(order[start].entry.id, f"because of {order[start].entry.speaker}")
    snapshot(base.path, "before")
    person, others = items[20:60], items[:20] + items[60:]
    for needle in traces(person[0]):
        assert len(files_with(tmp_path, needle)) == 2  # the search for traces finds them
    with Knowledge.open(base.path) as reader:  # another process has it open and has read
        reader.search(items[0].embeddings, 3)
        assert base.remove([item.entry.id for item in person]) == len(person)
    for item in person:
        for needle in traces(item):
            assert files_with(tmp_path, needle) == []
    kept = {item.entry.id: item for item in base.items()}
    assert len(kept) == len(others)
    assert all(same(kept[item.entry.id], item) for item in others)


def test_no_id_is_left_in_pages_that_were_split(base, tmp_path):
    """Without rewriting the file, SQLite 3.40 leaves one here, for all that it overwrites what it frees."""
    rng = random.Random(0)
    items = [make(i, segments=1 + rng.randrange(5)) for i in range(1200)]
    for i in range(0, len(items), 60):
        base.add(items[i : i + 60])
    gone = [item.entry.id for item in items[::3]]
    for id in gone[:50]:
        base.quarantine(id, f"because of {id}")
    base.remove(gone)
    raw = base.path.read_bytes()
    assert [id for id in gone if id.encode() in raw] == []
    assert all(item.entry.id.encode() in raw for item in items[1::3])


def test_an_interrupted_removal_is_finished_by_the_next_who_opens(base, tmp_path, monkeypatch):
    items = [make(i, segments=30) for i in range(40)]
    for item in random.Random(1).sample(items, 40):
        base.add([item])
    monkeypatch.setattr(Knowledge, "_finish_cleaning", lambda self: None)  # killed before the rewriting
    base.remove([item.entry.id for item in items[:20]])
    monkeypatch.undo()
    size = base.path.stat().st_size
    base.close()
    with Knowledge.open(base.path) as again:
        assert len(again) == 20
    assert base.path.stat().st_size < 0.7 * size
    assert not any(files_with(tmp_path, needle) for item in items[:20] for needle in traces(item))


def damaged(folder: Path, name: str) -> Path:
    """A file that is no base, in one of many ways."""
    path = folder / f"{name}.knowledge"
    with Knowledge.create(path, MODEL, SIZE) as base:
        base.add([make(i) for i in range(40)])
    raw = path.read_bytes()
    scripts = {
        "application": "PRAGMA application_id = 7",
        "later": "PRAGMA user_version = 2",
        "tables": "DROP TABLE segments",
        "trigger": "CREATE TRIGGER t AFTER INSERT ON entries BEGIN DELETE FROM entries; END",
        "view": "CREATE VIEW v AS SELECT * FROM entries",
        "column": "ALTER TABLE entries ADD COLUMN more",
        "length": "UPDATE segments SET embeddings = substr(embeddings, 2) WHERE number = 3",
        "not numbers": "UPDATE segments SET embeddings = zeroblob(length(embeddings)) WHERE number = 3",
        "text": "UPDATE segments SET embeddings = 'abc', starts = 7",
        "nan": f"UPDATE segments SET embeddings = x'{'0000c07f' * SIZE * 3}' WHERE number = 9",
        "starts": f"UPDATE segments SET starts = x'{'000000000000f87f' * 3}' WHERE number = 9",
        "meta": "DELETE FROM meta WHERE key IN ('size', 'epoch')",
        "size": "UPDATE meta SET value = '1e99' WHERE key = 'size'",
        "nested": "UPDATE meta SET value = replace(hex(zeroblob(50000)), '0', '[') WHERE key = 'model'",
        "label": "UPDATE entries SET bona_fide = 'maybe', id = 'é' WHERE number = 4",
    }
    if name in scripts:
        with sqlite3.connect(path) as sql:
            sql.execute(scripts[name])
        sql.close()
        return path
    contents = {
        "text file": b"ID,Label\na,spoof\n",
        "empty": b"",
        "short": raw[:5000],
        "header": raw[:100] + bytes(len(raw) - 100),
        "noise": raw[:4096] + np.random.default_rng(0).bytes(len(raw) - 4096),
    }
    path.write_bytes(contents[name])
    return path


def use(path):
    with Knowledge.open(path, MODEL) as base:
        base.search(make(0).embeddings, 3)
        list(base.items())
        base.remove([entry.id for entry in base.entries()[:3]])


@pytest.mark.parametrize(
    "name",
    [
        *("application", "later", "tables", "trigger", "view", "column", "length", "not numbers", "text"),
        *(
            "nan",
            "starts",
            "meta",
            "size",
            "nested",
            "label",
            "text file",
            "empty",
            "short",
            "header",
            "noise",
        ),
    ],
)
def test_a_damaged_or_hostile_file_is_refused_in_one_sentence(tmp_path, name):
    path = damaged(tmp_path, name)
    with pytest.raises(InputError) as error:
        use(path)
    assert error.value.code == "bad-knowledge"
    assert str(path) in error.value.message
    assert "\n" not in error.value.message
    assert len(error.value.message) < 600


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_flipped_bytes_never_raise_anything_else(tmp_path_factory, seed):
    rng = np.random.default_rng(seed)
    path = tmp_path_factory.mktemp("flip") / "base"
    with Knowledge.create(path, MODEL, SIZE) as base:
        base.add([make(i) for i in range(30)])
    raw = bytearray(path.read_bytes())
    for at in rng.integers(0, len(raw), 20):
        raw[at] = rng.integers(256)
    path.write_bytes(raw)
    codes = []
    try:
        use(path)
    except InputError as error:
        codes.append(error.code)
    assert set(codes) <= {"bad-knowledge", "knowledge-model", "knowledge-write"}
    shutil.rmtree(path.parent)


def killed_while_two_add(path: Path, moments: int, seed: int) -> set[int]:
    """Start two writers, kill each at a random moment, `moments` times; the numbers they acknowledged."""
    rng, acknowledged = random.Random(seed), set()
    for moment in range(moments):
        writers = [
            subprocess.Popen(
                [sys.executable, base_of_knowledge.__file__, str(path), str((2 * moment + i) * 10_000)],
                stdout=subprocess.PIPE,
                text=True,
            )
            for i in range(2)
        ]
        firsts = [writer.stdout.readline() for writer in writers]  # both are at work
        for writer in writers:
            time.sleep(rng.uniform(0, 0.15))
            writer.kill()
        for first, writer in zip(firsts, writers, strict=True):
            rest, _ = writer.communicate()
            assert first, "a writer ended before it was killed"
            lines = (first + rest).splitlines(keepends=True)
            acknowledged |= {int(line) for line in lines if line.endswith("\n")}
    return acknowledged


@pytest.mark.parametrize("moments", [int(os.environ.get("KILL_MOMENTS", "4"))])
def test_every_acknowledged_entry_outlives_kill_9(base, moments):
    base.close()
    acknowledged = killed_while_two_add(base.path, moments, seed=11)
    with Knowledge.open(base.path, MODEL) as again:
        found = {int(Path(item.entry.path).stem): item for item in again.items()}
        assert len(again) == len(found)  # none without its segments
        hits = again.search(found[max(found)].embeddings[:1], 10**6)[0]
        assert len(hits) == 40 * len(found)
    assert acknowledged <= set(found)
    assert len(found) - len(acknowledged) <= 2 * moments  # at most the one in hand each time
    assert all(same(item, make(number, segments=40)) for number, item in found.items())
    sql = sqlite3.connect(base.path)
    assert sql.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    sql.close()


def test_entries_have_the_defaults_of_protocols():
    entry = Entry("0" * 16, True, 1.0, 0.0)
    assert (entry.generator, entry.wm_present, entry.reviewed, entry.quarantined) == ("-", None, False, "")
