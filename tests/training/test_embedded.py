"""The recipe on twelve clips; needs torch, which scanning does not."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

torch = pytest.importorskip("torch")

COLUMNS = (
    "id,path,label,system,arch,family,source_corpus,speaker,page,page_fold,duration_s,"
    "licence_class,licence,source"
)


@pytest.fixture
def corpus(tmp_path, speech):
    """Speech against the same speech with its phase destroyed, on four pages."""
    rng = np.random.default_rng(0)
    for name in ("demos", "packages"):
        folder = tmp_path / "corpus" / name
        folder.mkdir(parents=True)
        lines = [COLUMNS]
        for i in range(8 if name == "demos" else 4):
            clip = speech[i * 8_000 : i * 8_000 + 48_000]
            if i % 2:
                spectrum = np.abs(np.fft.rfft(clip))
                clip = np.fft.irfft(spectrum * np.exp(2j * np.pi * rng.random(len(spectrum))))
            soundfile.write(folder / f"{i}.flac", clip, 16_000)
            label = "fake" if i % 2 else "real"
            lines.append(f"{name}{i},{i}.flac,{label},s{i},a{i},tts,c,,page{i // 2},{i // 2},3.0,open,open,c")
        (folder / "manifest.csv").write_text("\n".join(lines) + "\n")
    return tmp_path / "corpus"


@pytest.fixture
def quick():
    from earwitness.training.embedded import Embedded

    return Embedded(steps=4, batch=4, crop_s=(1.0, 1.5), warm_up=1, save_every=2)


def test_a_run_writes_scores_of_the_held_out_page_only(corpus, tmp_path, quick):
    from earwitness.training.embedded import train

    train(corpus, tmp_path / "runs", 1, quick)
    with np.load(tmp_path / "runs" / "fold-1.npz") as saved:
        assert sorted(saved["id"]) == ["demos2", "demos3"]
        assert np.isfinite(saved["score"]).all()
        assert saved["frame_counts"].sum() == len(saved["frames"])


def test_an_interrupted_run_ends_as_an_unbroken_one(corpus, tmp_path, quick, monkeypatch):
    from earwitness.training import embedded

    embedded.train(corpus, tmp_path / "whole", None, quick)
    drawn = embedded.draw_batch

    def stop_at_three(rows, audio, weights, options, step):
        if step == 3:
            raise KeyboardInterrupt
        return drawn(rows, audio, weights, options, step)

    monkeypatch.setattr(embedded, "draw_batch", stop_at_three)
    with pytest.raises(KeyboardInterrupt):
        embedded.train(corpus, tmp_path / "broken", None, quick)
    monkeypatch.setattr(embedded, "draw_batch", drawn)
    embedded.train(corpus, tmp_path / "broken", None, quick)
    whole, broken = (
        torch.load(tmp_path / name / "all.pt", weights_only=True)["weights"] for name in ("whole", "broken")
    )
    for name, tensor in whole.items():
        torch.testing.assert_close(broken[name], tensor, msg=name)


def test_batches_are_half_bona_fide_and_follow_their_step(corpus, quick):
    from earwitness.audio.io import load
    from earwitness.training.embedded import draw_batch, read_corpus, sampling_weights

    rows = read_corpus(corpus)
    audio = [(load(row.path) * 32_767).astype(np.int16) for row in rows]
    weights = sampling_weights(rows, quick)
    one, labels = draw_batch(rows, audio, weights, quick, 3)
    two, _ = draw_batch(rows, audio, weights, quick, 3)
    three, _ = draw_batch(rows, audio, weights, quick, 4)
    torch.testing.assert_close(one, two)
    assert one.shape != three.shape or not torch.equal(one, three)
    assert labels.tolist() == [1, 0, 1, 0]


def test_pages_of_one_class_are_drawn_less():
    from earwitness.audio.protocol import Utterance
    from earwitness.training.embedded import Embedded, sampling_weights

    row = Utterance(id="", path=Path(), bona_fide=True, dataset="", group="both", fold=0)
    rows = [
        *[row] * 4,
        *[replace(row, bona_fide=False)] * 4,
        *[replace(row, group="single")] * 4,
        *[replace(row, group="engine", fold=None)] * 9,
        *[replace(row, group="engine", fold=None, bona_fide=False)] * 9,
    ]
    weights = sampling_weights(rows, Embedded(demos_share=0.7, one_class_page=0.3))
    assert weights[True].sum() == pytest.approx(1)
    assert weights[True][:4].sum() == pytest.approx(0.7 / 1.3)
    assert weights[True][8:12].sum() == pytest.approx(0.7 * 0.3 / 1.3)
    assert weights[True][12:21].sum() == pytest.approx(0.3)
    assert weights[False][4:8].sum() == pytest.approx(0.7)
