"""Signatures are those of Standard Webhooks, as its own library reads them; secrets are sealed, each for its endpoint."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from app.webhooks.sealing import SecretBox, UnreadableSecretError
from app.webhooks.signing import make_secret, sign, signed_headers

BODY = '{"type":"job.succeeded","data":{"name":"Größe ✓"}}'


def test_the_reference_library_accepts_it() -> None:
    secret, other = make_secret(), make_secret()
    headers = signed_headers([secret], "evt_1", datetime.now(UTC), BODY.encode())
    assert Webhook(secret).verify(BODY, headers)["type"] == "job.succeeded"
    for broken in (
        headers | {"webhook-id": "evt_2"},
        headers | {"webhook-timestamp": str(int(headers["webhook-timestamp"]) + 1)},
    ):
        with pytest.raises(WebhookVerificationError):
            Webhook(secret).verify(BODY, broken)
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(BODY + " ", headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(other).verify(BODY, headers)


def test_either_secret_verifies_while_both_sign() -> None:
    new, old = make_secret(), make_secret()
    headers = signed_headers([new, old], "evt_1", datetime.now(UTC), BODY.encode())
    assert headers["webhook-signature"].count("v1,") == 2
    for secret in (new, old):
        Webhook(secret).verify(BODY, headers)


def test_an_old_message_is_refused() -> None:
    secret = make_secret()
    headers = signed_headers([secret], "evt_1", datetime.now(UTC) - timedelta(minutes=6), BODY.encode())
    with pytest.raises(WebhookVerificationError, match="too old"):
        Webhook(secret).verify(BODY, headers)


def test_the_specifications_own_example() -> None:
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    signature = sign(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_form_of_a_secret() -> None:
    secret = make_secret()
    assert secret.startswith("whsec_")
    assert len(base64.b64decode(secret.removeprefix("whsec_"), validate=True)) == 32
    assert make_secret() != secret


def test_a_sealed_secret_opens_only_for_its_endpoint_and_service() -> None:
    box, secret = SecretBox(b"k" * 32), make_secret()
    sealed = box.seal("whe_1", secret)
    assert secret not in sealed
    assert SecretBox(b"k" * 32).open("whe_1", sealed) == secret
    for other, endpoint_id in ((box, "whe_2"), (SecretBox(b"l" * 32), "whe_1")):
        with pytest.raises(UnreadableSecretError, match="FARZI_SECRET_KEY"):
            other.open(endpoint_id, sealed)
