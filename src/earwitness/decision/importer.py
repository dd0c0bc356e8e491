"""Released checkpoints -> bundles: which layout, which network, every tensor accounted for.

Read are detectors of AntiDeepfake (SpeechBrain's `.ckpt` or `.safetensors`), pre-trained encoders
of fairseq and unilm (`.pt`), folders of transformers, and AASIST's own weights. What the file does
not show (attention heads) comes from a table by width, or from the caller.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from earwitness.audio.frames import Windowing
from earwitness.decision.bundle import (
    CARD,
    WEIGHTS,
    file_digest,
    new_place,
    read_json,
    unfinished,
    write_card,
)
from earwitness.decision.network import HEADS, Blueprint, Network, frame_grid
from earwitness.errors import ModelError
from earwitness.features.checkpoints import first_line, read_tensors
from earwitness.features.convert import (
    from_authors,
    from_hub,
    infer,
    is_authors,
    listed,
    looks_like,
)
from earwitness.features.encoders import FrontEnd
from earwitness.features.frontends import FRONT_ENDS, Architecture, least_samples

ANTIDEEPFAKE = "m_ssl.model."
FIXED_SAMPLES = 64_600  # about four seconds, the clips of the ASVspoof baselines
FIXED_HEADS = ("aasist", "rawnet2", "sls")
LEAST_SAMPLES = 8_000  # half a second, below which the gate refuses anyhow
HUB_FILES = ("model.safetensors", "pytorch_model.bin")
ANTIDEEPFAKE_LICENCE = "CC BY-NC-SA 4.0 where released by the authors: not for commercial use"


@dataclass(frozen=True)
class Found:
    """A checkpoint, understood: `tensors` by the names of our network."""

    layout: str
    blueprint: Blueprint
    tensors: dict[str, Any]
    licence: str = "unknown: that of the file's source"


def import_model(source: Path, name: str, heads: int | None = None) -> dict[str, Any]:
    """Make a bundle called `name` of a checkpoint file or folder; returns its card.

    Raises:
        ModelError: the file is damaged, foreign, incomplete or would run code; or the name is taken.
        MissingExtra: torch, transformers or safetensors is not installed.
    """
    place = new_place(name)
    file, found = understand(source, heads)
    tensors, parameters = checked(found, file)
    from safetensors.torch import save_file

    with unfinished(place) as folder:
        try:
            save_file(tensors, folder / WEIGHTS)
            (folder / WEIGHTS).chmod(0o644)  # it writes files that only their owner may read
        except Exception as error:  # safetensors wraps the system's errors in its own
            raise ModelError(f"{place}: cannot be written: {error}") from None
        source_note = {"file": source.name, "sha256": file_digest(file), "layout": found.layout}
        card = make_card(name, found.blueprint, found.licence)
        card |= {"source": source_note, "parameters": parameters}
        card["files"] = {WEIGHTS: file_digest(folder / WEIGHTS)}
        write_card(folder, card)
    return card


def understand(source: Path, heads: int | None) -> tuple[Path, Found]:
    """The file with the weights, and what they are.

    Raises:
        ModelError: no checkpoint that is known here.
    """
    config: dict[str, Any] = {}
    file = source
    if source.is_dir():
        file, config = open_folder(source)
    tensors = read_tensors(file)
    names = {name.removeprefix("module."): name for name in tensors}
    if len(names) < len(tensors):
        raise ModelError(f"{source}: some tensors are there twice, with and without `module.`")
    tensors = {short: tensors[name] for short, name in names.items()}
    if any(name.startswith(ANTIDEEPFAKE) for name in tensors):
        return file, antideepfake(tensors, str(source), heads)
    if is_authors(tensors):
        return file, pretrained(tensors, str(source), heads)
    if any(name.removeprefix("model.") == "GAT_layer_S.att_weight" for name in tensors):
        return file, aasist(tensors, str(source))
    if config or any(".feature_projection.projection.weight" in f".{name}" for name in tensors):
        return file, published(tensors, config, str(source), heads)
    raise ModelError(f"{source}: not a model that is known here; it looks like {looks_like(tensors)}")


def open_folder(folder: Path) -> tuple[Path, dict[str, Any]]:
    """Weights and configuration of a folder as transformers saves it.

    Raises:
        ModelError: one is missing or unreadable.
    """
    if (folder / CARD).is_file():
        raise ModelError(f"{folder}: a bundle already; `--model {folder}` takes it as it is")
    present = [name for name in HUB_FILES if (folder / name).is_file()]
    if not present:
        parts = sorted(folder.glob("*.index.json"))
        why = (
            "its weights are in several parts: merge them first" if parts else f"no {' or '.join(HUB_FILES)}"
        )
        raise ModelError(f"{folder}: {why}")
    path = folder / "config.json"
    config = read_json(path) if path.exists() else {}
    if not isinstance(config, dict):
        raise ModelError(f"{path}: holds a {type(config).__name__}, not a configuration")
    return folder / present[0], config


def antideepfake(tensors: Mapping[str, Any], where: str, heads: int | None) -> Found:
    """A detector of AntiDeepfake: `m_ssl.model.<fairseq name>` and the linear layer `proj_fc`.

    Raises:
        ModelError: incomplete, or with something more.
    """
    body = {
        name.removeprefix(ANTIDEEPFAKE): t for name, t in tensors.items() if name.startswith(ANTIDEEPFAKE)
    }
    rest = {name for name in tensors if not name.startswith(ANTIDEEPFAKE)}
    needed = {"proj_fc.weight", "proj_fc.bias"}
    if rest - needed:
        raise ModelError(f"{where}: {listed(sorted(rest - needed))}: no part of a detector of AntiDeepfake")
    if needed - rest:
        raise ModelError(f"{where}: lacks {listed(sorted(needed - rest))}: a detector has a head")
    architecture, named = encoder(body, where, heads)
    # Every one of their detectors was trained on clips of zero mean and unit variance.
    architecture = replace(architecture, normalise=True)
    named |= {"head.project.weight": tensors["proj_fc.weight"], "head.project.bias": tensors["proj_fc.bias"]}
    return Found("AntiDeepfake", Blueprint("linear", architecture), named, ANTIDEEPFAKE_LICENCE)


def pretrained(tensors: Mapping[str, Any], where: str, heads: int | None) -> Found:
    """A pre-trained encoder in the authors' layout."""
    architecture, named = encoder(tensors, where, heads)
    return Found("fairseq", Blueprint(None, architecture), named, known_licence(architecture))


