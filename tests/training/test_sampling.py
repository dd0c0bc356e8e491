from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from earwitness.audio.protocol import Utterance
from earwitness.training.sampling import Packing, Share, draw_pool, find_twins, plan, sampling_weights

PACKING = Packing(seconds=60, crop_s=(4, 5), balance=0.5, seed=3)


def corpus(sizes, seed=0):
    """Rows of data sets with so many of each class, of 1 to 20 s."""
    rng = np.random.default_rng(seed)
    items = []
    for name, (real, fake) in sizes.items():
        for i in range(real + fake):
            items.append(
                Utterance(
                    id=f"{name}-{i}",
                    path=Path(f"{name}{i}.wav"),
                    bona_fide=i < real,
                    dataset=name,
                    group=f"g{i % 2}",
                    duration_s=float(rng.uniform(1, 20)),
                )
            )
    return items


ITEMS = corpus({"large": (90, 30), "small": (10, 10), "fakes": (0, 40)})


@pytest.mark.parametrize(("balance", "share"), [(1.0, 0.9), (0.5, 0.75), (0.0, 0.5)])
def test_data_sets_weigh_a_power_of_their_size(balance, share):
    weights = sampling_weights(ITEMS, balance)
    large = np.array([item.dataset == "large" for item in ITEMS])
    assert weights[True].sum() == pytest.approx(1)
    assert weights[True][large].sum() == pytest.approx(share)  # 90 against 10, to that power
    assert not weights[True][[not item.bona_fide for item in ITEMS]].any()


def test_groups_of_a_data_set_are_balanced_too():
    items = [replace(item, group="rare" if i == 0 else "usual") for i, item in enumerate(ITEMS)]
    weights = sampling_weights(items, 0.0)
    assert weights[True][0] == pytest.approx(0.5 * 0.5)  # half of the data set, half of its groups


def test_without_groups_generators_and_speakers_take_their_place():
    items = [replace(item, group="-", generator="A1" if i == 130 else "A2") for i, item in enumerate(ITEMS)]
    assert ITEMS[130].dataset == "small" and not ITEMS[130].bona_fide  # noqa: PT018
    weights = sampling_weights(items, 0.0)
    assert weights[False][130] == pytest.approx(1 / 3 * 1 / 2)  # three data sets, two generators


def test_batches_hold_both_classes_alike_and_keep_the_budget():
    batches = draw_pool(np.array([i.duration_s for i in ITEMS]), sampling_weights(ITEMS, 0.5), PACKING, 0)
    assert len(batches) > 20
    for batch in batches:
        labels = [ITEMS[draw.row].bona_fide for draw in batch]
        assert labels == [True, False] * (len(batch) // 2)
        longest = max(draw.samples for draw in batch)
        assert longest <= 5 * 16_000
        assert len(batch) * longest <= 60 * 16_000 or len(batch) == 2
        for draw in batch:
            whole = int(ITEMS[draw.row].duration_s * 16_000)
            assert draw.samples == whole or 4 * 16_000 <= draw.samples <= 5 * 16_000 <= whole
    filled = [len(b) * max(d.samples for d in b) / (60 * 16_000) for b in batches]
    assert np.mean(filled) > 0.85  # cropped lengths fill the budget, whatever lies on the disk
    wasted = [1 - sum(d.samples for d in b) / (len(b) * max(d.samples for d in b)) for b in batches]
    assert np.mean(wasted) < 0.1


def test_one_long_recording_among_short_ones_keeps_the_budget_too():
    durations = np.array([1.0] * 60 + [12.0])
    weights = {label: np.full(61, 1 / 61) for label in (True, False)}
    packing = Packing(seconds=60, crop_s=(10, 13), balance=0.5, seed=3)
    for pool in range(5):
        for batch in draw_pool(durations, weights, packing, pool):
            assert len(batch) * max(draw.samples for draw in batch) <= 60 * 16_000


def test_equal_and_fixed_lengths():
    weights, durations = sampling_weights(ITEMS, 0.5), np.array([i.duration_s for i in ITEMS])
    for batch in draw_pool(durations, weights, replace(PACKING, equal=True), 0):
        assert len({draw.samples for draw in batch}) == 1
    for batch in draw_pool(durations, weights, replace(PACKING, fixed_samples=64_600), 0):
        assert {draw.samples for draw in batch} == {64_600}


def test_recordings_come_as_often_as_their_weight():
    weights = sampling_weights(ITEMS, 0.5)
    counts = np.zeros(len(ITEMS))
    for batch in islice(plan(ITEMS, PACKING), 1500):
        for draw in batch.draws:
            counts[draw.row] += 1
    for label in (True, False):
        side = np.array([item.bona_fide == label for item in ITEMS])
        expected = weights[label] * counts[side].sum()
        far = np.abs(counts - expected)[side] / np.sqrt(expected[side])
        assert far.max() < 5


@given(st.integers(0, 60), st.integers(1, 3))
@settings(max_examples=20, deadline=None)
def test_a_plan_goes_on_anywhere_and_splits_over_processes(after, world):
    whole = list(islice(plan(ITEMS, PACKING, share=Share(0, 1)), after + 5))
    place = whole[after - 1].next_place if after else (0, 0)
    assert list(islice(plan(ITEMS, PACKING, place), 5)) == whole[after:]
    parts = [list(islice(plan(ITEMS, PACKING, place, Share(rank, world)), 5)) for rank in range(world)]
    for step, batch in enumerate(whole[after:]):
        if world * 2 <= len(batch.draws):
            together = {draw for part in parts for draw in part[step].draws}
            assert together == set(batch.draws)
            assert all(part[step].total == len(batch.draws) for part in parts)
            assert max(len(p[step].draws) for p in parts) - min(len(p[step].draws) for p in parts) <= 2


def test_no_two_clips_share_a_seed():
    seeds = [draw.seed for batch in islice(plan(ITEMS, PACKING), 200) for draw in batch.draws]
    assert len(set(seeds)) == len(seeds)


def versions(count=40):
    """Utterances of which the first half also has two fakes, of other lengths."""
    items = []
    for i in range(count):
        fakes = 2 if i < count // 2 else 0
        for version in range(1 + fakes):
            items.append(
                Utterance(
                    id=f"{i}-{version}",
                    path=Path(f"{i}-{version}.wav"),
                    bona_fide=not version,
                    dataset="a",
                    generator=f"g{version}",
                    source=f"u{i}" if i else "-",
                    duration_s=3.0 + i % 7 + 0.3 * version,
                )
            )
    return items


def test_twins_are_versions_of_one_utterance():
    items = versions()
    twins = find_twins(items)
    assert len(twins) == 2 * 19  # utterance 0 does not say what it is
    for fake, genuine in twins.items():
        assert not items[fake].bona_fide
        assert [items[row].source for row in genuine] == [items[fake].source]
    assert not find_twins([replace(item, dataset=item.id) for item in items])


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_twins_share_their_seed_and_their_length(share):
    items, pairs, alike = versions(), 0, 0
    packing = replace(PACKING, twins=share)
    for batch in islice(plan(items, packing), 150):
        for first, second in zip(batch.draws[::2], batch.draws[1::2], strict=True):
            assert items[first.row].bona_fide and not items[second.row].bona_fide  # noqa: PT018
            pairs += 1
            if first.seed == second.seed:
                alike += 1
                assert items[first.row].source == items[second.row].source
                assert first.samples == second.samples
        assert sum(draw.samples for draw in batch.draws) <= PACKING.seconds * 16_000
    assert alike / pairs == pytest.approx(share, abs=0.03)
