"""Spliced clips as they are trained on: labels say what is heard, and nothing depends on workers."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from miniature import make_corpus  # noqa: E402
from tiny import ARCHITECTURES, shake  # noqa: E402

from earwitness.audio.augment.chain import parse_chain  # noqa: E402
from earwitness.audio.augment.mixing import Splicing  # noqa: E402
from earwitness.audio.frames import FrameGrid  # noqa: E402
from earwitness.audio.protocol import read_protocols  # noqa: E402
from earwitness.decision.heads.output import HeadOutput  # noqa: E402
from earwitness.decision.network import Blueprint, Network, frame_grid  # noqa: E402
from earwitness.features.lora import LoraOptions, adapter_tensors, add_adapters  # noqa: E402
from earwitness.training.clips import Batches, filled  # noqa: E402
from earwitness.training.frames import FrameTask  # noqa: E402
from earwitness.training.sampling import Packing  # noqa: E402
from earwitness.training.trainee import Targets, Trainee, frame_losses  # noqa: E402

GRID = FrameGrid(320, 400, 200)
PACKING = Packing(seconds=12, crop_s=(1, 1.2), balance=0.5, seed=3)
ZEROS, ONES = np.zeros(20_000, np.float32), np.full(20_000, 0.5, np.float32)


def heard(audio):
    """Whether the sample in the middle of each frame is a one."""
    return audio[GRID.middles(GRID.count(len(audio)))] == 0.5


@pytest.mark.parametrize("base_is_real", [True, False])
@pytest.mark.parametrize("injector_is_real", [True, False])
@pytest.mark.parametrize("label", ["foreign", "spoof"])
@pytest.mark.parametrize("same_label", [0, 1])
def test_labels_say_what_is_heard(base_is_real, injector_is_real, label, same_label):
    task = FrameTask(GRID, Splicing(), label, 0.5, same_label)
    for seed in range(20):
        audio, labels, bona_fide = task.mix(
            (ZEROS, base_is_real), (ONES, injector_is_real), np.random.default_rng(seed)
        )
        injected = heard(audio)
        assert 0.1 < injected.mean() < 0.3 + 2 / len(injected)
        if label == "spoof":
            wanted = np.where(injected, not injector_is_real, not base_is_real)
        elif base_is_real == injector_is_real:
            wanted = injected & bool(same_label)
        else:
            wanted = injected
        np.testing.assert_array_equal(labels, wanted)
        assert bona_fide == (base_is_real and injector_is_real)


@pytest.mark.parametrize(
    ("label", "real", "expected"), [("spoof", False, 1), ("spoof", True, 0), ("foreign", False, 0)]
)
def test_clips_left_whole_have_one_label(label, real, expected):
    task = FrameTask(GRID, label=label, whole=1.0)
    audio, labels, bona_fide = task.mix((ZEROS, real), (ONES, not real), np.random.default_rng(0))
    assert not audio.any()
    assert (labels == expected).all()
    assert bona_fide == real


def batches(items, task, workers=0):
    data = Batches(items, PACKING, parse_chain("level:1"), batches=5, frames=task)
    return list(torch.utils.data.DataLoader(data, batch_size=None, num_workers=workers))


def test_batches_hold_spliced_clips_whoever_makes_them(tmp_path):
    items = read_protocols([make_corpus(tmp_path / "c", 16)])
    task = FrameTask(GRID, same_class=0.5)
    for one, other in zip(batches(items, task), batches(items, task, workers=2), strict=True):
        assert torch.equal(one.waveform, other.waveform)
        assert torch.equal(one.frames, other.frames)
        for frames, length in zip(one.frames, one.lengths, strict=True):
            inside = GRID.count(int(length))
            assert (frames[:inside] >= 0).all()
            assert (frames[inside:] == -1).all()
            assert 0.05 < frames[:inside].mean() < 0.35


def test_a_spliced_clip_is_the_other_half_of_its_pair(tmp_path):
    items = read_protocols([make_corpus(tmp_path / "c", 16)])
    plain = next(iter(Batches(items, PACKING, parse_chain(""))))
    mixed = next(iter(Batches(items, PACKING, parse_chain(""), frames=FrameTask(GRID))))
    assert plain.labels.tolist()[:2] == [1, 0]
    assert not mixed.labels.any()  # a part of each is spoofed
    for i, frames in enumerate(mixed.frames):
        changed = (plain.waveform[i] != mixed.waveform[i]).numpy()
        middles = GRID.middles(GRID.count(int(mixed.lengths[i])))
        np.testing.assert_array_equal(changed[middles], frames[: len(middles)].numpy() == 1)


def test_frame_losses_are_the_mean_inside_each_clip():
    scores = torch.tensor([[2.0, -1.0, 9.0], [0.5, 0.0, 3.0]])
    wanted = torch.tensor([[0.0, 1.0, -1.0], [1.0, 0.0, 0.0]])
    found = frame_losses(
        HeadOutput(torch.zeros(2, 2), torch.zeros(2, 1), scores), Targets(torch.zeros(2), wanted)
    )
    sigmoid = 1 / (1 + np.exp(-scores.numpy()))  # the probability of not being foreign
    expected = [
        -(np.log(sigmoid[0, 0]) + np.log(1 - sigmoid[0, 1])) / 2,
        -(np.log(1 - sigmoid[1, 0]) + np.log(sigmoid[1, 1]) + np.log(sigmoid[1, 2])) / 3,
    ]
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-6)


@pytest.mark.parametrize("family", ARCHITECTURES)
def test_frames_of_every_front_end_teach_its_adapters(family):
    torch.manual_seed(0)
    blueprint = Blueprint("linear", ARCHITECTURES[family])
    network, grid = Network(blueprint), frame_grid(blueprint)
    assert network.front_end is not None
    assert grid is not None
    shake(network)
    add_adapters(network.front_end, LoraOptions(rank=2, alpha=4))
    rng = np.random.default_rng(1)
    clips = [rng.standard_normal(samples).astype(np.float32) / 10 for samples in (9_000, 7_000)]
    mixed = [FrameTask(grid).mix((clips[i], i == 0), (clips[1 - i], i == 1), rng) for i in (0, 1)]
    waveform, frames = filled([row[0] for row in mixed], 0.0), filled([row[1] for row in mixed], -1.0)
    trainee = Trainee(network, frame_losses)
    losses = trainee(waveform, torch.tensor([9_000, 7_000]), torch.zeros(2, dtype=torch.long), frames)
    assert torch.isfinite(losses).all()
    losses.mean().backward()
    for name, tensor in adapter_tensors(network.front_end).items():
        if ".lora_B" in name:  # A learns once B is no longer zero
            assert tensor.grad is not None, name
            assert tensor.grad.abs().max() > 0, name
    assert network.head.project.weight.grad.abs().max() > 0
