"""Statistics of a knowledge base and its leave-one-out test: against brute force, queries, scikit-learn."""

import hashlib
import json
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from earwitness.decision.calibration import Calibration
from earwitness.errors import InputError
from earwitness.evidence.consult import read_settings, write_settings
from earwitness.evidence.fusion import Fusion
from earwitness.evidence.knowledge import Entry, Item, Knowledge
from earwitness.evidence.neighbours import MODES, SCORES, Retrieval, find, recording_retrieval
from earwitness.operations import knowledge_matrix
from earwitness.operations.knowledge_leave_out import (
    TRIED_K,
    TRIED_SCORES,
    cross_fitted,
    retrieved,
    show_left_out,
    trials_of,
)
from earwitness.operations.knowledge_matrix import load, look_around
from earwitness.operations.knowledge_stats import (
    learn_settings,
    leave_one_out,
    show_statistics,
    statistics_of,
)
from earwitness.types import ModelId

MODEL = ModelId("tiny", "1", "ab" * 32)
SIZE = 16


def unit(rows):
    return (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)


def name_of(number):
    return hashlib.sha256(f"{number}".encode()).hexdigest()[:16]


def make(number, bona_fide, spread=0.5, segments=2, lies=False, **known):
    """An entry of one of two clusters; with `lies` it sounds like the other class."""
    rng = np.random.default_rng(number)
    centre = np.eye(SIZE)[0 if bona_fide != lies else 1]
    known = {"score": rng.normal(0.5 if bona_fide else -0.5), "duration_s": 36.0} | known
    known |= {"path": f"/voices/{number}.wav", "generator": "-" if bona_fide else f"g{number % 3}"}
    rows = unit(centre + spread * rng.normal(size=(segments, SIZE)) / np.sqrt(SIZE))
    entry = Entry(id=name_of(number), bona_fide=bona_fide, **known)
    return Item(entry, rows, np.arange(segments) * 4.0, unit(rng.normal(size=6)))


@pytest.fixture
def base(tmp_path):
    with Knowledge.create(tmp_path / "known.db", MODEL, SIZE) as made:
        yield made


def clusters(count=60, **known):
    return [make(i, bool(i % 2), **known) for i in range(count)]


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


def test_labels_that_were_turned_round_are_found(base):
    """One of 31 of either class is judged wrongly: each liar loses to all of the other class."""
    items = clusters()
    liars = [make(100, True, lies=True), make(101, False, lies=True)]
    base.add([*items, *liars])
    found = statistics_of(base)["mislabels"]
    assert {row["id"] for row in found["entries"]} == {name_of(100), name_of(101)}
    assert found["count"] == 2
    assert found["k"] == 5
    for row in found["entries"]:
        assert row["contrary"] == 5
        assert {one["label"] for one in row["neighbours"]} == {"fake", "genuine"} - {row["label"]}
        similar = [one["similarity"] for one in row["neighbours"]]
        assert similar == sorted(similar, reverse=True)
        assert row["doubt"] == pytest.approx(np.mean(similar), abs=1e-4)
    measures = leave_one_out(base, Retrieval(), draws=400)["measures"]["retrieval"]
    assert measures["auc"]["value"] == pytest.approx(1 - 2 * 30 / 31**2 - 1 / 31**2, abs=0.002)


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
        assert retrieved(matrix, near, how) == pytest.approx(expected, abs=1e-5)


def test_blocks_and_samples_are_bounded_and_say_so(base, monkeypatch):
    base.add(clusters(40, spread=3.0, segments=4))
    whole = look_around(load(base), Retrieval())
    stats = statistics_of(base)
    monkeypatch.setattr(knowledge_matrix, "BLOCK_BYTES", 4 * 160 * 9)
    small = look_around(load(base), Retrieval())
    assert np.allclose(whole.similarity, small.similarity, atol=1e-6)
    assert statistics_of(base) == stats
    matrix = load(base, most=10)
    assert len(matrix.entries) == 10
    assert [e.id for e in matrix.entries] == [e.id for e in load(base, most=10).entries]
    assert matrix.remarks() == ["a random 10 of 40 entries were compared"]
    monkeypatch.setattr(knowledge_matrix, "MOST_ROWS", 80)
    matrix = load(base)
    assert len(matrix.rows) == 80
    assert matrix.thinned == 40


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
    trials = trials_of(matrix, near, Calibration(2.0, 1.0))
    fused = cross_fitted(trials, retrieved(matrix, near, how), how, seed=0)
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
    areas = {}
    for how in (replace(learnt[0], score=name, k=k) for name in TRIED_SCORES for k in TRIED_K):
        areas[how] = leave_one_out(base, how, draws=400)["measures"]["fused"]["auc"]["value"]
    assert learnt[0].k > 1
    assert areas[learnt[0]] == max(areas.values())


