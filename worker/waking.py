"""Signs of life of a run, and its end where it finds on waking that its job has been given away.

A run that was stopped, alone or with its machine, may compute for an hour before it writes again and learns of it.
"""

from __future__ import annotations

import logging
import os

from sqlalchemy.orm import Session, sessionmaker

from app.db import OUTAGE_PATIENCE_S, attempts_while_away
from app.jobs.leases import Lease, LeaseLostError, look
from app.jobs.progress import JobWriter
from app.settings import Settings
from worker.process import ExitCode
from worker.pulse import beat_while

logger = logging.getLogger(__name__)


def stay_alive(settings: Settings, session_factory: sessionmaker[Session], writer: JobWriter) -> None:
    """Beat while the run makes steps; after a sleep as long as a lease, look whether the lease is still the run's."""

    def wake_up() -> None:
        _leave_if_lost(session_factory, writer.lease)

    beat_while(lambda: writer.idle_s < settings.run_stall_s, asleep_s=settings.lease_s, on_waking=wake_up)


def _leave_if_lost(session_factory: sessionmaker[Session], lease: Lease) -> None:
    """End this process if the lease is lost, whatever its other threads wait for; the supervisor removes what is left."""
    try:
        for attempt in attempts_while_away(OUTAGE_PATIENCE_S):
            with attempt, session_factory.begin() as session:
                look(session, lease)
    except LeaseLostError:
        logger.warning("the lease was lost while the run slept")
        os._exit(ExitCode.LEASE_LOST)
