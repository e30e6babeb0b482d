"""HTTP/1.1 on a socket: what is no HTTP at all is answered with a problem document too, and the connection closed."""

from __future__ import annotations

import sys
from uuid import uuid4

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from app.errors import ServiceError
from app.problems import render_problem
from app.request_log import REQUEST_ID_HEADER
from app.safe_headers import SAFE_HEADERS, head_too_large

_TOO_LARGE = 431


class ProblemProtocol(H11Protocol):
    """Uvicorn's protocol, which answers what it cannot read with a line of text."""

    def send_400_response(self, msg: str) -> None:
        """Answer instead of the application, which was never called."""
        error = sys.exception()
        is_too_large = isinstance(error, h11.RemoteProtocolError) and error.error_status_hint == _TOO_LARGE
        problem = head_too_large() if is_too_large else ServiceError("bad_request", f"{msg} The connection is closed.")
        request_id = f"req_{uuid4().hex}"
        answer = render_problem(problem, request_id)
        for name, value in {**SAFE_HEADERS, REQUEST_ID_HEADER: request_id, "Connection": "close"}.items():
            answer.headers[name] = value
        head = h11.Response(status_code=answer.status_code, headers=answer.raw_headers, reason=b"")
        for event in (head, h11.Data(data=bytes(answer.body)), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()