def test_too_few_entries_are_one_sentence(base):
    base.add([make(0, True), make(1, False)])
    with pytest.raises(InputError, match="1 genuine and 1 fake") as caught:
        leave_one_out(base, Retrieval())
    assert caught.value.code == "knowledge-few"
    base.add([make(2, True), make(3, False)])
    found = leave_one_out(base, Retrieval(), draws=400)
    assert "fused" not in found["measures"]
    assert any("at least 5" in note for note in found["notes"])


def test_coverage_and_conflicts_agree_with_brute_force(base):
    items = clusters(40, spread=2.0)
    double = items[3]
    twin = Entry(id=name_of("twin"), bona_fide=False, duration_s=1.0, score=0.0, generator="copied")
    items.append(Item(twin, double.embeddings, double.starts_s))
    base.add(items)
    write_settings(base, Retrieval(floor=0.6), Fusion(1.0))
    alike = {
        (a, b): (items[a].embeddings @ items[b].embeddings.T).max() for a, b in combinations(range(41), 2)
    }
    nearest = [max(v for pair, v in alike.items() if i in pair) for i in range(41)]
    stats = statistics_of(base)
    for q, value in stats["coverage"]["similarity"].items():
        assert value == pytest.approx(min(np.percentile(nearest, int(q)), 1), abs=1e-4)
    assert stats["coverage"]["alone"] == sum(v < 0.6 for v in nearest) > 0
    conflicting = {
        frozenset((items[a].entry.id, items[b].entry.id))
        for (a, b), value in alike.items()
        if value > 0.98 and items[a].entry.bona_fide != items[b].entry.bona_fide
    }
    found = {frozenset((row["genuine"], row["fake"])) for row in stats["conflicts"]["pairs"]}
    assert found == conflicting == {frozenset((double.entry.id, twin.id))}
    assert stats["conflicts"]["pairs"][0]["generator"] == "copied"


def test_counts_are_those_of_the_entries(base):
    items = clusters(9, language="en", source="page")
    base.add([*items, make(50, False, language="de", quarantined="why not", reviewed=True)])
    stats = statistics_of(base)
    genuine, fake = stats["labels"]
    assert genuine == {"value": "genuine", "entries": 4, "hours": 0.04, "reviewed": 0, "quarantined": 0}
    assert fake == {"value": "fake", "entries": 6, "hours": 0.06, "reviewed": 1, "quarantined": 1}
    assert [(row["value"], row["entries"]) for row in stats["by"]["language"]] == [("en", 9), ("de", 1)]
    assert {row["value"]: row["fake"] for row in stats["by"]["generator"]} == {
        "-": 0,
        "g0": 2,
        "g1": 1,
        "g2": 3,
    }
    assert json.loads(json.dumps(stats, allow_nan=False)) == stats


@pytest.mark.parametrize(
    ("genuine", "fake", "says"),
    [
        ([], [], "no entry was looked at"),
        ([True] * 4, [True] * 9, "too few"),
        ([False] * 6, [True] * 4 + [False] * 2, "67% of fake and 0% of genuine"),
        ([True] * 5 + [False], [False] * 6, "0% of fake and 83% of genuine"),
        ([True, False] * 3, [True] * 6, None),
    ],
)
def test_watermarks_that_tell_the_classes_apart_are_warned_of(base, genuine, fake, says):
    marks = [(True, mark) for mark in genuine] + [(False, mark) for mark in fake]
    base.add([make(i, label, wm_present=mark) for i, (label, mark) in enumerate(marks)])
    found = statistics_of(base)
    assert found["warnings"] == ([] if says is None else [found["watermarks"]["warning"]])
    assert says is None or says in found["warnings"][0]
    assert found["watermarks"]["fake"] == {"looked_at": len(fake), "marked": sum(fake)}


@pytest.mark.parametrize("count", [0, 1, 2])
def test_a_base_with_next_to_nothing_has_statistics(base, count, capsys):
    base.add([make(i, True) for i in range(count)])
    stats = statistics_of(base)
    assert stats["entries"] == count
    assert stats["mislabels"]["entries"] == []
    show_statistics(stats, as_json=False)
    assert f"{count} entries" in capsys.readouterr().out


def test_tables_are_for_people_and_names_cannot_drive_the_terminal(base, capsys):
    items = [*clusters(), make(100, True, lies=True)]
    evil = replace(items[0].entry, generator="\x1b[2Jgone", source="[bold]x[/bold]")
    base.add([replace(items[0], entry=evil), *items[1:]])
    show_statistics(statistics_of(base), as_json=False)
    text = capsys.readouterr().out
    assert "\x1b" not in text
    assert "\\x1b[2Jgone" in text
    assert "[bold]x[/bold]" in text
    assert name_of(100) in text
    assert "5 nearest others nearly all carry the other label: 1" in text
    found = leave_one_out(base, Retrieval(), draws=400)
    show_left_out(found, as_json=False)
    text = capsys.readouterr().out
    assert "\x1b" not in text
    assert "both, cross-fitted" in text
    show_left_out(found, as_json=True)
    assert json.loads(capsys.readouterr().out) == found
    show_statistics(statistics_of(base), as_json=True)
    assert json.loads(capsys.readouterr().out) == statistics_of(base)
