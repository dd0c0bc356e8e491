"""Promotion and rollback: one champion at any moment, whatever is killed when."""

import json
import multiprocessing
import os
import random
import shutil
import sqlite3
import time
from dataclasses import replace

import numpy as np
import pytest
from registry_of_bytes import gaussian_llrs, tiny_bundle, write_answers

from earwitness.errors import InputError, ModelError
from earwitness.operations import promotion
from earwitness.operations import registry as versions
from earwitness.operations.gates import Gate

pytest.importorskip("mlflow")
PASSED = [Gate("planted", True, {}, "-", "Said to be good.")]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """One registry for all tests of this file; each uses a name of its own."""
    return versions.open_registry(tmp_path_factory.mktemp("registry") / "store", make=True)


@pytest.fixture
def name(request):
    return request.node.name.split("[")[0][:60]


@pytest.fixture
def three(store, name, tmp_path):
    """Three versions; the third says that its embeddings are the second's."""
    made = [versions.add(store, name, tiny_bundle(tmp_path / f"b{i}", i)) for i in (1, 2)]
    third = tiny_bundle(tmp_path / "b3", 3, embedding_of=made[1].digest)
    return [*made, versions.add(store, name, third, parent=2)]


def decided(store, version, gates=PASSED):
    return promotion.decide(version, versions.champion(store, version.name), gates, {}, "test")


def put(store, version):
    decision = decided(store, version)
    promotion.promote(store, version, decision)
    return decision


def champion_in(root, name):
    """As SQLite has it, without MLflow."""
    with sqlite3.connect(root / "mlflow.db") as base:
        found = base.execute(
            "SELECT version FROM registered_model_aliases WHERE name = ? AND alias = 'champion'", (name,)
        ).fetchall()
    return [int(version) for (version,) in found]


def test_promotion_and_rollback_go_along_the_history(store, name, three):
    one, _, last = three
    for version in three:
        put(store, version)
        assert versions.champion(store, name).number == version.number
        assert versions.challenger(store, name) == (None if version == last else last)
    assert promotion.rollback(store, name, "worse", "Jo").number == 2
    assert versions.challenger(store, name).number == 3
    assert promotion.rollback(store, name).number == 1
    with pytest.raises(InputError, match="no earlier champion"):
        promotion.rollback(store, name)
    put(store, last)
    put(store, one)
    assert champion_in(store.root, name) == [1]
    assert [promotion.rollback(store, name).number for _ in range(2)] == [3, 1]
    noted = promotion.moves(store, name)
    assert [(move.kind[0], move.before, move.after) for move in noted] == [
        ("p", None, 1), ("p", 1, 2), ("p", 2, 3), ("r", 3, 2), ("r", 2, 1),
        ("p", 1, 3), ("p", 3, 1), ("r", 1, 3), ("r", 3, 1),
    ]  # fmt: skip
    assert (noted[3].why, noted[3].by) == ("worse", "Jo")


def test_a_version_that_was_rolled_back_needs_a_new_decision(store, name, three):
    one, two, _ = three
    put(store, one)
    decision = put(store, two)
    promotion.promote(store, two, decision)  # once more: nothing happens
    assert len(promotion.moves(store, name)) == 2
    promotion.rollback(store, name)
    with pytest.raises(InputError, match="used and rolled back"):
        promotion.promote(store, two, decision)
    assert versions.champion(store, name) == versions.version_of(store, name, 1)
    put(store, two)
    assert champion_in(store.root, name) == [2]


def test_a_decision_is_good_for_its_version_and_the_champion_it_was_judged_against(store, name, three):
    one, two, third = three
    put(store, one)
    stale = decided(store, third)
    put(store, two)
    with pytest.raises(InputError, match="judged against version 1, but the champion is 2"):
        promotion.promote(store, third, stale)
    for wrong in (replace(stale, promote=False), replace(stale, candidate=2), replace(stale, model="x")):
        with pytest.raises(InputError, match="does not say to promote"):
            promotion.promote(store, third, wrong)
    with pytest.raises(InputError, match="champion already"):
        promotion.promote(store, two, decided(store, two))
    assert not promotion.decide(third, two, [], {}).promote
    assert not decided(store, third, [*PASSED, replace(PASSED[0], passed=False)]).promote
    assert champion_in(store.root, name) == [2]


