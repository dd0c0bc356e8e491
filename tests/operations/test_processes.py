"""Items go to processes and come back in order; one on which a process dies stops no other."""

import os
import time

import pytest

from earwitness.operations.processes import ONE_THREAD, in_processes
from earwitness.types import Failure


def square(number):
    time.sleep(0.02 * (number % 3))
    return number**2, os.getpid()


def die_on_seven(number):
    if number == 7:
        os._exit(1)
    return number


def threads(_):
    return [os.environ.get(name) for name in ONE_THREAD]


@pytest.mark.parametrize("processes", [1, 2])
def test_results_come_in_order(processes):
    found = list(in_processes(square, range(20), processes, "squaring"))
    assert [(item, result[0]) for item, result in found] == [(n, n**2) for n in range(20)]
    used = {result[1] for _, result in found}
    assert used == {os.getpid()} if processes == 1 else os.getpid() not in used


def test_an_item_on_which_a_process_dies_stops_no_other():
    found = dict(in_processes(die_on_seven, range(12), 2, "dying"))
    failure = found.pop(7)
    assert isinstance(failure, Failure)
    assert "died" in failure.message
    assert found == {n: n for n in range(12) if n != 7}


def test_processes_have_one_thread_and_ours_keeps_its_own(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    ((_, found),) = in_processes(threads, [0], 2, "asking")
    assert found == ["1"] * len(ONE_THREAD)
    assert os.environ["OMP_NUM_THREADS"] == "3"
    assert "MKL_NUM_THREADS" not in os.environ
