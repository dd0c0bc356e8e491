"""The audit log: whatever is done to it shows."""

import json

import pytest
from service_parts import record, take
from sqlalchemy import delete, select, text, update
from typer.testing import CliRunner

from earwitness.cli import app
from earwitness.service.audit import START, append, chained, head, verify
from earwitness.service.jobs import claim, finish
from earwitness.service.keys import add_key, remove_key
from earwitness.service.store import remove, set_label
from earwitness.service.tables import audit


@pytest.fixture
def log(filed):
    """A store with twelve entries."""
    for number in range(12):
        with filed.write() as connection:
            append(connection, "ada", "accepted", f"subject {number}", size=number)
    return filed


def rows(store):
    with store.read() as connection:
        return [dict(row) for row in connection.execute(select(audit).order_by(audit.c.number)).mappings()]


def change(store, *statements):
    with store.write() as connection:
        for statement in statements:
            connection.execute(statement)


def put_back(store, entries):
    change(store, delete(audit), *(audit.insert().values(**entry) for entry in entries))


def test_everything_that_is_done_is_told(store):
    id = take(store, owner="ada")
    (job,) = claim(store, "short", 8)
    finish(store, job, record(llr=-2.5))
    set_label(store, id, "fake", {"generator": "x", "note": "secret words"}, "bob")
    remove(store, id, "eve")
    add_key(store.engine, "newsroom", "label")
    remove_key(store.engine, "newsroom")
    told = [(entry["actor"], entry["action"], entry["subject"]) for entry in rows(store)]
    assert told == [
        ("ada", "accepted", id),
        ("service", "answered", id),
        ("bob", "labelled", id),
        ("eve", "deleted", id),
        ("operator", "key-added", "newsroom"),
        ("operator", "key-removed", "newsroom"),
    ]
    assert json.loads(rows(store)[1]["detail"]) == {"verdict": "fake", "llr": -2.5}
    found = verify(store.engine)
    assert (found.entries, found.broken, found.head) == (6, None, head(store.engine))


def test_an_empty_log_is_whole(store):
    assert (verify(store.engine).head, head(store.engine), verify(store.engine).broken) == (
        START,
        START,
        None,
    )
    assert verify(store.engine, "ab" * 32).broken == 1


@pytest.mark.parametrize("column", ["at", "actor", "action", "subject", "detail", "hash"])
@pytest.mark.parametrize("number", [1, 6, 12])
def test_an_edit_shows(log, column, number):
    change(log, update(audit).where(audit.c.number == number).values({column: "x"}))
    found = verify(log.engine)
    assert found.broken == number
    assert found.entries == number - 1


@pytest.mark.parametrize("number", [1, 6, 11])
def test_a_deletion_shows_also_where_the_rest_moves_up(log, number):
    entries = rows(log)
    change(log, delete(audit).where(audit.c.number == number))
    assert verify(log.engine).broken == number
    left = [entry for entry in entries if entry["number"] != number]
    put_back(log, [{**entry, "number": place} for place, entry in enumerate(left, 1)])
    assert verify(log.engine).broken == number


def test_an_insertion_shows(log):
    entries = rows(log)
    forged = {**entries[5], "subject": "never happened"}
    put_back(log, [{**entry, "number": n} for n, entry in enumerate([*entries[:5], forged, *entries[5:]], 1)])
    assert verify(log.engine).broken == 6
    put_back(log, entries)
    change(log, audit.insert().values({**entries[0], "number": 0}))
    assert verify(log.engine).broken == 1


def test_another_order_shows(log):
    entries = rows(log)
    entries[3], entries[4] = {**entries[4], "number": 4}, {**entries[3], "number": 5}
    put_back(log, entries)
    assert verify(log.engine).broken == 4


def test_a_cut_shows_against_a_hash_that_was_noted(log):
    noted, entries = head(log.engine), rows(log)
    assert verify(log.engine, noted).broken is None
    assert verify(log.engine, entries[3]["hash"]).broken is None  # noted some time ago
    change(log, delete(audit).where(audit.c.number > 9))
    assert verify(log.engine).broken is None
    assert verify(log.engine, noted).broken == 10


def test_a_chain_made_anew_shows_against_a_hash_that_was_noted(log):
    noted, entries, before = head(log.engine), rows(log), START
    entries[2]["subject"] = "somebody else"
    for entry in entries:
        entry.pop("hash")
        entry["hash"] = before = chained(before, entry)
    put_back(log, entries)
    assert verify(log.engine).broken is None
    assert verify(log.engine, noted).broken is not None


def test_bytes_that_are_no_text_are_found_not_stumbled_over(log):
    change(log, text("UPDATE audit SET subject = CAST(x'FF' AS TEXT) WHERE number = 7"))
    assert verify(log.engine).broken is not None


def test_the_command_says_so_and_exits_accordingly(log):
    run, folder = CliRunner().invoke, str(log.folder.parent)
    good = run(app, ["audit", "verify", "--folder", folder])
    assert good.exit_code == 0
    assert head(log.engine) in good.output
    noted = head(log.engine)
    shown = run(app, ["audit", "show", "--folder", folder])
    assert [json.loads(line)["subject"] for line in shown.output.splitlines()] == [
        f"subject {n}" for n in range(12)
    ]
    change(log, delete(audit).where(audit.c.number == 12))
    assert run(app, ["audit", "verify", "--folder", folder]).exit_code == 0
    cut = run(app, ["audit", "verify", "--folder", folder, "--head", noted, "--json"])
    assert cut.exit_code == 1
    assert json.loads(cut.output)["broken"] == 12
    change(log, update(audit).where(audit.c.number == 2).values(actor="eve"))
    bad = run(app, ["audit", "verify", "--folder", folder])
    assert bad.exit_code == 1
    assert "entry 2" in bad.output
