"""What the OpenAPI description says of answers, with examples."""

from typing import Any

from fastapi import Path

ID_PATH = Path(
    description="Of an analysis, as its answer gave it.",
    pattern="^[0-9a-z]{26}$",
    examples=["06dm3x9k2v4n8q1r5t7w0y2a4c"],
)
TIME = {"type": "string", "format": "date-time"}
RECORD: dict[str, Any] = {
    "type": ["object", "null"],
    "description": "The verdict, as `earwitness scan --json --timeline` gives it; in lists a part of it.",
    "properties": {
        "verdict": {"enum": ["fake", "genuine", "uncertain", "no-speech", "error"]},
        "p_fake": {"type": ["number", "null"], "minimum": 0, "maximum": 1},
        "llr": {"type": ["number", "null"], "description": "Nats; higher means more bona fide."},
        "error": {"type": ["object", "null"]},
        "warnings": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["verdict"],
}
ANALYSIS: dict[str, Any] = {
    "type": "object",
    "properties": {
        "id": {"type": "string", "pattern": "^[0-9a-z]{26}$"},
        "state": {"enum": ["queued", "running", "done", "parked"]},
        "name": {"type": "string"},
        "size": {"type": "integer", "minimum": 1},
        "sha256": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
        "created": TIME,
        "finished": {"type": ["string", "null"], "format": "date-time"},
        "progress": {"type": ["number", "null"], "minimum": 0, "maximum": 1},
        "options": {"type": "object"},
        "batch": {"type": ["string", "null"]},
        "audio": {"type": "boolean", "description": "Whether the recording is still kept."},
        "label": {"type": ["object", "null"]},
        "record": RECORD,
    },
    "required": ["id", "state", "name", "size", "sha256", "created", "options", "audio", "record"],
}
EXAMPLE = {
    "id": "06dm3x9k2v4n8q1r5t7w0y2a4c",
    "state": "done",
    "name": "call.m4a",
    "size": 81_234,
    "sha256": "0f343b0931126a20f133d67c2b018a3b0f343b0931126a20f133d67c2b018a3b",
    "created": "2026-01-31T09:30:00.000Z",
    "finished": "2026-01-31T09:30:00.400Z",
    "progress": None,
    "options": {"model": None, "prior": 0.5, "knowledge": True, "attribution": False, "watermark": None},
    "batch": None,
    "audio": True,
    "label": None,
    "record": {
        "verdict": "fake",
        "p_fake": 0.98,
        "llr": -3.9,
        "duration_s": 5.2,
        "error": None,
        "warnings": [],
    },
}
PROBLEM = {
    "type": "object",
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string"},
    },
    "required": ["type", "title", "status", "detail", "code"],
}


def answers(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Problems of these statuses."""
    said = {"content": {"application/problem+json": {"schema": PROBLEM}}}
    return {status: {"description": WHY[status], **said} for status in statuses}


def ok(schema: dict[str, Any], description: str, example: Any = None) -> dict[str, Any]:
    """A good answer."""
    content: dict[str, Any] = {"schema": schema}
    if example is not None:
        content["example"] = example
    return {"description": description, "content": {"application/json": content}}


WHY = {
    401: "No valid key.",
    403: "The key's role, or the page the request comes from, does not allow it.",
    404: "There is no such thing, or it is kept no longer.",
    408: "The upload stood still.",
    409: "Not in this state.",
    413: "Larger than this service takes.",
    415: "No audio.",
    422: "Cannot be used; `detail` says why.",
    429: "Too many; `Retry-After` says when to come again.",
}
ALWAYS = answers(401, 403, 422, 429)
ID_OBJECT = {"type": "object", "properties": {"id": {"type": "string"}}, "required": ["id"]}
ENTRIES = {"type": "object"}
CREATED = {
    200: ok(ANALYSIS, "Answered.", EXAMPLE),
    202: ok(ANALYSIS, "Accepted; look again at the place in `Location`."),
    **answers(404, 408, 413, 415),
    **ALWAYS,
}
BATCH = {
    200: ok(ID_OBJECT, "How far it is."),
    202: ok(ID_OBJECT, "Accepted."),
    **answers(404, 408, 413, 415),
    **ALWAYS,
}
FOUND = {
    200: ok(
        {
            "type": "object",
            "properties": {
                "analyses": {"type": "array", "items": ANALYSIS},
                "next": {"type": ["string", "null"]},
            },
            "required": ["analyses", "next"],
        },
        "Newest first.",
    ),
    **ALWAYS,
}
ONE = {200: ok(ANALYSIS, "The analysis.", EXAMPLE), **answers(404), **ALWAYS}
GONE = {204: {"description": "Forgotten."}, **answers(404), **ALWAYS}
LABELLED = {200: ok(ANALYSIS, "Noted.", EXAMPLE), **answers(404, 409), **ALWAYS}
FILE = {
    200: {"description": "The file.", "content": {"*/*": {}}},
    206: {"description": "A part of it."},
    416: {"description": "No such part."},
    **answers(404, 409),
    **ALWAYS,
}
ANY = {200: ok(ENTRIES, "What is known."), **answers(404), **ALWAYS}
AUDIO = {"schema": {"type": "string", "format": "binary"}}
AUDIO_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/octet-stream": AUDIO,
            "audio/*": AUDIO,
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {"file": {"type": "string", "format": "binary"}},
                    "required": ["file"],
                }
            },
        },
    }
}
FILES_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {
                        "files": {
                            "type": "array",
                            "items": {"type": "string", "format": "binary"},
                            "minItems": 1,
                        }
                    },
                    "required": ["files"],
                }
            }
        },
    }
}
