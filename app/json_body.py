"""What has to hold for a JSON body before it is validated: its size, its media type, and that it reads in one way only."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NoReturn

from starlette.requests import Request
from starlette.types import Message

from app.errors import FieldProblem, ServiceError, json_pointer

MAX_BODY_BYTES = 1 << 20
MAX_DEPTH = 50
MEDIA_TYPE = "application/json"

Location = tuple[str | int, ...]


async def read_json_body(request: Request, *, is_taken: bool) -> bytes:
    """Return the body, which the request keeps for whoever reads it next.

    Args:
        request: whose body is read.
        is_taken: whether the endpoint has a use for a body; where it has none, only an empty object is let through.

    Raises:
        ServiceError: it is too large, of another media type, or not JSON that can be stored.
    """
    body = await request.body()
    if body:
        _check_media_type(request)
        value = _parse(body)
        _check_value(value, ())
        if not is_taken and value != {}:
            _refuse_field((), "this takes no body; leave it out")
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


def _check_media_type(request: Request) -> None:
    media_type, _, parameters = request.headers.get("content-type", "").lower().partition(";")
    if media_type.strip() != MEDIA_TYPE:
        shown = repr(media_type.strip()) if media_type else "no media type"
        raise ServiceError("unsupported_media_type", f"The body has {shown}; send 'Content-Type: {MEDIA_TYPE}'.")
    if "charset" in parameters and "utf-8" not in parameters:
        raise ServiceError("unsupported_media_type", f"The body has{parameters}; JSON is always UTF-8.")
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding != "identity":
        raise ServiceError("unsupported_media_type", f"Content-Encoding {encoding!r} is not taken; send the JSON as it is.")


def _parse(body: bytes) -> Any:
    try:
        return json.loads(body.decode(), parse_constant=_refuse_constant, object_pairs_hook=_make_object)
    except UnicodeDecodeError as error:
        raise ServiceError("malformed_json", f"The body is not UTF-8: byte {error.start} cannot be read.") from None
    except json.JSONDecodeError as error:
        raise ServiceError("malformed_json", f"Line {error.lineno}, column {error.colno}: {error.msg}.") from None
    except RecursionError:
        raise _too_deep() from None
    except ValueError as error:
        raise ServiceError("malformed_json", f"The body cannot be read: {error}.") from None


def _make_object(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse names that come twice: one reader would take the first value and another the last."""
    made = dict(pairs)
    if len(made) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for index, name in enumerate(names) if name in names[:index])
        raise ServiceError("malformed_json", f"An object has the name {twice[:80]!a} more than once; send each name once.")
    return made


def _refuse_constant(name: str) -> NoReturn:
    raise ServiceError("malformed_json", f"{name} is no JSON number; send a finite number or null.")


def _check_value(value: Any, location: Location) -> None:
    """Refuse what JSON allows and Postgres does not: NUL and lone surrogates; and nesting without end."""
    if len(location) >= MAX_DEPTH and isinstance(value, list | dict):
        raise _too_deep()
    if isinstance(value, str):
        _check_text(value, location)
    elif isinstance(value, float):
        if value in {float("inf"), float("-inf")}:
            _refuse_field(location, "the number is too large; send a finite one")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _check_value(item, (*location, index))
    elif isinstance(value, dict):
        for name, item in value.items():
            _check_text(name, location)
            _check_value(item, (*location, name))


def _too_deep() -> ServiceError:
    return ServiceError("malformed_json", f"The body is nested more than {MAX_DEPTH} levels deep.")


def _check_text(text: str, location: Location) -> None:
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        _refuse_field(location, "the text has a NUL or half of a surrogate pair; leave it out")


def _refuse_field(location: Location, detail: str) -> NoReturn:
    pointer = json_pointer(location)
    raise ServiceError("invalid_request", f"{pointer or 'The body'}: {detail}", problems=(FieldProblem(pointer, detail),))
