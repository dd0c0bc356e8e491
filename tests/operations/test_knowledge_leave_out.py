"""Entries judged by the others: against queries, scikit-learn, and clusters whose answer is known."""

import json
from dataclasses import replace
from itertools import product
from types import SimpleNamespace

import numpy as np
import pytest
from base_of_clusters import MODEL, SIZE, clusters, make, unit
from sklearn.metrics import roc_auc_score

from earwitness.decision.calibration import Calibration
from earwitness.errors import InputError
from earwitness.evidence.consult import read_settings
from earwitness.evidence.knowledge import Item, Knowledge
from earwitness.evidence.neighbours import MODES, SCORES, Retrieval, find, recording_retrieval
from earwitness.operations import knowledge_leave_out as left_out
from earwitness.operations.knowledge_matrix import load, look_around
from earwitness.operations.knowledge_stats import (
    learn_settings,
    leave_one_out,
    statistics_of,
)
from earwitness.types import ModelId


@pytest.fixture
def base(tmp_path):
    with Knowledge.create(tmp_path / "known.db", MODEL, SIZE) as made:
        yield made


def test_two_clusters_are_told_apart_without_an_error(base):
    base.add(clusters())
    found = leave_one_out(base, Retrieval(), draws=400)
    assert found["entries"] == {"genuine": 30, "fake": 30, "of": 60}
    for system in ("retrieval", "fused"):
        assert found["measures"][system]["eer"] == {"value": 0, "low": 0, "high": 0}
        assert found["measures"][system]["auc"] == {"value": 1, "low": 1, "high": 1}
    assert [row["entries"] for row in found["generators"]] == [10, 10, 10]
    assert all(row["fused"] == {"eer": 0, "auc": 1} for row in found["generators"])


def test_the_detector_is_judged_by_its_own_scores_whatever_its_calibration(base):
    items = clusters()
    base.add(items)
    truth = roc_auc_score([i.entry.bona_fide for i in items], [i.entry.score for i in items])
    for calibration in (None, Calibration(3.0, -2.0)):
        figure = leave_one_out(base, Retrieval(), calibration, draws=400)["measures"]["detector"]["auc"]
        assert figure["value"] == pytest.approx(truth, abs=6e-5)
        assert figure["low"] < truth < figure["high"]


def test_neighbours_that_all_lie_turn_the_answer_round(base):
    """Each recording's only near one carries the other label, so retrieval is always wrong: AUC 1 - 1."""
    items = []
    for number in range(SIZE):
        rows = np.eye(SIZE, dtype=np.float32)[[number]]
        for label in (True, False):
            entry = make(2 * number + label, label).entry
            items.append(Item(entry, rows, np.zeros(1)))
    base.add(items)
    found = leave_one_out(base, Retrieval(k=1), draws=400)["measures"]["retrieval"]
    assert found["auc"]["value"] == 0
    assert found["eer"]["value"] == 1
    assert statistics_of(base)["conflicts"]["count"] == SIZE


@pytest.mark.parametrize("mode", MODES)
def test_an_entry_is_judged_as_a_query_would_be(base, mode):
    items = clusters(20, spread=3.0)
    items[5] = replace(items[5], profile=None)
    base.add(items)
    search = Retrieval(mode=mode, k=3, floor=0.1)
    matrix = load(base, voting=True)
    near = look_around(matrix, search)
    asked = [find(base, item.embeddings, item.profile, search, {item.entry.id}) for item in items]
    for name in SCORES:
        how = replace(search, score=name)
        expected = [recording_retrieval(one, how, (10, 10)) for one in asked]
        assert left_out.retrieved(matrix, near, how) == pytest.approx(expected, abs=1e-5)


def test_a_recording_is_not_judged_by_others_of_its_speaker_and_source(base):
    """Pairs that share all but the label's sound: only the pair itself would answer rightly."""
    rng = np.random.default_rng(0)
    items = []
    for pair in range(20):
        rows = unit(rng.normal(size=(1, SIZE)))
        for one in range(2):
            known = {"speaker": f"s{pair}", "source": "page"}
            entry = make(2 * pair + one, bool(pair % 2), **known).entry
            items.append(Item(entry, rows, np.zeros(1)))
    base.add(items)
    near = look_around(load(base), Retrieval(k=1))
    assert near.similarity.max() < 0.99
    again = [replace(item.entry, speaker="-") for item in items]
    with Knowledge.create(base.path.with_name("unknown.db"), MODEL, SIZE) as other:
        other.add([Item(e, i.embeddings, i.starts_s) for e, i in zip(again, items, strict=True)])
        assert look_around(load(other), Retrieval(k=1)).similarity.max(axis=1).min() > 0.99


def test_entries_of_one_speaker_in_one_source_cannot_judge_each_other(base):
    base.add(clusters(12, speaker="the one", source="page"))
    with pytest.raises(InputError, match="0 genuine and 0 fake") as caught:
        leave_one_out(base, Retrieval())
    assert caught.value.code == "knowledge-few"
    base.add([make(i, False) for i in range(20, 26)])
    assert leave_one_out(base, Retrieval(), draws=400)["entries"] == {"genuine": 6, "fake": 12, "of": 18}


