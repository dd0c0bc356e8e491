"""Parameters, cost and source of every front end and head: the tables of `docs/detectors.md`.

    python benchmarks/detectors.py

Networks are built without memory, at the sizes of their papers; heads on a front end 1,024 wide
with 24 layers. Cost is counted by torch's own counter of matrix products and convolutions on a
clip of 64,600 samples (4.04 s, 201 frames), one multiply-add being two operations, and given for a
second of audio; element-wise work is not in it, nor the scan of Mamba. Recurrent layers
are counted by their weights, once a frame. Writes `benchmarks/results/detectors.json` and the tables.
"""

import json
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from earwitness.decision.network import EVERY_STATE, HEADS
from earwitness.features.encoders import FrontEnd
from earwitness.features.frontends import FRONT_ENDS

ROOT = Path(__file__).parents[1]
SAMPLES, FRAMES, WIDTH, LAYERS = 64_600, 201, 1_024, 24
SECONDS = SAMPLES / 16_000

# Head -> what it is, published parameters (as its authors count them), source.
SOURCES = {
    "linear": ("mean over frames, linear", "2,050 (code)", "AntiDeepfake, arXiv:2506.21090"),
    "oc-softmax": ("mean, one-class cosine", "1,024 (code)", "Zhang et al., arXiv:2010.13995"),
    "mlp": ("P3: multilayer perceptron, mean", "180,994 (code)", "Wang and Yamagishi, arXiv:2309.06014"),
    "lstm": ("recurrent layer, mean", "936 k", "Pan et al., arXiv:2406.10283"),
    "ecapa": ("ECAPA-TDNN", "", "Desplanques et al., arXiv:2005.07143"),
    "nes2net": ("Nes2Net-X", "317.90 M with XLS-R", "Liu et al., arXiv:2504.05657"),
    "tcm": ("Conformer, channel attention", "321.21 M with XLS-R (1)", "Truong et al., arXiv:2406.17376"),
    "mamba": ("dual-column Mamba", "319.33 M with XLS-R", "Xiao and Das, arXiv:2411.10027"),
    "vib": ("variational information bottleneck", "", "Eom et al., arXiv:2204.01387"),
    "aasist-ssl": ("AASIST on a front end", "447,242 (code)", "Tak et al., arXiv:2202.12233"),
    "sls": ("sensitive layer selection", "340.79 M with XLS-R", "Zhang et al., ACM Multimedia 2024"),
    "mhfa": ("factorised pooling of layers", "1,315,410 + linear (code)", "Peng et al., arXiv:2210.01273"),
    "pooled": ("statistics of layers and spectra: the embedded model", "", "`decision/heads/pooled.py`"),
    "attm": ("attentive merging of layers, LSTM", "157.3 M (merge)", "Pan et al., arXiv:2406.10283"),
    "aasist": ("AASIST, raw waveform", "297,866", "Jung et al., arXiv:2110.01200"),
    "aasist-l": ("AASIST-L, raw waveform", "85,306", "Jung et al., arXiv:2110.01200"),
    "rawnet2": ("RawNet2, raw waveform", "25.43 M", "Tak et al., arXiv:2011.01108"),
    "resnet34": ("ResNet34, log filter banks, cosine", "22,558,450 (code)", "NII baseline of FakeMark"),
    "logmel-cnn": ("log-mel convolutions", "", "small, from scratch"),
}  # fmt: skip


def count(module: nn.Module, *inputs: torch.Tensor) -> float:
    """Operations of one forward pass."""
    recurrent = 0

    def note(part: Any, given: Any, _: Any) -> None:
        nonlocal recurrent
        if isinstance(part, nn.LSTM | nn.GRU):
            weights = sum(p.numel() for name, p in part.named_parameters() if "weight" in name)
            recurrent += 2 * weights * given[0].shape[0] * given[0].shape[1]

    hooks = [part.register_forward_hook(note) for part in module.modules()]
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module(*inputs)
    for hook in hooks:
        hook.remove()
    by_operation = counter.get_flop_counts().get("Global", {})
    inside = sum(n for kind, n in by_operation.items() if "lstm" in str(kind) or "gru" in str(kind))
    return counter.get_total_flops() - inside + recurrent


