import math
from dataclasses import replace

import pytest

torch = pytest.importorskip("torch")

from torch.nn.functional import cosine_similarity  # noqa: E402

from earwitness.errors import InputError  # noqa: E402
from earwitness.training.objectives import (  # noqa: E402
    NORMALISE,
    OBJECTIVES,
    ObjectiveOptions,
    arcsine,
    clipped,
    cross_entropy,
    generalised_cross_entropy,
    grpo,
    interpolate,
    kl_to_reference,
    mean_absolute_error,
    objective,
    scaled_error,
)

OPTIONS = ObjectiveOptions(samples=64, beta=0.04, clip_ratio=0.2, normalise="utterance", q=0.7)
EXACT = {"utterance": arcsine, "batch": scaled_error}
HALF = [0.0, 0.0]
FOUR_FIFTHS = [0.0, math.log(4.0)]  # logits of 0.2 and 0.8


def random(*shape, seed=1, scale=1.5):
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def labels_of(count, seed=2):
    return torch.randint(0, 2, (count,), generator=torch.Generator().manual_seed(seed))


def gradient(function, tensor):
    leaf = tensor.clone().requires_grad_()
    return torch.autograd.grad(function(leaf).mean(), leaf)[0]


def logits_of(margins, labels):
    """Logits whose own label is ahead by the margin."""
    return torch.stack([torch.zeros_like(margins), torch.where(labels == 1, margins, -margins)], dim=1)


def close(found, expected, relative=1e-6):
    return torch.allclose(found, torch.as_tensor(expected, dtype=found.dtype), rtol=relative, atol=1e-7)


# The values


def test_values_worked_out_by_hand():
    logits, labels = torch.tensor([FOUR_FIFTHS, FOUR_FIFTHS]), torch.tensor([1, 0])  # p = 0.8, 0.2
    assert close(cross_entropy(logits, labels), [0.2231436, 1.6094379])
    assert close(mean_absolute_error(logits, labels), [0.2, 0.8])
    assert close(generalised_cross_entropy(logits, labels, 0.5), [0.2111456, 1.1055728])
    assert close(arcsine(logits, labels), [-2.2142974, -0.9272952])
    assert close(scaled_error(logits, labels), [0.4, 1.6], 1e-4)  # mean p 0.5, sigma 0.5
    reference = torch.tensor([HALF, FOUR_FIFTHS])
    assert close(kl_to_reference(logits, reference), [0.2231436, 0.0])
    found = scaled_error(torch.tensor([FOUR_FIFTHS, HALF]), torch.tensor([1, 1]))
    assert close(found, [0.4193139, 1.0482848], 1e-4)  # mean p 0.65, sigma 0.4769696


def test_the_divergence_is_that_of_torch():
    logits, reference = random(20, 2), random(20, 2, seed=5)
    p, q = (torch.distributions.Categorical(logits=x) for x in (reference, logits))
    assert close(kl_to_reference(logits, reference), torch.distributions.kl_divergence(p, q))


def test_gce_lies_between_cross_entropy_and_the_mean_absolute_error():
    logits, labels = random(50, 2), labels_of(50)
    assert close(generalised_cross_entropy(logits, labels, 1.0), mean_absolute_error(logits, labels))
    assert close(generalised_cross_entropy(logits, labels, 1e-7), cross_entropy(logits, labels), 1e-5)


@pytest.mark.parametrize("normalise", NORMALISE)
@pytest.mark.parametrize("far", [0.1, 2.0])  # of the old policy from the current one
def test_grpo_is_the_published_formula_label_by_label(normalise, far):
    logits, reference = random(6, 2), random(6, 2, seed=7)
    old, labels = logits + random(6, 2, seed=8, scale=far), labels_of(6)
    options = replace(OPTIONS, samples=5, beta=0.3, normalise=normalise)
    found = grpo(logits, labels, reference, old, options, torch.Generator().manual_seed(11))
    draws = torch.rand(6, 5, generator=torch.Generator().manual_seed(11)).tolist()

    def probability(of, i, label):
        return math.exp(of[i][label]) / sum(math.exp(value) for value in of[i].tolist())

    drawn = [
        [y if u < probability(old, i, y) else 1 - y for u in draws[i]] for i, y in enumerate(labels.tolist())
    ]
    rewards = [[float(label == y) for label in row] for row, y in zip(drawn, labels.tolist(), strict=True)]
    for i, row in enumerate(drawn):
        pool = rewards[i] if normalise == "utterance" else [r for row_of in rewards for r in row_of]
        mean = sum(pool) / len(pool)
        deviation = math.sqrt(sum((r - mean) ** 2 for r in pool) / (len(pool) - 1)) + 1e-5
        loss = 0.0
        for label, reward in zip(row, rewards[i], strict=True):
            p = probability(logits, i, label)
            advantage, ratio = (reward - mean) / deviation, p / probability(old, i, label)
            within = min(max(ratio, 0.8), 1.2)
            d = math.log(probability(reference, i, label)) - math.log(p)
            loss -= min(ratio * advantage, within * advantage) - 0.3 * (math.exp(d) - d - 1)
        assert found[i].item() == pytest.approx(loss / 5, rel=1e-5, abs=1e-6)


