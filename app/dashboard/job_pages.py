"""Pages of jobs: the list, and what can be done with one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from app.dashboard.page_route import InForm, PageRoute, begin_post, redirect
from app.dashboard.pages import show
from app.dependencies import InServices, JobReader, JobWriter
from app.errors import ServiceError
from app.idempotency import Post
from app.jobs import endpoints
from app.jobs.schemas import JobQuery
from app.jobs.states import JobStatus
from app.pagination import CURSOR_FORM
from app.services import Services

PAGE_SIZE = 25
ACTIONS: dict[str, Callable[[str, Post, Services], Response]] = {
    "cancel": lambda job_id, post, _services: endpoints.cancel_job(job_id, post),
    "pause": lambda job_id, post, _services: endpoints.pause_job(job_id, post),
    "resume": lambda job_id, post, _services: endpoints.resume_job(job_id, post),
    "retry": endpoints.retry_job,
}

router = APIRouter(prefix="/dashboard/jobs", route_class=PageRoute, include_in_schema=False)


class JobFilter(BaseModel):
    """What a browser sends of the form above the list: every field, empty ones too."""

    model_config = ConfigDict(extra="forbid")

    status: Literal["", *JobStatus] = ""  # type: ignore[valid-type]
    kind: Literal["", "distillation", "evaluation"] = ""
    dataset_id: str = Field("", max_length=64)
    label: str = Field("", max_length=600, description="KEY=VALUE")
    cursor: str | None = Field(None, pattern=CURSOR_FORM)

    @property
    def chosen(self) -> dict[str, str]:
        """What is filtered by."""
        return {name: str(value) for name, value in self if value and name != "cursor"}

    def query(self) -> JobQuery:
        """Return the API's query."""
        key, is_pair, value = self.label.partition("=")
        label = {f"metadata[{key.strip()}]": value.strip()} if is_pair and key.strip() else {}
        if self.label and not label:
            raise ServiceError("invalid_request", f"The label {self.label[:80]!r} is no pair; write KEY=VALUE.")
        values = {
            "limit": PAGE_SIZE,
            "cursor": self.cursor,
            "status": [self.status] if self.status else [],
            "kind": self.kind or None,
            "dataset_id": self.dataset_id or None,
            **label,
        }
        return JobQuery.model_validate(values)


@router.get("")
def list_jobs(request: Request, given: Annotated[JobFilter, Query()], caller: JobReader, services: InServices) -> Response:
    """Show a page of the list."""
    page = endpoints.list_jobs(given.query(), caller, services)
    return show(
        request,
        "jobs.html.j2",
        page=page,
        given=given,
        statuses=list(JobStatus),
        next_query=urlencode({**given.chosen, "cursor": page.next_cursor}) if page.next_cursor else None,
    )


@router.post("/{job_id}/delete")
def delete_job(job_id: str, caller: JobWriter, services: InServices) -> Response:
    """Delete a job that is over."""
    endpoints.delete_job(job_id, caller, services)
    return redirect("/dashboard/jobs")


@router.get("/{job_id}/delete")
def ask_before_deleting(job_id: str, request: Request, caller: JobWriter, services: InServices) -> Response:
    """Ask whether it is meant."""
    return show(request, "job_delete.html.j2", job=endpoints.get_job(job_id, caller, services))


@router.post("/{job_id}/{action}")
def steer(
    job_id: str,
    action: Literal["cancel", "pause", "resume", "retry"],
    request: Request,
    form: InForm,
    _caller: JobWriter,
    services: InServices,
) -> Response:
    """Cancel, pause, resume or retry a job, and show what became of it."""
    ACTIONS[action](job_id, begin_post(request, form), services)
    return redirect(f"/dashboard/jobs/{job_id}")
