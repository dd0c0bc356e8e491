"""`earwitness corpus` as a user runs it."""

import json
import sys

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from earwitness.audio.corpora import CORPORA
from earwitness.cli.corpus import corpus_app


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs a command in an empty folder."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return lambda *arguments: CliRunner().invoke(corpus_app, [str(one) for one in arguments])


@pytest.fixture
def mine(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("train/real/a.wav", "test/real/b.flac", "train/fake/vits/c.mp3"):
        path = tmp_path / "mine" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, rng.normal(0, 0.1, 32_000), 16_000)
    return tmp_path / "mine"


def test_list(run):
    done = run("list", "--json")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["name"] for row in rows] == list(CORPORA)
    assert all(row["dataset"] and row["licence"] and row["source"] for row in rows)
    text = run("list").stdout
    assert all(row["source"] in text for row in rows)


def test_prepare_check_stats(run, mine, tmp_path):
    done = run("prepare", "folder", mine)
    assert (done.exit_code, done.stdout) == (0, "folder.csv: 3 rows, 0.00 h real, 0.00 h fake\n")
    done = run("check", "folder.csv", "--decode")
    assert done.exit_code == 0, done.stdout
    assert "0 kinds of errors" in done.stdout
    done = run("stats", "folder.csv", "--plot", "plot.svg", "--probe", "0")
    assert done.exit_code == 0
    assert "vits" in done.stdout
    assert {path.name for path in (tmp_path / "here").iterdir()} == {
        "folder.csv",
        "folder.json",
        ".folder.probes.jsonl",
        "plot.svg",
    }


def test_prepare_in_segments(run, mine, tmp_path):
    done = run("prepare", "folder", mine, "--segment", "0.5", "--json")
    assert done.exit_code == 0, done.stderr
    about = json.loads(done.stdout)
    assert (about["rows"], about["segment_s"]) == (12, 0.5)
    assert (tmp_path / "here" / "folder-0.5s.csv").is_file()
    assert run("check", "folder-0.5s.csv").exit_code == 0


def test_what_is_left_out_is_exit_1(run, mine):
    (mine / "train" / "real" / "bad.wav").write_text("no audio")
    done = run("prepare", "folder", mine, "--out", "out.csv")
    assert done.exit_code == 1
    assert "3 rows" in done.stdout
    assert "left out: 1; out.left-out.csv says why" in done.stderr


def test_errors_are_exit_1_and_json_is_one_object(run, mine):
    (mine / "test" / "real" / "copy.wav").write_bytes((mine / "train" / "real" / "a.wav").read_bytes())
    run("prepare", "folder", mine)
    done = run("check", "folder.csv", "--json")
    assert done.exit_code == 1
    assert [one["kind"] for one in json.loads(done.stdout)["findings"]] == ["leak-bytes"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["prepare", "nonsense", "."], "no corpus is called 'nonsense'"),
        (["prepare", "folder", "none"], "no such file or folder"),
        (["prepare", "asvspoof5", "."], "expected"),
        (["check", "none.csv"], "none.csv: no such protocol"),
        (["stats", "none.csv"], "none.csv: no such protocol"),
        (["stats", "none.csv", "--by", "rates"], "perhaps rate"),
    ],
)
def test_wrong_usage_is_exit_2_in_one_line(run, arguments, says):
    done = run(*arguments)
    assert done.exit_code == 2
    assert says in done.stderr
    assert done.stderr.count("\n") == 1


def test_names_do_not_drive_the_terminal(run, tmp_path):
    done = run("check", tmp_path / "\x1b[2J.csv")
    assert "\x1b" not in done.stderr
    assert "\\x1b[2J.csv" in done.stderr


def test_segments_without_the_extra(run, mine, monkeypatch):
    monkeypatch.setitem(sys.modules, "soundfile", None)
    done = run("prepare", "folder", mine, "--segment", "4")
    assert done.exit_code == 2
    assert "pip install 'earwitness[train]'" in done.stderr


@pytest.mark.parametrize("command", ["list", "prepare", "check", "stats"])
def test_help_has_examples(run, command):
    text = run(command, "--help").stdout
    assert f"earwitness corpus {command}" in text
    assert "Examples:" in text
