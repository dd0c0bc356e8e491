import dataclasses
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.ndimage import median_filter

from earwitness.audio.frames import SAMPLE_RATE, FrameGrid, Windowing, cut_windows
from earwitness.decision.calibration import Calibration
from earwitness.decision.localisation import (
    FrameTrack,
    Localisation,
    SpanRule,
    find_spans,
    frame_spans,
    half_width,
    locate,
    make_timeline,
    runs,
    smooth,
    step_spans,
    worst_moment,
)
from earwitness.types import Timeline

SSL = FrameGrid(320, 400, 200)
SMALL = FrameGrid(640, 512, 256)
SAID = FrameGrid(320, 320, 0)
PLAIN = SpanRule(smooth_s=0.0, threshold=0.5, edge=0.5, min_s=0.0, merge_s=0.0)


def reading(grid, rule=PLAIN, by_frame=True, step_s=0.5, calibration=None):
    return Localisation(grid, step_s, calibration, rule, by_frame, calibration)


def truth_of(samples, cuts):
    """Per-sample truth and its spans, from places where it turns."""
    fake = np.zeros(samples, bool)
    ordered = sorted(set(cuts))
    spans = list(zip(ordered[::2], ordered[1::2], strict=False))
    for start, stop in spans:
        fake[start:stop] = True
    return fake, spans


def ideal(grid, fake, start, samples):
    """Scores of a network that is always right of its frames' middles, in a window."""
    middles = start + grid.middles(grid.count(samples))
    return np.where(fake[middles], -8.0, 8.0).astype(np.float32)


def track_of(grid, fake, windows):
    track = FrameTrack(grid)
    for start, samples in windows:
        track.add(start, samples, ideal(grid, fake, start, samples))
    return track


def found_in(track, how, speaking=(), duration_s=1e9):
    return locate(track, how, speaking, 0.5, duration_s)[1]


def slack(grid, edge, samples):
    """How far an edge may be off: half a hop, or what lies before the first middle or behind the last."""
    first, last = grid.middle, grid.middles(grid.count(samples))[-1]
    return max(grid.hop / 2, first if edge <= first else 0, samples - last if edge > last else 0)


CUTS = st.lists(st.integers(0, 40), max_size=6, unique=True)  # in steps of 2,400 samples: 0.15 s


# Where spans begin and end


@settings(max_examples=150, deadline=None)
@given(
    grid=st.sampled_from([SSL, SMALL, SAID]),
    cuts=CUTS,
    shift=st.integers(0, 2_399),
    more=st.integers(0, 639),
    smooth_s=st.sampled_from([0.0, 0.06, 0.1]),
    threshold=st.sampled_from([0.05, 0.5, 0.95]),
)
def test_ideal_scores_give_the_spans_to_half_a_hop(grid, cuts, shift, more, smooth_s, threshold):
    samples = 41 * 2_400 + more
    fake, spans = truth_of(samples, [2_400 * cut + shift for cut in cuts])
    rule = dataclasses.replace(PLAIN, smooth_s=smooth_s, threshold=threshold, edge=threshold)
    found = found_in(track_of(grid, fake, [(0, samples)]), reading(grid, rule))
    assert len(found) == len(spans)
    for span, (start, stop) in zip(found, spans, strict=True):
        for edge_s, edge in ((span.start_s, start), (span.end_s, stop)):
            off = abs(edge_s * SAMPLE_RATE - edge)
            assert off <= slack(grid, edge, samples) + 1e-6, (span, start, stop)
        assert span.p_fake == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("grid", [SSL, SMALL, SAID])
@pytest.mark.parametrize("start", [0, 12_345])
def test_spans_reach_the_beginning_and_the_end_of_what_was_scored(grid, start):
    samples = 50_001
    fake = np.zeros(start + samples, bool)
    fake[: start + 16_000] = fake[start + 32_000 :] = True
    first, last = found_in(track_of(grid, fake, [(start, samples)]), reading(grid))
    assert first.start_s == pytest.approx(start / SAMPLE_RATE)
    assert last.end_s == pytest.approx((start + samples) / SAMPLE_RATE)
    (whole,) = found_in(track_of(grid, np.ones_like(fake), [(start, samples)]), reading(grid))
    assert (whole.start_s, whole.end_s) == (first.start_s, last.end_s)


def windows_of(samples, windowing):
    return [(start, len(window)) for start, window in cut_windows([np.zeros(samples, np.float32)], windowing)]


