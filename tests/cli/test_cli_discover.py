"""`earwitness discover` as commands: look, show, label into a knowledge base, dismiss."""

import json

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from earwitness.cli.discover import discover_app
from earwitness.evidence.knowledge import Knowledge
from earwitness.operations.samples import Samples, write_samples

pytest.importorskip("sklearn")

app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False)
app.add_typer(discover_app, name="discover")
NEW = ("generated-tortoise.flac", "generated-clam-tts.m4a")


def run(*words):
    return CliRunner().invoke(app, ["discover", *map(str, words)])


def around(centre, count, rng):
    return (np.eye(12)[centre] + 0.1 * rng.normal(size=(count, 12))).astype(np.float32)


@pytest.fixture
def tables(tmp_path, samples):
    """Two known generators and a voice; ten recordings by a new one, of which two are there to be heard."""
    rng = np.random.default_rng(0)
    rows = np.concatenate([around(i, 12, rng) for i in range(3)])
    columns = {
        "label": ["fake"] * 24 + ["real"] * 12,
        "generator": ["a"] * 12 + ["b"] * 12 + ["-"] * 12,
        "source": [f"s{i % 4}" for i in range(36)],
    }
    write_samples(tmp_path / "dev.csv", Samples([f"k{i}" for i in range(36)], np.zeros(36), rows, columns))
    paths = [str(samples / name) for name in NEW] + [str(tmp_path), "/dev/zero", "none.wav"] + ["-"] * 5
    ids = ["\x1b[2Jevil", *(f"n{i}" for i in range(1, 10))]
    columns = {"path": paths, "source": ["page-1"] * 9 + ["page-2"]}
    write_samples(tmp_path / "in.csv", Samples(ids, np.linspace(-1, 1, 10), around(7, 10, rng), columns))
    return tmp_path


def look(folder, *more):
    return run("look", folder / "in.csv", "--known", folder / "dev.csv", "--state", folder / "p.json", *more)


def proposals(folder):
    return [
        json.loads(line)
        for line in run("show", "--state", folder / "p.json", "--json").stdout.split("\n")
        if line
    ]


@pytest.mark.parametrize("command", ["look", "show", "label", "dismiss"])
def test_help_has_examples(command):
    assert f"earwitness discover {command}" in run(command, "--help").stdout


def test_look_shows_a_table_with_examples_and_a_warning(tables):
    done = look(tables)
    assert done.exit_code == 0, done.output
    assert "1 cluster that nothing known explains, 1 to listen to now" in done.stdout
    (found,) = proposals(tables)
    paths = {member["id"]: member["path"] for member in found["members"]}
    shown = done.stdout.split("listen to\n")[1].splitlines()[:5]
    assert [line.strip() for line in shown] == [
        key.replace("\x1b", "\\x1b") if paths[key] == "-" else paths[key] for key in found["examples"]
    ]
    assert "90% come from page-1" in done.stdout
    assert "50% (24% to 76%)" in done.stdout
    assert "\x1b" not in done.stdout
    assert "0 to listen to now" in look(tables).stdout


def test_json_is_a_line_a_proposal(tables):
    (found,) = [json.loads(line) for line in look(tables, "--json").stdout.splitlines()]
    assert found["announced"]
    assert len(found["members"]) == 10
    assert found["near"][0][0] in ("a", "b")


def test_show_has_every_recording(tables):
    look(tables)
    done = run("show", proposals(tables)[0]["id"], "--state", tables / "p.json")
    assert done.exit_code == 0
    assert all(f"n{i}" in done.stdout for i in range(1, 10))
    assert "\\x1b[2Jevil" in done.stdout
    assert run("show", "g-none", "--state", tables / "p.json").exit_code == 2


def test_label_adds_what_is_there_to_the_base_and_folders_are_not_walked(tables):
    look(tables)
    key = proposals(tables)[0]["id"]
    base = tables / "known.db"
    words = (
        "label",
        key,
        "--name",
        "newvoice-2",
        "--label",
        "fake",
        "--state",
        tables / "p.json",
        "--base",
        base,
    )
    done = run(*words)
    assert done.exit_code == 1  # eight have no file
    assert "8 of 10 recordings name no file" in done.stderr
    with Knowledge.open(base) as found:
        entries = found.entries()
        assert {(entry.generator, entry.source, entry.bona_fide) for entry in entries} == {
            ("newvoice-2", "page-1", False)
        }
        assert len(entries) == 2
    assert (proposals(tables)[0]["status"], proposals(tables)[0]["name"]) == ("labelled", "newvoice-2")
    assert "0 to listen to now" in look(tables).stdout


def test_a_label_that_cannot_be_kept_leaves_the_proposal_open(tables):
    look(tables)
    key = proposals(tables)[0]["id"]
    words = ("label", key, "--name", "it", "--state", tables / "p.json", "--base", tables / "known.db")
    assert run(*words, "--label", "perhaps").exit_code == 2
    assert proposals(tables)[0]["status"] == "proposed"


def test_dismissed_stays_dismissed(tables):
    look(tables)
    key = proposals(tables)[0]["id"]
    done = run("dismiss", key, "--why", "our presenter", "--state", tables / "p.json")
    assert done.stdout == f"dismissed {key}\n"
    look(tables)
    (found,) = proposals(tables)
    assert (found["status"], found["why"]) == ("dismissed", "our presenter")


def test_bad_tables_are_told_in_a_line(tables):
    (tables / "dev.csv").write_text("nothing\n1\n")
    done = look(tables)
    assert done.exit_code == 2
    assert done.stderr.count("\n") == 1
    assert not (tables / "p.json").exists()
