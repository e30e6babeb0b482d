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

        ambiguity = _find_ambiguity(Headers(scope=scope))
        if ambiguity is None:
            await self._app(scope, receive, send_safely)
        else:
            error = ServiceError("bad_request", ambiguity, headers={"Connection": "close"})
            await render_problem(error, scope["state"]["request_id"])(scope, receive, send_safely)


def _find_ambiguity(headers: Headers) -> str | None:
    for name in SENT_ONCE:
        if len(headers.getlist(name)) > 1:
            return f"The header {name} was sent more than once; send it once."
    if "transfer-encoding" in headers and "content-length" in headers:
        return "The request has both Transfer-Encoding and Content-Length, so that its end is not clear; send one of them."
    return None
