"""The result of a job: what it is worth, on which students, when it has paid for itself, and what the sequences look like."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from app.dashboard.heat_map import map_sequence
from app.dashboard.page_route import PageRoute
from app.dashboard.pages import show
from app.dashboard.results import arrange, load_report
from app.dependencies import InServices, JobReader
from app.jobs import endpoints, repository

router = APIRouter(prefix="/dashboard/jobs", route_class=PageRoute, include_in_schema=False)


@router.get("/{job_id}/result")
def show_result(
    job_id: str,
    request: Request,
    caller: JobReader,
    services: InServices,
    sequence: Annotated[int, Query(ge=1, le=10**6, description="Which synthetic sequence is looked at, from 1.")] = 1,
) -> Response:
    """Show the report and one synthetic sequence."""
    job = endpoints.get_job(job_id, caller, services)
    result = arrange(load_report(job_id, caller, services))
    with services.reading_sessions() as session:
        artifacts = {artifact.name: artifact for artifact in repository.list_artifacts(session, job.id)}
    heat_map = map_sequence(services, artifacts, sequence - 1)
    return show(request, "result.html.j2", job=job, result=result, heat_map=heat_map)
