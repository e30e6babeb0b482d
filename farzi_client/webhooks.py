"""Webhooks: endpoints and their deliveries; and, for those who receive them, ``verify``."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from farzi_client.errors import WebhookNotVerified
from farzi_client.models import Delivery, WebhookEndpoint, WebhookEvent
from farzi_client.paging import iterate_pages
from farzi_client.transport import Transport, segment

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

PATH = "/v1/webhook-endpoints"
DELIVERIES_PATH = "/v1/deliveries"
TOLERANCE_S = 300.0


class Webhooks:
    """``client.webhooks``; needs a key of scope ``admin``."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def create(self, url: str, *, event_types: Sequence[EventType] | None = None, description: str = "") -> WebhookEndpoint:
        """Make an endpoint for these events, or for all. ``secret`` is in this answer and nowhere else afterwards."""
        types = None if event_types is None else list(event_types)
        body = {"url": url, "event_types": types, "description": description}
        return WebhookEndpoint.from_json(self._transport.post(PATH, body))

    def list(self) -> Iterator[WebhookEndpoint]:
        """Yield every endpoint, page after page, without secrets."""
        return iterate_pages(self._transport, PATH, WebhookEndpoint, {})

    def get(self, endpoint_id: str) -> WebhookEndpoint:
        return WebhookEndpoint.from_json(self._transport.get(f"{PATH}/{segment(endpoint_id)}"))

    def update(self, endpoint_id: str, **changes: Any) -> WebhookEndpoint:
        """Change ``url``, ``event_types`` (None: all), ``description`` or ``enabled``; what is left out stays."""
        return WebhookEndpoint.from_json(self._transport.request("PATCH", f"{PATH}/{segment(endpoint_id)}", json=changes))

    def delete(self, endpoint_id: str) -> None:
        """Delete an endpoint with its deliveries."""
        self._transport.delete(f"{PATH}/{segment(endpoint_id)}")

    def test(self, endpoint_id: str) -> Delivery:
        """Send an event of type ``webhook.test``; ``delivery`` tells what came of it."""
        return Delivery.from_json(self._transport.post(f"{PATH}/{segment(endpoint_id)}/test"))

    def rotate_secret(self, endpoint_id: str, *, overlap_s: int | None = None) -> WebhookEndpoint:
        """Make a new ``secret``; the old one signs too for ``overlap_s`` seconds, by default for a day."""
        body = None if overlap_s is None else {"overlap_s": overlap_s}
        return WebhookEndpoint.from_json(self._transport.post(f"{PATH}/{segment(endpoint_id)}/rotate-secret", body))

    def deliveries(
        self,
        *,
        endpoint_id: str | None = None,
        status: DeliveryStatus | None = None,
        event_type: EventType | None = None,
        event_id: str | None = None,
    ) -> Iterator[Delivery]:
        """Yield every delivery that matches, newest first, without its attempts."""
        filters = {"endpoint_id": endpoint_id, "status": status, "event_type": event_type, "event_id": event_id}
        return iterate_pages(self._transport, DELIVERIES_PATH, Delivery, filters)

    def delivery(self, delivery_id: str) -> Delivery:
        """Return one delivery with its attempts."""
        return Delivery.from_json(self._transport.get(f"{DELIVERIES_PATH}/{segment(delivery_id)}"))

    def replay(self, delivery_id: str) -> Delivery:
        """Send an event again: a delivery that waits is brought forward, else there is a new one."""
        return Delivery.from_json(self._transport.post(f"{DELIVERIES_PATH}/{segment(delivery_id)}/replay"))


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
