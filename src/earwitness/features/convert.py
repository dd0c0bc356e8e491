"""Names of tensors: the authors' (fairseq, unilm) and AntiDeepfake's -> transformers', strictly.

One table of name pairs serves both directions. Every name of a file is either in it, or among the
parts that only pre-training uses (`UNUSED`), or the file is refused by that name. Sizes are read
off the tensors, so models with fewer layers need nothing said; only the number of attention
heads cannot be seen, and comes from a table by width or from the caller.

Source: fairseq commit 862efab (wav2vec2.py, hubert.py, data2vec_audio.py), microsoft/unilm wavlm,
and the conversion scripts of transformers, read for the names.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from earwitness.errors import ModelError
from earwitness.features.frontends import (
    CONV_KERNELS,
    CONV_STRIDES,
    HEADS_BY_WIDTH,
    Architecture,
    Family,
)

MAX_LAYERS = 200
Shapes = Mapping[str, tuple[int, ...]]

# authors' name, transformers' name; {i} is a number, {p} a trailing weight or bias.
NAMES = (
    ("feature_extractor.conv_layers.{i}.0.{p}", "feature_extractor.conv_layers.{i}.conv.{p}"),
    ("feature_extractor.conv_layers.{i}.2.1.{p}", "feature_extractor.conv_layers.{i}.layer_norm.{p}"),
    ("layer_norm.{p}", "feature_projection.layer_norm.{p}"),
    ("post_extract_proj.{p}", "feature_projection.projection.{p}"),
    ("encoder.pos_conv.0.bias", "encoder.pos_conv_embed.conv.bias"),
    ("encoder.pos_conv.0.weight_g", "encoder.pos_conv_embed.conv.parametrizations.weight.original0"),
    ("encoder.pos_conv.0.weight_v", "encoder.pos_conv_embed.conv.parametrizations.weight.original1"),
    ("encoder.pos_conv.{i}.0.{p}", "encoder.pos_conv_embed.layers.{i}.conv.{p}"),
    ("encoder.layers.{i}.self_attn.q_proj.{p}", "encoder.layers.{i}.attention.q_proj.{p}"),
    ("encoder.layers.{i}.self_attn.k_proj.{p}", "encoder.layers.{i}.attention.k_proj.{p}"),
    ("encoder.layers.{i}.self_attn.v_proj.{p}", "encoder.layers.{i}.attention.v_proj.{p}"),
    ("encoder.layers.{i}.self_attn.out_proj.{p}", "encoder.layers.{i}.attention.out_proj.{p}"),
    ("encoder.layers.{i}.self_attn.grep_linear.{p}", "encoder.layers.{i}.attention.gru_rel_pos_linear.{p}"),
    ("encoder.layers.{i}.self_attn.grep_a", "encoder.layers.{i}.attention.gru_rel_pos_const"),
    (
        "encoder.layers.{i}.self_attn.relative_attention_bias.weight",
        "encoder.layers.{i}.attention.rel_attn_embed.weight",
    ),
    ("encoder.layers.{i}.self_attn_layer_norm.{p}", "encoder.layers.{i}.layer_norm.{p}"),
    ("encoder.layers.{i}.fc1.{p}", "encoder.layers.{i}.feed_forward.intermediate_dense.{p}"),
    ("encoder.layers.{i}.fc2.{p}", "encoder.layers.{i}.feed_forward.output_dense.{p}"),
    ("encoder.layers.{i}.final_layer_norm.{p}", "encoder.layers.{i}.final_layer_norm.{p}"),
    ("encoder.layer_norm.{p}", "encoder.layer_norm.{p}"),
)
# With a group norm there is one norm only, and one index fewer in its name.
GROUP_NORM = ("feature_extractor.conv_layers.0.2.{p}", "feature_extractor.conv_layers.0.layer_norm.{p}")
STACKED_FAMILIES = ("data2vec-audio",)  # whose positional convolutions are `encoder.pos_conv.{i}.0`

# What pre-training alone uses: there as a whole, or not at all.
PAIR = ("weight", "bias")
QUANTIZER = ("quantizer.vars", *(f"quantizer.weight_proj.{p}" for p in PAIR))
UNUSED: dict[Family, tuple[str, ...]] = {
    "wav2vec2": (*QUANTIZER, *(f"{part}.{p}" for part in ("project_q", "final_proj") for p in PAIR)),
    "hubert": ("label_embs_concat", *(f"final_proj.{p}" for p in PAIR)),
    "unispeech-sat": ("label_embs_concat", *(f"final_proj.{p}" for p in PAIR)),
    "wavlm": (),
    "data2vec-audio": tuple(f"final_proj.0.{p}" for p in PAIR),
}
MAYBE = {"mask_emb", "masked_spec_embed"}  # without effect on a clip that is not masked
# What the speaker task of UniSpeech-SAT adds; files differ in it.
SPEAKER = re.compile(r"(spk_proj|(encoder\.)?layer_norm_for_extract|quantizer|project_q)\.")
PUBLISHED_PARTS = re.compile(  # parts of transformers' pre-training classes
    r"(quantizer|project_hid|project_q|final_proj|speaker_proj|layer_norm_for_extract)\."
    r"|label_embs_concat$|label_embeddings_concat$|proj_out\.weight$"
)

HUB_PREFIXES: dict[str, Family] = {
    "wav2vec2.": "wav2vec2",
    "hubert.": "hubert",
    "unispeech_sat.": "unispeech-sat",
    "wavlm.": "wavlm",
    "data2vec_audio.": "data2vec-audio",
    "wav2vec2_bert.": "w2v-bert",
    "model.encoder.": "whisper",
}
HUB_TYPES: dict[str, Family] = {
    "wav2vec2": "wav2vec2",
    "hubert": "hubert",
    "unispeech-sat": "unispeech-sat",
    "wavlm": "wavlm",
    "data2vec-audio": "data2vec-audio",
    "wav2vec2-bert": "w2v-bert",
    "whisper": "whisper",
}


def compile_names(pairs: Iterable[tuple[str, str]], forward: bool) -> list[tuple[re.Pattern[str], str]]:
    """Patterns of the left (or right) names with the template of the other side."""
    compiled = []
    for left, right in pairs:
        source, target = (left, right) if forward else (right, left)
        pattern = re.escape(source).replace(r"\{i\}", r"(?P<i>\d+)").replace(r"\{p\}", "(?P<p>weight|bias)")
        compiled.append((re.compile(pattern), target))
    return compiled


def pairs_of(family: Family, conv_norm: str) -> list[tuple[str, str]]:
    """The rows of the table that hold for a family."""
    stacked = family in STACKED_FAMILIES
    rows = [row for row in NAMES if ("pos_conv.0." in row[0]) != stacked or "pos_conv" not in row[0]]
    rows = [row for row in rows if "pos_conv.{i}" not in row[0] or stacked]
    if conv_norm == "group":
        rows = [row for row in rows if ".2.1." not in row[0]] + [GROUP_NORM]
    return rows


def rename(name: str, patterns: list[tuple[re.Pattern[str], str]]) -> str | None:
    """The other side's name of a tensor, None where the table has none."""
    for pattern, template in patterns:
        match = pattern.fullmatch(name)
        if match:
            return template.format(**match.groupdict())
    return None


