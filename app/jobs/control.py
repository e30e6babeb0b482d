"""Cancel, pause, resume, retry. Each is idempotent: what is so already is answered, not refused.

A job nobody runs changes at once; one that runs is asked, and its supervisor carries it out.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.orm import Session

from app.clock import database_now
from app.datasets.repository import find_dataset
from app.errors import ServiceError
from app.jobs.events import EventType, append_event
from app.jobs.models import Job
from app.jobs.outbox import enqueue
from app.jobs.service import get_job
from app.jobs.states import ALLOWED_EDGES, TERMINAL_STATUSES, JobStatus, Queue, StopRequest
from app.tenants.quotas import QuotaGuard


def cancel_job(session: Session, tenant_id: str, job_id: str) -> Job:
    """Stop a job for good."""
    job = get_job(session, tenant_id, job_id, lock=True)
    now = database_now(session)
    if job.status in {JobStatus.QUEUED, JobStatus.PAUSED}:
        _move(job, JobStatus.CANCELLED, now)
        append_event(session, job.id, EventType.JOB_CANCELLED, {}, at=now)
    elif job.status == JobStatus.RUNNING:
        _move(job, JobStatus.CANCELLING, now)
        job.stop_requested = StopRequest.CANCEL
        append_event(session, job.id, EventType.JOB_CANCELLING, {}, at=now)
    elif job.status not in {JobStatus.CANCELLING, JobStatus.CANCELLED}:
        raise _refusal("cancelled", job, "a job that is over stays as it is")
    return job


def pause_job(session: Session, tenant_id: str, job_id: str) -> Job:
    """Stop a job at a checkpoint, until it is resumed."""
    job = get_job(session, tenant_id, job_id, lock=True)
    now = database_now(session)
    if job.status == JobStatus.QUEUED:
        _move(job, JobStatus.PAUSED, now)
        append_event(session, job.id, EventType.JOB_PAUSED, {}, at=now)
    elif job.status == JobStatus.RUNNING:
        job.stop_requested = StopRequest.PAUSE
        job.updated_at = now
    elif job.status != JobStatus.PAUSED:
        raise _refusal("paused", job, "only a queued or running job can be")
    return job


def resume_job(session: Session, tenant_id: str, job_id: str) -> Job:
    """Let a paused job go on, or take back a pause that was not carried out yet."""
    job = get_job(session, tenant_id, job_id, lock=True)
    now = database_now(session)
    if job.status == JobStatus.PAUSED:
        _queue_again(session, job, EventType.JOB_RESUMED, now)
    elif job.status == JobStatus.RUNNING:
        if job.stop_requested == StopRequest.PAUSE:
            job.stop_requested = None
            job.updated_at = now
    elif job.status != JobStatus.QUEUED:
        raise _refusal("resumed", job, "only a paused job can be; retry one that failed or was cancelled")
    return job


def retry_job(session: Session, tenant_id: str, job_id: str, quotas: QuotaGuard) -> Job:
    """Queue a failed or cancelled job again; it goes on from its last checkpoint."""
    job = get_job(session, tenant_id, job_id, lock=True)
    if job.status in {JobStatus.FAILED, JobStatus.CANCELLED}:
        quotas.require_job(session, tenant_id, Queue(job.queue))
        quotas.require_bytes(session, tenant_id, job.reserved_bytes)
        if find_dataset(session, tenant_id, job.dataset_id, keep=True) is None:
            raise ServiceError("dataset_deleted", f"The job's data set {job.dataset_id} was deleted; upload it again.")
        now = database_now(session)
        job.error_code = job.error_message = job.error_retryable = None
        job.ended_at = job.available_at = job.deadline_at = None
        job.num_lost_runs = 0
        job.batch_divisor = 1
        _queue_again(session, job, EventType.JOB_RETRIED, now)
    elif job.status not in {JobStatus.QUEUED, JobStatus.RUNNING}:
        raise _refusal("retried", job, "only a failed or cancelled job can be")
    return job


def _queue_again(session: Session, job: Job, event_type: EventType, now: datetime) -> None:
    _move(job, JobStatus.QUEUED, now)
    append_event(session, job.id, event_type, {}, at=now)
    enqueue(session, job, at=now)


def _move(job: Job, status: JobStatus, now: datetime) -> None:
    assert status in ALLOWED_EDGES[JobStatus(job.status)], f"{job.id}: {job.status} -> {status}"
    job.status = status
    job.updated_at = now
    if status in TERMINAL_STATUSES:
        job.ended_at = now


def _refusal(done: str, job: Job, rule: str) -> ServiceError:
    return ServiceError("invalid_job_status", f"The job is {job.status} and cannot be {done}: {rule}.")
