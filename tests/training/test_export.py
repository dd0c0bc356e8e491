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
    from earwitness.training.export import ERROR_SHARE, OutOfFold, calibrate, transfer

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
    wrong = (
        (p_fake[bona_fide] >= thresholds["fake"]).mean(),
        (p_fake[~bona_fide] <= thresholds["genuine"]).mean(),
    )
    right = (
        (p_fake[~bona_fide] >= thresholds["fake"]).mean(),
        (p_fake[bona_fide] <= thresholds["genuine"]).mean(),
    )
    assert wrong[0] == pytest.approx(wrong[1], abs=0.003)
    assert sum(wrong) / sum(wrong + right) == pytest.approx(ERROR_SHARE, abs=0.004)
    llr, verdicts = transfer(found)
    assert np.corrcoef(llr, scores)[0, 1] > 0.999
    decided = verdicts != "uncertain"
    assert (np.where(bona_fide, "genuine", "fake") != verdicts)[decided].mean() == pytest.approx(
        ERROR_SHARE, abs=0.015
    )


def test_where_nothing_can_be_told_apart_nothing_is_answered():
    from earwitness.training.export import find_thresholds

    p_fake = np.random.default_rng(0).random((2, 1_000))
    thresholds = find_thresholds(*p_fake)
    assert (p_fake >= thresholds["fake"]).mean() < 0.003
    assert (p_fake <= thresholds["genuine"]).mean() < 0.003


class Layers(torch.nn.Module):
    """Two layers, one with weights that half precision holds."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(2)
        self.rough, self.exact = torch.nn.Linear(64, 64), torch.nn.Linear(64, 64)
        self.exact.weight.data = self.exact.weight.data.half().float()

    def forward(self, waveform, lengths):
        embedding = self.exact(self.rough(waveform[:, :64])) / lengths[:, None]
        return embedding.sum(1), embedding


def test_weights_are_halved_where_that_loses_nothing(tmp_path):
    import onnx

    from earwitness.decision.engines import open_graph
    from earwitness.decision.graph import write_graph
    from earwitness.training.export import halve

    graph = tmp_path / "model.onnx"
    write_graph(Layers().eval(), graph, 8_000)
    clip = np.random.default_rng(3).normal(0, 0.1, 30_000).astype(np.float32)
    before = open_graph(graph)([clip])
    halve(graph)
    after = open_graph(graph)([clip])
    np.testing.assert_array_equal(after.score, before.score)
    np.testing.assert_array_equal(after.embedding, before.embedding)
    kept = [t.data_type for t in onnx.load(graph).graph.initializer if np.prod(t.dims) == 64 * 64]
    assert sorted(kept) == [onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16]


def test_tones_that_old_runs_scored_are_left_out(tmp_path):
    from earwitness.audio.corpora.demos import TONES
    from earwitness.training.export import read_out_of_fold

    header = "id,path,label,system,arch,family,speaker,page,page_fold,duration_s,licence_class\n"
    (tmp_path / "demos").mkdir()
    rows = "".join(f"r{fold},r.flac,real,s,a,none,,page{fold},{fold},1.0,open\n" for fold in range(4))
    (tmp_path / "demos" / "manifest.csv").write_text(header + rows)
    for fold in range(4):
        ids = np.array([f"r{fold}"] if fold != 2 else [min(TONES), "r2"])
        counts = np.arange(1, len(ids) + 1)  # frames: one of 7, then two of the fold's number
        frames = np.concatenate(
            [np.full(n, 7.0 if i in TONES else fold) for i, n in zip(ids, counts, strict=True)]
        )
        scores = np.array([99.0 if i in TONES else fold for i in ids])
        np.savez(tmp_path / f"fold-{fold}.npz", id=ids, score=scores, frames=frames, frame_counts=counts)
    found = read_out_of_fold(tmp_path, tmp_path)
    assert [row.id for row in found.rows] == ["r0", "r1", "r2", "r3"]
    assert found.scores.tolist() == [0, 1, 2, 3]
    assert [set(steps) for steps in found.steps] == [{0}, {1}, {2}, {3}]