# What the gradients are


@pytest.mark.parametrize(
    ("losses", "weight"),
    [
        (cross_entropy, lambda p: 1 - p),
        (mean_absolute_error, lambda p: p * (1 - p)),
        (scaled_error, lambda p: p * (1 - p) / (p.mean() * (1 - p.mean())).sqrt()),
        (arcsine, lambda p: (p * (1 - p)).sqrt()),
        (lambda x, y: generalised_cross_entropy(x, y, 0.7), lambda p: p**0.7 * (1 - p)),
    ],
)
def test_the_weight_of_a_clip_is_the_closed_form(losses, weight):
    margins, labels = torch.linspace(-8, 8, 41, dtype=torch.float64), labels_of(41)
    expected = weight(torch.sigmoid(margins))
    found = gradient(lambda s: 41 * losses(logits_of(s, labels), labels), margins)
    assert close(-found, expected, 1e-4)
    if losses is scaled_error:
        return  # sigma counts as a constant, so its differences are others
    step = 1e-5
    rise = losses(logits_of(margins + step, labels), labels) - losses(
        logits_of(margins - step, labels), labels
    )
    assert close(-rise / (2 * step), expected, 1e-5)


@pytest.mark.parametrize("beta", [0.0, 0.04, 1.0])
@pytest.mark.parametrize("normalise", NORMALISE)
def test_the_sampled_gradient_converges_to_the_one_without_sampling(normalise, beta):
    clips, features = 48, random(48, 6)
    labels, reference = labels_of(clips), random(clips, 2, seed=3)
    options = replace(OPTIONS, beta=beta, normalise=normalise)

    def exact(logits):
        return EXACT[normalise](logits, labels) + beta * kl_to_reference(logits, reference)

    def sampled(samples):
        generator = torch.Generator().manual_seed(4)
        many = replace(options, samples=samples)
        return lambda logits: grpo(logits, labels, reference, logits, many, generator)

    def of_weights(losses):  # of a linear model
        return lambda weights: losses(features @ weights)

    weights = random(6, 2, seed=10, scale=0.3)
    for start, wrap in ((random(clips, 2, seed=9), lambda x: x), (weights, of_weights)):
        wanted = gradient(wrap(exact), start).flatten()
        few, many = (gradient(wrap(sampled(samples)), start).flatten() for samples in (4, 4096))
        assert cosine_similarity(many, wanted, dim=0) > 0.99
        assert torch.dist(many, wanted) < 0.05 * wanted.norm()
        assert torch.dist(few, wanted) > 3 * torch.dist(many, wanted)
        assert cosine_similarity(few, wanted, dim=0) < cosine_similarity(many, wanted, dim=0)


def test_the_two_normalisations_have_different_limits():
    logits, labels = random(48, 2, seed=9), labels_of(48)
    options = replace(OPTIONS, samples=4096, beta=0.0)
    other = gradient(lambda x: scaled_error(x, labels), logits)
    found = gradient(lambda x: grpo(x, labels, x, x, options, torch.Generator().manual_seed(4)), logits)
    assert cosine_similarity(found.flatten(), other.flatten(), dim=0) < 0.99


def test_the_pull_to_the_reference_is_in_expectation_the_divergence():
    logits, labels, reference = random(5, 2), labels_of(5), random(5, 2, seed=3)

    def with_beta(beta):
        options = replace(OPTIONS, samples=200_000, beta=beta)
        generator = torch.Generator().manual_seed(6)
        return gradient(lambda x: grpo(x, labels, reference, x, options, generator), logits)

    wanted = gradient(lambda x: kl_to_reference(x, reference), logits)
    assert torch.dist(with_beta(1.0) - with_beta(0.0), wanted) < 0.01 * wanted.norm()


