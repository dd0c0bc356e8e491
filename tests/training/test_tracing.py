"""The ResNet34 baseline of source tracing: its loss written out, its sampling, and that it learns."""

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from earwitness.errors import InputError  # noqa: E402
from earwitness.evidence import attribution  # noqa: E402
from earwitness.training.tracing import (  # noqa: E402
    Sizes,
    TracingOptions,
    batches,
    embed,
    margin_loss,
    train,
)

SMALL = Sizes(stem=4, widths=(4, 6, 8, 8), blocks=(1, 1, 1, 1), pooled=8, embedding=6)
OPTIONS = TracingOptions(steps=30, batch=8, crop_s=0.5, rate=1e-2, sizes=SMALL)


def buzz(low, rng, samples=8_000):
    """A voice-like tone below a corner, of any pitch; what tells its two kinds apart is the corner."""
    time, pitch = np.arange(samples) / 16_000, rng.uniform(90, 200)
    top = int((1_500 if low else 6_000) / pitch)
    phases = rng.uniform(0, 2 * np.pi, top)
    tone = sum(np.sin(2 * np.pi * pitch * k * time + phases[k - 1]) / k for k in range(1, top))
    return (0.1 * tone + 0.001 * rng.standard_normal(samples)).astype(np.float32)


NAMES = ["low"] * 6 + ["high"] * 3


def read(row, rng):
    return buzz(NAMES[row] == "low", rng)


@pytest.fixture(scope="module")
def trained():
    torch.set_num_threads(1)
    return train(read, NAMES, OPTIONS)


def test_the_loss_is_equation_4_written_out():
    rng = np.random.default_rng(0)
    rows, centres, labels = rng.normal(size=(5, 7)) * 9, rng.normal(size=(3, 7)), [2, 0, 1, 1, 2]
    terms = []
    for row, label in zip(rows, labels, strict=True):
        cosines = [float(row @ c / np.linalg.norm(row) / np.linalg.norm(c)) for c in centres]
        own = math.exp(30 * (cosines[label] - 0.35))
        terms.append(-math.log(own / (own + sum(math.exp(30 * cosines[j]) for j in range(3) if j != label))))
    tensors = torch.from_numpy(rows), torch.from_numpy(centres), torch.tensor(labels)
    assert margin_loss(*tensors, 30.0, 0.35).item() == pytest.approx(np.mean(terms))


def test_the_loss_falls_and_the_kinds_come_apart(trained):
    assert len(trained.losses) == OPTIONS.steps
    assert np.mean(trained.losses[-5:]) < 0.3 * np.mean(trained.losses[:5])
    rng = np.random.default_rng(7)
    lows, highs = ([buzz(low, rng) for _ in range(8)] for low in (True, False))
    rows = embed(trained, lows + highs)
    assert np.linalg.norm(rows, axis=1) == pytest.approx(1, abs=1e-5)
    similar = rows @ rows.T
    same = np.equal.outer(np.arange(16) < 8, np.arange(16) < 8)
    assert similar[same].mean() > similar[~same].mean() + 0.5
    nearest = (rows @ torch.nn.functional.normalize(trained.centres).numpy().T).argmax(1)
    assert [trained.names[i] for i in nearest] == ["low"] * 8 + ["high"] * 8


def test_a_tracer_takes_the_embeddings(trained):
    rng = np.random.default_rng(8)
    names = ["low", "high"] * 12
    rows = embed(trained, [buzz(name == "low", rng) for name in names])
    pages = [f"p{i // 6}" for i in range(24)]
    tracer = attribution.build(rows, names, pages, space="-", level="family")
    asked = embed(trained, [buzz(True, rng), buzz(False, rng)])
    assert [one.nearest_name for one in attribution.trace(tracer, asked)] == ["low", "high"]


def test_two_runs_are_one_and_company_does_not_change_an_embedding(trained):
    few = TracingOptions(steps=3, batch=4, crop_s=0.5, sizes=SMALL)
    state = torch.random.get_rng_state()
    one, other = train(read, NAMES, few), train(read, NAMES, few)
    assert one.losses == other.losses
    assert torch.equal(torch.random.get_rng_state(), state)
    clips = [buzz(True, np.random.default_rng(i), 6_000 + 4_000 * i) for i in range(3)]
    np.testing.assert_array_equal(embed(trained, clips)[1:2], embed(trained, clips[1:2]))


def test_classes_are_drawn_evenly_and_rows_are_theirs():
    codes = np.array([0] * 90 + [1] * 9 + [2])
    options = TracingOptions(steps=100, batch=30)
    found = list(batches(codes, lambda row, rng: np.full(1, row, np.float32), options))
    rows, labels = (torch.cat(part).numpy() for part in zip(*found, strict=True))
    assert (codes[rows[:, 0].astype(int)] == labels).all()
    assert np.bincount(labels) / len(labels) == pytest.approx([1 / 3] * 3, abs=0.03)
    assert len(np.unique(rows)) == 100


def test_one_class_and_numbers_that_are_none_are_refused():
    with pytest.raises(InputError) as caught:
        train(read, ["one"] * 9, OPTIONS)
    assert caught.value.code == "bad-labels"
    with pytest.raises(InputError) as caught:
        train(lambda row, rng: np.full(8_000, np.nan, np.float32), NAMES, OPTIONS)
    assert caught.value.code == "diverged"
