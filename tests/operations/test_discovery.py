"""Discovery on clusters whose truth is known: what is found, what is not, and what stays what it was."""

import json
from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from earwitness.errors import InputError
from earwitness.operations.discovery import (
    DiscoveryOptions,
    Known,
    find_clusters,
    unexplained,
    update_proposals,
)
from earwitness.operations.proposals import KINDS, Proposal, read_proposals, write_proposals
from earwitness.operations.samples import Samples, joined

pytest.importorskip("sklearn")

SIZE = 24
CENTRES = np.linalg.qr(np.random.default_rng(99).normal(size=(SIZE, SIZE)))[0]


def made(name, centre, count, seed, score=0.0, label="fake", sources=4, start=0):
    """Recordings around one centre, from several sources."""
    rng = np.random.default_rng(seed)
    rows = (CENTRES[centre] + 0.15 * rng.normal(size=(count, SIZE))).astype(np.float32)
    ids = [f"{name}-{start + i}" for i in range(count)]
    columns = {
        "label": [label] * count,
        "generator": ["-" if label == "real" else name] * count,
        "source": [f"{name}-s{i % sources}" for i in range(count)],
        "path": [f"audio/{key}.wav" for key in ids],
    }
    return Samples(ids, score + rng.normal(size=count), rows, columns)


def unlabelled(samples):
    return replace(samples, columns={k: v for k, v in samples.columns.items() if k in ("source", "path")})


@pytest.fixture(scope="module")
def known():
    """Four generators and two genuine voices."""
    fakes = [made(f"tts{i}", i, 40, i, -3.0) for i in range(4)]
    genuine = [made(f"voice{i}", 4 + i, 40, 10 + i, 3.0, "real", 1) for i in range(2)]
    return Known(joined([*fakes, *genuine]))


@pytest.fixture
def incoming():
    """More by two known generators, and 12 recordings by one that nobody knows."""
    parts = [made("tts0", 0, 20, 50, start=100), made("tts2", 2, 20, 51, start=100)]
    return unlabelled(joined([*parts, made("new", 10, 12, 52, 1.0)]))


def test_the_distance_is_one_less_the_mean_of_the_k_largest_cosines(known, incoming):
    found, _ = unexplained(known, incoming, DiscoveryOptions(k=5))
    rows, there = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (incoming.embeddings, known.unit))
    by_hand = 1 - np.sort(rows @ there.T, axis=1)[:, -5:].mean(1)
    np.testing.assert_allclose(found, by_hand, atol=1e-5)


def test_a_new_generator_is_unexplained_and_known_ones_at_the_rate_of_the_quantile(known, incoming):
    """A third of what is known are voices of one source each, far from each other; so 0.6 is 0.9 of fakes."""
    _, far = unexplained(known, incoming, DiscoveryOptions(quantile=0.6))
    assert far[40:].all()
    assert far[:40].mean() < 0.25


def test_own_source_is_left_out_but_not_where_it_is_all_there_is_of_a_generator():
    """Two sources of one generator lie apart: each is far from the other; a lone one is near itself."""
    apart = [made("tts", i, 10, i, sources=1) for i in range(2)]
    apart[1].columns["source"][:] = ["other"] * 10
    lone = made("lone", 3, 10, 5, sources=1)
    found = Known(joined([apart[0], replace(apart[1], ids=[f"o{i}" for i in range(10)]), lone]))
    distances = found.own_distances(5)
    assert distances[:20].min() > 0.6
    assert distances[20:].max() < 0.5


def test_the_only_cluster_is_the_new_generator(known, incoming):
    clusters, _, _ = find_clusters(known, incoming)
    assert [sorted(rows.tolist()) for rows in clusters] == [list(range(40, 52))]


def test_known_recordings_that_come_in_again_are_passed_over(known):
    clusters, rows, _ = find_clusters(known, known.samples)
    assert clusters == []
    assert not len(rows)


def test_a_proposal_says_how_the_detector_does_on_it(known, incoming):
    (found,) = update_proposals([], known, incoming, "2024-01-31")
    scores = incoming.scores[40:]
    threshold, share, low, high = found.called_genuine[0]
    assert (threshold, share) == (0.0, (scores >= 0).mean())
    assert 0 < low < share < high <= 1
    assert found.median_score == pytest.approx(np.median(scores))
    assert found.announced
    assert found.grew == 12
    assert not found.warning
    unit = incoming.embeddings[40:] / np.linalg.norm(incoming.embeddings[40:], axis=1, keepdims=True)
    similar = unit @ unit.T
    assert found.examples[0] == incoming.ids[40 + int(similar.mean(1).argmax())]
    assert found.within == pytest.approx(similar[~np.eye(12, dtype=bool)].mean(), abs=1e-5)
    assert len(found.near) == 5
    assert {name for name, _ in found.near} < {f"tts{i}" for i in range(4)} | {
        f"genuine, voice{i}-s0" for i in range(2)
    }


def test_one_source_is_warned_of(known):
    new = unlabelled(made("new", 10, 12, 52, sources=1))
    (found,) = update_proposals([], known, new, "2024-01-31")
    assert found.one_source == ("new-s0", 1.0)
    assert "new-s0" in found.warning


