"""What comes in: durable, bounded in size and time, and nothing is left of what fails."""

import errno
import hashlib
import socket
import threading
import time
from contextlib import suppress
from select import select

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from service_parts import ScriptedCrew
from test_guard import problem

from earwitness.service import analyses, uploads
from earwitness.service.forms import Form


def left(service):
    """Files in the folder of audio."""
    return sorted(file.name for file in service.store.folder.iterdir())


def form(*parts, boundary="XX", end=True):
    """A form of (head, content) as bytes."""
    body = b"".join(b"--XX\r\n%s\r\n\r\n%s\r\n" % (head, content) for head, content in parts)
    return body.replace(b"XX", boundary.encode()) + (f"--{boundary}--\r\n".encode() if end else b"")


def send_form(client, body, where="/v1/analyses", kind="multipart/form-data; boundary=XX"):
    return client.post(where, content=body, headers={"content-type": kind})


FILE = b'Content-Disposition: form-data; name="file"; filename="a.wav"\r\nContent-Type: audio/wav'


def test_bodies_and_forms_come_to_lie_as_they_were_sent(client):
    content = bytes(range(256)) * 5000
    digest = hashlib.sha256(content).hexdigest()
    first = client.post("/v1/analyses?name=a.wav", content=content).json()
    second = client.post("/v1/analyses", files={"file": ("b.wav", content)}).json()
    pieces = (content[i : i + 7919] for i in range(0, len(content), 7919))
    third = client.post("/v1/analyses", content=pieces).json()
    fourth = client.post("/v1/analyses?name=c.wav", files={"file": ("b.wav", content)}).json()
    assert [one["name"] for one in (first, second, third, fourth)] == ["a.wav", "b.wav", "recording", "c.wav"]
    for one in (first, second, third, fourth):
        assert (one["sha256"], one["size"]) == (digest, len(content))
        assert client.service.store.audio(one["id"]).read_bytes() == content
    assert len(left(client.service)) == 4


@given(
    contents=st.lists(st.binary(min_size=1, max_size=60), min_size=1, max_size=4),
    cuts=st.integers(1, 50),
)
@settings(max_examples=60, deadline=None)
def test_forms_are_read_alike_however_they_are_cut(contents, cuts):
    class Taker(list):
        def __init__(self, name):
            super().__init__()
            came.append((name, self))

        write, end = list.append, lambda self: None

    came = []
    contents = [content.replace(b"\r\n--", b"") or b"x" for content in contents]
    body = form(
        *((b'Content-Disposition: form-data; name="f"; filename="%d"' % i, c) for i, c in enumerate(contents))
    )
    reader = Form("multipart/form-data; boundary=XX", Taker)
    for i in range(0, len(body), cuts):
        reader.write(body[i : i + cuts])
    reader.end()
    assert [(name, b"".join(pieces)) for name, pieces in came] == [
        (str(i), c) for i, c in enumerate(contents)
    ]


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", "multipart/form-data; boundary=XX"),
        (b"hello", "multipart/form-data; boundary=XX"),
        (form((FILE, b"sound")), "multipart/form-data"),
        (form((FILE, b"sound")), "multipart/form-data; boundary="),
        (form((FILE, b"sound")), "multipart/form-data; boundary=" + "x" * 1000),
        (form((FILE, b"sound"), end=False), "multipart/form-data; boundary=XX"),
        (form((FILE, b"sound"))[:-20], "multipart/form-data; boundary=XX"),
        (form((b'Content-Disposition: form-data; name="x"', b"1")), "multipart/form-data; boundary=XX"),
        (form((FILE + b"\r\nX: " + b"x" * 9000, b"sound")), "multipart/form-data; boundary=XX"),
        (form((FILE + b"\r\nX: y" * 5000, b"sound")), "multipart/form-data; boundary=XX"),
        (
            form(*[(b'Content-Disposition: form-data; name="x"', b"1")] * 200),
            "multipart/form-data; boundary=XX",
        ),
        (form((b"no head at all", b"1")), "multipart/form-data; boundary=XX"),
        (form((FILE, b"sound"), (FILE, b"more")), "multipart/form-data; boundary=XX"),
    ],
)
def test_odd_forms_are_refused_and_leave_nothing(client, body, kind):
    problem(send_form(client, body, kind=kind), 422, "usage")
    assert left(client.service) == []


