"""`earwitness report`: what it writes, refuses and finds altered."""

import json
import os
import subprocess
import sys

import pytest
from typer import Typer
from typer.testing import CliRunner

from earwitness import ScanOptions, scan, scan_many, to_record
from earwitness.cli.report import report as command
from earwitness.decision.bundle import EMBEDDED, read_card
from earwitness.errors import InputError
from earwitness.evidence.report_html import check
from earwitness.operations import report as reports
from earwitness.operations.report import default_out, html, make, recorded, to_json

app = Typer()
app.command()(command)


def run(*arguments):
    return CliRunner().invoke(app, [str(one) for one in arguments])


@pytest.fixture(scope="module")
def sample(samples):
    return samples / "generated-clam-tts.m4a"


@pytest.fixture(scope="module")
def record(sample):
    return json.loads(json.dumps(to_record(scan(sample, timeline=True))))


@pytest.fixture(scope="module")
def card():
    return read_card(EMBEDDED)


@pytest.fixture
def verdicts(record, tmp_path):
    path = tmp_path / "verdicts.jsonl"
    path.write_text(json.dumps({**record, "sha256": "0" * 64}) + "\n\n" + json.dumps(record) + "\n")
    return path


CODE = """
import json, sys
from pathlib import Path
from earwitness.operations.report import html, make, pdf, to_json
from earwitness.decision.bundle import EMBEDDED, read_card
record = json.loads(Path(sys.argv[2]).read_text().splitlines()[-1])
report = make(Path(sys.argv[1]), record, read_card(EMBEDDED))
out = Path(sys.argv[3])
(out / "a.html").write_text(html(report)); (out / "a.json").write_text(json.dumps(to_json(report)))
(out / "a.pdf").write_bytes(pdf(report))
"""


def test_two_processes_write_the_same_bytes(sample, verdicts, tmp_path):
    pytest.importorskip("reportlab")
    found = []
    for seed in ("1", "2"):
        folder = tmp_path / seed
        folder.mkdir()
        environment = {**os.environ, "PYTHONHASHSEED": seed, "TZ": f"UTC{seed}"}
        command = [sys.executable, "-c", CODE, sample, verdicts, folder]
        done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        found.append({file.name: file.read_bytes() for file in folder.iterdir()})
    assert set(found[0]) == {"a.html", "a.json", "a.pdf"}
    assert found[0] == found[1]


