"""What has to hold for a JSON body before it is validated: its size, its media type, and that the database can store it."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from starlette.requests import Request
from starlette.types import Message

from app.errors import FieldProblem, ServiceError

MAX_BODY_BYTES = 1 << 20
MAX_DEPTH = 50


async def read_json_body(request: Request) -> bytes:
    """Return the body, which the request keeps for whoever reads it next.

    Raises:
        ServiceError: it is too large, of another media type, or not JSON that can be stored.
    """
    body = await request.body()
    if body:
        media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media_type != "application/json":
            shown = repr(media_type) if media_type else "no media type"
            raise ServiceError("unsupported_media_type", f"The body has {shown}; send 'Content-Type: application/json'.")
        _check_value(_parse(body), "", 0)
    return body


def limited(request: Request) -> Request:
    """Return the same request, whose body may not be larger than ``MAX_BODY_BYTES``."""
    num_bytes = 0

    async def receive() -> Message:
        nonlocal num_bytes
        message = await request.receive()
        num_bytes += len(message.get("body", b""))
        if num_bytes > MAX_BODY_BYTES:
            raise ServiceError(
                "body_too_large", f"The body has more than {MAX_BODY_BYTES} bytes.", headers={"Connection": "close"}
            )
        return message

    return Request(request.scope, receive)


def _parse(body: bytes) -> Any:
    try:
        return json.loads(body, parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        raise ServiceError("malformed_json", f"The body is not UTF-8: byte {error.start} cannot be read.") from None
    except json.JSONDecodeError as error:
        raise ServiceError("malformed_json", f"Line {error.lineno}, column {error.colno}: {error.msg}.") from None
    except (RecursionError, ValueError) as error:
        raise ServiceError("malformed_json", f"The body cannot be read: {error}.") from None


def _refuse_constant(name: str) -> NoReturn:
    raise ServiceError("malformed_json", f"{name} is no JSON number; send a finite number or null.")


def _check_value(value: Any, pointer: str, depth: int) -> None:
    """Refuse what JSON allows and Postgres does not: NUL and lone surrogates; and nesting without end."""
    if depth > MAX_DEPTH:
        raise ServiceError("malformed_json", f"The body is nested more than {MAX_DEPTH} levels deep.")
    if isinstance(value, str):
        _check_text(value, pointer)
    elif isinstance(value, float):
        if value in {float("inf"), float("-inf")}:
            _refuse_field(pointer, "the number is too large; send a finite one")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _check_value(item, f"{pointer}/{index}", depth + 1)
    elif isinstance(value, dict):
        for name, item in value.items():
            _check_text(name, pointer)
            _check_value(item, f"{pointer}/{name}", depth + 1)


def _check_text(text: str, pointer: str) -> None:
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        _refuse_field(pointer, "the text has a NUL or half of a surrogate pair; leave it out")


def _refuse_field(pointer: str, detail: str) -> NoReturn:
    raise ServiceError("invalid_request", f"{pointer or 'The body'}: {detail}", problems=(FieldProblem(pointer, detail),))