def test_the_sampled_pull_misses_labels_that_are_never_drawn():
    margin = torch.tensor([-12.0])  # p = 6e-6, where the reference has 0.5
    logits, labels, reference = logits_of(margin, labels_of(1)), labels_of(1), torch.tensor([HALF])
    generator = torch.Generator().manual_seed(1)
    found = gradient(lambda x: grpo(x, labels, reference, x, replace(OPTIONS, beta=1.0), generator), logits)
    wanted = gradient(lambda x: kl_to_reference(x, reference), logits)
    assert wanted.abs().max() > 0.49
    assert found.abs().max() < 1e-4


def test_no_gradient_goes_to_the_reference_or_the_old_policy():
    labels = labels_of(8)
    logits, reference, old = (random(8, 2, seed=seed).requires_grad_() for seed in (1, 2, 3))
    for name in OBJECTIVES:
        objective(name, OPTIONS)(logits, labels, reference, old).mean().backward()
        assert logits.grad is not None, name
        assert reference.grad is None, name
        assert old.grad is None, name


# Clipping


@pytest.mark.parametrize(
    ("ratio", "advantage", "slope"),
    [
        (1.0, 2.0, 2.0),
        (1.19, 2.0, 2.0),
        (1.21, 2.0, 0.0),  # likelier already
        (0.5, 2.0, 2.0),  # it went the wrong way: back
        (1.0, -2.0, -2.0),
        (0.81, -2.0, -2.0),
        (0.79, -2.0, 0.0),  # less likely already
        (1.5, -2.0, -2.0),
    ],
)
def test_clipping_stops_what_has_gone_far_enough(ratio, advantage, slope):
    found = gradient(lambda r: clipped(r, torch.tensor([advantage]), 0.2), torch.tensor([ratio]))
    assert found.item() == pytest.approx(slope)


@pytest.mark.parametrize(("p", "learns"), [(0.61, False), (0.7, False), (0.599, True), (0.3, True)])
def test_a_policy_that_moved_a_fifth_from_one_half_stops(p, learns):
    logits = torch.tensor([[0.0, math.log(p / (1 - p))]])  # ratios p / 0.5 and (1 - p) / 0.5
    options = replace(OPTIONS, beta=0.0, samples=1000)
    generator = torch.Generator().manual_seed(1)
    found = gradient(
        lambda x: grpo(x, torch.tensor([1]), x, torch.tensor([HALF]), options, generator), logits
    )
    if learns:  # of right labels and of wrong ones: 2 p (1 - p) / sigma
        assert found[0, 1].item() == pytest.approx(-2 * p * (1 - p) / 1.0, rel=0.05)
    else:
        assert found.tolist() == [[0.0, 0.0]]


# Numbers at their ends

ENDS = [[80.0, -80.0], [-80.0, 80.0], [80.0, 80.0], [0.0, 0.0], [80.0, 0.0], [0.0, -80.0]]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("normalise", NORMALISE)
@pytest.mark.parametrize("name", OBJECTIVES)
def test_losses_and_gradients_are_finite_at_the_ends(name, normalise, dtype):
    combinations = [(a, b, c) for a in ENDS for b in ENDS for c in ENDS]
    logits, reference, old = (torch.tensor(part).to(dtype) for part in zip(*combinations, strict=True))
    losses = objective(name, replace(OPTIONS, normalise=normalise))
    for label in (0, 1):
        labels = torch.full((len(logits),), label)
        leaf = logits.clone().requires_grad_()
        found = losses(leaf, labels, reference, old)
        assert found.shape == (len(logits),)
        assert found.dtype == torch.float32
        found.sum().backward()
        assert leaf.grad is not None
        assert found.isfinite().all()
        assert leaf.grad.isfinite().all()


def test_a_draw_that_was_next_to_impossible_leaves_the_losses_finite(monkeypatch):
    monkeypatch.setattr(torch, "rand", lambda *shape, **_: torch.zeros(shape))
    logits = torch.tensor([[0.0, 100.0]], requires_grad=True)
    grpo(logits, torch.tensor([1]), logits, torch.tensor([[0.0, -100.0]]), OPTIONS).mean().backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


def test_the_arcsine_keeps_its_gradient_far_out():
    margins, labels = torch.tensor([-40.0, 0.0, 40.0]), torch.tensor([1, 0, 1])
    found = gradient(lambda s: 3 * arcsine(logits_of(s, labels), labels), margins)
    assert (-found).tolist() == pytest.approx([math.exp(-20), 0.5, math.exp(-20)], rel=1e-4)


def test_a_batch_without_errors_or_without_successes_has_finite_losses():
    labels = labels_of(4)
    for margin in (-60.0, 60.0):
        logits = logits_of(torch.full((4,), margin), labels)
        assert gradient(lambda x: scaled_error(x, labels), logits).isfinite().all()
        options = replace(OPTIONS, normalise="batch")
        found = gradient(lambda x, o=options: grpo(x, labels, x, x, o), logits)
        assert found.tolist() == [[0.0, 0.0]] * 4  # all rewards are alike


