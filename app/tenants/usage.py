"""What a tenant uses, always summed anew from the rows: there is no counter that could drift."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, case, func, or_, select
from sqlalchemy.orm import Session

from app.clock import elapsed_s
from app.datasets.models import Dataset
from app.jobs.models import Artifact, Job, Run
from app.jobs.states import ACTIVE_STATUSES, JobKind, Queue
from app.uploads.models import UNDER_WAY, Upload

NUM_DAYS = 31
SecondsByQueue = dict[str, float]


@dataclass(frozen=True)
class RunSeconds:
    """Seconds that runs took, by queue: of each day (``YYYY-MM-DD``) and of each month (``YYYY-MM``)."""

    by_day: dict[str, SecondsByQueue]
    by_month: dict[str, SecondsByQueue]


def count_stored_bytes(session: Session, tenant_id: str) -> int:
    """Bytes of uploads as they came, those under way included, and of artifacts; not what the service keeps for itself."""
    uploads = select(func.coalesce(func.sum(Dataset.size_bytes), 0)).where(
        Dataset.tenant_id == tenant_id, Dataset.deleted_at.is_(None)
    )
    artifacts = (
        select(func.coalesce(func.sum(Artifact.size_bytes), 0))
        .join(Job, Job.id == Artifact.job_id)
        .where(Job.tenant_id == tenant_id, Job.deleted_at.is_(None))
    )
    under_way = select(func.coalesce(func.sum(Upload.size_bytes), 0)).where(
        Upload.tenant_id == tenant_id, Upload.status.in_(UNDER_WAY)
    )
    return sum(int(session.scalar(query) or 0) for query in (uploads, artifacts, under_way))


def count_reserved_bytes(session: Session, tenant_id: str) -> int:
    """Bytes that the results of jobs which are not over are expected to have; what is published counts as stored instead."""
    reserved = select(func.coalesce(func.sum(Job.reserved_bytes), 0)).where(
        Job.tenant_id == tenant_id, Job.status.in_(ACTIVE_STATUSES)
    )
    return int(session.scalar(reserved) or 0)


def count_datasets(session: Session, tenant_id: str) -> int:
    mine = select(func.count()).select_from(Dataset).where(Dataset.tenant_id == tenant_id, Dataset.deleted_at.is_(None))
    return session.scalar(mine) or 0


def count_active_jobs(session: Session, tenant_id: str) -> int:
    """Jobs that are not over; validations, which nobody asked for by name, are not counted."""
    active = (Job.tenant_id == tenant_id, Job.status.in_(ACTIVE_STATUSES), Job.kind != JobKind.VALIDATION)
    return session.scalar(select(func.count()).select_from(Job).where(*active)) or 0


def count_jobs_by_status(session: Session, tenant_id: str) -> dict[str, int]:
    listed = (Job.tenant_id == tenant_id, Job.kind != JobKind.VALIDATION, Job.deleted_at.is_(None))
    mine = select(Job.status, func.count()).where(*listed)
    return {status: count for status, count in session.execute(mine.group_by(Job.status))}  # noqa: C416  rows are no pairs to mypy


def sum_month_seconds(session: Session, tenant_id: str, queue: str, now: datetime) -> float:
    """Seconds that runs on ``queue`` took in the month of ``now``, running ones up to now; one sum in the database."""
    start = begin_of_month(now)
    began = case((Run.started_at < start, start), else_=Run.started_at)
    seconds = select(func.coalesce(func.sum(elapsed_s(session, began, func.coalesce(Run.ended_at, now))), 0.0))
    query = seconds.select_from(Run).join(Job, Job.id == Run.job_id).where(*_since(tenant_id, start), Job.queue == queue)
    return float(session.scalar(query) or 0.0)


def split_run_seconds(session: Session, tenant_id: str, now: datetime) -> RunSeconds:
    """Return the seconds of runs of this month, the month before and the last 31 days; a run that crosses midnight is split."""
    first_day = begin_of_day(now) - timedelta(days=NUM_DAYS - 1)
    since = min(first_day, begin_of_month(begin_of_month(now) - timedelta(days=1)))
    by_day: dict[str, Counter[str]] = defaultdict(Counter)
    by_month: dict[str, Counter[str]] = defaultdict(Counter)
    runs = select(Run.started_at, Run.ended_at, Job.queue).join(Job, Job.id == Run.job_id).where(*_since(tenant_id, since))
    for started_at, ended_at, queue in session.execute(runs):
        for day, seconds in _split_at_midnight(max(started_at, since), ended_at or now):
            by_month[f"{day:%Y-%m}"][queue] += seconds  # type: ignore[assignment]
            if day >= first_day:
                by_day[f"{day:%Y-%m-%d}"][queue] += seconds  # type: ignore[assignment]
    return RunSeconds(_plain(by_day), _plain(by_month))


def begin_of_day(at: datetime) -> datetime:
    return at.replace(hour=0, minute=0, second=0, microsecond=0)


def begin_of_month(at: datetime) -> datetime:
    return begin_of_day(at).replace(day=1)


def _since(tenant_id: str, since: datetime) -> tuple[ColumnElement[bool], ...]:
    return (Job.tenant_id == tenant_id, or_(Run.ended_at.is_(None), Run.ended_at > since))


def _split_at_midnight(start: datetime, end: datetime) -> Iterator[tuple[datetime, float]]:
    while start < end:
        day = begin_of_day(start)
        stop = min(end, day + timedelta(days=1))
        yield day, (stop - start).total_seconds()
        start = stop


def _plain(seconds: dict[str, Counter[str]]) -> dict[str, SecondsByQueue]:
    return {
        period: {str(queue): round(float(queues[queue]), 3) for queue in Queue} for period, queues in sorted(seconds.items())
    }
