"""Live sound: verdicts while it comes, and one on the whole at the end."""

import io
import json
import os
import sys
import threading
from pathlib import Path

import av
import numpy as np
import pytest
from service_parts import MODEL

from earwitness import scan
from earwitness.errors import InputError
from earwitness.service import live, stream
from earwitness.service.keys import add_key
from earwitness.service.store import open_store

ASKED = {
    "format": "pcm_s16le",
    "sample_rate": 16_000,
    "channels": 1,
    "prior": 0.5,
    "model": None,
    "memory": 4 << 30,
    "max_duration_s": 60.0,
}


def pcm(audio):
    return (np.clip(audio, -1, 1) * 32767).astype("<i2").tobytes()


def recorded(audio, form):
    """Sound as a browser's MediaRecorder makes it: Opus in a stream of which nobody knows the end."""
    file = io.BytesIO()
    options = {"live": "1", "cluster_time_limit": "1000"} if form == "webm" else {}
    with av.open(Outgoing(file), "w", format=form, options=options) as out:
        stream = out.add_stream("libopus", rate=48_000, layout="mono")
        tripled = np.repeat(audio, 3)
        for start in range(0, len(tripled) // 960 * 960, 960):
            frame = av.AudioFrame.from_ndarray(tripled[None, start : start + 960].copy(), "flt", "mono")
            frame.sample_rate, frame.pts = 48_000, start
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return file.getvalue()


class Outgoing:
    """A file that can only be written to, as a socket."""

    def __init__(self, file):
        self.write = file.write


def hear(pieces, **asked):
    """What is said to pieces of sound; a number among them waits until so many verdicts came."""
    said, more = [], threading.Condition()
    reading, writing = os.pipe()

    def say(**value):
        with more:
            said.append(value)
            more.notify()

    def feed():
        with os.fdopen(writing, "wb", buffering=0) as out:
            for piece in pieces:
                if isinstance(piece, bytes):
                    view = memoryview(piece)
                    while view:
                        view = view[out.write(view) :]
                    continue
                with more:
                    heard = lambda: sum(one["event"] == "verdict" for one in said) >= piece  # noqa: B023, E731
                    assert more.wait_for(heard, 120)

    thread = threading.Thread(target=feed)
    thread.start()
    with os.fdopen(reading, "rb", buffering=0) as source:
        try:
            live.hear(source, {**ASKED, **asked}, say)
        finally:
            source.close()
            thread.join()
    return said


@pytest.mark.parametrize("form", ["pcm", "webm", "ogg"])
def test_verdicts_come_while_it_is_spoken_and_at_the_end_one_on_all(speech, form):
    audio = speech[: 16_000 * 9]
    stream = pcm(audio) if form == "pcm" else recorded(audio, form)
    cut = round(len(stream) * 0.55)
    pieces = [stream[i : i + 999] for i in range(0, cut, 999)]
    rest = [
        stream[i : i + 4000] for i in range(cut // 999 * 999 + (999 if cut % 999 else 0), len(stream), 4000)
    ]
    said = hear([*pieces, 1, *rest], format="pcm_s16le" if form == "pcm" else "container")
    assert said[0] == {"event": "ready"}
    verdicts = [one for one in said if one["event"] == "verdict"]
    assert len(verdicts) >= 2
    ends = [one["end_s"] for one in verdicts]
    assert ends == sorted(ends)
    assert 3 <= ends[0] <= 6
    assert all(0 <= one["end_s"] - one["start_s"] <= 10.01 for one in verdicts)
    assert all(0 <= one["p_fake"] <= 1 for one in verdicts if one["p_fake"] is not None)
    last = said[-1]
    assert (last["event"], last["record"]["path"]) == ("end", "live")
    assert last["record"]["duration_s"] == pytest.approx(9, abs=0.05)
    if form == "pcm":
        expected = scan(np.frombuffer(stream, "<i2").astype(np.float32) / 32768)
        assert last["record"]["verdict"] == expected.verdict
        assert last["record"]["score"] == pytest.approx(expected.score, abs=1e-3)


def test_other_rates_and_channels_are_brought_to_ours(speech):
    audio = np.repeat(speech[: 16_000 * 4], 2)
    both = np.stack([audio, audio], 1).ravel()
    (_, *_, last) = hear([pcm(both), b"\1"], sample_rate=32_000, channels=2)
    assert last["record"]["duration_s"] == pytest.approx(4, abs=0.01)
    assert (last["record"]["sample_rate"], last["record"]["channels"]) == (32_000, 2)


def test_silence_has_no_speech():
    said = hear([bytes(16_000 * 2 * 4)])
    assert {one["verdict"] for one in said if one["event"] == "verdict"} == {"no-speech"}
    assert said[-1]["record"]["verdict"] == "no-speech"


def test_a_stream_is_no_longer_than_others():
    with pytest.raises(Exception, match="longer"):
        hear([bytes(16_000 * 2 * 6)], max_duration_s=5.0)


def test_the_tape_gives_its_head_again_and_keeps_everything():
    reading, writing = os.pipe()
    os.write(writing, b"0123456789")
    os.close(writing)
    spool = io.BytesIO()
    with os.fdopen(reading, "rb", buffering=0) as source:
        tape = live.Tape(source, spool)
        assert tape.read(4) == b"0123"
        tape.seek(0)
        assert (tape.read(2), tape.read(100), tape.read(100), tape.read(5)) == (b"01", b"23", b"456789", b"")
    assert spool.getvalue() == b"0123456789"


# Over a WebSocket


@pytest.fixture
def listen(serve):
    def start(**options):
        client = serve(**options)
        return client, lambda: client.websocket_connect("/v1/stream", headers={"host": "127.0.0.1"})

    return start


@pytest.mark.parametrize(
    ("greeting", "code"),
    [
        ("hello", "usage"),
        ("{}", "usage"),
        ("null", "usage"),
        (b"bytes", "usage"),
        ('{"format": "mp3"}', "usage"),
        ('{"format": "pcm_s16le", "channels": 0}', "usage"),
        ('{"format": "pcm_s16le", "sample_rate": 1e9}', "usage"),
        ('{"format": "pcm_s16le", "prior": NaN}', "usage"),
        ('{"format": "pcm_s16le", "memory": 1}', "usage"),
        ('{"format": "pcm_s16le", "model": "../../etc"}', "model"),
        ('{"format": "pcm_s16le", "key": "ew_wrong"}', "unauthorised"),
    ],
)
def test_odd_greetings_are_refused(listen, greeting, code):
    client, connect = listen()
    with connect() as socket:
        (socket.send_bytes if isinstance(greeting, bytes) else socket.send_text)(greeting)
        said = socket.receive_json()
        assert (said["event"], said["code"]) == ("error", code)
        assert socket.receive()["type"] == "websocket.close"
    assert client.service.streams == 0


def test_clients_that_leave_before_they_greet_do_no_harm(listen):
    client, connect = listen()
    with connect():
        pass
    assert client.get("/v1/about").status_code == 200


def test_there_are_so_many_streams_and_no_more(listen):
    _, connect = listen(max_streams=0)
    with connect() as socket:
        socket.send_text('{"format": "pcm_s16le"}')
        assert socket.receive_json()["code"] == "busy"


def test_a_stream_needs_a_key_where_all_do(listen, tmp_path):
    token = add_key(open_store(tmp_path / "store").engine, "mic", "scan")
    _, connect = listen(max_streams=0)
    for key, code in ((None, "unauthorised"), ("ew_x", "unauthorised"), (token, "busy")):
        with connect() as socket:
            socket.send_text(json.dumps({"format": "pcm_s16le", "key": key}))
            assert socket.receive_json()["code"] == code


def test_a_stream_from_end_to_end(listen, speech):
    client, connect = listen()
    with connect() as socket:
        socket.send_text('{"format": "pcm_s16le", "prior": 0.1}')
        assert socket.receive_json() == {"event": "ready"}
        sound = pcm(speech[: 16_000 * 4])
        for start in range(0, len(sound), 8000):
            socket.send_bytes(sound[start : start + 8000])
        socket.send_text('{"end": true}')
        said = [socket.receive_json()]
        while said[-1]["event"] == "verdict":
            said.append(socket.receive_json())
        assert socket.receive()["type"] == "websocket.close"
    assert said[-1]["event"] == "end"
    assert said[-1]["record"]["prior"] == 0.1
    assert set(MODEL) <= set(said[-1]["record"]["model"])
    assert client.service.streams == 0


def test_noise_that_is_no_container_is_said_so(listen):
    client, connect = listen()
    with connect() as socket:
        socket.send_text('{"format": "container"}')
        assert socket.receive_json() == {"event": "ready"}
        socket.send_bytes(b"no sound " * 1000)
        socket.send_text('{"end": true}')
        said = socket.receive_json()
        assert (said["event"], said["code"]) == ("error", "not-audio")
    assert client.service.streams == 0


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_passwords_stay_with_the_service(listen, monkeypatch):
    monkeypatch.setenv("EARWITNESS_DATABASE", "postgresql://u:geheim@h/d")
    monkeypatch.setenv("EARWITNESS_CALLBACK_SECRET", "geheim")
    _, connect = listen()
    with connect() as socket:
        socket.send_text('{"format": "pcm_s16le"}')
        assert socket.receive_json() == {"event": "ready"}
        ours = Path(f"/proc/{os.getpid()}/task").glob("*/children")
        children = [Path(f"/proc/{pid}") for file in ours for pid in file.read_text().split()]
        (child,) = [one for one in children if b"service.live" in (one / "cmdline").read_bytes()]
        assert b"PATH=" in (child / "environ").read_bytes()
        assert b"geheim" not in (child / "environ").read_bytes() + (child / "cmdline").read_bytes()


def test_sound_that_drips_holds_no_stream_for_ever(listen, monkeypatch):
    monkeypatch.setattr(stream, "SILENCE_S", 1.0)
    client, connect = listen(max_duration_s=1.0)
    over = threading.Event()
    with connect() as socket:
        socket.send_text('{"format": "pcm_s16le"}')

        def drip():
            while not over.wait(0.1):
                socket.send_bytes(b"\0\0")

        thread = threading.Thread(target=drip)
        thread.start()
        try:
            while socket.receive()["type"] != "websocket.close":
                pass
        finally:
            over.set()
            thread.join()
    assert client.service.streams == 0


def test_errors_name_no_folder(monkeypatch, capfd, tmp_path):
    def fails(*_):
        raise InputError("unsupported", "/home/joe/secret/model.onnx: is odd")

    monkeypatch.setattr(live, "hear", fails)
    monkeypatch.setattr(live, "confine", lambda _: None)
    monkeypatch.setattr(sys, "argv", ["live", json.dumps(ASKED)])
    out = os.dup(1)
    try:
        live.main()
    finally:
        os.dup2(out, 1)
        os.close(out)
    said = json.loads(capfd.readouterr().out)
    assert said == {"event": "error", "code": "unsupported", "detail": "model.onnx: is odd"}
