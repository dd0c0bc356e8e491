"""Learning rates as functions of the step, and averages of weights."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


def learning_rate(step: int, steps: int, peak: float, warm_up: float, final: float) -> float:
    """The rate of `step` (from 0): linear up to `peak`, then exponentially down to `final * peak`.

    That of AntiDeepfake (SpeechBrain's WarmAndExpDecayLRSchedule), stepped before the update: the
    authors' first update runs at the full rate and the second at zero.

    Args:
        steps: of the whole run.
        warm_up: share of the steps until the peak.
        final: share of the peak that is left at the end.
    """
    rising = warm_up * steps
    if step + 1 < rising:
        return peak * (step + 1) / rising
    return peak * final ** ((step + 1 - rising) / max(1.0, steps - rising))


class MovingAverage:
    """An exponential average of a network's trained parameters; buffers follow the network's."""

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.values = {name: tensor.detach().clone() for name, tensor in trained(network)}

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Move towards the network by 1 - decay."""
        for name, tensor in trained(network):
            self.values[name].lerp_(tensor.detach(), 1 - self.decay)

    @contextmanager
    def applied(self, network: nn.Module) -> Iterator[None]:
        """The network with the average in it, for as long as the block runs."""
        own = {name: tensor.detach().clone() for name, tensor in trained(network)}
        put(network, self.values)
        try:
            yield
        finally:
            put(network, own)


def trained(network: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """Parameters that training changes."""
    return ((name, tensor) for name, tensor in network.named_parameters() if tensor.requires_grad)


@torch.no_grad()
def put(network: nn.Module, values: dict[str, Tensor]) -> None:
    """Write values into the parameters of those names."""
    for name, tensor in trained(network):
        tensor.copy_(values[name])


def mean_of(states: Iterable[dict[str, Tensor]]) -> dict[str, Tensor]:
    """The mean of several sets of weights; counters (integers) are the first's."""
    states = list(states)
    return {
        name: torch.stack([state[name].float() for state in states]).mean(0).to(tensor.dtype)
        if tensor.is_floating_point()
        else tensor
        for name, tensor in states[0].items()
    }
