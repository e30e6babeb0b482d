"""Measure the machine while there is nothing else to do: a job that comes in the meantime ends the measurement."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable
from datetime import timedelta

from sqlalchemy.orm import Session, sessionmaker

from app.clock import database_now
from app.jobs.estimates import is_calibrated
from app.settings import Settings
from worker.process import RunProcess

logger = logging.getLogger(__name__)

MODULE = "worker.calibration"
KEPT_FOR = timedelta(days=30)
LONGEST_S = 120.0
TICK_S = 0.2


class IdleCalibration:
    """The measurement of one worker's machine, at most once in its life."""

    def __init__(self, settings: Settings, session_factory: sessionmaker[Session]) -> None:
        self._session_factory = session_factory
        self._is_due = settings.calibrate

    def run_unless(self, interrupted: Callable[[], bool]) -> None:
        """Measure, unless it was done lately; give up as soon as ``interrupted`` says so, and try again when called again."""
        if not self._is_due:
            return
        with self._session_factory.begin() as session:
            self._is_due = not is_calibrated(session, socket.gethostname(), since=database_now(session) - KEPT_FOR)
        if not self._is_due or interrupted():
            return
        process = RunProcess(["-m", MODULE, str(time.time())], {})
        give_up_at = time.monotonic() + LONGEST_S
        try:
            while (exit_code := process.wait(TICK_S)) is None:
                if interrupted():
                    return
                if time.monotonic() >= give_up_at:
                    break
        finally:
            process.close()
        self._is_due = False
        if exit_code != 0:
            logger.warning("the machine could not be measured (exit code %s); estimates go by another one", exit_code)
