"""`earwitness plan` as a user runs it."""

import json
import subprocess
import sys

import pytest
import typer
from typer.testing import CliRunner

from earwitness.cli.plan import PLAN_HELP, plan

app = typer.Typer(rich_markup_mode=None)
app.command(epilog=PLAN_HELP)(plan)


def run(*arguments):
    return CliRunner().invoke(app, [str(one) for one in arguments])


def test_scoring_as_a_table():
    done = run("--hours", "1e6", "--front-end", "mms-300m")
    assert done.exit_code == 0, done.output
    words = " ".join(done.stdout.split())
    assert "scoring with mms-300m" in words
    assert "within 24 h" in words
    assert "1,000,000 h 10,000,000 h" in words
    for row in (
        "machines",
        "core-hours",
        "audio, TB",
        "storage of a month, USD",
        "bottleneck scoring scoring",
    ):
        assert row in words
    assert "measured" in words
    assert "prices are examples" in words
    assert "estimated" not in words


def test_what_is_estimated_says_so():
    for arguments in (["--hours", "10", "--front-end", "xls-r-2b"], ["--hours", "10", "--device", "gpu"]):
        words = " ".join(run(*arguments).stdout.split())
        assert "estimated: nobody measured it" in words


def test_json_and_prices_and_time():
    def plans(*more):
        done = run("--hours", "1e6", "--json", *more)
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)["plans"]

    one, ten = plans("--within", "2d")
    assert ten["hours"] == 10 * one["hours"] == 1e7
    assert one["wall_h"] <= 48
    assert ten["unit_hours"] == pytest.approx(10 * one["unit_hours"])
    dear, _ = plans("--within", "2d", "--core-hour", "0.08")
    assert dear["money"] == pytest.approx(2 * one["money"])
    assert {"kind", "source", "value"} <= set(one["rate"])


def test_training():
    done = run("--train", "74000", "--front-end", "xls-r-2b", "--shard", "--recompute")
    words = " ".join(done.stdout.split())
    assert done.exit_code == 0, done.output
    assert "post-training of xls-r-2b" in words
    assert "state on a GPU, sharded, GB 4.3 4.3" in words
    assert "ten times as long" in words
    found = json.loads(run("--train", "74000", "--json").stdout)
    assert (found["job"]["model"], found["training"], found["job"]["within_h"]) == ("mms-300m", True, None)


def test_a_bottleneck_that_moves_is_named():
    done = run("--hours", "1e6", "--front-end", "mms-300m", "--codec", "wav", "--store-gbit", "50")
    words = " ".join(done.stdout.split())
    assert "the bottleneck moves from scoring to reading (storage)" in words


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--hours or --train"),
        (["--hours", "1", "--train", "1"], "--hours or --train"),
        (["--hours", "0"], "--hours: between"),
        (["--hours", "nan"], "--hours: between"),
        (["--hours", "1", "--within", "soon"], "--within 'soon'"),
        (["--hours", "1", "--front-end", "magic"], "--front-end 'magic'"),
        (["--hours", "1", "--model", "magic"], "magic"),
        (["--hours", "1", "--bench", "none\x1b.json"], r"none\x1b.json"),
        (["--hours", "1", "--precision", "fp8"], "fp8"),
    ],
)
def test_wrong_usage_is_exit_2_in_one_line(arguments, message):
    done = run(*arguments)
    assert done.exit_code == 2
    assert done.stderr.startswith("earwitness: ")
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_the_command_is_there():
    done = subprocess.run(
        [sys.executable, "-m", "earwitness.cli", "plan", "--hours", "5"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "scoring with embedded" in done.stdout
