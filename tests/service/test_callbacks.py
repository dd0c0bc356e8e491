"""Callbacks: to public addresses only, signed, and again until they arrive."""

import base64
import hashlib
import hmac
import json
import socket
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from service_parts import OPTIONS, put, record, take
from sqlalchemy import select, update

from earwitness.service import callbacks
from earwitness.service.audit import entries
from earwitness.service.callbacks import (
    PAUSES_S,
    Messenger,
    check_address,
    hang_up,
    is_public,
    resolve,
    send,
    sign,
)
from earwitness.service.jobs import claim, finish
from earwitness.service.options import callback_secret
from earwitness.service.problems import Problem
from earwitness.service.store import accept_batch, remove
from earwitness.service.tables import deliveries

SECRET = b"a secret of our own"
PRIVATE = [
    "http://127.0.0.1/",
    "http://127.1/",
    "http://2130706433/",
    "http://0x7f000001/",
    "http://0177.0.0.1/",
    "http://0.0.0.0/",
    "http://0/",
    "http://[::1]/",
    "http://[::]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:7f00:1]/",
    "http://[::127.0.0.1]/",
    "http://[64:ff9b::127.0.0.1]/",
    "http://[2002:7f00:0001::]/",
    "http://[fe80::1]/",
    "http://[fe80::1%25eth0]/",
    "http://[fc00::1]/",
    "http://[fec0::1]/",
    "http://[ff02::1]/",
    "http://10.0.0.1/",
    "http://172.16.0.1/",
    "http://192.168.1.1:8080/hook",
    "http://100.64.0.1/",
    "http://169.254.169.254/latest/meta-data/",
    "http://224.0.0.1/",
    "http://255.255.255.255/",
    "http://localhost/",
    "http://LOCALHOST:80/",
    "http://localhost./",
    "http://db.localhost/",
    "http://printer.local/",
    "http://metadata.google.internal/",
]
NO_ADDRESS = [
    "gopher://example.org/",
    "file:///etc/passwd",
    "ftp://example.org/",
    "//example.org/",
    "example.org",
    "http://",
    "http:///path",
    "http://user@example.org/",
    "http://user:pw@example.org/",
    "http://example.org@127.0.0.1/",
    "http://example.org:0/",
    "http://example.org:99999/",
    "http://example.org:x/",
    "http://[::1/",
    "http://example.org/\r\nHost: other",
    "http://example.org/ x",
    "http://éxample.org/",
    "javascript:alert(1)",
    "",
]


class Receiver:
    """A server of somebody who is told; `says` are the statuses of its answers in turn."""

    def __init__(self, says=(), head=(), pause_s=0.0):
        receiver, self.came, self.says = self, [], list(says)

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                receiver.came.append((self.path, dict(self.headers), body))
                if pause_s:
                    self.wfile.write(b"HTTP/1.1 ")
                    with suppress(OSError):
                        for _ in range(100):
                            self.wfile.write(b" ")
                            time.sleep(pause_s)
                    return
                self.send_response(receiver.says.pop(0) if receiver.says else 200)
                for name, value in head:
                    self.send_header(name, value)
                self.end_headers()

            do_GET = do_POST

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def receiver():
    receiver = Receiver()
    yield receiver
    receiver.close()


def answered(store, url, **more):
    """The id of an answered analysis, of which `url` is to be told."""
    id = take(store, callback=url)
    (job,) = claim(store, "short", 8)
    finish(store, job, record(**more))
    return id


def deliver(messenger):
    for row in messenger.due():
        messenger.deliver(row)


def state(store):
    with store.read() as connection:
        return connection.execute(
            select(deliveries.c.state, deliveries.c.attempts, deliveries.c.said)
        ).first()


def let_pass(store, seconds):
    with store.write() as connection:
        connection.execute(update(deliveries).values(due=deliveries.c.due - seconds))


@pytest.mark.parametrize("url", PRIVATE)
def test_addresses_of_this_machine_and_network_are_refused_at_once(url):
    with pytest.raises(Problem) as error:
        check_address(url, private=False)
    assert (error.value.status, error.value.code) == (422, "bad-callback")
    check_address(url, private=True)


