"""Remove objects that nobody needs any more: checkpoints of jobs that stay ended, and whatever runs without a result left.

Each function may run in several workers at once. What is removed was made useless by a committed row before: a checkpoint is
forgotten by its job first, and a run that has ended can publish nothing, because its lease token is spent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import String, cast, false, func, not_, select, update
from sqlalchemy.orm import Session, sessionmaker

from app.clock import database_now
from app.jobs.models import Job, Manifest, Run
from app.jobs.states import JobStatus
from app.storage import ObjectStore

BATCH = 50
# A run whose lease was lost may still be writing; it finds out within a heartbeat, and is ended.
GRACE = timedelta(hours=1)
_RETRIED_STATUSES = (JobStatus.FAILED, JobStatus.CANCELLED)


@dataclass(frozen=True)
class _Remains:
    """A run that has ended, and what of it is still needed."""

    run_id: str
    prefix: str
    published: bool


def forget_checkpoints(sessions: sessionmaker[Session], *, keep_days: float) -> int:
    """Let jobs that ended badly long ago forget their checkpoints; return how many did. A retry then starts anew."""
    with sessions.begin() as session:
        long_ago = database_now(session) - timedelta(days=keep_days)
        old = select(Job).where(Job.status.in_(_RETRIED_STATUSES), Job.checkpoint_key.is_not(None), Job.ended_at < long_ago)
        jobs = session.scalars(old.limit(BATCH).with_for_update(skip_locked=True)).all()
        for job in jobs:
            job.checkpoint_key = job.previous_checkpoint_key = None
        return len(jobs)


def sweep_runs(sessions: sessionmaker[Session], store: ObjectStore, *, grace: timedelta = GRACE) -> int:
    """Remove the objects of runs that ended a while ago, but for published results; return how many runs were swept.

    Raises:
        StorageError: the store cannot be reached; what was not swept is found again.
    """
    with sessions() as session:
        remains = _find_remains(session, grace)
    for item in remains:
        # A published run's artifacts stay; its checkpoints were removed when it published, unless it died in between.
        store.delete_prefix(f"{item.prefix}checkpoints/" if item.published else item.prefix)
        with sessions.begin() as session:
            session.execute(update(Run).where(Run.id == item.run_id).values(swept_at=database_now(session)))
    return len(remains)


def _find_remains(session: Session, grace: timedelta) -> Sequence[_Remains]:
    ended = Run.ended_at < database_now(session) - grace
    prefix = "jobs/" + Job.id + "/" + cast(Run.number, String) + "/"
    kept = (func.coalesce(key.startswith(prefix), false()) for key in (Job.checkpoint_key, Job.previous_checkpoint_key))
    runs = (
        select(Run.id, Job.id, Run.number, Manifest.lease_token)
        .join(Job, Job.id == Run.job_id)
        .outerjoin(Manifest, Manifest.job_id == Job.id)
        .where(Run.swept_at.is_(None), ended, *(not_(holds) for holds in kept))
        .order_by(Run.ended_at)
        .limit(BATCH)
    )
    return [
        _Remains(run_id, f"jobs/{job_id}/{number}/", number == published)
        for run_id, job_id, number, published in session.execute(runs)
    ]
