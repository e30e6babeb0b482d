"""Deliveries reach their endpoint or are given up by the table; nothing is sent twice at once, nobody waits for the slow."""

from __future__ import annotations

import json
import threading
from datetime import timedelta

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session, sessionmaker
from sqlalchemy.pool import QueuePool
from standardwebhooks import Webhook, WebhookVerificationError

from app.errors import ServiceError
from app.webhooks.claiming import LEASE_S
from app.webhooks.dispatcher import MAX_SENDING_OF_TENANT, MAX_SENDING_TO_ENDPOINT, running_dispatcher
from app.webhooks.models import DeliveryStatus, WebhookEndpoint
from app.webhooks.outcomes import KEPT_FOR
from app.webhooks.schedule import JITTER, MAX_ATTEMPTS, WAITS_S
from app.webhooks.service import get_endpoint, replay_delivery
from tests.app.test_serve import wait_for
from tests.app.webhooks.dispatching import Dispatching
from tests.app.webhooks.receiver import Receiver, running_receiver


def test_success_ends_a_delivery(dispatching: Dispatching, receiver: Receiver) -> None:
    dispatching.fail_a_job()
    assert dispatching.send_due() == 2
    assert dispatching.send_due() == 0
    assert [item.status for item in dispatching.deliveries] == ["succeeded", "succeeded"]
    assert [json.loads(item.body)["type"] for item in receiver.received] == ["job.running", "job.failed"]
    for item in receiver.received:
        Webhook(dispatching.secret).verify(item.body, item.headers)
    attempt = dispatching.attempts[0]
    assert (attempt.number, attempt.response_status, attempt.response_body, attempt.error_code) == (1, 200, "ok", None)
    assert attempt.duration_s > 0


def test_a_delivery_is_tried_by_the_table_and_then_given_up(dispatching: Dispatching, receiver: Receiver) -> None:
    receiver.status = 500
    dispatching.fail_a_job()
    running, _failed = dispatching.deliveries
    for number in range(1, MAX_ATTEMPTS + 1):
        assert dispatching.send_due() == 2
        running = dispatching.deliveries[0]
        assert running.num_attempts == number
        if number < MAX_ATTEMPTS:
            assert running.next_attempt_at is not None
            waited = (running.next_attempt_at - dispatching.now).total_seconds()
            assert waited == pytest.approx(WAITS_S[number], rel=JITTER + 1e-6)
            dispatching.turn_clock(seconds=WAITS_S[number] * (1 - JITTER) - 1)
            assert dispatching.send_due() == 0, "not before its time"
            dispatching.turn_clock(seconds=WAITS_S[number] * 2 * JITTER + 2)
    assert (running.status, running.next_attempt_at) == ("failed", None)
    dispatching.turn_clock(days=1)
    assert dispatching.send_due() == 0
    assert len(receiver.received) == 2 * MAX_ATTEMPTS
    assert len(set(receiver.ids)) == 2, "every attempt at an event has its id"
    bodies = {item.headers["webhook-id"]: item.body for item in receiver.received}
    assert all(bodies[item.headers["webhook-id"]] == item.body for item in receiver.received)


def test_it_recovers_and_the_failure_is_forgotten(dispatching: Dispatching, receiver: Receiver) -> None:
    receiver.status = 503
    dispatching.fail_a_job()
    dispatching.send_due()
    assert dispatching.endpoint.failing_since == dispatching.now
    receiver.status = 200
    dispatching.turn_clock(seconds=6)
    assert dispatching.send_due() == 2
    assert dispatching.endpoint.failing_since is None
    assert {item.status for item in dispatching.deliveries} == {"succeeded"}


def test_retry_after_is_honoured(dispatching: Dispatching, receiver: Receiver) -> None:
    receiver.status, receiver.headers = 429, {"Retry-After": "600"}
    dispatching.test()
    dispatching.fail_a_job()
    dispatching.send_due()
    pending = [item.next_attempt_at for item in dispatching.deliveries if item.status == DeliveryStatus.PENDING]
    assert pending == [dispatching.now + timedelta(seconds=600)] * 2


def test_a_test_event_is_tried_once(dispatching: Dispatching, receiver: Receiver) -> None:
    receiver.status = 500
    dispatching.test()
    dispatching.send_due()
    (delivery,) = dispatching.deliveries
    assert (delivery.status, delivery.num_attempts, delivery.event_type) == ("failed", 1, "webhook.test")


