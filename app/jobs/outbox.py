"""The outbox: messages for the broker, written in the transaction that makes them true and published after its commit."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from app.clock import database_now
from app.jobs.models import Job, OutboxMessage

RELAY_BATCH = 100
# Well below the time after which the server ends an idle transaction: what was sent by then would be sent again, and again.
BATCH_S = 5.0


def enqueue(session: Session, job: Job, *, at: datetime) -> None:
    """Add the message that tells the broker of a queued job, in the caller's transaction; it is sent when ``at`` has come."""
    job.last_enqueued_at = at
    session.add(OutboxMessage(job_id=job.id, queue=job.queue, created_at=at))


def relay(session_factory: sessionmaker[Session], send: Callable[[str, str], None]) -> int:
    """Send messages that are due, oldest first, and delete those that were sent; return how many.

    A message is deleted only after ``send(job_id, queue)`` returned, so a crash in between sends it twice and never not at all:
    the claim makes the second one harmless. Several relays may run at once. To a broker that is slow, a batch is what it took
    in five seconds.

    Raises:
        Exception: whatever ``send`` raised; what was sent before stays deleted.
    """
    num_sent = 0
    give_up_at = time.monotonic() + BATCH_S
    failure: Exception | None = None
    with session_factory.begin() as session:
        due = select(OutboxMessage).where(OutboxMessage.created_at <= database_now(session)).order_by(OutboxMessage.id)
        for message in session.scalars(due.limit(RELAY_BATCH).with_for_update(skip_locked=True)).all():
            try:
                send(message.job_id, message.queue)
            except Exception as error:  # the transaction has to commit what was sent
                failure = error
                break
            session.delete(message)
            num_sent += 1
            if time.monotonic() >= give_up_at:
                break
    if failure is not None:
        raise failure
    return num_sent
