"""Keys: told once, stored as hashes, good for what their role may do."""

import json

import pytest
from sqlalchemy import select
from typer.testing import CliRunner

from earwitness.cli import app
from earwitness.errors import InputError
from earwitness.service.keys import Caller, add_key, count_keys, find_caller, list_keys, remove_key
from earwitness.service.tables import keys


def test_a_key_opens_until_it_is_removed(store):
    token = add_key(store.engine, "newsroom", "label")
    assert find_caller(store.engine, token) == Caller("newsroom", "label")
    for wrong in ("", "ew_", token[:-1], token + "x", token.upper(), "\0", "\ud800", "' OR 1=1 --"):
        assert find_caller(store.engine, wrong) is None
    assert count_keys(store.engine) == 1
    remove_key(store.engine, "newsroom")
    assert find_caller(store.engine, token) is None
    assert count_keys(store.engine) == 0


def test_only_hashes_are_stored_and_no_two_keys_are_alike(store):
    tokens = [add_key(store.engine, str(i), "scan") for i in range(20)]
    assert len(set(tokens)) == 20
    assert all(token.startswith("ew_") and len(token) == 46 for token in tokens)
    with store.read() as connection:
        stored = str(connection.execute(select(keys)).all())
    assert not any(token in stored or token[3:] in stored for token in tokens)
    assert {tuple(row) for row in list_keys(store.engine)} == {("name", "role", "created")}


@pytest.mark.parametrize(
    ("name", "role"), [("x", "boss"), ("", "scan"), (" ", "scan"), ("a\nb", "scan"), ("a" * 101, "scan")]
)
def test_odd_names_and_roles_are_refused(filed, name, role):
    with pytest.raises(InputError) as error:
        add_key(filed.engine, name, role)
    assert error.value.code == "usage"


def test_a_name_is_given_once(store):
    add_key(store.engine, "newsroom", "scan")
    with pytest.raises(InputError, match="already"):
        add_key(store.engine, "newsroom", "admin")
    with pytest.raises(InputError, match="no key is called"):
        remove_key(store.engine, "other")


def test_each_role_may_do_what_those_before_it_may():
    may = {role: [Caller("x", role).may(what) for what in ("scan", "label", "admin")] for role in may_roles}
    assert may == {"scan": [True, False, False], "label": [True, True, False], "admin": [True, True, True]}


may_roles = ("scan", "label", "admin")


def test_the_commands(filed):
    run, folder = CliRunner().invoke, ["--folder", str(filed.folder.parent)]
    token = run(app, ["keys", "add", "newsroom", "--role", "label", *folder]).output.strip()
    assert find_caller(filed.engine, token) == Caller("newsroom", "label")
    (row,) = json.loads(run(app, ["keys", "list", "--json", *folder]).output)
    assert (row["name"], row["role"]) == ("newsroom", "label")
    assert run(app, ["keys", "add", "newsroom", *folder]).exit_code == 2
    assert run(app, ["keys", "remove", "newsroom", *folder]).exit_code == 0
    assert run(app, ["keys", "remove", "newsroom", *folder]).exit_code == 2
    assert find_caller(filed.engine, token) is None


@pytest.mark.parametrize(
    "command",
    ["keys list", "keys add x", "keys remove x", "audit show", "audit samples out.csv"],
)
def test_a_database_that_fails_is_a_line_not_a_traceback(filed, command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with filed.write() as connection:
        for table in ("keys", "audit", "analyses"):
            connection.exec_driver_sql(f"ALTER TABLE {table} RENAME TO {table}_before")
            connection.exec_driver_sql(f"CREATE TABLE {table} (other TEXT)")
    done = CliRunner().invoke(app, [*command.split(), "--folder", str(filed.folder.parent)])
    assert (done.exit_code, type(done.exception)) == (2, SystemExit)
    assert "cannot be used (" in done.output
    assert len(done.output.splitlines()) <= 2
