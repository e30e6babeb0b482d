"""Housekeeping beside the runs: outbox relay, reaper, expiry. Every worker does it; several at once do no harm.

Each part of the service that may be away has a thread of its own: a broker or an object store that says nothing must not keep
jobs with runs that are lost.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence

from sqlalchemy.orm import Session, sessionmaker

from app.datasets.service import finish_deletions
from app.expiry import delete_old_idempotency_records, delete_old_job_records
from app.jobs.leases import next_queued
from app.jobs.outbox import relay
from app.jobs.reaper import ring_again
from app.jobs.sweeping import forget_checkpoints, sweep_runs
from app.needless_objects import remove_needless_objects
from app.settings import Settings
from app.storage import make_object_store
from app.uploads.release import expire_uploads, release_ended, sweep_unknown
from worker.presence import Presence
from worker.reaping import Reaper

logger = logging.getLogger(__name__)

RELAY_INTERVAL_S = 0.5
LONGEST_REAP_INTERVAL_S = 5.0
RING_INTERVAL_S = 10.0
OWN_BELL_INTERVAL_S = 5.0
EXPIRY_INTERVAL_S = 300.0
SWEEP_INTERVAL_S = 60.0
UPLOAD_INTERVAL_S = 60.0
UNKNOWN_PARTS_INTERVAL_S = 3600.0
# Beyond the life of an upload: its row may be written later than the store began it, and clocks differ.
UNKNOWN_PARTS_MARGIN_S = 86400.0
NEEDLESS_INTERVAL_S = 86400.0

Duty = tuple[float, Callable[[], object]]


class Maintenance:
    """Periodic duties, each when it is due; one that fails is logged and tried again next time."""

    def __init__(
        self,
        settings: Settings,
        session_factory: sessionmaker[Session],
        presence: Presence,
        send: Callable[[str, str], None],
        *,
        idle_queue: Callable[[], str | None] = lambda: None,
    ) -> None:
        """``idle_queue`` returns the queue that this process waits for messages of, while it has nothing to do."""
        self._session_factory = session_factory
        self._send = send
        self._idle_queue = idle_queue
        self._keep_checkpoints_days = settings.keep_checkpoints_days
        self._store = make_object_store(settings, is_hurried=True)
        self._upload_expires_s = settings.upload_expires_s
        self._keep_job_events_days = settings.keep_job_events_days
        reaper = Reaper(settings, session_factory, presence)
        duties: dict[str, list[Duty]] = {
            "reaper": [(min(settings.lease_s / 4, LONGEST_REAP_INTERVAL_S), reaper.reap), (RING_INTERVAL_S, self._ring)],
            "relay": [(RELAY_INTERVAL_S, self._relay), (OWN_BELL_INTERVAL_S, self._ring_own_bell)],
            "sweeper": [
                (EXPIRY_INTERVAL_S, self._expire),
                (UPLOAD_INTERVAL_S, self._end_uploads),
                (SWEEP_INTERVAL_S, self._sweep),
                (UNKNOWN_PARTS_INTERVAL_S, self._sweep_unknown_parts),
                (NEEDLESS_INTERVAL_S, self._remove_needless_objects),
            ],
        }
        self._stop = threading.Event()
        # Daemons: what a part that is away keeps waiting must not keep the process, too.
        self._threads = [
            threading.Thread(target=self._run, args=(of_one,), name=name, daemon=True) for name, of_one in duties.items()
        ]

    def start(self) -> None:
        """Do the duties, until :meth:`stop`."""
        for thread in self._threads:
            thread.start()

    def stop(self, patience_s: float) -> None:
        """End it; a duty that is not done after ``patience_s`` ends with the process, and any worker does it again."""
        self._stop.set()
        give_up_at = time.monotonic() + patience_s
        for thread in self._threads:
            thread.join(max(0.0, give_up_at - time.monotonic()))

    def _run(self, duties: Sequence[Duty]) -> None:
        due_at = [0.0] * len(duties)
        while not self._stop.wait(RELAY_INTERVAL_S / 2):
            for index, (interval_s, duty) in enumerate(duties):
                if time.monotonic() < due_at[index] or self._stop.is_set():
                    continue
                due_at[index] = time.monotonic() + interval_s
                try:
                    duty()
                except Exception:  # a database or broker that is away for a while must not end this thread
                    logger.exception("maintenance failed; it is tried again")

    def _relay(self) -> None:
        relay(self._session_factory, self._send)

    def _ring_own_bell(self) -> None:
        """Look for work while there is none to do: the message that told of it may be lost."""
        queue = self._idle_queue()
        if queue is None:
            return
        with self._session_factory() as session:
            job_id = next_queued(session, queue)
        if job_id is not None:
            self._send(job_id, queue)

    def _ring(self) -> None:
        with self._session_factory.begin() as session:
            ring_again(session)

    def _sweep(self) -> None:
        forget_checkpoints(self._session_factory, keep_days=self._keep_checkpoints_days)
        sweep_runs(self._session_factory, self._store)
        finish_deletions(self._session_factory, self._store)

    def _end_uploads(self) -> None:
        expire_uploads(self._session_factory)
        release_ended(self._session_factory, self._store)

    def _sweep_unknown_parts(self) -> None:
        sweep_unknown(self._session_factory, self._store, self._upload_expires_s + UNKNOWN_PARTS_MARGIN_S)

    def _remove_needless_objects(self) -> None:
        if num_removed := remove_needless_objects(self._session_factory, self._store):
            logger.warning("removed %s objects that no row names", num_removed)

    def _expire(self) -> None:
        self._in_rounds(delete_old_idempotency_records)
        keep_days = self._keep_job_events_days
        if keep_days is not None:
            self._in_rounds(lambda session: delete_old_job_records(session, keep_days))

    def _in_rounds(self, delete_some: Callable[[Session], int]) -> None:
        """Delete until nothing is left to delete, each time in a transaction of its own."""
        num_deleted = 1
        while num_deleted and not self._stop.is_set():
            with self._session_factory.begin() as session:
                num_deleted = delete_some(session)
