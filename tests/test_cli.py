"""The command as a user runs it: whole processes."""

import csv
import json
import os
import subprocess
import sys
import time

import pytest


def run(*arguments, stdin=b"", **options):
    command = [sys.executable, "-m", "earwitness.cli", *map(os.fspath, arguments)]
    return subprocess.run(command, input=stdin, capture_output=True, timeout=60, **options)


def records(done):
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture
def mixed(tmp_path, samples):
    folder = tmp_path / "mixed"
    folder.mkdir()
    for name in ("genuine-ljspeech.flac", "pink-noise.flac", "generated-thorsten-de.ogg"):
        (folder / name).write_bytes((samples / name).read_bytes())
    (folder / "text.wav").write_text("this is no audio")
    (folder / "notes.txt").write_text("passed over")
    return folder


def test_json_has_a_record_a_file_and_exit_1_for_errors(mixed):
    done = run("scan", mixed, "--json")
    found = {os.path.basename(record["path"]): record for record in records(done)}
    assert done.returncode == 1
    assert set(found) == {
        "genuine-ljspeech.flac",
        "pink-noise.flac",
        "generated-thorsten-de.ogg",
        "text.wav",
    }
    assert found["text.wav"]["error"]["code"] == "not-audio"
    assert found["pink-noise.flac"]["verdict"] == "no-speech"


def test_the_table_is_plain_where_it_is_piped(mixed):
    text = run("scan", mixed, "--timeline").stdout.decode()
    assert "\x1b" not in text
    assert text.splitlines()[0].split() == ["verdict", "p(fake)", "length", "worst", "moment", "file"]
    assert "holds text, not audio" in text
    assert "4 files" in text
    assert "1 other files passed over" in text or "1 other file passed over" in text
    assert any(block in text for block in "▁▂▃▄▅▆▇█")


def test_a_terminal_without_unicode_gets_escapes(samples):
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = run("scan", samples / "genuine-vctk.mp3", "--timeline", env=environment)
    assert done.returncode == 0, done.stderr
    assert b"\\u25" in done.stdout


def test_terminal_escapes_in_names_are_shown_not_obeyed(tmp_path):
    (tmp_path / "\x1b[2Jevil.wav").write_bytes(b"")
    text = run("scan", tmp_path).stdout.decode()
    assert "\x1b" not in text
    assert "\\x1b[2Jevil.wav" in text


def test_odd_names_get_exact_records(tmp_path, samples):
    data = (samples / "generated-clam-tts.m4a").read_bytes()
    for name in (b"two\nlines.m4a", b"bad\xff.m4a", b"=1+1.m4a"):
        with open(os.path.join(os.fsencode(tmp_path), name), "wb") as file:
            file.write(data)
    done = run("scan", ".", "--json", "--csv", "out.csv", cwd=tmp_path)
    assert done.returncode == 0
    found = {record["path"]: record for record in records(done)}
    assert set(found) == {"two\nlines.m4a", "bad\\xff.m4a", "=1+1.m4a"}
    assert bytes.fromhex(found["bad\\xff.m4a"]["path_bytes"]) == b"bad\xff.m4a"
    with open(tmp_path / "out.csv", newline="", encoding="utf-8") as file:
        paths = {row["path"] for row in csv.DictReader(file)}
    assert paths == {"two\nlines.m4a", "bad\\xff.m4a", "./=1+1.m4a"}


def test_lists_on_stdin_and_one_recording_on_stdin(samples):
    listed = b"\0".join(os.fsencode(p) for p in sorted(samples.glob("*.flac"))) + b"\0"
    assert len(records(run("scan", "-", "--json", stdin=listed))) == listed.count(b"\0")
    data = (samples / "genuine-vctk.mp3").read_bytes()
    (record,) = records(run("scan", "/dev/stdin", "--json", stdin=data))
    (direct,) = records(run("scan", samples / "genuine-vctk.mp3", "--json"))
    assert record["llr"] == direct["llr"]


