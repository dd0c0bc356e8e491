"""The state of a run on disk: whole or not at all, read without executing anything.

A checkpoint holds all that the next step depends on: trained parameters and buffers, the
optimiser, the gradient scaler, the moving average, step and place in the plan. There is no random
state to keep: every random draw of a step is a function of the run's seed, the step and the process.
"""

import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)

from earwitness.errors import ModelError

FULL = StateDictOptions(full_state_dict=True, cpu_offload=True)


def changed_weights(network: nn.Module) -> dict[str, Tensor]:
    """Parameters that training changes, and buffers, whole and on the CPU; under FSDP on process 0 only.

    Frozen weights are left out: they are those of the model that the run began from.
    """
    frozen = frozen_names(network)
    state: dict[str, Any] = get_model_state_dict(network, options=FULL)
    return {name: tensor.clone() for name, tensor in state.items() if name not in frozen}


def restore_weights(network: nn.Module, values: dict[str, Tensor], part: str = "") -> None:
    """Put `changed_weights` back, or those whose names begin with `part`.

    Raises:
        ModelError: they are those of another network.
    """
    expected = {name.removeprefix("module.") for name in network.state_dict()} - frozen_names(network)
    expected = {name for name in expected if name.startswith(part)}
    if values and set(values) != expected:
        odd = sorted(set(values) ^ expected)[0]
        raise ModelError(f"the checkpoint belongs to another network: it differs in {odd}")
    options = StateDictOptions(full_state_dict=True, strict=False, broadcast_from_rank0=is_spread())
    set_model_state_dict(network, dict(values), options=options)  # it renames what it is given


def frozen_names(network: nn.Module) -> set[str]:
    """Names of parameters that stay as they were made, and of what stands beside the network.

    An old policy is not among them: training copies into it.
    """
    named = [(name.removeprefix("module."), tensor) for name, tensor in network.named_parameters()]
    frozen = {name for name, tensor in named if not tensor.requires_grad and not name.startswith("old.")}
    buffers = (name.removeprefix("module.") for name, _ in network.named_buffers())
    return frozen | {name for name in buffers if name.startswith("reference.")}


def is_spread() -> bool:
    """Whether several processes train together."""
    return torch.distributed.is_available() and torch.distributed.is_initialized()


def optimiser_state(network: nn.Module, optimiser: Any) -> dict[str, Any]:
    """The optimiser's state by parameter names, whole; under FSDP on process 0 only."""
    return get_optimizer_state_dict(network, optimiser, options=FULL)


def restore_optimiser(network: nn.Module, optimiser: Any, state: dict[str, Any]) -> None:
    """Put `optimiser_state` back; a parameter that no step has used has none."""
    options = StateDictOptions(full_state_dict=True, broadcast_from_rank0=is_spread(), strict=False)
    set_optimizer_state_dict(network, optimiser, state, options=options)


def save(path: Path, state: dict[str, Any]) -> None:
    """Write a checkpoint whole or not at all, and to the disk before its name."""
    part = path.with_name(f".{path.name}.part")
    with part.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def load(path: Path) -> dict[str, Any]:
    """Read a checkpoint: tensors and plain values only.

    Raises:
        ModelError: it is damaged or holds anything else.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises whatever the bytes make it stumble over
        why = f"{type(error).__name__}: {error}".split("\n")[0][:160]
        raise ModelError(f"{path}: not a checkpoint of a run: {why}") from None