def test_410_disables_at_once(dispatching: Dispatching, receiver: Receiver) -> None:
    receiver.status = 410
    dispatching.fail_a_job()
    for claimed in dispatching.dispatcher.claim_due():
        dispatching.dispatcher.deliver(claimed)
    assert (dispatching.endpoint.disabled_reason, dispatching.endpoint.disabled_at) == ("gone", dispatching.now)
    num_received = len(receiver.received)
    dispatching.fail_a_job()
    dispatching.turn_clock(days=1)
    assert dispatching.send_due() == 0
    assert len(dispatching.deliveries) == 2, "nothing new is written down for it"
    receiver.status = 200
    dispatching.update(enabled=True)
    assert dispatching.send_due() == 2, "what waited goes on"
    assert len(receiver.received) == num_received + 2
    assert (dispatching.endpoint.disabled_reason, dispatching.endpoint.failing_since) == (None, None)


def test_five_days_of_nothing_but_failures_disable(dispatching: Dispatching, receiver: Receiver) -> None:
    receiver.status = 500
    for day in range(6):
        assert dispatching.endpoint.disabled_at is None, day
        dispatching.test()
        dispatching.send_due()
        dispatching.turn_clock(days=1)
    assert dispatching.endpoint.disabled_reason == "failing"


def test_one_success_in_between_starts_the_days_anew(dispatching: Dispatching, receiver: Receiver) -> None:
    for day in range(9):
        receiver.status = 200 if day == 4 else 500
        dispatching.test()
        dispatching.send_due()
        dispatching.turn_clock(days=1)
    assert dispatching.endpoint.disabled_at is None


def test_rotation_overlaps_for_as_long_as_it_says(dispatching: Dispatching, receiver: Receiver) -> None:
    old, new = dispatching.secret, dispatching.rotate(overlap_s=3600)
    dispatching.test()
    dispatching.send_due()
    both = receiver.received[-1]
    for secret in (old, new):
        Webhook(secret).verify(both.body, both.headers)
    dispatching.turn_clock(hours=1)
    dispatching.test()
    dispatching.send_due()
    assert receiver.received[-1].headers["webhook-signature"].count("v1,") == 1


