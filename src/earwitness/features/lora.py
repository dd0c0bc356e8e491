"""Low-rank adapters on a front end: add, merge, save and load only them.

Hu et al., arXiv:2106.09685, section 4.1: a frozen weight W becomes W + (alpha / rank) B A. The
defaults are those of mix-frame post-training (Pan et al., arXiv:2606.25328): rank 32 on query, key,
value and both feed-forward matrices of every layer; its alpha is not reported, ours is twice
the rank. `peft` does the work. WavLM needs `encoders.py`, which calls its projections: in
transformers' own walk the adapters on them would be passed by without a word.
"""

import json
from dataclasses import asdict, dataclass
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


def merge_adapters(front_end: FrontEnd) -> None:
    """Work the adapters into the weights and take them off, in place; the output stays.

    Raises:
        ValueError: there are none.
    """
    from peft.tuners.lora import LoraLayer

    adapted = [(name, module) for name, module in front_end.named_modules() if isinstance(module, LoraLayer)]
    if not adapted:
        raise ValueError("the front end has no adapters to merge")
    for name, module in adapted:
        module.merge(safe_merge=True)  # type: ignore[operator]
        parent, _, last = name.rpartition(".")
        setattr(front_end.get_submodule(parent), last, module.get_base_layer())


def save_adapters(front_end: FrontEnd, path: Path, options: LoraOptions, base_digest: str) -> None:
    """Write the adapters alone, with their options and the digest of the weights they belong to."""
    from safetensors.torch import save_file

    tensors = {
        name: tensor.detach().cpu().contiguous() for name, tensor in adapter_tensors(front_end).items()
    }
    if not tensors:
        raise ValueError("the front end has no adapters to save")
    save_file(tensors, path, {"options": json.dumps(asdict(options)), "base": base_digest})


def load_adapters(front_end: FrontEnd, path: Path, base_digest: str) -> LoraOptions:
    """Add the adapters of a file to a front end without any; returns their options.

    Raises:
        ModelError: the file is damaged, or belongs to other weights or another front end.
    """
    import torch
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            about = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        options = LoraOptions(**json.loads(about["options"]))
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{path}: not a file of adapters: {error}") from None
    if about.get("base") != base_digest:
        raise ModelError(
            f"{path}: the adapters belong to weights {str(about.get('base'))[:12]}, not to {base_digest[:12]}"
        )
    add_adapters(front_end, options)
    own = adapter_tensors(front_end)
    if set(own) != set(tensors) or any(own[name].shape != tensors[name].shape for name in own):
        raise ModelError(f"{path}: the adapters are those of another front end")
    with torch.no_grad():
        for name, tensor in tensors.items():
            own[name].copy_(tensor)
    return options
