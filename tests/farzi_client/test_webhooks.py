"""Webhooks from the client's side: the calls, and what a receiver accepts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from standardwebhooks import Webhook

from app.settings import Settings
from farzi_client import Client, UnexpectedAnswer, WebhookNotVerified
from farzi_client.webhooks import verify
from tests.app.driving import ADMIN_KEY, running_in_thread
from tests.app.test_serve import wait_for
from tests.app.webhooks.receiver import Receiver, running_receiver

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX"
BODY = json.dumps({"type": "job.failed", "timestamp": "2026-01-02T03:04:05Z", "data": {"id": "job_1", "metadata": {"a": "ü"}}})


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with running_receiver() as running:
        yield running


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Client]:
    """A client of the real API, embedded."""
    settings = Settings.model_validate(
        {"data_dir": tmp_path / "data", "bootstrap_api_key": ADMIN_KEY, "webhook_allow_private": True}
    )
    with running_in_thread(settings) as running, Client(ADMIN_KEY, base_url=running.url) as client:
        yield client


def signed(secret: str = SECRET, at: datetime | None = None, body: str = BODY) -> dict[str, str]:
    """Return the headers that the library of Standard Webhooks makes."""
    at = at or datetime.now(UTC)
    signature = Webhook(secret).sign("evt_1", at, body)
    return {"Webhook-Id": "evt_1", "Webhook-Timestamp": str(int(at.timestamp())), "Webhook-Signature": signature}


def test_from_the_endpoint_to_a_verified_event(service: Client, receiver: Receiver) -> None:
    made = service.webhooks.create(receiver.url, event_types=["job.failed"], description="mine")
    assert made.secret is not None
    assert (made.event_types, made.enabled, made.description) == (("job.failed",), True, "mine")
    delivery = service.webhooks.test(made.id)
    wait_for(lambda: service.webhooks.delivery(delivery.id).status == "succeeded", "not delivered")
    (attempt,) = service.webhooks.delivery(delivery.id).attempts
    assert (attempt.number, attempt.response_status, attempt.error) == (1, 200, None)
    event = verify(receiver.received[0].body, receiver.received[0].headers, made.secret)
    assert (event.type, event.data["id"]) == ("webhook.test", made.id)
    rotated = service.webhooks.rotate_secret(made.id, overlap_s=60)
    assert rotated.secret is not None
    assert rotated.previous_secret_expires_at is not None
    again = service.webhooks.replay(delivery.id)
    assert again.replay_of == delivery.id
    wait_for(lambda: len(receiver.received) == 2, "not replayed")
    for secret in (made.secret, rotated.secret, [made.secret, rotated.secret]):
        verify(receiver.received[1].body, receiver.received[1].headers, secret)
    assert [item.id for item in service.webhooks.deliveries(endpoint_id=made.id)] == [again.id, delivery.id]
    assert list(service.webhooks.deliveries(status="failed")) == []
    changed = service.webhooks.update(made.id, enabled=False, event_types=None)
    assert (changed.enabled, changed.disabled_reason, changed.event_types) == (False, "requested", None)
    assert [item.secret for item in service.webhooks.list()] == [None]
    service.webhooks.delete(made.id)
    assert list(service.webhooks.list()) == []


def test_what_the_reference_signs_is_accepted() -> None:
    for body in (BODY, BODY.encode()):
        event = verify(body, signed(), SECRET)
        assert (event.type, event.timestamp) == ("job.failed", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
        assert event.data["metadata"] == {"a": "ü"}


def test_one_of_several_signatures_or_secrets_is_enough() -> None:
    headers = signed()
    headers["Webhook-Signature"] = f"v1a,xyz {signed(OTHER)['Webhook-Signature']} {headers['Webhook-Signature']}"
    verify(BODY, headers, SECRET)
    verify(BODY, signed(OTHER), [SECRET, OTHER])


@pytest.mark.parametrize("missing", ["Webhook-Id", "Webhook-Timestamp", "Webhook-Signature"])
def test_without_a_header(missing: str) -> None:
    headers = {name: value for name, value in signed().items() if name != missing}
    with pytest.raises(WebhookNotVerified, match="missing"):
        verify(BODY, headers, SECRET)


@pytest.mark.parametrize(
    ("changes", "body", "secret", "reason"),
    [
        ({}, BODY + " ", SECRET, "no signature"),
        ({}, BODY, OTHER, "no signature"),
        ({}, BODY, "whsec_not base64!", "cannot be read"),
        ({}, BODY, [], "no signature"),
        ({"Webhook-Id": "evt_2"}, BODY, SECRET, "no signature"),
        ({"Webhook-Signature": ""}, BODY, SECRET, "no signature"),
        ({"Webhook-Signature": "v1,größe"}, BODY, SECRET, "no signature"),
        ({"Webhook-Timestamp": "yesterday"}, BODY, SECRET, "unreadable"),
    ],
)
def test_what_is_not_the_services(changes: dict[str, str], body: str, secret: str | list[str], reason: str) -> None:
    with pytest.raises(WebhookNotVerified, match=reason):
        verify(body, signed() | changes, secret)


@pytest.mark.parametrize("age_s", [-301, 301])
def test_too_old_and_too_new(age_s: int) -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    with pytest.raises(WebhookNotVerified, match="clock"):
        verify(BODY, signed(at=at), SECRET, now=at.timestamp() + age_s)
    verify(BODY, signed(at=at), SECRET, now=at.timestamp() + age_s, tolerance_s=400)


def test_a_signed_body_that_is_no_event() -> None:
    with pytest.raises(UnexpectedAnswer):
        verify("[]", signed(body="[]"), SECRET)
