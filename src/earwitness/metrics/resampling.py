"""What a bootstrap draws, and how draws become counts per score.

Units (trials, or whole groups of trials) are drawn with replacement within strata: units that hold
bona fide trials only, both classes, or spoofs only. The size of each class is a choice of whoever
built the test set, not a finding, so it is kept; and no draw can lack a class.

Up to `EXACT_UP_TO` trials nothing is approximated. Above, the *resamples* (never the values) are:

- at most `PACKS` units a stratum: more are dealt at random into equal packs, which are drawn
  instead. This leaves the expected variance as it is ("random groups", Wolter 2007, chapter 2)
  and its relative error at sqrt(2 / PACKS) = 3 %, less than that of 1,000 draws;
- about `BINS` scores at most: neighbours are merged where neither error rate changes by more than a
  factor of about 1.004, so the tails of both classes stay as fine as their middle.

Measured on 300,000 Gaussian trials at EERs of 16, 1.4 and 0.07 %: merging moves a value by at most 0.03
standard errors (`calibration_loss` by 5e-5 bit, which shows only where nothing else is lost), and
widths with packs lie within 4 % of those without.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from earwitness.metrics.counted import Counted, Setting
from earwitness.metrics.sweep import log_position, starts_of_steps

EXACT_UP_TO = 2**17  # trials
PACKS = 2**11  # units a stratum, above that
BINS = 2**13
CELLS = 2**19  # draws x scores handled at once: 4 MB a table


@dataclass(frozen=True)
class Units:
    """What is drawn: unit of each trial (N,), and how many units each stratum has, in their order."""

    of_trial: np.ndarray
    strata: tuple[int, int, int]  # bona fide only, both, spoof only

    @property
    def rows(self) -> tuple[slice, slice]:
        """Units that hold bona fide trials, and those that hold spoofs."""
        first, both, last = self.strata
        return slice(0, first + both), slice(first, first + both + last)


def units_of(bona_fide: np.ndarray, groups: np.ndarray | None, rng: np.random.Generator) -> Units:
    """Units of trials whose class (N,) and group (N,) are given; no groups: every trial is one.

    A group that is the only one of its stratum cannot show how groups differ: its trials are drawn
    one by one (so where all bona fide trials stand under one name, as they do if groups are
    generators).
    """
    stratum = np.where(bona_fide, 0, 2).astype(np.int8)
    group = np.arange(len(bona_fide))
    if groups is not None:
        _, named = np.unique(groups, return_inverse=True)
        spoofs, size = np.bincount(named, ~bona_fide), np.bincount(named)
        of_group = np.where(spoofs == 0, 0, np.where(spoofs == size, 2, 1)).astype(np.int8)
        lone = np.bincount(of_group, minlength=3) == 1
        apart = lone[of_group][named]  # drawn one by one
        stratum = np.where(apart, stratum, of_group[named])
        group = np.where(apart, len(size) + group, named)
    most = len(bona_fide) if len(bona_fide) <= EXACT_UP_TO else PACKS
    of_trial, strata = np.empty(len(bona_fide), np.int32), []
    for kind in range(3):
        members = np.flatnonzero(stratum == kind)
        names, unit = np.unique(group[members], return_inverse=True)
        count = len(names)
        if count > most:
            unit, count = (rng.permutation(count) % most)[unit], most
        of_trial[members] = sum(strata) + unit
        strata.append(count)
    return Units(of_trial, (strata[0], strata[1], strata[2]))


def times_drawn(units: Units, draws: int, rng: np.random.Generator) -> np.ndarray:
    """How often each draw holds each unit, (D, U)."""
    parts = []
    for size in units.strata:
        drawn = rng.integers(0, max(size, 1), (draws, size)) + size * np.arange(draws)[:, None]
        parts.append(np.bincount(drawn.ravel(), minlength=draws * size).reshape(draws, size))
    return np.concatenate(parts, axis=1).astype(np.float32)


def chunks(draws: int, scores: int) -> Iterator[int]:
    """Draws to handle at once, `draws` in all, for the given number of distinct scores."""
    most = max(1, CELLS // scores)
    yield from [most] * (draws // most)
    if draws % most:
        yield draws % most


def count_trials(scores: np.ndarray, bona_fide: np.ndarray) -> Counted:
    """Every trial (N,) once, as a single draw over all distinct scores."""
    distinct = np.unique(scores)
    counts, costs = [], []
    for side, sign in ((scores[bona_fide], -1), (scores[~bona_fide], 1)):
        up_to = np.searchsorted(np.sort(side), distinct, side="right")
        counts.append(np.diff(up_to, prepend=0).astype(float)[None])
        costs.append(np.where(counts[-1][0] > 0, np.logaddexp(0, sign * distinct), 0.0))
    return Counted(counts[0], counts[1], distinct, costs[0], costs[1])


def merge_scores(every: Counted, setting: Setting) -> Counted:
    """The same draw over about `BINS` scores; thresholds of `setting` stay between scores."""
    if len(every.lowest) <= BINS:
        return every
    position = log_position(every.miss[0], every.false_alarm[0])[:-1]
    starts = starts_of_steps(position, BINS)
    cuts = [setting.costs.bayes_threshold] + ([] if setting.threshold is None else [setting.threshold])
    at_cuts = np.searchsorted(every.lowest, cuts)
    starts = np.union1d(starts, at_cuts[at_cuts < len(position)])
    counts, costs = [], []
    for count, cost in ((every.bona_fide, every.bona_fide_cost), (every.spoof, every.spoof_cost)):
        counts.append(np.add.reduceat(count[0], starts))
        costs.append(np.add.reduceat(count[0] * cost, starts) / np.maximum(counts[-1], 1))
    return Counted(counts[0][None], counts[1][None], every.lowest[starts], costs[0], costs[1])


def counter(
    scores: np.ndarray, bona_fide: np.ndarray, units: Units, scale: Counted
) -> Callable[[np.ndarray], Counted]:
    """Function from how often units are drawn (D, U) to the counts over the scores of `scale`."""
    column = np.searchsorted(scale.lowest, scores, side="right") - 1
    count = by_trial if len(scores) <= EXACT_UP_TO else by_table
    sides = []
    for side, rows in zip((bona_fide, ~bona_fide), units.rows, strict=True):
        sides.append(count(units.of_trial[side] - rows.start, column[side], rows, len(scale.lowest)))

    def counted(times: np.ndarray) -> Counted:
        drawn = [side(times) for side in sides]
        return Counted(drawn[0], drawn[1], scale.lowest, scale.bona_fide_cost, scale.spoof_cost)

    return counted


def by_trial(
    unit: np.ndarray, column: np.ndarray, rows: slice, width: int
) -> Callable[[np.ndarray], np.ndarray]:
    """Counts (D, K) of one class by adding up its trials (N,)."""
    order = np.argsort(column)
    unit, column = unit[order], column[order]
    return lambda times: np.stack([np.bincount(column, row[unit], width) for row in times[:, rows]])


def by_table(
    unit: np.ndarray, column: np.ndarray, rows: slice, width: int
) -> Callable[[np.ndarray], np.ndarray]:
    """Counts (D, K) of one class as a product with its table of units by scores (U, K)."""
    height = rows.stop - rows.start
    cells = np.bincount(unit.astype(np.int64) * width + column, minlength=height * width)
    table = cells.reshape(height, width).astype(np.float32)
    return lambda times: times[:, rows] @ table
