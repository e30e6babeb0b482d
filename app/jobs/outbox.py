"""The outbox: messages for the broker, written in the transaction that makes them true and published after its commit."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.orm import Session

from app.jobs.models import Job, OutboxMessage


def enqueue(session: Session, job: Job, *, at: datetime) -> None:
    """Add the message that tells the broker of a queued job, in the caller's transaction."""
    job.last_enqueued_at = at
    session.add(OutboxMessage(job_id=job.id, queue=job.queue, created_at=at))
