# Made from farzi_client/_async/webhooks.py by python -m tests.farzi_client.twins: change it there.
"""Webhooks: endpoints and their deliveries."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from farzi_client._sync.paging import iterate_pages
from farzi_client._sync.transport import Transport
from farzi_client.models import Delivery, WebhookEndpoint
from farzi_client.transport import segment
from farzi_client.webhooks import DeliveryStatus, EventType

PATH = "/v1/webhook-endpoints"
DELIVERIES_PATH = "/v1/deliveries"


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
