"""Has the world left what a detector was built on? Distances of windows from a reference, and their null.

A reference holds development data: embeddings in the principal components of the development data, at unit
variance, and scores. A window of what came in is compared with half of it; how far windows of the same size
from the other half are is the null. Little data is halved in many ways: one way would be one draw of luck,
which every window then shares. Every distance is standardised by its null, the greatest of them
is the statistic, and its own null gives the p-value: that controls the rate of false alarms over all
distances together (the maximum statistic of P. Westfall and S. Young, Resampling-Based Multiple Testing,
1993). Windows of a stream add up in a one-sided CUSUM (E. Page, Biometrika 41, 1954) whose bound is set by
simulation of the null to an average run length without drift.

Three views: everything; what is called fake against development spoofs; what is called genuine against
genuine development data. The first also reacts to another mix of the classes, the others do not. The rate is
shared out among them.

Nothing here knows of audio.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from earwitness.errors import InputError
from earwitness.metrics import distances
from earwitness.operations.drift_options import LEAST, VIEWS, DriftOptions
from earwitness.operations.samples import Samples

AXES = 0.25  # of the development data, which gives the axes
MOST_ROWS = 1_000  # of a view's reference
MOST_KEPT = 20_000  # rows that it and its null are drawn from
A_HALF = 10  # windows of the null that one way to halve little data gives
OWN = 15
TINY = 1e-9
FURTHEST = 4.0  # deviations of the development data


@dataclass(frozen=True)
class View:
    """One part of the data; windows are compared with one half of the sources."""

    rows: np.ndarray  # (reference rows, components + 1), the last column being the score
    inside: float  # mean distance of the rows from each other
    null: dict[str, np.ndarray]  # distance -> (windows,) at the reference's window size
    cusum_bound: float


@dataclass(frozen=True)
class Reference:
    """What incoming samples are compared with."""

    model: str  # digest of what made the embeddings, or '-'
    options: DriftOptions
    mean: np.ndarray  # (dimensions,) of a part of the development data, as all of the next four
    spread: np.ndarray  # (dimensions,)
    axes: np.ndarray  # (dimensions, components), which give unit variance
    score: tuple[float, float]  # mean and spread of the scores
    sketch: np.ndarray  # (some rows, dimensions) of the development data, standardised: for the report
    rows: np.ndarray  # (n, components + 1) of the development data
    sources: np.ndarray  # (n,) int: what stands on one side
    labels: np.ndarray  # (n,) int8
    called_fake: np.ndarray  # (n,) bool
    views: dict[str, View]

    def standardise(self, embeddings: np.ndarray) -> np.ndarray:
        """Embeddings (n, dimensions) in deviations of the development data.

        Raises:
            InputError: `bad-samples`: they have other dimensions.
        """
        if embeddings.shape[1] != len(self.mean):
            raise InputError(
                "bad-samples",
                f"embeddings of {embeddings.shape[1]} numbers; the drift reference is of {len(self.mean)}",
            )
        return (embeddings - self.mean) / self.spread

    def rows_of(self, samples: Samples) -> np.ndarray:
        """What is compared, (n, components + 1); bounded, since one item that is far off is no drift."""
        score = (samples.scores - self.score[0]) / self.score[1]
        rows = np.column_stack([self.standardise(samples.embeddings) @ self.axes, score])
        return np.clip(rows, -FURTHEST, FURTHEST)

    def in_view(self, samples: Samples, view: str) -> np.ndarray:
        """Which samples a view looks at, (n,) bool."""
        called_fake = samples.scores < self.options.threshold
        return np.ones(len(samples), bool) if view == "all" else called_fake == (view == "fake")

    def check_model(self, samples: Samples) -> None:
        """Refuse embeddings of another model.

        Raises:
            InputError: `drift-model`.
        """
        if "-" not in (self.model, samples.model) and self.model != samples.model:
            raise InputError(
                "drift-model",
                f"the drift reference is of model {self.model[:12]}, the samples of {samples.model[:12]}: "
                "embed the development data with the new model and make a new reference",
            )


@dataclass(frozen=True)
class Judged:
    """One window of one view."""

    view: str
    size: int
    distances: dict[str, float]
    deviations: dict[str, float]  # from the null's mean, in the null's deviations
    statistic: float  # the greatest of the deviations
    p: float
    bound: float  # of the statistic, above which the window alarms
    alarm: bool
    step: float  # what the CUSUM adds: the statistic in deviations of its own null


def measure(view_rows: np.ndarray, inside: float, window: np.ndarray) -> dict[str, float]:
    """All distances of a window (m, components + 1) from a view's reference."""
    reference, rows = view_rows[:, :-1], window[:, :-1]
    return {
        "wasserstein": float(distances.wasserstein(reference, rows).mean()),
        "kolmogorov-smirnov": float(distances.kolmogorov_smirnov(reference, rows).mean()),
        "jensen-shannon": float(distances.jensen_shannon(reference, rows).mean()),
        "energy": distances.energy(reference, rows, inside),
        "frechet": distances.frechet(reference, rows),
        "score": float(distances.wasserstein(view_rows[:, -1:], window[:, -1:])[0]),
    }


