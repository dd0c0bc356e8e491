"""Two-layer front ends of every family, small enough to run in a blink."""

from dataclasses import replace

from earwitness.features.frontends import Architecture

SIZES = {"width": 64, "layers": 2, "heads": 4, "ffn": 96, "conv_width": 32}
POSITIONS = {"position_kernel": 16, "position_groups": 4}
GROUP = {"conv_norm": "group", "conv_bias": False, "pre_norm": False, "normalise": False}

ARCHITECTURES = {
    "wav2vec2-base": Architecture("wav2vec2", **SIZES, **POSITIONS, **GROUP),
    "wav2vec2-large": Architecture("wav2vec2", **SIZES, **POSITIONS),
    "hubert": Architecture("hubert", **SIZES, **POSITIONS, conv_bias=False),
    "unispeech-sat": Architecture("unispeech-sat", **SIZES, **POSITIONS, **GROUP),
    "wavlm-base": Architecture("wavlm", **SIZES, **POSITIONS, **GROUP),
    "wavlm-large": Architecture("wavlm", **SIZES, **POSITIONS, conv_bias=False),
    "data2vec-audio": Architecture(
        "data2vec-audio",
        **SIZES,
        position_kernel=5,
        position_groups=4,
        position_depth=3,
        conv_bias=False,
        pre_norm=False,
    ),
    "w2v-bert": Architecture("w2v-bert", **SIZES, normalise=False),
    "whisper": Architecture("whisper", **SIZES, normalise=False),
}
DEEPER = replace(ARCHITECTURES["wav2vec2-large"], layers=4)


def shake(module, seed: int = 0, by: float = 0.1) -> None:
    """Move every parameter off its initial value, so that none is zero or one by construction."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * by)
