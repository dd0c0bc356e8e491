"""Callbacks over TLS: only to whom a certificate authority that we trust vouches for."""

import datetime
import ipaddress
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from test_callbacks import SECRET, answered, deliver, state

from earwitness.service.callbacks import Messenger

NOW = datetime.datetime.now(datetime.UTC)
DAY = datetime.timedelta(days=1)
HERE = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
ELSEWHERE = x509.SubjectAlternativeName([x509.DNSName("example.org")])


def certificate(name, signer=None, names=HERE, until=NOW + DAY):
    """A key and its certificate by `signer`, a pair of these; by itself where there is none."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    by_key, issuer = (signer[0], signer[1].subject) if signer else (key, subject)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - 2 * DAY)
        .not_valid_after(until)
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=signer is None, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(by_key.public_key()), critical=False
        )
    )
    return key, builder.sign(by_key, hashes.SHA256())


def pem(pair, with_key=True):
    key, cert = pair
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return (private if with_key else b"") + cert.public_bytes(serialization.Encoding.PEM)


@pytest.fixture
def secure(tmp_path):
    """Start a server with a certificate: gives its address and what came."""
    servers = []

    def start(pair):
        came = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                came.append(self.rfile.read(int(self.headers["content-length"])))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_):
                pass

        (tmp_path / "server.pem").write_bytes(pem(pair))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tmp_path / "server.pem")
        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.handle_error = lambda *_: None  # clients that hang up are what is tested
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"https://127.0.0.1:{server.server_port}/told", came

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def authority(tmp_path, monkeypatch):
    """A certificate authority that this machine trusts."""
    pair = certificate("an authority")
    (tmp_path / "trusted.pem").write_bytes(pem(pair, with_key=False))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "trusted.pem"))
    return pair


def test_a_server_that_is_vouched_for_is_told(filed, secure, authority):
    url, came = secure(certificate("us", authority))
    answered(filed, url)
    deliver(Messenger(filed, SECRET, private=True))
    assert state(filed).state == "sent"
    assert len(came) == 1


@pytest.mark.parametrize("who", ["itself", "a stranger", "another name", "long ago"])
def test_a_server_that_is_not_is_told_nothing(filed, secure, authority, who):
    pairs = {
        "itself": lambda: certificate("us"),
        "a stranger": lambda: certificate("us", certificate("an authority")),
        "another name": lambda: certificate("us", authority, ELSEWHERE),
        "long ago": lambda: certificate("us", authority, until=NOW - DAY),
    }
    url, came = secure(pairs[who]())
    answered(filed, url)
    deliver(Messenger(filed, SECRET, private=True))
    assert state(filed)[:2] == ("due", 1)
    assert "certificate" in state(filed).said.lower()
    assert came == []
