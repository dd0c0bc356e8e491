"""Which items of a pool are worth a label (RQ2).

Energy, removal and the adversarial strategy follow Wang and Yamagishi (SLT 2022, arXiv 2203.14553), whose
confidence is the negative energy; core-set is the greedy k-center of Sener and Savarese (ICLR 2018,
arXiv 1708.00489), k-means++ the seeding of Arthur and Vassilvitskii (2007). Balance, caps and diversity are
additions of ours. Of one score without logits, energy, margin and entropy choose the same items.

Items are put in order of their ids before anything else: the order of a pool's rows changes nothing.
"""

from dataclasses import dataclass

import numpy as np

from earwitness.errors import InputError
from earwitness.operations.samples import Samples

STRATEGIES = {
    "energy": "least confident first, by the energy of the logits",
    "positive-energy": "most confident first; a control that should do badly",
    "margin": "scores nearest to 0 first",
    "entropy": "most uncertain P(fake) first",
    "adversarial": "nearest to labelled items that were moved towards the other class",
    "passive": "at random; what the others must beat",
    "removal": "drops the most confident items, as many as the budget, then takes at random",
    "coverage": "least like anything labelled first, by cosine similarity",
    "core-set": "each time the farthest from everything labelled or chosen",
    "kmeans++": "at random, the farther from everything labelled or chosen the likelier",
}
DIVERSITY = {
    "none": "the strategy alone",
    "core-set": "of five times the budget those that lie farthest apart",
    "kmeans++": "of five times the budget a random spread",
}
SPREADS = ("core-set", "kmeans++")
WIDER = 5  # budgets that diversity chooses from
STEP = 0.3  # epsilon of the adversarial strategy, as in its source
RIDGE = 1.0  # penalty on half the squared weights of the logistic regression
ROWS, COLUMNS = 2048, 8192  # of one block of distances: 64 MiB


@dataclass(frozen=True)
class SelectionOptions:
    """What to choose; of `items` and `minutes` exactly one is given."""

    strategy: str = "energy"
    items: int = 0  # budget in items, or
    minutes: float = 0.0  # in minutes of listening, by the column `duration_s`
    per_source: float = 0.0  # most of the budget that one `source` may take, '-' being one; 0 for no cap
    balance: bool = False  # half of the budget for items called fake, half for genuine ones, if there are
    diversity: str = "none"
    seed: int = 0

    @property
    def budget(self) -> float:
        """Items or minutes."""
        return self.items or self.minutes


def select(pool: Samples, labelled: Samples | None, options: SelectionOptions) -> list[int]:
    """Rows of the pool in the order in which they are to be labelled.

    Without replacement; nothing whose id is in `labelled`, and with a budget in minutes nothing without a
    duration. Items that do not fit into what is left of the budget are passed over.

    Args:
        pool: items to choose from.
        labelled: what was labelled before; `coverage` needs some, `adversarial` some of both classes.
        options: the strategy, the budget, and what bounds it.

    Raises:
        InputError: `usage`: the options do not fit together or to the data; `bad-samples`: the pool and the
            labelled items are embedded by different models.
    """
    check(pool, labelled, options)
    rows = candidates(pool, labelled, options)
    left = pool.take(rows)
    rng = np.random.default_rng(options.seed)
    basket = Basket(left, options)
    if options.strategy in SPREADS:
        spread(left, labelled, basket, np.arange(len(left)), rng if options.strategy == "kmeans++" else None)
    else:
        order = ranked(left, labelled, options, rng)
        if options.diversity != "none":
            wide = Basket(left, options, WIDER)
            wide.fill(order)
            spread(
                left,
                labelled,
                basket,
                np.array(wide.chosen, int),
                rng if options.diversity == "kmeans++" else None,
            )
        basket.fill(order)
    return [rows[i] for i in basket.chosen]


def removed(pool: Samples, labelled: Samples | None, options: SelectionOptions) -> list[int]:
    """Rows of the pool that `removal` drops; over several rounds they are to stay out for good."""
    check(pool, labelled, options)
    rows = candidates(pool, labelled, options)
    left = pool.take(rows)
    return [rows[i] for i in most_confident(left, options)]


