"""`earwitness select` as a user runs it."""

import json

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from earwitness.cli.select import SELECT_HELP, select
from earwitness.operations.samples import Samples, read_samples, write_samples
from earwitness.operations.selection import STRATEGIES

app = typer.Typer(rich_markup_mode=None)
app.command(epilog=SELECT_HELP)(select)


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs the command in a folder with a pool of 40."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    columns = {
        "source": [f"page{i % 8}" for i in range(40)],
        "path": [f"audio/{i}.wav" for i in range(40)],
        "duration_s": ["30"] * 40,
    }
    vectors = rng.normal(size=(40, 4)).astype(np.float32)
    write_samples(
        tmp_path / "pool.csv", Samples([f"i{i}" for i in range(40)], rng.normal(size=40), vectors, columns)
    )
    return lambda *arguments: CliRunner().invoke(app, [str(one) for one in arguments])


def answer(path, labels):
    """Type labels into a task."""
    head, *rows = path.read_text("utf-8-sig").splitlines()
    at = head.split(",").index("label")
    cells = [row.split(",") for row in rows]
    for row, label in zip(cells, labels, strict=False):
        row[at] = label
    path.write_text("\n".join([head, *(",".join(row) for row in cells)]) + "\n")
    return [row[0] for row in cells]


def test_there_and_back(run, tmp_path):
    done = run("pool.csv", "--out", "task.csv", "--items", "10", "--per-source", "0.2", "--balance")
    assert done.exit_code == 0, done.output
    words = " ".join(done.stdout.split())
    assert "chosen 10 of 40" in words
    assert "called fake 5 called genuine 5" in words
    assert "minutes 5.0" in words
    assert "other sources" in words
    assert "earwitness select pool.csv --answers task.csv --out LABELLED.csv" in words
    ids = answer(tmp_path / "task.csv", ["fake", "real", "real", "unusable"])
    done = run("pool.csv", "--answers", "task.csv", "--out", "labelled.csv")
    assert (done.exit_code, done.stdout) == (0, "2 real, 1 fake, 1 unusable: labelled.csv\n")
    labelled = read_samples(tmp_path / "labelled.csv")
    assert dict(zip(labelled.ids, labelled.labels.tolist(), strict=True)) == dict(
        zip(ids[:4], [0, 1, 1, -1], strict=True)
    )
    done = run("pool.csv", "--out", "next.csv", "--items", "40", "--labelled", "labelled.csv", "--json")
    assert json.loads(done.stdout)["chosen"] == 36
    assert not set(ids[:4]) & set(answer(tmp_path / "next.csv", []))


def test_json(run, tmp_path):
    done = run("pool.csv", "--out", "task.json", "--minutes", "3", "--strategy", "removal", "--json")
    about = json.loads(done.stdout)
    assert done.exit_code == 0
    assert (about["chosen"], about["minutes"], about["dropped"], about["pool"]) == (6, 3.0, 6, 40)
    assert about["called_fake"] + about["called_genuine"] == sum(about["sources"].values()) == 6
    assert len(json.loads((tmp_path / "task.json").read_text())) == 6
    assert (tmp_path / "task.xml").is_file()
    done = run("pool.csv", "--out", "other.json", "--items", "3")
    assert "select pool.csv --answers EXPORT.json --out" in done.stdout


def test_what_could_not_be_used_is_exit_1(run, tmp_path):
    (tmp_path / "a.csv").write_text("id,label\ni1,fake\ni1,real\ni2,real\nstranger\x1b,real\n")
    done = run("pool.csv", "--answers", "a.csv", "--out", "labelled.csv", "--json")
    assert done.exit_code == 1
    assert json.loads(done.stdout) == {
        "real": 1,
        "fake": 0,
        "unusable": 0,
        "contrary": ["i1"],
        "unknown": ["stranger\x1b"],
        "labelled": "labelled.csv",
    }
    assert "contrary answers: i1" in done.stderr
    assert r"not in the pool: stranger\x1b" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["--out", "task.csv"],
        ["--out", "task.txt", "--items", "5"],
        ["--out", "task.csv", "--items", "5", "--strategy", "magic"],
        ["--out", "labelled.csv", "--answers", "nothing.csv"],
        ["--out", "pool.csv", "--answers", "good.csv"],
        ["--out", "pool.npy", "--answers", "good.csv"],
        ["--out", "labelled.csv", "--answers", "strange.csv"],
    ],
)
def test_wrong_usage_is_exit_2_and_writes_nothing(run, tmp_path, arguments):
    (tmp_path / "good.csv").write_text("id,label\ni1,fake\n")
    (tmp_path / "strange.csv").write_text("id,label\nstranger,fake\n")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    done = run("pool.csv", *arguments)
    assert done.exit_code == 2
    assert done.stderr.startswith("earwitness: ")
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_help_lists_every_strategy(run):
    text = " ".join(run("--help").stdout.split())
    assert all(f"{name} {what}" in text for name, what in STRATEGIES.items())