def to_authors(name: str, architecture: Architecture) -> str | None:
    """The authors' name of a tensor, given that of transformers."""
    rows = pairs_of(architecture.family, architecture.conv_norm)
    return rename(name, compile_names(rows, forward=False))


def is_authors(names: Iterable[str]) -> bool:
    """Whether these are names of the authors' layout."""
    return "post_extract_proj.weight" in set(names)


def family_of_authors(names: Iterable[str]) -> Family:
    """The family that a file in the authors' layout belongs to.

    wav2vec 2.0 and HuBERT run alike; a file without pre-training parts is taken for the former.
    """
    names = set(names)
    if any(".grep_linear." in name for name in names):
        return "wavlm"
    if "encoder.pos_conv.0.0.weight" in names:
        return "data2vec-audio"
    if any(name.startswith("spk_proj.") or "layer_norm_for_extract." in name for name in names):
        return "unispeech-sat"
    return "hubert" if "label_embs_concat" in names else "wav2vec2"


def from_authors(shapes: Shapes, where: str) -> tuple[Family, dict[str, str]]:
    """Family, and transformers' name for each name of the authors' that is used.

    Raises:
        ModelError: a name that belongs to neither, or pre-training parts there only in part.
    """
    family = family_of_authors(shapes)
    conv_norm = "group" if "feature_extractor.conv_layers.0.2.weight" in shapes else "layer"
    patterns = compile_names(pairs_of(family, conv_norm), forward=True)
    used: dict[str, str] = {}
    unused: list[str] = []
    for name in shapes:
        target = rename(name, patterns)
        if target:
            used[name] = target
        elif name not in MAYBE and not (family == "unispeech-sat" and SPEAKER.match(name)):
            unused.append(name)
    foreign = sorted(set(unused) - set(UNUSED[family]))
    if foreign:
        raise ModelError(
            f"{where}: {listed(foreign)} belong{'s' * (len(foreign) == 1)} to no part of {family}"
        )
    absent = sorted(set(UNUSED[family]) - set(unused))
    if unused and absent:
        raise ModelError(f"{where}: lacks {listed(absent)}; the file is not whole")
    return family, used


