"""The process that decodes and scores: within its limits, and telling strangers nothing of this machine."""

import base64
import gzip
import io
import json
import struct
import subprocess
import sys
import zlib
from contextlib import contextmanager

import numpy as np
import pytest
from service_parts import OPTIONS

from earwitness import scan
from earwitness.audio.io import load
from earwitness.evidence.verdict import to_record
from earwitness.service import worker
from earwitness.service.worker import PEAKS, Settings, serve, unpacked, without_paths

NOTHING = {"not-audio", "no-audio-track", "damaged", "truncated"}
SETTINGS = Settings(4 << 30, 100.0)


def ask(*requests, settings=SETTINGS):
    """What a worker says to requests, without the signs of life."""
    lines = "".join(json.dumps(request) + "\n" for request in requests)
    said = io.StringIO()
    serve(io.BytesIO(lines.encode()), said, settings)
    ready, *answers = [json.loads(line) for line in said.getvalue().splitlines()]
    assert ready == {"ready": True}
    return [answer for answer in answers if "heard" not in answer]


def asked(*files, **options):
    jobs = [{"path": str(file), "name": file.name} for file in files]
    return {"do": "scan", "jobs": jobs, "options": {**OPTIONS, **options}}


def one(file, **settings):
    """The record of one file."""
    (said,) = ask(asked(file), settings=Settings(**{"memory": 4 << 30, "max_duration_s": 100.0, **settings}))
    (answer,) = said["done"]
    return answer if "elsewhere" in answer else answer["record"]


def test_it_answers_as_the_scan_does(samples):
    files = [
        samples / "genuine-ljspeech.flac",
        samples / "generated-vocos-bark.flac",
        samples / "pink-noise.flac",
    ]
    (said,) = ask(asked(*files, prior=0.2))
    for file, answer in zip(files, said["done"], strict=True):
        expected = to_record(scan(file, prior=0.2, timeline=True))
        found = answer["record"]
        assert found["path"] == file.name
        for key in ("sha256", "verdict", "prior", "codec", "duration_s", "model", "rule"):
            assert found[key] == expected[key], key
        assert found["score"] == (expected["score"] and pytest.approx(expected["score"], abs=1e-4))
    assert said["done"][2]["heard"] is None
    heard = unpacked(base64.b64decode(said["done"][0]["heard"]))
    assert np.linalg.norm(heard.embeddings, axis=1) == pytest.approx(1, abs=1e-5)
    assert len(heard.starts_s) == len(heard.embeddings)


def test_packed_arrays_are_never_unpickled():
    file = io.BytesIO()
    np.savez(file, embeddings=np.array([{}], dtype=object), starts_s=np.zeros(1), profile=np.zeros(0))
    with pytest.raises(ValueError, match="pickle"):
        unpacked(file.getvalue())


def test_long_recordings_are_left_by_the_short_lane(write, speech):
    file = write("long.wav", np.tile(speech[:16_000], 6))
    assert one(file, short_s=3.0) == {"elsewhere": True}
    assert one(file, short_s=8.0)["verdict"] != "error"


def test_what_is_too_long_is_cut_whether_its_head_says_so_or_not(tmp_path):
    import av
    import soundfile

    soundfile.write(tmp_path / "a.flac", np.zeros(16_000 * 600, np.int16), 16_000)
    silent = bytearray((tmp_path / "a.flac").read_bytes())
    silent[21] &= 0xF0  # 36 bits of the head: how many samples there are; 0 says nothing of it
    silent[22:26] = bytes(4)
    (tmp_path / "c.flac").write_bytes(silent)
    with av.open(str(tmp_path / "b.ogg"), "w") as out:
        stream = out.add_stream("libopus", rate=48_000, layout="mono")
        for start in range(0, 200):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 48_000), np.int16), "s16", "mono")
            frame.sample_rate, frame.pts = 48_000, start * 48_000
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    for name in ("a.flac", "b.ogg", "c.flac"):
        assert (tmp_path / name).stat().st_size < 100_000
        record = one(tmp_path / name)
        assert (record["verdict"], record["error"]["code"]) == ("error", "too-long")
        for do in ("wav", "peaks"):
            out = tmp_path / "out"
            request = {"do": do, "path": str(tmp_path / name), "name": name, "out": str(out)}
            (said,) = ask(request)
            assert said["failed"]["code"] == "too-long"
            assert not out.exists()


