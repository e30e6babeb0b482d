"""The one Celery task: answer a doorbell."""

from __future__ import annotations

from celery import Celery

from app.queue import RUN_JOB
from worker.supervision import Supervisor


def register_tasks(celery: Celery, supervisor: Supervisor) -> None:
    """Let ``celery`` run jobs through ``supervisor``."""

    @celery.task(name=RUN_JOB)  # type: ignore[untyped-decorator]
    def run_job(job_id: str) -> None:
        supervisor.answer_doorbell(job_id)
