"""``/v1/jobs``: submit, look, steer."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query, Response
from sqlalchemy.orm import Session

from app.dependencies import AuthenticatedRoute, InServices, JobPost, JobReader
from app.idempotency import Answer, Post
from app.jobs import control, repository, service
from app.jobs.models import Job
from app.jobs.schemas import JobCreate, JobOut, JobQuery, MetricPointOut
from app.jobs.states import QUEUE_OF_KIND, JobKind
from app.pagination import make_page
from app.schemas import Page

router = APIRouter(prefix="/v1/jobs", tags=["Jobs"], route_class=AuthenticatedRoute)


@router.post("", status_code=202, response_model=JobOut)
def create_job(body: JobCreate, post: JobPost, services: InServices) -> Response:
    """Submit a job. The spec is laid over its preset, checked against the data, and answered with every default resolved."""

    def submit(session: Session) -> Answer:
        services.quotas.require_job(session, post.tenant_id, QUEUE_OF_KIND[JobKind(body.kind)])
        job = service.submit_job(session, post.tenant_id, body)
        return Answer(202, service.present_job(session, job), {"Location": f"/v1/jobs/{job.id}"})

    return post.once(submit)


@router.get("")
def list_jobs(query: Annotated[JobQuery, Query()], caller: JobReader, services: InServices) -> Page[JobOut]:
    """List jobs, newest first. Filter by labels with `metadata[KEY]=VALUE`."""
    with services.reading_sessions() as session:
        rows, has_more = repository.list_jobs(session, caller.tenant_id, query)
        shown = service.present_jobs(session, rows)
    return make_page(shown, has_more, lambda job: job, lambda job: job.id)


@router.get("/{job_id}")
def get_job(job_id: str, caller: JobReader, services: InServices) -> JobOut:
    """Return one job."""
    with services.reading_sessions() as session:
        return service.present_job(session, service.get_job(session, caller.tenant_id, job_id))


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
