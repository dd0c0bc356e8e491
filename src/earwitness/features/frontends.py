"""The front ends: one table of self-supervised speech models, name -> architecture, source, licence.

An `Architecture` is all that is needed to build the network without its weights: it stands in the
card of every bundle, and `convert.py` infers it from the tensors of a checkpoint. Sizes are those
of the authors' configurations (for the seven of AntiDeepfake: models/W2V_configs.py and
models/HBT_configs.py of nii-yamagishilab/AntiDeepfake; for the others the released config.json).
"""

from dataclasses import dataclass
from typing import Any, Literal

from earwitness.errors import MissingExtra

Family = Literal["wav2vec2", "hubert", "unispeech-sat", "wavlm", "data2vec-audio", "w2v-bert", "whisper"]

CONV_KERNELS = (10, 3, 3, 3, 3, 2, 2)
CONV_STRIDES = (5, 2, 2, 2, 2, 2, 2)
HOP = 320  # samples between frames, 20 ms, in every family


@dataclass(frozen=True)
class Architecture:
    """The sizes of one encoder. Fields that a family does not know keep their defaults."""

    family: Family
    width: int
    layers: int
    heads: int
    ffn: int
    conv_width: int = 512
    conv_norm: Literal["layer", "group"] = "layer"  # "group": one norm, over time, after the first
    conv_bias: bool = True
    pre_norm: bool = True  # layer norm before each block, and one after the last
    position_kernel: int = 128
    position_groups: int = 16
    position_depth: int = 1  # data2vec-audio stacks several positional convolutions
    normalise: bool = True  # waveform to zero mean and unit variance, over the clip
    relative_buckets: int = 320  # wavlm
    relative_distance: int = 800  # wavlm
    conformer_kernel: int = 31  # w2v-bert
    left_positions: int = 64  # w2v-bert
    right_positions: int = 8  # w2v-bert
    mel_bands: int = 80  # whisper, w2v-bert
    positions: int = 1_500  # whisper: frames of its 30 s


@dataclass(frozen=True)
class FrontEndSource:
    """Where an encoder comes from. `parameters` are those used at inference, in millions."""

    architecture: Architecture
    hub: str  # repository on huggingface.co
    licence: str
    parameters: float


def base(family: Family, **changes: Any) -> Architecture:
    """768 wide, 12 layers, group norm, layer norm after each block: the BASE models of 2020 to 2022."""
    sizes: dict[str, Any] = {"width": 768, "layers": 12, "heads": 12, "ffn": 3072, "conv_norm": "group"}
    sizes |= {"conv_bias": False, "pre_norm": False, "normalise": False}
    return Architecture(family, **(sizes | changes))


def large(family: Family, width: int = 1024, layers: int = 24, **changes: Any) -> Architecture:
    """16 heads, ffn of four widths, layer norm everywhere: the LARGE models and beyond."""
    sizes: dict[str, Any] = {"width": width, "layers": layers, "heads": 16, "ffn": 4 * width}
    return Architecture(family, **(sizes | changes))


def whisper(width: int, layers: int, mel_bands: int = 80) -> Architecture:
    """The encoder of a Whisper model; heads are 64 wide."""
    return Architecture(
        "whisper", width, layers, width // 64, 4 * width, normalise=False, mel_bands=mel_bands
    )


UNILM = "CC BY-SA 3.0 (microsoft/UniSpeech)"
OPENAI = "MIT (openai/whisper)"  # its README; the hub's copies say Apache-2.0

# The seven of AntiDeepfake come first.
FRONT_ENDS: dict[str, FrontEndSource] = {
    "w2v-small": FrontEndSource(base("wav2vec2"), "facebook/wav2vec2-base", "Apache-2.0", 94.37),
    "w2v-large": FrontEndSource(large("wav2vec2"), "facebook/wav2vec2-large-robust", "Apache-2.0", 315.44),
    "mms-300m": FrontEndSource(large("wav2vec2"), "facebook/mms-300m", "CC BY-NC 4.0", 315.44),
    "mms-1b": FrontEndSource(large("wav2vec2", 1280, 48), "facebook/mms-1b", "CC BY-NC 4.0", 962.50),
    "xls-r-1b": FrontEndSource(
        large("wav2vec2", 1280, 48), "facebook/wav2vec2-xls-r-1b", "Apache-2.0", 962.50
    ),
    "xls-r-2b": FrontEndSource(
        large("wav2vec2", 1920, 48), "facebook/wav2vec2-xls-r-2b", "Apache-2.0", 2159.26
    ),
    "hubert-xl": FrontEndSource(
        large("hubert", 1280, 48, conv_bias=False), "facebook/hubert-xlarge-ll60k", "Apache-2.0", 962.49
    ),
    "hubert-large": FrontEndSource(
        large("hubert", conv_bias=False), "facebook/hubert-large-ll60k", "Apache-2.0", 315.43
    ),
    "wavlm-base": FrontEndSource(base("wavlm"), "microsoft/wavlm-base", UNILM, 94.38),
    "wavlm-large": FrontEndSource(large("wavlm", conv_bias=False), "microsoft/wavlm-large", UNILM, 315.45),
    "unispeech-sat-base": FrontEndSource(base("unispeech-sat"), "microsoft/unispeech-sat-base", UNILM, 94.37),
    "unispeech-sat-large": FrontEndSource(
        large("unispeech-sat", conv_bias=False), "microsoft/unispeech-sat-large", UNILM, 315.43
    ),
    "data2vec-audio-base": FrontEndSource(
        base("data2vec-audio", conv_norm="layer", position_kernel=19, position_depth=5, normalise=True),
        "facebook/data2vec-audio-base",
        "Apache-2.0",
        93.16,
    ),
    "w2v-bert-2": FrontEndSource(large("w2v-bert", normalise=False), "facebook/w2v-bert-2.0", "MIT", 580.49),
    "whisper-tiny": FrontEndSource(whisper(384, 4), "openai/whisper-tiny", OPENAI, 8.21),
    "whisper-base": FrontEndSource(whisper(512, 6), "openai/whisper-base", OPENAI, 20.59),
    "whisper-small": FrontEndSource(whisper(768, 12), "openai/whisper-small", OPENAI, 88.15),
    "whisper-medium": FrontEndSource(whisper(1024, 24), "openai/whisper-medium", OPENAI, 307.22),
    "whisper-large-v3": FrontEndSource(
        whisper(1280, 32, mel_bands=128), "openai/whisper-large-v3", OPENAI, 636.97
    ),
}

