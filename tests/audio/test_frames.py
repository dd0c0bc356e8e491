import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from earwitness.audio.frames import SAMPLE_RATE, Windowing, cut_windows

SMALL = Windowing(whole_s=0.03, window_s=0.012, hop_s=0.008)  # 480, 192, 128 samples
TILES = Windowing(whole_s=0.03, window_s=0.03, hop_s=0.03)  # as models of one length need


@settings(max_examples=200, deadline=None)
@given(length=st.integers(0, 3000), block=st.integers(1, 700), windowing=st.sampled_from([SMALL, TILES]))
def test_windows_cover_everything_and_hold_what_they_say(length, block, windowing):
    size, hop = (round(s * SAMPLE_RATE) for s in (windowing.window_s, windowing.hop_s))
    audio = np.arange(length, dtype=np.float32)
    blocks = [audio[i : i + block] for i in range(0, length, block)]
    windows = list(cut_windows(blocks, windowing))
    covered = np.zeros(length, bool)
    for start, window in windows:
        np.testing.assert_array_equal(window, audio[start : start + len(window)])
        covered[start : start + len(window)] = True
    assert covered.all()
    if 0 < length <= 480:
        assert len(windows) == 1
    if length > 480:
        assert {len(window) for _, window in windows} == {size}
        starts = [start for start, _ in windows]
        assert starts[:-1] == list(range(0, hop * (len(starts) - 1), hop))


def test_default_windows_are_whole_to_30_s_and_at_least_10_s_beyond():
    whole = list(cut_windows([np.zeros(30 * SAMPLE_RATE, np.float32)]))
    assert [len(w) / SAMPLE_RATE for _, w in whole] == [30.0]
    cut = list(cut_windows([np.zeros(30 * SAMPLE_RATE + 1, np.float32)]))
    assert len(cut) > 1
    assert all(len(w) >= 10 * SAMPLE_RATE for _, w in cut)


def test_memory_does_not_grow_with_the_recording():
    largest = 0

    def blocks():
        for _ in range(1000):  # 500 s
            yield np.zeros(8_000, np.float32)

    for _, window in cut_windows(blocks()):
        base = window.base if window.base is not None else window
        largest = max(largest, base.nbytes)
    assert largest <= 4 * 31 * SAMPLE_RATE


def test_windows_longer_than_a_whole_clip_are_refused():
    with pytest.raises(ValueError, match="whole"):
        Windowing(whole_s=10, window_s=12, hop_s=8)