def wav(channels, rate, data, size=None):
    head = struct.pack(
        "<HHIIHH", 1, channels, rate, rate * 2 * channels & 0xFFFFFFFF, 2 * channels & 0xFFFF, 16
    )
    length = len(data) if size is None else size
    chunks = b"WAVEfmt " + struct.pack("<I", 16) + head + b"data" + struct.pack("<I", length) + data
    return b"RIFF" + struct.pack("<I", min(36 + length, 0xFFFFFFFF)) + chunks


def atom(kind, content):
    return struct.pack(">I4s", 8 + len(content), kind) + content


def squeezed(claimed, size):
    """A film whose directory unpacks to `size` zeros and says that these are `claimed`."""
    inner = atom(b"dcom", b"zlib") + atom(b"cmvd", struct.pack(">I", claimed) + zlib.compress(bytes(size)))
    return atom(b"ftyp", b"qt  \0\0\0\0qt  ") + atom(b"moov", atom(b"cmov", inner))


@pytest.mark.parametrize(
    ("content", "codes"),
    [
        (squeezed(0xFFFFFFF0, 1 << 20), NOTHING),
        (squeezed(0x7FFFFF00, 1 << 26), NOTHING),
        (squeezed(1 << 26, 1 << 26), NOTHING),
        (b"PK\3\4" + zlib.compress(bytes(1 << 20)), {"not-audio"}),
        (gzip.compress(bytes(1 << 26)), {"not-audio"}),
        (b"sound", {"not-audio"}),
        (b"\0" * 100_000, {"not-audio"}),
        (b"#EXTM3U\nfile:///etc/passwd\n", {"not-audio"}),
        (b"ffconcat version 1.0\nfile /etc/passwd\n", {"not-audio"}),
        (b"fLaC" + b"\xff" * 5000, {"not-audio", "damaged"}),
        (wav(64, 768_000, b"\1\0" * 64 * 7680), {None, "no-speech"}),
        (wav(65_535, 16_000, b"\1\0" * 65_535 * 4), {"unsupported", "no-audio-track"}),
        (wav(1, 4_000_000_000, b"\1\0" * 100), {"unsupported", "not-audio", "damaged"}),
        (wav(1, 16_000, b"\1\0" * 100, 0x0FFFFFF0), {"too-long", "truncated"}),
        (wav(1, 16_000, b"\1\0" * 100, 0xFFFFFFF0), {None}),  # as a stream without a length says
    ],
)
def test_hostile_files_are_answered_and_kill_nothing(tmp_path, content, codes):
    (tmp_path / "x").write_bytes(content)
    record = one(tmp_path / "x")
    assert record["verdict"] in ("error", "no-speech")
    assert (record["error"] or {}).get("code") in codes
    assert str(tmp_path) not in json.dumps(record)


def test_what_nobody_foresaw_is_answered_without_details(monkeypatch, samples, tmp_path, capsys):
    def fails(*_, **__):
        raise RuntimeError("/home/joe/secret")

    monkeypatch.setitem(worker.MAKERS, "wav", fails)
    monkeypatch.setattr(worker, "scan_group", fails)
    first, second = ask({"do": "wav"}, asked(samples / "pink-noise.flac"))
    assert first["failed"]["code"] == second["failed"]["code"] == "internal"
    assert "joe" not in json.dumps([first, second])
    assert "/home/joe/secret" in capsys.readouterr().err


