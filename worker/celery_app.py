"""A Celery worker for one queue: solo pool, one job at a time, maintenance in threads beside it."""

from __future__ import annotations

import threading

from celery import signals
from sqlalchemy.orm import Session, sessionmaker

from app.db import make_engine, make_session_factory
from app.jobs.leases import next_queued
from app.jobs.states import Queue
from app.queue import make_celery, make_sender, make_sending_celery
from app.settings import Settings
from worker.idle_calibration import IdleCalibration
from worker.maintenance import Maintenance
from worker.presence import Presence, being_present, make_name
from worker.supervision import Supervisor
from worker.tasks import register_tasks

STOP_MAINTENANCE_S = 5.0


def serve_queue(settings: Settings, queue: str) -> int:
    """Serve ``queue`` until SIGTERM, which gives the running job time for a checkpoint and its lease back."""
    name = make_name(queue)
    with being_present(settings, name) as presence:
        return _serve(settings, queue, name, presence)


def _serve(settings: Settings, queue: str, name: str, presence: Presence) -> int:
    assert settings.broker_url is not None
    shutdown = threading.Event()
    engine = make_engine(settings)
    session_factory = make_session_factory(engine)
    celery = make_celery(settings.broker_url)
    is_busy = register_tasks(celery, Supervisor(settings, session_factory, name, shutdown), shutdown)
    # Two applications: the connections of maintenance to the broker are its own.
    send = make_sender(make_sending_celery(settings.broker_url))
    maintenance = Maintenance(settings, session_factory, presence, send, idle_queue=lambda: None if is_busy.is_set() else queue)

    def begin_shutdown(**_: object) -> None:
        # Celery calls this in a signal's handler: a second signal must not wait for the lock that the first one holds.
        if not shutdown.is_set():
            shutdown.set()

    signals.worker_shutting_down.connect(begin_shutdown)
    worker = celery.Worker(
        hostname=name,
        queues=[queue],
        loglevel=settings.log_level.upper(),
        quiet=True,
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
    )
    maintenance.start()
    try:
        if queue == Queue.GPU:
            _calibrate(settings, session_factory)
        worker.start()
    finally:
        shutdown.set()
        maintenance.stop(STOP_MAINTENANCE_S)
        engine.dispose()
    return int(worker.exitcode or 0)


def _calibrate(settings: Settings, session_factory: sessionmaker[Session]) -> None:
    def has_work() -> bool:
        with session_factory() as session:
            return next_queued(session, Queue.GPU) is not None

    IdleCalibration(settings, session_factory).run_unless(has_work)
