"""Statistics of a knowledge base: against brute force and counts."""

import json
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from base_of_clusters import MODEL, SIZE, clusters, make, name_of

from earwitness.evidence.consult import write_settings
from earwitness.evidence.fusion import Fusion
from earwitness.evidence.knowledge import Entry, Item, Knowledge
from earwitness.evidence.neighbours import Retrieval
from earwitness.operations import knowledge_leave_out as left_out
from earwitness.operations import knowledge_matrix
from earwitness.operations.knowledge_matrix import load, look_around
from earwitness.operations.knowledge_stats import (
    leave_one_out,
    show_statistics,
    statistics_of,
)


@pytest.fixture
def base(tmp_path):
    with Knowledge.create(tmp_path / "known.db", MODEL, SIZE) as made:
        yield made


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
    left_out.show_left_out(found, as_json=False)
    text = capsys.readouterr().out
    assert "\x1b" not in text
    assert "both, cross-fitted" in text
    left_out.show_left_out(found, as_json=True)
    assert json.loads(capsys.readouterr().out) == found
    show_statistics(statistics_of(base), as_json=True)
    assert json.loads(capsys.readouterr().out) == statistics_of(base)