@pytest.mark.parametrize("url", NO_ADDRESS)
def test_what_is_no_address_is_refused_in_any_case(url):
    for private in (False, True):
        with pytest.raises(Problem):
            check_address(url, private)


@pytest.mark.parametrize(
    "url",
    [
        "https://example.org",
        "http://example.org:8080/a?b=c",
        "https://1.1.1.1/",
        "https://[2606:4700::1111]/",
    ],
)
def test_public_addresses_are_taken(url):
    check_address(url, private=False)


@given(st.ip_addresses())
@settings(max_examples=60, deadline=None)
def test_nothing_is_called_that_is_not_of_the_internet(address):
    if is_public(address):
        inner = getattr(address, "ipv4_mapped", None) or address
        kinds = ("private", "loopback", "link_local", "multicast", "reserved", "unspecified")
        assert not any(getattr(inner, f"is_{kind}") for kind in kinds)


@pytest.mark.parametrize(
    "numbers", [["10.0.0.1"], ["1.1.1.1", "127.0.0.1"], ["::1"], ["fe80::1%lo"], ["::ffff:10.0.0.1"]]
)
def test_names_that_point_here_are_found_out_when_they_are_called(monkeypatch, numbers):
    found = [(0, 0, 0, "", (number, 80)) for number in numbers]
    monkeypatch.setattr(callbacks.socket, "getaddrinfo", lambda *_, **__: found)
    with pytest.raises(OSError, match="not called"):
        resolve("http://rebound.example/", private=False)
    assert resolve("http://rebound.example/", private=True).address == numbers[0]


def test_what_was_checked_is_what_is_connected_to(monkeypatch, receiver):
    names, connected = [], []
    port = receiver.server.server_port

    def found(name, *_, **__):
        names.append(name)
        return [(0, 0, 0, "", ("1.1.1.1" if len(names) == 1 else "127.0.0.1", 80))]

    def connected_to(address, timeout):
        connected.append(address)
        connection = socket.socket()
        connection.settimeout(timeout)
        connection.connect(("127.0.0.1", port))
        return connection

    monkeypatch.setattr(callbacks.socket, "getaddrinfo", found)
    monkeypatch.setattr(callbacks.socket, "create_connection", connected_to)
    assert send(resolve("http://rebound.example/x?y=1", private=False), "id", b"{}", SECRET) == 200
    assert connected == [("1.1.1.1", 80)]
    ((path, headers, _),) = receiver.came
    assert (path, headers["Host"]) == ("/x?y=1", "rebound.example")


