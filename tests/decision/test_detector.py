import json
import shutil

import pytest

from earwitness import ModelError, load_detector
from earwitness.audio.frames import FrameGrid
from earwitness.decision.bundle import EMBEDDED
from earwitness.decision.calibration import Calibration
from earwitness.decision.localisation import SpanRule


@pytest.fixture
def bundle(tmp_path):
    return shutil.copytree(EMBEDDED, tmp_path / "bundle")


def test_a_copied_bundle_works(bundle, detector):
    assert load_detector(bundle).id == detector.id


def test_an_altered_graph_is_refused(bundle):
    graph = bundle / "model.onnx"
    graph.write_bytes(graph.read_bytes()[:-1] + b"x")
    with pytest.raises(ModelError, match="altered"):
        load_detector(bundle)


def test_a_graph_that_is_none_is_refused(bundle):
    import hashlib

    (bundle / "model.onnx").write_bytes(b"not a graph")
    card = json.loads((bundle / "model.json").read_text())
    card["files"]["model.onnx"] = hashlib.sha256(b"not a graph").hexdigest()
    (bundle / "model.json").write_text(json.dumps(card))
    with pytest.raises(ModelError, match="cannot run"):
        load_detector(bundle)


@pytest.mark.parametrize(
    ("card", "message"),
    [("", "not readable as JSON"), ("[]", "lacks"), ('{"name": "x"}', "lacks calibration, files")],
)
def test_a_bad_card_says_what_is_wrong(bundle, card, message):
    (bundle / "model.json").write_text(card)
    with pytest.raises(ModelError, match=message):
        load_detector(bundle)


def test_a_missing_bundle_says_so(tmp_path):
    with pytest.raises(ModelError, match=r"holds no model\.json"):
        load_detector(tmp_path)


def test_the_shipped_card_is_honest_and_complete(detector):
    card = detector.card
    assert card["metrics"]["eer"]["low"] < card["metrics"]["eer"]["value"] < card["metrics"]["eer"]["high"]
    assert (EMBEDDED / "model.onnx").stat().st_size <= 45_000_000
    assert len(card["limits"]) >= 3
    assert 0 < card["thresholds"]["genuine"] < card["thresholds"]["fake"] < 1
    assert card["training"]["genuine"] > 3_000


def test_the_shipped_graph_names_no_machine():
    graph = (EMBEDDED / "model.onnx").read_bytes()
    assert b".py" not in graph


def change(bundle, part, **fields):
    card = json.loads((bundle / "model.json").read_text())
    if part:
        card[part] |= fields
    else:
        card |= fields
    (bundle / "model.json").write_text(json.dumps(card))


def test_the_shipped_card_places_its_frames(detector):
    how = detector.localisation
    assert how.grid == FrameGrid(320, 320, 0)  # Whisper's, around every second frame of its filter bank
    assert not how.by_frame
    assert how.rule == SpanRule(0.0, detector.thresholds.fake, detector.thresholds.fake, 1.0, 0.5)


@pytest.mark.parametrize(
    ("fields", "grid"),
    [
        ({"frame_middle_s": None, "frame_length_s": None}, FrameGrid(320, 320, 160)),
        ({"frame_hop_s": 0.02, "frame_length_s": 0.025, "frame_middle_s": None}, FrameGrid(320, 400, 200)),
        ({"frame_hop_s": 0.02, "frame_length_s": 0.02, "frame_middle_s": 0.0}, FrameGrid(320, 320, 0)),
    ],
)
def test_cards_without_a_middle_have_it_halfway(bundle, fields, grid):
    change(bundle, "output", **fields)
    assert load_detector(bundle).localisation.grid == grid


def test_a_model_without_frames_locates_nothing(bundle, samples):
    from earwitness import scan

    change(bundle, "output", frame_hop_s=None)
    detector = load_detector(bundle)
    assert detector.localisation is None
    verdict = scan(samples / "generated-clam-tts.m4a", model=detector, timeline=True)
    assert (verdict.timeline, verdict.spans, verdict.worst) == (None, (), None)
    assert verdict.llr is not None


def test_a_layer_for_frames_that_nobody_taught_is_not_asked(bundle):
    change(bundle, "", architecture={"head": "logmel-cnn", "front_end": None, "states": [], "options": {}})
    assert load_detector(bundle).localisation is None
    change(bundle, "", localisation=RULE)
    assert load_detector(bundle).localisation.by_frame


RULE = {"smooth_s": 0.1, "threshold": 0.7, "edge": 0.6, "min_s": 0.2, "merge_s": 0.3}


def test_a_card_says_how_spans_of_taught_frames_are_found(bundle, detector):
    change(bundle, "", localisation=RULE)
    how = load_detector(bundle).localisation
    assert how.by_frame
    assert how.rule == SpanRule(**RULE)
    assert how.frame_calibration == how.calibration == detector.localisation.calibration
    change(bundle, "", localisation={**RULE, "calibration": {"scale": 2.0, "offset": -1.0}})
    how = load_detector(bundle).localisation
    assert how.frame_calibration == Calibration(2.0, -1.0)
    assert how.calibration == detector.localisation.calibration


@pytest.mark.parametrize(
    "found",
    [
        {},
        [],
        "yes",
        {**RULE, "edge": 0.8},
        {**RULE, "threshold": 1.5},
        {**RULE, "min_s": -1},
        {**RULE, "merge_s": 1e9},
        {**RULE, "smooth_s": float("nan")},
        {**RULE, "smooth_s": "0.1"},
        {**RULE, "more": 1},
        {**RULE, "calibration": {"scale": 1}},
        {**RULE, "calibration": {"scale": 1, "offset": float("inf")}},
    ],
)
def test_a_card_with_a_wrong_rule_is_refused(bundle, found):
    change(bundle, "", localisation=found)
    with pytest.raises(ModelError, match="field that cannot be used"):
        load_detector(bundle)


@pytest.mark.parametrize(
    "fields", [{"frame_hop_s": 0.0}, {"frame_length_s": -1}, {"frame_middle_s": 1.0}, {"frame_hop_s": "x"}]
)
def test_a_card_with_frames_that_cannot_be_is_refused(bundle, fields):
    change(bundle, "output", **fields)
    with pytest.raises(ModelError, match="field that cannot be used"):
        load_detector(bundle)
