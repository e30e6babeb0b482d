"""The one Celery task: answer a doorbell."""

from __future__ import annotations

from celery import Celery
from celery.worker.request import Request

from app.queue import RUN_JOB
from worker.supervision import Supervisor


class Doorbell(Request):  # type: ignore[misc]  # Celery has no types
    """A message that left Redis for good when it was taken: kombu would tell Redis and keep a note of it all the same."""

    def acknowledge(self) -> None:
        self.acknowledged = True


def register_tasks(celery: Celery, supervisor: Supervisor) -> None:
    """Let ``celery`` run jobs through ``supervisor``."""

    @celery.task(name=RUN_JOB, Request=Doorbell)  # type: ignore[untyped-decorator]
    def run_job(job_id: str) -> None:
        supervisor.answer_doorbell(job_id)
