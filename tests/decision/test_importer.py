"""Import: the authors' numbers come out, and nothing bad gets in."""

import argparse
import collections
import dataclasses
import io
import json
import os
import pickle
import pickletools
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("safetensors")

from fairseq_layout import Layout, detector_state, logits, random_state  # noqa: E402
from safetensors.torch import save_file  # noqa: E402

from earwitness import load_detector  # noqa: E402
from earwitness.decision.bundle import read_card  # noqa: E402
from earwitness.decision.importer import import_model  # noqa: E402
from earwitness.decision.scoring import score_clips  # noqa: E402
from earwitness.errors import ModelError  # noqa: E402

TINY = Layout("wav2vec2", 48, 2, 4, 64, 32, True, "layer", True, 16, 4, final_dim=16, latent_vars=8)


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A models folder of this test's own."""
    monkeypatch.setenv("EARWITNESS_MODELS", str(tmp_path / "models"))
    return tmp_path / "models"


@pytest.fixture(scope="module")
def state() -> dict:
    generator = torch.Generator().manual_seed(4)
    return detector_state(random_state(TINY, generator), generator, 48)


def save(path: Path, content, legacy: bool = False) -> Path:
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    return path


def clips() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.normal(0.01, 0.1, n).astype(np.float32) for n in (16_000, 9_999, 400, 14_500)]


@pytest.mark.parametrize("container", ["zip", "legacy", "safetensors", "wrapped", "half"])
def test_a_detector_gives_the_scores_of_an_independent_implementation(tmp_path, state, container):
    path = tmp_path / "detector.ckpt"
    if container == "safetensors":
        save_file(state, path)
    elif container == "half":
        save(path, {name: tensor.half() for name, tensor in state.items()})
    else:
        content = {"model": {f"module.{n}": t for n, t in state.items()}} if container == "wrapped" else state
        save(path, content, legacy=container == "legacy")
    card = import_model(path, "tiny", heads=4)
    assert card["parameters"] == sum(
        t.numel()
        for n, t in state.items()
        if not n.startswith(
            tuple(f"m_ssl.model.{p}" for p in ("quantizer", "project_q", "final_proj", "mask_emb"))
        )
    )
    detector = load_detector("tiny")
    tolerance = 0.02 if container == "half" else 1e-5
    for clip, scored in zip(clips(), score_clips(detector, clips()), strict=True):
        fake, real = logits(TINY, state, torch.from_numpy(clip))
        assert scored.score == pytest.approx(float(real - fake), abs=tolerance)
        assert scored.frame_scores.mean() == pytest.approx(scored.score, abs=1e-5)
        assert len(scored.frame_scores) == (len(clip) - 400) // 320 + 1


@pytest.mark.shared
@pytest.mark.parametrize("name", ["w2v_small", "mms_300m", "hubert_xlarge_ll60k"])
def test_the_authors_own_numbers_come_out(shared, name):
    folder = shared / "reference" / "importer" / name
    import_model(folder / "detector.ckpt", name.replace("_", "-"), heads=4)
    detector = load_detector(name.replace("_", "-"))
    with np.load(folder / "waves.npz") as waves, np.load(folder / "expected.npz") as expected:
        audio = [waves[key] for key in waves.files]
        for i, scored in enumerate(score_clips(detector, audio)):
            fake, real = expected[f"logits_{i}"].ravel()
            assert scored.score == pytest.approx(real - fake, abs=2e-5)
            np.testing.assert_allclose(scored.embedding, expected[f"emb_{i}"].ravel(), atol=2e-5)


@pytest.mark.shared
def test_a_pretrained_file_with_a_pickled_namespace_becomes_a_front_end(shared):
    card = import_model(shared / "reference" / "importer" / "w2v_small" / "ssl_fairseq.pt", "ssl", heads=4)
    assert card["architecture"]["head"] is None
    with pytest.raises(ModelError, match="front end without a head"):
        load_detector("ssl")


