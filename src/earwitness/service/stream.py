"""The live stream: a WebSocket on one side, a process that decodes and scores on the other."""

import asyncio
import contextlib
import json
import sys
from typing import Any, Literal

from fastapi import APIRouter, WebSocket, WebSocketDisconnect
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.concurrency import run_in_threadpool

from earwitness.service.crew import without_secrets
from earwitness.service.guard import caller_of, check_origin, token_of
from earwitness.service.problems import Problem
from earwitness.service.state import Service, service_of

GREETING_S, SILENCE_S, END_S = 10.0, 60.0, 120.0
LINE = 64 << 20  # bytes of an answer: the record of hours
POLICY_VIOLATION, INTERNAL_ERROR = 1008, 1011
router = APIRouter(prefix="/v1")


class Greeting(BaseModel):
    """The first message of a client."""

    model_config = ConfigDict(extra="forbid")

    key: str | None = Field(None, max_length=200)
    format: Literal["pcm_s16le", "container"]
    sample_rate: int = Field(16_000, ge=4_000, le=192_000)
    channels: int = Field(1, ge=1, le=8)
    prior: float = Field(0.5, gt=0, lt=1)
    model: str | None = Field(None, max_length=100)


@router.websocket("/stream")
async def stream(socket: WebSocket) -> None:
    """Hear live sound, and say every few seconds what it sounds like."""
    service = service_of(socket)
    await socket.accept()
    try:
        check_origin(service, socket.headers, "POST")
        asked = await greet(service, socket)
    except Problem as problem:
        await refuse(socket, problem)
        return
    except (WebSocketDisconnect, TimeoutError, RuntimeError):
        return
    service.streams += 1
    try:
        await attend(service, socket, asked)
    finally:
        service.streams -= 1


async def refuse(socket: WebSocket, problem: Problem) -> None:
    """Say why not, and hang up."""
    try:
        await socket.send_json({"event": "error", "code": problem.code, "detail": problem.detail})
        await socket.close(POLICY_VIOLATION)
    except (WebSocketDisconnect, RuntimeError):
        pass


async def greet(service: Service, socket: WebSocket) -> dict[str, Any]:
    """What the client wants heard.

    Raises:
        Problem: it may not, or there are too many streams.
        TimeoutError: it says nothing.
    """
    message = await asyncio.wait_for(socket.receive(), GREETING_S)
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect
    try:
        asked = Greeting.model_validate_json(message.get("text") or "")
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the first message"
        raise Problem(422, "usage", f"{where}: {first['msg']}") from None
    token = asked.key or token_of(socket.headers)
    await run_in_threadpool(caller_of, service, socket, token)
    if service.streams >= service.options.max_streams:
        raise Problem(429, "busy", "too many streams at a time; try again later")
    if asked.model is not None and asked.model not in service.models:
        raise Problem(422, "model", f"no model is called {asked.model[:60]!r}; see /v1/models")
    options = service.options
    limits = {"memory": options.memory, "max_duration_s": options.max_duration_s}
    return {**asked.model_dump(exclude={"key"}), "model": asked.model or options.model, **limits}


async def attend(service: Service, socket: WebSocket, asked: dict[str, Any]) -> None:
    """Run the process, and pass on what either side says until one ends."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "earwitness.service.live", json.dumps(asked)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=LINE,
        env={**without_secrets(), "OMP_NUM_THREADS": "1"},
    )
    incoming = asyncio.create_task(pass_sound(socket, process, asked))
    outgoing = asyncio.create_task(pass_verdicts(socket, process))
    try:
        # Sound that drips in would else hold one of the few streams for as long as its client likes.
        whole_s = asked["max_duration_s"] + SILENCE_S
        tasks = {incoming, outgoing}
        done, _ = await asyncio.wait(tasks, timeout=whole_s, return_when=asyncio.FIRST_COMPLETED)
        if incoming in done and incoming.exception() is None and incoming.result():
            await asyncio.wait_for(asyncio.shield(outgoing), END_S)
    except TimeoutError:
        pass
    finally:
        for task in (incoming, outgoing):
            task.cancel()
        await asyncio.gather(incoming, outgoing, return_exceptions=True)
        if process.returncode is None:
            process.kill()
        if process.stdin is not None:
            process.stdin.close()
        await process.wait()
        with contextlib.suppress(WebSocketDisconnect, RuntimeError):
            await socket.close()


async def pass_sound(socket: WebSocket, process: asyncio.subprocess.Process, asked: dict[str, Any]) -> bool:
    """Sound to the process; whether the client ended it properly."""
    assert process.stdin is not None
    try:
        while True:
            message = await asyncio.wait_for(socket.receive(), SILENCE_S)
            if message["type"] == "websocket.disconnect":
                return False
            if message.get("bytes"):
                process.stdin.write(message["bytes"])
                await process.stdin.drain()
            elif message.get("text"):
                process.stdin.close()
                return True
    except (TimeoutError, RuntimeError):
        return False
    except (BrokenPipeError, ConnectionResetError):
        return True  # the process has ended, and its last word is on its way


async def pass_verdicts(socket: WebSocket, process: asyncio.subprocess.Process) -> None:
    """Lines of the process to the client."""
    assert process.stdout is not None
    said = {}
    try:
        while line := await process.stdout.readline():
            said = json.loads(line)
            await socket.send_text(line.decode().rstrip())
        if said.get("event") not in ("end", "error"):
            await socket.send_json(
                {"event": "error", "code": "parked", "detail": "the stream could not be heard"}
            )
    except (WebSocketDisconnect, RuntimeError):
        pass
