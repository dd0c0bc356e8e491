"""Retrieval scores against closed forms, and retrieval against brute force."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from earwitness.evidence.knowledge import Entry, Item, Knowledge
from earwitness.evidence.neighbours import (
    MODES,
    Retrieval,
    find,
    recording_retrieval,
    score,
)
from earwitness.types import ModelId

MODEL = ModelId("embedded", "2", "ab" * 32)
SIMILARITY = np.array([[0.9, 0.8, 0.5, 0.2, -0.3]])
LABEL = np.array([[False, True, False, False, True]])
RAW = np.array([[-2.0, 3.0, -1.0, 0.5, 4.0]])


@pytest.mark.parametrize(
    ("name", "k", "expected"),
    [
        ("majority", 3, 0.0),
        ("majority", 2, 0.5),
        ("majority", 1, 0.0),
        ("ratio", 3, np.log(2 / 3) - np.log(3 / 4)),
        ("weighted", 3, (-0.9 + 0.8 - 0.5) / 3),
        ("weighted", 5, (-0.9 + 0.8 - 0.5 - 0.2) / 5),
        ("class-knn", 1, 0.8 - 0.9),
        ("class-knn", 2, 0.8 / 2 - (0.9 + 0.5) / 2),
        ("average", 2, (-2.0 + 3.0) / 2),
    ],
)
def test_scores_are_what_they_say(name, k, expected):
    found = score(SIMILARITY, LABEL, RAW, Retrieval(score=name, k=k), (2, 3))
    np.testing.assert_allclose(found, [expected], atol=1e-12)


@pytest.mark.parametrize("name", ["ratio", "weighted", "class-knn", "average"])
def test_the_order_of_neighbours_does_not_matter(name):
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(4, 30)), rng.random((4, 30)) < 0.5, rng.normal(size=(4, 30))
    order = rng.permutation(30)
    how = Retrieval(score=name, k=7)
    shuffled = score(*(row[:, order] for row in rows), how, (10, 20))
    np.testing.assert_allclose(shuffled, score(*rows, how, (10, 20)))


@pytest.mark.parametrize("name", ["weighted", "class-knn", "ratio"])
def test_labels_exchanged_change_the_sign(name):
    rng = np.random.default_rng(1)
    similar, label, raw = rng.normal(size=(6, 25)), rng.random((6, 25)) < 0.4, rng.normal(size=(6, 25))
    how = Retrieval(score=name, k=5)
    np.testing.assert_allclose(
        score(similar, ~label, raw, how, (8, 17)), -score(similar, label, raw, how, (17, 8)), atol=1e-12
    )


def test_a_class_that_is_not_there_counts_as_one_of_similarity_zero():
    how = Retrieval(score="class-knn", k=2)
    found = score(SIMILARITY, np.zeros_like(LABEL), RAW, how, (0, 5))
    np.testing.assert_allclose(found, [-0.85])


@pytest.mark.parametrize(("name", "expected"), [("class-knn", -0.1), ("weighted", (-0.4 + 0.3) / 2)])
def test_beneath_the_floor_nothing_is_heard(name, expected):
    k = 1 if name == "class-knn" else 2
    found = score(SIMILARITY, LABEL, RAW, Retrieval(score=name, k=k, floor=0.5), (2, 3))
    np.testing.assert_allclose(found, [expected])
    assert score(SIMILARITY, LABEL, RAW, Retrieval(score=name, k=k, floor=0.95), (2, 3)) == 0


def test_ratio_of_the_whole_base_says_nothing():
    how = Retrieval(score="ratio", k=5)
    np.testing.assert_allclose(score(SIMILARITY, LABEL, RAW, how, (2, 3)), [0.0])


def unit(rows):
    return (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)


def filled(path, rng, entries=40, size=6, voice=4):
    """A base with one to three segments an entry."""
    base, items = Knowledge.create(path, MODEL, size), []
    for i in range(entries):
        rows = unit(rng.normal(size=(rng.integers(1, 4), size)))
        entry = Entry(f"{i:016x}", bool(i % 2), 3.0, float(rng.normal()), generator=f"g{i % 5}")
        items.append(Item(entry, rows, 8.0 * np.arange(len(rows)), unit(rng.normal(size=voice))))
    base.add(items)
    return base, items


def by_hand(items, query, voice, how):
    """Similarity of every entry by the mode, or None where it is not among the nearest voices."""
    near = np.array([float((item.embeddings @ query).max()) for item in items])
    voices = np.array([float(item.profile @ voice) for item in items])
    if how.mode == "cm":
        return near
    if how.mode == "profile":
        return voices
    return 0.7 * near + 0.3 * voices


@pytest.mark.parametrize("mode", ["cm", "profile", "hybrid2"])
@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 1_000))
def test_the_nearest_of_either_class_are_found(tmp_path_factory, mode, seed):
    rng = np.random.default_rng(seed)
    base, items = filled(tmp_path_factory.mktemp("base") / "known.db", rng)
    how = Retrieval(mode, k=3)
    query, voice = unit(rng.normal(size=6)), unit(rng.normal(size=4))
    (found,) = find(base, query[None], voice, how)
    expected = by_hand(items, query, voice, how)
    label = np.array([item.entry.bona_fide for item in items])
    for wanted in (True, False):
        best = np.sort(expected[label == wanted])[::-1][:3]
        np.testing.assert_allclose(found.similarity[found.bona_fide == wanted], best, atol=1e-5)
    assert (np.diff(found.similarity) <= 0).all()
    base.close()


def test_hybrid1_looks_among_the_nearest_voices_only(tmp_path, monkeypatch):
    from earwitness.evidence import neighbours

    monkeypatch.setattr(neighbours, "WIDER", 2)
    rng = np.random.default_rng(3)
    base, items = filled(tmp_path / "known.db", rng)
    query, voice = unit(rng.normal(size=6)), unit(rng.normal(size=4))
    (found,) = find(base, query[None], voice, Retrieval("hybrid1", k=3))
    voices = np.array([float(item.profile @ voice) for item in items])
    label = np.array([item.entry.bona_fide for item in items])
    for wanted in (True, False):
        there = np.flatnonzero(label == wanted)
        wide = there[np.argsort(-voices[there])[:6]]
        near = [float((items[i].embeddings @ query).max()) for i in wide]
        best = np.sort(near)[::-1][:3]
        np.testing.assert_allclose(found.similarity[found.bona_fide == wanted], best, atol=1e-5)
    base.close()


@pytest.mark.parametrize("mode", MODES)
def test_a_recording_is_no_neighbour_of_itself(tmp_path, mode):
    base, items = filled(tmp_path / "known.db", np.random.default_rng(4))
    item = items[7]
    found = find(base, item.embeddings, item.profile, Retrieval(mode, k=30), without={item.entry.id})
    assert all(hit.id != item.entry.id for one in found for hit in one.hits)
    mean = recording_retrieval(found, Retrieval(mode), (20, 20))
    single = [recording_retrieval([one], Retrieval(mode), (20, 20)) for one in found]
    assert mean == pytest.approx(np.mean(single))
    base.close()


def test_two_clusters_are_told_apart_and_labels_turn_the_answer_round(tmp_path):
    rng = np.random.default_rng(5)
    middles = unit(rng.normal(size=(2, 8)))
    for flipped in (False, True):
        base = Knowledge.create(tmp_path / f"{flipped}.db", MODEL, 8)
        items = [
            Item(
                Entry(f"{i:016x}", bool(i % 2) ^ flipped, 1.0, 0.0),
                unit(middles[i % 2] + 0.1 * rng.normal(size=8))[None],
                np.zeros(1),
            )
            for i in range(60)
        ]
        base.add(items)
        for i in range(20):
            query = unit(middles[i % 2] + 0.1 * rng.normal(size=8))[None]
            said = recording_retrieval(find(base, query, None, Retrieval(k=5)), Retrieval(k=5), (30, 30))
            assert (said > 0) == (bool(i % 2) ^ flipped)
        base.close()
