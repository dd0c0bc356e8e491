"""Bodies of requests to files: size and time are bounded, and nothing is taken on trust from their names."""

import asyncio
import errno
import hashlib
import os
import time
from collections.abc import Collection
from contextlib import suppress
from typing import Any

from fastapi import Request
from starlette.concurrency import run_in_threadpool

from earwitness.service.forms import Form
from earwitness.service.problems import Problem
from earwitness.service.store import Store, Upload, new_id, sync_folder

STALL_S = 20.0  # between two pieces
WHOLE_S = 3_600.0
SLOWEST = 1_000  # bytes a second, over time
PIECE = 1 << 20
UNNAMED = "recording"


def bounded(receive: Any, most: int) -> Any:
    """An ASGI receive that ends what is too large, stalls, or drips, until the body is whole."""
    began, came, whole = time.monotonic(), 0, False

    async def limited() -> Any:
        nonlocal came, whole
        if whole:
            return await receive()
        try:
            message = await asyncio.wait_for(receive(), STALL_S)
        except TimeoutError:
            raise stalled() from None
        came += len(message.get("body", b""))
        whole = not message.get("more_body", False)
        if came > most:
            raise too_big(most)
        took_s = time.monotonic() - began
        if not whole and (took_s > WHOLE_S or came < (took_s - STALL_S) * SLOWEST):
            raise stalled()
        return message

    return limited


def stalled() -> Problem:
    """What is answered to a client that stops sending."""
    return Problem(
        408, "too-slow", f"the upload stood still for {STALL_S:g} s, or was too slow altogether; try again"
    )


def too_big(most: int) -> Problem:
    """What is answered to too large a body."""
    size = f"{most >> 20} MiB" if most >= 1 << 20 else f"{most} bytes"
    return Problem(413, "too-big", f"more than {size}; split the recording, or send a compressed one")


def clean_name(name: str | None) -> str:
    """A client's name for a file as one line of text without folders; it never names a file here."""
    last = (name or "").replace("\\", "/").rpartition("/")[2]
    kept = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in last).strip()
    return kept[:200] or UNNAMED


class Incoming:
    """A recording on its way to the folder; `upload` once it is whole."""

    def __init__(self, store: Store, name: str | None, most: int) -> None:
        self.id, self.name, self.most = new_id(), clean_name(name), most
        self.target = store.audio(self.id)
        self.part = self.target.with_suffix(".part")
        self.file = self.part.open("xb")
        self.digest, self.size = hashlib.sha256(), 0

    def write(self, piece: bytes) -> None:
        """Take a piece.

        Raises:
            Problem: 413 or 507.
        """
        self.size += len(piece)
        if self.size > self.most:
            raise too_big(self.most)
        self.digest.update(piece)
        try:
            self.file.write(piece)
        except OSError as error:
            raise no_room(error) from None

    def end(self) -> None:
        """Nothing more comes; a whole batch is settled later.

        Raises:
            Problem: 422 or 507.
        """
        if not self.size:
            raise Problem(422, "empty-file", f"{self.name}: 0 bytes came; send the audio itself")
        try:
            self.file.close()
        except OSError as error:
            raise no_room(error) from None

    def settle(self) -> Upload:
        """Give the file its name once it is on the disk."""
        try:
            with self.part.open("rb+") as file:
                os.fsync(file.fileno())
        except OSError as error:
            raise no_room(error) from None
        self.part.replace(self.target)
        return Upload(self.id, self.name, self.size, self.digest.hexdigest())

    def undo(self) -> None:
        """Let go what came."""
        with suppress(OSError):  # what was not written yet may find no room
            self.file.close()
        self.part.unlink(missing_ok=True)
        self.target.unlink(missing_ok=True)


def no_room(error: OSError) -> Problem:
    """What is answered where the disk takes no more.

    Raises:
        OSError: it was something else.
    """
    if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        raise error
    return Problem(507, "no-room", "the disk of this service is full; try again later")


async def receive_files(
    request: Request, store: Store, name: str | None, most: int, refused: Collection[str] = ()
) -> list[Upload]:
    """The file or files of a request, on the disk and durable; nothing is left of what fails.

    Args:
        request: whose body they are.
        store: to take them in.
        name: what to call them, over what a form says.
        most: bytes of the body; that of a form may have a MiB around its files.
        refused: names that a form's fields may not have.

    Raises:
        Problem: 408, 413, 422 or 507.
    """
    kind = request.headers.get("content-type", "")
    is_form = kind.partition(";")[0].strip().lower() == "multipart/form-data"
    limit = most + PIECE if is_form else most
    length = request.headers.get("content-length", "")
    if length.isascii() and length.isdigit() and int(length) > limit:
        raise too_big(most)
    came: list[Incoming] = []

    def start(said: str | None) -> Incoming:
        came.append(Incoming(store, name or said, most))
        return came[-1]

    try:
        taker = Form(kind, start, refused) if is_form else start(name)
        async for piece in Request(request.scope, bounded(request.receive, limit)).stream():
            taker.write(piece)
        taker.end()
        return await run_in_threadpool(settle_all, store, came)
    except BaseException:
        for one in came:
            one.undo()
        raise


def settle_all(store: Store, came: list[Incoming]) -> list[Upload]:
    """Give files their names once all are on the disk."""
    uploads = [one.settle() for one in came]
    sync_folder(store.folder)
    return uploads
