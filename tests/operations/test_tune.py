"""Trying engines: on engines of which we know how far they are off."""

import json

import numpy as np
import pytest
import soundfile

from earwitness import InputError, load_detector
from earwitness.audio.protocol import COLUMNS
from earwitness.decision.bundle import EMBEDDED
from earwitness.decision.detector import model_digest
from earwitness.decision.fidelity import read_trials
from earwitness.operations import tune as tuning
from earwitness.operations.tune import Clip, Said, beginning, cut, judge, recordings_of, run_tune


@pytest.fixture
def recordings(tmp_path, speech):
    """Twelve files of two seconds, the last one broken, with a protocol."""
    rows = [",".join(COLUMNS)]
    for number in range(12):
        path = tmp_path / f"{number:02}.wav"
        soundfile.write(path, speech[number * 8_000 : number * 8_000 + 32_000], 16_000)
        label = "real" if number % 2 else "fake"
        rows.append(f"{number},{label},2.0,16000,{path.name},-,-,-,1,PCM_16,16,en")
    (tmp_path / "11.wav").write_bytes(b"no audio")
    (tmp_path / "all.csv").write_text("\n".join(rows) + "\n")
    return tmp_path


@pytest.fixture(autouse=True)
def few(monkeypatch, tmp_path):
    monkeypatch.setattr(tuning, "LEAST", 8)
    monkeypatch.setenv("EARWITNESS_MODELS", str(tmp_path / "home" / "models"))


def off_by(run, score=0.0, turn=0.0):
    """An engine that says something else."""

    def other(clips):
        found = run(clips)
        embedding = found.embedding + turn * np.roll(found.embedding, 1, axis=1)
        return found._replace(score=found.score + np.float32(score), embedding=embedding)

    return other


def tuned(monkeypatch, recordings, engines, labels=True):
    monkeypatch.setattr(tuning, "candidates", lambda *_: engines)
    asked = ([], [recordings / "all.csv"]) if labels else ([recordings], [])
    named = recordings_of(*asked)
    return tuning.tune(EMBEDDED, named, lambda _: None)


def test_what_is_off_is_told_by_how_much(monkeypatch, recordings, detector):
    scale = detector.calibration.scale
    run = detector.run

    def fails():
        raise RuntimeError("no such kernel")

    engines = [
        ("openvino", "fp32", lambda: off_by(run, 1e-4)),
        ("openvino", "bf16", lambda: off_by(run, 0.1)),
        ("openvino", "int8", lambda: off_by(run, turn=1.0)),
        ("torch", "bf16", fails),
    ]
    reference, same, moved, turned, broken = tuned(monkeypatch, recordings, engines)
    assert (reference.engine, reference.llr_moved, reference.passed) == ("onnx", 0.0, True)
    assert same.llr_moved == pytest.approx(1e-4 * scale, rel=0.05)
    assert same.passed
    assert moved.llr_moved == pytest.approx(0.1 * scale, rel=1e-3)
    assert moved.eer_moved == pytest.approx(0.0, abs=1e-9)  # all by the same
    assert turned.cosine < 0.99
    assert "embedding" in turned.why
    assert "no such kernel" in broken.why
    assert read_trials(model_digest(detector.card)) == [reference, same, moved, turned, broken]
    assert min(one.times_real_time for one in (reference, same, moved, turned)) > 1


def test_without_labels_only_what_is_the_same_passes(monkeypatch, recordings, detector):
    engines = [("openvino", "bf16", lambda: off_by(detector.run, 0.1))]
    _, moved = tuned(monkeypatch, recordings, engines, labels=False)
    assert moved.eer_moved is None
    assert "without labels" in moved.why


def test_flips_are_counted(detector):
    """P(fake) at even odds is 1 / (1 + exp(LLR)): -5 is fake, 5 genuine, 0 between the thresholds."""
    embeddings = np.ones((4, 3))
    base = Said(np.array([-5.0, -5.0, 5.0, 0.0]), embeddings, 10.0)
    found = Said(np.array([5.0, 0.0, -5.0, 5.0]), embeddings, 10.0)
    trial = judge(detector, "openvino", "int8", found, base, np.array([0, 0, 1, 1]))
    assert (trial.flips, trial.llr_moved, trial.cosine) == (2, 10.0, pytest.approx(1.0))
    assert trial.eer_moved == pytest.approx(0.5, abs=0.26)
    assert judge(detector, "onnx", "fp32", base, base, np.array([0, 0, 1, 1])).flips == 0


def test_broken_recordings_are_passed_over(recordings):
    clips = list(cut(recordings_of([], [recordings / "all.csv"]), 8_000, lambda _: None))
    assert len(clips) == 11
    assert all(isinstance(clip, Clip) and len(clip.audio) == 32_000 for clip in clips)


def test_only_the_beginning_is_read(write, speech):
    path = write("long.wav", np.tile(speech, 3))
    audio = beginning(path)
    assert len(audio) == 160_000
    np.testing.assert_allclose(audio, np.tile(speech, 3)[:160_000], atol=1e-4)


def test_too_few_recordings_are_refused(monkeypatch, recordings):
    monkeypatch.setattr(tuning, "LEAST", 12)
    with pytest.raises(InputError, match="11 recordings can be read"):
        tuned(monkeypatch, recordings, [])
    with pytest.raises(InputError, match="name recordings"):
        recordings_of([], [])


def test_what_is_printed(monkeypatch, recordings, detector, capsys):
    monkeypatch.setattr(
        tuning, "candidates", lambda *_: [("openvino", "bf16", lambda: off_by(detector.run, turn=9.0))]
    )
    run_tune(None, [], [recordings / "all.csv"], True)
    said = json.loads(capsys.readouterr().out)
    assert said["auto"] == "onnx fp32"
    assert [row["passed"] for row in said["engines"]] == [True, False]
    run_tune(None, [], [recordings / "all.csv"], False)
    out = capsys.readouterr().out
    assert "auto takes this" in out
    assert load_detector().precision == "fp32"