def from_hub(shapes: Shapes, config: Mapping[str, Any], where: str) -> tuple[Family, dict[str, str]]:
    """The same for a folder of transformers, whose names need at most a prefix taken off.

    Raises:
        ModelError: another model, or a name that belongs to no encoder.
    """
    family = HUB_TYPES.get(str(config.get("model_type")))
    prefix = next((p for p in HUB_PREFIXES if any(name.startswith(p) for name in shapes)), "")
    family = family or HUB_PREFIXES.get(prefix)
    if family is None:
        kind = config.get("model_type") or looks_like(shapes)
        raise ModelError(f"{where}: a model of type {kind}; front ends are {', '.join(sorted(HUB_TYPES))}")
    if family == "whisper" and not prefix and any(name.startswith("encoder.") for name in shapes):
        prefix = "encoder."
    used: dict[str, str] = {}
    foreign = []
    for name in shapes:
        if name.startswith(("decoder.", "model.decoder.")) and family == "whisper":
            continue
        target = name.removeprefix(prefix).replace(
            ".conv.weight_g", ".conv.parametrizations.weight.original0"
        )
        target = target.replace(".conv.weight_v", ".conv.parametrizations.weight.original1")
        if target.rpartition(".")[2] in MAYBE or PUBLISHED_PARTS.match(target):
            continue
        if target.startswith(
            ("encoder.", "feature_", "conv1.", "conv2.", "layers.", "embed_p", "layer_norm.")
        ):
            used[name] = target
        else:
            foreign.append(name)
    if foreign:
        raise ModelError(
            f"{where}: {listed(sorted(foreign))} belong{'s' * (len(foreign) == 1)} to no encoder"
        )
    return family, used


def infer(
    family: Family,
    shapes: Shapes,
    where: str,
    heads: int | None = None,
    config: Mapping[str, Any] | None = None,
) -> Architecture:
    """The architecture whose tensors have these shapes; names are transformers'.

    `config` is that of a transformers folder, if there is one.

    Raises:
        ModelError: no such architecture.
    """
    try:
        found = infer_whisper(shapes) if family == "whisper" else infer_encoder(family, shapes)
    except KeyError as error:
        raise ModelError(f"{where}: lacks {error.args[0]}; not a whole {family} encoder") from None
    except (IndexError, ValueError, ZeroDivisionError):
        raise ModelError(f"{where}: its tensors have shapes that no {family} encoder has") from None
    if found.layers > MAX_LAYERS:
        raise ModelError(f"{where}: {found.layers} layers; at most {MAX_LAYERS} are read")
    if config:
        found = follow_config(found, shapes, config, where, heads)
    chosen = heads or found.heads
    if not chosen:
        raise ModelError(
            f"{where}: the number of attention heads of a model {found.width} wide is not known; "
            "say so with --heads"
        )
    if chosen < 1 or found.width % chosen:
        raise ModelError(f"{where}: a width of {found.width} cannot be split into {chosen} heads")
    return replace(found, heads=chosen)


def infer_encoder(family: Family, shapes: Shapes) -> Architecture:
    """Sizes of every family but Whisper, off the tensors."""
    width = shapes["feature_projection.projection.weight"][0]
    layers = count_layers(shapes, "encoder.layers.")
    if family == "w2v-bert":
        return Architecture(
            family,
            width,
            layers,
            HEADS_BY_WIDTH.get(width, 0),
            shapes["encoder.layers.0.ffn1.intermediate_dense.weight"][0],
            normalise=False,
            conformer_kernel=shapes["encoder.layers.0.conv_module.depthwise_conv.weight"][2],
            mel_bands=shapes["feature_projection.projection.weight"][1] // 2,
        )
    for i, kernel in enumerate(CONV_KERNELS):
        if shapes[f"feature_extractor.conv_layers.{i}.conv.weight"][2] != kernel:
            raise KeyError(f"a convolution of {kernel} samples in place {i} of the feature encoder")
    conv_norm = "layer" if "feature_extractor.conv_layers.1.layer_norm.weight" in shapes else "group"
    stacked = family in STACKED_FAMILIES
    name = "layers.0.conv.weight" if stacked else "conv.parametrizations.weight.original1"
    position = shapes[f"encoder.pos_conv_embed.{name}"]
    found = Architecture(
        family,
        width,
        layers,
        HEADS_BY_WIDTH.get(width, 0),
        shapes["encoder.layers.0.feed_forward.intermediate_dense.weight"][0],
        conv_width=shapes["feature_extractor.conv_layers.1.conv.weight"][0],
        conv_norm=conv_norm,
        conv_bias="feature_extractor.conv_layers.0.conv.bias" in shapes,
        pre_norm=conv_norm == "layer" and not stacked,
        position_kernel=position[2],
        position_groups=width // position[1],
        position_depth=count_layers(shapes, "encoder.pos_conv_embed.layers.") if stacked else 1,
        normalise=conv_norm == "layer",
    )
    if family == "wavlm":
        buckets, heads = shapes["encoder.layers.0.attention.rel_attn_embed.weight"]
        return replace(found, relative_buckets=buckets, heads=heads)
    return found