def test_errors_inside_a_file_are_told_without_details(monkeypatch, samples):
    def fails(*_, **__):
        raise OSError("cannot open /home/joe/secret/model.onnx")

    monkeypatch.setattr("earwitness.operations.hearing.listen", fails)
    error = one(samples / "pink-noise.flac")["error"]
    assert error["code"] == "internal"
    assert "joe" not in error["message"]
    assert "OSError" in error["message"]


def test_no_memory_ends_the_process(monkeypatch):
    def fails(*_):
        raise MemoryError

    monkeypatch.setitem(worker.MAKERS, "wav", fails)
    with pytest.raises(MemoryError):
        ask({"do": "wav"})


@pytest.mark.parametrize(
    ("sentence", "kept"),
    [
        ("/home/joe/known.db: is damaged", "known.db: is damaged"),
        (
            "cannot read '/a/b/c.onnx' (see postgresql://u:pw@db1:5432/base)",
            "cannot read 'c.onnx' (see base)",
        ),
        ("C:\\Users\\joe\\known.db: is damaged", "known.db: is damaged"),
        ("about 3/4 of it; 24 h/day and/or more", "about 3/4 of it; 24 h/day and/or more"),
        ("cut off: 1.5 s", "cut off: 1.5 s"),
    ],
)
def test_sentences_for_strangers_name_no_folders(sentence, kept):
    assert without_paths(sentence) == kept


def test_bases_of_earlier_requests_are_closed(monkeypatch):
    events = []

    @contextmanager
    def consulted(detector, options):
        events.append(("open", options))
        yield lambda verdict: verdict
        events.append(("close", options))

    monkeypatch.setattr(worker, "consulted", consulted)
    detector = type("D", (), {"id": "x"})()
    with worker.Consultants() as consultants:
        for prior in (0.1, 0.1, 0.2, 0.3):
            consultants.of(detector, prior)
    assert events == [(what, prior) for prior in (0.1, 0.2, 0.3) for what in ("open", "close")]


def test_wav_and_peaks_are_of_what_was_heard(samples, tmp_path):
    import soundfile

    source = samples / "genuine-vctk.mp3"
    request = {"path": str(source), "name": source.name}
    wav_out, peaks_out = tmp_path / "a.wav", tmp_path / "a.json"
    assert ask(
        {"do": "wav", **request, "out": str(wav_out)}, {"do": "peaks", **request, "out": str(peaks_out)}
    ) == [
        {"done": {}},
        {"done": {}},
    ]
    heard = load(source)
    audio, rate = soundfile.read(wav_out, dtype="float32")
    assert rate == 16_000
    assert audio == pytest.approx(heard, abs=1e-4)
    outline = json.loads(peaks_out.read_text())
    assert outline["duration_s"] == pytest.approx(len(heard) / 16_000, abs=1e-3)
    peaks = np.array(outline["peaks"])
    assert len(peaks) <= PEAKS
    assert peaks.max() == pytest.approx(min(1.0, np.abs(heard).max()), abs=1e-3)
    loud = np.abs(heard[: len(heard) // 160 * 160]).reshape(-1, 160).max(1)
    expected = [part.max() for part in np.array_split(loud, min(PEAKS, len(loud)))]
    assert np.corrcoef(peaks[: len(expected)], expected[: len(peaks)])[0, 1] > 0.95


@pytest.mark.skipif(sys.platform != "linux", reason="limits are the system's")
def test_memory_and_files_are_limited(tmp_path):
    code = """
import resource
from earwitness.service.worker import Settings, confine
confine(Settings(900 << 20, 1.0, niceness=3))
import os
assert os.nice(0) >= 3
assert open("/proc/self/oom_score_adj").read() == "1000\\n"
assert resource.getrlimit(resource.RLIMIT_CORE) == (0, 0)
assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == 4 << 30
try:
    bytearray(1 << 30)
except MemoryError:
    print("no memory")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout == "no memory\n", done.stderr
