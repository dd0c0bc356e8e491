"""Routes of analyses: send one in, wait for it, find it again, label it, let it go."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from earwitness.errors import InputError
from earwitness.service import schemas
from earwitness.service.callbacks import check_address
from earwitness.service.guard import needs
from earwitness.service.keys import Caller
from earwitness.service.labels import learn
from earwitness.service.problems import Problem, as_problem
from earwitness.service.state import Service, service_of
from earwitness.service.store import (
    Upload,
    accept,
    accept_batch,
    batch_of,
    find,
    queue_length,
    remove,
    remove_files,
    search,
    set_label,
)
from earwitness.service.uploads import receive_files

MAX_WAIT_S = 60.0
ENDED = ("done", "parked")
router = APIRouter(prefix="/v1")

Scanner = Annotated[Caller, Depends(needs("scan"))]
Labeller = Annotated[Caller, Depends(needs("label"))]


class Asked(BaseModel):
    """What a client asks of an analysis."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())

    name: str | None = Field(
        None,
        max_length=1000,
        description="What to call the recording; of a form, the file's own name otherwise.",
    )
    model: str | None = Field(None, max_length=100, description="A name of /v1/models.")
    prior: float = Field(0.5, gt=0, lt=1, description="Share of recordings that you expect to be fake.")
    knowledge: bool | None = Field(
        None, description="Compare with the knowledge base; yes where there is one."
    )
    attribution: bool | None = Field(
        None, description="Say who made it if it is fake; yes where there is a tracer."
    )
    watermark: str | None = Field(None, max_length=100, description="Look for this watermark too.")
    callback: str | None = Field(None, max_length=2000, description="Where to send the answer by POST.")
    wait_s: float = Field(30.0, ge=0, le=MAX_WAIT_S, description="How long to wait for the answer at most.")


OPTIONS = frozenset(Asked.model_fields)


class Said(BaseModel):
    """What a person says of a recording."""

    model_config = ConfigDict(extra="forbid")

    label: Literal["fake", "genuine"]
    generator: str = Field(
        "",
        max_length=200,
        pattern=r"^[^\x00-\x1f\x7f]*$",
        description="Which system made it, where it is known.",
    )
    note: str = Field("", max_length=2000)


Id = Annotated[str, schemas.ID_PATH]
Options = Annotated[Asked, Query()]
RetryKey = Annotated[str | None, Header(alias="Idempotency-Key", min_length=1, max_length=200)]


@router.post("/analyses", responses=schemas.CREATED, openapi_extra=schemas.AUDIO_BODY)
async def create(request: Request, asked: Options, caller: Scanner, retry_key: RetryKey = None) -> Response:
    """Score a recording: sent as the body, or as the field `file` of a form.

    Answered at once where it is heard within `wait_s`, else with 202 and the place to look for the answer.
    """
    service = service_of(request)
    options, uploads = await received(service, request, asked, asked.name)
    if len(uploads) > 1:
        discard(service, uploads)
        raise Problem(422, "usage", "more than one file; send them to /v1/batches")
    try:
        id = await run_in_threadpool(
            accept,
            service.store,
            uploads[0],
            options,
            caller.name,
            retry_key=retry_key,
            callback=asked.callback,
        )
    except InputError as error:
        raise as_problem(error) from None
    service.crew.notify()
    found = await wait_for(service, id, asked.wait_s)
    if found is None:
        raise Problem(404, "no-such-analysis", "the analysis was deleted before it was answered")
    ended = found["state"] in ENDED
    return JSONResponse(found, 200 if ended else 202, {"location": f"/v1/analyses/{id}"})


async def received(
    service: Service, request: Request, asked: Asked, name: str | None
) -> tuple[dict[str, Any], list[Upload]]:
    """What a request asks for, and the files that it sends.

    Raises:
        Problem: as `checked`, `coming_in` and `receive_files`.
    """
    options = await run_in_threadpool(checked, service, asked)
    with coming_in(service):
        return options, await receive_files(request, service.store, name, service.options.max_bytes, OPTIONS)


def checked(service: Service, asked: Asked) -> dict[str, Any]:
    """The options of an analysis, which this service can follow.

    Raises:
        Problem: 422 where it cannot; 429 where too much waits already.
    """
    if asked.model is not None and asked.model not in service.models:
        raise Problem(422, "model", f"no model is called {asked.model[:60]!r}; see /v1/models")
    if asked.watermark is not None and asked.watermark not in service.watermarks:
        raise Problem(422, "model", f"no watermark is called {asked.watermark[:60]!r}; see /v1/about")
    if asked.knowledge and not service.options.knowledge:
        raise Problem(
            422, "no-knowledge", "this service has no knowledge base (`earwitness serve --knowledge`)"
        )
    if asked.attribution and not service.options.tracer:
        raise Problem(422, "no-tracer", "this service has no tracer (`earwitness serve --attribute`)")
    if asked.callback is not None:
        check_address(asked.callback, service.options.private_callbacks)
    if queue_length(service.store) >= service.options.max_waiting:
        raise Problem(
            429, "busy", "too many analyses wait for their turn; try again later", {"retry-after": "30"}
        )
    return {
        "model": asked.model,
        "prior": asked.prior,
        "knowledge": bool(service.options.knowledge) if asked.knowledge is None else asked.knowledge,
        "attribution": bool(service.options.tracer) if asked.attribution is None else asked.attribution,
        "watermark": asked.watermark,
    }