def test_an_answer_is_sent_with_a_signature_that_holds(store, receiver):
    id = answered(store, receiver.url + "/hook?x=1")
    deliver(Messenger(store, SECRET, private=True))
    ((path, headers, body),) = receiver.came
    assert path == "/hook?x=1"
    said = json.loads(body)
    assert (said["type"], said["data"]["id"], said["data"]["record"]["verdict"]) == (
        "analysis.done",
        id,
        "fake",
    )
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.new(SECRET, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == "v1," + expected
    assert abs(int(headers["webhook-timestamp"]) - time.time()) < 60
    assert state(store)[:2] == ("sent", 1)
    deliver(Messenger(store, SECRET, private=True))
    assert len(receiver.came) == 1


def test_a_signature_as_the_convention_publishes_it():
    # The example of Standard Webhooks: https://www.standardwebhooks.com
    secret = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    body = b'{"test": 2432232314}'
    signature = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert sign(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body) == signature


def test_a_batch_is_told_of_once(store, receiver):
    uploads = [put(store, name=f"{i}.wav") for i in range(3)]
    batch = accept_batch(store, uploads, OPTIONS, "ada", receiver.url)
    messenger = Messenger(store, SECRET, private=True)
    jobs = claim(store, "short", 8)
    for job in jobs[:2]:
        finish(store, job, record(job.name))
    deliver(messenger)
    assert receiver.came == []
    finish(store, jobs[2], record(jobs[2].name))
    deliver(messenger)
    ((_, _, body),) = receiver.came
    said = json.loads(body)
    assert (said["type"], said["data"]["id"]) == ("batch.done", batch)
    assert [one["name"] for one in said["data"]["analyses"]] == ["0.wav", "1.wav", "2.wav"]


def test_what_does_not_arrive_is_sent_again_with_pauses_and_then_given_up(store):
    receiver = Receiver(says=[500, 404, 302, 429, 503, 500, 200], head=[("location", "http://127.0.0.1:1/")])
    answered(store, receiver.url)
    messenger = Messenger(store, SECRET, private=True)
    for tries, pause_s in enumerate(PAUSES_S, 1):
        deliver(messenger)
        assert state(store)[:2] == ("due", tries)
        let_pass(store, pause_s - 5)
        deliver(messenger)
        assert len(receiver.came) == tries
        let_pass(store, 5)
    deliver(messenger)
    assert state(store)[:2] == ("failed", len(PAUSES_S) + 1)
    deliver(messenger)
    assert len(receiver.came) == len(PAUSES_S) + 1
    assert len({headers["webhook-id"] for _, headers, _ in receiver.came}) == 1
    assert [entry["action"] for entry in entries(store.engine)][-1] == "callback-failed"
    receiver.close()


def test_private_addresses_are_not_called_whatever_was_accepted(store, receiver):
    answered(store, receiver.url)
    deliver(Messenger(store, SECRET, private=False))
    assert receiver.came == []
    assert state(store).said == "addresses of this machine or network are not called"


@pytest.mark.parametrize("said", [b"", b"not http\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n", b"\x00" * 70_000])
def test_servers_that_do_not_speak_http_do_no_harm(filed, said):
    server = socket.create_server(("127.0.0.1", 0))

    def speak():
        connection, _ = server.accept()
        connection.recv(65536)
        connection.sendall(said)
        connection.close()

    threading.Thread(target=speak, daemon=True).start()
    answered(filed, f"http://127.0.0.1:{server.getsockname()[1]}/")
    deliver(Messenger(filed, SECRET, private=True))
    assert state(filed)[:2] == ("due", 1)
    server.close()


def test_a_server_that_answers_in_drops_is_hung_up_on(filed, monkeypatch):
    monkeypatch.setattr(callbacks, "WHOLE_S", 0.3)
    receiver = Receiver(pause_s=0.05)
    answered(filed, receiver.url)
    began = time.monotonic()
    deliver(Messenger(filed, SECRET, private=True))
    assert time.monotonic() - began < 4
    assert state(filed)[:2] == ("due", 1)
    receiver.close()


def test_a_closed_connection_can_be_hung_up_on():
    one, other = socket.socketpair()
    one.close()
    hang_up(one)
    other.close()


def test_https_needs_a_certificate(filed, receiver):
    answered(filed, receiver.url.replace("http:", "https:"))
    deliver(Messenger(filed, SECRET, private=True))
    assert state(filed)[:2] == ("due", 1)
    assert receiver.came == []


def test_what_was_deleted_is_not_told_of(store, receiver):
    id = answered(store, receiver.url)
    messenger = Messenger(store, SECRET, private=True)
    rows = messenger.due()
    remove(store, id, "ada")
    for row in rows:
        messenger.deliver(row)
    assert receiver.came == []


def test_the_thread_sends_what_is_due_and_ends(filed, receiver, monkeypatch):
    monkeypatch.setattr(callbacks, "LOOK_S", 0.01)
    messenger = Messenger(filed, SECRET, private=True)
    messenger.start()
    answered(filed, receiver.url)
    while not receiver.came:
        time.sleep(0.01)
    messenger.stop()
    assert state(filed).state == "sent"
    assert not messenger.thread.is_alive()


def test_the_secret_is_made_once_and_is_nobody_elses(tmp_path, monkeypatch):
    monkeypatch.delenv("EARWITNESS_CALLBACK_SECRET", raising=False)
    secret = callback_secret(tmp_path)
    assert len(secret) >= 32
    assert callback_secret(tmp_path) == secret
    (file,) = tmp_path.iterdir()
    assert file.stat().st_mode & 0o077 == 0
    file.write_text("")
    with pytest.raises(Exception, match="secret"):
        callback_secret(tmp_path)
    monkeypatch.setenv("EARWITNESS_CALLBACK_SECRET", "given")
    assert callback_secret(tmp_path) == b"given"
