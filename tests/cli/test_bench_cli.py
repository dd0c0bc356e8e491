"""`earwitness bench` as a user runs it."""

import json
import subprocess
import sys

import pytest
import typer
from typer.testing import CliRunner

from earwitness.cli.bench import BENCH_HELP, bench
from earwitness.operations import bench as benching

app = typer.Typer(rich_markup_mode=None)
app.command(epilog=BENCH_HELP)(bench)


def run(*arguments):
    return CliRunner().invoke(app, [str(one) for one in arguments])


def test_start_is_measured_written_and_printed(tmp_path):
    out = tmp_path / "bench.json"
    line = [sys.executable, "-m", "earwitness.cli", "bench", "--quick", "--only", "start", "--out", str(out)]
    done = subprocess.run(line, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "one 5 s file, whole process" in done.stdout
    found = json.loads(out.read_text())
    start = found["start"]
    assert 0 < start["help_s"] < start["one_5_s_file_s"] <= start["slowest_s"]
    assert start["importing_s"] > 0
    assert found["quick"] is True
    assert {"name", "processor", "cores", "memory_gib", "versions"} <= set(found["machine"])
    assert str(tmp_path) not in out.read_text()


def test_json(monkeypatch):
    monkeypatch.setitem(benching.SECTIONS, "cores", lambda setup, found, step: found.update(cores=None))
    done = run("--only", "cores", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["quick"] is False


def test_an_interrupt_says_where_the_rest_is(monkeypatch, tmp_path):
    def stopped(setup, found, step):
        raise KeyboardInterrupt

    monkeypatch.setitem(benching.SECTIONS, "cores", stopped)
    done = run("--only", "cores", "--out", tmp_path / "b.json")
    assert done.exit_code == 130
    assert "what was measured is in" in done.stderr
    assert json.loads((tmp_path / "b.json").read_text())["model"] == "embedded"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--only", "speed"], "--only 'speed'"),
        (["--front-end", "magic"], "--front-end 'magic'"),
        (["--model", "magic"], "magic"),
        (["--out", "/nowhere/b.json"], "not a file that can be written"),
        (["--plot", "b\x1b.jpg"], r"b\x1b.jpg"),
    ],
)
def test_wrong_usage_is_exit_2_in_one_line(arguments, message):
    done = run(*arguments)
    assert done.exit_code == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
