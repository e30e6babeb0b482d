"""``/v1/jobs/{id}/events``: what happened, in pages or as it happens."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Header, Query
from fastapi.responses import StreamingResponse
from pydantic import Field, StringConstraints
from pydantic.json_schema import SkipJsonSchema
from starlette.types import Receive, Scope, Send

from app.dependencies import AuthenticatedRoute, InServices, JobReader
from app.errors import ServiceError
from app.jobs import repository, service
from app.jobs.event_stream import follow_events
from app.jobs.schemas import EventOut
from app.pagination import PageQuery, decode_cursor, make_page
from app.schemas import Page
from app.services import Services

MAX_SEQ = 2**63 - 1
# Of each event, as OpenAPI's later versions have it; the body as a whole is a text, of which this says nothing.
EVENT_FORM = {
    "title": "Server-sent event",
    "properties": {
        "id": {"type": "string", "description": "`seq` of the event."},
        "event": {"type": "string", "description": "`type` of the event."},
        "data": {
            "type": "string",
            "contentMediaType": "application/json",
            "contentSchema": {"$ref": "#/components/schemas/EventOut"},
            "description": "The event, as lists of events have it.",
        },
    },
}
EVENT_STREAM: dict[str, Any] = {"content": {"text/event-stream": {"schema": EVENT_FORM}}, "description": "Server-sent events"}

LastEventId = Annotated[
    Annotated[str, StringConstraints(pattern="^[0-9]{1,18}$")] | SkipJsonSchema[None],
    Header(description="What a browser sends when it reconnects.", examples=["7"]),
]

router = APIRouter(prefix="/v1/jobs", tags=["Jobs"], route_class=AuthenticatedRoute)


class EventQuery(PageQuery):
    """Where a page of events begins."""

    after: int = Field(0, ge=0, le=MAX_SEQ, description="Only events with a `seq` above this.")


@router.get("/{job_id}/events")
def list_events(job_id: str, query: Annotated[EventQuery, Query()], caller: JobReader, services: InServices) -> Page[EventOut]:
    """List events in their order."""
    after = query.after if query.cursor is None else decode_cursor(query.cursor, int)
    with services.reading_sessions() as session:
        job = service.get_job(session, caller.tenant_id, job_id)
        rows = repository.list_events(session, job.id, after, query.limit + 1)
    return make_page(rows[: query.limit], len(rows) > query.limit, EventOut.of, lambda row: row.seq)


@router.get("/{job_id}/events/stream", response_class=StreamingResponse, responses={200: EVENT_STREAM})
def stream_events(
    job_id: str,
    caller: JobReader,
    services: InServices,
    after: Annotated[int, Query(ge=0, le=MAX_SEQ, description="Only events with a `seq` above this.")] = 0,
    last_event_id: LastEventId = None,
) -> StreamingResponse:
    """Stream events as they happen: `id` is `seq`, `data` the event; ends after the last event of a job that is over."""
    with services.reading_sessions() as session:
        service.get_job(session, caller.tenant_id, job_id)
    start = after if last_event_id is None else int(last_event_id)
    if not services.stream_slots.acquire(blocking=False):
        raise ServiceError("too_many_streams", "Too many event streams are open; close some, or poll the events.")
    return _EventStream(services, job_id, start)


class _EventStream(StreamingResponse):
    """A stream that gives its slot back however it ends, even if it never began."""

    def __init__(self, services: Services, job_id: str, after: int) -> None:
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        super().__init__(follow_events(services, job_id, after), media_type="text/event-stream", headers=headers)
        self._slots = services.stream_slots

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._slots.release()