def check(pool: Samples, labelled: Samples | None, options: SelectionOptions) -> None:
    """Raises InputError where options or data do not fit together."""
    if options.strategy not in STRATEGIES:
        raise InputError("usage", f"strategy {options.strategy!r}: one of {', '.join(STRATEGIES)}")
    if options.diversity not in DIVERSITY:
        raise InputError("usage", f"diversity {options.diversity!r}: one of {', '.join(DIVERSITY)}")
    if options.strategy in SPREADS and options.diversity != "none":
        raise InputError("usage", f"strategy {options.strategy} is diversity itself; leave out diversity")
    given = [options.items != 0, options.minutes != 0]
    if sum(given) != 1 or not 0 < options.budget < float("inf"):
        raise InputError("usage", "a budget in items or in minutes, above 0, is expected; one of the two")
    if options.seed < 0:
        raise InputError("usage", f"seed {options.seed}: a number from 0 on is expected")
    if not 0 <= options.per_source <= 1:
        raise InputError("usage", f"per source {options.per_source:g}: a share from 0 to 1 is expected")
    for name, wanted in (("duration_s", options.minutes), ("source", options.per_source)):
        if wanted and name not in pool.columns:
            raise InputError("usage", f"the pool has no column {name}, which this budget needs")
    if labelled and len(pool):
        sizes = labelled.embeddings.shape[1], pool.embeddings.shape[1]
        if sizes[0] != sizes[1] or len({labelled.model, pool.model} - {"-"}) > 1:
            raise InputError(
                "bad-samples", "the pool and the labelled items are embedded by different models"
            )


def candidates(pool: Samples, labelled: Samples | None, options: SelectionOptions) -> list[int]:
    """Rows that may be chosen, by id."""
    known = set(labelled.ids) if labelled else set()
    prices = costs(pool, options)
    usable = np.isfinite(prices) & (prices > 0)
    return sorted(
        (i for i in range(len(pool)) if usable[i] and pool.ids[i] not in known), key=pool.ids.__getitem__
    )


def costs(samples: Samples, options: SelectionOptions) -> np.ndarray:
    """What each item takes of the budget: 1, or its minutes."""
    return np.ones(len(samples)) if options.items else samples.numbers("duration_s") / 60


