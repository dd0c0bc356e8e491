"""Content credentials of files that these tests sign themselves."""

import datetime
import http.server
import io
import json
import threading

import pytest
from report_of_tone import tone

from earwitness.audio.io import to_wav
from earwitness.evidence import report_credentials as credentials
from earwitness.evidence.report_credentials import look, summary

c2pa = pytest.importorskip("c2pa")
x509 = pytest.importorskip("cryptography.x509")
hashes = pytest.importorskip("cryptography.hazmat.primitives.hashes")
serialization = pytest.importorskip("cryptography.hazmat.primitives.serialization")
ec = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.ec")
MADE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
CAPTURED = "http://cv.iptc.org/newscodes/digitalsourcetype/digitalCapture"


def named(name):
    pairs = ((x509.oid.NameOID.ORGANIZATION_NAME, "Tests"), (x509.oid.NameOID.COMMON_NAME, name))
    return x509.Name([x509.NameAttribute(key, value) for key, value in pairs])


def certificate(name, key, issuer, signing_key):
    """A certificate for a day: of an authority where it signs itself, else one to sign claims with."""
    authority, now = name == issuer, datetime.datetime.now(datetime.UTC)
    day = datetime.timedelta(days=1)
    use = dict.fromkeys(
        ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only",
         "decipher_only"), False
    )  # fmt: skip
    made = (
        x509.CertificateBuilder()
        .subject_name(named(name))
        .issuer_name(named(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - day)
        .not_valid_after(now + day)
        .add_extension(x509.BasicConstraints(authority, None), True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signing_key.public_key()), False)
        .add_extension(
            x509.KeyUsage(
                digital_signature=not authority, key_cert_sign=authority, crl_sign=authority, **use
            ),
            True,
        )
    )
    if not authority:
        made = made.add_extension(
            x509.ExtendedKeyUsage([x509.oid.ExtendedKeyUsageOID.EMAIL_PROTECTION]), False
        )
    return made.sign(signing_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


@pytest.fixture(scope="module")
def keys():
    """A chain of certificates and the private key, PEM."""
    root, leaf = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    chain = certificate("Leaf", leaf, "Root", root) + certificate("Root", root, "Root", root)
    private = leaf.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return chain, private


def sign(keys, content, mime="audio/wav", source=MADE, remote=None):
    manifest = {
        "claim_generator_info": [{"name": "voice <maker>", "version": "1.0"}],
        "assertions": [
            {
                "label": "c2pa.actions",
                "data": {"actions": [{"action": "c2pa.created", "digitalSourceType": source}]},
            }
        ],
    }
    signer = c2pa.Signer.from_info(c2pa.C2paSignerInfo(c2pa.C2paSigningAlg.ES256, *keys, None))
    out = io.BytesIO()
    with c2pa.Builder(manifest) as builder:
        if remote:
            builder.set_no_embed()
            builder.set_remote_url(remote)
        builder.sign(signer, mime, io.BytesIO(content), out)
    return out.getvalue()


def looked(tmp_path, content):
    path = tmp_path / "a"
    path.write_bytes(content)
    with path.open("rb") as file:
        file.read(10)
        found = look(file)
        assert file.tell() == 0
        assert file.read() == content
    return found


@pytest.fixture(scope="module")
def wav():
    return to_wav(tone(), 16_000)


@pytest.mark.parametrize(("source", "claims"), [(MADE, True), (CAPTURED, False)])
def test_a_signed_wav_is_read(keys, wav, tmp_path, source, claims):
    found = looked(tmp_path, sign(keys, wav, source=source))
    assert (found.state, found.holds, found.failures) == ("found", True, ())
    assert found.generator == "voice <maker> 1.0"
    assert found.signer == "Leaf, Tests"
    assert found.time == ""
    assert found.claims_generated is claims
    (action,) = found.actions
    assert (action.what, action.source) == ("c2pa.created", source.rsplit("/", 1)[-1])


def test_a_signed_mp3_is_read(keys, tmp_path, samples):
    found = looked(tmp_path, sign(keys, (samples / "genuine-vctk.mp3").read_bytes(), "audio/mpeg"))
    assert (found.state, found.holds, found.claims_generated) == ("found", True, True)


def test_a_file_that_was_changed_since_does_not_hold(keys, wav, tmp_path):
    signed = bytearray(sign(keys, wav))
    place = signed.index(wav[1_000:1_100])
    signed[place] ^= 1
    found = looked(tmp_path, bytes(signed))
    assert (found.state, found.holds) == ("found", False)
    assert any("mismatch" in code.lower() for code in found.failures)


def test_other_files_have_none_and_say_so(wav, tmp_path, samples):
    assert looked(tmp_path, wav).state == "none"
    assert looked(tmp_path, (samples / "generated-thorsten-de.ogg").read_bytes()).state == "unsupported"


def test_a_manifest_elsewhere_is_never_fetched(keys, wav, tmp_path):
    asked = []

    class Trap(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_error(404)

    server = http.server.HTTPServer(("127.0.0.1", 0), Trap)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        url = f"http://127.0.0.1:{server.server_port}/manifest.c2pa"
        found = looked(tmp_path, sign(keys, wav, remote=url))
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert asked == []
    assert found.state != "found"


@pytest.mark.parametrize("seed", range(3))
def test_damaged_credentials_bring_nothing_down(keys, wav, tmp_path, seed):
    import random

    chance, signed = random.Random(seed), bytearray(sign(keys, wav))
    start = len(wav)
    for _ in range(40):
        signed[chance.randrange(start, len(signed))] = chance.randrange(256)
    found = looked(tmp_path, bytes(signed))
    assert found.holds is not True


def test_without_the_package_the_report_says_so(monkeypatch, wav, tmp_path):
    monkeypatch.setattr(credentials, "find_spec", lambda _: None)
    found = looked(tmp_path, wav)
    assert found.state == "absent"
    assert "not installed" in found.note


@pytest.mark.parametrize(
    "store",
    [
        None, [], {}, {"manifests": []}, {"active_manifest": "a", "manifests": {"a": None}},
        {"active_manifest": "a", "manifests": {"a": {"assertions": [{"label": "c2pa.actions"}, 3]}}},
        {"active_manifest": ["a"], "manifests": {"a": {"signature_info": "x", "claim_generator_info": {}}},
         "validation_results": {"activeManifest": {"failure": [1, {"code": None}]}}},
    ],
)  # fmt: skip
def test_a_store_of_any_shape_gives_fields(store):
    found = summary(store)
    assert found["holds"] is None
    json.dumps(found)


def test_long_texts_are_cut():
    name = "x" * 10_000
    store = {"active_manifest": "a", "manifests": {"a": {"claim_generator_info": [{"name": name}]}}}
    assert len(summary(store)["generator"]) == credentials.TEXT