@settings(max_examples=150, deadline=None)
@given(
    grid=st.sampled_from([SSL, SMALL, SAID]), cuts=CUTS, shift=st.integers(0, 2_399), more=st.integers(0, 639)
)
def test_windows_give_what_the_whole_gives(grid, cuts, shift, more):
    samples = 41 * 2_400 + more
    fake, _ = truth_of(samples, [2_400 * cut + shift for cut in cuts])
    windows = windows_of(samples, Windowing(whole_s=1.6, window_s=1.2, hop_s=0.8))  # whole hops of every grid
    assert len(windows) > 5
    whole, parts = (track_of(grid, fake, each) for each in ([(0, samples)], windows))
    (one,), (joined,) = whole.stretches, parts.stretches
    moved_back = windows[-1][0] % grid.hop != 0
    last = (windows[-1][0] if moved_back else samples) / SAMPLE_RATE
    if not moved_back:
        np.testing.assert_array_equal(joined.scores, one.scores)
        np.testing.assert_array_equal(joined.edges, one.edges)
    before = joined.edges[:-1] < last - grid.hop_s
    size = int(before.sum())
    np.testing.assert_array_equal(joined.scores[:size], one.scores[:size])
    np.testing.assert_array_equal(joined.edges[:size], one.edges[:size])
    assert joined.edges[-1] == one.edges[-1] == samples / SAMPLE_RATE
    spans = [
        found_in(track, reading(grid, dataclasses.replace(PLAIN, smooth_s=3 * grid.hop_s)))
        for track in (whole, parts)
    ]
    assert len(spans[0]) == len(spans[1])
    for a, b in zip(*spans, strict=True):
        for one_s, other_s in ((a.start_s, b.start_s), (a.end_s, b.end_s)):
            most = grid.hop + slack(grid, round(one_s * SAMPLE_RATE), samples)
            assert abs(one_s - other_s) * SAMPLE_RATE <= most + 1e-6


def test_cells_hold_the_mean_of_the_windows_over_them():
    track = FrameTrack(SMALL)
    frames = SMALL.count(32_000)
    for start, score in ((0, 2.0), (16_000, 4.0), (32_000, 9.0)):
        track.add(start, 32_000, np.full(frames, score, np.float32))
    (stretch,) = track.stretches
    by_second = [
        stretch.scores[(stretch.middles >= a) & (stretch.middles < a + 16_000)]
        for a in range(0, 64_000, 16_000)
    ]
    assert [set(scores) for scores in by_second] == [{2.0}, {3.0}, {6.5}, {9.0}]


def test_windows_that_touch_leave_no_hole_and_windows_apart_leave_one():
    size = 64_600
    fake = np.zeros(4 * size, bool)
    fake[60_000:70_000] = True  # over the joint
    (joint,) = found_in(track_of(SSL, fake, [(0, size), (size, size)]), reading(SSL))
    assert abs(joint.start_s * SAMPLE_RATE - 60_000) <= 320
    assert abs(joint.end_s * SAMPLE_RATE - 70_000) <= 320
    fake[:] = True
    spans = found_in(track_of(SSL, fake, [(0, size), (2 * size, size)]), reading(SSL))
    found = [edge for span in spans for edge in (span.start_s, span.end_s)]
    assert found == pytest.approx([0, size / SAMPLE_RATE, 2 * size / SAMPLE_RATE, 3 * size / SAMPLE_RATE])


# The rule, against a plain reading of it


def plain_spans(p_fake, heard, rule, cell_s):
    """[first, stop) of the spans, cell by cell."""
    inside = [i for i, p in enumerate(p_fake) if p >= rule.edge]
    groups = []
    for i in inside:
        if groups and groups[-1][-1] == i - 1:
            groups[-1].append(i)
        else:
            groups.append([i])
    groups = [g for g in groups if any(p_fake[i] >= rule.threshold and heard[i] for i in g)]
    joined = []
    for group in groups:
        if joined and (group[0] - joined[-1][1]) * cell_s <= rule.merge_s + 1e-9:
            joined[-1] = (joined[-1][0], group[-1] + 1)
        else:
            joined.append((group[0], group[-1] + 1))
    return [(a, b) for a, b in joined if (b - a) * cell_s >= rule.min_s - 1e-9]


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_spans_follow_the_rule(data):
    size = data.draw(st.integers(0, 40))
    values = st.sampled_from([np.nan, 0.0, 0.3, 0.5, 0.7, 0.9])
    p_fake = np.array(data.draw(st.lists(values, min_size=size, max_size=size)))
    heard = np.array(data.draw(st.lists(st.booleans(), min_size=size, max_size=size)), bool)
    threshold, edge = data.draw(st.sampled_from([(0.5, 0.5), (0.7, 0.3), (0.9, 0.5)]))
    gap, least = data.draw(st.integers(0, 4)), data.draw(st.integers(0, 6))
    rule = SpanRule(0.0, threshold, edge, least * 0.02, gap * 0.02)
    edges = np.arange(size + 1) * 0.02
    found = find_spans(p_fake, edges, heard, 0.02, rule)
    expected = plain_spans(p_fake, heard, rule, 0.02)
    assert [(s.start_s, s.end_s) for s in found] == [(edges[a], edges[b]) for a, b in expected]
    for span, (a, b) in zip(found, expected, strict=True):
        assert span.p_fake == pytest.approx(np.nanmean(p_fake[a:b]))


