"""The plain implementation that other tests rely on, against outputs of the authors and transformers."""

import json
import math
import re
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from fairseq_layout import (  # noqa: E402
    KINDS,
    PREFIX,
    RELEASED,
    Layout,
    backbone,
    detector_state,
    forward,
    logits,
    normalised,
    random_state,
    relative_buckets,
    shapes,
    with_teacher,
)

REFERENCES = ("w2v_small", "mms_300m", "hubert_xlarge_ll60k")
TINY = {"width": 32, "layers": 3, "heads": 4, "ffn": 48, "conv_channels": 24}
TINY |= {"pos_kernel": 16, "pos_groups": 4, "final_dim": 16, "latent_vars": 8, "labels": 20}
LARGE = {"conv_norm": "layer", "pre_norm": True}
DATA2VEC = {"conv_norm": "layer", "pos_kernel": 27, "pos_depth": 5}
LAYOUTS = {
    "wav2vec2 base": Layout("wav2vec2", **TINY),
    "wav2vec2 large": Layout("wav2vec2", **TINY, **LARGE, conv_bias=True),
    "hubert base": Layout("hubert", **TINY),
    "hubert large": Layout("hubert", **TINY, **LARGE),
    "unispeech-sat base": Layout("unispeech-sat", **TINY),
    "unispeech-sat large": Layout("unispeech-sat", **TINY, **LARGE),
    "wavlm base": Layout("wavlm", **TINY, num_buckets=20, max_distance=33),
    "wavlm large": Layout("wavlm", **TINY, **LARGE, num_buckets=20, max_distance=33),
    "wavlm base, its own buckets": Layout("wavlm", **TINY),
    "data2vec-audio": Layout("data2vec-audio", **(TINY | DATA2VEC)),
    "data2vec-audio, even kernels": Layout(
        "data2vec-audio", **(TINY | DATA2VEC | {"pos_kernel": 20, "conv_bias": True})
    ),
}


@pytest.fixture(autouse=True)
def single_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.no_grad():
        yield
    torch.set_num_threads(threads)


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(7)


def clip(seconds=1.0):
    """Coloured noise with a swelling envelope, (samples,), normalised."""
    samples = int(16_000 * seconds)
    noise = torch.randn(samples, generator=torch.Generator().manual_seed(3)).cumsum(0)
    return normalised((noise - noise.roll(40)) * torch.linspace(0.1, 1, samples))


@pytest.mark.shared
@pytest.mark.parametrize("name", REFERENCES)
def test_outputs_of_the_authors(shared, name):
    folder = shared / "reference" / "importer" / name
    state = torch.load(folder / "detector.ckpt", weights_only=True)
    layout = replace(
        RELEASED[name], width=96, layers=3, heads=4, ffn=160, conv_channels=48,
        pos_kernel=32, pos_groups=8, final_dim=32, latent_vars=8,
    )  # fmt: skip
    config = json.loads((folder / "meta.json").read_text())["config"]
    assert layout.pre_norm == config.get("layer_norm_first", False)

    expected_shapes = {PREFIX + key: shape for key, shape in shapes(layout).items()}
    expected_shapes |= {"proj_fc.weight": (2, 96), "proj_fc.bias": (2,)}
    assert [(key, tuple(value.shape)) for key, value in state.items()] == list(expected_shapes.items())

    with np.load(folder / "waves.npz") as waves, np.load(folder / "expected.npz") as expected:
        for i in range(len(waves.files)):
            wave = torch.from_numpy(waves[f"w{i}"])
            frames = forward(layout, backbone(state), normalised(wave))[-1]
            np.testing.assert_allclose(frames, expected[f"frames_{i}"], atol=2e-5, rtol=0)
            np.testing.assert_allclose(frames.mean(0), expected[f"emb_{i}"], atol=2e-5, rtol=0)
            found = logits(layout, state, wave)
            np.testing.assert_allclose(found, expected[f"logits_{i}"], atol=2e-5, rtol=0)
            np.testing.assert_allclose(found.softmax(0)[1], expected[f"prob_real_{i}"], atol=2e-5, rtol=0)


