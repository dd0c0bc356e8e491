"""Routes that tell of the service itself: models, knowledge base, drift."""

import json
import time
from collections import Counter
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from statistics import fmean
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import JSONResponse, PlainTextResponse
from sqlalchemy import select

from earwitness import __version__
from earwitness.decision.bundle import EMBEDDED, read_card
from earwitness.decision.detector import model_digest
from earwitness.errors import EarwitnessError, InputError
from earwitness.evidence.entries import Entry
from earwitness.evidence.places import open_base
from earwitness.service import schemas
from earwitness.service.guard import caller_of, needs, token_of
from earwitness.service.keys import Caller
from earwitness.service.labels import rows_of, samples_of
from earwitness.service.problems import Problem, as_problem
from earwitness.service.state import Service, service_of
from earwitness.service.tables import analyses

DAYS = 30
VIEWS = {"all": "all recordings", "fake": "what sounds fake", "genuine": "what sounds genuine"}
WATCH_P = 0.05  # shared out among the tests
FRESH_S = 60.0  # for which what was said of drift is said again
router = APIRouter(prefix="/v1")
plain = APIRouter()
Scanner = Annotated[Caller, Depends(needs("scan"))]


@router.get("/about", responses=schemas.ANY)
def about(request: Request) -> JSONResponse:
    """What this service can do, and what the caller may."""
    service = service_of(request)
    options = service.options
    try:
        role = caller_of(service, request, token_of(request.headers)).role
    except Problem as problem:
        if problem.status != 401:
            raise
        role = None
    content: dict[str, Any] = {"version": __version__, "auth": service.keys, "role": role}
    if role is not None:
        content |= {
            "limits": {"max_bytes": options.max_bytes, "max_duration_s": options.max_duration_s},
            "keep": options.keep,
            "models": list(service.models),
            "knowledge": options.knowledge is not None,
            "attribution": options.tracer is not None,
            "watermarks": service.watermarks,
            "drift": options.drift is not None,
            "labels": True,
            "stream": True,
        }
    return JSONResponse(content)


@router.get("/models", responses=schemas.ANY)
def models(request: Request, caller: Scanner) -> JSONResponse:
    """The models that may be asked for by name."""
    service, found = service_of(request), []
    for name, folder in service.models.items():
        try:
            card = read_card(folder)
        except EarwitnessError:
            continue
        found.append(
            {
                "name": name,
                "version": card.get("version", ""),
                "digest": model_digest(card),
                "default": model_digest(card) == model_digest(service.card),
                "licence": card.get("licence", "unknown"),
                "thresholds": card.get("thresholds"),
            }
        )
    return JSONResponse({"models": found})


def entries_of(service: Service) -> list[Entry]:
    """All entries of the knowledge base, none where it is not made yet.

    Raises:
        Problem: 404 without a base; 422 where it cannot be read.
    """
    if service.options.knowledge is None:
        raise Problem(
            404, "no-knowledge", "this service has no knowledge base (`earwitness serve --knowledge`)"
        )
    try:
        with open_base(service.options.knowledge) as base:
            return base.entries()
    except InputError as error:
        if error.code == "no-knowledge":
            return []
        raise as_problem(error) from None


@router.get("/knowledge", responses=schemas.ANY)
def knowledge(request: Request, caller: Scanner) -> JSONResponse:
    """What the knowledge base holds."""
    entries = entries_of(service_of(request))
    generators = Counter(
        entry.generator for entry in entries if not entry.bona_fide and entry.generator != "-"
    )
    genuine = sum(entry.bona_fide for entry in entries)
    return JSONResponse(
        {
            "entries": len(entries),
            "genuine": genuine,
            "fake": len(entries) - genuine,
            "quarantined": sum(bool(entry.quarantined) for entry in entries),
            "generators": dict(generators.most_common()),
        }
    )


@router.get("/knowledge/entries", responses=schemas.ANY)
def knowledge_entries(
    request: Request,
    caller: Scanner,
    q: Annotated[str, Query(max_length=200)] = "",
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    before: Annotated[str, Query(max_length=16)] = "",
) -> JSONResponse:
    """Entries of the knowledge base, newest first."""
    entries = sorted(
        entries_of(service_of(request)), key=lambda entry: (entry.added_at, entry.id), reverse=True
    )
    if before:
        ids = [entry.id for entry in entries]
        entries = entries[ids.index(before) + 1 :] if before in ids else []
    if q:
        entries = [entry for entry in entries if q.lower() in f"{entry.id} {entry.generator}".lower()]
    rows = [
        {
            "id": entry.id,
            "label": "genuine" if entry.bona_fide else "fake",
            "generator": entry.generator,
            "added": entry.added_at,
            "duration_s": entry.duration_s,
            "playable": entry.path != "-" and Path(entry.path).is_file(),
            "note": entry.quarantined,
        }
        for entry in entries[:limit]
    ]
    return JSONResponse({"entries": rows, "next": rows[-1]["id"] if len(entries) > limit else None})


