"""Truth and hypothesis laid over each other: segments, pieces and overlaps, against counted milliseconds."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from partial_fakes import made_up, milliseconds, scores_by_millisecond

from earwitness.audio.frames import FrameGrid
from earwitness.errors import InputError
from earwitness.metrics import spans
from earwitness.metrics.resampling import Units
from earwitness.metrics.spans import Recording, overlap, packed, pieces, pooled, segments

NONE = np.empty((0, 2))


def framed(duration, spoof, hop, scores):
    return Recording(
        duration, np.array(spoof).reshape(-1, 2), np.arange(len(scores) + 1) * hop, np.array(scores)
    )


def test_segments_pool_frames_by_their_minimum_and_keep_the_remainder():
    recording = framed(0.14, [[0.05, 0.07]], 0.02, [5, 4, 3, 6, 7, 9, 8])
    timed = segments(pooled([recording]), 0.04)
    assert timed.scores.tolist() == [4, 3, 7, 8]
    assert timed.spoof.tolist() == [False, True, False, False]
    assert timed.weights.tolist() == [1] * 4


def test_finer_segments_repeat_scores_but_not_labels():
    recording = framed(0.06, [[0.021, 0.029]], 0.02, [1, 2, 3])
    timed = segments(pooled([recording]), 0.01)
    assert timed.scores.tolist() == [1, 1, 2, 2, 3, 3]
    assert timed.spoof.tolist() == [False, False, True, False, False, False]


def test_any_part_makes_a_segment_spoof_and_a_touch_does_not():
    def labels(*span):
        return segments(pooled([framed(0.08, [span], 0.02, [0.0] * 4)]), 0.02).spoof.tolist()

    assert labels(0.02, 0.04) == [False, True, False, False]
    assert labels(0.0199, 0.0401) == [True, True, True, False]
    assert labels(0.079, 0.08) == [False, False, False, True]


@pytest.mark.parametrize("resolution_ms", [10, 20, 40, 80, 160, 320, 640])
def test_segments_are_those_of_counted_milliseconds(resolution_ms):
    recordings = made_up(1, 60)
    timed = segments(pooled(recordings), resolution_ms / 1000)
    labels, scores, of = [], [], []
    for i, item in enumerate(recordings):
        spoofed, by_ms = milliseconds(item.spoof, item.duration_s), scores_by_millisecond(item)
        for begin in range(0, len(spoofed), resolution_ms):
            labels.append(spoofed[begin : begin + resolution_ms].any())
            scores.append(by_ms[begin : begin + resolution_ms].min())
            of.append(i)
    assert timed.spoof.tolist() == labels
    assert timed.scores.tolist() == scores
    assert timed.of.tolist() == of


@given(
    hop=st.integers(80, 800),
    length=st.integers(1, 1200),
    middle=st.floats(0, 1),
    samples=st.integers(1, 40_000),
    resolution=st.sampled_from([0.01, 0.02, 0.04, 0.16, 0.64]),
)
def test_every_segment_has_a_score_and_no_frame_is_lost(hop, length, middle, samples, resolution):
    grid = FrameGrid(hop, length, round(middle * length))
    frames = max(1, grid.count(samples))
    edges = np.unique(grid.edges(frames, samples))
    scores = np.random.default_rng(samples).normal(size=len(edges) - 1)
    timed = segments(pooled([Recording(samples / 16_000, NONE, edges, scores)]), resolution)
    assert len(timed.scores) == max(1, int(np.ceil(samples / 16_000 / resolution - 1e-6)))
    assert set(timed.scores) <= set(scores)
    assert timed.scores.min() == scores.min()
    at = np.minimum((edges[:-1] + edges[1:]) / 2 / resolution + 1e-6, len(timed.scores) - 1).astype(int)
    assert np.all(timed.scores[at] <= scores)
    for i, score in enumerate(timed.scores):  # each is of a frame that overlaps the segment
        (frame,) = np.flatnonzero(scores == score)
        assert edges[frame] < (i + 1) * resolution
        assert edges[frame + 1] > i * resolution


def test_frames_of_a_network_stand_for_the_segments_of_their_hop():
    grid = FrameGrid(320, 400, 200)  # cells are 2.5 ms off the segments
    scores = np.arange(50.0)
    recording = Recording(1.0025, NONE, grid.edges(50, 16_040), scores)
    assert segments(pooled([recording]), 0.02).scores[:50].tolist() == scores.tolist()
    assert segments(pooled([recording]), 0.04).scores[:25].tolist() == scores[::2].tolist()


def test_frames_are_stretched_or_trimmed_to_the_recording():
    for frames, hop in ((3, 0.02), (9, 0.02), (4, 0.025)):
        recording = framed(0.09, [[0.0, 0.09]], hop, list(range(frames)))
        timed = pieces(pooled([recording]))
        assert timed.weights.sum() == pytest.approx(0.09)
        assert timed.scores.tolist() == [i for i in range(frames) if i * hop < 0.09]
    late = Recording(1.0, NONE, np.array([0.3, 0.5]), np.array([2.0]))
    assert pieces(pooled([late])).weights.tolist() == [1.0]


def test_pieces_are_those_of_counted_milliseconds():
    recordings = made_up(2, 40, hop_ms=23)
    timed = pieces(pooled(recordings))
    for i, item in enumerate(recordings):
        spoofed, scores = milliseconds(item.spoof, item.duration_s), scores_by_millisecond(item)
        here = timed.of == i
        lengths = np.round(timed.weights[here] * 1000).astype(int)
        assert np.allclose(timed.weights[here] * 1000, lengths)
        assert np.repeat(timed.spoof[here], lengths).tolist() == spoofed.tolist()
        assert np.repeat(timed.scores[here], lengths).tolist() == scores.tolist()


def test_overlaps_are_those_of_counted_milliseconds():
    recordings = made_up(3, 80)
    hit, alarm, missed = overlap(pooled(recordings))
    for i, item in enumerate(recordings):
        spoofed, found = (milliseconds(one, item.duration_s) for one in (item.spoof, item.found))
        counts = (spoofed & found).sum(), (~spoofed & found).sum(), (spoofed & ~found).sum()
        assert np.allclose(np.array([hit[i], alarm[i], missed[i]]) * 1000, counts)


def test_spoofed_spans_that_touch_are_one_and_found_ones_end_with_the_recording():
    touching = Recording(
        2.0, np.array([[0.2, 0.5], [0.5, 0.9], [1.0, 1.1]]), found=np.array([[1.5, 9.0], [9.5, 10]])
    )
    pool = pooled([touching])
    assert list(zip(pool.spoof.start, pool.spoof.end, strict=True)) == [(0.2, 0.9), (1.0, 1.1)]
    assert (pool.found.start.tolist(), pool.found.end.tolist()) == ([1.5], [2.0])


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"duration_s": 0.0}, "bad-spans"),
        ({"duration_s": float("nan")}, "bad-spans"),
        ({"spoof": np.array([[0.5, 0.5]])}, "bad-spans"),
        ({"spoof": np.array([[0.5, 0.4]])}, "bad-spans"),
        ({"spoof": np.array([[-0.1, 0.4]])}, "bad-spans"),
        ({"spoof": np.array([[0.1, float("nan")]])}, "bad-spans"),
        ({"spoof": np.array([[0.1, 0.4], [0.3, 0.5]])}, "bad-spans"),
        ({"spoof": np.array([[0.5, 1.5]])}, "bad-spans"),
        ({"spoof": np.array([0.5, 0.6])}, "bad-spans"),
        ({"found": np.array([[0.5, 0.4]])}, "bad-spans"),
        ({"edges": np.array([0.0, 1.0])}, "bad-spans"),
        ({"scores": np.array([1.0])}, "bad-spans"),
        ({"edges": np.array([0.0, 0.5, 0.5]), "scores": np.zeros(2)}, "bad-spans"),
        ({"edges": np.array([2.0, 3.0]), "scores": np.zeros(1)}, "bad-spans"),
        ({"edges": np.array([0.0, 1.0]), "scores": np.zeros(2)}, "bad-scores"),
        ({"edges": np.array([0.0, 1.0]), "scores": np.array([np.nan])}, "bad-scores"),
        ({"found": np.array([[0.5, 0.6]]), "found_scores": np.zeros(2)}, "bad-scores"),
        ({"found_scores": np.zeros(1)}, "bad-scores"),
        ({"score": float("nan")}, "bad-scores"),
    ],
)
def test_what_makes_no_sense_is_refused(fields, code):
    with pytest.raises(InputError) as caught:
        Recording(**{"duration_s": 1.0, "spoof": NONE} | fields)
    assert caught.value.code == code


def test_recordings_have_the_same_fields_and_metrics_say_what_they_lack():
    frames = framed(1.0, [], 0.5, [1, 2])
    with pytest.raises(InputError, match="1 of 2 recordings have edges"):
        pooled([frames, Recording(1.0, NONE)])
    with pytest.raises(InputError, match="found none"):
        pooled([])
    for metric in (pieces, lambda pool: segments(pool, 0.01)):
        with pytest.raises(InputError, match="needs scores of frames"):
            metric(pooled([Recording(1.0, NONE)]))
    with pytest.raises(InputError, match="needs spans found"):
        overlap(pooled([frames]))
    with pytest.raises(InputError, match="longer than 0 s"):
        segments(pooled([frames]), 0.0)


def test_recordings_are_drawn_by_themselves_or_by_group():
    recordings = made_up(4, 30, spoofed=0.5)
    alone = pooled(recordings).units
    genuine = [not len(item.spoof) for item in recordings]
    assert alone.strata == (sum(genuine), 0, 30 - sum(genuine))
    grouped = pooled(recordings, np.arange(30) % 5).units
    assert sum(grouped.strata) == 5
    assert all(len(set(grouped.of_trial[i::5])) == 1 for i in range(5))


def test_packs_are_even_and_keep_to_their_stratum(monkeypatch):
    monkeypatch.setattr(spans, "PACKS", 4)
    units = Units(np.concatenate([np.repeat(np.arange(10), 3), [10, 11, 12]]), (10, 0, 3))
    dealt = packed(units, np.random.default_rng(0))
    assert dealt.strata == (4, 0, 3)
    assert dealt.of_trial[30:].tolist() == [4, 5, 6]
    assert sorted(np.bincount(dealt.of_trial[:30]).tolist()) == [6, 6, 9, 9]
    assert all(len(set(dealt.of_trial[3 * i : 3 * i + 3])) == 1 for i in range(10))
