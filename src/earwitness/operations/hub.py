"""Files of a hub: asked for, announced, and fetched over broken connections.

Spoken is what huggingface.co speaks: `{endpoint}/{repository}/resolve/{revision}/{file}`, whose
own answers, before any redirect to a store, carry X-Repo-Commit, X-Linked-Size and, for large
files, the SHA-256 as X-Linked-ETag. The standard library does it: huggingface_hub begins every run
with a new temporary file (since its pull request 4228), so what a killed run had fetched is lost.
"""

import os
import re
import shutil
import socket
import ssl
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO
from urllib.error import URLError
from urllib.parse import quote, urljoin, urlsplit
from urllib.request import HTTPErrorProcessor, Request, build_opener

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from earwitness.decision.bundle import CARD, WEIGHTS, file_digest
from earwitness.errors import ModelError

HUB, CONFIG = "https://huggingface.co", "config.json"
TIMEOUT_S = 30.0  # to connect, and for each read
TRIES, PAUSE_S = 20, 1.0  # of one file in one run; each must have brought something
REDIRECTS = 5
CHUNK = 1 << 16  # bytes; what a killed run can lose
MOST_BYTES, MOST_TEXT_BYTES = 20 * 10**9, 4 << 20
COMMIT, DIGEST = re.compile(r"[0-9a-f]{40}"), re.compile(r"[0-9a-f]{64}")
RANGE = re.compile(r"bytes (\d{1,15})-\d{1,15}/(\d{1,15})")


@dataclass(frozen=True)
class HubFile:
    """A file on the hub, and what it must be. Without a revision the SHA-256 alone pins it."""

    repository: str
    file: str = WEIGHTS
    revision: str | None = None  # a whole commit
    sha256: str | None = None
    size: int | None = None  # bytes
    copies: int = 2  # on the disk at once: the download, and the bundle that is made of it

    def __str__(self) -> str:
        return f"{self.repository}/{self.file}"


@dataclass(frozen=True)
class Announced:
    """What the hub says of a file, as far as it says it."""

    commit: str | None = None
    sha256: str | None = None
    size: int | None = None


class Unreachable(ModelError):
    """The hub, or the store that it sent us to, gives no answer."""


class AsTheyCome(HTTPErrorProcessor):
    """Hands every answer over as it is; by default redirects are followed and errors raised."""

    def http_response(self, request: Request, response: Any) -> Any:
        """The answer."""
        return response

    https_response = http_response


def download(wanted: HubFile, folder: Path) -> str | None:
    """Bring a file into a folder, whole and of the right SHA-256; returns the hub's commit.

    Raises:
        ModelError: see `pull`.
    """
    whole = folder / PurePosixPath(wanted.file).name
    part = folder / f".{whole.name}.part"  # no file of a bundle has such a name
    if wanted.sha256 is None:  # then nothing tells whether what lies there is of this commit
        whole.unlink(missing_ok=True)
        part.unlink(missing_ok=True)
    elif whole.is_file() and file_digest(whole) == wanted.sha256:
        return wanted.revision
    commit = fetch(wanted, part)
    found = file_digest(part)
    if wanted.sha256 not in (None, found):
        part.unlink()
        raise ModelError(
            f"{wanted}: what came has the SHA-256 {found}, not {wanted.sha256}: refused and deleted"
        )
    part.replace(whole)
    return commit or wanted.revision


def fetch(wanted: HubFile, part: Path) -> str | None:
    """Append what is missing to a partial file, over broken connections as long as each brings something.

    Raises:
        ModelError: see `pull`.
    """
    with locked(part) as file, make_progress() as progress:
        task = progress.add_task(wanted.file, total=wanted.size)
        for _ in range(TRIES):
            before = file.tell()
            try:
                return receive(wanted, file, progress, task)
            except (OSError, HTTPException) as error:
                broke = why(error)
            if file.tell() <= before:
                break
            time.sleep(PAUSE_S)
        raise ModelError(
            f"{wanted}: the connection broke after {file.tell():,} bytes ({broke}); "
            "run the same command again, it goes on from there"
        )