def halves(reference: Reference, view: str, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A way to halve a view: rows to compare with, at most `MOST_ROWS`, and rows to draw windows from."""
    inside = taken(reference.sources, 0.5, rng)
    every = view == "all"
    of_class = np.ones(len(inside), bool) if every else reference.labels == (view == "genuine")
    called = np.ones(len(inside), bool) if every else reference.called_fake == (view == "fake")
    compared = reference.rows[of_class & inside]
    return thinned(compared, MOST_ROWS, rng), reference.rows[called & ~inside]


def taken(sources: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """Which rows of sources (n,) are in, (n,) bool: whole sources, until this share of the rows is."""
    known, counts = np.unique(sources, return_counts=True)
    order = rng.permutation(len(known))
    enough = int(np.searchsorted(np.cumsum(counts[order]), len(sources) * share)) + 1
    return np.isin(sources, known[order[: max(1, min(enough, len(known) - 1))]])


def draw_null(
    reference: Reference,
    view: str,
    size: int,
    rng: np.random.Generator,
    advance: Callable[[], None] = lambda: None,
) -> dict[str, np.ndarray]:
    """Distances of windows without drift: name -> (windows,).

    They are drawn without replacement, so that each is as good as a fresh one. Where there are too few rows
    they are drawn with it: they lie further off, and alarms are rarer than stated. Where the other half holds
    sources enough for `OWN` windows, one way to halve the data is enough.
    """
    found: dict[str, list[float]] = {}
    fixed = len(np.unique(reference.sources)) >= 2 * OWN * size
    a_half = reference.options.windows if fixed else A_HALF
    for first in range(0, reference.options.windows, a_half):
        one = np.random.default_rng(reference.options.seed) if fixed else rng
        compared, others = halves(reference, view, one)
        if min(len(compared), len(others)) < LEAST:
            compared, others = halves(reference, view, np.random.default_rng(reference.options.seed))
        inside = distances.mean_distance(compared[:, :-1], compared[:, :-1])
        for _ in range(min(a_half, reference.options.windows - first)):
            window = others[rng.choice(len(others), size, replace=size > len(others))]
            for name, value in measure(compared, inside, window).items():
                found.setdefault(name, []).append(value)
            advance()
    return {name: np.array(values) for name, values in found.items()}


def statistics_of(null: dict[str, np.ndarray], found: dict[str, np.ndarray]) -> np.ndarray:
    """The greatest deviation of each window, (windows,)."""
    return np.max([deviation(null[name], found[name]) for name in null], axis=0)


def deviation(null: np.ndarray, found: np.ndarray | float) -> Any:
    """How far above the null's mean, in the null's deviations."""
    return (found - null.mean()) / max(float(null.std()), TINY)


def make_reference(
    samples: Samples, options: DriftOptions = DriftOptions(), advance: Callable[[], None] = lambda: None
) -> Reference:
    """A reference of development samples that the model was not trained on.

    A quarter of the sources (column `source`; of the samples where it names none) gives the axes: these fit
    what they were made of better than anything else, and must not see the rest. Half of that is compared
    with, windows without drift come from the other half. So with sources named, others of their kind are
    no drift, and less is noticed. `fake` and `genuine` are left out where there are too few samples.

    Args:
        samples: development data; the views by class need the column `label`.
        options: window size, rate, run length.
        advance: called after each window of the null.

    Raises:
        InputError: `usage`: too few samples; `bad-samples`: embeddings that do not vary.
    """
    check_options(options)
    rng = np.random.default_rng(options.seed)
    if len(samples) < 3 * LEAST:
        raise InputError("usage", f"a drift reference takes {3 * LEAST} samples; there are {len(samples)}")
    seen = taken(sources_of(samples), AXES, rng)
    learnt, rest = samples.take(seen), samples.take(~seen)
    mean, spread = learnt.embeddings.mean(0, dtype=float), learnt.embeddings.std(0, dtype=float)
    if not (spread > TINY).any():
        raise InputError("bad-samples", "the embeddings of the development data are all alike")
    spread = np.where(spread > TINY, spread, 1.0)
    axes = principal_axes((learnt.embeddings - mean) / spread, min(options.components, len(learnt) // 4))
    kept = rest.take(np.sort(rng.permutation(len(rest))[:MOST_KEPT]))
    sketch = ((rest.embeddings - mean) / spread)[rng.permutation(len(rest))[:MOST_ROWS]].astype(np.float32)
    start = Reference(
        model=samples.model,
        options=options,
        mean=mean,
        spread=spread,
        axes=axes,
        score=(float(learnt.scores.mean()), max(float(learnt.scores.std()), TINY)),
        sketch=sketch,
        rows=np.zeros((0, 0)),
        sources=sources_of(kept),
        labels=kept.labels,
        called_fake=kept.scores < options.threshold,
        views={},
    )
    made = replace(start, rows=start.rows_of(kept))
    names = [
        name
        for name in VIEWS
        if min(map(len, halves(made, name, np.random.default_rng(options.seed)))) >= LEAST
    ]
    if "all" not in names:
        count = len(np.unique(made.sources))
        raise InputError(
            "usage",
            f"no half of the {count} sources leaves {LEAST} samples on either side: give more data, "
            "or a table without the column source",
        )
    views = {name: make_view(made, name, len(names), rng, advance) for name in names}
    return replace(made, views=views)


def make_view(
    reference: Reference, name: str, views: int, rng: np.random.Generator, advance: Callable[[], None]
) -> View:
    """A view with its null and the bound of its CUSUM."""
    options = reference.options
    rows, _ = halves(reference, name, np.random.default_rng(options.seed))
    null = draw_null(reference, name, options.window, rng, advance)
    statistic = statistics_of(null, null)
    bound = cusum_bound(deviation(statistic, statistic), options.run_length * views)
    return View(rows, distances.mean_distance(rows[:, :-1], rows[:, :-1]), null, bound)


def check_options(options: DriftOptions) -> None:
    """Refuse what cannot be.

    Raises:
        InputError: `usage`.
    """
    if options.window < LEAST:
        raise InputError("usage", f"--window {options.window}: at least {LEAST}")
    if not 0 < options.rate < 0.5:
        raise InputError("usage", f"--rate {options.rate}: a share above 0 and below 0.5")
    if options.windows * options.rate < len(VIEWS):
        raise InputError(
            "usage", f"a rate of {options.rate} takes a null of {round(len(VIEWS) / options.rate)} windows"
        )
    if not 2 <= options.run_length <= 100_000:
        raise InputError("usage", f"--run-length {options.run_length}: 2 to 100,000 windows")


def sources_of(samples: Samples) -> np.ndarray:
    """The source of each sample, (n,) int; one of its own where none is named."""
    names = [
        name if name not in ("", "-") else f"\0{key}"
        for name, key in zip(samples.column("source"), samples.ids, strict=True)
    ]
    return np.unique(np.array(names), return_inverse=True)[1]


def principal_axes(standard: np.ndarray, count: int) -> np.ndarray:
    """(dimensions, count) that make the first principal components of unit variance."""
    _, values, vectors = np.linalg.svd(standard - standard.mean(0), full_matrices=False)
    kept = min(count, int((values > TINY * values[0]).sum()))
    return vectors[:kept].T * (np.sqrt(len(standard)) / values[:kept])


def thinned(rows: np.ndarray, most: int, rng: np.random.Generator) -> np.ndarray:
    """At most so many of the rows."""
    return rows if len(rows) <= most else rows[rng.choice(len(rows), most, replace=False)]


def judge(reference: Reference, samples: Samples, view: str = "all") -> Judged:
    """Judge the samples of a window that a view looks at, as one window.

    A window of another size than the reference's gets a null of its own size, drawn on the spot.

    Raises:
        InputError: `usage`: too few samples, or the reference has not this view; `drift-model`.
    """
    reference.check_model(samples)
    if view not in reference.views:
        raise InputError(
            "usage", f"the drift reference has no view {view!r}: too little such development data"
        )
    rows = reference.rows_of(samples)[reference.in_view(samples, view)]
    if len(rows) < LEAST:
        raise InputError("usage", f"{len(rows)} samples in the view {view!r}; at least {LEAST} are compared")
    options, chosen = reference.options, reference.views[view]
    null = chosen.null
    if len(rows) != options.window:
        rng = np.random.default_rng([options.seed, len(rows)])
        null = draw_null(reference, view, len(rows), rng)
    found = measure(chosen.rows, chosen.inside, rows)
    deviations = {name: float(deviation(null[name], value)) for name, value in found.items()}
    statistic, without = max(deviations.values()), statistics_of(null, null)
    rate = options.rate / len(reference.views)
    p = (int((without >= statistic).sum()) + 1) / (len(without) + 1)
    bound = float(np.sort(without)[len(without) - max(1, int(rate * (len(without) + 1)))])
    step = float(deviation(without, statistic))
    return Judged(view, len(rows), found, deviations, statistic, p, bound, p <= rate, step)


ALLOWANCE = 0.5  # deviations of the null that the CUSUM forgives a window
STATES = 300  # of the chain that its run length is computed with


def cusum(total: float, step: float) -> float:
    """Page's sum after one more window."""
    return max(0.0, total + step - ALLOWANCE)


def cusum_bound(steps: np.ndarray, run_length: float) -> float:
    """The sum above which a CUSUM of such steps (n,) goes once in `run_length` windows on average."""
    ordered = np.sort(steps)
    low, high = 0.0, 1.0
    while mean_run_length(ordered, high) < run_length and high < 1e4:
        low, high = high, 2 * high
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if mean_run_length(ordered, middle) < run_length else (low, middle)
    return (low + high) / 2


def mean_run_length(steps: np.ndarray, bound: float) -> float:
    """Mean number of windows until a CUSUM of independent steps, ascending (n,), goes above the bound.

    By the Markov chain of D. Brook and D. Evans, Biometrika 59, 1972.
    """
    width = 2 * bound / (2 * STATES - 1)
    middles = width * np.arange(STATES)
    edges = middles[None] + width / 2 - middles[:, None] + ALLOWANCE
    beneath = np.searchsorted(steps, edges, "right") / len(steps)
    staying = np.diff(beneath, axis=1, prepend=0.0)
    return float(np.linalg.solve(np.eye(STATES) - staying + 1e-12 * np.eye(STATES), np.ones(STATES))[0])
