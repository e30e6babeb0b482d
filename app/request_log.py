"""The outermost layer of every request: its id, one log line, its metrics."""

from __future__ import annotations

import re
import time
from uuid import uuid4

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.http_metrics import HttpMetrics
from app.request_context import within_request
from app.tenants.keys import NUM_SHOWN_CHARACTERS
from app.tracing import span

REQUEST_ID_HEADER = "X-Request-Id"
TRACEPARENT_HEADER = "traceparent"
_TRACEPARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_ACCEPTED_REQUEST_ID = re.compile(r"[A-Za-z0-9_.:-]{1,128}")

_PLAIN = re.compile(r"(?!fz_|whsec_)[A-Za-z0-9_.-]{1,64}")

logger = structlog.get_logger(__name__)


class RequestLog:
    """ASGI middleware. Logs route templates and ids, never headers, queries or bodies: no key can get into a line."""

    def __init__(self, app: ASGIApp, metrics: HttpMetrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _choose_request_id(scope)
        scope.setdefault("state", {})["request_id"] = request_id
        started_at = time.perf_counter()
        status = 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers[REQUEST_ID_HEADER] = request_id
                allowance = scope["state"].get("allowance")
                headers.update({} if allowance is None else allowance.headers)
            await send(message)

        with within_request(request_id, _read_traceparent(scope)), span(scope["method"], "server") as notes:
            try:
                await self._app(scope, receive, send_with_id)
            finally:
                self._record(scope, status, time.perf_counter() - started_at)
                route = _route_of(scope)
                notes.rename(f"{scope['method']} {route}")
                notes.add(http_route=route, http_response_status_code=status, farzi_request_id=request_id)

    def _record(self, scope: Scope, status: int, duration_s: float) -> None:
        route = _route_of(scope)
        self._metrics.observe(scope["method"], route, status, duration_s)
        caller = scope["state"].get("caller")
        logger.info(
            "request",
            method=scope["method"],
            route=route,
            path_params={name: _shown(value) for name, value in scope.get("path_params", {}).items()} or None,
            status=status,
            duration_ms=round(duration_s * 1000, 1),
            key_id=caller.key_id if caller else None,
        )


def _choose_request_id(scope: Scope) -> str:
    given = Headers(scope=scope).get(REQUEST_ID_HEADER, "")
    return given if _ACCEPTED_REQUEST_ID.fullmatch(given) else f"req_{uuid4().hex}"


def _shown(value: object) -> str:
    """Return an id or a name as it is, and of anything else, which may be a key that went astray, only its beginning."""
    text = str(value)
    return text if _PLAIN.fullmatch(text) else f"{text[:NUM_SHOWN_CHARACTERS]}..."


def _read_traceparent(scope: Scope) -> str | None:
    """Return the caller's W3C trace context, unless it has another form than version 00."""
    given = Headers(scope=scope).get(TRACEPARENT_HEADER, "")
    return given if _TRACEPARENT.fullmatch(given) else None


def _route_of(scope: Scope) -> str:
    """Return the route's template; a label of raw paths would grow without bound."""
    return getattr(scope.get("route"), "path", None) or "unknown"
