"""Vocoders out of files: their mels, their facts, and what happens to wrong ones."""

import json

import numpy as np
import pytest

from earwitness.audio.synthesis.neural import (
    Neural,
    VocoderFacts,
    disturb,
    draw_neural,
    load_vocoder,
    mel_of,
    neural,
    read_facts,
)
from earwitness.audio.synthesis.pairing import in_time
from earwitness.errors import InputError

FACTS = {
    "sample_rate": 16_000, "n_fft": 512, "hop": 128, "window": 512, "mels": 40, "fmin": 0, "fmax": 8_000,
}  # fmt: skip
PLAIN = Neural(1, 0.0, 0.0)


@pytest.fixture
def toy(tmp_path):
    """A graph that makes noise as loud as the mels are: (1, 40, frames) -> (1, 1, 128 frames)."""
    onnx = pytest.importorskip("onnx")
    helper, numpy_helper = onnx.helper, onnx.numpy_helper
    grain = np.random.default_rng(0).standard_normal((128,)).astype(np.float32)
    nodes = [
        helper.make_node("Exp", ["mel"], ["level"]),
        helper.make_node("ReduceMean", ["level", "axis"], ["loud"], keepdims=1),  # (1, 1, frames)
        helper.make_node("Transpose", ["loud"], ["rows"], perm=[0, 2, 1]),
        helper.make_node("Mul", ["rows", "grain"], ["grains"]),  # (1, frames, 128)
        helper.make_node("Reshape", ["grains", "shape"], ["audio"]),
    ]
    graph = helper.make_graph(
        nodes,
        "toy",
        [helper.make_tensor_value_info("mel", 1, [1, 40, "frames"])],
        [helper.make_tensor_value_info("audio", 1, [1, 1, "samples"])],
        [
            numpy_helper.from_array(np.array([1]), "axis"),
            numpy_helper.from_array(grain, "grain"),
            numpy_helper.from_array(np.array([1, 1, -1]), "shape"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, tmp_path / "toy.onnx")
    (tmp_path / "toy.json").write_text(json.dumps(FACTS))
    load_vocoder.cache_clear()
    return tmp_path / "toy.onnx"


def test_a_graph_makes_a_copy_in_time(toy, speech):
    audio = speech[16_000:48_003]
    made = neural(audio, PLAIN, np.random.default_rng(0), toy)
    assert (made.shape, made.dtype) == (audio.shape, np.float32)

    def loud(x):
        return np.sqrt(np.convolve(np.square(x), np.ones(800), "same"))[::80]

    assert np.corrcoef(loud(in_time(made, audio)), loud(audio))[0, 1] > 0.9
    (toy.with_suffix(".json")).write_text(json.dumps(FACTS | {"sample_rate": 22_050, "fmax": 11_025}))
    assert neural(audio, PLAIN, np.random.default_rng(0), toy).shape == audio.shape


def test_torchscript_runs_too(tmp_path, speech):
    torch = pytest.importorskip("torch")

    class Toy(torch.nn.Module):
        def forward(self, mel: torch.Tensor) -> torch.Tensor:
            return torch.exp(mel).mean(1).repeat_interleave(128, dim=1).unsqueeze(1)

    torch.jit.script(Toy()).save(str(tmp_path / "toy.ts"))
    (tmp_path / "toy.json").write_text(json.dumps(FACTS))
    load_vocoder.cache_clear()
    made = neural(speech[:16_000], PLAIN, np.random.default_rng(0), tmp_path / "toy.ts")
    assert made.shape == (16_000,)
    assert made.max() > 0


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"hop": 0}, "hop is 0"),
        ({"hop": 12.5}, "hop is 12.5"),
        ({"mels": True}, "mels is True"),
        ({"window": 1_024}, "at most n_fft"),
        ({"fmax": 9_000}, "fmax <= sample_rate / 2"),
        ({"fmin": "low"}, "'<='"),
        ({"log": "log2"}, "log is 'log2'"),
        ({"scale": "bark"}, "scale is 'bark'"),
        ({"floor": 0}, "floor is 0"),
        ({"name": "a\nb"}, "name is no short text"),
        ({"extra": 1}, "extra"),
        (None, "not there"),
        ("[1, 2", "keys are sample_rate"),
    ],
)
def test_wrong_facts_are_refused_in_one_sentence(toy, change, says):
    beside = toy.with_suffix(".json")
    if change is None:
        beside.unlink()
    else:
        beside.write_text(change if isinstance(change, str) else json.dumps(FACTS | change))
    with pytest.raises(InputError) as caught:
        read_facts(toy)
    assert caught.value.code == "bad-vocoder"
    assert says in caught.value.message


