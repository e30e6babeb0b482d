"""Health, metrics and the API's description of itself; none of them needs a key."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse

from app.api_page import render_api_page
from app.dependencies import InServices
from app.errors import ServiceError
from app.health import check_parts

PROMETHEUS_MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"

router = APIRouter(tags=["System"])


@router.get("/healthz")
def healthz() -> dict[str, str]:
    """Say that the process answers."""
    return {"status": "ok"}


@router.get("/readyz")
def readyz(services: InServices) -> dict[str, Any]:
    """Say whether database, migrations, storage and broker can be used; 503 names the part that cannot."""
    checks = check_parts(services)
    down = sorted(name for name, state in checks.items() if state != "ok")
    if down:
        details = "; ".join(f"{name} is {checks[name]}" for name in down)
        raise ServiceError("not_ready", f"{details}.", members={"checks": checks})
    return {"status": "ready", "checks": checks}


@router.get("/metrics", response_class=Response, responses={200: {"content": {PROMETHEUS_MEDIA_TYPE: {}}}})
def metrics(services: InServices) -> Response:
    """Prometheus metrics: requests by route, jobs, queues, runs, outbox, deliveries, connections."""
    return Response(services.metrics.render(services.database_metrics.read()), media_type=PROMETHEUS_MEDIA_TYPE)


@router.get("/v1/openapi.json", include_in_schema=False)
def openapi(request: Request) -> JSONResponse:
    return JSONResponse(request.app.openapi())


@router.get("/docs", include_in_schema=False)
def docs(request: Request) -> HTMLResponse:
    policy = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}
    state = request.app.state
    if not hasattr(state, "api_page"):  # nobody needs a key to ask for it, so it has to cost little
        state.api_page = render_api_page(request.app.openapi())
    return HTMLResponse(state.api_page, headers=policy)
