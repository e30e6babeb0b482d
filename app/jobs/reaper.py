"""Housekeeping that keeps an accepted job from being forgotten: leases that ran out, doorbells that were lost."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import Select, exists, or_, select
from sqlalchemy.orm import Session

from app.clock import database_now
from app.jobs.endings import lose
from app.jobs.models import Job, OutboxMessage
from app.jobs.outbox import enqueue
from app.jobs.states import LEASED_STATUSES, JobStatus

RING_AGAIN_AFTER_S = 60.0
# Only the head of a long queue is rung again: its messages multiply otherwise while they wait.
RING_AGAIN_JOBS = 50


def reap_expired(session: Session, *, max_runs: int, job_id: str | None = None) -> list[str]:
    """Take jobs (or one) from runs whose lease ran out; return their ids. Rows another reaper holds are left to it."""
    now = database_now(session)
    query = select(Job).where(Job.status.in_(LEASED_STATUSES), Job.lease_expires_at < now)
    if job_id is not None:
        query = query.where(Job.id == job_id)
    return _lose_all(session, query, "its lease ran out", max_runs)


def reap_all(session: Session, *, max_runs: int) -> list[str]:
    """Take every leased job from its run: for a supervisor that knows that it is the only one and has just started."""
    query = select(Job).where(Job.status.in_(LEASED_STATUSES))
    return _lose_all(session, query, "its supervisor ended", max_runs)


def ring_again(session: Session) -> int:
    """Tell the broker once more of jobs that nobody took for a minute; return how many: losing Redis loses no job."""
    now = database_now(session)
    told_before = now - timedelta(seconds=RING_AGAIN_AFTER_S)
    jobs = session.scalars(
        select(Job)
        .where(
            Job.status == JobStatus.QUEUED,
            or_(Job.last_enqueued_at.is_(None), Job.last_enqueued_at < told_before),
            ~exists().where(OutboxMessage.job_id == Job.id),
        )
        .order_by(Job.id)
        .limit(RING_AGAIN_JOBS)
        .with_for_update(skip_locked=True)
    ).all()
    for job in jobs:
        enqueue(session, job, at=now)
    return len(jobs)


def _lose_all(session: Session, query: Select[Job], reason: str, max_runs: int) -> list[str]:
    locked = query.order_by(Job.id).with_for_update(skip_locked=True).execution_options(populate_existing=True)
    jobs = session.scalars(locked).all()
    now = database_now(session)
    for job in jobs:
        lose(session, job, reason, max_runs=max_runs, at=now)
    return [job.id for job in jobs]