def test_gaps_are_bridged_short_spans_dropped_and_hysteresis_holds():
    p = np.full(100, 0.1)
    p[10:20] = p[23:30] = 0.9  # a gap of three cells
    p[50:52] = 0.9  # a blip
    p[70:73], p[73:85] = 0.9, 0.6  # trails off
    edges = np.arange(101) * 0.02

    def spans(**changes):
        rule = dataclasses.replace(PLAIN, threshold=0.8, edge=0.8, **changes)
        return [
            (round(s.start_s / 0.02), round(s.end_s / 0.02))
            for s in find_spans(p, edges, np.ones(100, bool), 0.02, rule)
        ]

    assert spans() == [(10, 20), (23, 30), (50, 52), (70, 73)]
    assert spans(merge_s=0.06) == [(10, 30), (50, 52), (70, 73)]
    assert spans(merge_s=0.059) == spans()
    assert spans(min_s=0.06) == [(10, 20), (23, 30), (70, 73)]
    assert find_spans(p, edges, np.ones(100, bool), 0.02, SpanRule(0, 0.8, 0.5, 0, 0))[-1].end_s == edges[85]


@given(st.lists(st.booleans(), max_size=30))
def test_runs_are_where_flags_are_up(flags):
    found = runs(np.array(flags, bool))
    again = np.zeros(len(flags), bool)
    for first, stop in found:
        assert first < stop
        again[first:stop] = True
    assert again.tolist() == flags
    assert all(b[0] > a[1] for a, b in pairwise(found))


# Smoothing


@settings(max_examples=150, deadline=None)
@given(size=st.integers(1, 60), half=st.integers(0, 6), chunk=st.integers(1, 25), seed=st.integers(0, 99))
def test_the_running_median_is_scipy_s_in_chunks_of_any_size(size, half, chunk, seed):
    values = np.random.default_rng(seed).normal(size=size).astype(np.float32)
    parts = [smooth(values, half, first, first + chunk) for first in range(0, size, chunk)]
    expected = median_filter(values, 2 * half + 1, mode="nearest")
    np.testing.assert_allclose(np.concatenate(parts), expected, rtol=1e-6)
    np.testing.assert_allclose(smooth(values, half), expected, rtol=1e-6)


@given(
    half=st.integers(1, 8),
    lengths=st.lists(st.integers(1, 12), min_size=1, max_size=8),
    level=st.floats(0.1, 9),
)
def test_smoothing_moves_no_edge_of_a_run_it_keeps(half, lengths, level):
    inner = [max(length, half + 1) for length in lengths]  # runs that outlast half the median
    inner[0], inner[-1] = lengths[0], lengths[-1]  # ends are repeated beyond: none is too short there
    assume(len(inner) != 1)
    values = np.concatenate([np.full(n, level if i % 2 else -1.0) for i, n in enumerate(inner)])
    np.testing.assert_array_equal(smooth(values, half), values)


def test_smoothing_takes_blips_out():
    values = np.zeros(50)
    values[20:22] = 5
    assert not smooth(values, 2).any()
    assert half_width(0.1, SSL) == 2
    assert half_width(0.1, SMALL) == 1
    assert half_width(0.0, SSL) == half_width(0.02, SSL) == 0


# Who speaks, and the timeline


def test_pauses_belong_to_a_span_but_are_none():
    fake = np.zeros(10 * 16_000, bool)
    fake[32_000:64_000] = fake[96_000:112_000] = True
    track = track_of(SSL, fake, [(0, len(fake))])
    speaking = [True] * 20
    speaking[5] = False  # within the first span
    speaking[12:14] = [False, False]  # all of the second
    timeline, spans = locate(track, reading(SSL), speaking, 0.5, 10.0)
    ((start, stop),) = [(s.start_s, s.end_s) for s in spans]
    assert (start, stop) == pytest.approx((2.0, 4.0), abs=0.011)
    assert [i for i, p in enumerate(timeline.p_fake) if p is None] == [5, 12, 13]
    assert len(found_in(track, reading(SSL), [])) == 2  # nobody listened


def test_what_was_never_scored_is_none_and_in_no_span():
    fake = np.ones(8 * 16_000, bool)
    track = track_of(SSL, fake, [(16_000, 16_000), (64_000, 16_000)])
    timeline, spans = locate(track, reading(SSL), [True] * 16, 0.5, 5.0)
    assert [p is None for p in timeline.p_fake] == [i not in (2, 3, 8, 9) for i in range(16)]
    assert [(s.start_s, s.end_s) for s in spans] == [(1.0, 2.0), (4.0, 5.0)]
    empty = FrameTrack(SSL)
    assert locate(empty, reading(SSL), [True] * 3, 0.5, 1.0) == (Timeline(0.5, (None,) * 3), ())
    assert locate(empty, reading(SSL), [], 0.5, 1.0) == (Timeline(0.5, ()), ())


