"""Submit a job: its spec resolved, and checked against everything that is known before any work."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from sqlalchemy.orm import Session

from app.datasets.models import Dataset
from app.datasets.repository import find_dataset
from app.datasets.sizes import summarise_ready
from app.errors import FieldProblem, ServiceError
from app.jobs.creation import add_job
from app.jobs.estimates import estimate_output_bytes
from app.jobs.models import Job
from app.jobs.schemas import JobCreate
from app.jobs.service import get_job
from app.jobs.states import QUEUE_OF_KIND, JobKind, JobStatus
from app.problems import field_problems, summarise
from app.tenants.quotas import QuotaGuard
from farzi_core.config import DataSummary, DistillationSpec, Task
from farzi_core.data_choices import fill_in
from farzi_core.errors import ConfigError, DataError
from farzi_core.evaluation_spec import apply_evaluation, find_evaluation_problems, resolve_evaluation
from farzi_core.presets import resolve_spec
from farzi_core.spec_problems import SpecProblem, find_data_problems
from farzi_core.training_part import require_pairs

SPEC = "/spec"


@dataclass(frozen=True)
class Submission:
    """A job that can be queued as it is.

    Attributes:
        spec: what the job will show, as JSON values.
        effective: what is computed: of an evaluation, the distillation as if it had been judged like that.
        data: sizes of the data set.
    """

    kind: JobKind
    dataset_id: str
    source_job_id: str | None
    spec: dict[str, Any]
    effective: DistillationSpec
    data: DataSummary


def submit_job(session: Session, tenant_id: str, body: JobCreate, quotas: QuotaGuard) -> Job:
    """Queue a job, and reserve what its result is expected to take."""
    quotas.require_job(session, tenant_id, QUEUE_OF_KIND[JobKind(body.kind)])
    submission = check_submission(session, tenant_id, body)
    output_bytes = estimate_output_bytes(session, submission.kind, submission.effective, submission.data)
    quotas.require_bytes(session, tenant_id, output_bytes)
    return add_job(
        session,
        tenant_id,
        submission.kind,
        submission.dataset_id,
        source_job_id=submission.source_job_id,
        spec=submission.spec,
        deadline_s=body.deadline_s,
        metadata=body.metadata,
        reserved_bytes=output_bytes,
    )


def check_submission(session: Session, tenant_id: str, body: JobCreate) -> Submission:
    """Return what ``body`` asks for.

    Raises:
        ServiceError: it cannot be done; every reason that is known beforehand is found here.
    """
    if body.kind == "evaluation":
        return _check_evaluation(session, tenant_id, body)
    assert body.dataset_id is not None
    dataset = find_dataset(session, tenant_id, body.dataset_id, keep=True)
    if dataset is None:
        raise ServiceError("dataset_not_found", "There is no data set of this id.")
    data = summarise_ready(dataset)
    _require_usable(data)
    spec = fill_in(_resolve_distillation(dataset, body), data)
    _check_fit(find_data_problems(spec, data))
    return Submission(JobKind.DISTILLATION, dataset.id, None, spec.model_dump(mode="json"), spec, data)


def _check_evaluation(session: Session, tenant_id: str, body: JobCreate) -> Submission:
    assert body.job_id is not None
    # Locked, so that the result is not deleted before the evaluation is there to keep it.
    job = get_job(session, tenant_id, body.job_id, lock=True)
    if job.kind != JobKind.DISTILLATION:
        problem = FieldProblem("/job_id", f"the job is an {job.kind}; give the distillation it judges, {job.source_job_id}")
        raise ServiceError("invalid_request", f"{problem.pointer}: {problem.detail}", problems=(problem,))
    if job.status != JobStatus.SUCCEEDED:
        raise ServiceError("job_not_succeeded", f"The job is {job.status}; only the result of a succeeded one can be judged.")
    dataset = find_dataset(session, tenant_id, job.dataset_id, keep=True)
    if dataset is None:
        raise ServiceError(
            "dataset_deleted", f"The job's data set {job.dataset_id} was deleted; upload it again and distil it."
        )
    data, source = summarise_ready(dataset), DistillationSpec.model_validate(job.spec)
    try:
        spec = resolve_evaluation(data.task, source, body.spec)
    except ValidationError as error:
        raise _bad_spec("invalid_spec", field_problems(error.errors(), body.spec, SPEC)) from None
    _check_fit(find_evaluation_problems(spec, source, data))
    shown = spec.model_dump(mode="json")
    return Submission(JobKind.EVALUATION, dataset.id, job.id, shown, apply_evaluation(spec, source), data)


def _resolve_distillation(dataset: Dataset, body: JobCreate) -> DistillationSpec:
    task: Task = dataset.task  # type: ignore[assignment]  # the API let nothing else in
    try:
        return resolve_spec(task, body.spec)
    except ConfigError as error:
        raise _bad_spec("invalid_spec", (FieldProblem(SPEC + error.pointer, error.message),)) from None
    except ValidationError as error:
        raise _bad_spec("invalid_spec", field_problems(error.errors(), body.spec, SPEC)) from None


def _require_usable(data: DataSummary) -> None:
    try:
        require_pairs(data)
    except DataError as error:
        problem = FieldProblem("/dataset_id", error.message)
        raise ServiceError(error.code, f"{problem.pointer}: {problem.detail}", problems=(problem,)) from None


def _check_fit(found: list[SpecProblem]) -> None:
    problems = tuple(FieldProblem(SPEC + item.pointer, item.detail) for item in found)
    if problems:
        exceeds = any(problem.pointer.startswith(f"{SPEC}/synthetic/") for problem in problems)
        raise _bad_spec("spec_exceeds_data" if exceeds else "invalid_spec", problems)


def _bad_spec(code: str, problems: tuple[FieldProblem, ...]) -> ServiceError:
    return ServiceError(code, summarise(problems), problems=problems)
