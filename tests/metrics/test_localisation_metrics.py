"""Metrics of partial fakes against published values, counted milliseconds and scikit-learn."""

from itertools import pairwise

import numpy as np
import pytest
from partial_fakes import made_up, milliseconds, scores_by_millisecond
from sklearn.metrics import f1_score, jaccard_score, precision_score, recall_score

from earwitness.errors import InputError
from earwitness.metrics.detection import eer, eer_nearest
from earwitness.metrics.localisation import (
    RESOLUTIONS_MS,
    average_precision,
    boundary_error,
    decisions,
    matches,
    measures,
    range_eer,
    segment_eer,
    span_overlap,
    utterance_eer,
)
from earwitness.metrics.spans import Recording, flat, pooled, segments

NONE = np.empty((0, 2))
GOLDEN = [
    Recording(
        1.01,
        np.array([[0.5, 0.73]]),
        np.arange(52) * 0.02,
        np.repeat([0.9, 0.4, 0.1, 0.55, 0.8], [24, 3, 8, 2, 14]),
    ),
    Recording(0.6, NONE, np.arange(31) * 0.02, np.repeat([0.7, 0.3], [28, 2])),
]


def with_spans(duration, spoof, found, scores=None):
    spoof, found = (np.array(one, float).reshape(-1, 2) for one in (spoof, found))
    return Recording(duration, spoof, found=found, found_scores=None if scores is None else np.array(scores))


def by_histogram(recordings, bins=100_000):
    """Range EER as WeDefense has it: seconds of either class over bins of scores, nearest rates."""
    top = 2 * max(np.abs(item.scores).max() for item in recordings)
    seconds = np.zeros((2, bins))
    for item in recordings:
        edges = np.append(item.edges[:-1], item.duration_s)
        cuts = np.unique(np.concatenate([edges, item.spoof.ravel()]))
        for start, end in pairwise(cuts):
            frame = np.searchsorted(edges, start, side="right") - 1
            spoofed = any(a <= start < b for a, b in item.spoof)
            place = int((item.scores[min(frame, len(item.scores) - 1)] + top) / (2 * top) * bins)
            seconds[int(spoofed), min(place, bins - 1)] += end - start
    up_to = np.cumsum(seconds, axis=1) / seconds.sum(axis=1, keepdims=True)
    called, missed = up_to[0], 1 - up_to[1]
    best = np.argmin(np.abs(called - missed))
    return (called[best] + missed[best]) / 2, (best + 1) / bins * 2 * top - top


def sides_by_millisecond(recordings):
    spoofed = np.concatenate([milliseconds(item.spoof, item.duration_s) for item in recordings])
    scores = np.concatenate([scores_by_millisecond(item) for item in recordings])
    return scores[~spoofed], scores[spoofed]


def test_range_eer_is_the_golden_one():
    found = range_eer(pooled(GOLDEN))
    assert found.value == pytest.approx(0.0253623188, abs=1e-9)
    assert found.value == pytest.approx(0.07 / 1.38 / 2, abs=1e-12)
    assert found.threshold == pytest.approx(0.55, abs=1e-5)
    value, threshold = by_histogram(GOLDEN)
    assert found.value == pytest.approx(value, abs=1e-9)
    assert found.threshold == pytest.approx(threshold, abs=1e-4)


@pytest.mark.parametrize("seed", range(6))
def test_range_eer_is_that_of_counted_milliseconds_and_of_the_histogram(seed):
    recordings = made_up(seed, 12, hop_ms=(20, 23, 160)[seed % 3])
    found = range_eer(pooled(recordings))
    value, threshold = eer_nearest(*sides_by_millisecond(recordings))
    assert found.value == pytest.approx(value, abs=1e-9)
    assert found.threshold == pytest.approx(threshold)
    assert found.value == pytest.approx(by_histogram(recordings)[0], abs=1e-9)