class Basket:
    """What is chosen so far, and what may still be added to it."""

    def __init__(self, samples: Samples, options: SelectionOptions, times: int = 1) -> None:
        budget = options.budget * times
        self.costs = costs(samples, options)
        self.balanced = options.balance
        self.chosen: list[int] = []
        self.open = np.ones(len(samples), bool)
        self.least = self.costs.min(initial=np.inf)
        self.left = float(budget)
        _, self.source = np.unique(samples.column("source"), return_inverse=True)
        cap = options.per_source * budget or float("inf")
        if options.items and options.per_source:
            cap = max(1, int(cap + 1e-9))  # an item at least
        self.left_of_source = np.full(len(samples), float(cap))
        self.called = (samples.scores < 0).astype(int)
        self.left_of_class = np.full(2, budget // 2 if options.items else budget / 2)

    def fits(self, rows: np.ndarray, balanced: bool) -> np.ndarray:
        """Which of these rows, or whether this one, can still be added.

        Args:
            rows: any number of them, or one.
            balanced: whether within the half of the budget that their class has.
        """
        price = self.costs[rows]
        fit = self.open[rows] & (price <= self.left) & (price <= self.left_of_source[self.source[rows]])
        return fit & (price <= self.left_of_class[self.called[rows]]) if balanced else fit

    def add(self, row: int) -> None:
        """Take this one."""
        self.chosen.append(row)
        self.open[row] = False
        self.left -= self.costs[row]
        self.left_of_source[self.source[row]] -= self.costs[row]
        self.left_of_class[self.called[row]] -= self.costs[row]

    def rounds(self) -> tuple[bool, ...]:
        """Within halves first where balance is wanted, then whatever fills the budget."""
        return (True, False) if self.balanced else (False,)

    def fill(self, order: np.ndarray) -> None:
        """Add items in this order, passing over what does not fit."""
        for balanced in self.rounds():
            for row in order:
                if self.left < self.least:
                    return
                if self.fits(row, balanced):
                    self.add(int(row))


def spread(
    samples: Samples,
    labelled: Samples | None,
    basket: Basket,
    among: np.ndarray,
    rng: np.random.Generator | None,
) -> None:
    """Add items far from everything labelled and chosen: each time the farthest or, by `rng`, by the square.

    With nothing labelled the first is the first of `among`, or any.
    """
    middle = samples.embeddings.mean(axis=0) if len(samples) else 0
    vectors = samples.embeddings[among] - middle  # squares of small numbers keep more digits
    lengths = np.einsum("ij,ij->i", vectors, vectors)
    nearest = np.full(len(among), np.inf)
    if labelled:
        nearest = nearest_squared(vectors, labelled.embeddings - middle)
    for balanced in basket.rounds():
        while (fit := basket.fits(among, balanced)).any():
            far = np.where(fit, nearest, -1.0)
            i = int(np.argmax(far)) if rng is None else drawn(far, rng)
            basket.add(int(among[i]))
            squares = lengths + lengths[i] - 2 * (vectors @ vectors[i])
            nearest = np.minimum(nearest, np.maximum(squares, 0))


def drawn(far: np.ndarray, rng: np.random.Generator) -> int:
    """One of the items with far >= 0, as likely as `far`; any of them where all are 0 or one is infinite."""
    weights = np.maximum(far, 0)
    if not 0 < weights.sum() < np.inf:
        weights = (far >= 0).astype(float)
    return int(rng.choice(len(far), p=weights / weights.sum()))


def ranked(
    samples: Samples, labelled: Samples | None, options: SelectionOptions, rng: np.random.Generator
) -> np.ndarray:
    """Rows in the order of the strategy; ties stay in order of id."""
    if options.strategy == "passive":
        return rng.permutation(len(samples))
    if options.strategy == "removal":
        return rng.permutation(np.setdiff1d(np.arange(len(samples)), most_confident(samples, options)))
    if options.strategy in ("coverage", "adversarial"):
        if not labelled:
            raise InputError("usage", f"strategy {options.strategy} needs labelled items")
        keys = (
            -uncovered(samples, labelled)
            if options.strategy == "coverage"
            else adversarial(samples, labelled)
        )
    elif options.strategy == "margin":
        keys = np.abs(samples.scores)
    elif options.strategy == "entropy":
        keys = -entropies(samples.scores)
    else:
        keys = energies(samples) * (1 if options.strategy == "positive-energy" else -1)
    return np.argsort(keys, kind="stable")


def energies(samples: Samples) -> np.ndarray:
    """E = -log(exp(z_fake) + exp(z_real)), (n,); higher is less confident (arXiv 2203.14553).

    Where a row has no logits, they are half the score, apart from 0 on either side.
    """
    logits = [samples.numbers(name) for name in ("logit_fake", "logit_real")]
    there = np.isfinite(logits).all(axis=0)
    half = samples.scores / 2
    return -np.logaddexp(np.where(there, logits[0], -half), np.where(there, logits[1], half))


def entropies(scores: np.ndarray) -> np.ndarray:
    """Entropy in nats of P(real) = sigmoid(score), also where the sigmoid itself is 1."""
    size = np.abs(scores)
    small = np.exp(-size)
    return np.log1p(small) + size * small / (1 + small)


def most_confident(samples: Samples, options: SelectionOptions) -> np.ndarray:
    """Rows of lowest energy, as many as the budget holds."""
    order = np.argsort(energies(samples), kind="stable")
    return order[np.cumsum(costs(samples, options)[order]) <= options.budget]


def uncovered(samples: Samples, labelled: Samples) -> np.ndarray:
    """1 - the highest cosine similarity to anything labelled, (n,); of copies it is one number."""
    return np.round(nearest_squared(unit(samples.embeddings), unit(labelled.embeddings)) / 2, 6)


def unit(vectors: np.ndarray) -> np.ndarray:
    """Rows of length 1."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def nearest_squared(points: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Squared distance of each point to the nearest of the others, (n,) float64, in blocks."""
    nearest = np.full(len(points), np.inf)
    lengths = np.einsum("ij,ij->i", others, others)
    for i in range(0, len(points), ROWS):
        part = points[i : i + ROWS]
        own = np.einsum("ij,ij->i", part, part)
        for j in range(0, len(others), COLUMNS):
            squares = part @ others[j : j + COLUMNS].T
            squares *= -2
            squares += lengths[j : j + COLUMNS]
            nearest[i : i + ROWS] = np.minimum(nearest[i : i + ROWS], squares.min(axis=1) + own)
    return np.maximum(nearest, 0)


def adversarial(samples: Samples, labelled: Samples) -> np.ndarray:
    """Squared distance to the nearest labelled item that was moved up the gradient of its loss, (n,).

    The source (AL-Adv) moves the waveforms of one mini-batch by 0.3 of the gradient through the network.
    Here there is no network: a logistic regression on the embeddings stands for it, in units of the labelled
    items' standard deviations, and all labelled items are moved.

    Raises:
        InputError: `usage`: not both classes are labelled.
    """
    known = labelled.labels >= 0
    truth = labelled.labels[known].astype(float)
    if len(set(truth)) < 2:
        raise InputError("usage", "strategy adversarial needs labelled items of both classes")
    vectors = labelled.embeddings[known].astype(float)
    middle, scale = vectors.mean(axis=0), np.maximum(vectors.std(axis=0), 1e-6)
    vectors = (vectors - middle) / scale
    weights = logistic(vectors, truth)
    gradient = np.outer(probabilities(vectors, weights) - truth, weights[:-1])
    moved = (vectors + STEP * gradient).astype(np.float32)
    points = (samples.embeddings - middle.astype(np.float32)) / scale.astype(np.float32)
    return nearest_squared(points, moved)


def logistic(vectors: np.ndarray, truth: np.ndarray, steps: int = 50) -> np.ndarray:
    """Weights and bias (size + 1,) of a logistic regression with a ridge of 1 on the weights, by Newton."""
    weights = np.zeros(vectors.shape[1] + 1)
    penalty = np.append(np.full(vectors.shape[1], RIDGE), 1e-9)
    for _ in range(steps):
        p = probabilities(vectors, weights)
        slope = np.append((p - truth) @ vectors, (p - truth).sum()) + penalty * weights
        step = np.linalg.solve(curvature(vectors, p * (1 - p)) + np.diag(penalty), slope)
        here, size = loss(vectors, truth, weights, penalty), 1.0
        while size > 1e-6 and loss(vectors, truth, weights - size * step, penalty) > here:
            size /= 2
        weights = weights - size * step
        if np.abs(step).max() < 1e-8:
            break
    return weights


def probabilities(vectors: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """P(bona fide) of a logistic regression, (n,)."""
    return np.exp(-np.logaddexp(0, -(vectors @ weights[:-1] + weights[-1])))


def loss(vectors: np.ndarray, truth: np.ndarray, weights: np.ndarray, penalty: np.ndarray) -> float:
    """Summed cross-entropy and the penalty."""
    logits = vectors @ weights[:-1] + weights[-1]
    return float((np.logaddexp(0, logits) - truth * logits).sum() + (penalty * weights**2).sum() / 2)


def curvature(vectors: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """X' diag(weight) X with a column of ones added to X, (size + 1, size + 1), in blocks."""
    total = np.zeros((vectors.shape[1] + 1,) * 2)
    for i in range(0, len(vectors), COLUMNS):
        part = np.pad(vectors[i : i + COLUMNS], ((0, 0), (0, 1)), constant_values=1)
        total += part.T @ (part * weight[i : i + COLUMNS, None])
    return total
