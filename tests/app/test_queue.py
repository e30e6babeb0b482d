"""The settings of Celery that a job's safety hangs on."""

from __future__ import annotations

from app.jobs.states import Queue
from app.queue import VISIBILITY_TIMEOUT_S, make_celery


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