@pytest.mark.parametrize("resolution_ms", RESOLUTIONS_MS)
def test_segment_eer_is_that_of_counted_segments(resolution_ms):
    recordings = made_up(7, 40)
    sides = [[], []]
    for item in recordings:
        spoofed, scores = milliseconds(item.spoof, item.duration_s), scores_by_millisecond(item)
        for begin in range(0, len(spoofed), resolution_ms):
            here = slice(begin, begin + resolution_ms)
            sides[int(spoofed[here].any())].append(scores[here].min())
    found = segment_eer(pooled(recordings), resolution_ms / 1000)
    assert found.value == pytest.approx(eer(*map(np.array, sides)), abs=1e-12)


def test_segments_of_a_millisecond_give_the_range_eer_with_interpolation():
    recordings = made_up(8, 30)
    sides = sides_by_millisecond(recordings)
    assert segment_eer(pooled(recordings), 0.001).value == pytest.approx(eer(*sides), abs=1e-12)


def test_error_rates_are_0_for_the_truth_and_half_for_constant_scores():
    recordings = [
        Recording(0.6, np.array([[0.2, 0.4]]), np.arange(7) / 10, np.array([2.0, 2, -1, -1, 2, 2])),
        Recording(0.3, NONE, np.arange(4) / 10, np.full(3, 2.0)),
    ]
    for metric in (range_eer, utterance_eer, lambda pool: segment_eer(pool, 0.1)):
        assert metric(pooled(recordings)).value == 0
    flat_scores = [Recording(r.duration_s, r.spoof, r.edges, np.zeros_like(r.scores)) for r in recordings]
    for metric in (range_eer, utterance_eer, lambda pool: segment_eer(pool, 0.1)):
        assert metric(pooled(flat_scores)).value == pytest.approx(0.5)


def test_utterances_are_judged_by_their_lowest_segment_or_by_given_scores():
    recordings = made_up(9, 60, spoofed=0.5)
    pool = pooled(recordings)
    fake = np.array([len(item.spoof) > 0 for item in recordings])
    lowest = np.array([item.scores[item.edges[:-1] < item.duration_s].min() for item in recordings])
    assert utterance_eer(pool).value == pytest.approx(eer(lowest[~fake], lowest[fake]))
    for ms in RESOLUTIONS_MS:
        timed = segments(pool, ms / 1000)
        assert [timed.scores[timed.of == i].min() for i in range(60)] == lowest.tolist()
    whole = np.array([item.score for item in recordings])
    assert utterance_eer(pool, pool.scores).value == pytest.approx(eer(whole[~fake], whole[fake]))


def test_decisions_are_those_of_scikit_learn():
    recordings = made_up(10, 50)
    for resolution in (0.02, 0.16):
        timed = segments(pooled(recordings), resolution)
        called = timed.scores < -0.7
        found = decisions(pooled(recordings), -0.7, resolution)
        for name, function in (("precision", precision_score), ("recall", recall_score), ("f1", f1_score)):
            assert found[name].value == pytest.approx(function(timed.spoof, called)), name
    nothing = decisions(pooled(recordings), -99.0)
    assert [nothing[name].value for name in ("precision", "recall", "f1")] == [None, 0, 0]


def test_a_score_at_the_threshold_is_bona_fide():
    recording = Recording(0.2, np.array([[0.0, 0.1]]), np.array([0, 0.1, 0.2]), np.array([1.0, 2.0]))
    assert decisions(pooled([recording]), 1.0)["recall"].value == 0
    assert decisions(pooled([recording]), np.nextafter(1.0, 2))["recall"].value == 1