def infer_whisper(shapes: Shapes) -> Architecture:
    """Sizes of a Whisper encoder; its heads are 64 wide."""
    width, bands, _ = shapes["conv1.weight"]
    return Architecture(
        "whisper",
        width,
        count_layers(shapes, "layers."),
        width // 64,
        shapes["layers.0.fc1.weight"][0],
        normalise=False,
        mel_bands=bands,
        positions=shapes["embed_positions.weight"][0],
    )


def follow_config(
    found: Architecture, shapes: Shapes, config: Mapping[str, Any], where: str, heads: int | None
) -> Architecture:
    """Take from a configuration what tensors do not show; whatever it says else must be so here.

    Raises:
        ModelError: it contradicts the tensors or `heads`, or asks for mathematics not known here.
    """
    whisper, bert = found.family == "whisper", found.family == "w2v-bert"
    must_be = {
        "hidden_act": "swish" if bert else "gelu",
        "feat_extract_activation": "gelu",
        "activation_function": "gelu",
        "layer_norm_eps": 1e-5,
        "conv_kernel": list(CONV_KERNELS),
        "conv_stride": list(CONV_STRIDES),
        "position_embeddings_type": "relative_key",
        "d_model" if whisper else "hidden_size": found.width,
        "encoder_layers" if whisper else "num_hidden_layers": found.layers,
        "encoder_ffn_dim" if whisper else "intermediate_size": found.ffn,
    }
    for key, value in must_be.items():
        if key in config and config[key] != value and not (whisper and key.startswith("hidden_")):
            asked = str(config[key])[:60]
            raise ModelError(f"{where}: its configuration has {key} {asked!r}, where {value!r} is needed")
    known = config.get("encoder_attention_heads" if whisper else "num_attention_heads")
    if known is not None and (type(known) is not int or heads not in (None, known)):
        raise ModelError(
            f"{where}: its configuration has {str(known)[:60]!r} attention heads, --heads {heads}"
        )
    found = replace(found, heads=known or found.heads)
    stable, distance = config.get("do_stable_layer_norm"), config.get("max_bucket_distance")
    if found.family in ("wav2vec2", "hubert", "unispeech-sat", "wavlm") and stable is not None:
        found = replace(found, pre_norm=stable is True)
    if found.family == "wavlm" and type(distance) is int and distance > 0:
        found = replace(found, relative_distance=distance)
    if bert:
        total = shapes["encoder.layers.0.self_attn.distance_embedding.weight"][0]
        left, right = (config.get(f"{side}_max_position_embeddings") for side in ("left", "right"))
        if (
            type(left) is not int
            or type(right) is not int
            or left + right + 1 != total
            or min(left, right) < 0
        ):
            raise ModelError(f"{where}: its configuration does not say how far it looks left and right")
        found = replace(found, left_positions=left, right_positions=right)
    return found


def count_layers(shapes: Shapes, prefix: str) -> int:
    """Layers 0 to n - 1 -> n.

    Raises:
        KeyError: naming the first that is not there.
    """
    found = {int(m[1]) for name in shapes if (m := re.match(re.escape(prefix) + r"(\d{1,4})\.", name))}
    for i in range(max(found, default=0) + 1):
        if i not in found:
            raise KeyError(f"{prefix}{i}")
    return len(found)


def looks_like(names: Iterable[str]) -> str:
    """What kind of model these tensor names belong to, for a message."""
    names = list(names)
    kinds = (
        ("encoder.blocks.0.attn.query.weight", "OpenAI's Whisper (import the Hugging Face folder instead)"),
        ("GAT_layer_S.att_weight", "a graph attention network of the AASIST kind"),
        ("w2v_encoder.w2v_model.mask_emb", "a fairseq speech recogniser (wav2vec 2.0 fine-tuned with CTC)"),
        ("lm_head.weight", "a speech recogniser or a language model"),
        ("embeddings.word_embeddings.weight", "BERT, a text model"),
        ("model.embed_tokens.weight", "a language model"),
        ("Sinc_conv.low_hz_", "RawNet"),
        ("conv_pre.weight", "a vocoder"),
        ("visual_projection.weight", "CLIP, an image model"),
    )
    for mark, kind in kinds:
        if any(name.endswith(mark) for name in names):
            return kind
    return f"unknown, with tensors such as {listed(names)}"


def listed(names: Iterable[str], most: int = 3) -> str:
    """`a, b, c and 7 more`."""
    names = [name[:80] for name in names]
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