def test_a_cluster_that_is_found_again_keeps_its_id_and_is_told_once(known, incoming):
    first = update_proposals([], known, incoming, "2024-01")
    again = update_proposals(first, known, incoming, "2024-02")
    assert [one.id for one in again] == [one.id for one in first]
    assert not again[0].announced
    assert again[0].grew == 0
    more = joined([incoming, unlabelled(made("new", 10, 3, 60, start=50))])
    (grown,) = update_proposals(again, known, more, "2024-03")
    assert grown.id == first[0].id
    assert grown.announced
    assert grown.grew == 3
    assert grown.looks == [("2024-01", 12), ("2024-02", 12), ("2024-03", 15)]
    assert grown.first_seen == "2024-01"


def test_a_small_cluster_is_told_once_it_is_large_enough(known):
    small = unlabelled(made("new", 10, 6, 52))
    (found,) = update_proposals([], known, small, "2024-01")
    assert not found.announced
    more = joined([small, unlabelled(made("new", 10, 4, 60, start=50))])
    (found,) = update_proposals([found], known, more, "2024-02")
    assert found.announced


def test_what_only_comes_since_joins_the_proposal_that_it_sounds_like(known, incoming):
    first = update_proposals([], known, incoming, "2024-01")
    since = joined([unlabelled(made("new", 10, 6, 70, start=70)), unlabelled(made("newer", 15, 9, 71))])
    found = update_proposals(first, known, since, "2024-02")
    assert [len(one.members) for one in found] == [18, 9]
    assert found[0].id == first[0].id
    assert found[0].grew == 6
    assert {key.rsplit("-")[0] for key in found[1].ids} == {"newer"}


@pytest.mark.parametrize("status", ["labelled", "dismissed"])
def test_what_was_settled_is_not_told_again(known, incoming, status):
    (first,) = update_proposals([], known, incoming, "2024-01")
    settled = replace(first, status=status, name="it")
    more = joined([incoming, unlabelled(made("new", 10, 5, 60, start=50))])
    (found,) = update_proposals([settled], known, more, "2024-02")
    assert found.status == status
    assert found.grew == 5
    assert not found.announced


def test_once_labelled_one_by_one_it_is_labelled_and_no_longer_found(known, incoming):
    first = update_proposals([], known, incoming, "2024-01")
    new = incoming.take(np.arange(40, 52))
    new = replace(new, columns={**new.columns, "label": ["fake"] * 12, "generator": ["newvoice"] * 12})
    (found,) = update_proposals(first, Known(joined([known.samples, new])), incoming, "2024-02")
    assert (found.status, found.name) == ("labelled", "newvoice")


def test_nothing_in_and_nothing_found(known):
    nothing = unlabelled(made("tts0", 0, 0, 1))
    assert update_proposals([], known, nothing, "2024-01") == []
    zero = replace(unlabelled(made("new", 10, 6, 1)), embeddings=np.zeros((6, SIZE), np.float32))
    assert update_proposals([], known, zero, "2024-01") == []


def test_what_cannot_be_compared_is_refused(known, incoming):
    other = replace(incoming, embeddings=incoming.embeddings[:, :5])
    with pytest.raises(InputError, match="different models"):
        unexplained(known, other)
    with pytest.raises(InputError, match="more than 5"):
        unexplained(Known(known.samples.take([0, 1])), incoming)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_the_order_of_what_comes_in_does_not_matter(seed):
    known = Known(joined([made(f"tts{i}", i, 20, i) for i in range(3)]))
    incoming = unlabelled(joined([made("new", 10, 9, 1), made("newer", 12, 7, 2)]))
    order = np.random.default_rng(seed).permutation(len(incoming))
    first, other = (update_proposals([], known, one, "2024") for one in (incoming, incoming.take(order)))
    assert [(one.id, one.ids) for one in first] == [(one.id, one.ids) for one in other]


def test_the_state_comes_back_as_it_was(known, incoming, tmp_path):
    found = update_proposals([], known, incoming, "2024-01")
    write_proposals(tmp_path / "new" / "state.json", found)
    assert read_proposals(tmp_path / "new" / "state.json") == found
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["state.json"]
    assert read_proposals(tmp_path / "none.json") == []
    assert set(KINDS) == {field.name for field in fields(Proposal)}


def altered(record, key, value):
    record = json.loads(json.dumps(record))
    record["proposals"][0][key] = value
    return json.dumps(record)


def test_a_hostile_state_is_refused_in_a_line(known, incoming, tmp_path):
    file = tmp_path / "state.json"
    write_proposals(file, update_proposals([], known, incoming, "2024-01"))
    good = json.loads(file.read_text())
    bad = [altered(good, "status", "anything"), altered(good, "status", ["proposed"])]
    bad += [altered(good, "median_score", float("nan")), altered(good, "median_score", 10**400)]
    bad += [altered(good, "name", "x" * 5_000), altered(good, "members", [{"id": "a"}])]
    bad += [altered(good, "grew", True), altered(good, "grew", -1), altered(good, "more", 1)]
    bad += [json.dumps({**good, "proposals": good["proposals"] * 2}), "[" * 100_000, "[]", "", "\xff"]
    for content in bad:
        file.write_text(content, encoding="latin-1")
        with pytest.raises(InputError) as caught:
            read_proposals(file)
        assert caught.value.code == "bad-proposals", content[:80]
        assert "\n" not in caught.value.message
