"""Workers that die, hang or babble, and a crew that goes on over them."""

import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest
from service_parts import OPTIONS, put, take

from earwitness.errors import InputError
from earwitness.service import crew as crews
from earwitness.service.audit import verify
from earwitness.service.crew import Crew, CrewOptions, DeskBusy, Worker, WorkerDied
from earwitness.service.jobs import claim
from earwitness.service.store import accept, accept_batch, batch_of, find
from earwitness.service.worker import Settings

SETTINGS = Settings(1 << 30, 100.0)
SOON_S = 60.0


@pytest.fixture(autouse=True)
def stub(monkeypatch):
    """Workers are stubs, and patience is short."""
    monkeypatch.setattr(Worker, "module", "stub_worker")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    monkeypatch.setattr(crews, "AWAY_S", 0.1)
    monkeypatch.setattr(crews, "IDLE_S", 0.05)


@pytest.fixture
def worker():
    worker = Worker(SETTINGS, stall_s=SOON_S)
    yield worker
    worker.end()


@pytest.fixture
def crew(filed):
    crews_made = []

    def start(workers=1, stall_s=SOON_S):
        answers = {}
        made = Crew(filed, CrewOptions(workers, SETTINGS), answers.__setitem__)
        made.answers = answers
        for _, worker in made.workers:
            worker.stall_s = stall_s
        made.start(alone=True)
        crews_made.append(made)
        return made

    yield start
    for made in crews_made:
        made.stop()


def ask(worker, folder, *contents, on_sign=lambda _: None):
    jobs = []
    for number, content in enumerate(contents):
        file = folder / str(number)
        file.write_text(content)
        jobs.append({"path": str(file), "name": content})
    return worker.ask({"do": "scan", "jobs": jobs, "options": OPTIONS}, on_sign)


def until(true):
    """Wait for something that comes about on another thread."""
    ends = time.monotonic() + SOON_S
    while not true():
        assert time.monotonic() < ends
        time.sleep(0.02)


def test_a_worker_answers_and_stays(worker, tmp_path):
    first, second = ask(worker, tmp_path, "a", "b"), ask(worker, tmp_path, "c")
    assert [one["record"]["path"] for one in first + second] == ["a", "b", "c"]
    assert first[0]["record"]["by"] == second[0]["record"]["by"] == worker.process.pid
    assert (worker.starts, worker.deaths) == (1, 0)


def test_it_tells_how_far_it_is(worker, tmp_path):
    signs = []
    ask(worker, tmp_path, "slow", on_sign=signs.append)
    assert signs == [0.25, 0.5]


def test_a_worker_that_takes_its_time_still_holds_its_claims(worker, tmp_path, monkeypatch):
    monkeypatch.setattr(crews, "BEAT_S", 0.05)
    signs = []
    ask(worker, tmp_path, "slow", on_sign=signs.append)
    assert signs.count(None) >= 3


@pytest.mark.parametrize("what", ["die", "half"])
def test_a_worker_that_dies_is_started_anew(worker, tmp_path, what):
    with pytest.raises(WorkerDied):
        ask(worker, tmp_path, what)
    assert ask(worker, tmp_path, "a")[0]["record"]["path"] == "a"
    assert (worker.starts, worker.deaths) == (2, 1)


def test_a_worker_that_falls_silent_is_ended(worker, tmp_path):
    ask(worker, tmp_path, "a")
    worker.stall_s, process = 0.3, worker.process
    with pytest.raises(WorkerDied):
        ask(worker, tmp_path, "hang")
    assert process.poll() == -signal.SIGKILL


def test_an_answer_never_goes_to_the_next_request(worker, tmp_path):
    def fails(_):
        raise OSError("the database is away")

    with pytest.raises(OSError, match="away"):
        ask(worker, tmp_path, "slow", on_sign=fails)
    assert ask(worker, tmp_path, "b")[0]["record"]["path"] == "b"
    with pytest.raises(ValueError):  # noqa: PT011
        ask(worker, tmp_path, "babble")
    assert ask(worker, tmp_path, "c")[0]["record"]["path"] == "c"


def test_what_fails_says_why(worker):
    with pytest.raises(InputError) as error:
        worker.ask({"do": "fail"}, lambda _: None)
    assert (error.value.code, error.value.message) == ("fail", "cannot")


def test_passwords_stay_with_the_service(worker, tmp_path, monkeypatch):
    monkeypatch.setenv("EARWITNESS_DATABASE", "postgresql://u:geheim@h/d")
    monkeypatch.setenv("EARWITNESS_CALLBACK_SECRET", "geheim")
    worker.settings = Settings(1 << 30, 100.0, knowledge="postgresql://u:geheim@h/d")
    ask(worker, tmp_path, "a")
    if sys.platform == "linux":
        seen = Path(f"/proc/{worker.process.pid}")
        assert b"geheim" not in (seen / "cmdline").read_bytes() + (seen / "environ").read_bytes()