def test_the_command_scans_writes_and_checks(sample, record, card, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = run(sample)
    assert done.exit_code == 0, done.output
    page = (tmp_path / "generated-clam-tts-report.html").read_text()
    assert page == html(make(sample, record, card))
    assert done.output.splitlines()[0] == "fake: The speech sounds synthetic."
    digest = done.output.split("digest: ")[1].strip()
    assert digest in page
    checked = run("--check", "generated-clam-tts-report.html")
    assert checked.exit_code == 0
    assert digest in checked.output
    (tmp_path / "b.html").write_text(page.replace("sounds synthetic", "sounds human"))
    assert run("--check", "b.html").exit_code == 1
    assert "NOT as it was made" in run("--check", "b.html").output


def test_a_record_stands_in_for_a_scan(sample, record, card, verdicts, tmp_path):
    outs = [tmp_path / "a.json", tmp_path / "a.HTML"]
    done = run(sample, "--verdict", verdicts, "--out", outs[0], "--out", outs[1])
    assert done.exit_code == 0, done.output
    assert json.loads(outs[0].read_text()) == json.loads(json.dumps(to_json(make(sample, record, card))))
    assert run("--check", outs[0]).exit_code == 0
    assert run("--check", outs[1]).exit_code == 0


def test_facts_of_the_file_are_told(sample, record, card):
    rows = {row[0]: row[1] for row in make(sample, record, card).sections[0].blocks[0].rows}  # type: ignore[union-attr]
    assert rows["name"] == sample.name
    assert rows["SHA-256"] == record["sha256"]
    assert rows["size"] == f"{sample.stat().st_size:,} bytes"
    assert rows["container, codec"].endswith("m4a, 3gp, 3g2, mj2, aac") or rows["container, codec"].endswith(
        "aac"
    )
    assert rows["sound"] == "16,000 Hz, 1 channel"


def test_a_file_without_audio_gets_its_report_and_code_1(tmp_path):
    (tmp_path / "a.wav").write_text("no audio at all")
    done = run(tmp_path / "a.wav", "--out", tmp_path / "a.json", "--out", tmp_path / "a.html")
    assert done.exit_code == 1, done.output
    found = json.loads((tmp_path / "a.json").read_text())
    assert (found["verdict"], found["pictures"]) == ("error", [])
    assert "There are no pictures" in (tmp_path / "a.html").read_text()


def test_there_is_no_report_on_what_is_no_file(tmp_path):
    (tmp_path / "folder.wav").mkdir()
    for name in ("gone.wav", "folder.wav"):
        done = run(tmp_path / name, "--out", tmp_path / "b.json")
        assert done.exit_code == 2
        assert name in done.output
    assert not (tmp_path / "b.json").exists()


def test_without_the_recording_there_are_no_pictures(record, card):
    found = make(None, record, card)
    assert found.pictures == ()
    assert "not at hand" in html(found)
    assert check(html(found), reports.__version__).wrong == ()


def test_the_card_of_another_model_is_not_told(record, card):
    other = {**card, "files": {"model.onnx": "0" * 64}}
    assert make(None, record, other) == make(None, record, None)
    assert make(None, record, card) != make(None, record, None)


def test_another_recording_is_refused(samples, record, card, verdicts):
    with pytest.raises(InputError) as caught:
        make(samples / "pink-noise.flac", record, card)
    assert caught.value.code == "other-file"
    with pytest.raises(InputError) as caught:
        recorded(verdicts, samples / "pink-noise.flac")
    assert caught.value.code == "other-file"


def test_the_default_name_is_of_the_file_and_fits(tmp_path):
    assert str(default_out(tmp_path / "call.m4a")) == "call-report.html"
    assert len(os.fsencode(default_out(tmp_path / ("長" * 80 + ".m4a")))) < 255


def test_nothing_is_written_over(sample, verdicts, tmp_path):
    out = tmp_path / "a.html"
    out.write_text("mine")
    done = run(sample, "--verdict", verdicts, "--out", out)
    assert done.exit_code == 2
    assert "is there already" in done.output
    assert out.read_text() == "mine"
    assert run(sample, "--verdict", verdicts, "--out", out, "--force").exit_code == 0
    assert out.read_text() != "mine"


def test_the_recording_is_never_written_over(tmp_path, sample):
    recording = tmp_path / "a.html"  # its name lies
    recording.write_bytes(sample.read_bytes())
    assert run(recording, "--out", recording, "--force").exit_code == 2
    assert recording.read_bytes() == sample.read_bytes()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "name one recording"),
        (["{file}", "--check", "a.html"], "name one recording"),
        (["--check", "a.html", "--force"], "nothing else"),
        (["{file}", "--out", "a.doc"], "must end in"),
        (["{file}", "--out", "a.pdf", "--out", "./a.pdf"], "already read or written"),
        (["{file}", "--out", "gone/a.pdf"], "no folder"),
        (["{file}", "--prior", "1"], "--prior"),
        (["{file}", "--verdict", "v.jsonl", "--prior", "0.1"], "leave out --prior"),
        (["{file}", "--verdict", "v.jsonl"], "no such file"),
        (["{file}", "--model", "gone"], "gone"),
        (["--check", "{file}"], "no report"),
        (["--check", "gone.html"], "no such file"),
    ],
)
def test_wrong_usage_is_one_line_and_code_2(arguments, said, sample, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = run(*(one.format(file=sample) for one in arguments))
    assert done.exit_code == 2
    assert said in done.output
    assert done.output.startswith("earwitness: ")
    assert done.output.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_record_of_another_model_is_refused_with_a_model_and_told_without(sample, record, tmp_path):
    other = {**record, "model": {**record["model"], "name": "gone", "digest": "1" * 64}}
    (tmp_path / "v.jsonl").write_text(json.dumps(other))
    done = run(sample, "--verdict", tmp_path / "v.jsonl", "--out", tmp_path / "a.json")
    assert done.exit_code == 0, done.output
    assert "card is not at hand" in (tmp_path / "a.json").read_text()
    done = run(sample, "--verdict", tmp_path / "v.jsonl", "--model", "embedded", "--out", tmp_path / "b.json")
    assert done.exit_code == 2
    assert "is not the model of the record" in done.output


def test_records_that_cannot_be_read_are_refused(sample, tmp_path, record):
    for text in ("nonsense", json.dumps({**record, "prior": 2}), json.dumps(record)[:-5]):
        (tmp_path / "v.jsonl").write_text(text)
        done = run(sample, "--verdict", tmp_path / "v.jsonl", "--out", tmp_path / "a.json")
        assert done.exit_code == 2
        assert not (tmp_path / "a.json").exists()


def test_a_pdf_cannot_be_checked_and_says_how(tmp_path):
    (tmp_path / "a.pdf").write_bytes(b"%PDF-1.4")
    done = run("--check", tmp_path / "a.pdf")
    assert done.exit_code == 2
    assert "compare digests" in done.output


def test_reports_of_samples_hold(samples, card):
    named = [samples / "pink-noise.flac", samples / "genuine-vctk.mp3"]
    for verdict in scan_many(named, options=ScanOptions(timeline=True)):
        record = to_record(verdict)
        found = make(samples / verdict.path.rsplit("/", 1)[-1], record, card)
        assert found.verdict == verdict.verdict
        assert check(html(found), reports.__version__).wrong == ()
