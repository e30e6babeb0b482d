"""Rows that the service's own code would have written: a tenant, a data set, a queued job."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session

from app.clock import database_now
from app.datasets.models import Dataset, DatasetStatus
from app.db import new_id
from app.jobs.events import EventType, append_event
from app.jobs.models import Job
from app.jobs.outbox import enqueue
from app.jobs.states import QUEUE_OF_KIND, JobKind, JobStatus
from app.tenants.models import Tenant


def add_tenant(session: Session) -> Tenant:
    tenant = Tenant(id=new_id("tenant"), name="tests", created_at=database_now(session))
    session.add(tenant)
    session.flush()
    return tenant


def add_dataset(session: Session, *, status: DatasetStatus = DatasetStatus.READY, **fields: Any) -> Dataset:
    """Add a data set of a tenant of its own."""
    now = database_now(session)
    declared: dict[str, Any] = {
        "name": "interactions",
        "task": "sequential_recommendation",
        "format": "csv",
        "columns": None,
        "options": {},
        "user_metadata": {},
    }
    dataset = Dataset(
        id=new_id("ds"), tenant_id=add_tenant(session).id, status=status, created_at=now, updated_at=now, **declared | fields
    )
    session.add(dataset)
    session.flush()
    return dataset


def add_job(session: Session, dataset: Dataset | None = None, *, kind: JobKind = JobKind.DISTILLATION, **fields: Any) -> Job:
    """Add a queued job with its first event and its outbox message."""
    dataset = dataset or add_dataset(session)
    now = database_now(session)
    job = Job(
        id=new_id("job"),
        tenant_id=dataset.tenant_id,
        kind=kind,
        queue=QUEUE_OF_KIND[kind],
        dataset_id=dataset.id,
        status=JobStatus.QUEUED,
        user_metadata={},
        created_at=now,
        updated_at=now,
        **{"spec": {}} | fields,
    )
    session.add(job)
    session.flush()
    append_event(session, job.id, EventType.JOB_QUEUED, {}, at=now)
    enqueue(session, job, at=now)
    session.flush()
    return job
