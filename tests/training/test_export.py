"""From runs to a bundle; needs torch and onnxscript, which scanning does not."""

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")


def test_the_graph_answers_as_the_network_at_other_lengths_and_batches(tmp_path, speech):
    from earwitness.decision.engines import open_graph
    from earwitness.decision.graph import write_graph
    from earwitness.decision.logmel_cnn import LogMelCnn

    torch.manual_seed(1)
    network = LogMelCnn().eval()
    for module in network.modules():  # as after training: statistics that are not 0 and 1
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.uniform_(-0.2, 0.2)
            module.running_var.uniform_(0.5, 2)
    write_graph(network, tmp_path / "model.onnx", 8_000)
    graph = open_graph(tmp_path / "model.onnx")
    for lengths in ([8_000], [31_111, 64_000, 17_000], [150_001]):
        clips = [speech[:n] for n in lengths]
        outputs = graph(clips)
        for row, clip in enumerate(clips):
            with torch.no_grad():
                score, frames, embedding = network(torch.from_numpy(clip[None]), torch.tensor([len(clip)]))
            assert outputs.score[row] == pytest.approx(float(score[0]), abs=1e-4)
            found = outputs.frame_scores[row, : frames.shape[1]]
            np.testing.assert_allclose(found, frames[0].numpy(), atol=1e-3)
            np.testing.assert_allclose(outputs.embedding[row], embedding[0].numpy(), atol=1e-4)


def test_thresholds_are_where_the_card_says_they_are():
    from earwitness.audio.protocol import Utterance
    from earwitness.decision.calibration import posterior_of_fake
    from earwitness.training.export import OutOfFold, calibrate, transfer

    rng = np.random.default_rng(0)
    bona_fide = rng.random(2_000) < 0.5
    scores = np.where(bona_fide, 1.0, -1.0) + rng.normal(0, 1.5, 2_000)
    rows = [
        Utterance(id=str(i), path=Path(), bona_fide=bool(b), dataset="", group=f"page{i % 40}", fold=i % 4)
        for i, b in enumerate(bona_fide)
    ]
    found = OutOfFold(rows, scores, bona_fide, [np.array([s]) for s in scores])
    clip, _, thresholds = calibrate(found)
    p_fake = np.asarray(posterior_of_fake(clip.apply(scores), 0.5))
    assert (p_fake[bona_fide] >= thresholds["fake"]).mean() == pytest.approx(0.1, abs=0.01)
    assert (p_fake[~bona_fide] <= thresholds["genuine"]).mean() == pytest.approx(0.1, abs=0.01)
    llr, verdicts = transfer(found)
    assert np.corrcoef(llr, scores)[0, 1] > 0.999
    assert (verdicts[bona_fide] == "fake").mean() == pytest.approx(0.1, abs=0.03)