def encoder(tensors: Mapping[str, Any], where: str, heads: int | None) -> tuple[Architecture, dict[str, Any]]:
    """Architecture, and the tensors by our names, of an encoder in the authors' layout."""
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    family, used = from_authors(shapes, where)
    architecture = infer(family, {used[name]: shapes[name] for name in used}, where, heads)
    check_numbers({name: tensors[name] for name in tensors if name not in used}, where)
    return architecture, {f"front_end.body.{used[name]}": tensors[name] for name in used}


def published(tensors: Mapping[str, Any], config: Mapping[str, Any], where: str, heads: int | None) -> Found:
    """An encoder in a folder of transformers."""
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    family, used = from_hub(shapes, config, where)
    renamed = {used[name]: shapes[name] for name in used}
    architecture = infer(family, renamed, where, heads, config)
    named = {f"front_end.body.{used[name]}": tensors[name] for name in used}
    return Found("transformers", Blueprint(None, architecture), named, known_licence(architecture))


def known_licence(architecture: Architecture) -> str:
    """The licences of the front ends of this architecture; several share one."""
    licences = sorted({row.licence for row in FRONT_ENDS.values() if row.architecture == architecture})
    return " or ".join(licences) + ", by its source" if licences else Found.licence


def aasist(tensors: Mapping[str, Any], where: str) -> Found:
    """AASIST or AASIST-L as its authors save them.

    Raises:
        ModelError: neither.
    """
    from earwitness.decision.heads.aasist import from_authors as rename
    from earwitness.decision.heads.aasist import options_of

    try:
        options = options_of(tensors)
    except ValueError as error:
        raise ModelError(f"{where}: {error}") from None
    named = {f"head.{name}": tensor for name, tensor in rename(tensors).items()}
    return Found("AASIST", Blueprint("aasist", options=options), named, "MIT, by its authors")


