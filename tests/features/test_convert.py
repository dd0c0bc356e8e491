"""The authors' names and transformers': round trips through the table, and refusals by name."""

import dataclasses

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from fairseq_layout import KINDS, Layout, forward, random_state, shapes  # noqa: E402

from earwitness.errors import ModelError  # noqa: E402
from earwitness.features.convert import (  # noqa: E402
    from_authors,
    from_hub,
    infer,
    looks_like,
    to_authors,
)
from earwitness.features.encoders import FrontEnd  # noqa: E402

SIZES = {
    "width": 48,
    "layers": 2,
    "heads": 4,
    "ffn": 64,
    "conv_channels": 32,
    "pos_kernel": 16,
    "pos_groups": 4,
}
LARGE = {"conv_norm": "layer", "pre_norm": True}
LAYOUTS = {
    "wav2vec2-base": Layout("wav2vec2", **SIZES),
    "wav2vec2-large": Layout("wav2vec2", **SIZES, **LARGE, conv_bias=True),
    "hubert-base": Layout("hubert", **SIZES),
    "hubert-large": Layout("hubert", **SIZES, **LARGE),
    "unispeech-sat-base": Layout("unispeech-sat", **SIZES),
    "unispeech-sat-large": Layout("unispeech-sat", **SIZES, **LARGE),
    "wavlm-base": Layout("wavlm", **SIZES),
    "wavlm-large": Layout("wavlm", **SIZES, **LARGE),
    "data2vec": Layout("data2vec-audio", **{**SIZES, "pos_kernel": 25}, conv_norm="layer", pos_depth=5),
}


def state_of(name: str) -> dict:
    return random_state(LAYOUTS[name], torch.Generator().manual_seed(3))


def sizes_of(state: dict) -> dict:
    return {name: tuple(tensor.shape) for name, tensor in state.items()}


def test_every_kind_of_the_independent_implementation_is_tried():
    assert {layout.kind for layout in LAYOUTS.values()} == set(KINDS)


@pytest.mark.parametrize("name", LAYOUTS)
def test_the_round_trip_through_the_table_gives_every_name_back(name):
    state = state_of(name)
    family, used = from_authors(sizes_of(state), name)
    architecture = infer(family, {used[n]: tuple(state[n].shape) for n in used}, name, heads=4)
    back = {to_authors(target, architecture) for target in used.values()}
    assert back == set(used)
    with torch.device("meta"):
        assert set(FrontEnd(architecture).body.state_dict()) == set(used.values())


@pytest.mark.parametrize("name", LAYOUTS)
@torch.no_grad()
def test_forward_agrees_with_an_independent_implementation_of_the_authors_layout(name):
    layout, state = LAYOUTS[name], state_of(name)
    family, used = from_authors(sizes_of(state), name)
    architecture = infer(family, {used[n]: tuple(state[n].shape) for n in used}, name, heads=4)
    architecture = dataclasses.replace(architecture, normalise=False)
    assert architecture.pre_norm == layout.pre_norm
    front_end = FrontEnd(architecture, states=range(layout.layers + 1)).eval()
    front_end.body.load_state_dict({used[n]: state[n] for n in used}, strict=True)
    for samples in (16_000, 37_777):
        waveform = torch.randn(samples, generator=torch.Generator().manual_seed(samples))
        states, _ = front_end(waveform[None], torch.tensor([samples]))
        for found, expected in zip(states[0], forward(layout, state, waveform), strict=True):
            torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("layers", [1, 2])
def test_sizes_are_read_off_the_tensors_also_when_layers_were_removed(layers):
    layout = dataclasses.replace(LAYOUTS["wavlm-large"], layers=layers, num_buckets=32)
    family, used = from_authors(shapes(layout), "x")
    found = infer(family, {used[n]: shapes(layout)[n] for n in used}, "x")
    assert (found.layers, found.width, found.heads, found.ffn) == (layers, 48, 4, 64)
    assert (found.conv_width, found.position_kernel, found.position_groups) == (32, 16, 4)
    assert found.relative_buckets == 32


def test_a_name_too_many_a_part_too_few_and_a_missing_layer_are_named():
    sizes = sizes_of(state_of("wav2vec2-base"))
    with pytest.raises(ModelError, match=r"encoder\.adapter\.weight belongs to no part of wav2vec2"):
        from_authors({**sizes, "encoder.adapter.weight": (3,)}, "x")
    with pytest.raises(ModelError, match=r"lacks quantizer\.vars"):
        from_authors({n: s for n, s in sizes.items() if n != "quantizer.vars"}, "x")
    kept = {n: s for n, s in sizes.items() if ".layers.0." not in n}
    family, used = from_authors(kept, "x")
    with pytest.raises(ModelError, match=r"lacks encoder\.layers\.0"):
        infer(family, {used[n]: kept[n] for n in used}, "x", heads=4)


