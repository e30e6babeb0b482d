"""Leases: who may run a job. The database decides, by its own clock, and every later write names the token it was given.

A claim raises ``lease_token``, so a run that was thought dead and wakes up holds an old token and can change nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import CTE, ColumnElement, exists, func, literal_column, or_, select
from sqlalchemy.orm import Session, aliased

from app.clock import database_now
from app.db import new_id
from app.jobs.events import EventType, append_event
from app.jobs.models import Job, Run
from app.jobs.reaper import reap_expired
from app.jobs.states import LEASED_STATUSES, JobStatus, StopRequest


class LeaseLostError(Exception):
    """The job belongs to another run by now, or to nobody: stop, and write nothing more."""


@dataclass(frozen=True)
class Lease:
    """The right to write for a job: valid while the job is leased and ``token`` is still its token."""

    job_id: str
    token: int

    @property
    def held(self) -> tuple[ColumnElement[bool], ...]:
        """The fence: conditions on the job's row that hold only for the run that owns it."""
        return (Job.id == self.job_id, Job.lease_token == self.token, Job.status.in_(LEASED_STATUSES))


@dataclass(frozen=True)
class LeaseState:
    """What the supervisor has to know of the job it watches."""

    stop_requested: StopRequest | None
    deadline_passed: bool


def next_queued(session: Session, queue: str) -> str | None:
    """Return the id of the job of ``queue`` that is to be claimed next: the oldest of the tenant with the fewest runs.

    Among several such tenants it is a matter of chance, so that none of them waits for another's long queue.

    Cost: a few rows of an index for each tenant that waits, however many jobs it has waiting.
    """
    running = (
        select(Job.tenant_id, func.count().label("num_runs"))
        .where(Job.status.in_(LEASED_STATUSES), Job.queue == queue)
        .group_by(Job.tenant_id)
        .subquery()
    )
    waiting = _waiting_tenants(queue)
    mine = (*_waits(Job, queue), Job.tenant_id == waiting.c.tenant_id, _is_available(database_now(session)))
    first = select(Job.id).where(*mine).order_by(Job.id).limit(1).correlate(waiting).scalar_subquery()
    oldest = select(waiting.c.tenant_id, first.label("job_id")).subquery()
    return session.scalar(
        select(oldest.c.job_id)
        .outerjoin(running, running.c.tenant_id == oldest.c.tenant_id)
        .where(oldest.c.job_id.is_not(None))
        .order_by(func.coalesce(running.c.num_runs, 0), func.random())
        .limit(1)
    )


def _waiting_tenants(queue: str) -> CTE:
    """Return the tenants that have queued jobs, found by stepping along the index from one to the next."""
    first = select(func.min(Job.tenant_id).label("tenant_id")).where(*_waits(Job, queue)).cte("waiting", recursive=True)
    later = aliased(Job)
    following = select(func.min(later.tenant_id)).where(*_waits(later, queue), later.tenant_id > first.c.tenant_id)
    return first.union_all(select(following.correlate(first).scalar_subquery()).where(first.c.tenant_id.is_not(None)))


def _waits(job: type[Job], queue: str) -> tuple[ColumnElement[bool], ...]:
    # The word of the partial index: with a parameter in its place, a prepared query could not use it.
    return (job.queue == queue, job.status == literal_column(f"'{JobStatus.QUEUED}'"))


def is_anything_active(session: Session) -> bool:
    """Whether a job of any queue waits for a run or has one."""
    busy = (JobStatus.QUEUED, *LEASED_STATUSES)
    return bool(session.scalar(select(exists().where(Job.status.in_(busy)))))


def claim(
    session: Session, job_id: str, worker: str, *, lease_s: float, max_runs: int, run_id: str | None = None
) -> Lease | None:
    """Take the job for a new run, or return None if it is not to be had; the caller commits.

    A job whose lease ran out is taken from its lost run first, so that the loss is recorded and counted. Whoever gives the run
    its id can find it again if the answer to the commit is lost.
    """
    reap_expired(session, max_runs=max_runs, job_id=job_id)
    queued = select(Job).where(Job.id == job_id, Job.status == JobStatus.QUEUED)
    job = session.scalar(queued.with_for_update().execution_options(populate_existing=True))
    # The time is that of the lock, which may have been waited for: a lease is as long as it says.
    now = database_now(session)
    if job is None or (job.available_at is not None and job.available_at > now):
        return None
    job.status, job.lease_token = JobStatus.RUNNING, job.lease_token + 1
    job.lease_expires_at, job.updated_at = now + timedelta(seconds=lease_s), now
    _begin_run(session, job, run_id or new_id("run"), worker, now)
    return Lease(job_id, job.lease_token)


def take_up(session: Session, run_ids: Sequence[str], *, lease_s: float) -> Lease | None:
    """Return the lease of the one of these runs that is open, kept for another ``lease_s`` seconds, or None.

    For ids that the caller gave to claims that may have been committed without his being told.
    """
    run = session.scalar(select(Run).where(Run.id.in_(run_ids), Run.ended_at.is_(None)))
    if run is None:
        return None
    lease = Lease(run.job_id, run.number)
    try:
        heartbeat(session, lease, lease_s=lease_s)
    except LeaseLostError:
        return None
    return lease


def heartbeat(session: Session, lease: Lease, *, lease_s: float) -> LeaseState:
    """Keep the lease for another ``lease_s`` seconds.

    Raises:
        LeaseLostError: it was lost before.
    """
    job = lock_held(session, lease)
    now = database_now(session)
    job.lease_expires_at = now + timedelta(seconds=lease_s)
    return _state_of(job, now)


def look(session: Session, lease: Lease) -> LeaseState:
    """Read what is asked of the run, and lock nothing.

    Raises:
        LeaseLostError: the lease was lost.
    """
    job = session.scalar(select(Job).where(*lease.held).execution_options(populate_existing=True))
    if job is None:
        raise LeaseLostError(f"{lease.job_id}: token {lease.token} is not the job's any more")
    return _state_of(job, database_now(session))


def lock_held(session: Session, lease: Lease) -> Job:
    """Lock the job's row until the commit and return it: what is written to it now is written by the lease's owner.

    Raises:
        LeaseLostError: the lease was lost.
    """
    job = session.scalar(select(Job).where(*lease.held).with_for_update().execution_options(populate_existing=True))
    if job is None:
        raise LeaseLostError(f"{lease.job_id}: token {lease.token} is not the job's any more")
    return job


def _is_available(now: datetime) -> ColumnElement[bool]:
    return or_(Job.available_at.is_(None), Job.available_at <= now)


def _begin_run(session: Session, job: Job, run_id: str, worker: str, now: datetime) -> None:
    job.started_at = job.started_at or now
    job.ended_at = job.error_code = job.error_message = job.error_retryable = job.available_at = None
    if job.deadline_at is None and job.deadline_s is not None:
        job.deadline_at = now + timedelta(seconds=job.deadline_s)
    session.add(Run(id=run_id, job_id=job.id, number=job.lease_token, worker=worker[:200], started_at=now))
    append_event(session, job.id, EventType.JOB_STARTED, {"run_id": run_id, "number": job.lease_token}, at=now)


def _state_of(job: Job, now: datetime) -> LeaseState:
    return LeaseState(
        stop_requested=StopRequest(job.stop_requested) if job.stop_requested else None,
        deadline_passed=job.deadline_at is not None and job.deadline_at <= now,
    )
