"""Answers sent to whoever asked to be told, signed, and again until they arrive.

Signatures follow the Standard Webhooks convention: `webhook-id`, `webhook-timestamp` and `webhook-signature:
v1,BASE64`, the HMAC-SHA256 of `id.timestamp.body`. A delivery may come twice; its id stays the same.

Whoever may scan may name an address, so it is hostile: unless allowed, only public addresses of http and
https are called, the one that was checked is the one that is connected to, and redirects are not followed.
"""

import base64
import hashlib
import hmac
import http.client
import ipaddress
import json
import logging
import socket
import ssl
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, urlsplit

from sqlalchemy import select, update

from earwitness.service.audit import append
from earwitness.service.problems import Problem
from earwitness.service.store import Store, batch_of, find
from earwitness.service.tables import deliveries

UNICAST = ipaddress.ip_network("2000::/3")  # what is given out of version 6
PAUSES_S = (10, 60, 600, 3_600, 21_600)  # before the second try, the third, ...
TIMEOUT_S = 10.0  # for each step
WHOLE_S = 30.0  # for a server that answers in drops
LOOK_S = 1.0
AT_ONCE = 32
THREADS = 8
log = logging.getLogger("earwitness.service")


@dataclass(frozen=True)
class Target:
    """Where to send: the address that was checked, and the name for TLS and the Host header."""

    parts: SplitResult
    port: int
    address: str


def check_address(url: str, private: bool) -> None:
    """Refuse what is no address of a public server, as far as that shows without asking anybody.

    Raises:
        Problem: 422 `bad-callback`.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = None, None
    if parts is None or parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise Problem(422, "bad-callback", "callback: an address of the form https://host/path is needed")
    if parts.username or parts.password:
        raise Problem(422, "bad-callback", "callback: put no password into the address; callbacks are signed")
    if not url.isascii() or any(c <= " " for c in url):
        raise Problem(422, "bad-callback", "callback: percent-encode what is not ASCII, and blanks")
    if not private and not may_be_public(parts.hostname):
        raise Problem(422, "bad-callback", "callback: addresses of this machine or network are not called")


def may_be_public(host: str) -> bool:
    """Whether a host may be on the internet, as far as its name or number shows."""
    name = host.partition("%")[0].rstrip(".")
    if name == "localhost" or name.endswith((".localhost", ".local", ".internal")):
        return False
    try:
        return is_public(ipaddress.ip_address(name))
    except ValueError:
        pass
    try:  # 2130706433, 0x7f.1 and the like
        return is_public(ipaddress.IPv4Address(socket.inet_aton(name)))
    except OSError:
        return True


def is_public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Whether an address is one of the internet's, also where it is wrapped into one of version 6."""
    if isinstance(address, ipaddress.IPv6Address) and not address.ipv4_mapped and address not in UNICAST:
        return False
    inner = getattr(address, "ipv4_mapped", None) or getattr(address, "sixtofour", None)
    teredo = getattr(address, "teredo", None)
    if inner is None and teredo:
        inner = teredo[1]
    if inner is not None:
        return is_public(inner)
    return address.is_global and not address.is_multicast


def resolve(url: str, private: bool) -> Target:
    """The address to connect to: every one of the name must be allowed.

    Raises:
        OSError: the name is not known, or one of its addresses is not allowed.
    """
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    found = socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)
    addresses = [str(entry[4][0]) for entry in found]
    for address in addresses:
        if not private and not is_public(ipaddress.ip_address(address.partition("%")[0])):
            raise OSError("addresses of this machine or network are not called")
    return Target(parts, port, addresses[0])


