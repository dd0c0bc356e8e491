"""`earwitness tracer` and `earwitness attribute` as a user runs them, on real recordings."""

import json
from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

from earwitness import scan_many
from earwitness.cli import app
from earwitness.evidence import attribution as tracing
from earwitness.operations.samples import Samples, write_samples

MADE = ("generated-clam-tts.m4a", "generated-tortoise.flac", "generated-thorsten-de.ogg")


def run(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


def lines(done):
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def heard(samples):
    """The middle embedding of each generated sample, and the model."""
    verdicts = list(scan_many([samples / name for name in MADE]))
    rows = {v.path.rsplit("/")[-1]: v.heard.embeddings.mean(0) for v in verdicts if v.heard is not None}
    return rows, verdicts[0].model


@pytest.fixture(scope="module")
def table(heard, tmp_path_factory):
    """What lies around each of the samples, as if on seven pages."""
    folder, rng, (rows, model) = tmp_path_factory.mktemp("table"), np.random.default_rng(0), heard
    names = np.repeat(MADE, 14)
    vectors = np.stack([rows[name] for name in names])
    vectors = vectors + 0.2 * rng.normal(size=vectors.shape) / np.sqrt(vectors.shape[1])
    columns = {
        "label": ["fake"] * len(names),
        "generator": [name.split("-")[1].split(".")[0] for name in names],
        "source": [f"page {i % 7}" for i in range(len(names))],
        "model": [model.digest] * len(names),
    }
    ids = [f"r{i}" for i in range(len(names))]
    write_samples(folder / "heard.csv", Samples(ids, np.zeros(len(names)), vectors, columns))
    return folder / "heard.csv"


@pytest.fixture(scope="module")
def tracer(table):
    out = table.with_name("t.npz")
    done = run("tracer", "learn", table, "--out", out)
    assert done.exit_code == 0, done.output
    return out


def test_learning_tells_how_good_it_is(table, tmp_path):
    done = run("tracer", "learn", table, "--out", tmp_path / "t.npz")
    assert done.exit_code == 0, done.output
    words = " ".join(done.stdout.split())
    assert "clam 14 7 1.00" in words
    assert "42 recordings, 3 names, 7 groups (source)" in words
    assert "100% of 42 named rightly" in words
    assert "trained on these recordings" in words
    assert "every name stands in several groups" in words
    (about,) = lines(run("tracer", "learn", table, "--out", tmp_path / "t.npz", "--json", "--method", "knn"))
    assert (about["method"], about["closed_set"]["accuracy"], about["one_group_only"]) == ("knn", 1.0, [])


def test_a_tracer_can_be_looked_at(tracer, heard):
    done = run("tracer", "show", tracer)
    assert done.exit_code == 0
    assert "tortoise" in done.stdout
    assert heard[1].digest in done.stdout
    (about,) = lines(run("tracer", "show", tracer, "--json"))
    assert about["names"] == {"clam": 14, "thorsten": 14, "tortoise": 14}
    assert run("tracer", "show", tracer.with_name("heard.csv")).exit_code == 2


def test_each_recording_is_named_after_its_own_kind(tracer, samples):
    done = run("attribute", *(samples / name for name in MADE), "--tracer", tracer, "--json")
    assert done.exit_code == 0, done.output
    for record in lines(done):
        name = record["path"].rsplit("/")[-1]
        found = record["attribution"]
        assert found["label"] == name.split("-")[1].split(".")[0]
        assert {one["name"] for one in found["neighbours"]} == {found["label"]}
        assert (found["note"] == "") == (record["verdict"] == "fake")


def test_no_name_stands_without_its_verdict(tracer, samples, tmp_path):
    (tmp_path / "bad.wav").write_bytes(b"no audio at all")
    files = [samples / MADE[0], samples / "genuine-vctk.mp3", samples / "pink-noise.flac"]
    done = run("attribute", *files, tmp_path / "bad.wav", "--tracer", tracer)
    assert done.exit_code == 1
    rows = [line.split() for line in done.stdout.splitlines() if not line.startswith("   ")]
    verdicts = {row[-1].rsplit("/")[-1]: row[0] for row in rows if row and row[-1].startswith("/")}
    assert verdicts == {
        MADE[0]: "fake",
        "genuine-vctk.mp3": "genuine",
        "pink-noise.flac": "no-speech",
        "bad.wav": "error",
    }
    assert "the verdict is genuine: the name holds only if" in done.stdout
    assert "nothing was heard that could be traced" in done.stdout
    assert "4 files: 1 fake, 1 genuine, 1 no-speech, 1 error" in done.stdout
    assert "hold only for what is fake" in done.stdout


def test_a_scan_says_the_same(tracer, samples):
    files = [samples / MADE[0], samples / "genuine-vctk.mp3"]
    asked = {one["path"]: one for one in lines(run("attribute", *files, "--tracer", tracer, "--json"))}
    scanned = {one["path"]: one for one in lines(run("scan", *files, "--attribute", tracer, "--json"))}
    for path, record in scanned.items():
        assert record["verdict"] == asked[path]["verdict"]
        assert record["attribution"]["label"] == asked[path]["attribution"]["label"]
    plain = run("scan", *files, "--attribute", tracer).stdout
    assert "fake, made by: clam (confidence" in plain
    assert "genuine; if it is fake, made by: " in plain
    assert "made by" not in run("scan", *files).stdout


def test_a_journal_is_of_one_tracer(tracer, samples, tmp_path):
    words = ["scan", samples / MADE[0], "--json", "--resume", tmp_path / "journal", "--attribute"]
    first = lines(run(*words, tracer))
    assert lines(run(*words, tracer)) == first
    other = tmp_path / "o.npz"
    tracing.save(replace(tracing.load(tracer, first[0]["model"]["digest"]), method="knn"), other)
    assert run(*words, other).exit_code == 2
    assert run(*words[:-1]).exit_code == 2


@pytest.mark.parametrize("command", [["attribute", "--tracer"], ["scan", "--attribute"]])
def test_a_tracer_that_cannot_be_used_is_told_before_the_first_file(command, tracer, samples, tmp_path):
    found = open(tracer, "rb").read()
    (tmp_path / "cut.npz").write_bytes(found[: len(found) // 2])
    other = tracing.load(tracer, json.loads(run("tracer", "show", tracer, "--json").stdout)["space"])
    tracing.save(replace(other, space="cd" * 32), tmp_path / "other.npz")
    word, option = command
    for name, why in (("cut.npz", "damaged"), ("other.npz", "another model"), ("none.npz", "none.npz")):
        csv = ["--csv", tmp_path / "out.csv"] if word == "scan" else []
        done = run(word, samples / MADE[0], option, tmp_path / name, *csv)
        assert done.exit_code == 2, name
        assert done.stdout == ""
        assert why in done.stderr
        assert done.stderr.count("\n") == 1
        assert not (tmp_path / "out.csv").exists()


@pytest.mark.parametrize(
    "words",
    [
        ("--level", "speaker"),
        ("--method", "guess"),
        ("--false-rejection", "2"),
        ("--false-rejection", "0.001"),
        ("--group", "page"),
        ("--protocol", "none.csv"),
        ("--model", "none"),
    ],
)
def test_wrong_usage_is_told_in_a_line(table, tmp_path, words):
    done = run("tracer", "learn", table, "--out", tmp_path / "t.npz", *words)
    assert done.exit_code == 2
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "t.npz").exists()


def test_help_shows_examples():
    for words in (["attribute"], ["tracer", "learn"], ["tracer", "show"]):
        assert "Examples:" in run(*words, "--help").stdout
