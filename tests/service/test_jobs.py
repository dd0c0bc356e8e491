"""Work on what was accepted: every analysis is answered exactly once, whatever dies meanwhile."""

import json
import shutil
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule
from service_parts import OPTIONS, put, record, take
from sqlalchemy import func, select, update

from earwitness.service.audit import verify
from earwitness.service.jobs import TRIES, claim, finish, give_back, recover, renew
from earwitness.service.store import accept, accept_batch, counts, find, open_store, remove
from earwitness.service.tables import analyses, audit, canonical, deliveries


def answers_to(store, id):
    """Entries of the audit log that tell of an answer."""
    query = select(func.count()).where(audit.c.subject == id, audit.c.action.in_(("answered", "parked")))
    with store.read() as connection:
        return connection.scalar(query)


def deliveries_of(store, subject):
    with store.read() as connection:
        return connection.scalars(select(deliveries.c.state).where(deliveries.c.subject == subject)).all()


def lapse(store):
    """Let the time pass for which claims hold."""
    with store.write() as connection:
        connection.execute(update(analyses).values(lease=time.time() - 1))


def test_the_oldest_are_claimed_first_and_only_once(store):
    ids = [take(store, name=f"{i}.wav") for i in range(5)]
    first, second = claim(store, "short", 3), claim(store, "short", 3)
    assert [job.id for job in first] == ids[:3]
    assert [job.id for job in second] == ids[3:]
    assert claim(store, "short", 3) == claim(store, "long", 3) == []
    assert len({job.claim for job in first}) == 1
    assert first[0].claim != second[0].claim


def test_jobs_that_are_claimed_together_have_the_same_options(store):
    for prior in (0.5, 0.1, 0.5):
        accept(store, put(store), {**OPTIONS, "prior": prior}, "ada")
    assert [[job.options["prior"] for job in claim(store, "short", 8)] for _ in range(2)] == [
        [0.5, 0.5],
        [0.1],
    ]


def test_threads_and_servers_share_the_work_without_doing_any_twice(reach):
    stores = [reach() for _ in range(3)]
    ids = [take(stores[0]) for _ in range(30)]

    def work(store):
        done = []
        while jobs := claim(store, "short", 2):
            done += [job.id for job in jobs if finish(store, job, record())]
        return done

    with ThreadPoolExecutor(6) as pool:
        done = [id for ids in pool.map(work, stores * 2) for id in ids]
    assert sorted(done) == ids
    assert verify(stores[0].engine).broken is None


def test_an_answer_is_taken_once_and_only_under_its_claim(store):
    id = take(store)
    (job,) = claim(store, "short", 8)
    lapse(store)
    assert recover(store) == 1
    (other,) = claim(store, "short", 8)
    assert not finish(store, job, record(verdict="genuine"))
    assert find(store, id)["state"] == "running"
    assert finish(store, other, record(verdict="fake"))
    assert not finish(store, other, record(verdict="genuine"))
    assert find(store, id)["record"]["verdict"] == "fake"
    assert answers_to(store, id) == 1


def test_claims_hold_while_there_are_signs_of_life(store):
    take(store)
    (job,) = claim(store, "short", 8)
    assert recover(store) == 0
    lapse(store)
    renew(store, [job], 0.25)
    assert recover(store) == 0
    assert find(store, job.id)["progress"] == 0.25
    assert recover(store, all_of_them=True) == 1
    renew(store, [job], 0.5)
    assert find(store, job.id)["progress"] is None


def test_over_what_workers_die_is_tried_alone_and_then_parked(store):
    poison, good = take(store, name="bad.wav"), take(store, name="good.wav")
    for attempt in range(TRIES):
        jobs = claim(store, "short", 8)
        assert [job.name for job in jobs] == (["bad.wav"] if attempt else ["bad.wav", "good.wav"])
        parked = [give_back(store, job, "short", died=True) for job in jobs]
    assert parked == [True]
    found = find(store, poison)
    assert (found["state"], found["record"]["error"]["code"]) == ("parked", "parked")
    assert answers_to(store, poison) == 1
    (job,) = claim(store, "short", 8)
    assert job.id == good
    assert finish(store, job, record())
    assert counts(store) == {"parked": 1, "done": 1}


def test_what_a_server_died_over_is_tried_alone_but_not_parked_for_that(store):
    ids = [take(store, name=f"{i}.wav") for i in range(3)]
    assert len(claim(store, "short", 8)) == 3
    for _ in range(2 * TRIES):
        assert recover(store, all_of_them=True)
        (job,) = claim(store, "short", 8)
        assert job.id == ids[0]
    for attempt in range(1, TRIES):
        parked = give_back(store, job, "short", died=True)
        assert parked == (attempt == TRIES - 1)
        (job,) = claim(store, "short", 8)
    assert job.id == ids[1]
    assert counts(store) == {"parked": 1, "running": 1, "queued": 1}


def test_what_is_given_back_for_another_lane_is_not_held_against_it(store):
    take(store)
    for lane in ("short", "long") * TRIES:
        (job,) = claim(store, lane, 8)
        assert not give_back(store, job, "long" if lane == "short" else "short", died=False)
    assert counts(store) == {"queued": 1}


