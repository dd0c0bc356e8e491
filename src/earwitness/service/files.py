"""Routes that give files: audio to play, outlines to draw, reports to print. All are made in a worker."""

from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Request
from fastapi.responses import FileResponse, PlainTextResponse, Response

from earwitness.errors import InputError
from earwitness.evidence.entries import ID as ENTRY_ID
from earwitness.evidence.places import open_base
from earwitness.service import schemas
from earwitness.service.analyses import ENDED, Id, existing
from earwitness.service.crew import DeskBusy, WorkerDied
from earwitness.service.guard import needs
from earwitness.service.keys import Caller
from earwitness.service.problems import Problem, as_problem
from earwitness.service.state import Service, service_of
from earwitness.service.store import find, remove_files

router = APIRouter(prefix="/v1")
Scanner = Annotated[Caller, Depends(needs("scan"))]
REPORT_POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; sandbox; frame-ancestors 'none'"
)
NOT_KEPT = "the audio is not kept; send the recording again"
TYPES = {"html": "text/html; charset=utf-8", "pdf": "application/pdf", "json": "application/json"}


def made(service: Service, name: str, request: dict[str, Any]) -> Path:
    """A file that a worker makes, unless it is there already.

    Raises:
        Problem: 422, it cannot be made; 429, not now.
    """
    out = service.store.folder.parent / "made" / name
    if not out.exists():
        try:
            service.crew.make({**request, "out": str(out)})
        except InputError as error:
            raise as_problem(error) from None
        except DeskBusy:
            wait = {"retry-after": "10"}
            raise Problem(429, "busy", "too much is being made already; try again", wait) from None
        except WorkerDied:
            detail = "making this took too much time or memory; scan the file again with the command line"
            raise Problem(422, "parked", detail) from None
    return out


def made_of(service: Service, id: str, name: str, request: dict[str, Any]) -> Path:
    """A file that a worker makes of an analysis; nothing is left of one that went meanwhile.

    Raises:
        Problem: as `made`; 404 or 409, it went.
    """
    out = made(service, name, request)
    found = find(service.store, id)
    if found is None or (request["path"] is not None and not found["audio"]):
        remove_files(service.store, id)
        existing(service, id)
        raise Problem(409, "not-kept", NOT_KEPT)
    return out


def kept(service: Service, analysis: dict[str, Any]) -> dict[str, Any]:
    """How a worker is told of the audio of an analysis.

    Raises:
        Problem: 409, it is not there any more.
    """
    path = service.store.audio(analysis["id"])
    if not analysis["audio"] or not path.exists():
        raise Problem(409, "not-kept", NOT_KEPT)
    return {"path": str(path), "name": analysis["name"]}


@router.get("/analyses/{id}/audio.wav", responses=schemas.FILE)
def audio(request: Request, id: Id, caller: Scanner) -> FileResponse:
    """The recording as the detector heard it: mono, 16 kHz."""
    service = service_of(request)
    source = kept(service, existing(service, id))
    return FileResponse(made_of(service, id, f"{id}.wav", {"do": "wav", **source}), media_type="audio/wav")


@router.get("/analyses/{id}/peaks", responses=schemas.ANY | schemas.answers(409))
def peaks(request: Request, id: Id, caller: Scanner) -> FileResponse:
    """The outline of the recording: the loudest sample of each of up to 1,200 stretches."""
    service = service_of(request)
    source = kept(service, existing(service, id))
    file = made_of(service, id, f"{id}.peaks.json", {"do": "peaks", **source})
    return FileResponse(file, media_type="application/json")


@router.get("/analyses/{id}/report.rttm", responses=schemas.FILE)
def rttm(request: Request, id: Id, caller: Scanner) -> Response:
    """Which parts sound fake, as RTTM."""
    from earwitness.operations.exports import rttm_text

    analysis = answered(service_of(request), id)
    return PlainTextResponse(rttm_text(analysis["record"], id), headers=attachment(id, "rttm"))


@router.get("/analyses/{id}/report.{form}", responses=schemas.FILE)
def report(request: Request, id: Id, form: Literal["html", "pdf", "json"], caller: Scanner) -> FileResponse:
    """A report to print or to keep; without pictures where the audio is not kept."""
    service = service_of(request)
    analysis = answered(service, id)
    there = analysis["audio"] and service.store.audio(id).exists()
    source = str(service.store.audio(id)) if there else None
    wanted = {"do": "report", "path": source, "record": analysis["record"], "form": form}
    file = made_of(service, id, f"{id}.{'' if there else 'bare.'}{form}", wanted)
    headers = {"content-security-policy": REPORT_POLICY, **(attachment(id, form) if form != "html" else {})}
    return FileResponse(file, media_type=TYPES[form], headers=headers)


def answered(service: Service, id: str) -> dict[str, Any]:
    """An analysis that is answered.

    Raises:
        Problem: 404 or 409.
    """
    found = existing(service, id)
    if found["state"] not in ENDED:
        raise Problem(409, "not-answered", "there is no report before the answer; look again later")
    return found


def attachment(id: str, form: str) -> dict[str, str]:
    """Have a browser save a file."""
    return {"content-disposition": f'attachment; filename="earwitness-{id}.{form}"'}


@router.get("/knowledge/entries/{entry}/audio.wav", responses=schemas.FILE)
def entry_audio(request: Request, entry: str, caller: Scanner) -> FileResponse:
    """The recording behind an entry of the knowledge base, where it is still where it was."""
    service = service_of(request)
    place = service.options.knowledge
    if place is None or not ENTRY_ID.fullmatch(entry):
        raise Problem(404, "no-such-entry", "there is no entry of this id")
    try:
        with open_base(place) as base:
            found = base.entries([entry])
    except InputError:
        found = []
    if not found:
        raise Problem(404, "no-such-entry", "there is no entry of this id")
    path = Path(found[0].path)
    if found[0].path == "-" or not path.is_file():
        raise Problem(409, "not-kept", "the recording of this entry is not there any more")
    source = {"path": str(path), "name": path.name}
    return FileResponse(made(service, f"entry-{entry}.wav", {"do": "wav", **source}), media_type="audio/wav")
