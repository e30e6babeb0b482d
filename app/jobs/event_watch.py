"""One look at the database for all event streams of this process: how far each watched job's log has come, and its status."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import Context
from dataclasses import dataclass

import structlog
from fastapi.concurrency import run_in_threadpool
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session, sessionmaker

from app.jobs.models import Job
from app.jobs.states import TERMINAL_STATUSES

POLL_S = 0.5

logger = structlog.get_logger(__name__)


@dataclass(frozen=True)
class LogState:
    """The last ``seq`` of a job's log, and whether more can come."""

    last_seq: int
    is_over: bool


GONE = LogState(0, is_over=True)


class EventWatch:
    """Looks every half second while anybody watches; a stream that has nothing to say costs a look-up in a dictionary."""

    def __init__(self, reading_sessions: sessionmaker[Session]) -> None:
        self._reading_sessions = reading_sessions
        self._watched: Counter[str] = Counter()
        self._states: dict[str, LogState] = {}
        self._next_look = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @contextmanager
    def watching(self, job_id: str) -> Iterator[None]:
        """Have the job looked at until the block ends."""
        self._watched[job_id] += 1
        if self._task is None or self._task.done():
            # In a context of its own: in the stream's, whose tenant the database enforces, it would see no one else's jobs.
            self._task = asyncio.get_running_loop().create_task(self._look_again_and_again(), context=Context())
        try:
            yield
        finally:
            self._watched[job_id] -= 1
            if not self._watched[job_id]:
                del self._watched[job_id]

    async def wait(self, job_id: str) -> LogState | None:
        """Return what the next look saw of a watched job; None if it saw nothing, because the database did not answer."""
        await self._next_look.wait()
        return self._states.get(job_id)

    async def _look_again_and_again(self) -> None:
        while self._watched:
            await asyncio.sleep(POLL_S)
            try:
                self._states = await run_in_threadpool(self._look, list(self._watched))
            except SQLAlchemyError as error:
                self._states = {}
                logger.warning("event streams wait for the database", exc_info=error)
            self._next_look.set()
            self._next_look = asyncio.Event()

    def _look(self, job_ids: list[str]) -> dict[str, LogState]:
        logs = select(Job.id, Job.next_event_seq, Job.status).where(Job.id.in_(job_ids))
        with self._reading_sessions() as session:
            found = {job_id: LogState(seq - 1, status in TERMINAL_STATUSES) for job_id, seq, status in session.execute(logs)}
        return dict.fromkeys(job_ids, GONE) | found
