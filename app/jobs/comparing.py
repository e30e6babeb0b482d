"""Jobs next to each other: what differs between their specs, and what each reached and took."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy.orm import Session

from app.errors import FieldProblem, ServiceError
from app.jobs import repository
from app.jobs.models import Job
from app.jobs.schemas import ComparedJobOut, ComparisonOut, public_kind
from app.jobs.service import get_job
from app.jobs.states import JobStatus

FEWEST, MOST = 2, 10


def compare_jobs(session: Session, tenant_id: str, ids: Sequence[str]) -> ComparisonOut:
    """Compare jobs, in the order of their ids as given."""
    distinct = list(dict.fromkeys(ids))
    jobs = [get_job(session, tenant_id, job_id) for job_id in distinct[:MOST]]
    if not FEWEST <= len(distinct) <= MOST or len(distinct) != len(ids):
        problem = FieldProblem("/query/ids", f"{len(ids)} ids, {len(distinct)} distinct; give {FEWEST} to {MOST} distinct ones")
        raise ServiceError("invalid_request", f"{problem.pointer}: {problem.detail}", problems=(problem,))
    artifacts = repository.load_details(session, jobs)
    specs = [dict(_flatten(job.spec)) for job in jobs]
    fields = dict.fromkeys(name for spec in specs for name in spec)
    return ComparisonOut(
        jobs=[
            ComparedJobOut(
                id=job.id,
                kind=public_kind(job),
                status=JobStatus(job.status),
                dataset_id=job.dataset_id,
                source_job_id=job.source_job_id,
                metadata=job.user_metadata,
                seconds=_elapsed_s(job),
                size_bytes=sum(artifact.size_bytes for artifact in artifacts[job.id].artifacts),
                created_at=job.created_at,
            )
            for job in jobs
        ],
        spec={name: values for name in fields if _differ(values := [spec.get(name) for spec in specs])},
        metrics=_line_up(jobs),
    )


def _line_up(jobs: Sequence[Job]) -> dict[str, list[float | None]]:
    names = dict.fromkeys(name for job in jobs for name in job.metrics)
    return {name: [job.metrics.get(name) for job in jobs] for name in names}


def _flatten(value: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every field of a spec by its dotted name; a list is one field."""
    for key, part in value.items():
        if isinstance(part, dict):
            yield from _flatten(part, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", part


def _differ(values: Sequence[Any]) -> bool:
    return any(value != values[0] for value in values[1:])


def _elapsed_s(job: Job) -> float | None:
    if job.started_at is None or job.ended_at is None:
        return None
    return (job.ended_at - job.started_at).total_seconds()
