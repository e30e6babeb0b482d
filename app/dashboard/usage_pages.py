"""What the team uses: stored and running, against its quotas, and the seconds of its runs day by day."""

from __future__ import annotations

from datetime import timedelta

from fastapi import APIRouter, Request, Response

from app.dashboard.charts import BarChart, draw_bars
from app.dashboard.page_route import PageRoute
from app.dashboard.pages import show
from app.dependencies import InServices, JobReader
from app.tenants import account_endpoints
from app.tenants.schemas import Scope, UsageOut

QUEUES = ("gpu", "cpu")
SHOWN_DAYS = 31

router = APIRouter(prefix="/dashboard", route_class=PageRoute, include_in_schema=False)


@router.get("/usage")
def show_usage(request: Request, caller: JobReader, services: InServices) -> Response:
    """Show what the team stores and runs, and its limits."""
    usage = account_endpoints.get_usage(caller, services)
    return show(
        request,
        "usage.html.j2",
        usage=usage,
        charts=_draw_days(usage),
        this_month=usage.run_seconds_by_month.get(f"{usage.at:%Y-%m}", {}),
        is_admin=caller.has(Scope.ADMIN),
    )


def _draw_days(usage: UsageOut) -> list[BarChart]:
    days = [(usage.at - timedelta(days=age)).date().isoformat() for age in reversed(range(SHOWN_DAYS))]
    seconds = {queue: [round(usage.run_seconds_by_day.get(day, {}).get(queue, 0)) for day in days] for queue in QUEUES}
    return [
        draw_bars(f"Seconds of runs by day, queue {queue}", days, counts) for queue, counts in seconds.items() if any(counts)
    ]
