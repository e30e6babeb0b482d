"""``/v1/jobs``: submit, look, steer."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query, Response
from sqlalchemy.orm import Session

from app.dependencies import AuthenticatedRoute, InServices, JobPost, JobReader, JobWriter
from app.idempotency import Answer, Post
from app.jobs import control, repository, service
from app.jobs.deletion import delete_job as delete_whole_job
from app.jobs.models import Job
from app.jobs.schemas import JobCreate, JobOut, JobPatch, JobQuery, MetricPointOut
from app.jobs.submitting import submit_job
from app.pagination import make_page
from app.schemas import Page

LABEL_PARAMETER = {
    "name": "metadata",
    "in": "query",
    "required": False,
    "style": "deepObject",
    "explode": True,
    "schema": {
        "type": "object",
        "propertyNames": {"minLength": 1, "maxLength": 64, "pattern": r"^[^\[\]]+$"},
        "additionalProperties": {"type": "string", "maxLength": 500},
    },
    "description": "Labels that the jobs have, each as `metadata[KEY]=VALUE`.",
}

router = APIRouter(prefix="/v1/jobs", tags=["Jobs"], route_class=AuthenticatedRoute)


@router.post("", status_code=202, response_model=JobOut)
def create_job(body: JobCreate, post: JobPost, services: InServices) -> Response:
    """Submit a job: distil a data set, or judge the result of a distillation once more.

    The spec is checked against the data and answered with every default resolved. An evaluation trains fresh students, of every
    architecture of the task unless its spec names some, and publishes a report.
    """

    def submit(session: Session) -> Answer:
        job = submit_job(session, post.tenant_id, body, services.quotas)
        return Answer(202, service.present_job(session, job), {"Location": f"/v1/jobs/{job.id}"})

    return post.once(submit)


@router.get("", openapi_extra={"parameters": [LABEL_PARAMETER]})
def list_jobs(query: Annotated[JobQuery, Query()], caller: JobReader, services: InServices) -> Page[JobOut]:
    """List jobs, newest first. Filter by labels with `metadata[KEY]=VALUE`; repeat `status` for any of several."""
    with services.reading_sessions() as session:
        rows, has_more = repository.list_jobs(session, caller.tenant_id, query)
        shown = service.present_jobs(session, rows)
    return make_page(shown, has_more, lambda job: job, lambda job: job.id)


@router.get("/{job_id}")
def get_job(job_id: str, caller: JobReader, services: InServices) -> JobOut:
    """Return one job."""
    with services.reading_sessions() as session:
        return service.present_job(session, service.get_job(session, caller.tenant_id, job_id))


@router.patch("/{job_id}")
def change_job(job_id: str, body: JobPatch, caller: JobWriter, services: InServices) -> JobOut:
    """Set and remove labels, in any status; everything else of a job stays as it was submitted."""
    with services.sessions.begin() as session:
        return service.present_job(session, service.change_job(session, caller.tenant_id, job_id, body))


@router.delete("/{job_id}", status_code=204)
def delete_job(job_id: str, caller: JobWriter, services: InServices) -> None:
    """Delete a job that is over, with its artifacts, events and metrics. The time that it ran stays counted in the usage."""
    delete_whole_job(services.sessions, services.store, caller.tenant_id, job_id)


@router.post("/{job_id}/cancel", response_model=JobOut)
def cancel_job(job_id: str, post: JobPost) -> Response:
    """Stop a job for good. A running one is `cancelling` until its run has ended."""
    return _steer(post, job_id, control.cancel_job)


@router.post("/{job_id}/pause", response_model=JobOut)
def pause_job(job_id: str, post: JobPost) -> Response:
    """Stop a job at a checkpoint. A running one is `paused` once its checkpoint is written."""
    return _steer(post, job_id, control.pause_job)


@router.post("/{job_id}/resume", response_model=JobOut)
def resume_job(job_id: str, post: JobPost) -> Response:
    """Let a paused job go on from its last checkpoint."""
    return _steer(post, job_id, control.resume_job)


@router.post("/{job_id}/retry", response_model=JobOut)
def retry_job(job_id: str, post: JobPost, services: InServices) -> Response:
    """Queue a failed or cancelled job again; it goes on from its last checkpoint."""
    return _steer(post, job_id, partial(control.retry_job, quotas=services.quotas))


@router.get("/{job_id}/metrics")
def get_metrics(job_id: str, caller: JobReader, services: InServices) -> dict[str, list[MetricPointOut]]:
    """Return every series of the job by its name."""
    series: dict[str, list[MetricPointOut]] = {}
    with services.reading_sessions() as session:
        job = service.get_job(session, caller.tenant_id, job_id)
        for row in repository.list_metrics(session, job.id):
            series.setdefault(row.name, []).append(MetricPointOut.model_validate(row))
    return series


def _steer(post: Post, job_id: str, action: Callable[[Session, str, str], Job]) -> Response:
    def steer(session: Session) -> Answer:
        job = action(session, post.tenant_id, job_id)
        session.flush()
        return Answer(200, service.present_job(session, job))

    return post.once(steer)
