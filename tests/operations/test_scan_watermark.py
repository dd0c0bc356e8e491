"""`scan --watermark`: found, named, told; verdict and score stay, and journals do not mix."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import watermark_folder
from typer.testing import CliRunner

import earwitness
from earwitness.audio.io import load
from earwitness.cli import app
from earwitness.evidence.verdict import to_record
from earwitness.evidence.watermark import embed
from earwitness.evidence.watermark_bundle import open_scheme

pytest.importorskip("onnx")
SAMPLE = Path(__file__).parents[2] / "samples" / "genuine-vctk.mp3"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("scheme")
    watermark_folder.make(place)
    return place


@pytest.fixture(scope="module")
def marked(folder, tmp_path_factory):
    """A genuine recording that somebody marked as beta's."""
    scheme = open_scheme(folder)
    audio = embed(scheme, load(SAMPLE), 16_000, scheme.messages[scheme.names.index("beta")], 8.0)
    path = tmp_path_factory.mktemp("audio") / "framed.wav"
    soundfile.write(path, audio, 16_000, subtype="FLOAT")
    return path


def test_a_marked_genuine_recording_stays_what_it_is_and_says_who_marked_it(folder, marked):
    plain = earwitness.scan(marked)
    verdict = earwitness.scan(marked, watermark=folder)
    assert (verdict.verdict, verdict.llr, verdict.rule) == (plain.verdict, plain.llr, plain.rule)
    record = to_record(verdict)
    assert record["watermark"]["marked"]
    assert record["watermark"]["name"] == "beta"
    assert record["attribution"]["basis"] == "watermark"
    assert record["attribution"]["label"] == "beta"
    assert "watermark" not in to_record(plain)
    json.dumps(record)


def test_an_unmarked_recording_names_nobody(folder):
    record = to_record(earwitness.scan(SAMPLE, watermark=folder))
    assert not record["watermark"]["marked"]
    assert (record["attribution"]["label"], record["attribution"]["basis"]) == (None, "unknown")


def test_a_long_recording_is_read_as_it_is_decoded(folder, marked, tmp_path):
    audio = load(marked)
    long = np.tile(audio[: len(audio) // 320 * 320], 12)  # whole periods of the mark
    soundfile.write(tmp_path / "long.wav", long, 16_000, subtype="FLOAT")
    record = to_record(earwitness.scan(tmp_path / "long.wav", watermark=folder))
    assert record["watermark"]["name"] == "beta"
    assert record["watermark"]["spans"][-1]["end_s"] > 55


def test_the_table_says_it_and_a_journal_belongs_to_one_watermark(folder, marked, tmp_path):
    journal = str(tmp_path / "scan.journal")
    arguments = ["scan", str(marked), "--resume", journal]
    done = CliRunner().invoke(app, [*arguments, "--watermark", str(folder)])
    assert done.exit_code == 0
    assert "marked by tiny, says beta" in done.output
    assert "which says nothing of whether it is fake" in done.output
    refused = CliRunner().invoke(app, arguments)
    assert refused.exit_code == 2


def test_an_absent_watermark_is_refused_before_the_first_file(tmp_path):
    done = CliRunner().invoke(app, ["scan", str(SAMPLE), "--watermark", str(tmp_path)])
    assert done.exit_code == 2
    assert "watermark.json" in done.output
