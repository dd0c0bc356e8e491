"""Selection: against SciPy, scikit-learn, brute force, and properties that hold for any pool."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist
from scipy.special import logsumexp
from scipy.stats import entropy
from sklearn.linear_model import LogisticRegression

from earwitness.errors import InputError
from earwitness.operations import selection
from earwitness.operations.samples import Samples
from earwitness.operations.selection import (
    DIVERSITY,
    SPREADS,
    STRATEGIES,
    SelectionOptions,
    energies,
    entropies,
    logistic,
    nearest_squared,
    removed,
    select,
)


def make(count, seed=0, size=5, prefix="p", sources=4, **columns):
    rng = np.random.default_rng(seed)
    ids = [f"{prefix}{i:04}" for i in rng.permutation(count)]
    more = {
        "source": [f"s{i}" for i in rng.integers(0, sources, count)],
        "duration_s": [f"{s:.2f}" for s in rng.uniform(1, 60, count)],
        "label": [["fake", "real"][i % 2] for i in range(count)],
    }
    return Samples(
        ids, rng.normal(0, 3, count), rng.normal(size=(count, size)).astype(np.float32), more | columns
    )


def ids_of(pool, rows):
    return [pool.ids[i] for i in rows]


def test_energy_in_closed_form():
    two = Samples(["a", "b"], np.array([0.0, 4.0]), np.zeros((2, 1), np.float32), {})
    np.testing.assert_allclose(energies(two), [-np.log(2), -np.log(np.exp(2) + np.exp(-2))])


def test_energy_takes_the_smallest_logsumexp_of_the_logits():
    rng = np.random.default_rng(1)
    logits = rng.normal(0, 4, (50, 2))
    fake, real = ([repr(z) for z in column] for column in logits.T.tolist())
    pool = make(50, logit_fake=fake, logit_real=real)
    assert select(pool, None, SelectionOptions(items=7)) == np.argsort(logsumexp(logits, axis=1))[:7].tolist()
    most = select(pool, None, SelectionOptions("positive-energy", items=7))
    assert most == np.argsort(-logsumexp(logits, axis=1))[:7].tolist()


def test_a_row_without_logits_has_half_its_score_on_either_side():
    pool = Samples(
        ["a", "b"],
        np.array([3.0, 3.0]),
        np.zeros((2, 1), np.float32),
        {"logit_fake": ["-", "1"], "logit_real": ["-", "4"]},
    )
    np.testing.assert_allclose(-energies(pool), np.asarray(logsumexp([[-1.5, 1.5], [1, 4]], axis=1)))


def test_margin_and_entropy_agree_where_there_is_one_score():
    pool = make(80)
    by_margin = select(pool, None, SelectionOptions("margin", items=10))
    assert by_margin == np.argsort(np.abs(pool.scores))[:10].tolist()
    assert by_margin == select(pool, None, SelectionOptions("entropy", items=10))
    p = 1 / (1 + np.exp(-pool.scores))
    np.testing.assert_allclose(entropies(pool.scores), entropy([p, 1 - p]), rtol=1e-9)
    assert entropies(np.array([50.0]))[0] > entropies(np.array([60.0]))[0] > 0


def test_ties_are_broken_by_id():
    pool = Samples(["c", "a", "b"], np.zeros(3), np.zeros((3, 2), np.float32), {})
    for name in ("energy", "margin", "entropy", "positive-energy", "core-set"):
        assert ids_of(pool, select(pool, None, SelectionOptions(name, items=2))) == ["a", "b"]


def test_removal_drops_as_many_as_the_budget_and_no_more():
    pool = make(40)
    options = SelectionOptions("removal", items=10)
    dropped = removed(pool, None, options)
    assert sorted(dropped) == sorted(np.argsort(-np.abs(pool.scores))[:10])
    taken = {i for seed in range(40) for i in select(pool, None, SelectionOptions("removal", 10, seed=seed))}
    assert taken == set(range(40)) - set(dropped)  # any of the others may come


def test_removal_in_minutes():
    pool = make(40)
    seconds = pool.numbers("duration_s")
    dropped = removed(pool, None, SelectionOptions("removal", minutes=3))
    assert dropped == np.argsort(-np.abs(pool.scores))[: len(dropped)].tolist()
    following = np.argsort(-np.abs(pool.scores))[: len(dropped) + 1]
    assert seconds[dropped].sum() <= 180 < seconds[following].sum()


def test_passive_is_random_and_repeats_for_a_seed():
    pool = make(30)
    draws = [select(pool, None, SelectionOptions("passive", 5, seed=seed)) for seed in (0, 0, 1)]
    assert draws[0] == draws[1] != draws[2]
    counts = np.zeros(30)
    for seed in range(600):
        counts[select(pool, None, SelectionOptions("passive", 5, seed=seed))] += 1
    assert counts.min() > 60
    assert counts.max() < 145  # 100 expected, standard deviation 9


def test_coverage_takes_what_is_least_like_anything_labelled():
    pool, labelled = make(60), make(20, 1, prefix="q")
    similarity = 1 - cdist(pool.embeddings, labelled.embeddings, "cosine").min(axis=1)
    chosen = select(pool, labelled, SelectionOptions("coverage", items=9))
    assert chosen == np.argsort(similarity)[:9].tolist()


def greedy(vectors, covered, count, start):
    """k-center by brute force: all distances anew at each step."""
    centres, chosen = list(covered), []
    while len(chosen) < count:
        if not centres:
            chosen.append(start)
        else:
            away = cdist(vectors, np.array(centres)).min(axis=1)
            away[chosen] = -1
            chosen.append(int(away.argmax()))
        centres.append(vectors[chosen[-1]])
    return chosen


@pytest.mark.parametrize("known", [0, 15])
def test_core_set_is_greedy_k_center(known):
    pool, labelled = make(80), make(known, 1, prefix="q")
    first = pool.ids.index(min(pool.ids))
    expected = greedy(pool.embeddings.astype(float), labelled.embeddings.astype(float), 12, first)
    assert select(pool, labelled, SelectionOptions("core-set", items=12)) == expected


def test_kmeans_plus_plus_draws_by_the_squared_distance():
    """Of points at 1 and 3 from what is labelled, the second is nine times as likely."""
    pool = Samples(["a", "b", "c"], np.zeros(3), np.array([[1.0], [-3.0], [0.0]], np.float32), {})
    labelled = Samples(["z"], np.zeros(1), np.zeros((1, 1), np.float32), {})
    first = [select(pool, labelled, SelectionOptions("kmeans++", 1, seed=seed))[0] for seed in range(800)]
    assert 2 not in first
    assert abs(np.mean(np.array(first) == 1) - 0.9) < 0.04  # standard deviation 0.011


def test_diversity_chooses_within_five_budgets_those_far_apart():
    pool = make(200)
    wide = np.argsort(np.abs(pool.scores))[:60]
    chosen = select(pool, None, SelectionOptions("margin", items=12, diversity="core-set"))
    expected = greedy(pool.embeddings[wide].astype(float), [], 12, 0)
    assert chosen == wide[expected].tolist()
    drawn = select(pool, None, SelectionOptions("margin", items=12, diversity="kmeans++"))
    assert set(drawn) <= set(wide.tolist())


def test_copies_are_taken_once_before_others():
    """Ten clusters of copies: ten items of a core-set are one of each."""
    centres = np.random.default_rng(0).normal(size=(10, 8)).astype(np.float32)
    pool = make(100)
    pool = Samples(pool.ids, np.zeros(100), np.repeat(centres, 10, axis=0), {})
    for options in (
        SelectionOptions("core-set", 10),
        SelectionOptions("kmeans++", 10),
        SelectionOptions("passive", 10, diversity="core-set", seed=2),
    ):
        clusters = [i // 10 for i in select(pool, None, options)]
        if options.strategy == "passive":  # of 50 drawn at random, all ten clusters are there
            assert len(set(clusters)) == 10
        assert len(clusters) == len(set(clusters)) == 10


def test_the_logistic_regression_is_that_of_scikit_learn():
    rng = np.random.default_rng(3)
    vectors = rng.normal(size=(300, 6))
    truth = (vectors @ rng.normal(size=6) + rng.normal(size=300) > 0.5).astype(float)
    reference = LogisticRegression(C=1.0, tol=1e-10, max_iter=1000).fit(vectors, truth)
    weights = logistic(vectors, truth)
    np.testing.assert_allclose(weights, [*reference.coef_[0], reference.intercept_[0]], atol=1e-5)
    apart = logistic(np.vstack([vectors - 50, vectors + 50]), np.repeat([0.0, 1.0], 300))
    assert np.isfinite(apart).all()


def test_adversarial_by_numerical_gradient():
    """Nearest to labelled items moved by 0.3 of the gradient of their cross-entropy."""
    rng = np.random.default_rng(4)
    pool, labelled = make(50), make(30, 5, prefix="q")
    truth = np.array([one == "real" for one in labelled.columns["label"]], float)
    vectors = labelled.embeddings.astype(float)
    middle, scale = vectors.mean(axis=0), vectors.std(axis=0)
    vectors = (vectors - middle) / scale
    fitted = LogisticRegression(C=1.0, tol=1e-12, max_iter=1000).fit(vectors, truth)

    def losses(x):
        p = fitted.predict_proba(x)[:, 1]
        return -(truth * np.log(p) + (1 - truth) * np.log(1 - p))

    steps = 1e-5 * np.eye(5)
    gradient = np.stack([(losses(vectors + s) - losses(vectors - s)) / 2e-5 for s in steps], axis=1)
    away = cdist((pool.embeddings - middle) / scale, vectors + 0.3 * gradient).min(axis=1)
    chosen = select(pool, labelled, SelectionOptions("adversarial", items=10, seed=int(rng.integers(9))))
    assert chosen == np.argsort(away)[:10].tolist()


def test_distances_in_blocks(monkeypatch):
    monkeypatch.setattr(selection, "ROWS", 7)
    monkeypatch.setattr(selection, "COLUMNS", 5)
    rng = np.random.default_rng(0)
    one, other = rng.normal(size=(30, 4)), rng.normal(size=(23, 4))
    np.testing.assert_allclose(nearest_squared(one, other), cdist(one, other, "sqeuclidean").min(axis=1))
    truth = (one[:, 0] > 0).astype(float)
    reference = LogisticRegression(tol=1e-10).fit(one, truth)
    np.testing.assert_allclose(logistic(one, truth)[:-1], reference.coef_[0], atol=1e-4)


OPTIONS = st.builds(
    SelectionOptions,
    strategy=st.sampled_from([name for name in STRATEGIES if name not in SPREADS]),
    items=st.integers(1, 40),
    per_source=st.sampled_from([0.0, 0.1, 0.34, 1.0]),
    balance=st.booleans(),
    diversity=st.sampled_from(list(DIVERSITY)),
    seed=st.integers(0, 99),
) | st.builds(
    SelectionOptions,
    strategy=st.sampled_from(list(STRATEGIES)),
    minutes=st.floats(0.1, 20),
    per_source=st.sampled_from([0.0, 0.2, 0.5]),
    balance=st.booleans(),
    seed=st.integers(0, 99),
)


@settings(max_examples=120, deadline=None)
@given(OPTIONS, st.integers(0, 60), st.integers(0, 5))
def test_what_holds_for_any_selection(options, count, seed):
    pool, labelled = make(count, seed), make(20, seed + 1, prefix="q")
    labelled = Samples(
        [*pool.ids[:4], *labelled.ids[4:]][:20], labelled.scores, labelled.embeddings, labelled.columns
    )
    rows = select(pool, labelled, options)
    assert len(set(rows)) == len(rows)
    assert not set(ids_of(pool, rows)) & set(labelled.ids)
    price = np.ones(count) if options.items else pool.numbers("duration_s") / 60
    assert price[rows].sum() <= options.budget + 1e-9
    taken = {}
    for i in rows:
        taken[pool.columns["source"][i]] = taken.get(pool.columns["source"][i], 0) + price[i]
    cap = options.per_source * options.budget or np.inf
    assert max(taken.values(), default=0) <= (max(1, cap) if options.items else cap) + 1e-9
    shuffled = pool.take(np.random.default_rng(seed).permutation(count))
    assert ids_of(shuffled, select(shuffled, labelled, options)) == ids_of(pool, rows)


@settings(max_examples=60, deadline=None)
@given(OPTIONS, st.integers(0, 5))
def test_the_budget_is_used_up(options, seed):
    """Nothing that would fit is left, unless the cap, the dropping or a lack of items is why."""
    pool, labelled = make(60, seed), make(20, seed + 1, prefix="q")
    rows = select(pool, labelled, options)
    left = set(range(60)) - set(rows)
    if options.strategy == "removal":
        left -= set(removed(pool, labelled, options))
    if options.per_source:
        return
    price = np.ones(60) if options.items else pool.numbers("duration_s") / 60
    assert all(price[rows].sum() + price[i] > options.budget - 1e-9 for i in left)


@pytest.mark.parametrize("name", [name for name in STRATEGIES if name != "removal"])
@pytest.mark.parametrize("items", [10, 11])
def test_balance(name, items):
    """Half of either where there are enough, and the budget is filled where there are not."""
    pool, labelled = make(80), make(20, 1, prefix="q")
    rows = select(pool, labelled, SelectionOptions(name, items, balance=True))
    assert len(rows) == items
    assert abs((pool.scores[rows] < 0).sum() - items / 2) <= 0.5
    few = Samples(pool.ids, np.where(np.arange(80) < 3, -1.0, 1.0), pool.embeddings, pool.columns)
    rows = select(few, labelled, SelectionOptions(name, items, balance=True))
    assert len(rows) == items
    assert set(rows) >= {0, 1, 2}


def test_balance_with_diversity():
    pool = make(200)
    chosen = select(pool, None, SelectionOptions("energy", 20, balance=True, diversity="core-set"))
    assert (pool.scores[chosen] < 0).sum() == 10


def test_an_item_without_a_duration_has_no_price():
    pool = make(6, duration_s=["60", "-", "nan", "-60", "0", "60"])
    assert sorted(select(pool, None, SelectionOptions(minutes=10))) == [0, 5]
    assert len(select(pool, None, SelectionOptions(items=10))) == 6


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (SelectionOptions("magic", 5), "magic"),
        (SelectionOptions(items=5, diversity="much"), "much"),
        (SelectionOptions("core-set", 5, diversity="kmeans++"), "leave out"),
        (SelectionOptions(), "budget"),
        (SelectionOptions(items=5, minutes=5), "one of the two"),
        (SelectionOptions(items=-5), "above 0"),
        (SelectionOptions(minutes=float("nan")), "above 0"),
        (SelectionOptions(minutes=float("inf")), "above 0"),
        (SelectionOptions(items=5, per_source=1.5), "share"),
        (SelectionOptions(items=5, per_source=float("nan")), "share"),
        (SelectionOptions(items=5, seed=-1), "seed"),
        (SelectionOptions("coverage", 5), "labelled"),
        (SelectionOptions("adversarial", 5), "labelled"),
    ],
)
def test_options_that_do_not_fit(options, said):
    with pytest.raises(InputError, match=said) as caught:
        select(make(10), None, options)
    assert caught.value.code == "usage"


def test_data_that_do_not_fit():
    pool = make(10)
    bare = Samples(pool.ids, pool.scores, pool.embeddings, {})
    for options in (SelectionOptions(minutes=5), SelectionOptions(items=5, per_source=0.5)):
        with pytest.raises(InputError, match="no column"):
            select(bare, None, options)
    with pytest.raises(InputError, match="both classes"):
        select(pool, make(5, prefix="q", label=["real"] * 5), SelectionOptions("adversarial", 5))
    with pytest.raises(InputError, match="different models"):
        select(pool, make(5, prefix="q", size=6), SelectionOptions(items=5))
    with pytest.raises(InputError, match="different models"):
        select(make(10, model=["a"] * 10), make(5, prefix="q", model=["b"] * 5), SelectionOptions(items=5))


def test_nothing_to_choose_from():
    pool = make(5)
    for name in STRATEGIES:
        assert select(pool, pool, SelectionOptions(name, 5)) == []
        assert select(make(0), pool, SelectionOptions(name, 5)) == []