# By name


def test_each_name_stands_for_its_formula():
    logits, labels = random(10, 2), labels_of(10)
    reference, old = random(10, 2, seed=3), random(10, 2, seed=4)
    pull = 0.04 * kl_to_reference(logits, reference)
    expected = {
        "grpo-exact": scaled_error(logits, labels) + pull,
        "arcsine": arcsine(logits, labels) + pull,
        "cross-entropy": cross_entropy(logits, labels),
        "cross-entropy-kl": cross_entropy(logits, labels) + pull,
        "mae": mean_absolute_error(logits, labels),
        "gce": generalised_cross_entropy(logits, labels, 0.7),
        "grpo": grpo(logits, labels, reference, old, OPTIONS, torch.Generator().manual_seed(5)),
        "grpo-simple": grpo(logits, labels, reference, logits, OPTIONS, torch.Generator().manual_seed(5)),
    }
    assert expected.keys() == OBJECTIVES.keys()
    for name, losses in expected.items():
        needs = OBJECTIVES[name]
        torch.manual_seed(5)  # the global generator draws as another of that seed does
        found = objective(name, OPTIONS)(
            logits, labels, reference if needs.reference else None, old if needs.old else None
        )
        assert torch.equal(found, losses), name


def test_a_needed_part_must_be_given():
    logits, labels = random(4, 2), labels_of(4)
    for name, needs in OBJECTIVES.items():
        if needs.reference:
            with pytest.raises(TypeError, match="needs logits"):
                objective(name, OPTIONS)(logits, labels, None, logits)
        if needs.old:
            with pytest.raises(TypeError, match="needs logits"):
                objective(name, OPTIONS)(logits, labels, logits, None)


@pytest.mark.parametrize(
    ("change", "flag"),
    [
        ({"normalise": "clip"}, "--normalise"),
        ({"samples": 1}, "--samples"),
        ({"beta": math.nan}, "--beta"),
        ({"clip_ratio": -0.1}, "--clip-ratio"),
        ({"q": 0.0}, "--q"),
    ],
)
def test_numbers_that_cannot_be_are_refused(change, flag):
    with pytest.raises(InputError, match=flag):
        objective("grpo", replace(OPTIONS, **change))


def test_an_unknown_objective_is_refused_with_those_there_are():
    with pytest.raises(InputError, match="'ppo': one of grpo, grpo-simple"):
        objective("ppo", OPTIONS)


# Between two models


def state(value, steps):
    return {
        "w": torch.full((2, 3), value),
        "half": torch.tensor([value]).bfloat16(),
        "n": torch.tensor(steps),
    }


def test_interpolation_goes_from_the_reference_to_the_trained_model():
    reference, trained = state(1.0, 5), state(3.0, 9)
    for weight, value in ((0.0, 1.0), (0.5, 2.0), (0.25, 1.5), (1.0, 3.0)):
        found = interpolate(reference, trained, weight)
        assert found.keys() == trained.keys()
        assert torch.equal(found["w"], torch.full((2, 3), value))
        assert torch.equal(found["half"], torch.tensor([value]).bfloat16())
        assert found["n"].item() == 9  # counters are those of the trained model
    assert torch.equal(reference["w"], state(1.0, 5)["w"])  # as it was


def test_interpolation_takes_the_dtype_of_the_trained_model():
    found = interpolate({"w": torch.tensor([1.0]).half()}, {"w": torch.tensor([2.0])}, 0.5)
    assert found["w"].dtype == torch.float32
    assert found["w"].item() == 1.5


@pytest.mark.parametrize(
    "other",
    [
        {"w": torch.zeros(2)},
        {"w": torch.zeros(2), "b": torch.zeros(1), "c": torch.zeros(1)},
        {"w": torch.zeros(3), "b": torch.zeros(1)},
        {"w": torch.zeros(2), "b": torch.zeros(())},
    ],
)
def test_interpolation_refuses_another_network(other):
    ours = {"w": torch.zeros(2), "b": torch.zeros(1)}
    for reference, trained in ((ours, other), (other, ours)):
        with pytest.raises(InputError, match="cannot average") as caught:
            interpolate(reference, trained, 0.5)
        assert caught.value.code == "other-weights"


@pytest.mark.parametrize("weight", [-0.1, 1.1, math.nan])
def test_interpolation_refuses_a_weight_outside(weight):
    with pytest.raises(InputError, match="between 0 and 1"):
        interpolate(state(1.0, 1), state(2.0, 2), weight)