def test_overlap_is_that_of_counted_milliseconds():
    recordings = made_up(11, 60)
    spoofed, found = (
        [milliseconds(getattr(item, name), item.duration_s) for item in recordings]
        for name in ("spoof", "found")
    )
    measured = {name: one.value for name, one in span_overlap(pooled(recordings)).items()}
    both = np.concatenate(spoofed), np.concatenate(found)
    for name, function in (
        ("precision", precision_score),
        ("recall", recall_score),
        ("f1", f1_score),
        ("iou", jaccard_score),
    ):
        assert measured[name] == pytest.approx(function(*both)), name
    of_each = [jaccard_score(a, b) for a, b in zip(spoofed, found, strict=True) if a.any()]
    assert measured["mean_iou"] == pytest.approx(np.mean(of_each))
    assert measured["f1"] == pytest.approx(2 * measured["iou"] / (1 + measured["iou"]))


def test_genuine_recordings_without_a_find_have_no_iou_and_with_one_lower_the_pooled_one():
    fake = with_spans(4.0, [[1, 2]], [[1, 2]])
    for genuine, pooled_iou in ((with_spans(4.0, [], []), 1.0), (with_spans(4.0, [], [[1, 2]]), 0.5)):
        measured = span_overlap(pooled([fake, genuine]))
        assert measured["iou"].value == pytest.approx(pooled_iou)
        assert measured["mean_iou"].value == 1
    nothing = span_overlap(pooled([with_spans(4.0, [], [])]))
    assert {one.value for one in nothing.values()} == {None}


def test_average_precision_of_worked_examples():
    truth = [[1, 2], [3, 4]]
    first = with_spans(9.0, truth, [[1, 2], [3, 4], [6, 7]], [-3, -1, -2])  # right, wrong, right
    assert average_precision(pooled([first]), 0.5).value == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
    tied = with_spans(9.0, truth, [[1, 2], [3, 4], [6, 7]], [-1, -1, -1])
    assert average_precision(pooled([tied]), 0.5).value == pytest.approx(2 / 3)
    twice = with_spans(9.0, [[1, 3]], [[1, 2], [2, 3]], [-2, -1])  # only one can be the span
    assert average_precision(pooled([twice]), 0.5).value == pytest.approx(1.0)
    assert average_precision(pooled([twice]), 0.51).value == 0
    assert average_precision(pooled([with_spans(9.0, truth, [], [])]), 0.5).value == 0
    assert average_precision(pooled([with_spans(9.0, [], [[1, 2]], [-1])]), 0.5).value is None
    elsewhere = [with_spans(9.0, truth, [], []), with_spans(9.0, [], truth, [-1, -1])]
    assert average_precision(pooled(elsewhere), 0.5).value == 0


def brute_precision(recordings, least):
    """Average precision with plain loops over spans, of scores without ties."""
    spans = sorted(
        (score, i, tuple(span))
        for i, item in enumerate(recordings)
        for span, score in zip(item.found, item.found_scores, strict=True)
    )
    left = {(i, tuple(span)) for i, item in enumerate(recordings) for span in item.spoof}
    total, right, points = len(left), 0, []
    for rank, (_, i, (start, end)) in enumerate(spans, start=1):
        best, which = 0.0, None
        for other, (a, b) in left:
            both = min(end, b) - max(start, a)
            if other == i and both > 0 and both / (end - start + b - a - both) > best:
                best, which = both / (end - start + b - a - both), (other, (a, b))
        if which and best >= least:
            left.remove(which)
            right += 1
        points.append((right / total, right / rank))
    recalls = [0.0, *(recall for recall, _ in points)]
    best = [max(p for r, p in points[k:]) for k in range(len(points))]
    return sum((recalls[k + 1] - recalls[k]) * best[k] for k in range(len(points)))


@pytest.mark.parametrize("least", [0.3, 0.5, 0.75, 0.9])
def test_average_precision_is_that_of_plain_loops(least):
    rng = np.random.default_rng(12)
    recordings = [
        Recording(r.duration_s, r.spoof, found=r.found, found_scores=rng.normal(size=len(r.found)))
        for r in made_up(12, 60)
    ]
    assert average_precision(pooled(recordings), least).value == pytest.approx(
        brute_precision(recordings, least)
    )


