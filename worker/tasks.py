"""The one Celery task: answer a doorbell."""

from __future__ import annotations

import threading

from celery import Celery
from celery.worker.request import Request

from app.queue import RUN_JOB
from worker.supervision import Supervisor


class Doorbell(Request):  # type: ignore[misc]  # Celery has no types
    """A message that left Redis for good when it was taken: kombu would tell Redis and keep a note of it all the same."""

    def acknowledge(self) -> None:
        self.acknowledged = True


def register_tasks(celery: Celery, supervisor: Supervisor, shutdown: threading.Event) -> threading.Event:
    """Let ``celery`` run jobs through ``supervisor``; return what is set while it does.

    Who is called runs all there is to run: messages may have been lost, and one that comes for a job that was run is harmless.
    """
    busy = threading.Event()

    @celery.task(name=RUN_JOB, Request=Doorbell)  # type: ignore[untyped-decorator]
    def run_job(job_id: str) -> None:
        busy.set()
        try:
            while supervisor.answer_doorbell(job_id) and not shutdown.is_set():
                pass
        finally:
            busy.clear()

    return busy
