"""The settings of Celery that a job's safety hangs on."""

from __future__ import annotations

import socket

import pytest
from kombu.exceptions import OperationalError
from sqlalchemy.orm import Session, sessionmaker

from app.jobs.models import OutboxMessage
from app.jobs.outbox import relay
from app.jobs.states import Queue
from app.queue import VISIBILITY_TIMEOUT_S, make_celery, make_sender, make_sending_celery
from tests.services.rows import add_job


def test_messages_are_json_and_come_one_at_a_time() -> None:
    conf = make_celery("redis://127.0.0.1:1/0").conf
    assert (conf.task_serializer, list(conf.accept_content)) == ("json", ["json"])
    assert (conf.worker_prefetch_multiplier, conf.worker_pool, conf.task_ignore_result) == (1, "solo", True)
    assert conf.result_backend is None


def test_no_queue_waits_for_an_acknowledgement() -> None:
    celery = make_celery("redis://127.0.0.1:1/0")
    assert not celery.conf.task_acks_late
    assert {name: queue.no_ack for name, queue in celery.amqp.queues.items()} == {str(queue): True for queue in Queue}


def test_the_visibility_timeout_is_set_in_all_three_places() -> None:
    conf = make_celery("redis://127.0.0.1:1/0").conf
    assert VISIBILITY_TIMEOUT_S > 7 * 24 * 3600
    for options in (conf.broker_transport_options, conf.result_backend_transport_options, conf):
        assert options["visibility_timeout"] == VISIBILITY_TIMEOUT_S


@pytest.mark.service
def test_a_broker_that_answers_nothing_is_given_up_and_the_message_kept(
    session_factory: sessionmaker[Session], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.queue.ANSWER_TIMEOUT_S", 0.2)
    with session_factory.begin() as session:
        add_job(session)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # the kernel takes connections, and nobody reads them
        celery = make_sending_celery(f"redis://127.0.0.1:{silent.getsockname()[1]}/0")
        with pytest.raises(OperationalError):
            relay(session_factory, make_sender(celery))
        celery.close()
    with session_factory() as session:
        assert session.query(OutboxMessage).count() == 1


def test_who_waits_for_messages_believes_a_silent_broker_and_notices_a_lost_one() -> None:
    options = make_celery("redis://127.0.0.1:1/0").conf.broker_transport_options
    assert "socket_timeout" not in options
    assert options["socket_keepalive_options"][socket.TCP_KEEPIDLE] < 60
