"""What there is to say about a job, and what can be changed of one."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy.orm import Session

from app.clock import database_now
from app.errors import FieldProblem, ServiceError
from app.jobs import repository
from app.jobs.models import Job
from app.jobs.repository import JobDetails
from app.jobs.schemas import ArtifactOut, JobErrorOut, JobOut, JobPatch, RunOut, progress_of, public_kind
from app.jobs.states import JobStatus, StopRequest
from app.schemas import MAX_LABELS


def get_job(session: Session, tenant_id: str, job_id: str, *, lock: bool = False) -> Job:
    job = repository.find_job(session, tenant_id, job_id, lock=lock)
    if job is None:
        raise ServiceError("job_not_found", "There is no job of this id.")
    return job


def change_job(session: Session, tenant_id: str, job_id: str, patch: JobPatch) -> Job:
    """Set and remove labels."""
    job = get_job(session, tenant_id, job_id, lock=True)
    changed = {**job.user_metadata, **patch.metadata}
    labels = {key: value for key, value in changed.items() if value is not None}
    if len(labels) > MAX_LABELS:
        problem = FieldProblem("/metadata", f"the job would have {len(labels)} labels; at most {MAX_LABELS} are allowed")
        raise ServiceError("invalid_request", f"{problem.pointer}: {problem.detail}", problems=(problem,))
    if labels != job.user_metadata:
        repository.store_labels(session, job, labels)
        job.updated_at = database_now(session)
        session.flush()
    return job


def present_job(session: Session, job: Job) -> JobOut:
    return present_jobs(session, [job])[0]


def present_jobs(session: Session, jobs: Sequence[Job]) -> list[JobOut]:
    """Return jobs as callers see them."""
    details = repository.load_details(session, jobs)
    return [_present(job, details.get(job.id, JobDetails())) for job in jobs]


def _present(job: Job, details: JobDetails) -> JobOut:
    error = None
    if job.error_code is not None:
        error = JobErrorOut(code=job.error_code, message=job.error_message or "", retryable=bool(job.error_retryable))
    return JobOut(
        id=job.id,
        kind=public_kind(job),
        status=JobStatus(job.status),
        stop_requested=None if job.stop_requested is None else StopRequest(job.stop_requested),
        dataset_id=job.dataset_id,
        source_job_id=job.source_job_id,
        spec=job.spec,
        batch_divisor=job.batch_divisor,
        deadline_s=job.deadline_s,
        metadata=job.user_metadata,
        phase=job.phase,
        progress=progress_of(job),
        error=error,
        runs=[RunOut.model_validate(run) for run in details.runs],
        metrics=job.metrics,
        artifacts=[ArtifactOut.of(artifact) for artifact in details.artifacts],
        created_at=job.created_at,
        updated_at=job.updated_at,
        started_at=job.started_at,
        ended_at=job.ended_at,
    )
