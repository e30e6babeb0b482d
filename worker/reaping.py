"""Take jobs from runs that are lost: at once where their worker is known to be dead, else when their lease ran out.

A database that was away let leases run out whose runs are well: none of them could write. So leases are believed only by a
reaper that has reached the database for a few heartbeats on end; until then, every run that lives has kept its own.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from sqlalchemy.orm import Session, sessionmaker

from app.jobs.reaper import reap_dead, reap_expired
from app.settings import Settings
from worker.presence import Presence

logger = logging.getLogger(__name__)

# A heartbeat, the time that a lost connection takes to be noticed, and one to spare.
HEARTBEATS_BEFORE = 3


class Reaper:
    """The reaper of one process; ``clock`` counts seconds, and goes on while the process is frozen."""

    def __init__(
        self,
        settings: Settings,
        session_factory: sessionmaker[Session],
        presence: Presence,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._session_factory = session_factory
        self._presence = presence
        self._max_runs = settings.max_runs
        self._patience_s = HEARTBEATS_BEFORE * settings.heartbeat_s
        self._clock = clock
        self._reached_since: float | None = None
        self._reached_at = 0.0

    def reap(self) -> None:
        """Look once.

        Raises:
            Exception: whatever the database's client raises while it is away.
        """
        asked_at = self._clock()
        if self._reached_since is not None and asked_at - self._reached_at > self._patience_s:
            self._reached_since = None  # nobody looked for as long: frozen, perhaps with every run and the database
        trusts_leases = self._reached_since is not None and asked_at - self._reached_since >= self._patience_s
        try:
            with self._session_factory.begin() as session:
                killed = reap_dead(session, self._presence.find_dead(), max_runs=self._max_runs)
                expired = reap_expired(session, max_runs=self._max_runs) if trusts_leases else []
        except Exception:
            self._reached_since = None
            raise
        self._reached_at = self._clock()
        if self._reached_since is None:
            self._reached_since = self._reached_at
        for job_id in killed:
            logger.warning("the worker of %s is gone", job_id)
        for job_id in expired:
            logger.warning("the lease of %s ran out", job_id)