def test_wrong_models_are_refused(toy, speech, tmp_path):
    (tmp_path / "junk.onnx").write_bytes(b"no model")
    (tmp_path / "junk.json").write_text(json.dumps(FACTS))
    (tmp_path / "toy.wav").write_bytes(b"")
    cases = [(tmp_path / "junk.onnx", "cannot be loaded"), (tmp_path / "toy.wav", "expected a file .onnx")]
    for path, says in cases:
        with pytest.raises(InputError) as caught:
            neural(speech[:8_000], PLAIN, np.random.default_rng(0), path)
        assert caught.value.code == "bad-vocoder"
        assert says in caught.value.message
    for change, says in (({"mels": 80}, "takes no mels"), ({"hop": 64}, "compare hop")):
        toy.with_suffix(".json").write_text(json.dumps(FACTS | change))
        with pytest.raises(InputError) as caught:
            neural(speech[:48_000], PLAIN, np.random.default_rng(0), toy)
        assert says in caught.value.message


@pytest.mark.parametrize("centre", [True, False])
@pytest.mark.parametrize("pad", ["constant", "reflect"])
def test_mels_are_those_of_transformers(speech, centre, pad):
    audio_utils = pytest.importorskip("transformers.audio_utils")
    audio = speech[16_000:32_000].astype(np.float64)
    facts = VocoderFacts(**FACTS | {"window": 400}, power=2, log="log10", centre=centre, pad=pad)
    padded = audio if centre else np.pad(audio, (512 - 128) // 2, mode=pad)
    theirs = audio_utils.spectrogram(
        padded,
        np.pad(audio_utils.window_function(400, "hann"), 56),
        512,
        128,
        fft_length=512,
        power=2.0,
        center=centre,
        pad_mode=pad,
        mel_filters=audio_utils.mel_filter_bank(257, 40, 0.0, 8_000.0, 16_000, "slaney", "slaney"),
        mel_floor=1e-5,
        log_mel="log10",
    )
    ours = mel_of(audio.astype(np.float32), facts)
    assert ours.shape == (40, 16_000 // 128 + centre)
    assert np.allclose(ours, theirs[:, : ours.shape[1]], atol=2e-3)


def test_mels_are_disturbed_in_decibels():
    facts = VocoderFacts(**FACTS)
    mel = np.random.default_rng(0).uniform(-5, 0, (40, 50)).astype(np.float32)
    assert np.array_equal(disturb(mel, PLAIN, facts, np.random.default_rng(0)), mel)
    steps = disturb(mel, Neural(1, 3.0, 0.0), facts, np.random.default_rng(0)) / np.log(10) * 20 / 3
    assert np.allclose(steps, np.round(steps), atol=1e-3)
    noisy = disturb(mel, Neural(1, 0.0, 2.0), facts, np.random.default_rng(0))
    assert ((noisy - mel) / np.log(10) * 20).std() == pytest.approx(2, rel=0.1)
    assert disturb(mel - 9, Neural(1, 0.0, 2.0), facts, np.random.default_rng(0)).min() >= np.log(1e-5) - 1e-4
    drawn = [draw_neural(np.random.default_rng(seed)) for seed in range(40)]
    assert 10 < drawn.count(PLAIN) < 30
