"""The headers of the OpenAPI document: those that an operation reads besides its key, and those of each of its answers."""

from __future__ import annotations

from typing import Any

from app.idempotency import HEADER as IDEMPOTENCY_HEADER
from app.idempotency import REPLAYED_HEADER
from app.openapi_data_samples import SHA256

Described = dict[str, Any]

_TEXT: Described = {"type": "string"}
_COUNT: Described = {"type": "integer", "minimum": 0}
_DIGEST = "sha-256=:n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg=:"
_DIGEST_FORM = "^sha-256=:[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=:$"
_ETAG = f'"{SHA256}"'
_ETAG_FORM = '^"[0-9a-f]{64}"$'

RATE_LIMIT = ("RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset")
_OF_A_FILE = ("Accept-Ranges", "Content-Disposition", "ETag", "Repr-Digest")
_OF_ANSWERS: dict[str, tuple[Described, str]] = {
    "Accept-Ranges": ({**_TEXT, "const": "bytes"}, "Always `bytes`: a part of the file can be asked for with `Range`."),
    "Content-Disposition": (_TEXT, "`attachment` with the file's name, as RFC 6266 writes it."),
    "Content-Range": (_TEXT, "Which bytes these are, and of how many: `bytes 0-1023/4711`; with 416 `bytes */4711`."),
    "ETag": ({**_TEXT, "pattern": _ETAG_FORM}, "The file's SHA-256, in quotes."),
    "Location": (_TEXT, "Path of what was made."),
    "Location-Of-Bytes": (_TEXT, "URL of the bytes in the object store. Send it no API key."),
    "RateLimit-Limit": (_COUNT, "Requests that may come at once; absent where the service sets no limit."),
    "RateLimit-Remaining": (_COUNT, "Requests that may come now."),
    "RateLimit-Reset": (_COUNT, "Seconds until as many as `RateLimit-Limit` may come again."),
    "Repr-Digest": ({**_TEXT, "pattern": _DIGEST_FORM}, "SHA-256 of the whole file (RFC 9530), of a part too."),
    "Retry-After": (_COUNT, "Seconds to wait before the same request may succeed."),
    REPLAYED_HEADER: (
        {**_TEXT, "const": "true"},
        "`true` if an earlier request with the same key was carried out, and this is its answer; absent otherwise.",
    ),
    "WWW-Authenticate": ({**_TEXT, "const": "Bearer"}, "Always `Bearer`."),
    "X-Request-Id": (
        {**_TEXT, "pattern": "^[A-Za-z0-9_.:-]{1,128}$"},
        "Id of the request, in the logs too: the caller's own if it sent one (up to 128 of `A-Za-z0-9_.:-`).",
    ),
}
_IDEMPOTENCY_KEY = (
    {**_TEXT, "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"},
    None,
    "A new one for each request, a UUID for example. A repeat with the same key and body is answered as the first request was; "
    "with another body or path it is refused with `idempotency_key_reused`.",
)
_REQUEST_ID = (
    _TEXT,
    None,
    "Your own id of the request: up to 128 of `A-Za-z0-9_.:-`; one of another form is replaced.",
)
_CONTENT_DIGEST = (
    {**_TEXT, "pattern": _DIGEST_FORM},
    _DIGEST,
    "SHA-256 of the bytes as they are sent (RFC 9530): they are checked on arrival.",
)
_REPR_DIGEST = (
    {**_TEXT, "pattern": _DIGEST_FORM},
    _DIGEST,
    "SHA-256 of the representation (RFC 9530), which here is the same bytes; checked as `Content-Digest` is.",
)
_OF_REQUESTS: dict[str, dict[str, tuple[Described, str | None, str]]] = {
    "download_artifact": {
        "Range": (_TEXT, "bytes=0-1023", "One range of bytes (RFC 9110); anything else is answered with the whole file."),
        "If-Range": (_TEXT, _ETAG, "The `ETag` of the file that the range is of: of any other file, all of it is sent."),
        "If-None-Match": (_TEXT, '"0"', "`ETag`s of files that the caller has: 304 if this is one of them."),
    },
    "upload_content": {
        "Content-Digest": _CONTENT_DIGEST,
        "Repr-Digest": _REPR_DIGEST,
        "Content-Encoding": (
            {**_TEXT, "enum": ["identity", "gzip", "x-gzip", "zstd"]},
            "identity",
            "How the file is compressed; it is kept as it is. Left out: its first bytes say it.",
        ),
    },
    "put_part": {"Content-Digest": _CONTENT_DIGEST, "Repr-Digest": _REPR_DIGEST},
}


def header_components() -> dict[str, Described]:
    """Return the headers that answers refer to."""
    return {name: {"description": text, "schema": schema} for name, (schema, text) in _OF_ANSWERS.items()}


def header_parameters(method: str, operation_id: str) -> list[Described]:
    """Return what an operation reads of the request's headers, besides the key and what the endpoint declares."""
    headers = {
        **_OF_REQUESTS.get(operation_id, {}),
        **({IDEMPOTENCY_HEADER: _IDEMPOTENCY_KEY} if method == "post" else {}),
        "X-Request-Id": _REQUEST_ID,
    }
    return [
        {
            "name": name,
            "in": "header",
            "required": False,
            "schema": schema,
            "description": text,
            **({} if example is None else {"example": example}),
        }
        for name, (schema, example, text) in headers.items()
    ]


def success_headers(method: str, operation: Described, status: str) -> Described:
    """Return the headers of an answer that is no failure."""
    names = ["X-Request-Id", *(RATE_LIMIT if operation.get("security") else ())]
    if method == "post":
        names += [REPLAYED_HEADER, *(["Location"] if status in {"201", "202"} else [])]
    found = {name: _reference(name) for name in names}
    if operation["operationId"] == "download_artifact":
        if status == "307":
            return found | {"Location": {**_reference("Location-Of-Bytes")}}
        of_part = ("Content-Range",) if status == "206" else ()
        found |= {name: _reference(name) for name in (*_OF_A_FILE, *of_part)}
    return found


def failure_headers(status: int, *, may_be_retried: bool) -> Described:
    """Return the headers of a problem document."""
    names = ["X-Request-Id"]
    if status == 401:
        names.append("WWW-Authenticate")
    else:
        names += RATE_LIMIT
    if status == 416:
        names.append("Content-Range")
    if may_be_retried:
        names.append("Retry-After")
    return {name: _reference(name) for name in names}


def _reference(name: str) -> Described:
    return {"$ref": f"#/components/headers/{name}"}
