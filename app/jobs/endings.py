"""How a run ends. Each function takes the job's row, locked by the caller, who also saw that it may write it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app.datasets.verdicts import reject_dataset
from app.jobs.events import EventType, append_event
from app.jobs.models import Job, Run
from app.jobs.outbox import enqueue
from app.jobs.states import ALLOWED_EDGES, TERMINAL_STATUSES, JobErrorCode, JobKind, JobStatus, RunOutcome, StopRequest

FIRST_BACKOFF_S = 2.0
LONGEST_BACKOFF_S = 300.0
# With the waits between them, a store may be away for a quarter of an hour.
MOST_RUNS_WITHOUT_STORAGE = 10


def succeed(session: Session, job: Job, data: dict[str, Any], *, at: datetime) -> None:
    """End the job well; whoever calls has stored the result in the same transaction."""
    _end_run(session, job, JobStatus.SUCCEEDED, RunOutcome.SUCCEEDED, at=at)
    append_event(session, job.id, EventType.JOB_SUCCEEDED, data, at=at)


def fail(
    session: Session,
    job: Job,
    code: str,
    message: str,
    *,
    retryable: bool,
    at: datetime,
    outcome: RunOutcome = RunOutcome.FAILED,
) -> None:
    """End the job badly. A data set whose validation fails is invalid, or it would stay ``validating`` for ever."""
    _end_run(session, job, JobStatus.FAILED, outcome, at=at)
    job.error_code, job.error_message, job.error_retryable = code, message, retryable
    append_event(session, job.id, EventType.JOB_FAILED, {"code": code, "message": message, "retryable": retryable}, at=at)
    if job.kind == JobKind.VALIDATION:
        reject_dataset(session, job.dataset_id, code, message, at=at)


def cancel(session: Session, job: Job, *, at: datetime) -> None:
    """Carry out a cancellation."""
    _end_run(session, job, JobStatus.CANCELLED, RunOutcome.CANCELLED, at=at)
    append_event(session, job.id, EventType.JOB_CANCELLED, {}, at=at)


def pause(session: Session, job: Job, *, at: datetime) -> None:
    """Carry out a pause; a paused job has no deadline running, it gets a new one when it is resumed."""
    _end_run(session, job, JobStatus.PAUSED, RunOutcome.PAUSED, at=at)
    job.deadline_at = None
    append_event(session, job.id, EventType.JOB_PAUSED, {}, at=at)


def release(session: Session, job: Job, *, at: datetime) -> None:
    """Give a job back that another run can go on with, or carry out what its user asked for in the meantime."""
    if _carry_out_stop(session, job, at=at):
        return
    _end_run(session, job, JobStatus.QUEUED, RunOutcome.RELEASED, at=at)
    append_event(session, job.id, EventType.RUN_RELEASED, {"number": job.lease_token}, at=at)
    enqueue(session, job, at=at)


def lose(session: Session, job: Job, reason: str, *, max_runs: int, at: datetime) -> None:
    """Record that a run ended without a word; queue the job again unless it has lost too many."""
    append_event(session, job.id, EventType.RUN_LOST, {"number": job.lease_token, "reason": reason}, at=at)
    if _carry_out_stop(session, job, at=at):
        return
    job.num_lost_runs += 1
    if job.num_lost_runs < max_runs:
        _end_run(session, job, JobStatus.QUEUED, RunOutcome.LOST, at=at)
        enqueue(session, job, at=at)
        return
    message = (
        f"The job lost {job.num_lost_runs} runs, the last one because {reason}; {max_runs} are allowed. "
        "If it runs out of memory, make the spec smaller; else retry the job, it goes on from its last checkpoint."
    )
    fail(session, job, JobErrorCode.WORKER_LOST, message, retryable=True, at=at, outcome=RunOutcome.LOST)


def retry_later(session: Session, job: Job, code: str, message: str, *, max_runs: int, at: datetime) -> None:
    """Queue the job again after a failure that may pass, each time after twice the wait; after too many fail it."""
    if _carry_out_stop(session, job, at=at):
        return
    job.num_lost_runs += 1
    if job.num_lost_runs >= max_runs:
        fail(session, job, code, message, retryable=True, at=at)
        return
    _queue_after_backoff(session, job, code, message, job.num_lost_runs, at=at)


def wait_for_storage(session: Session, job: Job, *, at: datetime) -> None:
    """Queue the job again while the object store is away: that costs it no lost run, and it fails only after many tries."""
    if _carry_out_stop(session, job, at=at):
        return
    num_failures = _count_failed_in_a_row(session, job) + 1
    if num_failures < MOST_RUNS_WITHOUT_STORAGE:
        message = "The object store cannot be reached; the job goes on when it can be."
        _queue_after_backoff(session, job, JobErrorCode.STORAGE_UNAVAILABLE, message, num_failures, at=at)
        return
    message = (
        f"The object store could not be reached in {num_failures} runs one after the other. When it can be again, retry the "
        "job: it goes on from its last checkpoint."
    )
    fail(session, job, JobErrorCode.STORAGE_UNAVAILABLE, message, retryable=True, at=at)


def _queue_after_backoff(session: Session, job: Job, code: str, message: str, num_failures: int, *, at: datetime) -> None:
    wait_s = min(FIRST_BACKOFF_S * 2 ** (num_failures - 1), LONGEST_BACKOFF_S)
    _end_run(session, job, JobStatus.QUEUED, RunOutcome.FAILED, at=at)
    append_event(session, job.id, EventType.JOB_RETRIED, {"code": code, "message": message, "wait_s": wait_s}, at=at)
    job.available_at = at + timedelta(seconds=wait_s)
    enqueue(session, job, at=job.available_at)


def _count_failed_in_a_row(session: Session, job: Job) -> int:
    """Return how many of the job's runs failed since one ended otherwise; the one that ends now is not counted yet."""
    recent = select(Run.outcome).where(Run.job_id == job.id, Run.number < job.lease_token).order_by(Run.number.desc())
    outcomes = session.scalars(recent.limit(MOST_RUNS_WITHOUT_STORAGE)).all()
    return next((count for count, outcome in enumerate(outcomes) if outcome != RunOutcome.FAILED), len(outcomes))