def test_a_leaked_secret_can_be_dropped_at_once(dispatching: Dispatching, receiver: Receiver) -> None:
    old, new = dispatching.secret, dispatching.rotate(overlap_s=0)
    dispatching.test()
    dispatching.send_due()
    (received,) = receiver.received
    Webhook(new).verify(received.body, received.headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(old).verify(received.body, received.headers)


def test_a_claimed_delivery_is_nobody_elses_until_its_lease_ends(dispatching: Dispatching, receiver: Receiver) -> None:
    dispatching.fail_a_job()
    first = dispatching.dispatcher.claim_due()
    other = dispatching.another()
    assert len(first) == 2
    assert other.claim_due() == []
    dispatching.turn_clock(seconds=LEASE_S + 1)  # the first one hangs
    second = other.claim_due()
    assert [item.id for item in second] == [item.id for item in first]
    for item in second:
        other.deliver(item)
    receiver.status = 500
    for item in first:  # and wakes up: what it has to say comes too late
        dispatching.dispatcher.deliver(item)
    assert {(item.status, item.num_attempts) for item in dispatching.deliveries} == {("succeeded", 1)}
    assert dispatching.endpoint.failing_since is None


def test_dispatchers_that_race_send_each_delivery_once(dispatching: Dispatching, receiver: Receiver) -> None:
    for _ in range(10):
        dispatching.fail_a_job()
    dispatchers = [dispatching.another() for _ in range(4)]
    barrier = threading.Barrier(len(dispatchers))

    def race(index: int) -> None:
        barrier.wait()
        while claimed := dispatchers[index].claim_due():
            for item in claimed:
                dispatchers[index].deliver(item)

    threads = [threading.Thread(target=race, args=(index,)) for index in range(len(dispatchers))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    dispatching.send_due()  # what one of them held while the others looked
    assert sorted(receiver.ids) == sorted(item.event_id for item in dispatching.deliveries)
    assert len(receiver.received) == 20


def test_a_slow_endpoint_holds_nobody_back(dispatching: Dispatching, receiver: Receiver) -> None:
    released = threading.Event()

    def hold() -> None:
        released.wait(20)

    receiver.on_request = hold
    with running_receiver() as quick:
        dispatching.add_endpoint(quick.url)
        for _ in range(10):
            dispatching.fail_a_job()
        with running_dispatcher(dispatching.another()):
            wait_for(lambda: len(quick.received) == 20, "the quick endpoint waits")
            wait_for(lambda: len(receiver.received) == MAX_SENDING_TO_ENDPOINT, "the slow endpoint gets another share")
            released.set()
            wait_for(lambda: len(receiver.received) == 20, "the slow endpoint was forgotten")


def test_one_tenant_gets_a_share_of_the_threads(dispatching: Dispatching, receiver: Receiver) -> None:
    for _ in range(9):
        dispatching.add_endpoint(receiver.url)
    dispatching.fail_a_job()
    assert len(dispatching.dispatcher.claim_due()) == MAX_SENDING_OF_TENANT
    assert dispatching.dispatcher.claim_due() == []


def test_no_connection_to_the_database_is_held_while_sending(
    dispatching: Dispatching, receiver: Receiver, session_factory: sessionmaker[Session]
) -> None:
    engine = session_factory.kw["bind"]
    assert isinstance(engine, Engine)
    pool = engine.pool
    assert isinstance(pool, QueuePool)
    in_use: list[int] = []
    receiver.on_request = lambda: in_use.append(pool.checkedout())
    dispatching.fail_a_job()
    dispatching.send_due()
    assert in_use == [0, 0]


def test_it_stops_in_good_order(dispatching: Dispatching, receiver: Receiver) -> None:
    arrived, released = threading.Event(), threading.Event()

    def hold() -> None:
        arrived.set()
        released.wait(20)

    receiver.on_request = hold
    dispatching.test()
    with running_dispatcher(dispatching.another()):
        assert arrived.wait(20)
        threading.Timer(0.1, released.set).start()
    assert [item.status for item in dispatching.deliveries] == ["succeeded"], "what was on its way was waited for"


def test_an_endpoint_that_is_deleted_meanwhile(dispatching: Dispatching, receiver: Receiver) -> None:
    dispatching.test()
    (claimed,) = dispatching.dispatcher.claim_due()
    with dispatching.sessions.begin() as session:
        session.delete(session.get_one(WebhookEndpoint, dispatching.endpoint_id))
    dispatching.dispatcher.deliver(claimed)
    assert (dispatching.deliveries, dispatching.attempts) == ([], [])


def test_a_replay_beside_the_deletion_of_its_endpoint(dispatching: Dispatching, receiver: Receiver) -> None:
    dispatching.test()
    dispatching.send_due()
    (delivery,) = dispatching.deliveries
    codes: list[str] = []

    def replay() -> None:
        try:
            with dispatching.sessions.begin() as session:
                replay_delivery(session, dispatching.tenant_id, delivery.id)
        except ServiceError as error:
            codes.append(error.code)

    replaying = threading.Thread(target=replay)
    with dispatching.sessions.begin() as session:
        endpoint = get_endpoint(session, dispatching.tenant_id, dispatching.endpoint_id, lock=True)
        replaying.start()
        replaying.join(0.5)  # it waits for the row, or for SQLite's lock
        session.delete(endpoint)
    replaying.join()
    assert codes in (["webhook_endpoint_not_found"], ["delivery_not_found"])


def test_a_secret_of_another_service_key_fails_with_words(dispatching: Dispatching, receiver: Receiver) -> None:
    with dispatching.sessions.begin() as session:
        session.get_one(WebhookEndpoint, dispatching.endpoint_id).secret = "gAAAAAnonsense"
    dispatching.test()
    dispatching.send_due()
    (attempt,) = dispatching.attempts
    assert attempt.error_code == "secret_unreadable"
    assert receiver.received == []


def test_old_deliveries_are_forgotten(dispatching: Dispatching, receiver: Receiver) -> None:
    dispatching.test()
    dispatching.send_due()
    with running_dispatcher(dispatching.another()):
        pass
    assert len(dispatching.deliveries) == 1
    dispatching.turn_clock(days=KEPT_FOR.days + 1)
    with running_dispatcher(dispatching.another()):
        wait_for(lambda: dispatching.deliveries == [], "nothing was forgotten")
    assert dispatching.attempts == []
