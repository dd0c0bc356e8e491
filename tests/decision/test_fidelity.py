"""The gate: what passes, and what is noted of it."""

import json

import pytest

from earwitness import ModelError, load_detector
from earwitness.decision import fidelity
from earwitness.decision.bundle import EMBEDDED, read_card
from earwitness.decision.detector import choose_engine, model_digest
from earwitness.decision.fidelity import Trial, engines_home, fastest, read_trials, write_trials

CARD = read_card(EMBEDDED)
DIGEST = model_digest(CARD)
REFERENCE = Trial("onnx", "fp32", 40.0, 0.0, 1.0, 0, 0.0)


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("EARWITNESS_MODELS", str(tmp_path / "models"))


def trial(llr_moved=0.1, cosine=0.999, flips=0, eer_moved=0.0, speed=80.0, precision="int8", **more):
    return Trial("openvino", precision, speed, llr_moved, cosine, flips, eer_moved, **more)


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (trial(llr_moved=0.005, eer_moved=None), ""),
        (trial(llr_moved=0.0051, eer_moved=None), "without labels"),
        (trial(llr_moved=0.2, eer_moved=0.001), ""),
        (trial(llr_moved=0.2, eer_moved=-0.001), ""),
        (trial(llr_moved=0.2, eer_moved=0.0011), r"\+0\.11 points"),
        (trial(llr_moved=0.2, eer_moved=-0.0017), r"-0\.17 points"),
        (trial(llr_moved=0.2, flips=2), "2 recordings went over"),
        (trial(llr_moved=0.001, cosine=0.989), "embedding turned"),
        (trial(refused="no such node"), "no such node"),
    ],
)
def test_what_passes(found, why):
    assert found.passed == (not why)
    if why:
        with pytest.raises(AssertionError, match=why):
            raise AssertionError(found.why)


def test_the_fastest_that_passed_is_taken():
    rows = [REFERENCE, trial(speed=90, flips=1), trial(speed=60), trial(speed=70, precision="bf16")]
    assert fastest(rows) == rows[3]
    assert fastest([trial(flips=1)]) is None


def test_trials_come_back_as_they_were_noted():
    rows = [REFERENCE, trial(eer_moved=None)]
    path = write_trials(DIGEST, rows, {"judges": 7})
    assert read_trials(DIGEST) == rows
    noted = json.loads(path.read_text())
    assert (noted["judges"], noted["engines"][1]["passed"]) == (7, False)


def test_trials_of_another_machine_model_or_version_do_not_count(monkeypatch):
    path = write_trials(DIGEST, [REFERENCE], {})
    assert read_trials("0" * 64) == []
    monkeypatch.setattr(fidelity, "machine", lambda: {"processor": "another"})
    assert read_trials(DIGEST) == []
    monkeypatch.undo()
    for broken in ("", "[]", "{}", '{"machine": 1}', "\x00", path.name):
        path.write_text(broken)
        assert read_trials(DIGEST) == []


def test_without_trials_the_graph_runs_in_float32():
    assert choose_engine(CARD, "auto") == ("onnx", "fp32")
    assert choose_engine(CARD, "openvino") == ("openvino", "fp32")


@pytest.mark.parametrize("precision", ["bf16", "int8"])
def test_narrow_arithmetic_is_refused_until_it_passed(precision):
    with pytest.raises(ModelError, match="models tune embedded"):
        choose_engine(CARD, "openvino", precision)
    write_trials(DIGEST, [REFERENCE, trial(flips=3, precision=precision)], {})
    with pytest.raises(ModelError, match="3 recordings went over"):
        choose_engine(CARD, "auto", precision)
    write_trials(DIGEST, [REFERENCE, trial(precision=precision)], {})
    assert choose_engine(CARD, "auto", precision) == ("openvino", precision)
    assert choose_engine(CARD, "auto") == ("openvino", precision)
    assert choose_engine(CARD, "onnx") == ("onnx", "fp32")
    assert choose_engine(CARD, "auto", "fp32") == ("onnx", "fp32")


def test_a_slow_engine_is_not_taken_for_having_passed():
    write_trials(DIGEST, [REFERENCE, trial(speed=30.0)], {})
    assert choose_engine(CARD, "auto") == ("onnx", "fp32")


def test_a_detector_says_what_runs_it():
    detector = load_detector(EMBEDDED)
    assert (detector.engine, detector.precision) == ("onnx", "fp32")
    assert engines_home(DIGEST).name == DIGEST[:32]