def receive(wanted: HubFile, file: BinaryIO, progress: Progress, task: TaskID) -> str | None:
    """One request, from where the file ends; returns the hub's commit.

    Raises:
        ModelError: see `pull`.
        OSError, HTTPException: the connection broke.
    """
    done = file.tell()
    response, announced = ask("GET", wanted, done)
    with response:
        if done and response.status == 416:  # nothing is left to send; the digest decides
            return announced.commit
        check_answer(wanted, response.status, announced)
        if response.status not in ((200, 206) if done else (200,)):
            raise ModelError(f"{wanted}: the hub answers HTTP {response.status}, which is not the file")
        part = response.status == 206
        span = RANGE.fullmatch(response.headers.get("Content-Range", "")) if part else None
        if part and (not span or int(span[1]) != done):
            raise ModelError(f"{wanted}: the hub sends another part of it than was asked for")
        if done and not part:  # it knows no ranges
            file.truncate(0)
            done = file.seek(0)
        whole = span[2] if span else response.headers.get("Content-Length")
        expected = agreed(wanted, announced, number(whole))
        check_room(Path(file.name).parent, (expected or 0) * wanted.copies - done)
        progress.update(task, completed=done, total=expected)
        while chunk := response.read(CHUNK):
            done += len(chunk)
            if done > (expected or limit(wanted)):
                file.truncate(0)
                file.seek(0)
                raise ModelError(
                    f"{wanted}: more was sent than the {expected or limit(wanted):,} bytes "
                    f"{'announced' if expected else 'allowed'}: cut off and deleted"
                )
            store(file, chunk)
            progress.update(task, completed=done)
    if expected and done < expected:
        raise ConnectionError("closed early")
    return announced.commit


@contextmanager
def locked(part: Path) -> Iterator[BinaryIO]:
    """A partial file to append to, by one run at a time; it goes away if it stays empty.

    Raises:
        ModelError: another run holds it.
    """
    part.parent.mkdir(parents=True, exist_ok=True)
    with part.open("ab") as file:
        try:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except ImportError:  # no such locks on Windows
            pass
        except OSError:
            raise ModelError(f"{part}: being fetched by another run") from None
        try:
            yield file
        finally:
            if not file.tell():
                with suppress(OSError):  # Windows keeps what is open
                    part.unlink()


def store(file: BinaryIO, chunk: bytes) -> None:
    """Write, so that killing the process cannot lose it.

    Raises:
        ModelError: the disk takes no more.
    """
    try:
        file.write(chunk)
        file.flush()
    except OSError as error:
        raise ModelError(f"{file.name}: cannot be written: {error.strerror}") from None


def agreed(wanted: HubFile, announced: Announced, length: int | None) -> int | None:
    """The size of the whole file, by all who name one.

    Raises:
        ModelError: they disagree, or it is too big.
    """
    sizes = sorted({size for size in (wanted.size, announced.size, length) if size is not None})
    if len(sizes) > 1:
        raise ModelError(f"{wanted}: {sizes[0]:,} or {sizes[-1]:,} bytes? What is announced disagrees")
    if sizes and sizes[0] > limit(wanted):
        raise ModelError(f"{wanted}: {sizes[0]:,} bytes; at most {limit(wanted):,} are fetched")
    return sizes[0] if sizes else None


def limit(wanted: HubFile) -> int:
    """The most bytes that a file of this name may have."""
    return MOST_TEXT_BYTES if PurePosixPath(wanted.file).name in (CARD, CONFIG) else MOST_BYTES


def check_room(folder: Path, needed: int) -> None:
    """Ask for the room before it is filled.

    Raises:
        ModelError: the disk has not as many bytes left.
    """
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise ModelError(
            f"{folder}: {needed / 1e9:.2f} GB more are needed there, {free / 1e9:.2f} GB are free; "
            "make room, or name another place in $EARWITNESS_MODELS"
        )


