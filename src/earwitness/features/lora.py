"""Low-rank adapters on a front end: add, merge into the weights, take out again to go on with.

Hu et al., arXiv:2106.09685, section 4.1: a frozen weight W becomes W + (alpha / rank) B A. The
defaults are those of mix-frame post-training (Pan et al., arXiv:2606.25328): rank 32 on query, key,
value and both feed-forward matrices of every layer; its alpha is not reported, ours is twice
the rank. `peft` does the work. WavLM needs `encoders.py`, which calls its projections: in
transformers' own walk the adapters on them would be passed by without a word.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from earwitness.errors import MissingExtra, ModelError
from earwitness.features.encoders import FrontEnd, layers_of

ATTENTION = {
    "w2v-bert": ("self_attn.linear_q", "self_attn.linear_k", "self_attn.linear_v"),
    "whisper": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
}
FEED_FORWARD = {
    "w2v-bert": tuple(f"ffn{i}.{name}_dense" for i in (1, 2) for name in ("intermediate", "output")),
    "whisper": ("fc1", "fc2"),
}


@dataclass(frozen=True)
class Adapters:
    """Adapters apart from their front end."""

    rank: int
    alpha: int
    tensors: dict[str, Any]


@dataclass(frozen=True)
class LoraOptions:
    """How adapters are made."""

    rank: int = 32
    alpha: int = 64
    dropout: float = 0.0
    attention: bool = True  # query, key, value
    feed_forward: bool = True


def adapted_modules(front_end: FrontEnd, options: LoraOptions) -> list[str]:
    """Names of the linear layers that get an adapter: those of the layers that are run."""
    family = front_end.architecture.family
    parts: list[str] = []
    if options.attention:
        default = ("attention.q_proj", "attention.k_proj", "attention.v_proj")
        parts += ATTENTION.get(family, default)
    if options.feed_forward:
        default = ("feed_forward.intermediate_dense", "feed_forward.output_dense")
        parts += FEED_FORWARD.get(family, default)
    wanted = {
        id(layer.get_submodule(part))
        for layer in list(layers_of(front_end.body))[: max(front_end.states)]
        for part in parts
    }
    return [name for name, module in front_end.named_modules() if id(module) in wanted]


def add_adapters(front_end: FrontEnd, options: LoraOptions = LoraOptions()) -> int:
    """Put adapters on a front end, in place, and freeze the rest of it; returns their parameters.

    An adapter begins as zero: the output does not change until it is trained.

    Raises:
        MissingExtra: peft is not installed.
        ValueError: neither attention nor feed-forward is to be adapted, or no layer is run.
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise MissingExtra("peft", "train") from error
    names = adapted_modules(front_end, options)
    if not names:
        raise ValueError("adapters need attention or feed-forward, and a state above 0")
    inject_adapter_in_model(
        LoraConfig(
            r=options.rank, lora_alpha=options.alpha, lora_dropout=options.dropout, target_modules=names
        ),
        front_end,
    )
    return sum(tensor.numel() for tensor in adapter_tensors(front_end).values())


def adapter_tensors(front_end: FrontEnd) -> dict[str, Any]:
    """The adapters' parameters by name."""
    return {name: tensor for name, tensor in front_end.named_parameters() if ".lora_" in name}


def merge_adapters(front_end: FrontEnd) -> Adapters | None:
    """Work the adapters into the weights and take them off, in place; the output stays.

    Returns what they were; None where there are none.
    """
    from peft.tuners.lora import LoraLayer

    adapted = [(name, module) for name, module in front_end.named_modules() if isinstance(module, LoraLayer)]
    if not adapted:
        return None
    first, tensors = adapted[0][1], adapter_tensors(front_end)
    found = Adapters(
        first.r["default"],
        first.lora_alpha["default"],
        {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()},
    )
    del front_end.peft_config  # peft's note that there are adapters
    for name, module in adapted:
        module.merge(safe_merge=True)  # type: ignore[operator]
        parent, _, last = name.rpartition(".")
        setattr(front_end.get_submodule(parent), last, module.get_base_layer())
    return found


def save_adapters(adapters: Adapters, path: Path, digest: str) -> None:
    """Write adapters, with the digest of the weights into which they were worked."""
    from safetensors.torch import save_file

    about = {"rank": adapters.rank, "alpha": adapters.alpha, "weights": digest}
    save_file(adapters.tensors, path, {name: json.dumps(value) for name, value in about.items()})


def read_adapters(path: Path, digest: str) -> Adapters:
    """The adapters of a file.

    Raises:
        ModelError: the file is damaged, or belongs to other weights than those of this digest.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            about = {name: json.loads(value) for name, value in (file.metadata() or {}).items()}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        found = Adapters(int(about["rank"]), int(about["alpha"]), tensors)
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{path}: not a file of adapters: {error}") from None
    if about.get("weights") != digest:
        raise ModelError(
            f"{path}: the adapters belong to weights {str(about.get('weights'))[:12]}, not to {digest[:12]}"
        )
    return found


def continue_adapters(front_end: FrontEnd, adapters: Adapters, options: LoraOptions) -> None:
    """Take adapters off the weights into which they were worked and put them on again, to go on with.

    The output stays, to rounding. Adapters of layers that are no longer run stay in the weights; a layer that
    had none gets a new one.

    Raises:
        ModelError: the adapters are those of another front end, or of another rank or scale than `options`.
    """
    import torch
    from peft.tuners.lora import LoraLayer

    if (adapters.rank, adapters.alpha) != (options.rank, options.alpha):
        raise ModelError(
            f"the model's adapters have rank {adapters.rank} and alpha {adapters.alpha}; train with these"
        )
    add_adapters(front_end, options)
    own = adapter_tensors(front_end)
    shared = set(own) & set(adapters.tensors)
    if not shared or any(own[name].shape != adapters.tensors[name].shape for name in shared):
        raise ModelError("the model's adapters are those of another front end")
    with torch.no_grad():
        for name in shared:
            own[name].copy_(adapters.tensors[name])
        for module in front_end.modules():
            if isinstance(module, LoraLayer):  # a new one is zero: nothing is taken off
                module.get_base_layer().weight -= module.get_delta_weight("default")  # type: ignore[operator]
