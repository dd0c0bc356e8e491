"""What is kept no longer than promised goes, with its files."""

import os
import time

import pytest
from service_parts import put, record, take
from sqlalchemy import select, update

from earwitness.errors import InputError
from earwitness.service.audit import entries
from earwitness.service.jobs import GRACE_S, ORPHAN_S, RETRY_KEYS_S, claim, finish, sweep
from earwitness.service.options import ServeOptions
from earwitness.service.store import find, heard_of
from earwitness.service.tables import analyses, retries

DAY = 86_400


def answer(store, **more):
    id = take(store, **more)
    jobs = claim(store, "short", 8)
    for job in jobs:
        finish(store, job, record(), b"heard")
    return id


def grow_old(store, id, seconds):
    with store.write() as connection:
        old = update(analyses).where(analyses.c.id == id)
        connection.execute(old.values(finished=time.time() - seconds, created=time.time() - seconds))
    for folder in (store.folder, store.folder.parent / "made"):
        for file in folder.glob(f"{id}*"):
            os.utime(file, (time.time() - seconds,) * 2)


def make(store, name):
    (store.folder.parent / "made" / name).write_bytes(b"made")


def files(store):
    return sorted(
        file.name for folder in (store.folder, store.folder.parent / "made") for file in folder.iterdir()
    )


@pytest.mark.parametrize(
    ("keep", "seconds"),
    [("nothing", 0), ("forever", None), ("30d", 30 * DAY), ("30", 30 * DAY), ("0.5d", DAY / 2)],
)
def test_how_long(keep, seconds):
    assert ServeOptions(keep=keep).keep_s == seconds


@pytest.mark.parametrize("keep", ["", "d", "0", "-1d", "nan", "inf", "1e9", "a week", "30 days"])
def test_odd_times_are_refused(keep):
    with pytest.raises(InputError):
        _ = ServeOptions(keep=keep).keep_s


def test_days(reach):
    store = reach(keep_s=30 * DAY)
    old, new = answer(store), answer(store)
    make(store, f"{old}.wav")
    grow_old(store, old, 31 * DAY)
    grow_old(store, new, 29 * DAY)
    assert sweep(store) == 1
    assert find(store, old) is None
    assert find(store, new)["audio"]
    assert files(store) == [new]
    assert [entry["action"] for entry in entries(store.engine)][-1] == "expired"
    assert sweep(store) == 0


def test_forever(reach):
    store = reach(keep_s=None)
    id = answer(store)
    grow_old(store, id, 4000 * DAY)
    assert sweep(store) == 0
    assert files(store) == [id]
    assert heard_of(store, id) == b"heard"


def test_nothing(reach):
    store = reach(keep_s=0.0)
    id = take(store)
    assert files(store) == [id]
    (job,) = claim(store, "short", 8)
    finish(store, job, record(), b"heard")
    assert files(store) == []
    assert heard_of(store, id) is None
    assert not find(store, id)["audio"]
    assert sweep(store) == 0  # it can be fetched for a while
    grow_old(store, id, GRACE_S + 1)
    assert sweep(store) == 1
    assert find(store, id) is None


def test_what_waits_is_not_let_go(reach):
    store = reach(keep_s=0.0)
    id = take(store)
    grow_old(store, id, 400 * DAY)
    with store.write() as connection:
        connection.execute(update(analyses).values(finished=None))
    assert sweep(store) == 0
    assert files(store) == [id]


def test_files_that_no_analysis_knows_go_after_a_while(filed):
    known, orphan, fresh = take(filed), put(filed).id, put(filed).id
    (filed.folder / f"{orphan}.part").write_bytes(b"half")
    for name in (f"{known}.wav", "entry-0123456789abcdef.wav"):
        make(filed, name)
    for name in (known, orphan):
        grow_old(filed, name, ORPHAN_S + 60)
    os.utime(filed.folder.parent / "made" / "entry-0123456789abcdef.wav", (0, 0))
    sweep(filed)
    assert files(filed) == sorted([known, fresh])  # what was made can be made again


def test_a_crash_between_the_answer_and_the_removal_leaves_nothing_for_long(reach):
    store = reach(keep_s=0.0)
    id = answer(store)
    store.audio(id).write_bytes(b"not removed")
    grow_old(store, id, ORPHAN_S - 60)
    sweep(store)
    assert store.audio(id).exists()
    grow_old(store, id, ORPHAN_S + 60)
    sweep(store)
    assert not store.audio(id).exists()


def test_keys_of_requests_are_forgotten(filed):
    id = take(filed, retry_key="k")
    with filed.write() as connection:
        connection.execute(update(retries).values(created=time.time() - RETRY_KEYS_S - 1))
    sweep(filed)
    with filed.read() as connection:
        assert connection.execute(select(retries)).all() == []
    assert take(filed, retry_key="k") != id
