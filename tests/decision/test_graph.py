"""Networks as graphs, where the exporter has its pitfalls; every head is in `test_heads.py`."""

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("onnxscript")

from miniature import make_bundle

from earwitness.decision.bundle import WEIGHTS, read_card
from earwitness.decision.detector import load_detector
from earwitness.decision.engines import open_torch
from earwitness.decision.scoring import score_clips
from earwitness.operations.models import export_model


@pytest.mark.parametrize("family", ["whisper", "w2v-bert"])  # frames cut off; a value called as an output
def test_frames_of_the_graph_are_those_of_torch(family, tmp_path):
    bundle = make_bundle(tmp_path / "tiny", family)
    export_model(str(bundle))
    engines = [load_detector(bundle, engine=engine) for engine in ("torch", "onnx")]
    clips = [np.random.default_rng(n).normal(0, 0.1, n).astype(np.float32) for n in (8_000, 8_719, 31_111)]
    torch_scores, graph_scores = (score_clips(detector, clips) for detector in engines)
    for clip, one, other in zip(clips, torch_scores, graph_scores, strict=True):
        assert one.score == pytest.approx(other.score, abs=1e-3)
        assert len(one.frame_scores) == engines[0].localisation.grid.count(len(clip))
        np.testing.assert_allclose(one.frame_scores, other.frame_scores, atol=1e-3)


def test_bfloat16_in_torch_comes_near_and_no_nearer(tmp_path, speech):
    bundle = make_bundle(tmp_path / "tiny", "wav2vec2-large")
    card = read_card(bundle)
    wide, narrow = (open_torch(bundle / WEIGHTS, card, narrow=narrow) for narrow in (False, True))
    moved = np.abs(wide([speech[:32_000]]).score - narrow([speech[:32_000]]).score).max()
    assert 1e-6 < moved < 0.05
