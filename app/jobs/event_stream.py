"""A job's events as server-sent events, read from the database when there are new ones. No connection is held while waiting."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

from fastapi.concurrency import run_in_threadpool

from app.jobs import repository
from app.jobs.event_watch import LogState
from app.jobs.schemas import EventOut
from app.services import Services

PING_S = 15.0
BATCH = 200


async def follow_events(services: Services, job_id: str, after: int) -> AsyncIterator[bytes]:
    """Yield every event after ``after``; ends with the last event of a job that is over, or when the server stops."""
    yield b": connected\n\n"
    spoke_at = time.monotonic()
    state: LogState | None = None
    with services.event_watch.watching(job_id):
        while not services.stopping.is_set():
            events = await run_in_threadpool(_read, services, job_id, after)
            if not events and state is not None and state.is_over:  # maintenance has deleted the rest
                return
            for event in events:
                after = event.seq
                yield f"id: {event.seq}\nevent: {event.type}\ndata: {event.model_dump_json()}\n\n".encode()
                spoke_at = time.monotonic()
            while len(events) < BATCH and not services.stopping.is_set():
                state = await services.event_watch.wait(job_id)
                if state is not None and state.last_seq > after:
                    break
                if state is not None and state.is_over:
                    return
                if time.monotonic() - spoke_at >= PING_S:
                    spoke_at = time.monotonic()
                    yield b": ping\n\n"


def _read(services: Services, job_id: str, after: int) -> list[EventOut]:
    with services.reading_sessions() as session:
        return [EventOut.of(row) for row in repository.list_events(session, job_id, after, BATCH)]
