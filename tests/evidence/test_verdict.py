import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from earwitness.evidence.verdict import decide, printable_path, to_record
from earwitness.types import Failure, ModelId, Thresholds, Verdict, Window

THRESHOLDS = Thresholds(fake=0.7, genuine=0.2)


def window(llr, start=0.0):
    return Window(start, start + 12, llr, llr)


@given(llr=st.floats(-20, 20), prior=st.floats(0.01, 0.99))
def test_the_thresholds_on_p_fake_decide(llr, prior):
    name, p_fake, rule = decide(llr, [window(llr)], prior, THRESHOLDS)
    expected = "fake" if p_fake >= 0.7 else "genuine" if p_fake <= 0.2 else "uncertain"
    assert name == expected
    assert f"{p_fake:.3f}" in rule


def test_a_higher_prior_of_fakes_never_makes_a_verdict_more_genuine():
    order = ["genuine", "uncertain", "fake"]
    for llr in (-2, -0.5, 0, 0.5, 2, 4):
        names = [decide(llr, [window(llr)], p / 20, THRESHOLDS)[0] for p in range(1, 20)]
        assert names == sorted(names, key=order.index)


def test_one_fake_window_keeps_a_recording_from_being_genuine():
    windows = [window(4, 0), window(-3, 8), window(4, 16)]
    name, _, rule = decide(3.0, windows, 0.5, THRESHOLDS)
    assert name == "uncertain"
    assert "8.0-20.0 s" in rule
    assert decide(3.0, windows[::2], 0.5, THRESHOLDS)[0] == "genuine"


def test_a_record_is_json_with_the_contract_s_keys():
    verdict = Verdict(
        path="a.wav",
        verdict="error",
        rule="empty-file",
        model=ModelId("m", "1", "d"),
        prior=0.5,
        thresholds=THRESHOLDS,
        calibrated=True,
        error=Failure("empty-file", "the file holds 0 bytes"),
    )
    record = json.loads(json.dumps(to_record(verdict)))
    assert record["schema"] == 1
    assert set(record) >= set(
        "path sha256 duration_s sample_rate channels codec model verdict score llr p_fake prior "
        "thresholds calibrated rule windows spans warnings error".split()
    )
    assert record["error"] == {"code": "empty-file", "message": "the file holds 0 bytes"}
    assert "timeline" not in record


@pytest.mark.parametrize(
    ("raw", "text", "exact"),
    [
        (b"caf\xc3\xa9.wav", "café.wav", None),
        (b"bad\xff.wav", "bad\\xff.wav", "626164ff2e776176"),
        (b"two\nlines.wav", "two\nlines.wav", None),
    ],
)
def test_paths_that_are_not_utf8_are_shown_and_kept(raw, text, exact):
    import os

    assert printable_path(os.fsdecode(raw)) == (text, exact)