def test_fail_on(samples):
    noise = samples / "pink-noise.flac"
    assert run("scan", noise, "--fail-on", "no-speech").returncode == 3
    assert run("scan", noise, "--fail-on", "fake,error").returncode == 0
    wrong = run("scan", noise, "--fail-on", "faek")
    assert wrong.returncode == 2
    assert b"faek" in wrong.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["scan"], "Missing argument"),
        (["scan", "x", "--jsno"], "--json"),
        (["scan", "x", "--prior", "1"], "between 0 and 1"),
        (["scan", "x", "--model", "nowhere"], "nowhere: neither a bundle's folder"),
        (["scan", "-"], "no audio files"),
    ],
)
def test_wrong_usage_exits_2_and_says_what_to_do(arguments, message):
    done = run(*arguments)
    assert done.returncode == 2
    assert message in done.stderr.decode()
    assert "Traceback" not in done.stderr.decode()


def test_an_empty_folder_is_wrong_usage(tmp_path):
    (tmp_path / "a.txt").write_text("x")
    done = run("scan", tmp_path)
    assert done.returncode == 2
    assert b"no audio files" in done.stderr


def test_resume_answers_each_file_once(mixed, tmp_path, samples):
    journal = tmp_path / "journal"
    first = records(run("scan", mixed, "--json", "--resume", journal))
    (mixed / "new.mp3").write_bytes((samples / "genuine-vctk.mp3").read_bytes())
    again = records(run("scan", mixed, "--json", "--resume", journal))
    assert len(first) == 4
    assert sorted(r["path"] for r in again) == sorted(str(p) for p in mixed.iterdir() if p.suffix != ".txt")
    assert {r["path"]: r for r in again} | {r["path"]: r for r in first} == {r["path"]: r for r in again}
    other = run("scan", mixed, "--resume", journal, "--prior", "0.1")
    assert other.returncode == 2


