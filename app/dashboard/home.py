"""``/``: the newest jobs and data sets of who is signed in, and what the tenant uses; the sign-in form for everybody else."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from app.dashboard.page_route import OpenRoute
from app.dashboard.pages import show
from app.dashboard.sign_in import show_sign_in
from app.datasets import endpoints as dataset_endpoints
from app.dependencies import InServices
from app.jobs import endpoints as job_endpoints
from app.jobs.schemas import JobQuery
from app.pagination import PageQuery
from app.tenants.account_endpoints import get_usage
from app.tenants.schemas import Scope
from app.tenants.service import Caller

NUM_SHOWN = 5

router = APIRouter(route_class=OpenRoute, include_in_schema=False)


@router.get("/")
def show_home(request: Request, services: InServices) -> Response:
    """Show what is new, as far as the key may see it."""
    if request.state.session is None:
        return show_sign_in(request)
    caller: Caller = request.state.caller
    sees_jobs, sees_datasets = caller.has(Scope.JOBS_READ), caller.has(Scope.DATASETS_READ)
    return show(
        request,
        "home.html.j2",
        jobs=job_endpoints.list_jobs(JobQuery(limit=NUM_SHOWN), caller, services).data if sees_jobs else None,
        datasets=dataset_endpoints.list_datasets(PageQuery(limit=NUM_SHOWN), caller, services).data if sees_datasets else None,
        usage=get_usage(caller, services) if sees_jobs else None,
    )
