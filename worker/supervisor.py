"""``python -m worker.supervisor``: the embedded worker. It finds queued jobs by polling, one lane for each queue.

Only one runs for a data directory; it stops in good order on SIGTERM, SIGINT or when the process that started it is gone.
"""

from __future__ import annotations

import argparse
import fcntl
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Engine

from app.db import make_engine, make_reading_session_factory, make_session_factory
from app.jobs.leases import is_anything_active, next_queued
from app.jobs.reaper import reap_all
from app.jobs.states import Queue
from app.kept_process import call_when_orphaned
from app.logging import configure_logging
from app.settings import Settings, SettingsError, load_settings
from app.tracing import configure_tracing
from worker.idle_calibration import IdleCalibration
from worker.maintenance import Maintenance
from worker.presence import being_present, make_name
from worker.signals import call_on_signal
from worker.supervision import Supervisor

logger = logging.getLogger(__name__)

LOCK_NAME = "supervisor.lock"
POLL_S = 0.3
LOCK_POLL_S = 0.2
STOP_MAINTENANCE_S = 5.0


def main(arguments: list[str] | None = None) -> int:
    """Serve both queues until told to stop."""
    parser = argparse.ArgumentParser(prog="python -m worker.supervisor", description="Run the jobs of an embedded service.")
    parser.add_argument("--parent-pid", type=int, default=os.getppid(), help="process whose end is this one's end")
    parent_pid: int = parser.parse_args(arguments).parent_pid
    try:
        settings = load_settings()
        configure_tracing("farzi-worker")
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    configure_logging(settings)
    stop = threading.Event()
    call_on_signal((signal.SIGTERM, signal.SIGINT), stop.set)
    call_when_orphaned(parent_pid, stop.set)
    with _only_one(settings, stop):
        if not stop.is_set():
            serve(settings, stop)
    return 0


def serve(settings: Settings, stop: threading.Event) -> None:
    """Take over what a supervisor before this one left behind, then run the lanes and the maintenance."""
    engine = make_engine(settings)
    session_factory = make_session_factory(engine)
    if engine.dialect.name == "sqlite":  # nobody else can hold a lease; on Postgres another machine may, until it runs out
        with session_factory.begin() as session:
            for job_id in reap_all(session, max_runs=settings.max_runs):
                logger.info("%s goes on after a restart", job_id)
    names = {queue: make_name(f"embedded-{queue}") for queue in Queue}
    with being_present(settings, *names.values()) as presence:
        maintenance = Maintenance(settings, session_factory, presence, send=_tell_nobody)
        lanes = [
            threading.Thread(target=_serve_lane, args=(settings, engine, queue, name, stop), name=f"lane-{queue}")
            for queue, name in names.items()
        ]
        maintenance.start()
        for lane in lanes:
            lane.start()
        for lane in lanes:
            lane.join()
        maintenance.stop(STOP_MAINTENANCE_S)
    engine.dispose()


def _serve_lane(settings: Settings, engine: Engine, queue: Queue, worker: str, stop: threading.Event) -> None:
    reading_session_factory = make_reading_session_factory(engine)
    supervisor = Supervisor(settings, make_session_factory(engine), worker, stop)
    calibration = IdleCalibration(settings, make_session_factory(engine))

    def is_busy() -> bool:
        with reading_session_factory.begin() as session:
            return stop.is_set() or is_anything_active(session)

    while not stop.wait(POLL_S):
        try:
            if queue == Queue.GPU:
                calibration.run_unless(is_busy)
            with reading_session_factory.begin() as session:
                job_id = next_queued(session, queue)
            if job_id is not None:
                supervisor.run_job(job_id)
        except Exception:  # the lane outlives a database that is away, and the lease covers the job meanwhile
            logger.exception("lane %s failed; it goes on", queue)


def _tell_nobody(job_id: str, queue: str) -> None:
    """There is no broker: the lanes look for themselves."""
    logger.debug("%s waits in queue %s", job_id, queue)


@contextmanager
def _only_one(settings: Settings, stop: threading.Event) -> Iterator[None]:
    """Hold the lock of the data directory, waiting for a supervisor that is still at its last checkpoint."""
    directory = settings.resolved_data_dir
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / LOCK_NAME).open("w") as lock:
        waiting = False
        while not stop.is_set():
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if not waiting:
                    logger.warning("another supervisor serves %s; waiting for it to end", directory)
                waiting = True
                stop.wait(LOCK_POLL_S)
        yield


if __name__ == "__main__":
    sys.exit(main())