def checked(found: Found, file: Path) -> tuple[dict[str, Any], int]:
    """The tensors, float32 and contiguous, each of the name and shape that the network has, and
    the number of its parameters.

    Raises:
        ModelError: one is missing, too many, of another shape, or holds no numbers.
    """
    import torch

    front_end = found.blueprint.front_end
    try:
        with torch.device("meta"):
            if found.blueprint.head:
                network: torch.nn.Module = Network(found.blueprint)
            else:
                assert front_end is not None
                network = torch.nn.ModuleDict({"front_end": FrontEnd(front_end)})
    except (TypeError, ValueError, RuntimeError, ArithmeticError, MemoryError) as error:
        raise ModelError(
            f"{file}: its tensors have sizes that cannot be built: {first_line(error)}"
        ) from None
    expected = network.state_dict()
    missing, extra = sorted(set(expected) - set(found.tensors)), sorted(set(found.tensors) - set(expected))
    if missing:
        raise ModelError(f"{file}: lacks {listed(shown(missing))}; the file is not whole")
    if extra:
        raise ModelError(f"{file}: {listed(shown(extra))}: no part of this architecture")
    claimed = sum(tensor.numel() * tensor.element_size() for tensor in found.tensors.values())
    if claimed > file.stat().st_size:
        raise ModelError(f"{file}: its tensors claim more bytes than the file has")
    tensors, places = {}, set()
    for name, tensor in found.tensors.items():
        if tensor.shape != expected[name].shape:
            sizes = f"{tuple(tensor.shape)} where {tuple(expected[name].shape)} is needed"
            raise ModelError(f"{file}: {shown([name])[0]} has the shape {sizes}")
        if expected[name].is_floating_point() != tensor.is_floating_point():
            raise ModelError(f"{file}: {shown([name])[0]} holds {tensor.dtype}")
        tensor = tensor.to(expected[name].dtype).contiguous()
        tensors[name] = tensor.clone() if tensor.data_ptr() in places else tensor  # they may be shared
        places.add(tensor.data_ptr())
    check_numbers(tensors, str(file))
    return tensors, sum(parameter.numel() for parameter in network.parameters())


def shown(names: list[str]) -> list[str]:
    """Our names of tensors without the parts that say nothing to a reader."""
    return [name.removeprefix("front_end.body.") for name in names]


def check_numbers(tensors: Mapping[str, Any], where: str) -> None:
    """Every value must be a finite number.

    Raises:
        ModelError: naming the tensor.
    """
    import torch

    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise ModelError(f"{where}: {shown([name])[0]} holds NaN or infinite values")


def make_card(name: str, blueprint: Blueprint, licence: str) -> dict[str, Any]:
    """The card of a bundle that is not calibrated; its thresholds are cautious guesses."""
    front_end, head = blueprint.front_end, HEADS[blueprint.head] if blueprint.head else None
    samples = FIXED_SAMPLES if blueprint.head in FIXED_HEADS else None
    least = least_samples(front_end) if front_end and blueprint.head in (None, "linear") else LEAST_SAMPLES
    window_s = FIXED_SAMPLES / 16_000
    fixed = {"whole_s": window_s, "window_s": window_s, "hop_s": window_s}
    grid = frame_grid(blueprint)
    return {
        "name": name,
        "version": "1",
        "architecture": blueprint.as_card(),
        "licence": licence,
        "input": {
            "sample_rate": 16_000,
            "min_samples": samples or least,
            "samples": samples,  # where every clip must have one length; shorter ones are repeated
            "padding": bool(head and head.MASKED),
            "normalisation": "in the network",
        },
        "output": {
            "score": "logit of bona fide minus logit of spoof: higher is more bona fide",
            "frame_hop_s": grid.hop_s if grid else None,
            "frame_length_s": grid.length_s if grid else None,
            "frame_middle_s": grid.middle_s if grid else None,
            "timeline_s": 0.5,
        },
        "windowing": fixed if samples else asdict(Windowing()),
        "calibration": None,
        "thresholds": {"fake": 0.9, "genuine": 0.1},
        "files": {},
    }
