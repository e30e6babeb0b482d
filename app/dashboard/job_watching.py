"""The page of one job, while it runs and afterwards: curves, events, what it can be told; and the stream of its events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request, Response

from app.dashboard.charts import LineChart, Series, draw_lines
from app.dashboard.page_route import PageRoute
from app.dashboard.pages import show
from app.dependencies import InServices, JobReader
from app.jobs import artifact_endpoints, endpoints, event_endpoints, repository, service
from app.jobs.events import EventType
from app.jobs.schemas import EventOut, JobOut, MetricPointOut
from app.jobs.states import TERMINAL_STATUSES, JobStatus
from app.services import Services
from app.tenants.schemas import Scope
from app.tenants.service import Caller

EVENTS_SHOWN = 50
VALIDATION = "validation_"
LEVELS = (
    ("full data", "full_data_validation_", "line-full-data"),
    ("random sequences", "random_validation_", "line-random"),
)
ACTIONS_OF_STATUS: dict[JobStatus, tuple[str, ...]] = {
    JobStatus.QUEUED: ("pause", "cancel"),
    JobStatus.RUNNING: ("pause", "cancel"),
    JobStatus.PAUSED: ("resume", "cancel"),
    JobStatus.FAILED: ("retry",),
    JobStatus.CANCELLED: ("retry",),
}

MetricSeries = Mapping[str, Sequence[MetricPointOut]]

router = APIRouter(prefix="/dashboard/jobs", route_class=PageRoute, include_in_schema=False)


@router.get("/{job_id}")
def show_job(job_id: str, request: Request, caller: JobReader, services: InServices) -> Response:
    """Show one job."""
    return show(request, "job.html.j2", event_types=list(EventType), **_look(job_id, caller, services))


@router.get("/{job_id}/live")
def show_live_parts(job_id: str, request: Request, caller: JobReader, services: InServices) -> Response:
    """Show the parts of the page that change, for the script that puts them into it."""
    return show(request, "job_changes.html.j2", **_look(job_id, caller, services))


@router.get("/{job_id}/events")
def follow_events(
    job_id: str,
    caller: JobReader,
    services: InServices,
    after: Annotated[int, Query(ge=0, le=event_endpoints.MAX_SEQ)] = 0,
    last_event_id: Annotated[str | None, Header()] = None,
) -> Response:
    """Stream events, as the API does."""
    return event_endpoints.stream_events(job_id, caller, services, after, last_event_id)


@router.get("/{job_id}/artifacts/{name}")
def download_artifact(  # noqa: PLR0917  FastAPI passes by name
    job_id: str,
    name: str,
    request: Request,
    caller: JobReader,
    services: InServices,
    format_: artifact_endpoints.WantedFormat = None,
    draws: artifact_endpoints.WantedDraws = None,
    seed: artifact_endpoints.WantedSeed = None,
) -> Response:
    """Download one file, as the API gives it."""
    return artifact_endpoints.download_artifact(job_id, name, request, caller, services, format_, draws, seed)


def draw_validation(title: str, series: MetricSeries) -> LineChart:
    """Return validation of fresh students on the synthetic data, against what full data and random sequences reach."""
    metric = next((name.removeprefix(VALIDATION) for name in series if name.startswith(VALIDATION)), None)
    if metric is None:
        return draw_lines(title, [])
    lines = [Series(f"distilled, {metric}", points_of(series, VALIDATION + metric))]
    for name, prefix, style in LEVELS:
        level = _newest(series, prefix + metric)
        if level is not None:
            lines.append(Series(name, (), style, level))
    return draw_lines(title, lines)


def points_of(series: MetricSeries, name: str) -> list[tuple[float, float]]:
    return [(float(point.step), point.value) for point in series.get(name, ())]


def _look(job_id: str, caller: Caller, services: Services) -> dict[str, Any]:
    job = endpoints.get_job(job_id, caller, services)
    series = endpoints.get_metrics(job_id, caller, services)
    events = _newest_events(job, caller, services)
    return {
        "job": job,
        "is_over": job.status in TERMINAL_STATUSES,
        "actions": ACTIONS_OF_STATUS.get(job.status, ()) if caller.has(Scope.JOBS_WRITE) else (),
        "may_write": caller.has(Scope.JOBS_WRITE),
        "charts": _draw_charts(job, series),
        "events": list(reversed(events)),
        "last_seq": events[-1].seq if events else 0,
        "events_shown": EVENTS_SHOWN,
    }


def _newest_events(job: JobOut, caller: Caller, services: Services) -> list[EventOut]:
    """Return the end of the log, oldest first."""
    with services.reading_sessions() as session:
        row = service.get_job(session, caller.tenant_id, job.id)
        rows = repository.list_events(session, row.id, max(0, row.next_event_seq - 1 - EVENTS_SHOWN), EVENTS_SHOWN)
    return [EventOut.of(event) for event in rows]


def _draw_charts(job: JobOut, series: MetricSeries) -> list[LineChart]:
    if job.kind != "distillation":
        return []
    return [
        draw_lines("Outer loss", [Series("outer loss", points_of(series, "outer_loss"))]),
        draw_validation("Validation of fresh students", series),
        draw_lines("Meta-gradient norm", [Series("meta-gradient norm", points_of(series, "meta_gradient_norm"), "line-2")]),
    ]


def _newest(series: MetricSeries, name: str) -> float | None:
    points = series.get(name)
    return points[-1].value if points else None