def test_a_bundle_that_was_altered_is_not_promoted_nor_gone_back_to(store, name, three):
    one, two, _ = three
    put(store, one)
    decision = decided(store, two)
    (versions.fetch(store, two) / "model.onnx").write_bytes(b"altered")
    with pytest.raises(ModelError, match="altered"):
        promotion.promote(store, two, decision)
    put(store, versions.version_of(store, name, 3))
    (versions.fetch(store, one) / "model.onnx").write_bytes(b"altered")
    with pytest.raises(ModelError, match="altered"):
        promotion.rollback(store, name)
    assert champion_in(store.root, name) == [3]


def test_an_alias_moved_by_hand_is_part_of_the_history(store, name, three):
    put(store, three[0])
    put(store, three[1])
    store.client.set_registered_model_alias(name, "champion", "3")
    assert promotion.rollback(store, name).number == 2
    assert promotion.rollback(store, name).number == 1


def test_decisions_are_kept_for_and_against(store, name, three):
    gates = [Gate("a|b\n# c", False, {"rate": 0.5}, "< 1", "No <good>.")]
    decision = decided(store, three[0], gates)
    promotion.record(store, three[0], decision)
    folder = versions.fetch(store, three[0]).parent / "decisions"
    kept = json.loads((folder / f"{decision.id}.json").read_text())
    assert kept["promote"] is False
    assert kept["gates"][0]["measured"] == {"rate": 0.5}
    text = (folder / f"{decision.id}.md").read_text()
    assert "not promoted" in text
    assert "| a\\|b # c | **refused** | &lt; 1 | No &lt;good>. |" in text
    assert "no champion" in text


def test_what_hangs_on_embeddings_is_pending_until_made_again(store, name, three, tmp_path):
    one, two, third = three
    base = tmp_path / "known it.db"
    with pytest.raises(InputError, match="no champion"):
        promotion.depend(store, name, base)
    assert promotion.pending(store, name) == []
    put(store, one)
    promotion.depend(store, name, base)
    promotion.depend(store, name, "postgresql://host/known")
    promotion.depend(store, name, tmp_path / "march.json", command="make it")
    assert promotion.pending(store, name) == []
    put(store, two)
    todo = dict(promotion.pending(store, name))
    new = tmp_path / f"known it-{name}-2.db"
    assert todo == {
        str(base): f"earwitness knowledge rebuild '{new}' --base '{base}' --model {name}@champion && "
        f"earwitness registry depend {name} '{new}' --instead '{base}'",
        "postgresql://host/known": "earwitness knowledge rebuild NEW --base postgresql://host/known "
        f"--model {name}@champion && earwitness registry depend {name} NEW --instead postgresql://host/known",
        str(tmp_path / "march.json"): "make it",
    }
    promotion.rollback(store, name)
    assert promotion.pending(store, name) == []  # the old bases serve again
    put(store, two)
    promotion.depend(store, name, new, instead=base)
    promotion.depend(store, name, tmp_path / "march.json")
    assert [place for place, _ in promotion.pending(store, name)] == ["postgresql://host/known"]
    put(store, third)  # the same embeddings
    assert [place for place, _ in promotion.pending(store, name)] == ["postgresql://host/known"]


def test_tables_and_cards_are_judged(store, name, tmp_path):
    """Thresholds are those of the cards: 0.9 on the candidate's means an LLR of -ln 9."""
    strict = {"fake": 0.9, "genuine": 0.1}
    one = versions.add(store, name, tiny_bundle(tmp_path / "a", 1))
    two = versions.add(store, name, tiny_bundle(tmp_path / "b", 2, thresholds=strict))
    llr, bona_fide = gaussian_llrs(400, 4.0, 0)
    table = write_answers(tmp_path / "old.csv", bona_fide, llr, llr)
    gates, tables = promotion.judge_version(store, two, one, [table])
    assert [gate.name for gate in gates if not gate.passed] == []
    rates = next(gate.measured for gate in gates if gate.name.startswith("false alarms"))
    assert rates["rate"] == np.mean(llr[bona_fide] <= -np.log(9))
    assert rates["champion"] == np.mean(llr[bona_fide] <= 0)
    assert list(tables) == ["old.csv"]
    alone, _ = promotion.judge_version(store, two, None, [table], speeds=(1.0, 0.1))
    assert [gate.name for gate in alone] == ["trials: old", "false alarms: old", "calibration: old"]
    bare = write_answers(tmp_path / "bare.csv", bona_fide, llr)
    with pytest.raises(InputError, match="no answers of the champion"):
        promotion.judge_version(store, two, one, [bare])
    with pytest.raises(InputError, match="different names"):
        promotion.judge_version(store, two, one, [table, table])
    with pytest.raises(InputError, match="champion already"):
        promotion.judge_version(store, one, one, [table])