def test_heads_come_from_the_table_the_caller_or_not_at_all():
    def inferred(width: int, heads: int | None = None):
        layout = dataclasses.replace(LAYOUTS["hubert-large"], width=width)
        family, used = from_authors(shapes(layout), "x")
        return infer(family, {used[n]: shapes(layout)[n] for n in used}, "x", heads)

    assert inferred(768).heads == 12
    assert inferred(1280).heads == 16
    assert inferred(1280, 20).heads == 20
    with pytest.raises(ModelError, match="--heads"):
        inferred(48)
    with pytest.raises(ModelError, match="cannot be split into 5"):
        inferred(48, 5)


def test_a_folder_of_transformers_is_read_with_and_without_its_prefix():
    from tiny import ARCHITECTURES

    from earwitness.features.frontends import make_body

    prefixes = {"wav2vec2-large": "wav2vec2.", "w2v-bert": "wav2vec2_bert.", "whisper": "model.encoder."}
    types = {"wav2vec2-large": "wav2vec2", "w2v-bert": "wav2vec2-bert", "whisper": "whisper"}
    for name, prefix in prefixes.items():
        with torch.device("meta"):
            body = make_body(ARCHITECTURES[name]).state_dict()
        config = {"model_type": types[name], "num_attention_heads": 4, "encoder_attention_heads": 4}
        config |= {"left_max_position_embeddings": 64, "right_max_position_embeddings": 8}
        for start in ("", prefix):
            sizes = {start + n: tuple(t.shape) for n, t in body.items()}
            family, used = from_hub(sizes, config, "x")
            found = infer(family, {used[n]: sizes[n] for n in used}, "x", config=config)
            assert set(used.values()) == set(body)
            # Whisper and w2v-BERT have no convolutional feature encoder; its default stands there.
            assert dataclasses.replace(found, conv_width=32, position_kernel=16, position_groups=4) == (
                dataclasses.replace(ARCHITECTURES[name], position_kernel=16, position_groups=4)
            )


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("wav2vec2-large", {"hidden_act": "relu"}),
        ("wav2vec2-large", {"feat_extract_activation": "relu"}),
        ("hubert", {"layer_norm_eps": 0.1}),
        ("hubert", {"conv_stride": [5, 2, 2, 2, 2, 2, 1]}),
        ("wavlm-large", {"num_hidden_layers": 24}),
        ("wavlm-large", {"hidden_size": 10**18}),
        ("unispeech-sat", {"num_attention_heads": True}),
        ("unispeech-sat", {"num_attention_heads": 2}),
        ("w2v-bert", {"right_max_position_embeddings": 4}),
        ("w2v-bert", {"right_max_position_embeddings": None}),
        ("whisper", {"activation_function": "relu"}),
    ],
)
def test_a_configuration_that_asks_for_other_mathematics_is_refused(name, change):
    from tiny import ARCHITECTURES

    from earwitness.features.frontends import make_body

    architecture = ARCHITECTURES[name]
    with torch.device("meta"):
        body = make_body(architecture)
    sizes = {n: tuple(t.shape) for n, t in body.state_dict().items()}
    config = body.config.to_dict()
    assert infer(architecture.family, sizes, "x", 4, config).layers == 2
    with pytest.raises(ModelError, match="configuration"):
        infer(architecture.family, sizes, "x", 4, {**config, **change})


@pytest.mark.parametrize("stable", [True, False])
def test_where_the_layer_norms_stand_comes_from_the_configuration(stable):
    from tiny import ARCHITECTURES

    from earwitness.features.frontends import make_body

    for name in ("wav2vec2-large", "hubert", "wavlm-large"):
        with torch.device("meta"):
            body = make_body(ARCHITECTURES[name])
        sizes = {n: tuple(t.shape) for n, t in body.state_dict().items()}
        config = {"do_stable_layer_norm": stable, "max_bucket_distance": 400, "num_attention_heads": 4}
        found = infer(ARCHITECTURES[name].family, sizes, "x", config=config)
        assert found.pre_norm == stable
        assert found.relative_distance == (400 if name == "wavlm-large" else 800)


def test_foreign_models_are_called_by_their_name():
    assert "OpenAI" in looks_like(["encoder.blocks.0.attn.query.weight"])
    assert "AASIST" in looks_like(["GAT_layer_S.att_weight"])
    assert "a.b, c" in looks_like(["a.b", "c"])
    with pytest.raises(ModelError, match="type bert"):
        from_hub({"x": (1,)}, {"model_type": "bert"}, "x")