@pytest.mark.parametrize(
    ("name", "tensors", "millions"),
    [
        ("w2v_small", 220, 95.04),
        ("mms_300m", 431, 317.39),
        ("mms_1b", 815, 965.51),
        ("xlsr_2b", 815, 2162.93),
        ("hubert_xlarge_ll60k", 804, 964.32),
    ],
)
def test_sizes_of_the_published_detectors(name, tensors, millions):
    found = shapes(RELEASED[name])
    assert len(found) + 2 == tensors
    assert sum(math.prod(shape) for shape in found.values()) / 1e6 == pytest.approx(millions, abs=0.005)


def test_states_hold_what_was_announced(generator):
    assert {layout.kind for layout in LAYOUTS.values()} == set(KINDS)
    for layout in LAYOUTS.values():
        whole, bare = random_state(layout, generator), random_state(layout, generator, pretraining=False)
        assert {key: tuple(value.shape) for key, value in whole.items()} == shapes(layout)
        assert set(bare) < set(whole)
        assert not {"mask_emb", "final_proj.weight"} & set(bare)
        for key, value in whole.items():
            assert value.isfinite().all(), key
            assert value.numel() < 4 or value.unique().numel() > 1, key
        detector = detector_state(whole, generator, layout.width)
        assert len(detector) == len(whole) + 2
        assert all(torch.equal(value, whole[key]) for key, value in backbone(detector).items())
        assert logits(layout, detector, clip()).shape == (2,)


def test_files_of_data2vec_hold_a_teacher(generator):
    layout = LAYOUTS["data2vec-audio"]
    state = random_state(layout, generator)
    teacher = with_teacher(state, generator)["_ema"]
    own = [key.removeprefix("encoder.") for key in state if key.startswith("encoder.")]
    assert list(teacher) == own
    assert not any(torch.equal(value, state["encoder." + key]) for key, value in teacher.items())


@pytest.mark.parametrize("name", LAYOUTS)
def test_activations_neither_vanish_nor_explode(name, generator):
    layout = LAYOUTS[name]
    outputs = forward(layout, random_state(layout, generator), clip())
    assert len(outputs) == layout.layers + 1
    for frames in outputs:
        assert frames.shape == (49, layout.width)
        assert 0.3 < frames.std() < 5
        assert frames.std(0).mean() > 0.1  # frames differ


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_tensor_matters(name, generator):
    layout = LAYOUTS[name]
    state = random_state(layout, generator, pretraining=False)
    with torch.enable_grad():
        for value in state.values():
            value.requires_grad_()
        forward(layout, state, clip())[-1].square().mul(torch.arange(layout.width)).sum().backward()
    still = {key for key, value in state.items() if value.grad is None or value.grad.abs().max() < 1e-2}
    # a softmax does not see what it adds to all scores of a query alike
    assert still == {key for key in state if key.endswith("k_proj.bias")}


def test_without_a_change_of_width_most_have_no_projection(generator):
    for kind in KINDS:
        layout = replace(LAYOUTS["data2vec-audio"], kind=kind, conv_channels=TINY["width"])
        state = random_state(layout, generator)
        assert ("post_extract_proj.weight" in state) == (kind == "data2vec-audio")
        assert forward(layout, state, clip())[-1].isfinite().all()


def test_buckets_by_hand():
    layout = Layout("wavlm", **TINY, num_buckets=16, max_distance=32)
    rows = relative_buckets(layout, 40)
    # 8 rows a side: 0 to 3 for themselves, then a factor of 8 ** (1 / 4) for each of the other four
    by_distance = [0, 1, 2, 3, 4, 4, 4, 5, 5, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 6, 7, 7]
    assert rows[39].flip(0)[:22].tolist() == by_distance
    assert rows[0, 1:22].tolist() == [8 + row for row in by_distance[1:]]
    assert rows[39, 0] == 7  # beyond max_distance
    assert rows[0, 39] == 15


