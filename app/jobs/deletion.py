"""Delete a job: what it published and everything it said of itself. That it ran, and for how long, stays counted.

First the rows, in one transaction; then the objects, which maintenance removes too if that fails.
"""

from __future__ import annotations

import structlog
from sqlalchemy import delete, update
from sqlalchemy.orm import Session, sessionmaker

from app.clock import database_now
from app.errors import ServiceError
from app.jobs import repository
from app.jobs.models import Artifact, EstimateOutcome, JobEvent, JobMetric, Manifest, Run
from app.jobs.service import get_job
from app.jobs.states import TERMINAL_STATUSES
from app.storage import ObjectStore, StorageError

logger = structlog.get_logger(__name__)

_BELONGINGS = (Artifact, EstimateOutcome, JobEvent, JobMetric, Manifest)


def delete_job(sessions: sessionmaker[Session], store: ObjectStore, tenant_id: str, job_id: str) -> None:
    """Delete a job that is over, and that no evaluation reads."""
    with sessions.begin() as session:
        job = get_job(session, tenant_id, job_id, lock=True)
        if job.status not in TERMINAL_STATUSES:
            raise ServiceError("invalid_job_status", f"The job is {job.status} and cannot be deleted: cancel it first.")
        if repository.is_being_evaluated(session, job_id):
            raise ServiceError("job_in_use", "An evaluation that is not over reads the result; wait for it, or cancel it.")
        for table in _BELONGINGS:
            session.execute(delete(table).where(table.job_id == job_id))
        # Of a run that was swept before, only what nobody needed is gone.
        session.execute(update(Run).where(Run.job_id == job_id).values(swept_at=None))
        repository.store_labels(session, job, {})
        job.spec, job.metrics = {}, {}
        job.error_message = job.checkpoint_key = job.previous_checkpoint_key = None
        job.deleted_at = job.updated_at = database_now(session)
    try:
        store.delete_prefix(f"jobs/{job_id}/")
    except StorageError as error:
        logger.warning("the objects of a deleted job are left to maintenance", job_id=job_id, exc_info=error)
