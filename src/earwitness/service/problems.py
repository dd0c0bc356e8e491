"""Errors of the service as problem+json (RFC 9457), with the codes of the command line."""

from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from earwitness.errors import EarwitnessError, InputError
from earwitness.service.worker import without_paths

TITLES = {
    400: "Bad request",
    401: "Who are you?",
    403: "Not allowed",
    404: "Not found",
    405: "Method not allowed",
    408: "Too slow",
    409: "Not now",
    411: "Length required",
    413: "Too large",
    415: "Unsupported media type",
    422: "Cannot be used",
    429: "Too many",
    500: "Failed",
    507: "No room",
}
CODES = {400: "usage", 404: "not-found", 405: "method-not-allowed", 413: "too-big", 415: "not-audio"}


class Problem(HTTPException):
    """An answer that says what is wrong and what to do."""

    def __init__(self, status: int, code: str, detail: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(status, detail, headers or {})
        self.status, self.code = status, code

    def body(self) -> dict[str, Any]:
        """The JSON of it."""
        return {
            "type": f"about:blank#{self.code}",
            "title": TITLES.get(self.status, "Error"),
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
        }


def answer(problem: Problem) -> JSONResponse:
    """A problem as a response."""
    return JSONResponse(
        problem.body(), problem.status, problem.headers, media_type="application/problem+json"
    )


def as_problem(error: EarwitnessError, status: int = 422) -> Problem:
    """An error of the package as a problem."""
    code = error.code if isinstance(error, InputError) else "model"
    return Problem(500 if code == "internal" else status, code, without_paths(str(error)))


def handle_problems(app: FastAPI) -> None:
    """Have every error of an app answered in this form."""

    @app.exception_handler(Problem)
    async def of_ours(_: Request, error: Problem) -> JSONResponse:
        return answer(error)

    @app.exception_handler(EarwitnessError)
    async def of_the_package(_: Request, error: EarwitnessError) -> JSONResponse:
        return answer(as_problem(error))

    @app.exception_handler(RequestValidationError)
    async def of_parameters(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        if first["type"] == "model_attributes_type" and "json" not in request.headers.get("content-type", ""):
            return answer(Problem(422, "usage", "send the body as JSON, with Content-Type: application/json"))
        if first["type"] == "json_invalid":
            return answer(Problem(422, "usage", "the body is no JSON"))
        where = ".".join(str(part) for part in first["loc"][1:]) or "the request"
        return answer(Problem(422, "usage", f"{where}: {first['msg']}"))

    @app.exception_handler(HTTPException)
    async def of_routes(_: Request, error: HTTPException) -> JSONResponse:
        code = CODES.get(error.status_code, "usage")
        return answer(Problem(error.status_code, code, str(error.detail), dict(error.headers or {})))
