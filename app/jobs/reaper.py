"""Housekeeping that keeps an accepted job from being forgotten: runs that are lost, doorbells that were lost."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import structlog
from sqlalchemy import Select, exists, or_, select
from sqlalchemy.orm import Session, aliased

from app.clock import database_now
from app.db import is_away
from app.jobs.endings import lose
from app.jobs.models import Job, OutboxMessage, Run
from app.jobs.outbox import enqueue
from app.jobs.states import LEASED_STATUSES, JobStatus, Queue

RING_AGAIN_AFTER_S = 60.0
# Only the head of each queue is rung again: messages multiply while they wait, and a worker that comes goes on until nothing
# is queued any more.
RING_AGAIN_JOBS = 10

logger = structlog.get_logger(__name__)


def reap_expired(session: Session, *, max_runs: int, job_id: str | None = None) -> list[str]:
    """Take jobs (or one) from runs whose lease ran out; return their ids. Rows another reaper holds are left to it."""
    now = database_now(session)
    query = select(Job).where(Job.status.in_(LEASED_STATUSES), Job.lease_expires_at < now)
    if job_id is not None:
        query = query.where(Job.id == job_id)
    return _lose_all(session, query, "its lease ran out", max_runs)


def reap_dead(session: Session, workers: Sequence[str], *, max_runs: int) -> list[str]:
    """Take jobs from the runs of workers that are known to have ended, however long their leases last; return their ids."""
    if not workers:
        return []
    # The number as well: a row that changed while it was waited for has another run, of a worker that lives.
    mine = (Run.job_id == Job.id, Run.number == Job.lease_token, Run.ended_at.is_(None), Run.worker.in_(workers))
    query = select(Job).where(Job.status.in_(LEASED_STATUSES), exists().where(*mine))
    return _lose_all(session, query, "its worker ended", max_runs)


def reap_all(session: Session, *, max_runs: int) -> list[str]:
    """Take every leased job from its run: for a supervisor that knows that it is the only one and has just started."""
    query = select(Job).where(Job.status.in_(LEASED_STATUSES))
    return _lose_all(session, query, "its supervisor ended", max_runs)


def ring_again(session: Session) -> int:
    """Tell the broker once more of the first jobs of each queue, where nobody took them for a minute; return how many."""
    return sum(_ring_head(session, queue) for queue in Queue)


def _ring_head(session: Session, queue: Queue) -> int:
    """The head is chosen before it is asked who was told of: otherwise those behind it would be told of in its place."""
    now = database_now(session)
    told_before = now - timedelta(seconds=RING_AGAIN_AFTER_S)
    waiting = aliased(Job)
    head = (
        select(waiting.id)
        .where(
            waiting.status == JobStatus.QUEUED,
            waiting.queue == queue,
            or_(waiting.available_at.is_(None), waiting.available_at <= now),
        )
        .order_by(waiting.id)
        .limit(RING_AGAIN_JOBS)
        .subquery()
    )
    untold = or_(Job.last_enqueued_at.is_(None), Job.last_enqueued_at < told_before)
    jobs = session.scalars(
        select(Job)
        .where(
            Job.id.in_(select(head.c.id)),
            Job.status == JobStatus.QUEUED,
            untold,
            ~exists().where(OutboxMessage.job_id == Job.id),
        )
        .order_by(Job.id)
        .with_for_update(skip_locked=True)
    ).all()
    for job in jobs:
        enqueue(session, job, at=now)
    return len(jobs)


def _lose_all(session: Session, query: Select[Job], reason: str, max_runs: int) -> list[str]:
    """Each in a savepoint: one job whose rows do not let it be lost must not keep all others with their dead runs."""
    locked = query.order_by(Job.id).with_for_update(skip_locked=True).execution_options(populate_existing=True)
    jobs = {job.id: job for job in session.scalars(locked)}
    now = database_now(session)
    lost = []
    for job_id, job in jobs.items():
        try:
            with session.begin_nested():
                lose(session, job, reason, max_runs=max_runs, at=now)
        except Exception as error:
            if is_away(error):
                raise
            logger.exception("a job cannot be taken from its run", job_id=job_id)
        else:
            lost.append(job_id)
    return lost
