"""Append to a job's event log. ``seq`` comes from the job's own row, so it is dense and ordered by the row lock."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import update
from sqlalchemy.orm import Session

from app.jobs.models import Job, JobEvent
from app.request_context import current_request
from app.webhooks.announcing import announce_job


class EventType(StrEnum):
    """Every type of event a client can meet."""

    JOB_QUEUED = "job.queued"
    JOB_STARTED = "job.started"
    JOB_PAUSED = "job.paused"
    JOB_RESUMED = "job.resumed"
    JOB_CANCELLING = "job.cancelling"
    JOB_CANCELLED = "job.cancelled"
    JOB_SUCCEEDED = "job.succeeded"
    JOB_FAILED = "job.failed"
    JOB_RETRIED = "job.retried"
    RUN_LOST = "run.lost"
    RUN_RELEASED = "run.released"
    PHASE_STARTED = "phase.started"
    VALIDATION_MEASURED = "validation.measured"
    OUTER_LOOP_ENDED = "outer_loop.ended"
    CHECKPOINT_WRITTEN = "checkpoint.written"
    CHECKPOINT_SKIPPED = "checkpoint.skipped"
    LOG_TAIL = "log.tail"


# Each of them says that the job has reached another status, which its row has by then.
ANNOUNCED = frozenset(
    {
        EventType.JOB_STARTED,
        EventType.JOB_PAUSED,
        EventType.JOB_CANCELLED,
        EventType.JOB_SUCCEEDED,
        EventType.JOB_FAILED,
    }
)


def append_event(session: Session, job_id: str, event_type: EventType, data: dict[str, Any], *, at: datetime) -> int:
    """Append one event in the caller's transaction and return its ``seq``.

    The update takes the job's row lock until the commit, so two writers cannot take the same ``seq`` and an aborted
    transaction leaves no gap.
    """
    next_seq, job_request_id = session.execute(
        update(Job)
        .where(Job.id == job_id)
        .values(next_event_seq=Job.next_event_seq + 1)
        .returning(Job.next_event_seq, Job.request_id)
    ).one()
    seq = next_seq - 1
    request_id = current_request().request_id or job_request_id
    if request_id is not None:
        data = {**data, "request_id": request_id}
    session.add(JobEvent(job_id=job_id, seq=seq, type=str(event_type), data=data, at=at))
    if event_type in ANNOUNCED:
        announce_job(session, job_id, at=at)
    return int(seq)