def test_fields_beside_the_file_are_let_be(client):
    more = (b'Content-Disposition: form-data; name="x"', b"1" * 100_000)
    found = send_form(client, form(more, (FILE, b"sound"), more)).json()
    assert (found["name"], found["size"]) == ("a.wav", 5)


@pytest.mark.parametrize("route", ["/v1/analyses", "/v1/batches"])
def test_options_in_a_form_are_not_passed_over_in_silence(client, route):
    option = (b'Content-Disposition: form-data; name="prior"', b"0.1")
    for parts in ((option, (FILE, b"sound")), ((FILE, b"sound"), option)):
        assert "?prior=" in problem(send_form(client, form(*parts), route), 422, "usage")
    assert left(client.service) == []


def test_a_batch_has_a_thousand_files_and_no_more(client):
    client.crew.rests = True
    head = b'Content-Disposition: form-data; name="files"; filename="%d.wav"'
    body = form(*((head % i, b"sound") for i in range(1001)))
    problem(send_form(client, body, "/v1/batches"), 422, "usage")
    assert left(client.service) == []
    body = form(*((head % i, b"sound") for i in range(3)), (head % 3, b""))
    problem(send_form(client, body, "/v1/batches"), 422, "empty-file")
    assert left(client.service) == []


def test_nothing_is_no_recording(client):
    problem(client.post("/v1/analyses", content=b""), 422, "empty-file")
    problem(send_form(client, form((FILE, b""))), 422, "empty-file")
    assert left(client.service) == []


def test_what_is_too_large_is_refused_as_soon_as_that_shows(serve):
    client = serve(max_bytes=10_000)
    assert client.post("/v1/analyses", content=b"x" * 10_000).status_code == 200
    before = left(client.service)
    read = []

    def endless():
        for _ in range(1000):
            read.append(1)
            yield b"x" * 1000

    problem(client.post("/v1/analyses", content=b"x" * 10_001), 413, "too-big")
    problem(client.post("/v1/analyses", content=endless()), 413, "too-big")
    problem(client.post("/v1/analyses", content=b"x", headers={"content-length": "9" * 30}), 413, "too-big")
    problem(send_form(client, form((FILE, b"x" * 10_001))), 413, "too-big")
    problem(send_form(client, b"x" * (2 << 20)), 413, "too-big")
    assert left(client.service) == before
    odd = client.post("/v1/analyses", content=b"x", headers={"content-length": "²".encode()})
    assert odd.status_code < 500


