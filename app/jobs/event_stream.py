"""A job's events as server-sent events, read from the database as they come. No connection is held while waiting."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

from fastapi.concurrency import run_in_threadpool

from app.jobs import repository
from app.jobs.models import Job
from app.jobs.schemas import EventOut
from app.jobs.states import TERMINAL_STATUSES
from app.services import Services

POLL_S = 0.5
PING_S = 15.0
BATCH = 200


@dataclass(frozen=True)
class _Look:
    events: list[EventOut]
    is_over: bool


async def stream_events(services: Services, job_id: str, after: int) -> AsyncIterator[bytes]:
    """Yield every event after ``after``; ends with the last event of a job that is over, or when the server stops."""
    yield b": connected\n\n"
    spoke_at = time.monotonic()
    while not services.stopping.is_set():
        look = await run_in_threadpool(_look, services, job_id, after)
        for event in look.events:
            after = event.seq
            yield f"id: {event.seq}\nevent: {event.type}\ndata: {event.model_dump_json()}\n\n".encode()
            spoke_at = time.monotonic()
        if len(look.events) == BATCH:
            continue
        if look.is_over:
            return
        if time.monotonic() - spoke_at >= PING_S:
            spoke_at = time.monotonic()
            yield b": ping\n\n"
        await asyncio.sleep(POLL_S)


def _look(services: Services, job_id: str, after: int) -> _Look:
    """Read the state before the events: what ends the job is then never missed."""
    with services.reading_sessions() as session:
        job = session.get(Job, job_id)
        is_over = job is None or job.status in TERMINAL_STATUSES
        events = [EventOut.of(row) for row in repository.list_events(session, job_id, after, BATCH)]
    return _Look(events, is_over)