class Killed(BaseException):
    """Stands for a kill between two steps."""


class Dying:
    """MLflow's client, dead before its n-th call, or just after it."""

    def __init__(self, client, calls, after):
        self.client, self.calls, self.after = client, calls, after

    def __getattr__(self, method):
        def call(*args, **more):
            self.calls -= 1
            if self.calls == 0 and not self.after:
                raise Killed
            done = getattr(self.client, method)(*args, **more)
            if self.calls == 0:
                raise Killed
            return done

        return call


@pytest.mark.parametrize("after", [False, True])
def test_a_kill_at_any_step_leaves_the_old_champion_or_the_new(store, tmp_path, after):
    seen = set()
    for step in range(1, 40):
        name = f"step-{after}-{step}"
        one, two = (versions.add(store, name, tiny_bundle(tmp_path / f"{name}-{i}", i)) for i in (1, 2))
        put(store, one)
        promotion.depend(store, name, tmp_path / "known.db")
        dying = replace(store, client=Dying(store.client, step, after))
        try:
            promotion.promote(dying, two, decided(store, two))
        except Killed:
            pass
        else:
            break
        (used,) = champion_in(store.root, name)
        seen.add(used)
        assert versions.champion(store, name).number == used
        assert len(promotion.pending(store, name)) == (used == 2)
        if used == 1:
            put(store, two)
        dying = replace(store, client=Dying(store.client, step, after))
        try:
            promotion.rollback(dying, name)
        except Killed:
            if champion_in(store.root, name) == [2]:
                promotion.rollback(store, name)
        assert champion_in(store.root, name) == [1]
        assert promotion.pending(store, name) == []
        with pytest.raises(InputError, match="no earlier champion"):
            promotion.rollback(store, name)
    assert step > 5  # every call was tried
    assert seen == {1, 2} if after else {1}


def promote_second(root, started):
    """In a process of its own, which says when it starts."""
    store = versions.open_registry(root)
    two = versions.version_of(store, "m", 2)
    decision = decided(store, two)
    begin = time.monotonic()
    started.send("now")
    promotion.promote(store, two, decision)
    started.send(time.monotonic() - begin)


def start(context, root):
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=promote_second, args=(root, there))
    process.start()
    there.close()
    assert here.recv() == "now"
    return process, here


def test_promotion_killed_at_random_moments_leaves_one_champion(tmp_path):
    root = tmp_path / "prepared"
    store = versions.open_registry(root, make=True)
    one, _ = (versions.add(store, "m", tiny_bundle(tmp_path / f"b{i}", i)) for i in (1, 2))
    put(store, one)
    promotion.depend(store, "m", tmp_path / "known.db")
    first = {name: (tmp_path / "b1" / name).read_bytes() for name in one.files}
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["mlflow.tracking", "mlflow.store.model_registry.sqlalchemy_store"])
    shutil.copytree(root, tmp_path / "whole")
    process, said = start(context, tmp_path / "whole")
    took_s = said.recv()
    process.join()
    assert champion_in(tmp_path / "whole", "m") == [2]
    moments = int(os.environ.get("KILL_MOMENTS", "3"))
    rng = random.Random(0)
    counts = {1: 0, 2: 0}
    for i in range(moments):
        there = tmp_path / f"killed-{i}"
        shutil.copytree(root, there)
        process, _ = start(context, there)
        time.sleep(1.2 * took_s * (i + rng.random()) / moments)
        process.kill()  # SIGKILL; nothing, if it was done already
        process.join()
        (used,) = champion_in(there, "m")
        counts[used] += 1
        store = versions.open_registry(there)
        assert versions.champion(store, "m").number == used
        versions.fetch(store, versions.champion(store, "m"))
        assert len(promotion.pending(store, "m")) == (used == 2)
        if used == 1:
            put(store, versions.version_of(store, "m", 2))
        back = versions.fetch(store, promotion.rollback(store, "m"))
        assert {name: (back / name).read_bytes() for name in first} == first
        assert champion_in(there, "m") == [1]
    print(f"killed {moments} times within {took_s:.3f} s; champion old and new: {counts}")