RENAMED = (
    (r"^mask_emb$", "masked_spec_embed"),
    (r"^(feature_extractor\.conv_layers\.\d+)\.0\.", r"\1.conv."),
    (r"^(feature_extractor\.conv_layers\.\d+)\.2\.(1\.)?", r"\1.layer_norm."),
    (r"^layer_norm\.", "feature_projection.layer_norm."),
    (r"^post_extract_proj\.", "feature_projection.projection."),
    (r"^encoder\.pos_conv\.0\.weight_g$", "encoder.pos_conv_embed.conv.parametrizations.weight.original0"),
    (r"^encoder\.pos_conv\.0\.weight_v$", "encoder.pos_conv_embed.conv.parametrizations.weight.original1"),
    (r"^encoder\.pos_conv\.0\.bias$", "encoder.pos_conv_embed.conv.bias"),
    (r"^encoder\.pos_conv\.(\d+)\.0\.", r"encoder.pos_conv_embed.layers.\1.conv."),
    (r"\.self_attn_layer_norm\.", ".layer_norm."),
    (r"\.self_attn\.relative_attention_bias\.", ".attention.rel_attn_embed."),
    (r"\.self_attn\.grep_a$", ".attention.gru_rel_pos_const"),
    (r"\.self_attn\.grep_linear\.", ".attention.gru_rel_pos_linear."),
    (r"\.self_attn\.", ".attention."),
    (r"\.fc1\.", ".feed_forward.intermediate_dense."),
    (r"\.fc2\.", ".feed_forward.output_dense."),
)


def in_transformers(layout, state):
    """The same network as a model of transformers, every tensor of both used once."""
    transformers = pytest.importorskip("transformers")
    prefix = {
        "wav2vec2": "Wav2Vec2",
        "hubert": "Hubert",
        "unispeech-sat": "UniSpeechSat",
        "wavlm": "WavLM",
        "data2vec-audio": "Data2VecAudio",
    }[layout.kind]
    options = {
        "hidden_size": layout.width,
        "num_hidden_layers": layout.layers,
        "num_attention_heads": layout.heads,
        "intermediate_size": layout.ffn,
        "conv_dim": (layout.conv_channels,) * 7,
        "conv_bias": layout.conv_bias,
        "num_conv_pos_embedding_groups": layout.pos_groups,
    }
    if layout.kind == "data2vec-audio":
        options |= {"num_conv_pos_embeddings": layout.pos_depth}
        options |= {"conv_pos_kernel_size": layout.pos_kernel_each}
    else:
        options |= {"num_conv_pos_embeddings": layout.pos_kernel}
        options |= {"feat_extract_norm": layout.conv_norm, "do_stable_layer_norm": layout.pre_norm}
    if layout.kind == "wavlm":
        options |= {"num_buckets": layout.num_buckets, "max_bucket_distance": layout.max_distance}
    model = getattr(transformers, f"{prefix}Model")(getattr(transformers, f"{prefix}Config")(**options))

    renamed = {}
    for key, value in state.items():
        if key in shapes(layout, pretraining=False) or key == "mask_emb":
            for pattern, name in RENAMED:
                key = re.sub(pattern, name, key)
            renamed[key] = value
    model.load_state_dict(renamed, strict=True)
    return model.eval()


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("seconds", [1.0, 3.3011])
def test_agrees_with_transformers(name, seconds, generator):
    layout = LAYOUTS[name]
    state = random_state(layout, generator)
    wave = clip(seconds)
    output = in_transformers(layout, state)(wave[None], output_hidden_states=True)
    found = forward(layout, state, wave)
    # the last of the hidden states has passed the final norm in some releases, in others not
    theirs = (*output.hidden_states[:-1], output.last_hidden_state)
    assert len(found) == len(theirs)
    for i, frames in enumerate(found):
        torch.testing.assert_close(frames, theirs[i][0], atol=1e-5, rtol=0)
