from collections import Counter

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from miniature import make_corpus  # noqa: E402

from earwitness.audio.augment.chain import parse_chain  # noqa: E402
from earwitness.audio.io import load, load_part  # noqa: E402
from earwitness.audio.protocol import read_protocols  # noqa: E402
from earwitness.errors import InputError  # noqa: E402
from earwitness.training.clips import Batches, cut, lengthen  # noqa: E402
from earwitness.training.sampling import Packing  # noqa: E402

PACKING = Packing(seconds=12, crop_s=(1, 1.2), balance=0.5, seed=3)


def test_a_part_is_that_stretch_of_the_whole(samples):
    whole = load(samples / "genuine-ljspeech.flac")
    for start, count in ((0, 100), (12_345, 30_000), (len(whole) - 500, 9_000), (len(whole) + 5, 10)):
        np.testing.assert_array_equal(
            load_part(samples / "genuine-ljspeech.flac", start, count), whole[start : start + count]
        )


def test_short_recordings_are_repeated(tmp_path):
    np.testing.assert_array_equal(lengthen(np.arange(3), 7), [0, 1, 2, 0, 1, 2, 0])
    items = read_protocols([make_corpus(tmp_path / "c", 4)])
    audio = cut(items[0], 60_000, True, np.random.default_rng(0))
    assert len(audio) == 60_000


def batches(items, chain="", workers=0, packing=PACKING):
    data = Batches(items, packing, parse_chain(chain), batches=6)
    return list(torch.utils.data.DataLoader(data, batch_size=None, num_workers=workers))


def test_workers_do_not_change_what_is_seen(tmp_path):
    items = read_protocols([make_corpus(tmp_path / "c", 16)])
    alone, helped = batches(items, "level:1"), batches(items, "level:1", workers=2)
    for one, other in zip(alone, helped, strict=True):
        assert torch.equal(one.waveform, other.waveform)
        assert torch.equal(one.labels, other.labels)
        assert one.next_place == other.next_place


def test_clips_are_the_stretches_of_their_recordings_with_zeros_behind(tmp_path):
    items = read_protocols([make_corpus(tmp_path / "c", 16)])
    for clips in batches(items):
        assert clips.labels.tolist() == [1, 0] * (len(clips.labels) // 2)
        for waveform, length in zip(clips.waveform, clips.lengths, strict=True):
            assert not waveform[length:].any()
            assert waveform[:length].abs().max() > 0
            assert length <= 1.2 * 16_000


def test_steps_are_counted(tmp_path):
    items = read_protocols([make_corpus(tmp_path / "c", 16)])
    made = batches(items, "level:0.5")
    applied = sum((clips.applied for clips in made), Counter())
    clips = sum(len(clips.labels) for clips in made)
    assert 0.3 < applied["level"] / clips < 0.7


def test_what_cannot_be_decoded_is_replaced_by_its_class_and_named(tmp_path):
    items = read_protocols([make_corpus(tmp_path / "c", 16)])
    items[0].path.write_bytes(b"not audio")
    made = batches(items)
    named = [name for clips in made for name, _ in clips.unreadable]
    assert set(named) == {items[0].id}
    assert all(clips.labels.tolist() == [1, 0] * (len(clips.labels) // 2) for clips in made)


def test_where_nothing_can_be_decoded_the_run_stops(tmp_path):
    items = read_protocols([make_corpus(tmp_path / "c", 4)])
    for item in items:
        item.path.unlink()
    with pytest.raises(InputError, match="20 recordings in a row"):
        batches(items)
