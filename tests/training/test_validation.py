from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from miniature import make_bundle, make_corpus  # noqa: E402

from earwitness.audio.protocol import Utterance, read_protocols  # noqa: E402
from earwitness.decision.detector import load_detector  # noqa: E402
from earwitness.decision.network import load_network, read_blueprint  # noqa: E402
from earwitness.errors import InputError  # noqa: E402
from earwitness.training.trainee import Trainee  # noqa: E402
from earwitness.training.validation import (  # noqa: E402
    Lengths,
    Middles,
    batches_of,
    gather,
    judge,
    score_items,
)


def clip(name, duration=2.0, bona_fide=True, dataset="d"):
    return Utterance(id=name, path=Path(name), bona_fide=bona_fide, dataset=dataset, duration_s=duration)


def scores_of(trainee, items, seconds, lengths=Lengths()):
    rows = range(len(items))
    return gather(items, score_items(trainee, items, rows, Middles(items), seconds, lengths, "cpu"))


def test_scores_are_those_of_the_detector_alone(tmp_path):
    folder = make_bundle(tmp_path / "bundle")
    items = read_protocols([make_corpus(tmp_path / "corpus", 9)])
    import json

    card = json.loads((folder / "model.json").read_text())
    network = load_network(read_blueprint(card, folder), folder / "model.safetensors")
    scores = scores_of(Trainee(network), items, 6.0).scores
    detector = load_detector(folder, engine="torch")
    import soundfile

    for item, score in zip(items, scores, strict=True):
        audio = soundfile.read(item.path, dtype="float32")[0]
        assert score == pytest.approx(float(detector.run([audio]).score[0]), abs=1e-4)


def test_a_damaged_recording_is_left_unscored(tmp_path):
    items = read_protocols([make_corpus(tmp_path / "corpus", 4)])
    items[2].path.write_bytes(b"RIFF")

    class Counting(torch.nn.Module):
        def forward(self, waveform, lengths):
            return lengths.float(), None

    scores = scores_of(Counting(), items, 100.0).scores
    assert np.isnan(scores[2])
    assert np.isfinite(scores[[0, 1, 3]]).all()


def test_long_recordings_give_their_middle(write):
    audio = np.zeros(40 * 16_000, np.float32)
    audio[: 5 * 16_000] = 0.5
    audio[-5 * 16_000 :] = -0.5
    item = clip(str(write("long.wav", audio)), 40.0)

    class Loudest(torch.nn.Module):
        def forward(self, waveform, lengths):
            assert lengths.tolist() == [30 * 16_000]
            return waveform.abs().amax(1), None

    assert scores_of(Loudest(), [item], 60.0).scores[0] == 0.0


def test_batches_hold_like_lengths_within_the_budget():
    items = [clip(str(i), d) for i, d in enumerate([1.0, 9.0, 2.0, 50.0, 3.0])]
    assert list(batches_of(items, 12.0, False)) == [[0, 2, 4], [1], [3]]
    assert list(batches_of(items, 12.0, True)) == [[0], [2], [4], [1], [3]]


def test_data_sets_are_judged_apart_and_count_alike():
    items = [clip(str(i), bona_fide=i % 2 == 0, dataset="a" if i < 4 else "b") for i in range(12)]
    items.append(clip("only-fakes", bona_fide=False, dataset="c"))
    scores = np.array([1, 0, 1, 0] + [0, 1] * 4 + [0.0])
    found = judge(items, gather(items, [(i, scores[i : i + 1], None) for i in range(13)]))
    assert (found["a"], found["b"], found["mean"]) == (0.0, 1.0, 0.5)
    assert "c" not in found


def test_a_missing_class_is_said():
    items = [clip("x"), replace(clip("y"), bona_fide=False)]
    trials = gather(items, [(0, np.array([1.0]), None)])
    with pytest.raises(InputError, match="no spoofed recording"):
        judge(items, trials)
