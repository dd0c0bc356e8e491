"""Figures of recordings, and their intervals over resamples of recordings or of groups.

A `Measure` sums up beforehand what each unit (recording, group) adds, so that a resample costs no more than
sums. All measures share the same draws; what is drawn, and how, says `resampling`. What is not
defined is None, never a number.

The shares of genuine recordings and of fakes are kept in a draw, so intervals are those of test sets built
alike. In simulations (400 sets of 40 fakes in part and 40 genuine recordings) 95 % intervals held the
truth in 92 to 97 % of the sets, those of average precision in 88 %.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from earwitness.metrics.evaluation import Figure
from earwitness.metrics.intervals import check_request
from earwitness.metrics.reliability import wilson
from earwitness.metrics.resampling import Units, chunks, times_drawn

Draws = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Measure:
    """A metric of some recordings."""

    value: float | None  # None: not defined on them
    of_draws: Draws  # how often each draw holds each unit (D, U) -> value of each draw (D,), perhaps NaN
    threshold: float | None = None  # where an equal error rate lies
    trials: int | None = None  # of an error rate: recordings that hold the rarer class


UNDEFINED = Measure(None, lambda times: np.full(len(times), np.nan))


def measured(units: Units, of_draws: Draws) -> Measure:
    """A measure whose value is that of the draw which holds everything once."""
    value = float(of_draws(np.ones((1, sum(units.strata)), np.float32))[0])
    return Measure(value if np.isfinite(value) else None, of_draws)


def blocks(times: np.ndarray, width: int) -> Iterator[np.ndarray]:
    """Draws (D, U) in blocks that can be handled at once, over tables `width` wide."""
    begin = 0
    for some in chunks(len(times), max(width, 1)):
        yield times[begin : begin + some]
        begin += some


def ratio(units: Units, over: np.ndarray, under: np.ndarray) -> Measure:
    """Sum over sum, of what each recording has, (R,) each; None where the lower one is 0."""
    height = sum(units.strata)
    top, bottom = (np.bincount(units.of_trial, side, height) for side in (over, under))

    def of_draws(times: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore", divide="ignore"):
            return (times @ top) / (times @ bottom)

    return measured(units, of_draws)


def figures(
    made: Mapping[str, Measure], units: Units, draws: int = 1_000, level: float = 0.95, seed: int = 0
) -> dict[str, Figure]:
    """Value and percentile interval of each measure, on the same draws; no intervals without draws.

    Draws on which a measure is not defined (all their recordings fake throughout, say) are left out of its
    interval. An upper end of None beside a lower one is infinite. Where no error was made, no draw can make
    one: the interval of an error rate then ends where Wilson's does for none among the recordings of the
    rarer class. A single recording (group) with anything spoofed cannot show how they differ: no intervals.

    Raises:
        InputError: `few-draws`.
    """
    if not draws or sum(units.strata[1:]) < 2:
        return {name: {"value": one.value, "low": None, "high": None} for name, one in made.items()}
    check_request((), draws, level)
    times = times_drawn(units, draws, np.random.default_rng(seed))
    return {name: figure(one, one.of_draws(times), level) for name, one in made.items()}


def figure(measure: Measure, drawn: np.ndarray, level: float) -> Figure:
    """A measure with the interval of its draws (D,)."""
    value, ordered = measure.value, np.sort(drawn[~np.isnan(drawn)])
    if value is None or not len(ordered):
        return {"value": value, "low": None, "high": None}
    beyond = int((1 - level) / 2 * len(ordered))  # order statistics: next to infinity there is no between
    low, high = min(value, float(ordered[beyond])), max(value, float(ordered[-1 - beyond]))
    if high == 0 and measure.trials:
        high = wilson(0, measure.trials, level)[1]
    return {"value": value, "low": low, "high": high if np.isfinite(high) else None}
