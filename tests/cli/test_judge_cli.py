"""`earwitness evaluate`, `evaluate-spans` and `calibrate` as commands: flags, output, exit codes."""

import json
import shutil

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from earwitness.cli import judge
from earwitness.decision.bundle import EMBEDDED
from earwitness.metrics.scores import write_key, write_scores

pytest.importorskip("polars")

app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False)
app.command(epilog=judge.EVALUATE_HELP)(judge.evaluate)
app.command(epilog=judge.EVALUATE_SPANS_HELP)(judge.evaluate_spans)
app.command(epilog=judge.CALIBRATE_HELP)(judge.calibrate)


def run(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture
def files(tmp_path):
    rng = np.random.default_rng(0)
    bona_fide = np.arange(200) % 2 == 0
    ids = [f"t{i}" for i in range(200)]
    write_scores(tmp_path / "scores.tsv", ids, rng.normal(np.where(bona_fide, 1.0, -1.0), 1))
    write_key(tmp_path / "key.tsv", ids, bona_fide)
    return tmp_path / "scores.tsv", tmp_path / "key.tsv"


@pytest.mark.parametrize("command", ["evaluate", "evaluate-spans", "calibrate"])
def test_help_has_examples_and_exit_codes(command):
    text = run(command, "--help").output
    assert "Examples:" in text
    assert "Exit codes:" in text
    assert f"earwitness {command}" in text


def test_evaluate_prints_a_table_or_json(files):
    scores, key = files
    done = run("evaluate", scores, "--key", key, "--draws", 0)
    assert done.exit_code == 0
    assert "200 trials: 100 bona fide, 100 spoofed" in done.output
    assert "\x1b" not in done.output
    report = json.loads(run("evaluate", scores, "--key", key, "--draws", 400, "--json").output)
    assert report["intervals"]["draws"] == 400
    assert report["metrics"]["eer"]["low"] < report["metrics"]["eer"]["value"]


def test_every_flag_arrives(files, tmp_path):
    scores, key = files
    flags = ["--prior", 0.2, "--costs", 2, 3, "--threshold", 0.5, "--seed", 7, "--draws", 0, "--json"]
    outputs = ["--html", tmp_path / "o.html", "--csv", tmp_path / "o.csv"]
    report = json.loads(run("evaluate", scores, "--key", key, *flags, *outputs).output)
    assert report["costs"] == {"p_spoof": 0.2, "c_miss": 2, "c_fa": 3}
    assert (report["threshold"], report["intervals"]["seed"]) == (0.5, 7)
    assert (tmp_path / "o.html").exists()
    assert (tmp_path / "o.csv").exists()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--key", "absent.tsv"], "absent.tsv: no such file"),
        ([], "name its key with --key"),
        (["--key", "KEY", "--by", "codec"], "--by codec"),
        (["--key", "KEY", "--only", "split"], "COLUMN=TEXT"),
        (["--key", "KEY", "--prior", "2"], "p_spoof"),
        (["--key", "KEY", "--draws", "7"], "7 draws"),
    ],
)
def test_wrong_usage_is_one_line_and_2(files, words, expected):
    scores, key = files
    done = run("evaluate", scores, *(key if word == "KEY" else word for word in words))
    assert done.exit_code == 2
    assert expected in done.output
    assert len(done.output.strip().splitlines()) == 1


def test_names_cannot_drive_the_terminal(tmp_path):
    (tmp_path / "scores").write_text("\x1b[2J,a 1\n\x1b[2J,a 2\n")
    done = run("evaluate", tmp_path / "scores")
    assert done.exit_code == 2
    assert "\x1b" not in done.output


@pytest.fixture
def spans(tmp_path):
    """A scan of 20 recordings of 1 s, half of them fake for the first half, and their parts."""
    rows, parts = [], []
    for i in range(20):
        p_fake, fake = [0.2 + i / 100, 0.3], i % 2
        record = {"path": f"r{i}.wav", "verdict": "genuine", "llr": -i, "duration_s": 1.0}
        timeline = {"step_s": 0.5, "p_fake": p_fake}
        rows.append(record | {"thresholds": {"fake": 0.3}, "timeline": timeline, "spans": []})
        parts.append(f"SPEAKER r{i} 1 0.0 0.5 NA NA {'spoof' if fake else 'bonafide'} NA NA")
        parts.append(f"SPEAKER r{i} 1 0.5 0.5 NA NA bonafide NA NA")
    (tmp_path / "scan.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "parts.rttm").write_text("\n".join(parts))
    table = "".join(f"r{i},{'fake' if i % 2 else 'real'},s{i // 2}\n" for i in range(20))
    (tmp_path / "protocol.csv").write_text(f"ID,Label,Speaker\n{table}")
    return tmp_path / "scan.jsonl", "--reference", tmp_path / "parts.rttm"


def test_evaluate_spans_prints_a_table_or_json(spans, tmp_path):
    done = run("evaluate-spans", *spans, "--draws", 0)
    assert done.exit_code == 0
    assert "20 recordings: 10 genuine, 10 with fakes" in done.output
    flags = ["--protocol", tmp_path / "protocol.csv", "--groups", "speaker", "--threshold", 0.25]
    done = run("evaluate-spans", *spans, *flags, "--draws", 400, "--seed", 3, "--json")
    report = json.loads(done.output)
    assert report["threshold"] == 0.25
    assert (report["intervals"]["by"], report["intervals"]["seed"], report["intervals"]["draws"]) == (
        "speaker",
        3,
        400,
    )
    assert report["intervals"]["groups"]["all"] == 10


def test_evaluate_spans_refuses_in_one_line(spans):
    scan, _, parts = spans
    parts.write_text(parts.read_text().replace("SPEAKER r0 ", "SPEAKER \x1b[2J "))
    for words, expected in (
        ([*spans], "1 recordings have no line in the reference (r0.wav)"),
        ([scan, "--reference", scan], "line 1"),
        ([*spans, "--groups", "page"], "--protocol"),
        ([*spans, "--draws", 7, "--allow-missing"], "7 draws"),
    ):
        done = run("evaluate-spans", *words)
        assert done.exit_code == 2, done.output
        assert expected in done.output
        assert "\x1b" not in done.output
        assert len(done.output.strip().splitlines()) == 1
    assert run("evaluate-spans", *spans, "--allow-missing", "--draws", 0).exit_code == 0


def test_calibrate_tries_and_writes(files, tmp_path):
    scores, key = files
    folder = tmp_path / "mine"
    shutil.copytree(EMBEDDED, folder)
    before = (folder / "model.json").read_bytes()
    done = run("calibrate", folder, scores, "--key", key, "--dry-run")
    assert done.exit_code == 0
    assert "nothing was written" in done.output
    assert (folder / "model.json").read_bytes() == before
    done = run("calibrate", folder, scores, "--key", key, "--prior", 0.3, "--miss-rate", 0.05, "--json")
    said = json.loads(done.output)
    card = json.loads((folder / "model.json").read_text())
    assert card["calibration"]["clip"] == said["clip"]
    assert card["calibration"]["rates"] == {"miss": 0.05, "false_alarm": 0.1}
    assert card["calibration"]["prior"] == 0.3


def test_calibrate_refuses_in_one_line(files):
    for model in ("embedded", "no-such-model"):
        done = run("calibrate", model, files[0], "--key", files[1])
        assert done.exit_code == 2
        assert len(done.output.strip().splitlines()) == 1