def retry_with_smaller_batches(session: Session, job: Job, *, at: datetime) -> None:
    """Queue the job again after its first run that went out of memory; it goes on from its checkpoint, if it has one."""
    if _carry_out_stop(session, job, at=at):
        return
    job.batch_divisor = 2
    _end_run(session, job, JobStatus.QUEUED, RunOutcome.FAILED, at=at)
    message = "The run went out of memory; the next one has batches of half the size."
    data = {"code": JobErrorCode.OUT_OF_MEMORY, "message": message, "batch_divisor": job.batch_divisor}
    append_event(session, job.id, EventType.JOB_RETRIED, data, at=at)
    enqueue(session, job, at=at)


def _carry_out_stop(session: Session, job: Job, *, at: datetime) -> bool:
    if job.status == JobStatus.CANCELLING:
        cancel(session, job, at=at)
    elif job.stop_requested == StopRequest.PAUSE:
        pause(session, job, at=at)
    else:
        return False
    return True


def _end_run(session: Session, job: Job, status: JobStatus, outcome: RunOutcome, *, at: datetime) -> None:
    assert status in ALLOWED_EDGES[JobStatus(job.status)], f"{job.id}: {job.status} -> {status}"
    job.status = status
    job.stop_requested = None
    job.lease_expires_at = None
    job.progress_eta_s = None
    job.updated_at = at
    if status in TERMINAL_STATUSES:
        job.ended_at = at
    session.execute(
        update(Run)
        .where(Run.job_id == job.id, Run.number == job.lease_token, Run.ended_at.is_(None))
        .values(ended_at=at, outcome=outcome)
    )