def make_progress() -> Progress:
    """A bar with bytes, speed and time left, on stderr and on a terminal only."""
    console = Console(stderr=True)
    return Progress(
        TextColumn("fetching {task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        TextColumn("left"),
        console=console,
        redirect_stdout=sys.stdout.isatty(),
        disable=not console.is_terminal,
        transient=True,
    )


def ask(method: str, wanted: HubFile, start: int = 0) -> tuple[Any, Announced]:
    """The answer to one request, redirects followed, and what the hub itself said on the way.

    The token goes to the hub only. HEAD stays with the hub: its stores' addresses are for GET.

    Raises:
        Unreachable: no answer.
        ModelError: a redirect that is not followed.
    """
    base = endpoint()
    secret = token()
    path = f"{wanted.repository}/resolve/{wanted.revision or 'main'}/{wanted.file}"
    url = f"{base}/{quote(path)}"
    announced = Announced()
    for _ in range(REDIRECTS + 1):
        request = Request(url, headers={"User-Agent": "earwitness"}, method=method)
        if start:
            request.add_header("Range", f"bytes={start}-")
        at_home = origin(url) == origin(base)
        if at_home and secret:
            request.add_header("Authorization", f"Bearer {secret}")
        try:
            response = build_opener(AsTheyCome).open(request, timeout=TIMEOUT_S)
        except (OSError, HTTPException, ValueError) as error:
            raise Unreachable(f"{host(url)} cannot be reached ({why(error)})") from None
        if at_home:
            announced = announcement(announced, response)
        location = response.headers.get("Location")
        if response.status not in (301, 302, 303, 307, 308) or not location:
            return response, announced
        following = redirected(wanted, url, location)
        if method == "HEAD" and origin(following) != origin(base):
            return response, announced
        response.close()
        url = following
    raise ModelError(f"{wanted}: {host(base)} redirects more than {REDIRECTS} times")


def redirected(wanted: HubFile, url: str, location: str) -> str:
    """Where a redirect leads.

    Raises:
        ModelError: not to HTTP(S), or from HTTPS to HTTP.
    """
    try:
        following = urljoin(url, location)
        scheme = urlsplit(following).scheme
    except ValueError:
        following = scheme = ""
    if scheme not in ("https", urlsplit(url).scheme):
        raise ModelError(f"{wanted}: {host(url)} redirects to {scheme[:20]!r} addresses: not followed")
    return following


def announcement(before: Announced, response: Any) -> Announced:
    """What the hub's own answers say; the first word counts."""
    headers = response.headers
    commit = headers.get("X-Repo-Commit", "").lower()
    digest = headers.get("X-Linked-ETag", "").removeprefix("W/").strip('"').lower()
    size = number(headers.get("X-Linked-Size"))
    if size is None and response.status == 200:
        size = number(headers.get("Content-Length"))
    return Announced(
        before.commit or (commit if COMMIT.fullmatch(commit) else None),
        before.sha256 or (digest if DIGEST.fullmatch(digest) else None),
        size if before.size is None else before.size,
    )


def number(text: str | None) -> int | None:
    """A header that counts bytes."""
    return int(text) if text and re.fullmatch(r"[0-9]{1,15}", text) else None


def check_answer(wanted: HubFile, status: int, announced: Announced) -> None:
    """The answer must be the file, and the hub's words on it those of the pins.

    Raises:
        ModelError: in one sentence.
    """
    where = host(endpoint())
    if status in (401, 403):
        raise ModelError(
            f"{wanted}: {where} does not give it out (HTTP {status}): there is none, or it is private or "
            "gated; accept its terms there and log in with `hf auth login`, or set HF_TOKEN"
        )
    if status == 404:
        raise ModelError(f"{wanted}: {where} has no such file at {wanted.revision or 'main'} (HTTP 404)")
    if status >= 400:
        raise ModelError(f"{wanted}: {where} answers HTTP {status}; try later, what was fetched is kept")
    if announced.commit and wanted.revision and announced.commit != wanted.revision:
        raise ModelError(f"{wanted}: {where} answers with revision {announced.commit}, not {wanted.revision}")
    if announced.sha256 and wanted.sha256 and announced.sha256 != wanted.sha256:
        raise ModelError(
            f"{wanted}: {where} announces the SHA-256 {announced.sha256}, not {wanted.sha256}: not fetched"
        )


def endpoint() -> str:
    """The hub's address: `$HF_ENDPOINT`, or huggingface.co.

    Raises:
        ModelError: not an HTTP(S) address.
    """
    address = (os.environ.get("HF_ENDPOINT") or HUB).rstrip("/")
    if origin(address)[0] not in ("http", "https") or not host(address) or "@" in address:
        raise ModelError("HF_ENDPOINT: must be an address such as https://huggingface.co")
    return address


def origin(url: str) -> tuple[str, str | None, int | None]:
    """Scheme, host and port: who gets what is sent there."""
    try:
        parts = urlsplit(url)
        return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError:
        return "", None, None


def host(url: str) -> str:
    """The host of an address, for messages."""
    return origin(url)[1] or ""


def token() -> str | None:
    """The user's token for the hub: `$HF_TOKEN`, or what `hf auth login` saved.

    Raises:
        ModelError: no token can look like that (said without showing it).
    """
    text = os.environ.get("HF_TOKEN", "").strip()
    if not text:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        home = Path(os.environ.get("HF_HOME") or cache / "huggingface")
        with suppress(OSError, UnicodeDecodeError):
            text = Path(os.environ.get("HF_TOKEN_PATH") or home / "token").read_text("utf-8").strip()
    if text and not re.fullmatch(r"[!-~]+", text):
        raise ModelError("HF_TOKEN, or the file of `hf auth login`, holds what cannot be a token")
    return text or None


def why(error: BaseException) -> str:
    """What went wrong with a connection, in a few words of ours."""
    if isinstance(error, URLError) and isinstance(error.reason, BaseException):
        error = error.reason
    if isinstance(error, socket.gaierror):
        return "name resolution failed"
    if isinstance(error, TimeoutError):
        return f"no answer within {TIMEOUT_S:g} s"
    if isinstance(error, ssl.SSLCertVerificationError):
        return "its certificate cannot be verified; $SSL_CERT_FILE can name the authorities to trust"
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, ConnectionError):
        return "connection closed"
    return (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
