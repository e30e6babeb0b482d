"""Problem documents as pages, for people: what happened, what to do about it, and the id to report.

Every failure is a problem document first, whichever layer made it. This layer turns those that a browser would show into a
page; on paths for programs, and for whoever does not ask for HTML, they stay as they are.
"""

from __future__ import annotations

import json
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.dashboard.page_route import wants_page
from app.dashboard.pages import PAGE_HEADERS, render
from app.errors import ERRORS
from app.problems import MEDIA_TYPE

TEMPLATE = "error.html.j2"
FOR_PROGRAMS = ("/v1/", "/healthz", "/readyz", "/metrics")


class ErrorPages:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith(FOR_PROGRAMS) or not wants_page(Request(scope)):
            await self._app(scope, receive, send)
            return
        start: Message | None = None
        body = b""

        async def send_page(message: Message) -> None:
            nonlocal start, body
            if message["type"] == "http.response.start" and Headers(raw=message["headers"]).get("content-type") == MEDIA_TYPE:
                start = message
                return
            if start is None:
                await send(message)
                return
            body += message.get("body", b"")
            if not message.get("more_body"):
                await _send_page(Request(scope), start, json.loads(body), send)

        await self._app(scope, receive, send_page)


async def _send_page(request: Request, start: Message, problem: dict[str, Any], send: Send) -> None:
    headers = MutableHeaders(raw=list(start["headers"]))
    kind = ERRORS[problem["code"]]
    retry_after_s = headers.get("retry-after")
    page = render(request, TEMPLATE, problem=problem, advice=kind.advice, retry_after_s=retry_after_s).encode()
    headers.update(PAGE_HEADERS)
    headers["Content-Type"] = "text/html; charset=utf-8"
    headers["Content-Length"] = str(len(page))
    await send({**start, "headers": headers.raw})
    await send({"type": "http.response.body", "body": page})