def test_a_full_disk_is_said_and_leaves_nothing(client, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device", "/home/joe/store")

    monkeypatch.setattr(uploads.os, "fsync", full)
    detail = problem(client.post("/v1/analyses", content=b"sound"), 507, "no-room")
    assert "joe" not in detail
    assert left(client.service) == []


def test_an_upload_is_on_the_disk_before_it_is_accepted(client, monkeypatch):
    order = []
    sync, sync_folder = uploads.os.fsync, uploads.sync_folder
    monkeypatch.setattr(uploads.os, "fsync", lambda d: (order.append("file"), sync(d)))
    monkeypatch.setattr(uploads, "sync_folder", lambda f: (order.append("folder"), sync_folder(f)))
    accept = analyses.accept
    monkeypatch.setattr(analyses, "accept", lambda *a, **k: (order.append("row"), accept(*a, **k))[1])
    assert client.post("/v1/analyses", content=b"sound").status_code == 200
    assert (order[:2], order[-1], order.count("row")) == (["file", "folder"], "row", 1)


def test_what_cannot_be_taken_down_leaves_nothing(client, monkeypatch):
    def fails(*_, **__):
        raise RuntimeError("database away")

    monkeypatch.setattr(analyses, "accept_batch", fails)
    answer = client.post("/v1/batches", files=[("files", ("a.wav", b"sound"))])
    problem(answer, 500, "internal")
    assert left(client.service) == []


# Over a real connection


def talk(port, *pieces, wait_s=5.0):
    """Send bytes, with pauses in seconds between them, and read until the server hangs up."""
    with socket.create_connection(("127.0.0.1", port), wait_s) as connection:
        for piece in pieces:
            if isinstance(piece, bytes):
                with suppress(
                    BrokenPipeError, ConnectionResetError
                ):  # what it said first is still to be read
                    connection.sendall(piece)
            else:
                time.sleep(piece)
        said = b""
        while piece := connection.recv(65536):
            said += piece
        return said


HEAD = b"POST /v1/analyses HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"


def test_slow_uploads_end(online, monkeypatch):
    monkeypatch.setattr(uploads, "STALL_S", 0.3)
    service, port = online()
    said = talk(port, HEAD + b"Content-Length: 100\r\n\r\nsome")
    assert b" 408 " in said
    assert b"too-slow" in said
    assert left(service) == []
    monkeypatch.setattr(uploads, "SLOWEST", 1e6)
    said = talk(port, HEAD + b"Content-Length: 100\r\n\r\n", *[b"x", 0.1] * 6)
    assert b" 408 " in said
    assert left(service) == []
    assert service.uploads == 0


def test_clients_that_go_away_leave_nothing(online):
    service, port = online()
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(HEAD + b"Content-Length: 100\r\n\r\nsome")
    assert b" 200 " in talk(port, HEAD + b"Content-Length: 5\r\n\r\nsound")
    assert len(left(service)) == 1


@pytest.mark.parametrize("sent", [b"", b"GET /v1/about HTTP/1.1\r\nHost: loc"])
def test_connections_that_say_nothing_are_hung_up_on(online, sent):
    _, port = online()
    assert talk(port, sent) == b""


def test_connections_that_have_been_answered_are_not_kept_for_ever(online):
    _, port = online()
    said = talk(
        port, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", 0.2, b"GET /healthz HTTP/1.1\r\nHo"
    )
    assert said.count(b"200 OK") == 1


def test_long_answers_are_not_hung_up_on(online):
    class Late(ScriptedCrew):
        def notify(self, lane="short"):
            threading.Timer(1.0, super().notify).start()

    _, port = online(crew=Late)
    assert b" 200 " in talk(port, HEAD + b"Content-Length: 5\r\n\r\nsound")


def flood(port, head, piece, most):
    """How many bytes of a piece again and again are taken before the server hangs up."""
    sent = 0
    with socket.create_connection(("127.0.0.1", port), 5) as connection, suppress(OSError):
        connection.sendall(head)
        while sent < most:
            connection.sendall(piece)
            sent += len(piece)
            if select([connection], [], [], 0)[0] and not connection.recv(65536):
                break
    return sent


LINE = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"


@pytest.mark.parametrize(
    ("head", "piece"),
    [
        (b"", b"GET /" + b"a" * 65_536),
        (b"GET /", b"a" * 65_536),
        (LINE + b"X: ", b"a" * 65_536),
        (LINE, b"X: y\r\n" * 10_000),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nsound\r\n0\r\n", b"X: y\r\n" * 10_000),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n5;", b"x" * 65_536),
    ],
)
def test_heads_and_trailers_have_an_end(online, head, piece):
    service, port = online(head_s=30.0)
    assert flood(port, head, piece, 64 << 20) < 16 << 20  # what the system's buffers hold counts too
    assert b" 200 " in talk(port, HEAD + b"Content-Length: 5\r\n\r\nsound")
    assert service.uploads == 0


def test_long_bodies_in_small_pieces_are_no_heads(online):
    _, port = online(max_bytes=1 << 20)
    pieces = b"".join(b"1;note=none\r\nx\r\n" for _ in range(30_000))
    said = talk(port, HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + pieces + b"0\r\n\r\n")
    assert b'"size":30000' in said
