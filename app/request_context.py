"""Who and what the code at hand works for: ids that lead from an HTTP request through the job's row to its run.

Set once where work begins (the HTTP edge, the supervisor, the run process) and read wherever an id is written down.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace

import structlog


@dataclass(frozen=True)
class RequestContext:
    """Ids of one request; None is unknown, or nobody's: housekeeping works for no tenant."""

    request_id: str | None = None
    traceparent: str | None = None
    tenant_id: str | None = None
    key_id: str | None = None


_NOBODYS = RequestContext()
_current: ContextVar[RequestContext] = ContextVar("farzi_request", default=_NOBODYS)


def current_request() -> RequestContext:
    return _current.get()


@contextmanager
def within_request(request_id: str | None, traceparent: str | None) -> Iterator[None]:
    """Work for this request inside the block, and name it in every log line."""
    token = _current.set(RequestContext(request_id, traceparent))
    try:
        with structlog.contextvars.bound_contextvars(**({} if request_id is None else {"request_id": request_id})):
            yield
    finally:
        _current.reset(token)


def enter_tenant(tenant_id: str, key_id: str) -> None:
    """Work for this caller until the request ends, its streamed answer included."""
    _current.set(replace(_current.get(), tenant_id=tenant_id, key_id=key_id))


def continue_trace(traceparent: str) -> None:
    """Let what comes next belong to a newer span of the trace."""
    _current.set(replace(_current.get(), traceparent=traceparent))
