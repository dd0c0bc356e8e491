"""Bodies of requests to files: size and time are bounded, and nothing is taken on trust from their names."""

import asyncio
import hashlib
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import IO, Any

from fastapi import Request
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException

from earwitness.service.problems import Problem
from earwitness.service.store import Store, Upload, new_id, remove_files, sync_folder

STALL_S = 20.0  # between two pieces
WHOLE_S = 3_600.0
MOST_FILES = 1_000  # of a batch
PIECE = 1 << 20
UNNAMED = "recording"


class Slow(Exception):
    """A client stopped sending."""


def bounded(receive: Any, most: int) -> Any:
    """An ASGI receive that ends what is too large, stalls, or drips."""
    began, came = time.monotonic(), 0

    async def limited() -> Any:
        nonlocal came
        try:
            message = await asyncio.wait_for(receive(), STALL_S)
        except TimeoutError:
            raise stalled() from None
        came += len(message.get("body", b""))
        if came > most:
            raise too_big(most)
        if time.monotonic() - began > WHOLE_S:
            raise stalled()
        return message

    return limited


def stalled() -> Problem:
    """What is answered to a client that stops sending."""
    return Problem(
        408, "too-slow", f"the upload stood still for {STALL_S:.0f} s, or took over an hour; try again"
    )


def too_big(most: int) -> Problem:
    """What is answered to too large a body."""
    return Problem(
        413, "too-big", f"more than {most >> 20} MiB; split the recording, or send a compressed one"
    )


def clean_name(name: str | None) -> str:
    """A client's name for a file as one line of text without folders; it never names a file here."""
    last = (name or "").replace("\\", "/").rpartition("/")[2]
    kept = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in last).strip()
    return kept.encode("utf-8", "replace").decode()[:200] or UNNAMED


async def receive_files(request: Request, store: Store, name: str | None, most: int) -> list[Upload]:
    """The file or files of a request, on the disk and durable; nothing is left of what fails.

    Raises:
        Problem: 408, 413, 415 or 422.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length) > most + PIECE:
        raise too_big(most)
    limit = most + PIECE if kind == "multipart/form-data" else most  # room for the form around the file
    request = Request(request.scope, bounded(request.receive, limit))
    if kind == "multipart/form-data":
        return await from_form(request, store, name, most)
    return [await write_upload(store, name, pieces_of(request))]


async def pieces_of(request: Request) -> AsyncIterator[bytes]:
    """The body as it comes."""
    async for piece in request.stream():
        yield piece


async def from_form(request: Request, store: Store, name: str | None, most: int) -> list[Upload]:
    """The files of a form."""
    try:
        form = await request.form(max_files=MOST_FILES, max_fields=100)
    except MultiPartException as error:
        raise Problem(422, "usage", f"the form cannot be read: {error.message}") from None
    except Problem:
        raise
    except Exception as error:
        raise Problem(422, "usage", f"the form cannot be read: {error!s:.200}") from None
    done: list[Upload] = []
    try:
        for _, part in form.multi_items():
            if isinstance(part, UploadFile):
                if part.size is not None and part.size > most:
                    raise too_big(most)
                done.append(await write_upload(store, name or part.filename, pieces_of_file(part)))
    except BaseException:
        for upload in done:
            remove_files(store, upload.id)
        raise
    finally:
        await form.close()
    if not done:
        raise Problem(422, "usage", "the form has no file; put the audio into a field called `file`")
    return done


async def pieces_of_file(part: UploadFile) -> AsyncIterator[bytes]:
    """A file of a form, a piece at a time."""
    while piece := await part.read(PIECE):
        yield piece


async def write_upload(store: Store, name: str | None, pieces: AsyncIterator[bytes]) -> Upload:
    """Pieces to a durable file, removed again if they do not all come."""
    id = new_id()
    target = store.audio(id)
    part = target.with_suffix(".part")
    digest, size = hashlib.sha256(), 0
    try:
        with part.open("xb") as file:
            async for piece in pieces:
                digest.update(piece)
                size += len(piece)
                file.write(piece)
            if not size:
                raise Problem(422, "empty-file", "the body holds 0 bytes; send the audio itself")
            await run_in_threadpool(settle, file, part, target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    return Upload(id, clean_name(name), size, digest.hexdigest())


def settle(file: IO[bytes], part: Path, target: Path) -> None:
    """Give a written file its name once it is on the disk."""
    file.flush()
    os.fsync(file.fileno())
    part.replace(target)
    sync_folder(target.parent)