def test_voices_judge_only_where_there_are_some(base):
    mute = [replace(item, profile=None) for item in clusters(20)]
    base.add([*mute[:-1], make(19, True)])
    found = leave_one_out(base, Retrieval(mode="profile"), draws=400)
    assert any("without a neighbour" in note and note.endswith(": 1") for note in found["notes"])


def test_quarantined_entries_neither_judge_nor_are_judged(base):
    base.add(clusters(30))
    base.add([make(i, True, lies=True, quarantined="far inside the other class") for i in range(100, 130)])
    found = leave_one_out(base, Retrieval(), draws=400)
    assert found["entries"] == {"genuine": 15, "fake": 15, "of": 30}
    assert found["measures"]["retrieval"]["auc"]["value"] == 1
    stats = statistics_of(base)
    assert stats["mislabels"]["count"] == 0
    assert stats["labels"][0]["quarantined"] == 30
    assert stats["coverage"]["entries"] == 30


def test_generators_stand_worst_first(base):
    items = clusters(60)
    hidden = [make(i, False, lies=True) for i in range(300, 304)]
    hidden = [replace(item, entry=replace(item.entry, generator="hidden")) for item in hidden]
    base.add([*items, *hidden])
    rows = leave_one_out(base, Retrieval(k=11), draws=400)["generators"]
    assert rows[0]["generator"] == "hidden"
    assert rows[0]["entries"] == 4
    assert rows[0]["retrieval"]["eer"] > 0.2
    assert rows[1]["fused"]["eer"] == 0


def test_where_nothing_is_near_the_detector_decides_alone(base):
    base.add([*clusters(), make(100, True, score=7.0), make(101, False, spread=50.0, score=6.0)])
    how = Retrieval(score="ratio", floor=0.8)
    matrix = load(base)
    near = look_around(matrix, how)
    trials = left_out.trials_of(matrix, near, Calibration(2.0, 1.0))
    fused = left_out.cross_fitted(trials, left_out.retrieved(matrix, near, how), how, seed=0)
    llr = np.array([2 * entry.score + 1 for entry in matrix.entries])
    assert fused[-1] == llr[-1] == 13
    assert fused[-2] > llr[-2]
    assert ((fused == llr) == (trials.similarity < 0.8)).all()


def test_settings_are_learnt_from_twenty_of_either_class(base):
    base.add(clusters(38))
    assert learn_settings(base) is None
    base.add([make(i, bool(i % 2)) for i in range(38, 60)])
    learnt = learn_settings(base)
    assert learnt is not None
    how, fusion = learnt
    assert (how.mode, how.score, how.k) == ("cm", "class-knn", 1)  # all are perfect: the first
    assert how.floor == read_settings(base)[0].floor
    assert fusion.weight > 0
    assert learn_settings(base) == learnt


def test_the_settings_that_are_learnt_are_those_that_do_best(base):
    """A fifth of the fakes sound genuine, so one neighbour is not enough."""
    rng = np.random.default_rng(3)
    base.add([make(i, bool(i % 2), 1.0, score=float(rng.normal()), lies=i % 10 == 0) for i in range(200)])
    learnt = learn_settings(base)
    assert learnt is not None
    matrix, areas = load(base), {}
    for name, k, floor in product(left_out.TRIED_SCORES, left_out.TRIED_K, left_out.TRIED_FLOORS):
        how = replace(learnt[0], score=name, k=k, floor=floor)
        near = look_around(matrix, how)
        trials = left_out.trials_of(matrix, near, None)
        fused = left_out.cross_fitted(trials, left_out.retrieved(matrix, near, how), how, 0)
        areas[how] = roc_auc_score(trials.bona_fide, fused)
    assert learnt[0].k > 1
    assert areas[learnt[0]] == pytest.approx(max(areas.values()))


def test_too_few_entries_are_one_sentence(base):
    base.add([make(0, True), make(1, False)])
    with pytest.raises(InputError, match="1 genuine and 1 fake") as caught:
        leave_one_out(base, Retrieval())
    assert caught.value.code == "knowledge-few"
    base.add([make(2, True), make(3, False)])
    found = leave_one_out(base, Retrieval(), draws=400)
    assert "fused" not in found["measures"]
    assert any("at least 5" in note for note in found["notes"])


def test_the_command_learns_and_keeps_what_it_learnt(base, monkeypatch, capsys):
    found = SimpleNamespace(id=MODEL, calibration=Calibration(2.0, 0.5))
    monkeypatch.setattr(left_out, "open_detector", lambda *_: found)
    base.add(clusters(30))
    left_out.run_test(base.path, None, learn=True, as_json=True)
    said = json.loads(capsys.readouterr().out)
    assert said["learnt"] is None
    assert said["calibrated"]
    assert any("20 entries of either class" in note for note in said["notes"])
    assert base.settings() == {}
    base.add([make(i, bool(i % 2)) for i in range(30, 60)])
    left_out.run_test(base.path, None, learn=True, as_json=False)
    assert "kept with the base: the detector's LLR + " in capsys.readouterr().out
    assert read_settings(base) == learn_settings(base, found.calibration)
    found.id = ModelId("other", "1", "cd" * 32)
    with pytest.raises(InputError, match="cannot be compared"):
        left_out.run_test(base.path, None, learn=False, as_json=False)