def test_the_timeline_has_the_calibrated_mean_of_each_step():
    rng = np.random.default_rng(0)
    scores = rng.normal(size=SSL.count(40_000)).astype(np.float32)
    track = FrameTrack(SSL)
    track.add(4_000, 40_000, scores)
    how = reading(SSL, calibration=Calibration(2.0, -0.3))
    timeline = make_timeline(track, how, [], 0.2)
    middles = 4_000 + 200 + 320 * np.arange(len(scores))
    for step, p in enumerate(timeline.p_fake):
        chosen = scores[(middles >= 8_000 * step) & (middles < 8_000 * (step + 1))]
        llr = 2 * chosen.mean(dtype=float) - 0.3
        assert p == pytest.approx(0.2 / (0.2 + 0.8 * np.exp(llr)), rel=1e-5)


def test_spans_of_frames_have_their_own_calibration():
    fake, _ = truth_of(32_000, [8_000, 24_000])
    track = track_of(SSL, fake, [(0, 32_000)])
    how = dataclasses.replace(reading(SSL), frame_calibration=Calibration(1.0, 9.0))
    assert found_in(track, how) == ()  # at -8 + 9 a frame is genuine


@pytest.mark.parametrize(("duration_s", "step_s"), [(24 * 3600, 0.5)])
def test_memory_is_bytes_a_cell_over_a_day(duration_s, step_s):
    samples, window, hop = duration_s * SAMPLE_RATE, 12 * SAMPLE_RATE, 8 * SAMPLE_RATE
    track, frames = FrameTrack(SSL), np.full(SSL.count(12 * SAMPLE_RATE), 4.0, np.float32)
    frames[100:150] = -4.0
    for start in range(0, samples - window + 1, hop):
        track.add(start, window, frames)
    (stretch,) = track.stretches
    assert stretch.sums.nbytes + stretch.counts.nbytes <= 2 * 6 * stretch.cells
    rule = dataclasses.replace(PLAIN, smooth_s=0.1)
    spans = frame_spans(stretch, reading(SSL, rule, step_s=step_s), [], 0.5)
    assert len(spans) == len(range(0, samples - window + 1, hop))


# Steps, of models that were not taught frames


def test_spans_of_steps_join_over_one_step_and_drop_blips():
    p = (0.1, 0.9, 0.9, 0.2, 0.9, 0.1, 0.1, 0.9, 0.1, None, 0.9, 0.9)
    rule = SpanRule(0.0, 0.8, 0.8, 1.0, 0.5)
    spans = step_spans(Timeline(0.5, p), rule, 5.9)
    assert [(s.start_s, s.end_s) for s in spans] == [(0.5, 2.5), (5.0, 5.9)]
    assert spans[0].p_fake == pytest.approx((0.9 * 3 + 0.2) / 4)
    assert step_spans(Timeline(0.5, ()), rule, 0.0) == []


def test_spans_of_steps_are_what_locate_gives_untaught_models():
    fake, _ = truth_of(160_000, [30_000, 70_000])
    track = track_of(SMALL, fake, [(0, 160_000)])
    rule = SpanRule(0.0, 0.6, 0.6, 1.0, 0.5)
    timeline, spans = locate(track, reading(SMALL, rule, by_frame=False), [], 0.5, 10.0)
    assert spans == tuple(step_spans(timeline, rule, 10.0))
    assert [(s.start_s, s.end_s) for s in spans] == [(2.0, 4.5)]


def test_worst_moment_is_where_p_fake_is_highest():
    worst = worst_moment(Timeline(0.5, (0.1, 0.2, 0.9, 0.8, 0.9, 0.1, None)), 3.5)
    assert worst is not None
    assert (worst.start_s, worst.end_s) == (1.0, 2.5)
    assert worst_moment(Timeline(0.5, (None, None)), 1.0) is None
    single = worst_moment(Timeline(0.5, (0.4,)), 0.3)
    assert single is not None
    assert (single.end_s, single.p_fake) == (0.3, 0.4)


@pytest.mark.parametrize(
    "numbers", [(0, 0.5, 0.6, 0, 0), (-1, 0.5, 0.5, 0, 0), (0, 0.5, 0.5, -1, 0), (0, 0.5, 0.5, 0, np.nan)]
)
def test_rules_that_make_no_sense_are_refused(numbers):
    with pytest.raises(ValueError, match="edge is not above"):
        SpanRule(*numbers)