def test_killed_and_resumed(tmp_path, samples):
    folder, journal = tmp_path / "many", tmp_path / "journal"
    folder.mkdir()
    data = (samples / "generated-clam-tts.m4a").read_bytes()
    for i in range(60):
        (folder / f"{i:02}.m4a").write_bytes(data)
    arguments = ["scan", folder, "--json", "--resume", journal]
    command = [sys.executable, "-m", "earwitness.cli", *map(str, arguments)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    for _ in range(600):
        if journal.exists() and journal.read_bytes().count(b"\n") > 5:
            break
        time.sleep(0.02)
    process.kill()
    process.wait()
    kept = journal.read_bytes().count(b"\n")
    last = records(run(*arguments))
    assert sorted(os.path.basename(r["path"]) for r in last) == [f"{i:02}.m4a" for i in range(60)]
    lines = [json.loads(line) for line in journal.read_bytes().splitlines()][1:]
    assert sorted(line["path"] for line in lines) == sorted(r["path"] for r in last)
    assert 5 < kept < 62


def test_help_has_examples_and_version_is_the_package_s():
    import earwitness

    assert b"Examples:" in run("scan", "--help").stdout
    assert run("--version").stdout.decode().strip() == earwitness.__version__


def test_outputs_never_go_over_recordings_or_each_other(tmp_path, samples):
    clip = tmp_path / "clip.mp3"
    clip.write_bytes((samples / "genuine-vctk.mp3").read_bytes())
    for option in ("--csv", "--resume"):
        done = run("scan", clip, option, clip)
        assert done.returncode == 2
        assert b"name another file" in done.stderr
    assert clip.read_bytes() == (samples / "genuine-vctk.mp3").read_bytes()
    assert run("scan", clip, "--csv", tmp_path / "x", "--resume", tmp_path / "x").returncode == 2


def test_an_old_csv_survives_a_wrong_model(tmp_path, samples):
    table = tmp_path / "old.csv"
    table.write_text("precious")
    assert run("scan", samples, "--csv", table, "--model", tmp_path).returncode == 2
    assert table.read_text() == "precious"


@pytest.mark.parametrize("name", ["x" * 300 + ".wav", "a\nb" * 200])
def test_names_that_no_file_can_have_get_records(name, samples):
    done = run("scan", name, samples / "pink-noise.flac", "--json")
    assert done.returncode == 1
    assert [r["error"]["code"] if r["error"] else None for r in records(done)] in (
        ["unreadable", None],
        [None, "unreadable"],
    )


def test_an_empty_path_is_not_the_current_folder(samples):
    done = run("scan", "", cwd=samples)
    assert done.returncode == 2
    assert b"empty" in done.stderr


def test_a_full_disk_is_said_in_one_line(samples):
    with open("/dev/full", "wb") as full:
        command = [sys.executable, "-m", "earwitness.cli", "scan", str(samples), "--json"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, timeout=60)
    assert done.returncode == 2
    assert b"Traceback" not in done.stderr
    assert b"No space left" in done.stderr


def test_a_journal_of_another_calibration_is_refused(tmp_path, samples):
    import shutil

    from earwitness.decision.bundle import EMBEDDED

    bundle = shutil.copytree(EMBEDDED, tmp_path / "bundle")
    noise, journal = samples / "pink-noise.flac", tmp_path / "journal"
    assert run("scan", noise, "--model", bundle, "--resume", journal).returncode == 0
    card = json.loads((bundle / "model.json").read_text())
    card["calibration"]["clip"]["offset"] += 1
    (bundle / "model.json").write_text(json.dumps(card))
    assert run("scan", noise, "--model", bundle, "--resume", journal).returncode == 2


def test_spans_go_into_rttm_and_label_tracks(mixed, tmp_path):
    from earwitness.audio.rttm import read_rttm

    (mixed / "sub").mkdir()
    (mixed / "sub" / "generated-thorsten-de.ogg").write_bytes(
        (mixed / "generated-thorsten-de.ogg").read_bytes()
    )
    outputs = ["--rttm", "fake.rttm", "--labels", "labels", "--resume", "journal"]
    done = run("scan", "mixed", "--json", *outputs, cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    found = {record["path"]: record for record in records(done)}
    names = {
        "mixed/genuine-ljspeech.flac": "genuine-ljspeech",
        "mixed/generated-thorsten-de.ogg": "mixed_generated-thorsten-de.ogg",
        "mixed/sub/generated-thorsten-de.ogg": "mixed_sub_generated-thorsten-de.ogg",
    }
    parts = read_rttm(tmp_path / "fake.rttm")
    assert set(parts) == set(names.values())
    assert {path.name for path in (tmp_path / "labels").iterdir()} == {
        f"{n}.labels.txt" for n in names.values()
    }
    for path, name in names.items():
        spans = [(span["start_s"], span["end_s"]) for span in found[path]["spans"]]
        assert len(spans) == len([part for part in parts[name] if not part.bona_fide])
        lines = (tmp_path / "labels" / f"{name}.labels.txt").read_text().splitlines()
        assert [tuple(map(float, line.split("\t")[:2])) for line in lines] == spans
        assert parts[name][-1].end_s == pytest.approx(found[path]["windows"][-1]["end_s"], abs=1e-6)
    before = (tmp_path / "fake.rttm").read_text()
    (tmp_path / "fake.rttm").unlink()
    assert run("scan", "mixed", *outputs, cwd=tmp_path).returncode == 1  # all from the journal
    assert (tmp_path / "fake.rttm").read_text() == before


def test_files_of_spans_are_refused_where_they_would_lie_or_do_harm(tmp_path, samples):
    import shutil

    from earwitness.decision.bundle import EMBEDDED

    clip = tmp_path / "clip.mp3"
    clip.write_bytes((samples / "genuine-vctk.mp3").read_bytes())
    bundle = shutil.copytree(EMBEDDED, tmp_path / "bundle")
    card = json.loads((bundle / "model.json").read_text())
    card["output"]["frame_hop_s"] = None
    (bundle / "model.json").write_text(json.dumps(card))
    taken = tmp_path / "clip.labels.txt"  # named outright, it is a recording like any other
    taken.write_text("precious")
    for arguments, message in (
        ([clip, "--rttm", tmp_path / "x", "--model", bundle], "cannot tell which moments"),
        ([clip, "--labels", tmp_path / "x", "--model", bundle], "cannot tell which moments"),
        ([clip, "--rttm", clip], "name another file"),
        ([clip, "--rttm", tmp_path / "x", "--csv", tmp_path / "x"], "name another file"),
        ([clip, taken, "--labels", tmp_path], "name another file"),
        ([clip, "--rttm", tmp_path / "no" / "x"], "missing or not writable"),
        ([clip, "--labels", clip], "File exists"),
    ):
        done = run("scan", *arguments)
        assert done.returncode == 2, message
        assert message in done.stderr.decode()
        assert b"Traceback" not in done.stderr
    assert clip.read_bytes() == (samples / "genuine-vctk.mp3").read_bytes()
    assert taken.read_text() == "precious"
