"""Jobs side by side: their curves in one frame, what each reached, and what differs between their specs."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from app.dashboard.charts import LineChart, Series, draw_lines
from app.dashboard.job_watching import VALIDATION, points_of
from app.dashboard.page_route import PageRoute
from app.dashboard.pages import show
from app.dependencies import InServices, JobReader
from app.jobs import endpoints, planning_endpoints
from app.services import Services
from app.tenants.service import Caller

NUM_STYLES = 10
HEADLINES = ("ratio", "break_even_", "speedup_")

router = APIRouter(prefix="/dashboard", route_class=PageRoute, include_in_schema=False)


@router.get("/compare")
def compare(
    request: Request,
    caller: JobReader,
    services: InServices,
    ids: Annotated[list[str], Query(max_length=200)] = [],  # noqa: B006  FastAPI copies it
) -> Response:
    """Show 2 to 10 jobs next to each other; with fewer, say how to choose them."""
    if len(ids) < 2:
        return show(request, "compare_none.html.j2", num_chosen=len(ids))
    comparison = planning_endpoints.compare(",".join(ids), caller, services)
    names = [f"{index}. {job.metadata.get('name') or job.id[-6:]}" for index, job in enumerate(comparison.jobs, start=1)]
    return show(
        request,
        "compare.html.j2",
        comparison=comparison,
        names=names,
        metrics=dict(sorted(comparison.metrics.items(), key=lambda item: not item[0].startswith(HEADLINES))),
        charts=_draw_curves(dict(zip(names, ids, strict=True)), caller, services),
    )


def _draw_curves(jobs: dict[str, str], caller: Caller, services: Services) -> list[LineChart]:
    losses, validations = [], []
    for index, (name, job_id) in enumerate(jobs.items(), start=1):
        series = endpoints.get_metrics(job_id, caller, services)
        style = f"line-{(index - 1) % NUM_STYLES + 1}"
        losses.append(Series(name, points_of(series, "outer_loss"), style))
        measured = next((each for each in series if each.startswith(VALIDATION)), None)
        validations.append(Series(name, points_of(series, measured) if measured else (), style))
    return [draw_lines("Validation of fresh students", validations), draw_lines("Outer loss", losses)]
