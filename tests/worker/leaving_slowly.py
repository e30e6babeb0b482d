"""``python -m tests.worker.leaving_slowly JOB_ID TOKEN``: a run that is over for the database, and takes its time to leave."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from app.clock import database_now
from app.db import make_engine, make_session_factory
from app.jobs.endings import lose
from app.jobs.leases import Lease, lock_held
from app.jobs.progress import JobWriter
from app.settings import load_settings

LEFT_VARIABLE = "LEFT_IN_GOOD_ORDER"
LOST_VARIABLE = "LOST_MEANWHILE"
LEAVING_S = 1.5


def main(job_id: str, token: str) -> None:
    lease = Lease(job_id, int(token))
    sessions = make_session_factory(make_engine(load_settings()))
    if LOST_VARIABLE in os.environ:
        with sessions.begin() as session:
            lose(session, lock_held(session, lease), "somebody thought so", max_runs=3, at=database_now(session))
    else:
        JobWriter(sessions, lease).publish({}, [])
    time.sleep(LEAVING_S)
    Path(os.environ[LEFT_VARIABLE]).touch()


if __name__ == "__main__":
    main(*sys.argv[1:])
