import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from earwitness.training.schedules import MovingAverage, learning_rate, mean_of  # noqa: E402


def test_the_rate_rises_linearly_and_falls_exponentially():
    rates = [learning_rate(step, 1000, 1e-3, 0.1, 0.01) for step in range(1000)]
    assert rates[0] == pytest.approx(1e-5)  # the first update is not at the full rate
    assert rates[49] == pytest.approx(5e-4)
    assert max(rates) == pytest.approx(1e-3)
    assert rates.index(max(rates)) == 99
    assert rates[549] == pytest.approx(1e-3 * 0.01**0.5)  # half way down, in the logarithm
    assert rates[999] == pytest.approx(1e-5)


def test_without_warm_up_it_begins_near_the_peak():
    assert learning_rate(0, 100, 1.0, 0.0, 0.01) == pytest.approx(0.01 ** (1 / 100))


def test_the_moving_average_is_the_closed_form():
    network = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(network.weight)
    average = MovingAverage(network, 0.9)
    for value in (1.0, 2.0, 3.0):
        nn.init.constant_(network.weight, value)
        average.update(network)
    assert average.values["weight"].item() == pytest.approx(0.1 * (3 + 0.9 * 2 + 0.81 * 1))
    with average.applied(network):
        assert network.weight.item() == pytest.approx(0.561)
    assert network.weight.item() == 3.0


def test_frozen_weights_are_not_averaged():
    network = nn.Linear(2, 2)
    network.bias.requires_grad_(False)
    assert set(MovingAverage(network, 0.5).values) == {"weight"}


def test_the_mean_of_weights_leaves_counters_alone():
    states = [
        {"w": torch.tensor([0.0, 2.0]), "n": torch.tensor(3)},
        {"w": torch.tensor([1.0, 4.0]), "n": torch.tensor(9)},
    ]
    found = mean_of(states)
    assert found["w"].tolist() == [0.5, 3.0]
    assert found["n"].item() == 3
