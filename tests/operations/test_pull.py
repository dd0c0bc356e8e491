"""Pull against a hub on this machine, which can also be slow, broken, forgetful and mean."""

import hashlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("safetensors")

from fairseq_layout import RELEASED, detector_state, random_state  # noqa: E402
from safetensors.torch import save  # noqa: E402

from earwitness import scan  # noqa: E402
from earwitness.decision.bundle import read_card  # noqa: E402
from earwitness.decision.importer import import_model  # noqa: E402
from earwitness.errors import MissingExtra, ModelError  # noqa: E402
from earwitness.operations import hub as module  # noqa: E402
from earwitness.operations.hub import HubFile  # noqa: E402
from earwitness.operations.pull import KNOWN, pull, run_pull  # noqa: E402

COMMIT, OTHER = "c0ffee" * 6 + "c0de", "decade" * 6 + "dada"
REPOSITORY, SECRET = "someone/tiny", "hf_notToBeShownAnywhere"
TINY = replace(
    RELEASED["mms_300m"],
    width=48,
    layers=2,
    heads=4,
    ffn=64,
    conv_channels=32,
    pos_kernel=16,
    pos_groups=4,
    final_dim=16,
    latent_vars=8,
)


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@dataclass
class Hub:
    """What the server holds, how it misbehaves, and what it saw."""

    files: dict[str, bytes] = field(default_factory=dict)
    announces: dict[str, str | None] = field(default_factory=dict)  # headers instead of the true ones
    status: int = 200
    drop_after: int | None = None  # bytes of one answer, then the connection is closed
    drops: int = 1  # so many answers
    stall_after: int | None = None  # bytes, then nothing more comes
    ranges: bool = True
    chunks: bytes = b""  # is sent without a length, for ever
    store: str = ""  # where files are; the hub redirects there
    seen: list[tuple[str, str, str | None]] = field(default_factory=list)  # method, path, range
    tokens: list[tuple[str, str | None]] = field(default_factory=list)  # path, authorization
    sent: int = 0
    address: str = ""
    done: threading.Event = field(default_factory=threading.Event)

    def paths(self, method: str = "GET") -> list[str]:
        return [path for verb, path, _ in self.seen if verb == method]


