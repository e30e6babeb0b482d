"""Housekeeping beside the runs: outbox relay, reaper, expiry. Every worker does it; several at once do no harm."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from sqlalchemy.orm import Session, sessionmaker

from app.expiry import delete_old_idempotency_records, delete_old_job_records
from app.jobs.outbox import relay
from app.jobs.reaper import reap_expired, ring_again
from app.jobs.sweeping import forget_checkpoints, sweep_runs
from app.settings import Settings
from app.storage import make_object_store
from app.uploads.release import expire_uploads, release_ended, sweep_unknown

logger = logging.getLogger(__name__)

RELAY_INTERVAL_S = 0.5
LONGEST_REAP_INTERVAL_S = 5.0
RING_INTERVAL_S = 10.0
EXPIRY_INTERVAL_S = 300.0
SWEEP_INTERVAL_S = 60.0
UPLOAD_INTERVAL_S = 60.0
UNKNOWN_PARTS_INTERVAL_S = 3600.0
# Beyond the life of an upload: its row may be written later than the store began it, and clocks differ.
UNKNOWN_PARTS_MARGIN_S = 86400.0


class Maintenance:
    """Periodic duties, each when it is due; one that fails is logged and tried again next time."""

    def __init__(self, settings: Settings, session_factory: sessionmaker[Session], send: Callable[[str, str], None]) -> None:
        self._session_factory = session_factory
        self._send = send
        self._max_runs = settings.max_runs
        self._keep_checkpoints_days = settings.keep_checkpoints_days
        self._store = make_object_store(settings)
        self._upload_expires_s = settings.upload_expires_s
        self._keep_job_events_days = settings.keep_job_events_days
        self._duties: list[tuple[float, Callable[[], object]]] = [
            (RELAY_INTERVAL_S, self._relay),
            (min(settings.lease_s / 4, LONGEST_REAP_INTERVAL_S), self._reap),
            (RING_INTERVAL_S, self._ring),
            (EXPIRY_INTERVAL_S, self._expire),
            (SWEEP_INTERVAL_S, self._sweep),
            (UPLOAD_INTERVAL_S, self._end_uploads),
            (UNKNOWN_PARTS_INTERVAL_S, self._sweep_unknown_parts),
        ]

    def run(self, stop: threading.Event) -> None:
        """Do the duties until ``stop`` is set."""
        due_at = [0.0] * len(self._duties)
        while not stop.wait(RELAY_INTERVAL_S / 2):
            for index, (interval_s, duty) in enumerate(self._duties):
                if time.monotonic() < due_at[index]:
                    continue
                due_at[index] = time.monotonic() + interval_s
                try:
                    duty()
                except Exception:  # a database or broker that is away for a while must not end this thread
                    logger.exception("maintenance failed; it is tried again")

    def _relay(self) -> None:
        relay(self._session_factory, self._send)

    def _reap(self) -> None:
        with self._session_factory.begin() as session:
            for job_id in reap_expired(session, max_runs=self._max_runs):
                logger.warning("the lease of %s ran out", job_id)

    def _ring(self) -> None:
        with self._session_factory.begin() as session:
            ring_again(session)

    def _sweep(self) -> None:
        forget_checkpoints(self._session_factory, keep_days=self._keep_checkpoints_days)
        sweep_runs(self._session_factory, self._store)

    def _end_uploads(self) -> None:
        expire_uploads(self._session_factory)
        release_ended(self._session_factory, self._store)

    def _sweep_unknown_parts(self) -> None:
        sweep_unknown(self._session_factory, self._store, self._upload_expires_s + UNKNOWN_PARTS_MARGIN_S)

    def _expire(self) -> None:
        with self._session_factory.begin() as session:
            delete_old_idempotency_records(session)
        if self._keep_job_events_days is None:
            return
        num_jobs = 1
        while num_jobs:
            with self._session_factory.begin() as session:
                num_jobs = delete_old_job_records(session, self._keep_job_events_days)
