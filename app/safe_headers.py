"""Headers, safe whatever the path: requests that can be read in two ways are refused, and answers tell browsers to be careful.

The middleware has no list of exceptions: an answer that sets one of these headers itself keeps its own.
"""

from __future__ import annotations

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import ServiceError
from app.problems import render_problem

SAFE_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
# A proxy might read the first and this server the last; a caller who sends two means trouble or has an error.
SENT_ONCE = ("Authorization", "Content-Encoding", "Content-Type", "Idempotency-Key", "Last-Event-ID", "Range", "X-Request-Id")
MAX_HEAD_BYTES = 32 << 10
_BETWEEN_BYTES = 4  # colon, space, CR, LF


class SafeHeaders:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SAFE_HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        error = _find_fault(scope)
        if error is None:
            await self._app(scope, receive, send_safely)
        else:
            await render_problem(error, scope["state"]["request_id"])(scope, receive, send_safely)


def head_too_large() -> ServiceError:
    message = f"URL and headers have more than {MAX_HEAD_BYTES} bytes together."
    return ServiceError("request_head_too_large", message, headers={"Connection": "close"})


def _find_fault(scope: Scope) -> ServiceError | None:
    num_bytes = len(scope["raw_path"]) + len(scope["query_string"])
    if num_bytes + sum(len(name) + len(value) + _BETWEEN_BYTES for name, value in scope["headers"]) > MAX_HEAD_BYTES:
        return head_too_large()
    headers = Headers(scope=scope)
    for name in SENT_ONCE:
        if len(headers.getlist(name)) > 1:
            return _ambiguous(f"The header {name} was sent more than once; send it once.")
    if "transfer-encoding" in headers and "content-length" in headers:
        return _ambiguous("The request has both Transfer-Encoding and Content-Length, so that its end is not clear; send one.")
    return None


def _ambiguous(message: str) -> ServiceError:
    return ServiceError("bad_request", message, headers={"Connection": "close"})
