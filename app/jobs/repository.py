"""Queries on jobs; every one that starts from an id of the caller's names the tenant. Validations are never seen."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from sqlalchemy import ColumnElement, CompoundSelect, Select, TextClause, delete, exists, func, select, union_all
from sqlalchemy.orm import Session

from app.db import first_id_at
from app.jobs.models import LISTED, Artifact, Job, JobEvent, JobLabel, JobMetric, Manifest, Run
from app.jobs.schemas import JobQuery
from app.jobs.states import ACTIVE_STATUSES, JobStatus
from app.pagination import decode_cursor, newest_first

CLOCK_SKEW = timedelta(minutes=10)


@dataclass
class JobDetails:
    """What is shown with a job's row."""

    runs: list[Run] = field(default_factory=list)
    artifacts: list[Artifact] = field(default_factory=list)


def find_job(session: Session, tenant_id: str, job_id: str, *, lock: bool = False) -> Job | None:
    query = select(Job).where(Job.id == job_id, *_visible(tenant_id))
    return session.scalar(query.with_for_update() if lock else query)


def list_jobs(session: Session, tenant_id: str, query: JobQuery) -> tuple[Sequence[Job], bool]:
    """Return one page, newest first. Whatever the filters, an index gives the rows in their order."""
    jobs = select(Job).where(*_visible(tenant_id), *_filters(query))
    jobs = jobs.where(*(_has_label(tenant_id, key, value) for key, value in query.metadata.items()))
    if len(query.status) == 1:
        jobs = jobs.where(Job.status == query.status[0])
    elif query.status:
        jobs = jobs.where(Job.id.in_(_newest_of_each_status(jobs, query)))
    return newest_first(session, jobs, Job.id, query)


def _filters(query: JobQuery) -> Iterator[ColumnElement[bool]]:
    exact = {Job.kind: query.kind, Job.dataset_id: query.dataset_id, Job.source_job_id: query.source_job_id}
    yield from (column == value for column, value in exact.items() if value is not None)
    # Ids rise with time, to within a skew of clocks: they bound the part of the index that is read.
    if query.created_after is not None:
        yield Job.id >= first_id_at("job", query.created_after, skew=-CLOCK_SKEW)
        yield Job.created_at >= query.created_after
    if query.created_before is not None:
        yield Job.id < first_id_at("job", query.created_before, skew=CLOCK_SKEW)
        yield Job.created_at < query.created_before


def _has_label(tenant_id: str, key: str, value: str) -> ColumnElement[bool]:
    labelled = (JobLabel.tenant_id == tenant_id, JobLabel.key == key, JobLabel.value == value)
    return Job.id.in_(select(JobLabel.job_id).where(*labelled))


def _newest_of_each_status(jobs: Select[Job], query: JobQuery) -> CompoundSelect[str]:
    """Return ids that hold the page: an index has each status in order, but not several together."""
    ids = jobs.with_only_columns(Job.id)
    if query.cursor is not None:
        ids = ids.where(Job.id < decode_cursor(query.cursor, str))
    newest = ids.order_by(Job.id.desc()).limit(query.limit + 1)
    parts = (newest.where(Job.status == status).subquery() for status in sorted(set(query.status)))
    return union_all(*(select(part.c.id) for part in parts))


def store_labels(session: Session, job: Job, labels: Mapping[str, str]) -> None:
    """Make ``labels`` all that the job has."""
    session.execute(delete(JobLabel).where(JobLabel.job_id == job.id))
    session.add_all(JobLabel(tenant_id=job.tenant_id, key=key, value=value, job_id=job.id) for key, value in labels.items())
    job.user_metadata = dict(labels)


def load_details(session: Session, jobs: Sequence[Job]) -> dict[str, JobDetails]:
    """Return the details of ``jobs`` in a fixed number of queries, however many jobs there are.

    What cannot have any is not asked for: a job that nobody has claimed has no run, one that has not succeeded no artifact.
    """
    details: dict[str, JobDetails] = defaultdict(JobDetails)
    if claimed := [job.id for job in jobs if job.lease_token > 0]:
        for run in session.scalars(select(Run).where(Run.job_id.in_(claimed)).order_by(Run.number)):
            details[run.job_id].runs.append(run)
    if succeeded := [job.id for job in jobs if job.status == JobStatus.SUCCEEDED]:
        for artifact in session.scalars(select(Artifact).where(Artifact.job_id.in_(succeeded)).order_by(Artifact.name)):
            details[artifact.job_id].artifacts.append(artifact)
    return details


def find_manifest(session: Session, job_id: str) -> Manifest | None:
    return session.get(Manifest, job_id)


def is_being_evaluated(session: Session, job_id: str) -> bool:
    """Whether an evaluation that is not over reads the job's result."""
    return bool(session.scalar(select(exists().where(Job.source_job_id == job_id, Job.status.in_(ACTIVE_STATUSES)))))


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


def _visible(tenant_id: str) -> tuple[ColumnElement[bool], TextClause]:
    # The words of the partial indexes: with parameters in them, a prepared query could not use these.
    return (Job.tenant_id == tenant_id, LISTED)
