"""A request target with a host in it, as proxies send it: the host is believed no more than that of the header."""

from __future__ import annotations

import re
from urllib.parse import unquote

from starlette.types import ASGIApp, Receive, Scope, Send

_ORIGIN = re.compile(rb"https?://[^/?#]*", re.IGNORECASE)


class AbsoluteTargets:
    """ASGI middleware: ``GET http://host/path`` is ``GET /path``, which RFC 9112 asks of every server."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        origin = _ORIGIN.match(scope["raw_path"]) if scope["type"] == "http" else None
        if origin is not None:
            raw_path = scope["raw_path"][origin.end() :] or b"/"
            scope = {**scope, "path": unquote(raw_path.decode("ascii")), "raw_path": raw_path}
        await self._app(scope, receive, send)
