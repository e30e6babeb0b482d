"""The parts of the service that an application holds on to, opened together and closed together."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from sqlalchemy import Engine
from sqlalchemy.orm import Session, sessionmaker

from app.database_metrics import DatabaseMetrics
from app.db import (
    MAX_CONNECTIONS,
    make_engine,
    make_reading_session_factory,
    make_session_factory,
    make_single_query_session_factory,
)
from app.http_metrics import HttpMetrics
from app.idempotency import KeysInFlight
from app.jobs.event_watch import EventWatch
from app.settings import Settings
from app.storage import ObjectStore, make_object_store
from app.tenant_wall import raise_wall
from app.tenants.quotas import QuotaGuard
from app.tenants.rate_limits import RateLimiter, make_rate_limiter
from app.tenants.secret import ServiceSecrets, load_secrets
from app.tenants.service import Authenticator
from app.webhooks.sealing import SecretBox


@dataclass(frozen=True)
class Services:
    """Everything an endpoint may need; ``stopping`` is set when the server is about to end."""

    settings: Settings
    engine: Engine
    sessions: sessionmaker[Session]
    reading_sessions: sessionmaker[Session]
    store: ObjectStore
    secrets: ServiceSecrets
    box: SecretBox
    authenticator: Authenticator
    quotas: QuotaGuard
    rate_limiter: RateLimiter | None
    metrics: HttpMetrics
    database_metrics: DatabaseMetrics
    event_watch: EventWatch
    stopping: threading.Event
    keys_in_flight: KeysInFlight = field(repr=False)
    stream_slots: threading.BoundedSemaphore = field(repr=False)
    drawing_slots: threading.BoundedSemaphore = field(repr=False)
    completion_slots: threading.BoundedSemaphore = field(repr=False)

    @property
    def secret(self) -> bytes:
        """What digests and seals are keyed with."""
        return self.secrets.current

    def close(self) -> None:
        if self.rate_limiter is not None:
            self.rate_limiter.close()
        self.store.close()
        self.engine.dispose()


MAX_EVENT_STREAMS = 500
# Drawing is arithmetic: more of it at once would only keep other requests from the processor.
MAX_DRAWINGS = 2
# A completion reads a whole file back: each takes a thread of the pool that all requests share.
MAX_COMPLETIONS = 8


def open_services(settings: Settings, metrics: HttpMetrics, stopping: threading.Event) -> Services:
    """Prepare every part; the database is not connected to yet.

    Raises:
        SettingsError: the data directory cannot be used.
    """
    secrets = load_secrets(settings)
    engine = make_engine(settings)
    raise_wall(engine)
    metrics.watch_pool(engine, MAX_CONNECTIONS)
    sessions, reading_sessions = make_session_factory(engine), make_reading_session_factory(engine)
    return Services(
        settings=settings,
        engine=engine,
        sessions=sessions,
        reading_sessions=reading_sessions,
        store=make_object_store(settings, is_hurried=True),
        secrets=secrets,
        box=SecretBox(secrets.current, secrets.previous),
        authenticator=Authenticator(secrets, make_single_query_session_factory(engine), sessions),
        quotas=QuotaGuard(settings),
        rate_limiter=make_rate_limiter(settings, metrics.rate_limit_failures.inc),
        metrics=metrics,
        database_metrics=DatabaseMetrics(reading_sessions),
        event_watch=EventWatch(reading_sessions),
        stopping=stopping,
        keys_in_flight=KeysInFlight(),
        stream_slots=threading.BoundedSemaphore(MAX_EVENT_STREAMS),
        drawing_slots=threading.BoundedSemaphore(MAX_DRAWINGS),
        completion_slots=threading.BoundedSemaphore(MAX_COMPLETIONS),
    )
