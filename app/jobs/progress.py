"""What a run writes of itself while it works. Every transaction is fenced by the lease.

Metrics and progress come often, so they wait for each other and are written together about once a second.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session, sessionmaker

from app.clock import database_now
from app.datasets.verdicts import ValidatedContent, accept_dataset, refuse_dataset
from app.db import OUTAGE_PATIENCE_S, attempts_while_away
from app.jobs.endings import fail, retry_with_smaller_batches, succeed
from app.jobs.events import EventType, append_event
from app.jobs.leases import Lease, lock_held
from app.jobs.models import Job, JobEvent, JobMetric
from app.jobs.publishing import StoredArtifact, publish

T = TypeVar("T")

FLUSH_INTERVAL_S = 1.0
ETA_WINDOW_STEPS = 50
METRIC_BATCH = 1000  # rows of one statement; SQLite allows 32,766 bound values


class JobWriter:
    """Writes for the job that ``lease`` is the lease of; every method raises LeaseLostError once that is over."""

    def __init__(self, session_factory: sessionmaker[Session], lease: Lease) -> None:
        self.lease = lease
        self._session_factory = session_factory
        self._metrics: dict[tuple[str, int], float] = {}
        self._progress: tuple[int, int] | None = None
        self._pace: deque[tuple[float, int]] = deque(maxlen=ETA_WINDOW_STEPS)
        self._flushed_at = -math.inf
        self._active_at = time.monotonic()

    @property
    def idle_s(self) -> float:
        """Seconds since the run last said anything: how long its current step has taken."""
        return time.monotonic() - self._active_at

    def event(self, event_type: EventType, data: dict[str, Any]) -> None:
        """Append an event, after everything that was said before it."""
        self._write(lambda session, job, now: append_event(session, job.id, event_type, data, at=now))

    def phase(self, name: str) -> None:
        """Say which phase begins."""

        def begin_phase(session: Session, job: Job, now: datetime) -> None:
            job.phase = name
            append_event(session, job.id, EventType.PHASE_STARTED, {"phase": name}, at=now)

        self._write(begin_phase)

    def metrics(self, step: int, values: dict[str, float]) -> None:
        """Add one value to each series; NaN and infinity are no measurement and are left out."""
        self._active_at = time.monotonic()
        self._metrics.update({(name, step): value for name, value in values.items() if math.isfinite(value)})
        self._flush_if_due()

    def progress(self, done: int, total: int) -> None:
        """Say how far the job is, in units of work that take about equally long."""
        self._active_at = time.monotonic()
        self._pace.append((self._active_at, done))
        self._progress = (done, total)
        self._flush_if_due()

    def checkpoint(self, key: str, step: int) -> str | None:
        """Make ``key`` the newest checkpoint and return the key of the one that nobody needs any more.

        A job that has come further than ever before has lost no run in vain: they are counted anew.
        """

        def turn_over(session: Session, job: Job, now: datetime) -> str | None:
            if job.checkpoint_key == key:  # done before, by a commit whose answer was lost
                return None
            if job.num_lost_runs and step > _furthest_checkpoint(session, job):
                job.num_lost_runs = 0
            dropped = job.previous_checkpoint_key
            job.previous_checkpoint_key, job.checkpoint_key = job.checkpoint_key, key
            append_event(session, job.id, EventType.CHECKPOINT_WRITTEN, {"step": step}, at=now)
            return dropped

        return self._write(turn_over)

    def fail(self, code: str, message: str, *, retryable: bool = False, last_words: Sequence[str] = ()) -> None:
        """End the job badly, with what the run wrote last."""

        def end(session: Session, job: Job, now: datetime) -> None:
            if last_words:
                data = {"number": self.lease.token, "lines": list(last_words)}
                append_event(session, job.id, EventType.LOG_TAIL, data, at=now)
            fail(session, job, code, message, retryable=retryable, at=now)

        self._write(end)

    def accept_dataset(self, content: ValidatedContent) -> None:
        """End a validation: the data set is ready."""

        def accept(session: Session, job: Job, now: datetime) -> None:
            accept_dataset(session, job.dataset_id, content, at=now)
            succeed(session, job, {"verdict": "ready"}, at=now)

        self._write(accept)

    def refuse_dataset(self, report: dict[str, Any]) -> None:
        """End a validation: the data set is invalid for the problems in ``report``."""

        def refuse(session: Session, job: Job, now: datetime) -> None:
            refuse_dataset(session, job.dataset_id, report, at=now)
            succeed(session, job, {"verdict": "invalid"}, at=now)

        self._write(refuse)

    def retry_with_smaller_batches(self) -> None:
        """Queue the job again after a run that went out of memory."""
        self._write(lambda session, job, now: retry_with_smaller_batches(session, job, at=now))

    def publish(self, manifest: dict[str, Any], artifacts: list[StoredArtifact]) -> list[str]:
        """Publish the result; returns and raises what :func:`app.jobs.publishing.publish` does."""
        return self._write(lambda session, _job, _now: publish(session, self.lease, manifest, artifacts))

    def flush(self) -> None:
        """Write what is waiting."""
        self._write(lambda _session, _job, _now: None)

    def _flush_if_due(self) -> None:
        if time.monotonic() - self._flushed_at >= FLUSH_INTERVAL_S:
            self.flush()

    def _write(self, action: Callable[[Session, Job, datetime], T]) -> T:
        """Write what is waiting and then ``action``, in one transaction; a database that is away is waited for."""
        for attempt in attempts_while_away(OUTAGE_PATIENCE_S):
            self._active_at = time.monotonic()  # a run that waits for a database is not one that hangs
            with attempt, self._session_factory.begin() as session:
                job = lock_held(session, self.lease)
                now = database_now(session)
                self._write_waiting(session, job, now)
                result = action(session, job, now)
        self._metrics.clear()
        self._progress = None
        self._flushed_at = self._active_at = time.monotonic()
        return result

    def _write_waiting(self, session: Session, job: Job, now: datetime) -> None:
        job.updated_at = now
        if self._progress is not None:
            job.progress_step, job.progress_total = self._progress
            job.progress_eta_s = self._eta_s()
        rows = [
            {"job_id": job.id, "name": name, "step": step, "value": value, "at": now}
            for (name, step), value in self._metrics.items()
        ]
        if self._metrics:
            newest = {name: value for (name, _), value in sorted(self._metrics.items())}
            job.metrics = {**job.metrics, **newest}
        for start in range(0, len(rows), METRIC_BATCH):
            _upsert(session, rows[start : start + METRIC_BATCH])

    def _eta_s(self) -> float | None:
        (first_at, first_done), (last_at, last_done) = self._pace[0], self._pace[-1]
        assert self._progress is not None
        if last_done <= first_done:
            return None
        return (last_at - first_at) / (last_done - first_done) * max(self._progress[1] - last_done, 0)


def _furthest_checkpoint(session: Session, job: Job) -> int:
    furthest = select(func.max(JobEvent.data["step"].as_integer()))
    return session.scalar(furthest.where(JobEvent.job_id == job.id, JobEvent.type == EventType.CHECKPOINT_WRITTEN)) or 0


def _upsert(session: Session, rows: list[dict[str, Any]]) -> None:
    """Insert metrics; a resumed run repeats steps, and the last value stands."""
    dialect = sqlite if session.get_bind().dialect.name == "sqlite" else postgresql
    insert = dialect.insert(JobMetric).values(rows)
    replaced = {"value": insert.excluded.value, "at": insert.excluded.at}
    session.execute(insert.on_conflict_do_update(index_elements=["job_id", "name", "step"], set_=replaced))
