"""Queries on jobs; every one that starts from an id of the caller's names the tenant. Validations are never seen."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import ColumnElement, Select, and_, func, select
from sqlalchemy.orm import Session

from app.jobs.models import Artifact, Job, JobEvent, JobMetric, Manifest, Run
from app.jobs.schemas import JobQuery
from app.jobs.states import JobKind
from app.pagination import newest_first


@dataclass
class JobDetails:
    """What is shown with a job's row."""

    runs: list[Run] = field(default_factory=list)
    artifacts: list[Artifact] = field(default_factory=list)
    metrics: dict[str, float] = field(default_factory=dict)


def find_job(session: Session, tenant_id: str, job_id: str, *, lock: bool = False) -> Job | None:
    query = select(Job).where(Job.id == job_id, *_visible(tenant_id))
    return session.scalar(query.with_for_update() if lock else query)


def list_jobs(session: Session, tenant_id: str, query: JobQuery) -> tuple[Sequence[Job], bool]:
    jobs = select(Job).where(*_visible(tenant_id))
    if query.status is not None:
        jobs = jobs.where(Job.status == query.status)
    if query.kind is not None:
        jobs = jobs.where(Job.kind == query.kind)
    for key, value in query.metadata.items():
        jobs = jobs.where(Job.user_metadata[key].as_string() == value)
    return newest_first(session, jobs, Job.id, query)


def load_details(session: Session, jobs: Sequence[Job]) -> dict[str, JobDetails]:
    """Return the details of ``jobs`` in a fixed number of queries, however many jobs there are."""
    ids = [job.id for job in jobs]
    details: dict[str, JobDetails] = defaultdict(JobDetails)
    for run in session.scalars(select(Run).where(Run.job_id.in_(ids)).order_by(Run.number)):
        details[run.job_id].runs.append(run)
    for artifact in session.scalars(select(Artifact).where(Artifact.job_id.in_(ids)).order_by(Artifact.name)):
        details[artifact.job_id].artifacts.append(artifact)
    for metric in session.scalars(_newest_metrics(ids)):
        details[metric.job_id].metrics[metric.name] = metric.value
    for manifest in session.scalars(select(Manifest).where(Manifest.job_id.in_(ids))):
        details[manifest.job_id].metrics.update(manifest.content.get("summary", {}))
    return details


def list_events(session: Session, job_id: str, after: int, limit: int) -> Sequence[JobEvent]:
    events = select(JobEvent).where(JobEvent.job_id == job_id, JobEvent.seq > after)
    return session.scalars(events.order_by(JobEvent.seq).limit(limit)).all()


def list_metrics(session: Session, job_id: str) -> Sequence[JobMetric]:
    return session.scalars(select(JobMetric).where(JobMetric.job_id == job_id).order_by(JobMetric.name, JobMetric.step)).all()


def list_artifacts(session: Session, job_id: str) -> Sequence[Artifact]:
    return session.scalars(select(Artifact).where(Artifact.job_id == job_id).order_by(Artifact.name)).all()


def find_artifact(session: Session, job_id: str, name: str) -> Artifact | None:
    return session.get(Artifact, (job_id, name))


def count_jobs(session: Session) -> dict[tuple[str, str], int]:
    """Return how many jobs of all tenants there are, by kind and status."""
    rows = session.execute(select(Job.kind, Job.status, func.count()).group_by(Job.kind, Job.status))
    return {(kind, status): count for kind, status, count in rows}


def _visible(tenant_id: str) -> tuple[ColumnElement[bool], ...]:
    return (Job.tenant_id == tenant_id, Job.kind != JobKind.VALIDATION)


def _newest_metrics(job_ids: list[str]) -> Select[JobMetric]:
    newest = (
        select(JobMetric.job_id, JobMetric.name, func.max(JobMetric.step).label("step"))
        .where(JobMetric.job_id.in_(job_ids))
        .group_by(JobMetric.job_id, JobMetric.name)
        .subquery()
    )
    same = and_(JobMetric.job_id == newest.c.job_id, JobMetric.name == newest.c.name, JobMetric.step == newest.c.step)
    return select(JobMetric).join(newest, same)