def sign(secret: bytes, id: str, timestamp: int, body: bytes) -> str:
    """The signature of a delivery."""
    digest = hmac.new(secret, f"{id}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    return "v1," + base64.b64encode(digest).decode()


def send(target: Target, id: str, body: bytes, secret: bytes) -> int:
    """POST a body; the status of the answer, of which nothing else is read.

    Raises:
        OSError: it did not arrive.
    """
    timestamp = int(time.time())
    connection = socket.create_connection((target.address, target.port), TIMEOUT_S)
    ending = threading.Timer(WHOLE_S, lambda: hang_up(connection))
    ending.daemon = True
    ending.start()
    try:
        name = target.parts.hostname or ""
        if target.parts.scheme == "https":
            secure = ssl.create_default_context()
            connection = secure.wrap_socket(connection, server_hostname=name, do_handshake_on_connect=False)
            connection.do_handshake()
        client = http.client.HTTPConnection(name, target.port, timeout=TIMEOUT_S)
        client.sock = connection
        path = (target.parts.path or "/") + (f"?{target.parts.query}" if target.parts.query else "")
        headers = {
            "content-type": "application/json",
            "user-agent": "earwitness",
            "webhook-id": id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": sign(secret, id, timestamp, body),
        }
        client.request("POST", path, body, headers)
        return client.getresponse().status
    except http.client.HTTPException as error:
        raise OSError(f"no answer of HTTP ({type(error).__name__})") from None
    finally:
        ending.cancel()
        connection.close()


def hang_up(connection: socket.socket) -> None:
    """End a connection that another thread waits on."""
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def body_of(store: Store, kind: str, subject: str) -> bytes | None:
    """What is sent of an analysis or a batch; None where it is gone."""
    content: Any
    if kind == "batch":
        content = {"id": subject, "state": "done", "analyses": batch_of(store, subject)}
        if not content["analyses"]:
            return None
    else:
        content = find(store, subject)
        if content is None:
            return None
    return json.dumps({"type": f"{kind}.done", "data": content}).encode()


class Messenger:
    """A thread that sends what is due until it is stopped."""

    def __init__(self, store: Store, secret: bytes, private: bool) -> None:
        self.store, self.secret, self.private = store, secret, private
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self.run, name="callbacks")

    def start(self) -> None:
        """Begin."""
        self.thread.start()

    def stop(self) -> None:
        """End after what is being sent."""
        self.stopping.set()
        self.thread.join()

    def run(self) -> None:
        """Look for what is due, and send it."""
        while not self.stopping.wait(LOOK_S):
            try:
                with ThreadPoolExecutor(THREADS, "callback") as pool:
                    list(pool.map(self.deliver, self.due()))
            except Exception:
                log.exception("callbacks cannot be sent; trying again")

    def due(self) -> list[Any]:
        """Deliveries to try now."""
        query = select(deliveries).where(deliveries.c.state == "due", deliveries.c.due <= time.time())
        with self.store.read() as connection:
            return list(connection.execute(query.order_by(deliveries.c.due).limit(AT_ONCE)).all())

    def deliver(self, row: Any) -> None:
        """Try once, and note what came of it."""
        if self.stopping.is_set():
            return
        body = body_of(self.store, row.kind, row.subject)
        if body is None:
            self.note(row, "failed", "the analysis is gone")
            return
        try:
            status = send(resolve(row.url, self.private), row.id, body, self.secret)
            said = f"answered {status}"
        except (OSError, ValueError, UnicodeError) as error:
            status, said = 0, str(error)[:200] or type(error).__name__
        if 200 <= status < 300:
            self.note(row, "sent", said)
        elif row.attempts < len(PAUSES_S):
            self.note(row, "due", said, PAUSES_S[row.attempts])
        else:
            self.note(row, "failed", said)

    def note(self, row: Any, state: str, said: str, pause_s: float = 0.0) -> None:
        """Write down what came of a try."""
        values = {"state": state, "attempts": row.attempts + 1, "due": time.time() + pause_s, "said": said}
        with self.store.write() as connection:
            connection.execute(update(deliveries).where(deliveries.c.id == row.id).values(**values))
            if state != "due":
                host = urlsplit(row.url).hostname
                append(
                    connection, "service", f"callback-{state}", row.subject, host=host, tries=row.attempts + 1
                )
