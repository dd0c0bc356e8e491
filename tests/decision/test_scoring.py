import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from earwitness.decision.scoring import (
    MAX_PADDING,
    SAMPLE_RATE,
    batches_by_length,
    score_clips,
)


@given(st.lists(st.integers(1, 30 * SAMPLE_RATE), max_size=60))
def test_batches_hold_every_clip_once_within_their_bounds(lengths):
    batches = batches_by_length(lengths, 48.0)
    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    for batch in batches:
        sizes = [lengths[i] for i in batch]
        assert len(batch) == 1 or len(batch) * max(sizes) <= 48 * SAMPLE_RATE
        assert min(sizes) >= (1 - MAX_PADDING) * max(sizes)


def test_a_clip_scores_the_same_alone_in_any_batch_and_in_any_order(detector, speech):
    rng = np.random.default_rng(3)
    clips = [speech[s : s + n] for s, n in rng.integers((0, 20_000), (60_000, 90_000), (12, 2))]
    alone = np.array([score_clips(detector, [clip])[0].score for clip in clips])
    together = np.array([scored.score for scored in score_clips(detector, clips)])
    order = rng.permutation(len(clips))
    shuffled = np.array([s.score for s in score_clips(detector, [clips[i] for i in order])])
    np.testing.assert_allclose(together, alone, atol=1e-4)
    np.testing.assert_allclose(shuffled, alone[order], atol=1e-4)
    frames = score_clips(detector, clips)[0].frame_scores
    np.testing.assert_allclose(frames, score_clips(detector, clips[:1])[0].frame_scores, atol=1e-3)


def test_two_threads_score_as_one(detector, speech):
    from earwitness import load_detector

    two = score_clips(load_detector(threads=2), [speech])[0].score
    assert two == pytest.approx(score_clips(detector, [speech])[0].score, abs=1e-4)


def test_playback_level_does_not_move_the_score(detector, speech):
    scores = [score_clips(detector, [speech * gain])[0].score for gain in (1.0, 0.05)]
    assert scores[0] == pytest.approx(scores[1], abs=1e-3)


@pytest.mark.parametrize("offset", [-0.5, 0.02, 0.2])
def test_a_constant_offset_does_not_move_the_score(detector, speech, offset):
    quiet = 0.3 * speech
    scores = [score_clips(detector, [clip.astype(np.float32)])[0].score for clip in (quiet, quiet + offset)]
    assert scores[0] == pytest.approx(scores[1], abs=1e-3)


def test_very_short_clips_are_scored_not_refused(detector, speech):
    scored = score_clips(detector, [speech[20_000:20_400]])[0]
    assert np.isfinite(scored.score)
    assert len(scored.frame_scores) == 1