# Attention heads cannot be seen in the tensors; every model above agrees on them by its width.
HEADS_BY_WIDTH = {
    row.architecture.width: row.architecture.heads
    for row in FRONT_ENDS.values()
    if row.architecture.family != "whisper"
}


def least_samples(architecture: Architecture) -> int:
    """The shortest clip that it can take; w2v-BERT needs two frames for its deviations."""
    return 880 if architecture.family == "w2v-bert" else 400


def make_body(architecture: Architecture) -> Any:
    """The encoder as transformers builds it, with random weights.

    Raises:
        MissingExtra: torch or transformers is not installed.
    """
    try:
        import transformers
    except ImportError as error:
        raise MissingExtra("transformers", "train") from error

    a = architecture
    common: dict[str, Any] = {
        "hidden_size": a.width,
        "num_hidden_layers": a.layers,
        "num_attention_heads": a.heads,
        "intermediate_size": a.ffn,
        "layerdrop": 0.0,
        "hidden_dropout": 0.0,
        "attention_dropout": 0.0,
        "activation_dropout": 0.0,
        "feat_proj_dropout": 0.0,
        "apply_spec_augment": False,
        "mask_time_prob": 0.0,
    }
    convolutional: dict[str, Any] = {
        "conv_dim": (a.conv_width,) * len(CONV_KERNELS),
        "conv_kernel": CONV_KERNELS,
        "conv_stride": CONV_STRIDES,
        "conv_bias": a.conv_bias,
        "feat_extract_norm": a.conv_norm,
        "do_stable_layer_norm": a.pre_norm,
        "num_conv_pos_embeddings": a.position_kernel,
        "num_conv_pos_embedding_groups": a.position_groups,
    }
    if a.family == "wav2vec2":
        return transformers.Wav2Vec2Model(transformers.Wav2Vec2Config(**common, **convolutional))
    if a.family == "hubert":
        return transformers.HubertModel(transformers.HubertConfig(**common, **convolutional))
    if a.family == "unispeech-sat":
        body = transformers.UniSpeechSatModel(transformers.UniSpeechSatConfig(**common, **convolutional))
        body.register_parameter("masked_spec_embed", None)  # made even where nothing is masked
        return body
    if a.family == "wavlm":
        relative: dict[str, Any] = {
            "num_buckets": a.relative_buckets,
            "max_bucket_distance": a.relative_distance,
        }
        return transformers.WavLMModel(transformers.WavLMConfig(**common, **convolutional, **relative))
    if a.family == "data2vec-audio":
        convolutional |= {
            "num_conv_pos_embeddings": a.position_depth,
            "conv_pos_kernel_size": a.position_kernel,
        }
        return transformers.Data2VecAudioModel(transformers.Data2VecAudioConfig(**common, **convolutional))
    if a.family == "w2v-bert":
        conformer: dict[str, Any] = {
            "conv_depthwise_kernel_size": a.conformer_kernel,
            "left_max_position_embeddings": a.left_positions,
            "right_max_position_embeddings": a.right_positions,
            "feature_projection_input_dim": 2 * a.mel_bands,
            "conformer_conv_dropout": 0.0,
            "attn_implementation": "eager",  # which alone adds its relative positions
        }
        config = transformers.Wav2Vec2BertConfig(**common, **conformer)
        return transformers.Wav2Vec2BertModel(config)
    if a.family == "whisper":
        from transformers.models.whisper.modeling_whisper import WhisperEncoder

        return WhisperEncoder(
            transformers.WhisperConfig(
                d_model=a.width,
                encoder_layers=a.layers,
                encoder_attention_heads=a.heads,
                encoder_ffn_dim=a.ffn,
                num_mel_bins=a.mel_bands,
                max_source_positions=a.positions,
                dropout=0.0,
            )
        )
    raise ValueError(f"no front end family is called {a.family!r}")
