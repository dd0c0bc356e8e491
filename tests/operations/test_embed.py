"""`earwitness embed` on real recordings: rows that agree with a scan, a table that grows, stopped runs."""

import json
import shutil

import numpy as np
import pytest
from typer.testing import CliRunner

from earwitness import scan
from earwitness.cli import app
from earwitness.errors import InputError
from earwitness.operations import embed as embedding
from earwitness.operations.samples import read_samples

NAMES = ("genuine-vctk.mp3", "generated-tortoise.flac")


@pytest.fixture
def inbox(samples, tmp_path):
    folder = tmp_path / "inbox"
    folder.mkdir()
    for name in NAMES:
        shutil.copy(samples / name, folder / name)
    return folder


def test_rows_are_those_of_a_scan_and_nothing_is_heard_twice(inbox, samples, tmp_path, monkeypatch):
    out = tmp_path / "incoming.csv"
    (inbox / "broken.wav").write_bytes(b"RIFF")
    first = CliRunner().invoke(app, ["embed", str(inbox), "--out", str(out), "--json"])
    assert first.exit_code == 1
    assert json.loads(first.stdout) == {"table": str(out), "rows": 2, "new": 2, "left_out": 1}
    found = read_samples(out)
    for key, path, score, row in zip(
        found.ids, found.column("path"), found.scores, found.embeddings, strict=True
    ):
        verdict = scan(path)
        assert key == (verdict.sha256 or "")[:16]
        assert score == pytest.approx(verdict.llr, abs=1e-4)
        assert np.linalg.norm(row) == pytest.approx(1, abs=1e-5)
    (inbox / "broken.wav").unlink()
    shutil.copy(samples / NAMES[0], inbox / "copy.mp3")  # the same content: no row of its own
    heard = []
    real = embedding.scan_many
    monkeypatch.setattr(embedding, "scan_many", lambda todo, **k: heard.extend(todo) or real(todo, **k))
    again, failed, before = embedding.embed([str(inbox)], out)
    assert (failed, before, len(again)) == ([], 2, 2)
    assert [path.name for path in heard] == ["copy.mp3"]


def test_a_stopped_run_goes_on(inbox, tmp_path, monkeypatch):
    out = tmp_path / "incoming.csv"
    real = embedding.scan_many

    def stopped(todo, **options):
        yield next(iter(real(todo[:1], **options)))
        raise KeyboardInterrupt

    monkeypatch.setattr(embedding, "scan_many", stopped)
    with pytest.raises(KeyboardInterrupt):
        embedding.embed([str(inbox)], out)
    assert not out.exists()
    heard = []
    monkeypatch.setattr(embedding, "scan_many", lambda todo, **k: heard.extend(todo) or real(todo, **k))
    found, _, _ = embedding.embed([str(inbox)], out)
    assert len(heard) == 1
    assert sorted(found.column("path")) == sorted(str(inbox / name) for name in NAMES)
    assert not list(tmp_path.glob(".*journal"))


def test_a_table_of_another_model_is_refused(inbox, tmp_path):
    out = tmp_path / "incoming.csv"
    embedding.embed([str(inbox / NAMES[0])], out)
    out.write_text(out.read_text().replace(read_samples(out).model, "0" * 64))
    with pytest.raises(InputError, match="made by another model"):
        embedding.embed([str(inbox)], out)
    with pytest.raises(InputError, match="no audio files"):
        embedding.embed([str(tmp_path / "inbox" / "nothing-here")][:0], out)
