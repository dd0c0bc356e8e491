"""What a report says, that it says it the same way each time, and that alterations show."""

import copy
import json
import math
import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from report_of_tone import CARD, made, record_of, write_tone

from earwitness.errors import InputError
from earwitness.evidence import report_words as words
from earwitness.evidence.report import (
    check_record,
    file_name,
    to_json,
)
from earwitness.evidence.report_credentials import Action, Credentials
from earwitness.evidence.report_html import check, html
from earwitness.evidence.report_text import clock, percent, plain

EMPTY = {"score": None, "llr": None, "p_fake": None, "windows": [], "spans": [], "worst": None}


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return write_tone(tmp_path_factory.mktemp("tone") / "tone.wav")


@pytest.fixture(scope="module")
def report(file):
    return made(record_of(file))


def said(report):
    """All that is printed, as one text."""
    return json.dumps(to_json(replace(report, record={})), ensure_ascii=False)


# strength


@pytest.mark.parametrize(
    ("ratio", "word"),
    [
        (1, "no support"),
        (1.99, "no support"),
        (2.01, "weak support"),
        (9.9, "weak support"),
        (10.1, "moderate support"),
        (99, "moderate support"),
        (101, "moderately strong support"),
        (1_001, "strong support"),
        (9_990, "strong support"),
        (10_010, "very strong support"),
        (1e9, "very strong support"),
    ],
)
def test_the_verbal_scale_is_that_of_the_guideline(ratio, word):
    for sign, side in ((-1, "synthetic"), (1, "human")):
        text = words.support(sign * math.log(ratio))
        assert re.search(rf": {word} for (either|{side} speech)\.$", text), text
        assert (": no support" in text) == (ratio < 2)


def test_an_extreme_ratio_is_no_overflow():
    assert "more than 1,000,000" in words.support(-5_000.0)


@given(st.floats(-12, 12), st.floats(0.02, 0.98))
def test_posteriors_at_other_priors_follow_bayes(llr, prior):
    windows = [{"start_s": 0, "end_s": 4, "score": 0, "llr": llr}]
    record = {"llr": llr, "windows": windows, "prior": prior, "thresholds": {"fake": 0.9, "genuine": 0.11}}
    rows = {row[0].split(" (")[0]: row for row in words.priors_table(record).rows}
    for share, text in ((0.01, "1 %"), (0.1, "10 %"), (0.5, "50 %")):
        odds = share / (1 - share) * math.exp(-llr)
        expected = odds / (1 + odds)
        shown = rows[text][1]
        if shown[0] in "<>":
            assert expected < 0.001 if shown[0] == "<" else expected > 0.999
        else:
            assert float(shown) == pytest.approx(expected, abs=6e-4)
        name = "fake" if expected >= 0.9 else "genuine" if expected <= 0.11 else "uncertain"
        assert rows[text][2] == name


def test_the_summary_gives_share_and_ratio(file):
    text = made(record_of(file)).summary
    assert "about 98 in 100 are fake" in text
    assert "about 64 times more likely of synthetic than of human speech" in text


def test_a_model_without_calibration_gives_no_ratio(file):
    report = made(record_of(file, calibrated=False))
    assert "no probability" in report.summary
    assert "times more likely" not in said(report)
    assert "ENFSI" not in said(report)


def test_fake_stretches_in_a_genuine_recording_are_told_at_the_top(file):
    record = record_of(file, verdict="genuine", llr=4.0, p_fake=0.018)
    assert "one stretch of it sounds fake by itself" in made(record).summary
    record["spans"] = record["spans"] * 3
    assert "3 stretches of it sound fake by themselves" in made(record).summary


@pytest.mark.parametrize(
    ("verdict", "changes", "expected"),
    [
        ("no-speech", {"rule": "silence: all is quiet"}, "all is quiet"),
        ("error", {"error": {"code": "not-audio", "message": "holds <text>"}}, "holds <text>"),
    ],
)
def test_what_was_not_judged_says_why_and_no_strength(file, verdict, changes, expected):
    report = made(record_of(file, verdict=verdict, timeline=None, **EMPTY, **changes))
    assert report.summary == expected
    assert report.headline.startswith("Not judged")
    assert "The finding and its strength" not in [section.title for section in report.sections]
    assert check(html(report), "9.9").wrong == ()


# what it says


def table_of(report, caption):
    tables = [block for section in report.sections for block in section.blocks if hasattr(block, "rows")]
    (found,) = [table for table in tables if caption in table.caption]
    return found


def test_only_the_highest_spans_are_listed_in_order_of_time(file):
    spans = [{"start_s": float(i), "end_s": i + 1.0, "p_fake": 0.9 + (i * 7 % 25) / 1000} for i in range(25)]
    table = table_of(made(record_of(file, spans=spans)), "Stretches")
    best = sorted(sorted(spans, key=lambda one: one["p_fake"])[-10:], key=lambda one: one["start_s"])
    assert [row[0] for row in table.rows] == [clock(one["start_s"]) for one in best]
    assert "15 more" in table.caption


