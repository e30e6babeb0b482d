"""What no handler expected: logged with its traceback, and answered without a word of it."""

from __future__ import annotations

import structlog
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import ServiceError
from app.problems import render_problem

logger = structlog.get_logger(__name__)


class LastResort:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        has_begun = False

        async def send_and_note(message: Message) -> None:
            nonlocal has_begun
            has_begun = True
            await send(message)

        try:
            await self._app(scope, receive, send_and_note)
        except ClientDisconnect:
            logger.info("the client went away")
        except Exception:
            logger.exception("request failed")
            if has_begun:  # too late for another answer: break the connection, so that the client does not take it for whole
                raise
            request_id = scope["state"]["request_id"]
            error = ServiceError("internal_error", f"The service failed; report request_id {request_id} if it stays so.")
            await render_problem(error, request_id)(scope, receive, send)