def test_configuration_objects_beside_the_tensors_are_passed_over(tmp_path, state):
    body = {n.removeprefix("m_ssl.model."): t for n, t in state.items() if n.startswith("m_ssl")}
    args = argparse.Namespace(arch="wav2vec2", where=Path("/x"), seen={1, 2}, score=np.float64(0.5))
    history = collections.defaultdict(dict, {"a": {"b": 1}})
    content = {"args": args, "cfg": history, "best": np.zeros(3), "when": b"x", "model": body}
    content["words"] = list(range(300_000))  # as long vocabularies are: filled a thousand at a time
    for legacy in (False, True):
        card = import_model(save(tmp_path / "ssl.pt", content, legacy), f"ssl-{legacy}", heads=4)
        assert card["source"]["layout"] == "fairseq"


def test_a_folder_of_transformers_becomes_a_front_end(tmp_path):
    from tiny import ARCHITECTURES

    from earwitness.features.frontends import make_body

    make_body(ARCHITECTURES["wavlm-large"]).save_pretrained(tmp_path / "folder")
    card = import_model(tmp_path / "folder", "wavlm")
    found = card["architecture"]["front_end"]
    assert (found["family"], found["heads"], found["pre_norm"]) == ("wavlm", 4, True)


@pytest.mark.shared
@pytest.mark.parametrize("size", ["AASIST", "AASIST-L"])
def test_aasist_is_imported_and_scans(shared, samples, size):
    from earwitness import scan

    card = import_model(shared / "reference" / f"{size}.pth", size.lower())
    assert card["parameters"] == {"AASIST": 297_866, "AASIST-L": 85_306}[size]
    verdict = scan(samples / "genuine-librispeech.flac", model=size.lower(), timeline=True)
    assert verdict.llr is not None
    assert len(verdict.windows) == 3  # ten seconds in windows of four
    assert verdict.timeline is None
    assert not verdict.spans


# ---------------------------------------------------------------- damaged, foreign and hostile files

MARK = "executed.txt"


class Runs:
    """A pickle of it writes a file when it is loaded carelessly."""

    def __init__(self, where: Path) -> None:
        self.where = where

    def __reduce__(self):
        return os.system, (f"touch {self.where / MARK}",)


def edited(change):
    """A maker of a detector with something changed in its state."""

    def make(folder: Path, state: dict) -> Path:
        content = dict(state)
        change(content)
        return save(folder / "model.ckpt", content)

    return make


def written(data: bytes):
    """A maker of a file with these bytes."""

    def make(folder: Path, state: dict) -> Path:
        (folder / "model.ckpt").write_bytes(data)
        return folder / "model.ckpt"

    return make


def cut(legacy: bool = False, tensors: bool = False):
    """A maker of a file that ends half-way."""

    def make(folder: Path, state: dict) -> Path:
        path = folder / "model.ckpt"
        if tensors:
            save_file(state, path)
        else:
            save(path, state, legacy)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        return path

    return make


def saved(content):
    """A maker of a torch file that holds something else."""
    return lambda folder, state: save(folder / "model.ckpt", content)


def hostile(legacy: bool = False, plain: bool = False, protocol: int = 2, beside: bool = False):
    """A maker of a file whose pickle would run a command."""

    def make(folder: Path, state: dict) -> Path:
        path, load = folder / "model.ckpt", Runs(folder)
        if plain:
            path.write_bytes(pickle.dumps(load, protocol=protocol))
            return path
        content = {"model": state, "args": load} if beside else {**state, "m_ssl.model.mask_emb": load}
        torch.save(content, path, pickle_protocol=protocol, _use_new_zipfile_serialization=not legacy)
        return path

    return make


def packed_bomb(folder: Path, state: dict) -> Path:
    path = folder / "model.ckpt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model/data.pkl", pickle.dumps({}, protocol=2))
        archive.writestr("model/data/0", bytes(300 << 20))
    return path