def test_rates_of_error_are_the_card_s_those_of_similar_recordings_first(report):
    captions = [b.caption for s in report.sections for b in s.blocks if "errs" in getattr(b, "caption", "")]
    assert [caption.split(", ")[-1] for caption in captions[:2]] == ["PCM_F32LE", "4 to 8 s"]
    assert captions[2] == "How often it errs on all test recordings"
    assert table_of(report, "PCM_F32LE").rows == (("equal error rate", "7.8 %", "5.0 % to 10.0 %"),)
    rows = {row[0]: row[1:] for row in table_of(report, "all test").rows}
    assert rows["genuine recordings called fake"] == ("3.2 %", "1.0 % to 5.0 %")
    assert rows["Cllr, bit (0 is perfect, 1 says nothing)"] == ("0.500", "0.400 to 0.600")
    assert "34.6 %" not in said(report)  # another codec


def test_a_card_that_is_not_there_or_holds_nonsense_is_told(file):
    assert "not at hand" in said(made(record_of(file), card=None))
    odd = {
        **CARD,
        "metrics": {"eer": "low", "cllr": {"value": True}, "answers": 3},
        "training": [1],
        "limits": [2],
    }
    report = made(record_of(file), card=odd)
    assert "How often it errs" not in said(report)


def test_neighbours_watermark_attribution_and_credentials_are_told(file):
    near = {"id": "aa", "bona_fide": False, "generator": "vits", "similarity": 0.91, "path": "/home/me/a.wav",
            "start_s": 61.0, "window_s": 2.0}  # fmt: skip
    record = record_of(
        file,
        knowledge={"entries": 1234, "covered": True, "detector_llr": 1.0, "retrieval": -3.0,
                   "decided_by": "knowledge", "neighbours": [near]},
        watermark={"scheme": "fakemark", "marked": True, "score": 3.0, "chance": 1e-4, "name": "vits",
                   "confidence": 0.8, "readable": False, "bits": [], "spans": [{"start_s": 1, "end_s": 2}]},
        attribution={"label": "none of these", "confidence": 0.7, "known": 0.03, "nearest_name": "vits",
                     "level": "family", "basis": "acoustic", "note": "", "neighbours": []},
    )  # fmt: skip
    credentials = Credentials(
        "found", "", True, (), "maker 1", "Leaf", "", (Action("c2pa.created", "", "", "x"),), 1, True
    )
    text = said(made(record, (), credentials))
    parts = ("1,234 recordings", "0.910", "a.wav at 1:01.0", "the verdict would be another",
                 "not to be relied upon", "0:01.0 to 0:02.0", "most like", "3 %", "A name holds only if",
                 "yes, it or a part of it", "c2pa.created", "no trusted time",
             "trusted was not checked")  # fmt: skip
    for part in parts:
        assert part in text, part
    assert "/home/me" not in json.dumps(to_json(made(record)))


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/a/b.wav", "b.wav"),
        ("b.wav", "b.wav"),
        ("C:\\x\\b.wav", "b.wav"),
        ("a\\b.wav", "a\\b.wav"),
        ("/", "/"),
    ],
)
def test_folders_are_not_told(path, name):
    assert file_name(path) == name


def test_without_the_recording_the_report_says_so(file):
    report = made(record_of(file), note="The recording was not at hand.")
    assert "The recording was not at hand." in said(report)
    assert "<img" not in html(report)


@given(st.text(max_size=60), st.integers(2, 40))
def test_text_from_outside_is_printable_and_short(text, limit):
    shown = plain(text, limit)
    assert shown.isprintable()
    assert len(shown) <= 10 * limit  # an escape has up to ten characters
    if text.isprintable() and len(text) <= limit:
        assert shown == text


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0, "0:00.0"), (59.96, "1:00.0"), (61.24, "1:01.2"), (3_723.4, "1:02:03.4")]
)
def test_times(seconds, shown):
    assert clock(seconds) == shown


@pytest.mark.parametrize(
    ("share", "shown"), [(0, "0 %"), (0.5, "50 %"), (0.0312, "3.1 %"), (0.0004, "0.04 %"), (1, "100 %")]
)
def test_shares(share, shown):
    assert percent(share) == shown


# records


def test_a_record_of_another_kind_is_refused(file):
    good = record_of(file)
    bad = [
        None, {}, {**good, "schema": 2}, {**good, "verdict": "maybe"}, {**good, "prior": 1},
        {**good, "llr": float("nan")}, {**good, "llr": "1"}, {**good, "windows": [{}]},
        {**good, "windows": []},
        {**good, "spans": [{"start_s": 1, "end_s": "2", "p_fake": 1}]}, {**good, "warnings": [1]},
        {**good, "timeline": {"step_s": 0, "p_fake": []}}, {**good, "timeline": {"step_s": 1, "p_fake": [2]}},
        {**good, "verdict": "no-speech"}, {**good, "p_fake": 1.5}, {**good, "score": None},
        {**good, "duration_s": 10**400}, {**good, "knowledge": {}}, {**good, "calibrated": 1},
    ]  # fmt: skip
    for record in bad:
        with pytest.raises(InputError) as caught:
            check_record(record)
        assert caught.value.code == "bad-record"
    assert check_record({**good, "unknown": 1}) == good


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_no_part_of_a_record_can_bring_a_report_down(file, data):
    record = copy.deepcopy(record_of(file))
    key = data.draw(st.sampled_from(sorted(record)))
    junk = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5))
    record[key] = data.draw(
        st.one_of(junk, st.lists(junk, max_size=2), st.dictionaries(st.text(max_size=3), junk))
    )
    try:
        report = made(record)
    except InputError as error:
        refused = error.code
    else:
        refused = "altered" if check(html(report), "9.9").wrong else ""
    assert refused in ("", "bad-record")