@contextmanager
def coming_in(service: Service) -> Iterator[None]:
    """Around an upload: so many at a time and no more.

    Raises:
        Problem: 429.
    """
    if service.uploads >= service.options.max_uploads:
        raise Problem(429, "busy", "too many uploads at a time; try again in a moment", {"retry-after": "2"})
    service.uploads += 1
    try:
        yield
    finally:
        service.uploads -= 1


def discard(service: Service, uploads: list[Upload]) -> None:
    """Let go what was not accepted."""
    for upload in uploads:
        remove_files(service.store, upload.id)


async def wait_for(service: Service, id: str, wait_s: float) -> dict[str, Any] | None:
    """An analysis, once it is answered or the time is over."""
    with service.expecting(id) as done:
        found = await run_in_threadpool(find, service.store, id)
        if found is None or found["state"] in ENDED or not wait_s:
            return found
        with suppress(TimeoutError):
            await asyncio.wait_for(done.wait(), wait_s)
    return await run_in_threadpool(find, service.store, id)


@router.post("/batches", status_code=202, responses=schemas.BATCH, openapi_extra=schemas.FILES_BODY)
async def create_batch(
    request: Request, asked: Options, caller: Scanner, retry_key: RetryKey = None
) -> Response:
    """Score many recordings, sent as files of one form; a callback comes once, when all are answered."""
    service = service_of(request)
    options, uploads = await received(service, request, asked, None)
    try:
        batch = await run_in_threadpool(
            accept_batch, service.store, uploads, options, caller.name, asked.callback, retry_key
        )
    except InputError as error:
        raise as_problem(error) from None
    except BaseException:
        discard(service, uploads)
        raise
    service.crew.notify()
    content = await run_in_threadpool(progress_of, service, batch)
    return JSONResponse(content, 202, {"location": f"/v1/batches/{batch}"})


@router.get("/batches/{id}", responses=schemas.BATCH)
def get_batch(request: Request, id: Id, caller: Scanner) -> JSONResponse:
    """How far a batch is."""
    return JSONResponse(progress_of(service_of(request), id))


def progress_of(service: Service, batch: str) -> dict[str, Any]:
    """A batch as a client sees it.

    Raises:
        Problem: 404.
    """
    found = batch_of(service.store, batch)
    if not found:
        raise Problem(404, "no-such-batch", "there is no batch of this id, or it is kept no longer")
    state = "done" if all(one["state"] in ENDED for one in found) else "running"
    return {"id": batch, "state": state, "analyses": [one["id"] for one in found]}


class Looked(BaseModel):
    """What to look for."""

    q: str = Field("", max_length=200, description="A part of the name, or the start of id or SHA-256.")
    verdict: Literal["", "fake", "genuine", "uncertain", "no-speech", "error"] = ""
    label: Literal["", "fake", "genuine", "none"] = ""
    limit: int = Field(50, ge=1, le=200)
    before: str = Field("", max_length=26, description="An id; only what came earlier.")


@router.get("/analyses", responses=schemas.FOUND)
def list_them(request: Request, looked: Annotated[Looked, Query()], caller: Scanner) -> JSONResponse:
    """Analyses, newest first, without windows and timelines."""
    store = service_of(request).store
    rows, more = search(store, looked.q, looked.verdict, looked.label, looked.limit, looked.before)
    return JSONResponse({"analyses": rows, "next": more})


@router.get("/analyses/{id}", responses=schemas.ONE)
def get_one(request: Request, id: Id, caller: Scanner) -> JSONResponse:
    """One analysis, with all that was found."""
    return JSONResponse(existing(service_of(request), id))


def existing(service: Service, id: str) -> dict[str, Any]:
    """An analysis that is there.

    Raises:
        Problem: 404.
    """
    found = find(service.store, id)
    if found is None:
        raise Problem(404, "no-such-analysis", "there is no analysis of this id, or it is kept no longer")
    return found


@router.delete("/analyses/{id}", status_code=204, responses=schemas.GONE)
def delete(request: Request, id: Id, caller: Labeller) -> Response:
    """Forget an analysis with its audio. What was learnt of its label stays in the knowledge base."""
    service = service_of(request)
    if not remove(service.store, id, caller.name):
        raise Problem(404, "no-such-analysis", "there is no analysis of this id, or it is kept no longer")
    service.tell(id)
    return Response(status_code=204)


@router.post("/analyses/{id}/label", responses=schemas.LABELLED)
def label(request: Request, id: Id, said: Said, caller: Labeller) -> JSONResponse:
    """Say what a recording is; it goes into the knowledge base at once."""
    service = service_of(request)
    analysis = existing(service, id)
    if analysis["state"] != "done":
        raise Problem(409, "not-answered", "label a recording once it is answered")
    learnt = learn(service, analysis, said.label, said.generator, caller.name)
    set_label(service.store, id, said.label, {"generator": said.generator, "note": said.note}, caller.name)
    return JSONResponse({**existing(service, id), "knowledge": learnt})
