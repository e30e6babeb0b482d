"""Webhooks, for those who receive them: what they may be of, and ``verify``."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import time
from collections.abc import Mapping, Sequence
from typing import Literal

from farzi_client.errors import WebhookNotVerified
from farzi_client.models import WebhookEvent

EventType = Literal[
    "job.running",
    "job.paused",
    "job.succeeded",
    "job.failed",
    "job.cancelled",
    "dataset.ready",
    "dataset.invalid",
    "webhook.test",
]
DeliveryStatus = Literal["pending", "succeeded", "failed"]

TOLERANCE_S = 300.0


def verify(
    body: bytes | str,
    headers: Mapping[str, str],
    secret: str | Sequence[str],
    *,
    tolerance_s: float = TOLERANCE_S,
    now: float | None = None,
) -> WebhookEvent:
    """Return the event that a request carries, if the service sent it.

    Args:
        body: as it arrived, byte for byte; parsing it and writing it anew breaks the signature.
        headers: of the request, in any case.
        secret: of the endpoint, ``whsec_...``; several while you change from one to another.
        tolerance_s: how old, or how far in the future, the signature may be, in seconds.
        now: the time, in seconds since 1970; by default this machine's.

    Raises:
        WebhookNotVerified: the request must not be acted on; answer 400.
    """
    given = {name.lower(): value for name, value in headers.items()}
    try:
        message_id, sent_at = given["webhook-id"], given["webhook-timestamp"]
        signatures = given["webhook-signature"].split()
        age_s = (time.time() if now is None else now) - int(sent_at)
    except (KeyError, ValueError):
        raise WebhookNotVerified("webhook-id, webhook-timestamp or webhook-signature is missing or unreadable") from None
    if abs(age_s) > tolerance_s:
        raise WebhookNotVerified(f"the signature is {age_s:.0f} s old, {tolerance_s:g} s are allowed; is the clock right?")
    content = body.encode() if isinstance(body, str) else body
    secrets = [secret] if isinstance(secret, str) else secret
    expected = [_sign(key, f"{message_id}.{sent_at}.".encode() + content) for key in secrets]
    if not any(hmac.compare_digest(one.encode(), other.encode()) for one in expected for other in signatures):
        raise WebhookNotVerified("no signature is that of the secret; is it the endpoint's, and the body unchanged?")
    return WebhookEvent.from_json(json.loads(content))


def _sign(secret: str, content: bytes) -> str:
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except (binascii.Error, ValueError):
        raise WebhookNotVerified("the secret cannot be read; give all of whsec_..., as the service showed it") from None
    return f"v1,{base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode()}"