def overlapping_bomb(folder: Path, state: dict) -> Path:
    """A central directory that names the same stored megabytes fifty times."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("model/data.pkl", pickle.dumps({}, protocol=2))
        archive.writestr("model/data/0", bytes(1 << 20))
        first = archive.infolist()[1]
        for i in range(1, 50):
            twin = zipfile.ZipInfo(f"model/data/{i}")
            for field in ("CRC", "compress_size", "file_size", "header_offset", "compress_type"):
                setattr(twin, field, getattr(first, field))
            archive.filelist.append(twin)
            archive.NameToInfo[twin.filename] = twin
        archive._didModify = True
    (folder / "model.ckpt").write_bytes(buffer.getvalue())
    return folder / "model.ckpt"


def other_zip(folder: Path, state: dict) -> Path:
    with zipfile.ZipFile(folder / "model.ckpt", "w") as archive:
        archive.writestr("word/document.xml", "<w/>")
    return folder / "model.ckpt"


def flipped(folder: Path, state: dict) -> Path:
    """A safetensors file whose header promises tensors beyond its end."""
    header = json.dumps({"a": {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 1 << 42]}}).encode()
    (folder / "model.ckpt").write_bytes(struct.pack("<Q", len(header)) + header)
    return folder / "model.ckpt"


def script(folder: Path, state: dict) -> Path:
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), folder / "model.ckpt")
    return folder / "model.ckpt"


def crafted(body: bytes):
    """A maker of a torch file whose pickle is these operations."""

    def make(folder: Path, state: dict) -> Path:
        with zipfile.ZipFile(folder / "model.ckpt", "w") as archive:
            archive.writestr("archive/data.pkl", b"\x80\x02" + body + b".")
            archive.writestr("archive/version", "3\n")
        return folder / "model.ckpt"

    return make


def twins(folder: Path, state: dict) -> Path:
    """Two entries that a reader without regard for case takes for one."""
    path = save(folder / "model.ckpt", state)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("model/DATA.PKL", b"\x80\x02}.")
    return path


def flip_a_bit(folder: Path, state: dict) -> Path:
    path = save(folder / "model.ckpt", state)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    return path


def unread_storage(folder: Path, state: dict) -> Path:
    """A stream of pickles whose list of stored keys is empty."""
    path = save(folder / "model.ckpt", state, legacy=True)
    data = path.read_bytes()
    with path.open("rb") as file:
        for _ in range(4):
            list(pickletools.genops(file))
        start = file.tell()
    path.write_bytes(data[:start] + pickle.dumps([], protocol=2))
    return path


def negative_view(content: dict) -> None:
    content["proj_fc.bias"] = torch._neg_view(torch.ones(2))


def folder_of(config: str | None, weights: dict | None):
    """A maker of a folder as transformers would save it."""

    def make(folder: Path, state: dict) -> Path:
        place = folder / "folder"
        place.mkdir()
        if config is not None:
            (place / "config.json").write_text(config)
        if weights is not None:
            save_file(weights, place / "model.safetensors")
        return place

    return make


def fifo(folder: Path, state: dict) -> Path:
    os.mkfifo(folder / "model.ckpt")
    return folder / "model.ckpt"


def pipe_folder(folder: Path, state: dict) -> Path:
    place = folder / "folder"
    place.mkdir()
    save_file({"a": torch.zeros(2)}, place / "model.safetensors")
    os.mkfifo(place / "config.json")
    return place


A, P = "m_ssl.model.", torch.zeros(3)
BAD = {
    "empty": (written(b""), "is empty"),
    "text": (written(b"hello, this is not a model at all\n"), "looks like text"),
    "wav": (written(b"RIFF\x24\0\0\0WAVEfmt " + bytes(64)), "WAV recording"),
    "web page": (written(b"<!DOCTYPE html><html>404</html>"), "web page"),
    "lfs pointer": (written(b"version https://git-lfs.github.com/spec/v1\noid"), "git lfs pull"),
    "gzip": (written(b"\x1f\x8b\x08" + bytes(90)), "gzip"),
    "json": (written(b'{"a": 1}' + b" " * 90), "JSON"),
    "noise": (written(np.random.default_rng(0).bytes(4_000)), "looks like no kind known here"),
    "onnx": (written(b"\x08\x0a\x12\x07pytorch" + bytes(90)), "ONNX"),
    "language model": (written(b"GGUF" + bytes(90)), "GGUF"),
    "cut zip": (cut(), "damaged or truncated"),
    "cut stream": (cut(legacy=True), "damaged or truncated"),
    "cut safetensors": (cut(tensors=True), "damaged or truncated"),
    "lying safetensors": (flipped, "damaged or truncated"),
    "endless header": (written(struct.pack("<Q", 1 << 60) + b"{" + bytes(90)), "looks like"),
    "another zip": (other_zip, "not one that torch wrote"),
    "packed bomb": (packed_bomb, "refused unopened"),
    "overlapping bomb": (overlapping_bomb, "refused unopened"),
    "torchscript": (script, "TorchScript"),
    "hostile": (hostile(), "would run posix.system"),
    "hostile beside the tensors": (hostile(beside=True), "would run posix.system"),
    "hostile stream": (hostile(legacy=True), "would run posix.system"),
    "hostile pickle": (hostile(plain=True), "would run posix.system"),
    "hostile new pickle": (hostile(plain=True, protocol=4), "would run posix.system"),
    "hostile new zip": (hostile(protocol=4), "would run posix.system"),
    "a list": (saved([torch.zeros(2)]), "holds a list"),
    "a number among them": (edited(lambda s: s.update(epoch=3)), "holds 'epoch', a int"),
    "tensor missing": (
        edited(lambda s: s.pop(A + "encoder.layers.1.fc1.bias")),
        "lacks encoder.layers.1.feed_forward",
    ),
    "layer missing": (
        edited(lambda s: [s.pop(n) for n in list(s) if ".layers.0.fc" in n or ".layers.0.self" in n]),
        "lacks",
    ),
    "head missing": (edited(lambda s: s.pop("proj_fc.bias")), "lacks proj_fc.bias"),
    "pre-training part missing": (edited(lambda s: s.pop(A + "quantizer.vars")), "lacks quantizer.vars"),
    "tensor too many": (edited(lambda s: s.update({A + "encoder.extra": P})), "encoder.extra"),
    "head too many": (edited(lambda s: s.update({"proj_fc2.weight": P})), "proj_fc2.weight"),
    "layers too many": (
        edited(lambda s: s.update({A + "encoder.layers.7.fc1.bias": P})),
        "lacks encoder.layers.2",
    ),
    "three classes": (edited(lambda s: s.update({"proj_fc.weight": torch.zeros(3, 48)})), "has the shape"),
    "transposed": (
        edited(lambda s: s.update({A + "encoder.layers.0.fc1.weight": torch.zeros(48, 64)})),
        "has the shape",
    ),
    "nan": (edited(lambda s: s.update({"proj_fc.bias": torch.tensor([0.0, float("nan")])})), "NaN"),
    "infinite": (
        edited(lambda s: s.update({A + "layer_norm.weight": torch.full((32,), float("inf"))})),
        "infinite",
    ),
    "nan where unused": (
        edited(lambda s: s.update({A + "mask_emb": torch.full((48,), float("nan"))})),
        "NaN",
    ),
    "integers": (edited(lambda s: s.update({"proj_fc.bias": torch.tensor([1, 2])})), "int64"),
    "a claim": (
        edited(lambda s: s.update({"proj_fc.weight": torch.zeros(1).expand(1 << 20, 1 << 20)})),
        "claims",
    ),
    "whisper": (saved({"model_state_dict": {"encoder.blocks.0.attn.query.weight": P}}), "OpenAI's Whisper"),
    "speech recogniser": (saved({"model": {"w2v_encoder.w2v_model.mask_emb": P}}), "speech recogniser"),
    "vocoder": (saved({"conv_pre.weight": P, "ups.0.bias": P}), "a vocoder"),
    "aasist without a tensor": (saved({"GAT_layer_S.att_weight": P}), "model.ckpt"),
    "folder without weights": (folder_of("{}", None), "no model.safetensors or pytorch_model.bin"),
    "folder of a text model": (folder_of('{"model_type": "bert"}', {"embeddings.x": P}), "type bert"),
    "folder with a broken configuration": (folder_of("{", {"a": P}), "not readable as JSON"),
    "folder of half a model": (
        folder_of('{"model_type": "hubert"}', {"feature_projection.projection.weight": torch.zeros(48, 32)}),
        "lacks",
    ),
    "endless nesting": (crafted(b"}" + b")" + b"\x85" * 100_000 + b"Ns"), "nests or repeats"),
    "repeated doubling": (crafted(b"}" + b")q\x00" + b"h\x00\x86q\x00" * 60 + b"Ns"), "nests or repeats"),
    "too many operations": (crafted(b"}" + b"N0" * 1_100_000), "operations"),
    "two readings": (twins, "not one that torch wrote"),
    "a flipped bit": (flip_a_bit, "checksum"),
    "storage that is not there": (unread_storage, "model.ckpt"),
    "a view with the sign turned": (edited(negative_view), "not plain"),
    "nothing in a tensor": (edited(lambda s: s.update({A + "mask_emb": torch.zeros(0)})), "is empty"),
    "eight bits": (
        edited(lambda s: s.update({A + "mask_emb": torch.zeros(48).to(torch.float8_e4m3fn)})),
        "float8",
    ),
    "a trap for get": (
        crafted(b"ccollections\nOrderedDict\n)R}X\x03\0\0\0getK\x01sb"),
        "not a state of named tensors",
    ),
    "odd sizes": (
        edited(lambda s: s.update({A + "encoder.pos_conv.0.weight_v": torch.zeros(48, 5, 16)})),
        "sizes",
    ),
    "the same twice": (
        edited(lambda s: s.update({"module.proj_fc.bias": s["proj_fc.bias"] + 1})),
        "there twice",
    ),
    "folder with a pipe for configuration": (pipe_folder, "no such file"),
    "a pipe": (fifo, "not a regular file"),
    "nothing": (lambda folder, state: folder / "missing.ckpt", "cannot be read"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_refused_in_one_sentence_and_leaves_nothing(tmp_path, home, state, name):
    make, expected = BAD[name]
    source = make(tmp_path, state)
    with pytest.raises(ModelError) as caught:
        import_model(source, "bad", heads=4)
    message = str(caught.value)
    assert expected in message
    assert "\n" not in message
    assert str(tmp_path) in message  # which file
    assert len(message) < 400
    assert not (tmp_path / MARK).exists()
    assert not home.exists() or not list(home.iterdir())


def test_there_are_thirty_bad_files_and_more():
    assert len(BAD) >= 30


def test_names_that_are_taken_or_none_are_refused(tmp_path, state):
    path = save(tmp_path / "model.ckpt", state)
    import_model(path, "mine", heads=4)
    for name, message in (("mine", "there already"), ("../mine", "cannot be"), ("embedded", "cannot be")):
        with pytest.raises(ModelError, match=message):
            import_model(path, name, heads=4)
    assert read_card(Path(os.environ["EARWITNESS_MODELS"]) / "mine")["name"] == "mine"


def test_an_altered_bundle_is_refused(tmp_path, home, state):
    import_model(save(tmp_path / "model.ckpt", state), "mine", heads=4)
    weights = home / "mine" / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-5] ^= 1
    weights.write_bytes(data)
    with pytest.raises(ModelError, match="altered"):
        load_detector("mine")


def test_deeper_models_import_by_the_table_of_widths(tmp_path):
    layout = dataclasses.replace(TINY, width=768, layers=1, ffn=32)
    generator = torch.Generator().manual_seed(0)
    content = detector_state(random_state(layout, generator), generator, 768)
    card = import_model(save(tmp_path / "model.ckpt", content), "wide")
    assert card["architecture"]["front_end"]["heads"] == 12


def test_tensors_that_share_their_memory_are_written_apart(tmp_path, home, state):
    content = dict(state)
    first = content["m_ssl.model.encoder.layers.0.fc1.weight"]
    content["m_ssl.model.encoder.layers.1.fc1.weight"] = first
    card = import_model(save(tmp_path / "model.ckpt", content), "shared", heads=4)
    assert (home / "shared" / "model.safetensors").stat().st_size > 4 * card["parameters"]


HOSTILE_CARDS = {
    "endless windows": {"windowing": {"whole_s": 1e-9, "window_s": 1e-9, "hop_s": 1e-9}},
    "endless whole": {"windowing": {"whole_s": float("inf"), "window_s": 12.0, "hop_s": 8.0}},
    "negative length": {"input": {"min_samples": -5}},
    "huge length": {"input": {"min_samples": 10**9}},
    "no steps": {"output": {"frame_hop_s": None, "frame_length_s": None, "timeline_s": 0}},
    "thresholds in words": {"thresholds": {"fake": "high", "genuine": "low"}},
    "no thresholds": {"thresholds": {}},
    "a word for an architecture": {"architecture": "x"},
    "a list for a head": {"architecture": {"front_end": None, "states": [], "head": ["x"], "options": {}}},
    "a head in the wrong place": {"architecture": {"head": "rawnet2"}},
    "a million layers": {"architecture": {"front_end": {"layers": 10**6}}},
    "endless width": {"architecture": {"front_end": {"width": 10**12}}},
    "unknown family": {"architecture": {"front_end": {"family": "gpt"}}},
    "words for parameters": {"parameters": "x"},
    "a file elsewhere": {"files": {"../model.safetensors": "0" * 64}},
}


@pytest.mark.parametrize("name", HOSTILE_CARDS)
def test_a_hostile_card_is_refused_in_one_sentence(tmp_path, home, state, name):
    from earwitness.operations.models import export_model, list_models

    import_model(save(tmp_path / "model.ckpt", state), "mine", heads=4)
    path = home / "mine" / "model.json"
    card = json.loads(path.read_text())
    for key, value in HOSTILE_CARDS[name].items():
        if key == "architecture" and isinstance(value, dict):
            front_end = value.get("front_end")
            merged = {**card["architecture"]["front_end"], **front_end} if front_end else None
            kept = card["architecture"]["front_end"] if "front_end" not in value else merged
            card[key] = {**card[key], **value, "front_end": kept}
        else:
            card[key] = value
    path.write_text(json.dumps(card))
    with pytest.raises(ModelError) as caught:
        load_detector("mine")
    assert "\n" not in str(caught.value)
    with pytest.raises(ModelError):
        export_model("mine")
    assert len(list_models()) == 2


def test_a_graph_that_reads_a_file_beside_it_needs_the_card_to_name_it(tmp_path):
    import shutil

    onnx = pytest.importorskip("onnx")

    from earwitness.decision.bundle import EMBEDDED, file_digest
    from earwitness.decision.engines import outside

    assert outside(EMBEDDED / "model.onnx") == set()
    shutil.copytree(EMBEDDED, tmp_path / "bundle")
    graph = tmp_path / "bundle" / "model.onnx"
    model = onnx.load(graph)
    onnx.save_model(model, graph, save_as_external_data=True, location="other.bin", size_threshold=1024)
    assert outside(graph) == {"other.bin"}
    card = json.loads((tmp_path / "bundle" / "model.json").read_text())
    card["files"] = {"model.onnx": file_digest(graph)}
    (tmp_path / "bundle" / "model.json").write_text(json.dumps(card))
    with pytest.raises(ModelError, match="does not pin"):
        load_detector(tmp_path / "bundle")
