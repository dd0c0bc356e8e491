"""OpenVINO beside ONNX Runtime on the same graphs."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from earwitness import ModelError
from earwitness.decision.bundle import EMBEDDED, GRAPH
from earwitness.decision.engines import open_graph
from earwitness.decision.openvino_engine import open_openvino, quantise, the_core

pytest.importorskip("openvino")


@pytest.fixture(scope="module")
def clips(speech):
    return [speech[:48_000], speech[20_000:100_000], speech[:48_000] * 0.1]


@pytest.fixture(scope="module")
def shipped():
    return open_openvino(EMBEDDED / GRAPH, "fp32", threads=1, streams=2)


def test_the_shipped_graph_says_the_same(shipped, clips):
    reference = open_graph(EMBEDDED / GRAPH)
    for clip in clips:
        found, wanted = shipped([clip]), reference([clip])
        np.testing.assert_allclose(found.score, wanted.score, atol=1e-3)
        np.testing.assert_allclose(found.frame_scores, wanted.frame_scores, atol=5e-3)
        np.testing.assert_allclose(found.embedding, wanted.embedding, atol=5e-3)


def test_padding_to_a_few_lengths_changes_nothing(shipped, clips):
    masked = open_openvino(EMBEDDED / GRAPH, "fp32", threads=1, streams=1, masked=True)
    for clip in (clips[0][:17_001], clips[1]):
        found, wanted = masked([clip]), shipped([clip])
        assert found.score == pytest.approx(wanted.score, abs=1e-3)
        frames = len(clip) // 320
        np.testing.assert_allclose(found.frame_scores[:, :frames], wanted.frame_scores[:, :frames], atol=5e-3)


def test_threads_do_not_mix_their_clips(shipped, clips):
    alone = [float(shipped([clip]).score[0]) for clip in clips]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(3):
            found = list(pool.map(lambda clip: float(shipped([clip]).score[0]), clips * 4))
            assert found == alone * 4


def test_an_answer_outlives_the_next(shipped, clips):
    first = shipped([clips[0]])
    kept = first.embedding.copy()
    shipped([clips[1]])
    np.testing.assert_array_equal(first.embedding, kept)


@pytest.mark.parametrize(("length", "size"), [(256, 256), (1024, 1024), (300, 256)])
def test_the_fourier_transform_is_numpys(tmp_path, length, size):
    onnx = pytest.importorskip("onnx")
    helper = onnx.helper
    node = helper.make_node("DFT", ["x", "size", "axis"], ["y"], onesided=1)
    numbers = [
        onnx.numpy_helper.from_array(np.array(value, np.int64), name)
        for name, value in (("size", size), ("axis", 2))
    ]
    ports = [
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
        for name, shape in (("x", [2, 3, length, 1]), ("y", None))
    ]
    graph = helper.make_graph([node], "g", ports[:1], ports[1:], numbers)
    path = tmp_path / "g.onnx"
    path.write_bytes(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)]).SerializeToString()
    )
    x = np.random.default_rng(0).standard_normal((2, 3, length, 1)).astype(np.float32)
    core = the_core()
    (found,) = core.compile_model(core.read_model(str(path)), "CPU")({"x": x}).values()
    wanted = np.fft.rfft(x[..., 0], size)
    np.testing.assert_allclose(found[..., 0] + 1j * found[..., 1], wanted, atol=1e-3)


def test_what_is_no_graph_is_refused(tmp_path):
    (tmp_path / "g.onnx").write_bytes(b"none")
    with pytest.raises(ModelError, match="cannot run it"):
        open_openvino(tmp_path / "g.onnx", "fp32", 1, 1)


def test_eight_bits_come_near(tmp_path, speech, monkeypatch):
    pytest.importorskip("nncf")
    from tiny import ARCHITECTURES, shake

    from earwitness.decision import openvino_engine
    from earwitness.decision.graph import write_graph
    from earwitness.decision.network import Blueprint, Network, fold_weight_norms

    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    network = Network(Blueprint("linear", ARCHITECTURES["wav2vec2-large"])).eval()
    shake(network, by=0.05)
    fold_weight_norms(network)
    write_graph(network, tmp_path / "model.onnx", 400)
    monkeypatch.setattr(openvino_engine, "LARGE", 1_000)
    monkeypatch.setattr(openvino_engine, "CHANNELS", 16)
    clips = [speech[start : start + 16_000] for start in range(0, 96_000, 12_000)]
    quantise(tmp_path / "model.onnx", clips[:4], tmp_path / "q.xml")
    assert b"FakeQuantize" in (tmp_path / "q.xml").read_bytes()
    narrow = open_openvino(tmp_path / "q.xml", "int8", 1, 1)
    wide = open_graph(tmp_path / "model.onnx")
    for clip in clips[4:]:
        a, b = narrow([clip]).embedding[0], wide([clip]).embedding[0]
        cosine = float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))
        assert 0.9 < cosine < 1 - 1e-9


@pytest.mark.skipif(sys.platform == "win32", reason="signals of the system")
def test_signals_are_heard_after_two_were_opened_and_let_go():
    code = f"""
import os, signal
import faulthandler  # whose stack is taken for the handlers of signals
faulthandler.enable()
from earwitness.decision.openvino_engine import open_openvino
first, second = (open_openvino({str(EMBEDDED / GRAPH)!r}, "fp32", 1, 1) for _ in range(2))
del first
del second
heard = []
signal.signal(signal.SIGUSR1, lambda *_: heard.append(1))
os.kill(os.getpid(), signal.SIGUSR1)
print(heard)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "[1]\n"), done.stderr
