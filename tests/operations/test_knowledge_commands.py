"""`earwitness knowledge` on real recordings."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

from earwitness.cli import app
from earwitness.evidence.knowledge import Entry, Item, Knowledge
from earwitness.operations import knowledge
from earwitness.types import ModelId

runner = CliRunner()


def run(*words):
    return runner.invoke(app, ["knowledge", *map(str, words)])


def lines(result):
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.fixture
def base(tmp_path, samples):
    """A base of three samples."""
    path = tmp_path / "known.db"
    fakes = [samples / "generated-tortoise.flac", samples / "generated-clam-tts.m4a"]
    assert run("add", *fakes, "--label", "fake", "--generator", "new", "--base", path).exit_code == 0
    genuine = run("add", samples / "genuine-vctk.mp3", "--label", "genuine", "--base", path)
    assert genuine.exit_code == 0
    return path


def test_what_is_added_is_there_with_its_facts(base):
    with Knowledge.open(base) as found:
        entries = found.entries()
        assert [entry.generator for entry in entries].count("new") == 2
        assert found.counts() == (1, 2)
        for item in found.items():
            np.testing.assert_allclose(np.linalg.norm(item.embeddings, axis=1), 1, atol=1e-5)
            assert item.profile is None or np.linalg.norm(item.profile) == pytest.approx(1, abs=1e-5)


def test_a_recording_is_added_once_whatever_its_file_is_called(base, samples, tmp_path):
    shutil.copy(samples / "generated-tortoise.flac", tmp_path / "again.flac")
    done = run("add", tmp_path / "again.flac", "--label", "genuine", "--base", base, "--json")
    assert lines(done)[0]["outcome"] == "duplicate"
    assert lines(done)[0]["why"].endswith("as fake")


def test_the_same_sound_in_another_file_is_added_once(base, samples, tmp_path):
    import soundfile

    audio, rate = soundfile.read(samples / "generated-tortoise.flac")
    soundfile.write(tmp_path / "again.wav", audio, rate)
    done = run("add", tmp_path / "again.wav", "--label", "fake", "--base", base, "--json")
    assert lines(done)[0]["outcome"] == "duplicate"
    assert "sounds the same" in lines(done)[0]["why"]


def test_a_bad_file_stops_nothing_and_is_told(base, samples, tmp_path):
    (tmp_path / "bad.wav").write_bytes(b"no audio at all")
    files = tmp_path / "bad.wav", samples / "pink-noise.flac", samples / "genuine-ljspeech.flac"
    done = run("add", *files, "--label", "genuine", "--base", base, "--json")
    assert done.exit_code == 1
    assert sorted(line["outcome"] for line in lines(done)) == ["added", "error", "no-speech"]


def test_a_query_names_its_neighbours_and_not_itself(base, samples):
    done = run("query", samples / "generated-clam-tts.m4a", "--base", base, "--json")
    (record,) = lines(done)
    near = record["knowledge"]["neighbours"]
    assert {one["path"].rsplit("/")[-1] for one in near} == {"generated-tortoise.flac", "genuine-vctk.mp3"}
    assert near == sorted(near, key=lambda one: -one["similarity"])
    plain = run("query", samples / "generated-clam-tts.m4a", "--base", base)
    assert "by the detector alone" in plain.stdout


def test_a_scan_consults_the_base(base, samples):
    words = ["scan", str(samples / "generated-tortoise.flac"), "--knowledge", str(base), "--json"]
    (record,) = lines(runner.invoke(app, words))
    assert record["knowledge"]["entries"] == 3
    assert record["knowledge"]["detector_llr"] == pytest.approx(record["windows"][0]["llr"], abs=1e-4)


def test_a_label_may_be_corrected_and_an_entry_removed(base):
    with Knowledge.open(base) as found:
        entry = found.entries()[0]
    assert run("review", entry.id, "--label", "genuine", "--by", "me", "--base", base).exit_code == 0
    with Knowledge.open(base) as found:
        assert found.entries([entry.id])[0].bona_fide
        assert found.entries([entry.id])[0].reviewed
    assert run("remove", entry.id, "--base", base).stdout == "removed 1 entry\n"
    assert entry.id.encode() not in base.read_bytes()
    assert run("remove", entry.id, "--base", base).exit_code == 2


def test_a_base_is_rebuilt_from_its_recordings_and_a_stopped_rebuild_goes_on(base, tmp_path):
    target = tmp_path / "new.db"
    assert run("rebuild", target, "--base", base).exit_code == 0
    with Knowledge.open(base) as old, Knowledge.open(target) as new:
        assert sorted(e.id for e in old.entries()) == sorted(e.id for e in new.entries())
        assert {e.generator for e in new.entries()} == {"new", "-"}
        gone = new.entries()[0].id
        new.remove([gone])
    again = run("rebuild", target, "--base", base)
    assert "2 kept, 1 added of 3" in again.stderr
    assert run("rebuild", base, "--base", base).exit_code == 2


def test_what_is_not_there_is_told_in_a_line(tmp_path, samples):
    for words in (
        ("query", samples / "genuine-vctk.mp3", "--base", tmp_path / "none.db"),
        ("stats", "--base", tmp_path / "none.db"),
        ("add", tmp_path, "--label", "fake", "--base", tmp_path / "none.db"),
        ("add", samples / "genuine-vctk.mp3", "--label", "perhaps", "--base", tmp_path / "none.db"),
    ):
        done = run(*words)
        assert done.exit_code == 2, words
        assert done.stderr.count("\n") == 1


FACTS = knowledge.Facts(True)


def clustered(path, entries=30):
    """Two tight clusters, bona fide and spoof."""
    rng = np.random.default_rng(0)
    base, items = Knowledge.create(path, ModelId("m", "1", "ab" * 32), 8), []
    for i in range(entries):
        row = np.eye(8)[i % 2] + 0.05 * rng.normal(size=8)
        row = (row / np.linalg.norm(row)).astype(np.float32)
        items.append(Item(Entry(f"{i:016x}", bool(i % 2), 3.0, 0.0, source=f"s{i}"), row[None], np.zeros(1)))
    base.add(items)
    return base


def test_a_recording_far_inside_the_other_class_is_doubted(tmp_path):
    base = clustered(tmp_path / "known.db")
    genuine, spoof = np.eye(8, dtype=np.float32)[[1]], np.eye(8, dtype=np.float32)[[0]]
    assert knowledge.doubted(base, genuine, None, True) == ""
    assert knowledge.doubted(base, spoof, None, False) == ""
    assert "all spoof" in knowledge.doubted(base, spoof, None, True)
    assert "all bona fide" in knowledge.doubted(base, genuine, None, False)
    nowhere = np.eye(8, dtype=np.float32)[[5]]
    assert knowledge.doubted(base, nowhere, None, True) == ""
    base.close()


def test_a_source_may_not_hold_most_of_the_base(tmp_path, monkeypatch):
    monkeypatch.setattr(knowledge, "FREE_OF_SOURCE", 3)
    base = clustered(tmp_path / "known.db")
    for i in range(7):
        item = next(iter(base.items([f"{i:016x}"])))
        entry = replace(item.entry, id=f"{100 + i:016x}", source="one")
        base.add([replace(item, entry=entry)])
        held = knowledge.over_cap(base, "one")
        assert bool(held) == (i + 1 >= 0.2 * (31 + i))
    assert knowledge.over_cap(base, "-") == ""
    assert knowledge.over_cap(base, "another") == ""
    base.close()


def test_an_export_is_imported_where_there_was_no_base(base, tmp_path):
    assert run("export", tmp_path / "all.zip", "--base", base).stdout == "exported 3 entries\n"
    other = tmp_path / "elsewhere" / "other.db"
    assert run("import", tmp_path / "all.zip", "--base", other).stdout == "imported 3, 0 were here already\n"
    assert run("import", tmp_path / "all.zip", "--base", other).stdout == "imported 0, 3 were here already\n"
    (tmp_path / "bad.zip").write_bytes(b"no zip")
    assert run("import", tmp_path / "bad.zip", "--base", tmp_path / "none.db").exit_code == 2
    assert not (tmp_path / "none.db").exists()


def test_a_snapshot_is_gone_back_to(base):
    assert run("snapshot", "--name", "before", "--base", base).stdout == "kept as before\n"
    with Knowledge.open(base) as found:
        found.set_settings({"changed": True})
        found.remove([])
    assert run("snapshot", "--list", "--base", base).stdout == "before\n"
    assert run("snapshot", "--rollback", "before", "--base", base).exit_code == 0
    with Knowledge.open(base) as found:
        assert found.settings() == {}
