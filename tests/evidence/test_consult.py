"""A verdict in the light of a knowledge base."""

from dataclasses import replace

import numpy as np
import pytest

from earwitness.decision.calibration import posterior_of_fake
from earwitness.errors import InputError
from earwitness.evidence.consult import EMBEDDED, consult, read_settings, write_settings
from earwitness.evidence.fusion import Fusion
from earwitness.evidence.knowledge import Entry, Item, Knowledge
from earwitness.evidence.neighbours import Retrieval
from earwitness.evidence.verdict import to_record
from earwitness.types import Heard, ModelId, Thresholds, Verdict, Window

MODEL = ModelId("embedded", "2", "ab" * 32)
AXES = np.eye(4, dtype=np.float32)


def verdict(*embeddings, llr=0.5):
    windows = tuple(Window(8.0 * i, 8.0 * i + 12, llr / 3, llr) for i in range(len(embeddings)))
    return Verdict(
        path="asked.wav",
        verdict="uncertain",
        rule="",
        model=MODEL,
        prior=0.5,
        thresholds=Thresholds(fake=0.9, genuine=0.1),
        calibrated=True,
        sha256="cd" * 32,
        score=llr / 3,
        llr=llr,
        p_fake=float(posterior_of_fake(llr, 0.5)),
        windows=windows,
        heard=Heard(np.array(embeddings, np.float32), np.array([w.start_s for w in windows]), None),
    )


def item(number, bona_fide, embedding, **known):
    entry = Entry(f"{number:016x}", bona_fide, 4.0, 0.0, **known)
    return Item(entry, np.array(embedding, np.float32)[None], np.zeros(1))


@pytest.fixture
def base(tmp_path):
    with Knowledge.create(tmp_path / "known.db", MODEL, 4) as made:
        made.add([item(1, False, AXES[0], generator="new", path="/sounds/1.wav"), item(2, True, AXES[1])])
        yield made


def test_what_sounds_like_a_known_fake_is_called_fake(base):
    asked = verdict(np.array([0.8, 0.0, 0.6, 0.0]))
    found = consult(asked, base)
    how, fusion = EMBEDDED
    assert found.llr == pytest.approx(0.5 - fusion.weight * (0.8 - how.floor))
    assert found.p_fake == pytest.approx(posterior_of_fake(found.llr, 0.5))
    assert (found.verdict, found.remembered.decided_by) == ("fake", "knowledge")
    assert found.rule.endswith("the detector alone says uncertain")
    nearest = found.remembered.neighbours[0]
    assert (nearest.generator, nearest.path, nearest.bona_fide) == ("new", "/sounds/1.wav", False)
    assert nearest.similarity == pytest.approx(0.8)


def test_where_nothing_is_near_the_detector_decides_alone(base):
    found = consult(verdict(AXES[2]), base)
    assert found.llr == 0.5
    assert not found.remembered.covered
    assert found.remembered.decided_by == "detector"
    assert any("kb_uncovered" in warning for warning in found.warnings)


def test_an_empty_base_says_nothing(tmp_path):
    with Knowledge.create(tmp_path / "empty.db", MODEL, 4) as empty:
        found = consult(verdict(AXES[0]), empty)
    assert (found.llr, found.remembered.retrieval, found.remembered.neighbours) == (0.5, None, ())


def test_a_recording_that_is_in_the_base_does_not_vote_on_itself(base):
    asked = replace(verdict(AXES[0]), sha256="0" * 15 + "1" + "e" * 48)
    assert all(one.id != f"{1:016x}" for one in consult(asked, base).remembered.neighbours)


def test_a_quarantined_entry_has_no_vote(base):
    base.quarantine(f"{1:016x}", "doubted")
    assert consult(verdict(AXES[0]), base).llr == 0.5


def test_segments_are_searched_and_recordings_decided(base):
    found = consult(verdict(AXES[0], AXES[2]), base)
    how, fusion = EMBEDDED
    assert found.llr == pytest.approx(0.5 - fusion.weight * (1 - how.floor) / 2)
    assert found.remembered.neighbours[0].window_s == 0.0
    later = consult(verdict(AXES[2], AXES[0]), base)
    assert later.remembered.neighbours[0].window_s == 8.0


def test_what_was_not_scored_stays_as_it_is(base):
    unheard = replace(verdict(AXES[0]), heard=None, llr=None)
    assert consult(unheard, base) is unheard


def test_a_base_of_another_model_is_refused_in_a_sentence(base):
    other = replace(verdict(AXES[0]), model=ModelId("embedded", "3", "ff" * 32))
    with pytest.raises(InputError) as caught:
        consult(other, base)
    assert caught.value.code == "knowledge-model"
    assert "\n" not in caught.value.message


def test_settings_of_the_base_go_before_the_defaults(base):
    assert read_settings(base) == EMBEDDED
    write_settings(base, Retrieval(score="weighted", k=2, floor=0.1), Fusion(3.0))
    assert read_settings(base) == (Retrieval(score="weighted", k=2, floor=0.1), Fusion(3.0))
    found = consult(verdict(AXES[0]), base)
    assert found.llr == pytest.approx(0.5 + 3.0 * -(1 - 0.1) / 2)


def test_neighbours_of_other_models_weigh_nothing_until_it_is_learnt(tmp_path):
    other = ModelId("mms-300m", "1", "ee" * 32)
    with Knowledge.create(tmp_path / "other.db", other, 4) as made:
        made.add([item(1, False, AXES[0])])
        found = consult(replace(verdict(AXES[0]), model=other), made)
    assert found.llr == 0.5
    assert found.remembered.neighbours[0].similarity == pytest.approx(1)


def test_the_record_holds_what_decided(base):
    import json

    record = to_record(consult(verdict(AXES[0]), base))
    told = json.loads(json.dumps(record))["knowledge"]
    assert list(told) == ["entries", "covered", "detector_llr", "retrieval", "decided_by", "neighbours"]
    assert told["neighbours"][0]["id"] == f"{1:016x}"
    assert "knowledge" not in to_record(verdict(AXES[0]))
