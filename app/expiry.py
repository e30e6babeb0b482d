"""What time makes worthless, deleted by maintenance: answers to old POSTs, and details of old jobs where settings say so."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import delete, exists, select, tuple_
from sqlalchemy.orm import Session

from app.clock import database_now
from app.jobs.models import IdempotencyRecord, Job, JobEvent, JobMetric
from app.jobs.states import TERMINAL_STATUSES

IDEMPOTENCY_KEPT_FOR = timedelta(hours=24)
# A round is one transaction of a second or two, however long nobody cleared anything away: statements may not take long.
JOBS_OF_ONE_ROUND = 20
ANSWERS_OF_ONE_ROUND = 2000


def delete_old_idempotency_records(session: Session) -> int:
    """Delete some answers that no repeat gets any more; return how many."""
    outdated = database_now(session) - IDEMPOTENCY_KEPT_FOR
    key = (IdempotencyRecord.tenant_id, IdempotencyRecord.key)
    old = select(*key).where(IdempotencyRecord.created_at < outdated).limit(ANSWERS_OF_ONE_ROUND)
    return len(session.execute(delete(IdempotencyRecord).where(tuple_(*key).in_(old)).returning(IdempotencyRecord.key)).all())


def delete_old_job_records(session: Session, keep_days: int) -> int:
    """Delete events and metrics of some jobs that ended ``keep_days`` ago; return of how many. Their results stay."""
    ended_before = database_now(session) - timedelta(days=keep_days)
    has_events = exists().where(JobEvent.job_id == Job.id)
    old = select(Job.id).where(Job.status.in_(TERMINAL_STATUSES), Job.ended_at < ended_before, has_events)
    job_ids = session.scalars(old.order_by(Job.id).limit(JOBS_OF_ONE_ROUND).with_for_update(skip_locked=True)).all()
    for table in (JobEvent, JobMetric):
        session.execute(delete(table).where(table.job_id.in_(job_ids)))
    return len(job_ids)
