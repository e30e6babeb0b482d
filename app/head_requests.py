"""HEAD for every GET: the same status and headers, without the body and without the work of making all of it."""

from __future__ import annotations

from contextlib import suppress

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_IS_HEAD = "farzi.is_head"


def is_head(scope: Scope) -> bool:
    """Return whether an endpoint's GET came as HEAD, which a redirect to a URL signed for GET would lead astray."""
    return _IS_HEAD in scope


class HeadRequests:
    """ASGI middleware: endpoints know GET alone."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        async def send_head(message: Message) -> None:
            if message["type"] == "http.response.start":
                await send(message)
                await send({"type": "http.response.body", "body": b"", "more_body": False})
            elif message.get("more_body"):
                raise _HeadIsSent

        as_get = {**scope, "method": "GET", _IS_HEAD: True}
        try:
            with suppress(_HeadIsSent):  # of a stream, which would otherwise be read to its end for nobody
                await self._app(as_get, receive, send_head)
        finally:
            scope["route"] = as_get.get("route")  # for the log


class _HeadIsSent(Exception):  # noqa: N818  no error
    """Ends an endpoint's stream."""
