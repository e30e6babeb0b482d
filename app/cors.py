"""Which web pages may call the API: none, unless ``FARZI_CORS_ORIGINS`` names where they come from."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
READABLE_HEADERS = (
    "Accept-Ranges",
    "Content-Disposition",
    "Content-Range",
    "ETag",
    "Idempotent-Replayed",
    "Location",
    "Repr-Digest",
    "Retry-After",
    "X-Request-Id",
)
PREFLIGHT_KEPT_S = 600


class AllowedOrigins(CORSMiddleware):
    """Answers pages of the allowed origins; to all others the service is as if there were no CORS.

    Cookies are never allowed: a page has to have a key of its own.
    """

    def __init__(self, app: ASGIApp, origins: Sequence[str]) -> None:
        super().__init__(
            app,
            allow_origins=origins,
            allow_methods=METHODS,
            allow_headers=["*"],
            allow_private_network=True,
            expose_headers=READABLE_HEADERS,
            max_age=PREFLIGHT_KEPT_S,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = super().__call__ if scope["type"] == "http" and self._allows(Headers(scope=scope)) else self.app
        await app(scope, receive, send)

    def _allows(self, headers: Headers) -> bool:
        method = headers.get("access-control-request-method", "GET")
        return self.is_allowed_origin(headers.get("origin", "")) and method in self.allow_methods
