"""Rows that the service's own code would have written: a tenant, a data set, a queued job."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session

from app.clock import database_now
from app.datasets.models import Dataset, DatasetStatus
from app.db import new_id
from app.jobs import creation
from app.jobs.models import Job
from app.jobs.states import JobKind
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
    job = creation.add_job(session, dataset.tenant_id, kind, dataset.id)
    for name, value in fields.items():
        setattr(job, name, value)
    session.flush()
    return job
