"""Every answer that is not a success, as ``application/problem+json`` (RFC 9457)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.exceptions import HTTPException
from starlette.routing import Match

from app.db import is_away
from app.errors import FieldProblem, ServiceError, json_pointer
from app.storage import StorageError

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = 2
STATUSES_TO_RETRY_AFTER = frozenset({409, 429, 503})
MAX_FIELD_PROBLEMS = 100
_CODES_OF_STATUS = {404: "route_not_found", 405: "method_not_allowed", 413: "body_too_large", 415: "unsupported_media_type"}
_INPUT_CHARACTERS = 80
_PATH_CHARACTERS = 200
_DATABASE_AWAY = "The database does not answer; repeat the request, a POST with the same Idempotency-Key."
_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")

logger = structlog.get_logger(__name__)


class ProblemResponse(JSONResponse):
    """A JSON answer of the problem media type."""

    media_type = MEDIA_TYPE


def render_problem(error: ServiceError, request_id: str) -> ProblemResponse:
    """Return the answer that tells the caller of ``error``."""
    kind = error.kind
    content: dict[str, Any] = {
        "type": f"urn:farzi:error:{error.code}",
        "title": kind.title,
        "status": kind.status,
        "detail": error.message,
        "code": error.code,
        "request_id": request_id,
        "retryable": kind.retryable,
    }
    if error.problems:
        content["errors"] = [
            {"pointer": problem.pointer, "detail": problem.detail} for problem in error.problems[:MAX_FIELD_PROBLEMS]
        ]
    headers = dict(error.headers)
    if kind.retryable and kind.status in STATUSES_TO_RETRY_AFTER:
        headers.setdefault("Retry-After", str(RETRY_AFTER_S))
    return ProblemResponse({**content, **error.members}, kind.status, headers)


def field_problems(errors: Sequence[Mapping[str, Any]], given: Any, prefix: str = "") -> tuple[FieldProblem, ...]:
    """Return pydantic's findings about ``given`` with JSON pointers, each below ``prefix``."""
    return tuple(FieldProblem(prefix + json_pointer(_path_in(given, error)), _describe(error)) for error in errors)


def install_problem_handlers(app: FastAPI) -> None:
    """Make every kind of failure answer with a problem document."""

    def answer(request: Request, error: ServiceError) -> ProblemResponse:
        return render_problem(error, request.state.request_id)

    @app.exception_handler(ServiceError)
    def _service_error(request: Request, error: ServiceError) -> ProblemResponse:
        return answer(request, error)

    @app.exception_handler(RequestValidationError)
    def _validation_error(request: Request, error: RequestValidationError) -> ProblemResponse:
        problems = _request_problems(error)
        return answer(request, ServiceError("invalid_request", summarise(problems), problems=problems))

    @app.exception_handler(HTTPException)
    def _http_error(request: Request, error: HTTPException) -> ProblemResponse:
        code = _CODES_OF_STATUS.get(error.status_code, "bad_request")
        detail = f"{request.method} {request.url.path[:_PATH_CHARACTERS]}: {error.detail}"
        headers = {"Allow": ", ".join(allowed_methods(app, request))} if error.status_code == 405 else error.headers
        return answer(request, ServiceError(code, detail, headers=headers))

    @app.exception_handler(StorageError)
    def _storage_error(request: Request, error: StorageError) -> ProblemResponse:
        logger.error("the object store failed", exc_info=error)
        return answer(request, ServiceError("storage_unavailable", "The object store does not answer; nothing was changed."))

    @app.exception_handler(DBAPIError)
    @app.exception_handler(PoolTimeoutError)
    def _database_error(request: Request, error: Exception) -> ProblemResponse:
        if not (isinstance(error, PoolTimeoutError) or is_away(error)):
            raise error
        logger.error("the database failed", exc_info=error)
        # Whether anything was changed is not known: the answer to a commit may be all that was lost.
        return answer(request, ServiceError("database_unavailable", _DATABASE_AWAY))


def allowed_methods(app: FastAPI, request: Request) -> list[str]:
    """Return the methods of a path: what one of its routes refuses another may take."""

    def is_taken(method: str) -> bool:
        scope = {**request.scope, "method": method}
        return any(route.matches(scope)[0] is Match.FULL for route in app.routes)

    methods = [method for method in _METHODS if is_taken(method)]
    return [*methods, "HEAD"] if "GET" in methods else methods


def _request_problems(error: RequestValidationError) -> tuple[FieldProblem, ...]:
    in_body = [item | {"loc": item["loc"][1:]} for item in error.errors() if item["loc"][0] == "body"]
    elsewhere = [item for item in error.errors() if item["loc"][0] != "body"]
    return (
        *(FieldProblem(json_pointer(item["loc"]), _describe(item)) for item in elsewhere),
        *field_problems(in_body, error.body),
    )


def _path_in(given: Any, error: Mapping[str, Any]) -> list[str | int]:
    """Return where in ``given`` the error is: pydantic's location without the names of the alternatives that it tried."""
    if error["type"] == "missing":
        return list(error["loc"])
    path: list[str | int] = []
    for part in error["loc"]:
        try:
            given = given[part]
        except (KeyError, IndexError, TypeError):
            break
        path.append(part)
    return path


def summarise(problems: Sequence[FieldProblem]) -> str:
    """Return one sentence for all of ``problems``: the first, and how many more there are."""
    first = problems[0]
    more = f" (and {len(problems) - 1} more, see errors)" if len(problems) > 1 else ""
    return f"{first.pointer or 'The body'}: {first.detail}{more}"


def _describe(error: Mapping[str, Any]) -> str:
    """Say what is wrong; pydantic says what is allowed but not always what was given."""
    if error["type"] == "extra_forbidden":
        return f"unknown field {str(error['loc'][-1])[:_INPUT_CHARACTERS]!r}; remove it or correct its name"
    message = str(error["msg"]).removeprefix("Value error, ")
    given = error.get("input")
    if error["type"] in {"missing", "value_error", "json_invalid"} or not isinstance(given, str | int | float):
        return message
    shown = repr(given)
    return f"{message}; got {shown if len(shown) <= _INPUT_CHARACTERS else shown[:_INPUT_CHARACTERS] + '...'}"
