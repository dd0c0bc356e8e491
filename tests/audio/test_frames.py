import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from earwitness.audio.frames import SAMPLE_RATE, FrameGrid, Windowing, cut_windows

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


# Frames


GRIDS = st.integers(1, 50).flatmap(
    lambda hop: st.integers(1, 80).flatmap(
        lambda length: st.builds(FrameGrid, st.just(hop), st.just(length), st.integers(0, length))
    )
)


def brute_force_cells(grid, samples, frames):
    """The frame that speaks for each sample: the nearest middle, the later of two as near."""
    distance = np.abs(np.arange(samples)[:, None] - grid.middles(frames)[None])
    return frames - 1 - distance[:, ::-1].argmin(axis=1)


@settings(max_examples=200, deadline=None)
@given(grid=GRIDS, samples=st.integers(0, 400))
def test_frames_are_those_that_fit_into_the_clip(grid, samples):
    starts = [t for t in range(samples) if t % grid.hop == 0 and t + grid.length <= samples]
    assert grid.count(samples) == len(starts)
    np.testing.assert_array_equal(grid.middles(len(starts)), np.array(starts, int) + grid.middle)


@settings(max_examples=200, deadline=None)
@given(grid=GRIDS, frames=st.integers(1, 20), more=st.integers(0, 100))
def test_each_sample_belongs_to_the_frame_with_the_nearest_middle(grid, frames, more):
    samples = grid.hop * (frames - 1) + grid.length + more
    owner = brute_force_cells(grid, samples, frames)
    np.testing.assert_array_equal(np.minimum(grid.cells(np.arange(samples)), frames - 1), owner)
    edges = np.round(grid.edges(frames, samples) * SAMPLE_RATE * 2) / 2  # whole and half samples
    assert (edges[0], edges[-1], len(edges)) == (0, samples, frames + 1)
    for cell in range(frames):
        inside = np.flatnonzero((edges[cell] <= np.arange(samples)) & (np.arange(samples) < edges[cell + 1]))
        np.testing.assert_array_equal(inside, np.flatnonzero(owner == cell))


@settings(max_examples=200, deadline=None)
@given(
    grid=GRIDS,
    samples=st.integers(1, 600),
    cuts=st.lists(st.integers(0, 600), max_size=6),
    padding=st.integers(0, 5),
)
def test_labels_are_those_of_the_middle_samples(grid, samples, cuts, padding):
    truth = np.zeros(samples, bool)
    ordered = sorted(min(cut, samples) for cut in cuts)
    spans = list(zip(ordered[::2], ordered[1::2], strict=False))
    for start, stop in spans:
        truth[start:stop] = True
    frames = grid.count(samples)
    labels = grid.labels(spans, frames + padding)
    middles = range(grid.middle, grid.middle + grid.hop * (frames + padding), grid.hop)
    assert labels.tolist() == [m < samples and bool(truth[m]) for m in middles]


def test_frames_beyond_the_end_have_empty_cells_and_no_frames_no_cell():
    grid = FrameGrid(320, 400, 200)
    edges = grid.edges(5, 720)
    np.testing.assert_allclose(edges * SAMPLE_RATE, [0, 360, 680, 720, 720, 720])
    assert len(grid.edges(0, 720)) == 1
    assert grid.count(399) == 0
    assert (grid.hop_s, grid.length_s, grid.middle_s) == (0.02, 0.025, 0.0125)


@given(grid=GRIDS)
def test_seconds_of_a_card_give_the_grid_back(grid):
    assert FrameGrid.from_seconds(grid.hop_s, grid.length_s, grid.middle_s) == grid


@pytest.mark.parametrize("numbers", [(0, 1, 0), (1, 0, 0), (1, 1, 2), (1, 1, -1)])
def test_grids_that_cannot_be_are_refused(numbers):
    with pytest.raises(ValueError, match="no frames lie"):
        FrameGrid(*numbers)