def test_what_is_deleted_meanwhile_stays_deleted(store):
    id = take(store, callback="https://example.org/")
    (job,) = claim(store, "short", 8)
    remove(store, id, "ada")
    renew(store, [job], 0.5)
    assert not finish(store, job, record())
    assert not give_back(store, job, "short", died=True)
    assert find(store, id) is None
    assert deliveries_of(store, id) == []


def test_word_of_a_batch_is_due_with_its_last_answer(store):
    uploads = [put(store) for _ in range(3)]
    batch = accept_batch(store, uploads, OPTIONS, "ada", "https://example.org/")
    jobs = claim(store, "short", 8)
    finish(store, jobs[0], record())
    finish(store, jobs[1], record())
    assert deliveries_of(store, batch) == ["waiting"]
    finish(store, jobs[2], record())
    assert deliveries_of(store, batch) == ["due"]


def test_word_of_a_batch_is_due_too_where_its_last_is_deleted_or_parked(store):
    uploads = [put(store) for _ in range(2)]
    batch = accept_batch(store, uploads, OPTIONS, "ada", "https://example.org/")
    jobs = claim(store, "short", 8)
    finish(store, jobs[0], record())
    remove(store, jobs[1].id, "ada")
    assert deliveries_of(store, batch) == ["due"]
    with store.write() as connection:
        connection.execute(deliveries.update().values(state="sent"))
    remove(store, jobs[0].id, "ada")
    assert deliveries_of(store, batch) == ["sent"]


def test_last_answers_of_a_batch_at_once_make_it_due(reach):
    stores = [reach(), reach()]
    for _ in range(5):
        uploads = [put(stores[0]) for _ in range(4)]
        batch = accept_batch(stores[0], uploads, OPTIONS, "ada", "https://example.org/")
        jobs = claim(stores[0], "short", 8)
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda n, jobs=jobs: finish(stores[n % 2], jobs[n], record()), range(4)))
        assert deliveries_of(stores[0], batch) == ["due"]


def test_records_are_kept_as_they_are(store):
    odd = record(name := "a\0b \ud800 \N{SNOWMAN}.wav", warnings=["\x1b[31m"])
    id = take(store)
    (job,) = claim(store, "short", 8)
    odd["path"] = name.replace("\ud800", "")
    assert finish(store, job, odd)
    assert find(store, id)["record"] == json.loads(json.dumps(odd))


class Life(RuleBasedStateMachine):
    """Clients, workers that answer, die, stall or come back from the dead, and servers that start anew."""

    held = Bundle("held")
    known = Bundle("known")

    def __init__(self):
        super().__init__()
        self.home = Path(tempfile.mkdtemp())
        self.store = open_store(self.home)
        self.answered, self.deleted, self.all = {}, set(), []

    def teardown(self):
        for _ in range(3 * TRIES * len(self.all) + 1):  # whatever happened, what is left gets done
            recover(self.store, all_of_them=True)
            for job in claim(self.store, "short", 8) + claim(self.store, "long", 8):
                self.note(job, finish(self.store, job, record()), "fake")
        assert set(self.answered) | self.deleted == set(self.all)
        for id in set(self.all) - self.deleted:
            assert answers_to(self.store, id) == 1
        assert verify(self.store.engine).broken is None
        self.store.engine.dispose()
        shutil.rmtree(self.home)

    def note(self, job, counted, verdict):
        if counted:
            assert job.id not in self.answered
            assert job.id not in self.deleted
            self.answered[job.id] = verdict

    @rule(target=known)
    def send(self):
        self.all.append(take(self.store))
        return self.all[-1]

    @rule(target=held, lane=st.sampled_from(["short", "long"]), most=st.integers(1, 3))
    def work(self, lane, most):
        return claim(self.store, lane, most)

    @rule(jobs=held, verdict=st.sampled_from(["fake", "genuine"]))
    def answer(self, jobs, verdict):
        for job in jobs:
            self.note(job, finish(self.store, job, record(verdict=verdict)), verdict)

    @rule(jobs=held, died=st.booleans(), lane=st.sampled_from(["short", "long"]))
    def return_work(self, jobs, died, lane):
        for job in jobs:
            self.note(job, give_back(self.store, job, lane, died), "error")

    @rule(jobs=held)
    def sign(self, jobs):
        renew(self.store, jobs, 0.5)

    @rule()
    def stall(self):
        lapse(self.store)
        recover(self.store)

    @rule()
    def crash(self):
        self.store.engine.dispose()
        self.store = open_store(self.home)
        recover(self.store, all_of_them=True)

    @rule(id=consumes(known))
    def delete(self, id):
        assert remove(self.store, id, "ada")
        self.deleted.add(id)
        self.answered.pop(id, None)

    @invariant()
    def answers_stay(self):
        for id, verdict in self.answered.items():
            found = find(self.store, id)
            assert found["state"] in ("done", "parked")
            assert found["record"]["verdict"] == verdict


Life.TestCase.settings = settings(
    max_examples=12,
    stateful_step_count=18,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    derandomize=True,
)
TestLife = Life.TestCase


@pytest.mark.parametrize("value", [{"b": 1, "a": "é"}, [1.5, None]])
def test_the_same_value_has_one_text(value):
    assert json.loads(canonical(value)) == value
    assert canonical({"b": 1, "a": 2}) == canonical({"a": 2, "b": 1}) == '{"a":2,"b":1}'