def test_the_most_certain_span_chooses_first():
    found, spoof = flat([np.array([[0, 1.0], [1.0, 3.0]])]), flat([np.array([[0.4, 2.0]])])
    assert matches(found, np.array([-1.0, -2.0]), spoof, 0.3).tolist() == [False, True]
    assert matches(found, np.array([-2.0, -1.0]), spoof, 0.3).tolist() == [True, False]


def test_boundaries_are_as_far_as_the_nearest_found_in_their_recording():
    recordings = made_up(13, 60)
    away = []
    for item in recordings:
        here, found = (
            [t for t in one.ravel() if 0 < t < item.duration_s] for one in (item.spoof, item.found)
        )
        away += [min((abs(t - other) for other in found), default=np.inf) for t in here]
    assert np.isinf(away).any()
    assert boundary_error(pooled(recordings)).value == pytest.approx(np.median(away))


def test_boundaries_that_nothing_was_found_for_are_not_forgotten():
    near, blind = with_spans(9.0, [[1, 2]], [[1.1, 2.3]]), with_spans(9.0, [[1, 2]], [])
    assert boundary_error(pooled([near])).value == pytest.approx(0.2)
    assert boundary_error(pooled([near, near, blind])).value == pytest.approx(0.3)
    assert boundary_error(pooled([near, blind])).value is None
    assert boundary_error(pooled([with_spans(9.0, [[0, 9]], [[1, 2]])])).value is None  # no boundary at all


def test_all_metrics_at_once():
    recordings = made_up(14, 40, spoofed=0.6)
    pool = pooled(recordings)
    found = {name: one.value for name, one in measures(pool, -0.5).items()}
    assert list(found)[:9] == [
        *(f"segment_eer_{ms}ms" for ms in RESOLUTIONS_MS),
        "range_eer",
        "utterance_eer",
    ]
    assert found["segment_eer_20ms"] == segment_eer(pool, 0.02).value
    assert found["segment_f1"] == decisions(pool, -0.5)["f1"].value
    assert found["span_iou"] == span_overlap(pool)["iou"].value
    assert found["ap_75"] == average_precision(pool, 0.75).value
    assert all(value is not None for value in found.values())
    assert "segment_f1" not in measures(pool)
    frames_only = [Recording(r.duration_s, r.spoof, r.edges, r.scores) for r in recordings]
    assert list(measures(pooled(frames_only))) == [*list(found)[:8], "utterance_eer_lowest"]
    spans_only = [Recording(r.duration_s, r.spoof, found=r.found) for r in recordings]
    assert set(measures(pooled(spans_only))) == {
        "boundary_error_s",
        *(f"span_{name}" for name in ("precision", "recall", "f1", "iou", "mean_iou")),
    }


def test_what_cannot_be_known_is_refused_or_none():
    genuine = [Recording(1.0, NONE, np.array([0.0, 1.0]), np.array([1.0]))] * 2
    for metric in (range_eer, utterance_eer, lambda pool: segment_eer(pool, 0.02), measures):
        with pytest.raises(InputError, match="everything is bona fide"):
            metric(pooled(genuine))
    assert decisions(pooled(genuine), 2.0)["recall"].value is None
    partial = [item for item in made_up(15, 20, spoofed=1.0) if len(item.spoof)]
    found = measures(pooled(partial))
    assert found["utterance_eer"].value is None
    assert found["range_eer"].value is not None
    with pytest.raises(InputError, match="everything is spoofed"):
        utterance_eer(pooled(partial))
    brief = [Recording(0.3, np.array([[0.1, 0.2]]), np.array([0, 0.1, 0.3]), np.array([1.0, 2.0]))] * 2
    assert measures(pooled(brief))["segment_eer_640ms"].value is None
    with pytest.raises(InputError, match="score of each span"):
        average_precision(pooled([with_spans(1.0, [[0, 0.5]], [[0, 0.5]])]), 0.5)
