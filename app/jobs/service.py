"""Submit a job, and say what there is to say about one."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import ValidationError
from sqlalchemy.orm import Session

from app.datasets.models import Dataset, DatasetStatus
from app.datasets.repository import find_dataset
from app.errors import FieldProblem, ServiceError
from app.jobs import repository
from app.jobs.creation import add_job
from app.jobs.models import Job
from app.jobs.repository import JobDetails
from app.jobs.schemas import ArtifactOut, JobCreate, JobErrorOut, JobOut, RunOut, progress_of
from app.jobs.states import JobKind, JobStatus
from app.problems import field_problems, summarise
from farzi_core.config import DataSummary, DistillationSpec, Task, find_data_problems
from farzi_core.errors import ConfigError
from farzi_core.presets import resolve_spec

SPEC = "/spec"


def submit_job(session: Session, tenant_id: str, body: JobCreate) -> Job:
    """Queue a job, with its spec resolved and checked against the data."""
    if body.kind == "evaluation":
        raise ServiceError("not_implemented", "Jobs of kind 'evaluation' are not built yet; distillations evaluate themselves.")
    assert body.dataset_id is not None
    dataset = find_dataset(session, tenant_id, body.dataset_id, lock=True)
    if dataset is None:
        raise ServiceError("dataset_not_found", "There is no data set of this id.")
    spec = _resolve(dataset, body)
    _check_fit(spec, _summarise_ready(dataset))
    return add_job(
        session,
        tenant_id,
        JobKind.DISTILLATION,
        dataset.id,
        spec=spec.model_dump(mode="json"),
        deadline_s=body.deadline_s,
        metadata=body.metadata,
    )


def get_job(session: Session, tenant_id: str, job_id: str, *, lock: bool = False) -> Job:
    job = repository.find_job(session, tenant_id, job_id, lock=lock)
    if job is None:
        raise ServiceError("job_not_found", "There is no job of this id.")
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
        kind=job.kind,
        status=JobStatus(job.status),
        stop_requested=job.stop_requested,
        dataset_id=job.dataset_id,
        spec=job.spec,
        deadline_s=job.deadline_s,
        metadata=job.user_metadata,
        phase=job.phase,
        progress=progress_of(job),
        error=error,
        runs=[RunOut.model_validate(run) for run in details.runs],
        metrics=details.metrics,
        artifacts=[ArtifactOut.of(artifact) for artifact in details.artifacts],
        created_at=job.created_at,
        updated_at=job.updated_at,
        started_at=job.started_at,
        ended_at=job.ended_at,
    )


def _resolve(dataset: Dataset, body: JobCreate) -> DistillationSpec:
    task: Task = dataset.task  # type: ignore[assignment]  # the API let nothing else in
    try:
        return resolve_spec(task, body.spec)
    except ConfigError as error:
        raise _bad_spec("invalid_spec", (FieldProblem(SPEC + error.pointer, error.message),)) from None
    except ValidationError as error:
        raise _bad_spec("invalid_spec", field_problems(error.errors(), body.spec, SPEC)) from None


def _summarise_ready(dataset: Dataset) -> DataSummary:
    if dataset.status == DatasetStatus.INVALID:
        raise ServiceError("dataset_invalid", "The data set is invalid: see its report; upload a corrected file as a new one.")
    if dataset.status != DatasetStatus.READY:
        raise ServiceError("dataset_not_ready", f"The data set has status {dataset.status}; wait until it is ready.")
    counts = (dataset.num_sequences, dataset.num_events, dataset.vocab_size, dataset.max_sequence_length)
    num_sequences, num_events, vocab_size, longest = (count or 0 for count in counts)
    task: Task = dataset.task  # type: ignore[assignment]
    return DataSummary(task, num_sequences, num_events, vocab_size, longest)


def _check_fit(spec: DistillationSpec, data: DataSummary) -> None:
    problems = tuple(FieldProblem(SPEC + item.pointer, item.detail) for item in find_data_problems(spec, data))
    if problems:
        exceeds = any(problem.pointer.startswith(f"{SPEC}/synthetic/") for problem in problems)
        raise _bad_spec("spec_exceeds_data" if exceeds else "invalid_spec", problems)


def _bad_spec(code: str, problems: tuple[FieldProblem, ...]) -> ServiceError:
    return ServiceError(code, summarise(problems), problems=problems)
