"""The HTTP application. ``uvicorn app.main:app`` works; importing this module needs no torch, no database and no settings."""

from __future__ import annotations

import functools
import threading
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from importlib import metadata

import structlog
from fastapi import APIRouter, FastAPI
from fastapi.concurrency import run_in_threadpool

from app import spec_endpoints, system_endpoints
from app.abandoned_files import remove_abandoned_files
from app.cors import AllowedOrigins
from app.dashboard import routers as dashboard_routers
from app.dashboard.error_pages import ErrorPages
from app.datasets import endpoints as dataset_endpoints
from app.datasets.receiving import SPOOL_DIRECTORY
from app.head_requests import HeadRequests
from app.http_metrics import HttpMetrics
from app.jobs import artifact_endpoints, event_endpoints
from app.jobs import endpoints as job_endpoints
from app.jobs import planning_endpoints as job_planning_endpoints
from app.last_resort import LastResort
from app.logging import configure_logging
from app.migrate import prepare
from app.openapi import describe
from app.problems import install_problem_handlers
from app.request_log import RequestLog
from app.request_target import AbsoluteTargets
from app.safe_headers import SafeHeaders
from app.services import Services, open_services
from app.settings import Settings, load_settings
from app.tenants import account_endpoints
from app.tenants import endpoints as key_endpoints
from app.tenants.service import ensure_first_key
from app.tracing import configure_tracing
from app.uploads import endpoints as upload_endpoints
from app.webhooks import delivery_endpoints as webhook_delivery_endpoints
from app.webhooks import endpoints as webhook_endpoints
from app.webhooks.dispatcher import Dispatcher, running_dispatcher
from app.webhooks.resealing import reseal
from app.webhooks.sender import Sender
from app.webhooks.targets import TargetPolicy

DESCRIPTION = "Distils event sequences: upload a data set, submit a job, download a few synthetic sequences that train as well."
# Paths without parameters come before those that would match them.
ROUTERS = (
    *dashboard_routers.ROUTERS,
    dataset_endpoints.router,
    dataset_endpoints.content_router,
    upload_endpoints.router,
    upload_endpoints.part_router,
    job_planning_endpoints.router,
    job_endpoints.router,
    event_endpoints.router,
    artifact_endpoints.router,
    spec_endpoints.router,
    key_endpoints.router,
    account_endpoints.router,
    webhook_endpoints.router,
    webhook_delivery_endpoints.router,
    system_endpoints.router,
)

logger = structlog.get_logger(__name__)


def create_app(settings: Settings, stopping: threading.Event | None = None) -> FastAPI:
    """Return the application; nothing is opened before it is started.

    Args:
        settings: where its parts are.
        stopping: set by the server when it is told to end, so that event streams end first.
    """
    metrics = HttpMetrics()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        with ExitStack() as stack:
            app.state.services = await run_in_threadpool(_start, settings, metrics, stopping or threading.Event(), stack)
            yield

    app = FastAPI(
        title="Farzi",
        version=metadata.version("farzi"),
        summary="Distil event sequences into a few that train as well.",
        description=DESCRIPTION,
        lifespan=lifespan,
        routes=_all_routes().routes,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.openapi = lambda: describe(app)  # type: ignore[method-assign]
    # Each wraps the ones before it.
    app.add_middleware(HeadRequests)
    app.add_middleware(LastResort)
    if settings.allowed_origins:
        app.add_middleware(AllowedOrigins, origins=settings.allowed_origins)
    app.add_middleware(SafeHeaders)
    app.add_middleware(ErrorPages)
    app.add_middleware(RequestLog, metrics=metrics)
    app.add_middleware(AbsoluteTargets)
    install_problem_handlers(app)
    return app


@functools.cache
def _all_routes() -> APIRouter:
    """Return every route. All applications of a process share them, since FastAPI keeps there what it works out of each."""
    routes = APIRouter(generate_unique_id_function=lambda route: route.name)
    for router in ROUTERS:
        routes.include_router(router)
    return routes


def _start(settings: Settings, metrics: HttpMetrics, stopping: threading.Event, stack: ExitStack) -> Services:
    prepare(settings)
    remove_abandoned_files(settings.resolved_data_dir / SPOOL_DIRECTORY)
    services = open_services(settings, metrics, stopping)
    stack.callback(services.close)
    stack.callback(stopping.set)
    key = settings.bootstrap_api_key
    if not ensure_first_key(services.sessions, key.get_secret_value() if key else None, services.secret):
        logger.warning("there is no API key, so nobody can call the API; set FARZI_BOOTSTRAP_API_KEY and start again")
    _reseal(services)
    if settings.broker_url is not None:
        from app.relay_thread import running_relay  # noqa: PLC0415  embedded mode starts without Celery

        stack.enter_context(running_relay(services.sessions, settings.broker_url))
    sender = Sender(TargetPolicy(settings.webhook_allow_private))
    dispatcher = Dispatcher(services.sessions, services.reading_sessions, services.box, sender)
    stack.enter_context(running_dispatcher(dispatcher))
    return services


def _reseal(services: Services) -> None:
    """Go over to the secret of now, so that the ones before it can be forgotten."""
    found = reseal(services.sessions, services.box)
    if found.num_sealed_anew:
        logger.info("webhook secrets were sealed anew", num_secrets=found.num_sealed_anew)
    if found.unreadable:
        logger.warning(
            "webhook secrets cannot be opened; name the key that sealed them in FARZI_SECRET_KEY_PREVIOUS, or rotate them",
            endpoint_ids=found.unreadable,
        )


def __getattr__(name: str) -> FastAPI:
    """Make ``app`` when a server asks for it: reading the environment at import would fail every other use of this module."""
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    settings = load_settings()
    configure_logging(settings)
    configure_tracing("farzi-api")
    return create_app(settings)
