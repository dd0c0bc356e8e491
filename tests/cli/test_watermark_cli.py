"""`earwitness watermark` as a user runs it, with a watermark of a few nodes."""

import json

import numpy as np
import pytest
import soundfile
import watermark_folder as folder_of
from typer.testing import CliRunner

from earwitness.cli import app


def run(*words):
    return CliRunner().invoke(app, ["watermark", *(str(word) for word in words)])


def lines(done):
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return folder_of.make(tmp_path_factory.mktemp("scheme") / "tiny")


@pytest.fixture
def source(tmp_path, speech):
    """Four seconds of speech, in stereo, louder on the left."""

    def write(name="a.wav", rate=16_000, **how):
        path = tmp_path / name
        mono = speech[16_000 : 16_000 + 4 * rate]
        soundfile.write(path, np.stack([mono, 0.5 * mono], axis=1), rate, **how)
        return path

    return write


@pytest.mark.parametrize(
    ("name", "out", "how", "subtype"),
    [
        ("a.wav", "b.wav", {"subtype": "PCM_16"}, "PCM_16"),
        ("a.wav", "b.flac", {"subtype": "PCM_24"}, "PCM_24"),
        ("a.wav", "b.wav", {"subtype": "FLOAT"}, "FLOAT"),
        ("a.flac", "b.wav", {"subtype": "PCM_16", "rate": 22_050}, "PCM_16"),
    ],
)
def test_a_copy_is_marked_and_else_as_it_was(source, tmp_path, tiny, name, out, how, subtype):
    path = source(name, **how)
    before = path.read_bytes()
    done = run("embed", path, "--as", "beta", "--scheme", tiny, "--strength", 4, "--out", tmp_path / out)
    assert done.exit_code == 0, done.output
    was, found = soundfile.info(path), soundfile.info(tmp_path / out)
    assert (found.samplerate, found.channels, found.frames) == (was.samplerate, 2, was.frames)
    assert found.subtype == subtype
    assert path.read_bytes() == before
    (record,) = lines(run("detect", tmp_path / out, "--scheme", tiny, "--json"))
    assert (record["marked"], record["named"]["name"], record["result"]) == (True, "beta", "marked")
    assert record["spans"]
    assert record["chance"] <= 0.01
    (clean,) = lines(run("detect", path, "--scheme", tiny, "--json"))
    assert (clean["marked"], clean["named"], clean["bits"], clean["spans"]) == (False, None, None, [])
    assert clean["chance"] > 0.01
    assert "not that it is fake" in clean["note"]
    assert clean["scheme"]["name"] == "tiny"


def test_no_strength_is_the_same_sound(source, tmp_path, tiny):
    path = source(subtype="PCM_24")
    done = run("embed", path, "--as", "beta", "--scheme", tiny, "--strength", 0, "--out", tmp_path / "b.wav")
    assert done.exit_code == 0
    one, other = (soundfile.read(file, dtype="int32")[0] for file in (path, tmp_path / "b.wav"))
    np.testing.assert_array_equal(one, other)


def test_a_bad_file_stops_nobody(source, tmp_path, tiny):
    good, cut = source(), source("cut.wav")
    bad = tmp_path / "bad.wav"
    bad.write_bytes(b"no audio at all")
    cut.write_bytes(cut.read_bytes()[:100_000])
    files = [bad, good, cut, tmp_path / "none.wav"]
    done = run("embed", *files, "--as", "alpha", "--scheme", tiny, "--out", tmp_path / "out", "--json")
    assert done.exit_code == 1
    codes = [record["error"] and record["error"]["code"] for record in lines(done)]
    assert codes == ["not-audio", None, "truncated", "not-found"]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.wav"]
    done = run("detect", *files, "--scheme", tiny, "--json")
    assert done.exit_code == 1
    found = lines(done)
    assert [record["result"] for record in found] == ["error", "none found", "none found", "error"]
    assert any("cut off" in warning for warning in found[2]["warnings"])


def test_nothing_is_written_over_unasked(source, tmp_path, tiny):
    path = source()
    words = ["--scheme", tiny, "--as", "alpha"]
    assert run("embed", path, *words, "--out", path, "--force").exit_code == 2
    assert run("embed", path, *words, "--out", tmp_path, "--force").exit_code == 2  # a.wav in its own folder
    (tmp_path / "link.wav").hardlink_to(path)
    assert run("embed", path, *words, "--out", tmp_path / "link.wav", "--force").exit_code == 2
    assert run("embed", path, *words, "--out", tmp_path / "b.wav").exit_code == 0
    once = (tmp_path / "b.wav").read_bytes()
    done = run("embed", path, *words[:3], "gamma", "--out", tmp_path / "b.wav")
    assert done.exit_code == 1
    assert "--force" in done.stdout
    assert (tmp_path / "b.wav").read_bytes() == once
    done = run("embed", path, *words[:3], "gamma", "--out", tmp_path / "b.wav", "--force")
    assert done.exit_code == 0
    assert (tmp_path / "b.wav").read_bytes() != once


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--as", "delta"], "can name alpha, beta, gamma"),
        ([], "can name"),
        (["--as", "beta", "--strength", "11"], "strength"),
        (["--as", "beta", "--out", "one.wav"], "name a folder"),
        (["--as", "beta", "--scheme", "nowhere"], "no such watermark"),
    ],
)
def test_wrong_usage_is_one_line_and_nothing_written(source, tmp_path, tiny, words, why):
    files = [source("a.wav"), source("b.wav")]
    done = run("embed", *files, "--scheme", tiny, "--out", tmp_path / "out", *words)
    assert done.exit_code == 2
    assert why in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_people_read_what_a_mark_means(source, tmp_path, tiny):
    path = source()
    assert (
        run(
            "embed", path, "--as", "beta", "--scheme", tiny, "--strength", 4, "--out", tmp_path / "b.wav"
        ).exit_code
        == 0
    )
    done = run("detect", path, tmp_path / "b.wav", "--scheme", tiny)
    assert done.exit_code == 0
    words = " ".join(done.stdout.split())
    assert "2 files: 1 marked, 1 none found" in words
    assert "not that it is fake" in words
    assert "says nothing" in words
    assert "beta" in words


def test_bits_are_shown(source, tmp_path):
    scheme = folder_of.make(
        tmp_path / "bits", "audioseal", presence={"threshold": -9.0, "tail": 1.0, "false_alarm": 0.5}
    )
    path = source()
    done = run(
        "embed", path, "--as", "gamma", "--scheme", scheme, "--strength", 6, "--out", tmp_path / "b.wav"
    )
    assert done.exit_code == 0, done.output
    (record,) = lines(run("detect", tmp_path / "b.wav", "--scheme", scheme, "--json"))
    assert record["bits"] == "1110"
    assert record["named"]["valid"]


def test_the_list_says_what_each_needs():
    offers = {offer["name"]: offer for offer in lines(run("list", "--json"))}
    assert {"perth", "audioseal"} <= set(offers)
    assert all(offer["at_hand"] or offer["needs"] or offer["note"] for offer in offers.values())
    assert "watermark.json" in run("list").stdout


def test_help_shows_examples():
    for words in (["embed"], ["detect"]):
        assert "Examples:" in run(*words, "--help").stdout
