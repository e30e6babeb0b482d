"""Queries on data sets; every one names the tenant."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import exists, or_, select
from sqlalchemy.orm import Session

from app.datasets.models import Dataset
from app.jobs.models import Job
from app.jobs.states import ACTIVE_STATUSES
from app.pagination import PageQuery, newest_first


def find_dataset(
    session: Session, tenant_id: str, dataset_id: str, *, lock: bool = False, keep: bool = False
) -> Dataset | None:
    """Return a data set; with ``lock`` nobody else changes it meanwhile, with ``keep`` several may rely on it together."""
    query = select(Dataset).where(Dataset.tenant_id == tenant_id, Dataset.id == dataset_id, Dataset.deleted_at.is_(None))
    return session.scalar(query.with_for_update(read=keep) if lock or keep else query)


def find_deletable(session: Session, tenant_id: str, dataset_id: str) -> Dataset | None:
    """Return the locked row of a data set that is there, or that is deleted but whose objects may not be."""
    left_over = or_(Dataset.deleted_at.is_(None), Dataset.content_key.is_not(None))
    query = select(Dataset).where(Dataset.tenant_id == tenant_id, Dataset.id == dataset_id, left_over)
    return session.scalar(query.with_for_update())


def list_half_deleted(session: Session, limit: int) -> Sequence[str]:
    """Return ids of deleted data sets whose objects may still be there."""
    query = select(Dataset.id).where(Dataset.deleted_at.is_not(None), Dataset.content_key.is_not(None))
    return session.scalars(query.order_by(Dataset.id).limit(limit)).all()


def list_datasets(session: Session, tenant_id: str, page: PageQuery) -> tuple[Sequence[Dataset], bool]:
    query = select(Dataset).where(Dataset.tenant_id == tenant_id, Dataset.deleted_at.is_(None))
    return newest_first(session, query, Dataset.id, page)


def is_in_use(session: Session, dataset_id: str) -> bool:
    """Whether a job that is not over reads the data set, its own validation included."""
    return bool(session.scalar(select(exists().where(Job.dataset_id == dataset_id, Job.status.in_(ACTIVE_STATUSES)))))