@router.get("/drift", responses=schemas.ANY)
def drift(request: Request, caller: Scanner) -> JSONResponse:
    """Whether what comes in is still what the detector was built on."""
    service = service_of(request)
    if service.options.drift is None:
        raise Problem(404, "no-drift", "this service has no drift reference (`earwitness serve --drift`)")
    with service.judging:
        if service.drift is None or time.monotonic() - service.drift[0] > FRESH_S:
            said = {**judged(service, service.options.drift), "days": days_of(service)}
            service.drift = (time.monotonic(), said)
        return JSONResponse(service.drift[1])


def judged(service: Service, reference: Path) -> dict[str, Any]:
    """The latest recordings against the reference."""
    from earwitness.operations.drift import judge
    from earwitness.operations.drift_file import read_reference
    from earwitness.operations.drift_options import LEAST

    try:
        known = read_reference(reference)
        # As many as a window has, so that its null can be used; a recording may have come several times.
        rows = list(islice(rows_of(service.store, known.model), known.options.window))
        samples = samples_of(rows)
        if len(samples) < LEAST:
            note = f"{len(samples)} recordings heard so far; drift is judged from {LEAST} on"
            return {"state": "too-few", "recordings": len(samples), "tests": [], "note": note}
        found = [judge(known, samples, view) for view in views_of(known, samples, LEAST)]
    except EarwitnessError as error:
        raise as_problem(error) from None
    tests = [{"name": VIEWS[one.view], "p_value": float(one.p), "alarm": bool(one.alarm)} for one in found]
    alarm, least = any(test["alarm"] for test in tests), min(test["p_value"] for test in tests)
    state = "alarm" if alarm else "watch" if least <= WATCH_P / len(tests) else "quiet"
    return {"state": state, "recordings": len(samples), "tests": tests, "note": ""}


def views_of(reference: Any, samples: Any, least: int) -> list[str]:
    """The views of a reference that there are enough samples for."""
    return [view for view in reference.views if int(reference.in_view(samples, view).sum()) >= least]


def days_of(service: Service) -> list[dict[str, Any]]:
    """Answers by day."""
    began = time.time() - DAYS * 86_400
    columns = (analyses.c.finished, analyses.c.verdict, analyses.c.summary)
    days: dict[str, Counter[str]] = {}
    shares: dict[str, list[float]] = {}
    with service.store.read() as connection:
        for row in connection.execute(select(*columns).where(analyses.c.finished >= began)):
            day = datetime.fromtimestamp(row.finished, UTC).date().isoformat()
            days.setdefault(day, Counter())[row.verdict] += 1
            p_fake = json.loads(row.summary).get("p_fake")
            shares.setdefault(day, []).extend([] if p_fake is None else [p_fake])
    return [
        {
            "day": day,
            "recordings": count.total(),
            **{name: count[name] for name in ("fake", "genuine", "uncertain")},
            "other": count["no-speech"] + count["error"],
            "mean_p_fake": round(fmean(shares[day]), 4) if shares[day] else None,
        }
        for day, count in sorted(days.items())
    ]


@plain.get("/healthz", include_in_schema=False)
def healthz() -> PlainTextResponse:
    """Whether the process lives."""
    return PlainTextResponse("ok\n")


@plain.get("/readyz", include_in_schema=False)
def readyz(request: Request) -> PlainTextResponse:
    """Whether it can take work: its store answers and its threads live."""
    service = service_of(request)
    try:
        with service.store.read() as connection:
            connection.execute(select(analyses.c.number).limit(1))
        good = all(thread.is_alive() for thread in service.crew.threads)
    except Exception:
        good = False
    return PlainTextResponse("ready\n" if good else "not ready\n", 200 if good else 503)


@plain.get("/metrics", include_in_schema=False)
def metrics(request: Request, caller: Scanner) -> PlainTextResponse:
    """Figures for Prometheus."""
    return PlainTextResponse(service_of(request).gauges.page(), media_type="text/plain; version=0.0.4")


def known_models() -> dict[str, Path]:
    """Models by name: the embedded one, and those imported."""
    from earwitness.operations.models import list_models

    found = {row["name"]: Path(row["folder"]) for row in list_models() if row.get("kind") == "detector"}
    return {EMBEDDED.name: EMBEDDED, **found}
