"""``python -m tests.worker.computing_for_ever JOB_ID TOKEN``: a run that writes nothing and heeds nothing."""

from __future__ import annotations

import signal
import sys
import time

from app.db import make_engine, make_session_factory
from app.jobs.leases import Lease
from app.jobs.progress import JobWriter
from app.settings import load_settings
from worker.waking import stay_alive


def main(job_id: str, token: str) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    settings = load_settings()
    sessions = make_session_factory(make_engine(settings))
    stay_alive(settings, sessions, JobWriter(sessions, Lease(job_id, int(token))))
    sys.stdout.write("computing\n")
    sys.stdout.flush()
    time.sleep(600)


if __name__ == "__main__":
    main(*sys.argv[1:])
