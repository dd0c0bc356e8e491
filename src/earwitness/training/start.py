"""What a run begins from, and what it leaves: bundles in, a bundle out."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from earwitness.decision.bundle import (
    WEIGHTS,
    check_file,
    file_digest,
    find_bundle,
    read_card,
    unfinished,
    write_card,
)
from earwitness.decision.importer import FIXED_HEADS, FIXED_SAMPLES, make_card
from earwitness.decision.network import HEADS, Blueprint, Network, load_network, read_blueprint
from earwitness.errors import InputError, ModelError
from earwitness.features.lora import merge_adapters, save_adapters
from earwitness.features.regularise import set_drops, usual_drops

ADAPTERS = "adapters.safetensors"


@dataclass(frozen=True)
class Start:
    """The network to train: a bundle's, or its front end with a new head, or a head alone."""

    model: str | None = None  # name or folder of a bundle
    head: str | None = None  # None: the bundle's own
    head_options: Mapping[str, Any] | None = None
    states: str = ""  # "last", "all", or numbers with commas; empty: what the head reads


def plan_network(start: Start) -> tuple[Blueprint, Path | None, dict[str, Any]]:
    """What to build, the weights of the bundle it begins from, and that bundle's card.

    Raises:
        InputError: `usage`: no such head, or options that do not fit.
        ModelError: the bundle is none that can be trained.
    """
    if start.head is not None and start.head not in HEADS:
        raise InputError("usage", f"--head {start.head!r}: one of {', '.join(HEADS)}")
    options = dict(start.head_options or {})
    if start.model is None:
        if start.head is None or HEADS[start.head].READS != "waveform":
            names = ", ".join(name for name, head in HEADS.items() if head.READS == "waveform")
            raise InputError("usage", f"without --from, --head must be one that reads the waveform: {names}")
        return Blueprint(start.head, options=options), None, {}
    folder = find_bundle(start.model)
    card = read_card(folder)
    if WEIGHTS not in card["files"] or not isinstance(card.get("architecture"), dict):
        raise ModelError(f"{folder}: holds a graph and no {WEIGHTS}; it can be scanned with and not trained")
    found = read_blueprint(card, folder / "model.json")
    weights = check_file(folder, card, WEIGHTS)
    head = start.head or found.head or "linear"
    if start.head is None and found.head is not None and not options and not start.states:
        return found, weights, card
    if found.front_end is None:
        raise InputError("usage", f"{folder}: has no front end to put another head on; leave out --head")
    states = parse_states(start.states, found.front_end.layers, HEADS[head].READS)
    if HEADS[head].READS == "waveform":
        raise InputError("usage", f"--head {head}: reads the waveform, not a front end; leave out --from")
    return Blueprint(head, found.front_end, states, options), weights, card


def parse_states(text: str, layers: int, reads: str) -> tuple[int, ...]:
    """Which states of the front end the head gets; empty means the last.

    Raises:
        InputError: `usage`.
    """
    if not text and reads == "states both ways up":
        return tuple(range(layers + 1))
    if text == "all" or (not text and reads == "layers"):
        return tuple(range(1, layers + 1))
    if text in ("", "last"):
        return ()
    try:
        states = tuple(int(part) for part in text.split(","))
    except ValueError:
        states = (-1,)
    if any(not 0 <= state <= layers for state in states):
        raise InputError("usage", f"--states {text!r}: last, all, or numbers from 0 to {layers} with commas")
    return states


def build(blueprint: Blueprint, weights: Path | None, own_head: bool, drop: bool, seed: int) -> Network:
    """The network with the weights it begins from; a new head is drawn from `seed`.

    Raises:
        InputError: `usage`: the head does not take its options.
        ModelError: the weights are not those of the card.
    """
    torch.manual_seed(seed)
    if weights is not None and own_head:
        network = load_network(blueprint, weights)
    else:
        try:
            network = Network(blueprint)
        except (TypeError, ValueError, RuntimeError) as error:
            raise InputError("usage", f"--head {blueprint.head}: cannot be built: {error}") from None
        if weights is not None:
            load_front_end(network, weights)
    if drop and network.front_end is not None:
        set_drops(network.front_end, usual_drops(network.front_end.architecture))
    return network


def load_front_end(network: Network, weights: Path) -> None:
    """Take the front end's tensors of a bundle.

    Raises:
        ModelError: they are not all there.
    """
    from safetensors.torch import load_file

    tensors = {name: t for name, t in load_file(weights).items() if name.startswith("front_end.")}
    found = network.load_state_dict(tensors, strict=False)
    missing = [name for name in found.missing_keys if name.startswith("front_end.")]
    if missing or found.unexpected_keys:
        odd = [*missing, *found.unexpected_keys][0]
        raise ModelError(f"{weights}: not the weights that the card describes: {odd}")


def fixed_samples(blueprint: Blueprint) -> int | None:
    """Samples that every clip must have, for heads that take one length."""
    return FIXED_SAMPLES if blueprint.head in FIXED_HEADS else None


def needs_equal_lengths(network: Network) -> bool:
    """Whether padding would reach the result or the statistics: unmasked heads, and batch norms."""
    norms = any(isinstance(module, torch.nn.modules.batchnorm._BatchNorm) for module in network.modules())
    return not network.head.MASKED or norms


def adapters_of(card: Mapping[str, Any], weights: Path | None) -> Path | None:
    """The file of adapters that a bundle carries beside the weights into which they were worked.

    Raises:
        ModelError: it is not the one that the card names.
    """
    if weights is None or ADAPTERS not in card["files"]:
        return None
    return check_file(weights.parent, dict(card), ADAPTERS)


def write_bundle(
    place: Path, network: Network, blueprint: Blueprint, trained: Mapping[str, Tensor], about: dict[str, Any]
) -> Path:
    """Write the trained detector; adapters are worked into the weights, and kept beside them.

    Args:
        place: folder of the bundle, which must not exist.
        network: as the run began, with adapters where it had some.
        blueprint: of what is kept; without a head the front end alone.
        trained: what training changed, by the names of `loop.Trainee`.
        about: for the card: `licence`, `training`, `source`.

    Raises:
        ModelError: the folder cannot be written.
    """
    from safetensors.torch import save_file

    tensors = {name.removeprefix("network."): tensor for name, tensor in trained.items()}
    unknown = network.load_state_dict(tensors, strict=False).unexpected_keys
    if unknown or not tensors:
        raise ModelError(f"{place}: what was trained is no part of the network: {[*unknown, 'nothing'][0]}")
    network.eval()
    card = make_card(about.pop("name"), blueprint, about.pop("licence"))
    with unfinished(place) as folder:
        adapters = merge_adapters(network.front_end) if network.front_end is not None else None
        weights = {
            name: tensor.detach().contiguous().clone()
            for name, tensor in network.state_dict().items()
            if blueprint.head or name.startswith("front_end.")
        }
        save_file(weights, folder / WEIGHTS)
        (folder / WEIGHTS).chmod(0o644)
        counted = network if blueprint.head else network.front_end
        assert counted is not None
        card |= {"parameters": sum(tensor.numel() for tensor in counted.parameters()), **about}
        card["files"] = {WEIGHTS: file_digest(folder / WEIGHTS)}
        if adapters:
            save_adapters(adapters, folder / ADAPTERS, card["files"][WEIGHTS])
            (folder / ADAPTERS).chmod(0o644)
            card["files"][ADAPTERS] = file_digest(folder / ADAPTERS)
        write_card(folder, card)
    return place
