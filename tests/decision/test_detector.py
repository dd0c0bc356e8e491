import json
import shutil

import pytest

from earwitness import ModelError, load_detector
from earwitness.decision.bundle import EMBEDDED


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
    assert card["parameters"] <= 2_000_000
    assert len(card["limits"]) >= 3
    assert 0 < card["thresholds"]["genuine"] < card["thresholds"]["fake"] < 1
    assert card["training"]["data"]


def test_the_shipped_graph_names_no_machine():
    graph = (EMBEDDED / "model.onnx").read_bytes()
    assert b".py" not in graph
