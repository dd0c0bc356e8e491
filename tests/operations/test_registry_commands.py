"""`earwitness registry`, `promote` and `rollback`, as they are typed."""

import json

import numpy as np
import pytest
import typer
from registry_of_bytes import gaussian_llrs, tiny_bundle, write_answers
from typer.testing import CliRunner

from earwitness.cli import registry

pytest.importorskip("mlflow")
app = typer.Typer()
app.add_typer(registry.registry_app, name="registry")
app.command(epilog=registry.PROMOTE_HELP)(registry.promote)
app.command(epilog=registry.ROLLBACK_HELP)(registry.rollback)


def run(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("registry") / "store"


@pytest.fixture
def typed(monkeypatch, place):
    monkeypatch.setenv("EARWITNESS_REGISTRY", str(place))


@pytest.fixture
def tables(tmp_path):
    """A first guard set, one of equals, one where the candidate forgot, and new data it is better on."""
    llr, bona_fide = gaussian_llrs(800, 4.0, 0)
    return {
        "first": write_answers(tmp_path / "first.csv", bona_fide, llr),
        "old": write_answers(tmp_path / "old.csv", bona_fide, llr, llr),
        "forgot": write_answers(tmp_path / "forgot.csv", bona_fide, -llr, llr),
        "new": write_answers(tmp_path / "new.csv", bona_fide, llr, gaussian_llrs(800, 1.0, 1)[0]),
    }


@pytest.mark.usefixtures("typed")
def test_a_detector_from_its_first_version_to_a_rollback(tmp_path, tables):
    first, second = tiny_bundle(tmp_path / "a", 1), tiny_bundle(tmp_path / "b", 2)
    assert run("registry", "add", first, "--name", "news", "--about", "table=march.csv").exit_code == 0
    done = run("promote", "news@1", "--guard", tables["first"], "--by", "Jo")
    assert done.exit_code == 0, done.output
    assert "no champion yet" in done.output
    assert "news@1 is the champion" in done.output
    assert run("registry", "depend", "news", tmp_path / "known.db").exit_code == 0

    made = run("registry", "add", second, "--name", "news", "--parent", "1", "--json")
    assert json.loads(made.output)["parent"] == 1
    dry = run("promote", "news@2", "--guard", tables["old"], "--new", tables["new"], "--dry-run")
    assert dry.exit_code == 0
    assert "would be promoted" in dry.output
    forgot = run(
        "promote", "news@challenger", "--guard", tables["old"], "--guard", tables["forgot"], "--json"
    )
    assert forgot.exit_code == 4
    said = json.loads(forgot.output)
    assert said["promote"] is False
    assert [gate["name"] for gate in said["gates"] if not gate["passed"]] == [
        "old data: forgot",
        "false alarms: forgot",
        "calibration: forgot",
    ]
    slow = run("promote", "news@2", "--guard", tables["old"], "--speed", "100", "50")
    assert slow.exit_code == 4
    assert "REFUSED" in slow.output
    assert "the champion stays" in slow.output
    assert json.loads(run("registry", "show", "news@champion", "--json").output)["version"] == 1

    done = run("promote", "news@2", "--guard", tables["old"], "--new", tables["new"])
    assert done.exit_code == 0
    assert "earwitness knowledge rebuild" in done.output
    todo = run("registry", "pending", "news", "--json")
    assert todo.exit_code == 1
    assert [one["place"] for one in json.loads(todo.output)] == [str(tmp_path / "known.db")]

    back = run("rollback", "news", "--why", "calls", "--by", "Jo")
    assert back.exit_code == 0
    assert "news@1 is the champion again" in back.output
    assert run("registry", "pending", "news").exit_code == 0
    assert run("rollback", "news").exit_code == 2
    shown = json.loads(run("registry", "show", "news@1", "--json").output)
    assert shown["aliases"] == ["champion"]
    assert shown["about"] == {"table": "march.csv"}
    assert [(move["kind"], move["before"], move["after"]) for move in shown["moves"]] == [
        ("promote", None, 1),
        ("promote", 1, 2),
        ("rollback", 2, 1),
    ]
    assert "calls" in run("registry", "show", "news@2").output
    listed = json.loads(run("registry", "list", "--json").output)
    assert [(row["version"], row["aliases"]) for row in listed if row["name"] == "news"] == [
        (1, ["champion"]),
        (2, ["challenger"]),
    ]
    assert "news@2" in run("registry", "list", "news").output


@pytest.mark.usefixtures("typed")
def test_a_claim_on_the_champions_embeddings_is_measured(tmp_path, tables):
    first = tiny_bundle(tmp_path / "a", 1)
    digest = json.loads((first / "model.json").read_text())["files"]["model.onnx"]
    run("registry", "add", first, "--name", "head")
    run("registry", "add", tiny_bundle(tmp_path / "b", 2, embedding_of=digest), "--name", "head")
    assert run("promote", "head@1", "--guard", tables["first"]).exit_code == 0
    same, other = np.ones((3, 4), np.float32), np.zeros((3, 4), np.float32)
    np.save(tmp_path / "same.npy", same)
    np.save(tmp_path / "other.npy", other)
    asked = ("promote", "head@2", "--guard", tables["old"])
    assert run(*asked).exit_code == 4
    assert run(*asked, "--embeddings", tmp_path / "same.npy", tmp_path / "other.npy").exit_code == 4
    assert run(*asked, "--embeddings", tmp_path / "same.npy", tmp_path / "none.npy").exit_code == 2
    assert run(*asked, "--embeddings", tmp_path / "same.npy", tmp_path / "same.npy").exit_code == 0


@pytest.mark.usefixtures("typed")
def test_what_cannot_be_done_is_said_in_one_line(tmp_path, tables):
    run("registry", "add", tiny_bundle(tmp_path / "a", 1), "--name", "lines")
    for words in (
        ("promote", "lines@9", "--guard", tables["first"]),
        ("promote", "lines@1", "--guard", tmp_path / "none.csv"),
        ("registry", "show", "lines@champion"),
        ("registry", "add", tmp_path / "a", "--name", "lines", "--about", "x"),
        ("registry", "add", tmp_path / "nothing", "--name", "lines"),
        ("registry", "depend", "lines", "known.db"),
        ("rollback", "lines"),
        ("registry", "list", "--registry", tmp_path / "nowhere"),
    ):
        done = run(*words)
        assert done.exit_code == 2, words
        assert done.stderr.startswith("earwitness: "), words
        assert len(done.stderr.splitlines()) == 1, done.stderr
    assert run("promote", "lines@1").exit_code == 2  # a guard set is needed
