"""The rule for who made a recording: every row of its table, and that it never touches the verdict."""

from dataclasses import replace

import numpy as np
import pytest
from toy_watermark import toy

from earwitness.evidence.attribution import NONE
from earwitness.evidence.origin import SURE, found_mark, origin, with_origin
from earwitness.evidence.watermark import embed, listen
from earwitness.types import Attribution, ModelId, Thresholds, Verdict, Watermark

UNMARKED = Watermark("toy", False, 0.0, 1.0, None, None, False, (), ())
MARKED = Watermark("toy", True, 9.0, 1e-6, "vits", 0.99, True, (), ())
TRACED = Attribution("vits", 0.95, 0.5, "vits", "architecture", "acoustic")


def test_a_mark_that_can_be_read_names_who_marked():
    found = origin(MARKED, None)
    assert (found.label, found.basis, found.confidence) == ("vits", "watermark", 0.99)
    assert origin(MARKED, TRACED).basis == "watermark"


@pytest.mark.parametrize(("label", "confidence"), [("world", SURE - 0.01), (NONE, 1.0), (None, None)])
def test_a_tracer_that_is_not_sure_of_another_name_does_not_speak_against_a_mark(label, confidence):
    traced = replace(TRACED, label=label, confidence=confidence)
    assert origin(MARKED, traced).basis == "watermark"
    assert origin(MARKED, traced).label == "vits"


def test_two_sure_names_are_a_conflict_that_names_nobody_and_shows_both():
    found = origin(MARKED, replace(TRACED, label="world"))
    assert (found.label, found.confidence, found.basis) == (None, None, "conflict")
    assert "vits" in found.note
    assert "world" in found.note


def test_without_a_mark_the_tracer_speaks_and_without_both_nobody():
    assert origin(UNMARKED, TRACED) == TRACED
    assert (origin(UNMARKED, None).label, origin(UNMARKED, None).basis) == (None, "unknown")


@pytest.mark.parametrize("change", [{"readable": False}, {"readable": False, "confidence": 0.2}])
def test_a_mark_that_cannot_be_read_is_mentioned_and_not_believed(change):
    mark = replace(MARKED, **change)
    found = origin(mark, TRACED)
    assert (found.label, found.basis) == ("vits", "acoustic")
    assert "cannot be read" in found.note
    assert (origin(mark, None).label, origin(mark, None).basis) == (None, "unknown")


@pytest.mark.parametrize("verdict", ["fake", "genuine", "uncertain", "no-speech"])
@pytest.mark.parametrize("mark", [MARKED, UNMARKED])
def test_no_verdict_and_no_score_is_moved_by_a_mark(verdict, mark):
    before = Verdict("a.wav", verdict, "r", ModelId("m", "1", "d"), 0.5, Thresholds(0.9, 0.1), True, llr=1.5)
    after = with_origin(replace(before, watermark=mark))
    assert replace(after, watermark=None, attribution=None) == before
    assert with_origin(before) == before


def test_genuine_speech_framed_by_a_vendor_says_who_marked_and_no_more():
    scheme, rng = toy(), np.random.default_rng(0)
    speech = (0.1 * rng.standard_normal(5 * scheme.sample_rate)).astype(np.float32)
    framed = embed(scheme, speech, scheme.sample_rate, scheme.messages[1])
    mark = found_mark(scheme, listen(scheme, framed, scheme.sample_rate))
    assert (mark.marked, mark.name, mark.readable) == (True, scheme.names[1], True)
    verdict = Verdict("a", "genuine", "r", ModelId("m", "1", "d"), 0.5, Thresholds(0.9, 0.1), True)
    after = with_origin(replace(verdict, watermark=mark))
    assert after.verdict == "genuine"
    assert "nothing of whether it is fake" in (after.attribution.note if after.attribution else "")


def test_unmarked_speech_is_not_named():
    scheme, rng = toy(), np.random.default_rng(1)
    speech = (0.1 * rng.standard_normal(5 * scheme.sample_rate)).astype(np.float32)
    mark = found_mark(scheme, listen(scheme, speech, scheme.sample_rate))
    assert (mark.marked, mark.name, mark.bits, mark.spans) == (False, None, (), ())
    assert found_mark(scheme, listen(scheme, np.zeros(0, np.float32), scheme.sample_rate)).chance == 1.0