def measure_front_end(name: str) -> dict[str, Any]:
    """One row of the table of front ends."""
    row = FRONT_ENDS[name]
    with FakeTensorMode(allow_non_fake_inputs=True):
        front_end = FrontEnd(row.architecture).eval()
        flops = count(front_end, torch.empty(1, SAMPLES), torch.tensor([SAMPLES]))
    return {
        "family": row.architecture.family,
        "width": row.architecture.width,
        "layers": row.architecture.layers,
        "parameters": sum(p.numel() for p in front_end.parameters()),
        "gflop_per_s": round(flops / SECONDS / 1e9, 2),
        "source": row.hub,
        "licence": row.licence,
    }


def measure_head(name: str) -> dict[str, Any]:
    """One row of the table of heads."""
    from earwitness.decision.heads.aasist import SIZES

    kind = HEADS["aasist" if name == "aasist-l" else name]
    if kind.READS == "waveform":  # small, and with fixed filters that need memory
        head = kind(**(SIZES["aasist-l"] if name == "aasist-l" else {})).eval()
        flops = count(head, torch.zeros(1, SAMPLES), torch.tensor([SAMPLES]))
    else:
        with FakeTensorMode(allow_non_fake_inputs=True):
            every = kind.READS in EVERY_STATE
            head = (kind(WIDTH, LAYERS) if every else kind(WIDTH)).eval()
            shape = (1, LAYERS, FRAMES, WIDTH) if every else (1, FRAMES, WIDTH)
            given = [torch.empty(shape), torch.ones(1, FRAMES, dtype=torch.bool)]
            if kind.READS == "states both ways up":
                given += [torch.empty(1, SAMPLES), torch.tensor([SAMPLES])]
            flops = count(head, *given)
    what, published, source = SOURCES[name]
    return {
        "what": what,
        "reads": kind.READS,
        "any_batch": kind.MASKED,
        "parameters": sum(p.numel() for p in head.parameters()),
        "published": published,
        "gflop_per_s": round(flops / SECONDS / 1e9, 4),
        "source": source,
    }


def tables(found: dict[str, Any]) -> str:
    """The two tables in Markdown."""
    lines = [
        "| front end | family | width x layers | parameters (M) | GFLOP/s of audio | source | licence |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {name} | {r['family']} | {r['width']} x {r['layers']} | {r['parameters'] / 1e6:.2f} | "
        f"{r['gflop_per_s']:.1f} | {r['source']} | {r['licence']} |"
        for name, r in found["front_ends"].items()
    ]
    lines += [
        "",
        "| head | what | reads | parameters | published | GFLOP/s of audio | source |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| `{name}` | {r['what']} | {r['reads']} | {r['parameters']:,} | {r['published']} | "
        f"{r['gflop_per_s']:.3g} | {r['source']} |"
        for name, r in found["heads"].items()
    ]
    return "\n".join(lines)


def main() -> None:
    """Measure, save, and put the tables into the page."""
    if set(SOURCES) - {"aasist-l"} != set(HEADS):
        raise SystemExit(f"sources and heads differ: {set(SOURCES) ^ set(HEADS)}")
    found = {
        "clip_samples": SAMPLES,
        "front_ends": {name: measure_front_end(name) for name in FRONT_ENDS},
        "heads": {name: measure_head(name) for name in SOURCES},
    }
    results = ROOT / "benchmarks" / "results" / "detectors.json"
    results.write_text(json.dumps(found, indent=1) + "\n")
    page = ROOT / "docs" / "detectors.md"
    head, rest = page.read_text().split("<!-- tables", 1)
    mark, rest = rest.split("\n", 1)
    behind = rest.split("<!-- end of tables", 1)[1]
    page.write_text(f"{head}<!-- tables{mark}\n{tables(found)}\n<!-- end of tables{behind}")
    print(tables(found))


if __name__ == "__main__":
    main()
