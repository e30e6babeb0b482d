"""The settings of Celery that a job's safety hangs on."""

from __future__ import annotations

from app.queue import VISIBILITY_TIMEOUT_S, make_celery


def test_messages_are_json_acknowledged_late_and_one_at_a_time() -> None:
    conf = make_celery("redis://127.0.0.1:1/0").conf
    assert (conf.task_serializer, list(conf.accept_content)) == ("json", ["json"])
    assert (conf.task_acks_late, conf.worker_prefetch_multiplier, conf.task_ignore_result) == (True, 1, True)
    assert conf.result_backend is None


def test_the_visibility_timeout_is_set_in_all_three_places() -> None:
    conf = make_celery("redis://127.0.0.1:1/0").conf
    assert VISIBILITY_TIMEOUT_S > 7 * 24 * 3600
    for options in (conf.broker_transport_options, conf.result_backend_transport_options, conf):
        assert options["visibility_timeout"] == VISIBILITY_TIMEOUT_S