class Handler(BaseHTTPRequestHandler):
    """`/{repository}/resolve/{revision}/{file}` as huggingface.co answers it, and `/store/{file}`."""

    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, format, *args):
        pass

    def do_HEAD(self):
        self.answer(False)

    def do_GET(self):
        self.answer(True)

    def answer(self, with_body: bool) -> None:
        hub, wanted = self.hub, self.headers.get("Range")
        hub.seen.append((self.command, self.path, wanted))
        hub.tokens.append((self.path, self.headers.get("Authorization")))
        match = re.fullmatch(rf"/{REPOSITORY}/resolve/(\w+)/(.+)|/store/(.+)", self.path.partition("?")[0])
        data = hub.files.get(match[2] or match[3]) if match else None
        at_home = bool(match and match[2])
        status = hub.status if at_home else 200
        headers: dict[str, str | None] = {"Content-Length": "0"}
        if data is None:
            status = 404 if status == 200 else status
        if data is None or status != 200:
            self.reply(status, headers)
            return
        if at_home:
            headers |= {"X-Repo-Commit": COMMIT, "X-Linked-ETag": f'"{sha(data)}"'}
            headers |= {"X-Linked-Size": str(len(data)), "ETag": '"0"', **hub.announces}
        if not at_home:  # a store has no say in what is announced
            headers["X-Linked-ETag"] = f'"{"0" * 64}"'
        if at_home and hub.store:
            self.reply(302, headers | {"Location": f"{hub.store}/store/{match[2]}"})
            return
        start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1]) if wanted and hub.ranges else 0
        if start and start >= len(data):
            self.reply(416, headers | {"Content-Range": f"bytes */{len(data)}"})
            return
        headers["Content-Length"] = str(len(data) - start)
        if start:
            headers.setdefault("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        if hub.chunks:
            headers |= {"Content-Length": None, "Transfer-Encoding": "chunked"}
        self.reply(206 if start else 200, headers)
        if with_body:
            self.body(data[start:])

    def reply(self, status: int, headers: dict[str, str | None]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            if value is not None:
                self.send_header(name, value)
        self.end_headers()

    def body(self, data: bytes) -> None:
        hub = self.hub
        if hub.chunks:
            try:
                while True:
                    self.wfile.write(b"%x\r\n%b\r\n" % (len(hub.chunks), hub.chunks))
                    hub.sent += len(hub.chunks)
            except OSError:
                self.close_connection = True
                return
        cut = hub.stall_after
        if hub.drop_after is not None and hub.drops > 0:
            hub.drops -= 1
            cut = hub.drop_after
        hub.sent += len(data[:cut])
        try:
            self.wfile.write(data[:cut])
        except OSError:  # the other side hung up or was killed
            self.close_connection = True
            return
        if cut is not None:
            if hub.stall_after is not None:
                hub.done.wait(20)
            self.close_connection = True


@pytest.fixture
def hub(monkeypatch):
    """A hub on this machine, empty."""
    state = Hub()
    handler = type("OfThisTest", (Handler,), {"hub": state})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    state.address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setenv("HF_ENDPOINT", state.address)
    yield state
    state.done.set()
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A models folder of this test's own, no token, no proxy, no patience."""
    for name, value in {"EARWITNESS_MODELS": "models", "HF_HOME": "hf"}.items():
        monkeypatch.setenv(name, str(tmp_path / value))
    for name in ("HF_TOKEN", "HF_TOKEN_PATH", "HF_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(module, "PAUSE_S", 0.0)
    return tmp_path / "models"


@pytest.fixture(scope="session")
def weights() -> bytes:
    """A detector of AntiDeepfake, as its file on the hub."""
    generator = torch.Generator().manual_seed(4)
    return save(detector_state(random_state(TINY, generator), generator, TINY.width))


@pytest.fixture
def tiny(hub, weights):
    """The detector on the hub."""
    hub.files["model.safetensors"] = weights
    return hub


@pytest.fixture(scope="session")
def bundle(weights, tmp_path_factory) -> dict[str, bytes]:
    """The files of a bundle, made of the same detector."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "detector.safetensors").write_bytes(weights)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EARWITNESS_MODELS", str(folder))
        import_model(folder / "detector.safetensors", "made", heads=4)
    return {path.name: path.read_bytes() for path in (folder / "made").iterdir()}


def pull_tiny(weights: bytes, **changes) -> dict:
    options = {"revision": COMMIT, "sha256": sha(weights), "heads": 4} | changes
    return pull(REPOSITORY, **options)


def left(home: Path) -> list[str]:
    """Everything in the models folder but the bundles."""
    return sorted(str(p.relative_to(home)) for p in home.glob(".*/**/*") if p.is_file())


def part(home: Path, digest: str, file: str = "model.safetensors") -> Path:
    return home / ".downloads" / digest / f".{file}.part"


# ---------------------------------------------------------------- all goes well


def test_a_detector_is_fetched_checked_and_scans(tiny, weights, home, samples):
    card = pull_tiny(weights)
    assert card["source"] == {
        "file": "model.safetensors",
        "sha256": sha(weights),
        "layout": "AntiDeepfake",
        "repository": REPOSITORY,
        "revision": COMMIT,
    }
    assert read_card(home / "tiny") == card
    assert "CC BY-NC-SA" in card["licence"]
    assert [path.name for path in home.iterdir()] == ["tiny"]  # the download is gone
    assert scan(samples / "genuine-librispeech.flac", model="tiny").llr is not None


def test_a_known_model_needs_no_pins_of_the_user(tiny, weights, monkeypatch):
    row = HubFile(REPOSITORY, sha256=sha(weights), size=len(weights))
    monkeypatch.setitem(KNOWN, "tiny", row)
    tiny.files["config.json"] = b"this is known to be wrong"
    card = pull("tiny", "first", heads=4)
    assert card["source"]["revision"] == COMMIT  # as the hub said
    assert pull(REPOSITORY, "second", heads=4)["source"] == card["source"]
    assert tiny.paths() == [f"/{REPOSITORY}/resolve/main/model.safetensors"] * 2
    assert not tiny.paths("HEAD")


def test_the_store_is_reached_by_redirect_and_never_sees_the_token(tiny, weights, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", SECRET)
    tiny.store = tiny.address.replace("127.0.0.1", "localhost")
    tiny.announces = {"X-Linked-ETag": None}
    pull_tiny(weights)
    assert tiny.paths() == [f"/{REPOSITORY}/resolve/{COMMIT}/model.safetensors", "/store/model.safetensors"]
    for path, authorization in tiny.tokens:
        assert authorization == (None if path.startswith("/store") else f"Bearer {SECRET}")


def test_the_token_that_a_login_saved_is_used(tiny, weights, tmp_path):
    (tmp_path / "hf").mkdir()
    (tmp_path / "hf" / "token").write_text(SECRET + "\n")
    pull_tiny(weights)
    assert tiny.tokens[0][1] == f"Bearer {SECRET}"


def test_a_bundle_comes_as_it_is(hub, bundle, home, samples):
    hub.files |= {f"v2/{name}": data for name, data in bundle.items()}
    card = pull(f"{REPOSITORY}:v2/model.json", "mine", COMMIT, sha(bundle["model.json"]))
    assert card["name"] == "mine"
    assert {path.name: path.read_bytes() for path in (home / "mine").iterdir()} == bundle
    assert [path.name for path in home.iterdir()] == ["mine"]
    assert scan(samples / "genuine-librispeech.flac", model="mine").llr is not None


def test_a_folder_of_transformers_comes_with_its_configuration(hub, tmp_path):
    from tiny import ARCHITECTURES

    from earwitness.features.frontends import make_body

    torch.manual_seed(1)
    make_body(ARCHITECTURES["wavlm-large"]).save_pretrained(tmp_path / "folder")
    hub.files = {path.name: path.read_bytes() for path in (tmp_path / "folder").iterdir()}
    data = hub.files["model.safetensors"]
    card = pull(REPOSITORY, "wavlm", COMMIT, sha(data))
    assert card["architecture"]["front_end"]["heads"] == 4  # only config.json says so
    assert card["source"]["config_sha256"] == sha(hub.files["config.json"])
    assert card["source"]["file"] == "model.safetensors"


def test_what_is_said_of_it(tiny, weights, capsys):
    run_pull(REPOSITORY, None, COMMIT, sha(weights), 4, False)
    captured = capsys.readouterr()
    assert "tiny: detector" in captured.out
    assert "pulled in" in captured.out
    assert not captured.err  # progress is for terminals
    run_pull(REPOSITORY, "again", COMMIT, sha(weights), 4, True)
    assert json.loads(capsys.readouterr().out)["name"] == "again"


# ---------------------------------------------------------------- broken connections


def test_a_broken_download_goes_on_in_the_next_run(tiny, weights, home, monkeypatch):
    half = len(weights) // 2
    monkeypatch.setattr(module, "TRIES", 1)
    tiny.drop_after = half
    with pytest.raises(ModelError, match=rf"broke after {half:,} bytes \(.*run the same command again"):
        pull_tiny(weights)
    assert part(home, sha(weights)).read_bytes() == weights[:half]
    pull_tiny(weights)
    assert [r for verb, _, r in tiny.seen if verb == "GET"] == [None, f"bytes={half}-"]
    assert tiny.sent == len(weights)


def test_a_run_goes_on_by_itself_as_long_as_something_comes(tiny, weights):
    tiny.drop_after, tiny.drops = len(weights) // 4, 3
    pull_tiny(weights)
    assert len(tiny.paths()) == 4
    assert tiny.sent == len(weights)


def test_a_connection_that_brings_nothing_ends_the_run(tiny, weights, home):
    tiny.drop_after, tiny.drops = 0, 99
    with pytest.raises(ModelError, match="broke after 0 bytes"):
        pull_tiny(weights)
    assert len(tiny.paths()) == 1
    assert not left(home)


def test_a_killed_run_loses_nothing(tiny, weights, home):
    half = len(weights) // 2
    tiny.stall_after = half
    pins = f"revision={COMMIT!r}, sha256={sha(weights)!r}"
    code = f"from earwitness.operations.pull import pull; pull({REPOSITORY!r}, {pins})"
    with subprocess.Popen([sys.executable, "-c", code], env=os.environ) as process:
        file = part(home, sha(weights))
        deadline = time.monotonic() + 30
        while not (file.exists() and file.stat().st_size > half - module.CHUNK):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        with pytest.raises(ModelError, match="being fetched by another run"):
            pull_tiny(weights)
        process.send_signal(signal.SIGKILL)
    kept = file.stat().st_size
    tiny.stall_after = None
    pull_tiny(weights)
    assert tiny.seen[-2] == ("GET", tiny.paths()[-1], f"bytes={kept}-")
    assert tiny.sent <= len(weights) + module.CHUNK


def test_a_hub_without_ranges_starts_over(tiny, weights, home):
    file = part(home, sha(weights))
    file.parent.mkdir(parents=True)
    file.write_bytes(b"x" * 1000)
    tiny.ranges = False
    pull_tiny(weights)
    assert tiny.sent == len(weights)


def test_a_whole_part_is_not_fetched_again(tiny, weights, home):
    file = part(home, sha(weights))
    file.parent.mkdir(parents=True)
    file.write_bytes(weights)
    pull_tiny(weights)
    assert tiny.sent == 0


def test_what_cannot_be_imported_is_kept_for_another_try(tiny, weights, home):
    with pytest.raises(ModelError, match="--heads"):
        pull_tiny(weights, heads=None)
    assert left(home) == [f".downloads/{sha(weights)}/model.safetensors"]
    pull_tiny(weights)
    assert len(tiny.paths()) == 1
    assert not left(home)


def test_silence_is_not_waited_out(tiny, weights, monkeypatch):
    monkeypatch.setattr(module, "TIMEOUT_S", 0.3)
    tiny.stall_after = 0
    with pytest.raises(ModelError, match=r"broke after 0 bytes \(no answer within 0.3 s\)"):
        pull_tiny(weights)


# ---------------------------------------------------------------- pins


def test_an_unknown_digest_is_refused_with_the_announced_one(tiny, weights):
    with pytest.raises(ModelError) as caught:
        pull(REPOSITORY)
    text = str(caught.value)
    assert "needs --sha256 and --revision" in text
    assert all(word in text for word in (sha(weights), COMMIT, f"{len(weights):,} bytes"))
    with pytest.raises(ModelError, match=f"needs --revision, .* {COMMIT}"):
        pull(REPOSITORY, sha256=sha(weights))
    tiny.announces = {"X-Linked-ETag": '"no digest\x1b[2J"', "X-Repo-Commit": None, "X-Linked-Size": None}
    with pytest.raises(ModelError, match=r"SHA-256 \(none\), .* revision \(none\)"):
        pull(REPOSITORY)
    assert not tiny.paths()
    assert tiny.sent == 0


def test_a_known_model_without_a_known_digest_needs_one(tiny, weights, monkeypatch):
    monkeypatch.setitem(KNOWN, "tiny", HubFile(REPOSITORY))
    with pytest.raises(ModelError, match=f"needs --sha256, .* {sha(weights)}"):
        pull("tiny")
    assert pull("tiny", sha256=sha(weights), heads=4)["source"]["revision"] == COMMIT


def test_altered_content_is_refused_and_deleted(tiny, weights, home):
    altered = bytearray(weights)
    altered[-1] ^= 1
    tiny.files["model.safetensors"] = bytes(altered)
    tiny.announces = {"X-Linked-ETag": f'"{sha(weights)}"'}
    with pytest.raises(ModelError, match=f"{sha(bytes(altered))}, not {sha(weights)}: refused and deleted"):
        pull_tiny(weights)
    assert not list(home.rglob("*"))


def test_another_announced_digest_or_commit_is_refused_unfetched(tiny, weights, home):
    with pytest.raises(ModelError, match=f"announces the SHA-256 {sha(weights)}, not {'0' * 64}"):
        pull_tiny(weights, sha256="0" * 64)
    with pytest.raises(ModelError, match=f"revision {COMMIT}, not {OTHER}"):
        pull_tiny(weights, revision=OTHER)
    assert not list(home.rglob("*"))


def test_the_table_is_not_overruled():
    with pytest.raises(ModelError, match=r"is known to be 9bd5d978.*, not 0000"):
        pull("mms-300m-anti-deepfake", sha256="0" * 64)


def test_the_table_lists_the_fourteen():
    assert len(KNOWN) == 14
    assert sum(row.sha256 is not None for row in KNOWN.values()) == 3
    for name, row in KNOWN.items():
        assert row.repository == f"nii-yamagishilab/{name}"
        assert row.file == "model.safetensors"
        assert row.sha256 is None or re.fullmatch("[0-9a-f]{64}", row.sha256)
        assert (row.sha256 is None) == (row.size is None)


def test_an_altered_file_of_a_bundle_is_refused(hub, bundle, home):
    hub.files = bundle | {"model.safetensors": bundle["model.safetensors"][:-1] + b"?"}
    hub.announces = {"X-Linked-ETag": None}
    with pytest.raises(ModelError, match=r"model\.safetensors: what came has the SHA-256"):
        pull(f"{REPOSITORY}:model.json", None, COMMIT, sha(bundle["model.json"]))
    assert not (home / "tiny").exists()


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"model.safetensors": "123"},
        {"model.safetensors": None},
        {"Model.json": "0" * 64},
        {"../x": "0" * 64},
        {f"{i}": "0" * 64 for i in range(99)},
    ],
)
def test_a_card_that_does_not_pin_its_files_is_refused(hub, bundle, home, files):
    card = json.dumps(json.loads(bundle["model.json"]) | {"files": files}).encode()
    hub.files = {"model.json": card}
    with pytest.raises(ModelError, match=r"each with its SHA-256|outside its folder"):
        pull(f"{REPOSITORY}:model.json", None, COMMIT, sha(card))
    assert len(hub.seen) == 1


# ---------------------------------------------------------------- refusals in one sentence


def test_offline(monkeypatch, weights, home):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{port}")
    for source in ("mms-300m-anti-deepfake", "mms-1b-anti-deepfake"):
        with pytest.raises(ModelError) as caught:
            pull(source)
        assert str(caught.value) == (
            "127.0.0.1 cannot be reached (connection refused): connect and run this again, or fetch "
            f"model.safetensors elsewhere and use `earwitness models import FILE --name {source}`"
        )
    assert not list(home.rglob("*"))


def test_a_name_that_does_not_resolve(monkeypatch):
    def fail(*_, **__):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(ModelError, match=r"^huggingface.co cannot be reached \(name resolution failed\)"):
        pull("mms-300m-anti-deepfake")


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (401, "hf auth login"),
        (403, "gated"),
        (404, "no such file"),
        (429, "HTTP 429; try later"),
        (503, "HTTP 503; try later"),
        (204, "HTTP 204, which is not"),
    ],
)
def test_refusals_of_the_hub(tiny, weights, home, monkeypatch, status, words):
    monkeypatch.setenv("HF_TOKEN", SECRET)
    tiny.status = status
    with pytest.raises(ModelError, match=words) as caught:
        pull_tiny(weights)
    assert "\n" not in str(caught.value)
    assert SECRET not in str(caught.value)
    assert not list(home.rglob("*"))


def test_a_broken_token_is_not_shown(tiny, weights, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", f"{SECRET}\nX-Other: header")
    with pytest.raises(ModelError, match="cannot be a token") as caught:
        pull_tiny(weights)
    assert SECRET not in str(caught.value)
    assert not tiny.seen


def test_a_taken_name_is_said_before_anything_is_fetched(tiny, weights, home):
    (home / "tiny").mkdir(parents=True)
    with pytest.raises(ModelError, match="is there already"):
        pull_tiny(weights)
    assert not tiny.seen


@pytest.mark.parametrize("package", ["torch", "transformers", "safetensors"])
def test_a_missing_package_is_said_before_anything_is_fetched(tiny, weights, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtra, match=package):
        pull_tiny(weights)
    assert not tiny.seen


def test_a_bundle_needs_no_torch(hub, bundle, home, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    hub.files = bundle
    pull(f"{REPOSITORY}:model.json", None, COMMIT, sha(bundle["model.json"]))
    assert (home / "tiny" / "model.json").is_file()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"source": "mms-300m-anti-depfake"}, "did you mean mms-300m-anti-deepfake"),
        ({"source": "nothing like it"}, "neither OWNER/REPO"),
        ({"source": "a/b/c"}, "neither OWNER/REPO"),
        ({"source": "../b"}, "neither OWNER/REPO"),
        ({"source": "a/b:../../c"}, "neither OWNER/REPO"),
        ({"source": "a/b:c\n"}, "neither OWNER/REPO"),
        ({"source": "a/b", "name": "no/name"}, "cannot be a model's name"),
        ({"source": "a/b", "revision": "main"}, "not a whole commit"),
        ({"source": "a/b", "sha256": "abc"}, "not a SHA-256"),
    ],
)
def test_wrong_usage(options, words):
    with pytest.raises(ModelError, match=words):
        pull(**options)


@pytest.mark.parametrize("address", ["ftp://x", "huggingface.co", "http://user:word@x", "http://[x"])
def test_an_endpoint_that_is_none(monkeypatch, address):
    monkeypatch.setenv("HF_ENDPOINT", address)
    with pytest.raises(ModelError, match="HF_ENDPOINT: must be") as caught:
        pull("mms-300m-anti-deepfake")
    assert "word" not in str(caught.value)


# ---------------------------------------------------------------- hubs that lie


@pytest.mark.parametrize(
    ("store", "words"),
    [("file:///etc/passwd?", "to 'file' addresses"), ("ftp://x", "'ftp'"), ("http://[", "to '' addresses")],
)
def test_redirects_to_other_than_http_are_not_followed(tiny, weights, store, words):
    tiny.store = store
    with pytest.raises(ModelError, match=words):
        pull_tiny(weights)


def test_redirects_from_https_to_http_are_not_followed():
    with pytest.raises(ModelError, match="'http' addresses: not followed"):
        module.redirected(HubFile(REPOSITORY), "https://huggingface.co/a", "http://huggingface.co/a")
    assert module.redirected(HubFile(REPOSITORY), "http://hub/a/b", "/c") == "http://hub/c"


def test_redirects_in_a_circle_end(tiny, weights):
    tiny.store = f"{tiny.address}/{REPOSITORY}/resolve/main/model.safetensors?"
    with pytest.raises(ModelError, match="redirects more than"):
        pull_tiny(weights)


def test_more_than_announced_is_cut_off(tiny, weights, home):
    tiny.chunks = b"x" * 50_000
    with pytest.raises(ModelError, match=f"more was sent than the {len(weights):,} bytes announced: cut off"):
        pull_tiny(weights)
    assert not list(home.rglob("*"))


def test_an_endless_card_is_cut_off(hub, bundle, home):
    hub.files = bundle
    hub.chunks, hub.announces = b"x" * 500_000, {"X-Linked-Size": None}
    with pytest.raises(ModelError, match="the 4,194,304 bytes allowed: cut off"):
        pull(f"{REPOSITORY}:model.json", None, COMMIT, sha(bundle["model.json"]))
    assert not list(home.rglob("*"))


def test_sizes_that_disagree_or_are_too_big_are_refused_unread(tiny, weights, monkeypatch):
    tiny.announces = {"X-Linked-Size": "1000"}
    with pytest.raises(ModelError, match=f"1,000 or {len(weights):,} bytes"):
        pull_tiny(weights)
    tiny.announces = {}
    monkeypatch.setattr(module, "MOST_BYTES", 1000)
    with pytest.raises(ModelError, match="at most 1,000 are fetched"):
        pull_tiny(weights)


def test_another_range_than_asked_for_is_refused(tiny, weights, home):
    file = part(home, sha(weights))
    file.parent.mkdir(parents=True)
    file.write_bytes(weights[:1000])
    tiny.announces = {"Content-Range": "bytes 0-9/10"}
    with pytest.raises(ModelError, match="another part"):
        pull_tiny(weights)
    assert file.read_bytes() == weights[:1000]


def test_a_full_disk_is_said_before_it_is_full(tiny, weights, home, monkeypatch):
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _: type("Usage", (), {"free": len(weights)}))
    with pytest.raises(ModelError, match=r"GB more are needed there, .* GB are free"):
        pull_tiny(weights)
    assert not list(home.rglob("*"))


def test_a_place_that_cannot_be_written(tiny, weights, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("EARWITNESS_MODELS", str(tmp_path / "file" / "models"))
    with pytest.raises(ModelError, match="Not a directory"):
        pull_tiny(weights)


def test_a_disk_that_fills_meanwhile(tiny, weights, home):
    """A limit on the size of files stands for the full disk."""
    limit = len(weights) // 2
    pins = f"revision={COMMIT!r}, sha256={sha(weights)!r}, heads=4"
    code = (
        f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))\n"
        f"from earwitness.operations.pull import pull; pull({REPOSITORY!r}, {pins})"
    )
    pytest.importorskip("resource")
    done = subprocess.run([sys.executable, "-B", "-c", code], env=os.environ, capture_output=True, text=True)
    assert "ModelError: " in done.stderr.splitlines()[-1]
    assert "File too large" in done.stderr.splitlines()[-1]
    assert part(home, sha(weights)).stat().st_size == limit
    pull_tiny(weights)
    assert tiny.seen[1][2] == f"bytes={limit}-"