def test_the_crew_answers_what_is_accepted(crew, filed):
    made = crew(2)
    ids = [take(filed, b"%d" % i) for i in range(12)]
    made.notify()
    until(lambda: len(made.answers) == 12)
    assert all(find(filed, id)["state"] == "done" for id in ids)


def test_long_recordings_go_to_a_lane_of_their_own(crew, filed):
    made = crew()
    ids = [take(filed, text) for text in (b"long", b"a")]
    until(lambda: len(made.answers) == 2)
    first, second = (find(filed, id)["record"]["by"] for id in ids)
    assert first == made.workers[-1][1].process.pid
    assert second == made.workers[0][1].process.pid


def test_a_poison_file_is_parked_and_the_others_are_answered(crew, filed):
    uploads = [put(filed, text) for text in (b"a", b"die", b"b", b"c", b"die")]
    batch = accept_batch(filed, uploads, OPTIONS, "ada", None)
    made = crew()
    until(lambda: len(made.answers) == 5)
    assert [one["state"] for one in batch_of(filed, batch)] == ["done", "parked", "done", "done", "parked"]
    assert made.deaths >= 5
    assert verify(filed.engine).broken is None


def test_what_hangs_is_parked_too(crew, filed):
    id = take(filed, b"hang")
    made = crew(stall_s=0.2)
    until(lambda: id in made.answers)
    assert find(filed, id)["record"]["error"]["code"] == "parked"


def test_what_nobody_foresaw_spoils_one_answer_only(crew, filed):
    ids = [take(filed, text) for text in (b"a", b"internal", b"odd")]
    made = crew()
    until(lambda: len(made.answers) == 3)
    records = [find(filed, id)["record"] for id in ids]
    assert [one["verdict"] for one in records] == ["fake", "error", "error"]
    assert [one["error"]["code"] for one in records[1:]] == ["internal", "internal"]
    assert made.deaths == 0


def test_workers_that_do_not_start_cost_no_file_its_answer(crew, filed, monkeypatch):
    monkeypatch.setenv("STUB", "never")
    made = crew()
    id = take(filed, b"a")
    until(lambda: made.workers[0][1].starts >= 5)
    assert find(filed, id)["state"] in ("queued", "running")
    monkeypatch.delenv("STUB")
    until(lambda: id in made.answers)
    assert find(filed, id)["state"] == "done"


def test_a_crew_stops_at_once_and_what_it_did_is_done_by_the_next(crew, filed):
    made = crew()
    id = take(filed, b"hang")
    until(lambda: find(filed, id)["state"] == "running" and made.workers[0][1].process)
    pid = made.workers[0][1].process.pid
    made.stop()
    assert not any(thread.is_alive() for thread in made.threads)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert find(filed, id)["state"] == "queued"
    (job,) = claim(filed, "short", 8)
    assert job.id == id


def test_a_crew_takes_over_what_a_killed_service_was_at(crew, filed):
    ids = [take(filed, b"a") for _ in range(3)]
    assert len(claim(filed, "short", 8)) == 3  # and then the service is killed
    made = crew()
    until(lambda: len(made.answers) == 3)
    assert all(find(filed, id)["state"] == "done" for id in ids)


def test_the_desk_takes_some_at_a_time(filed, monkeypatch, tmp_path):
    monkeypatch.setattr(crews, "DESK_WAIT_S", 0.05)
    made = Crew(filed, CrewOptions(1, SETTINGS), lambda *_: None)
    made.make({"do": "wav", "out": str(tmp_path / "x")})
    process = made.desk.process
    (tmp_path / "there").write_text("made by another")
    made.make({"do": "fail", "out": str(tmp_path / "there")})
    with made.desk_free, pytest.raises(DeskBusy):
        made.make({"do": "wav", "out": str(tmp_path / "x")})
    for _ in range(crews.DESK_LINE):
        assert made.desk_line.acquire(blocking=False)
    with pytest.raises(DeskBusy):
        made.make({"do": "wav", "out": str(tmp_path / "x")})
    assert made.desk.process is process
    made.stop()
    assert process.poll() is not None


def test_options_differ_and_each_gets_its_own(crew, filed):
    ids = [accept(filed, put(filed, b"a"), {**OPTIONS, "prior": p / 10}, "ada") for p in range(1, 6)]
    made = crew(2)
    until(lambda: len(made.answers) == 5)
    assert [find(filed, id)["options"]["prior"] for id in ids] == [0.1, 0.2, 0.3, 0.4, 0.5]
    assert threading.active_count() < 40
