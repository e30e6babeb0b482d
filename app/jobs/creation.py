"""Make a job: its row, its first event and the message for the broker, all in the caller's transaction."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session

from app.clock import database_now
from app.db import new_id
from app.jobs.events import EventType, append_event
from app.jobs.models import Job
from app.jobs.outbox import enqueue
from app.jobs.repository import store_labels
from app.jobs.states import QUEUE_OF_KIND, JobKind, JobStatus
from app.request_context import current_request


def add_job(
    session: Session,
    tenant_id: str,
    kind: JobKind,
    dataset_id: str,
    *,
    source_job_id: str | None = None,
    spec: dict[str, Any] | None = None,
    deadline_s: float | None = None,
    metadata: dict[str, str] | None = None,
    reserved_bytes: int = 0,
) -> Job:
    """Return a new queued job."""
    now = database_now(session)
    job = Job(
        id=new_id("job"),
        tenant_id=tenant_id,
        kind=kind,
        queue=QUEUE_OF_KIND[kind],
        dataset_id=dataset_id,
        source_job_id=source_job_id,
        spec=spec or {},
        user_metadata={},
        status=JobStatus.QUEUED,
        deadline_s=deadline_s,
        reserved_bytes=reserved_bytes,
        request_id=current_request().request_id,
        traceparent=current_request().traceparent,
        created_at=now,
        updated_at=now,
    )
    session.add(job)
    session.flush()
    store_labels(session, job, metadata or {})
    append_event(session, job.id, EventType.JOB_QUEUED, {}, at=now)
    enqueue(session, job, at=now)
    session.flush()
    session.refresh(job)
    return job
