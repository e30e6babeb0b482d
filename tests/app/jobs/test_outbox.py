"""No message is lost: not by a broker that is down, not by a crash, not by two relays at once."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session, sessionmaker

from app.clock import database_now
from app.jobs.models import OutboxMessage
from app.jobs.outbox import enqueue, relay
from app.queue import make_celery, make_sender
from tests.services.rows import add_dataset, add_job

pytestmark = pytest.mark.service
Sessions = sessionmaker[Session]


def add_jobs(sessions: Sessions, count: int) -> list[str]:
    with sessions.begin() as session:
        dataset = add_dataset(session)
        return [add_job(session, dataset).id for _ in range(count)]


def num_waiting(sessions: Sessions) -> int:
    with sessions() as session:
        return session.scalar(select(func.count()).select_from(OutboxMessage)) or 0


def test_a_broker_that_fails_midway_gets_the_rest_later(session_factory: Sessions) -> None:
    job_ids = add_jobs(session_factory, 5)
    sent: list[str] = []

    def breaks_after_two(job_id: str, queue: str) -> None:
        if len(sent) == 2:
            raise ConnectionError("down")
        sent.append(job_id)

    with pytest.raises(ConnectionError):
        relay(session_factory, breaks_after_two)
    assert num_waiting(session_factory) == 3
    assert relay(session_factory, lambda job_id, queue: sent.append(job_id)) == 3
    assert sent == job_ids


def test_a_slow_broker_gets_what_it_takes_in_time_and_the_rest_in_another_transaction(
    session_factory: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_ids = add_jobs(session_factory, 3)
    monkeypatch.setattr("app.jobs.outbox.BATCH_S", 0.0)
    sent: list[str] = []
    for left in (2, 1, 0):
        assert relay(session_factory, lambda job_id, queue: sent.append(job_id)) == 1
        assert num_waiting(session_factory) == left
    assert sent == job_ids


def test_relays_at_once_send_each_message_once(session_factory: Sessions) -> None:
    job_ids = add_jobs(session_factory, 40)
    sent: list[str] = []
    with ThreadPoolExecutor(4) as pool:
        counts = list(pool.map(lambda _: relay(session_factory, lambda job_id, queue: sent.append(job_id)), range(8)))
    assert sum(counts) == 40
    assert Counter(sent) == Counter(job_ids)


def test_a_message_of_the_future_waits(session_factory: Sessions) -> None:
    with session_factory.begin() as session:
        job = add_job(session)
        enqueue(session, job, at=database_now(session) + timedelta(hours=1))
    assert relay(session_factory, lambda job_id, queue: None) == 1
    assert num_waiting(session_factory) == 1


def test_a_message_names_the_job_and_nothing_else(session_factory: Sessions, redis_url: str) -> None:
    (job_id,) = add_jobs(session_factory, 1)
    celery = make_celery(redis_url)
    assert relay(session_factory, make_sender(celery)) == 1
    with celery.connection_for_read() as connection, connection.SimpleQueue("gpu") as queue:
        message = queue.get(timeout=5)
        assert message.content_type == "application/json"
        args, kwargs, _ = message.payload
        assert (args, kwargs) == ([], {"job_id": job_id})
        message.ack()
    celery.close()
