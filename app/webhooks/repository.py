"""Queries on webhook endpoints and their deliveries; every one that starts from an id of the caller's names the tenant."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.pagination import PageQuery, newest_first
from app.webhooks.models import WebhookAttempt, WebhookDelivery, WebhookEndpoint
from app.webhooks.schemas import DeliveryQuery


def find_endpoint(session: Session, tenant_id: str, endpoint_id: str, *, lock: bool = False) -> WebhookEndpoint | None:
    query = select(WebhookEndpoint).where(WebhookEndpoint.tenant_id == tenant_id, WebhookEndpoint.id == endpoint_id)
    return session.scalar(query.with_for_update() if lock else query)


def list_endpoints(session: Session, tenant_id: str, page: PageQuery) -> tuple[Sequence[WebhookEndpoint], bool]:
    query = select(WebhookEndpoint).where(WebhookEndpoint.tenant_id == tenant_id)
    return newest_first(session, query, WebhookEndpoint.id, page)


def count_endpoints(session: Session, tenant_id: str) -> int:
    return session.scalar(select(func.count()).where(WebhookEndpoint.tenant_id == tenant_id)) or 0


def lock_listening(session: Session, tenant_id: str, event_type: str) -> list[WebhookEndpoint]:
    """Return the endpoints that want the event. The lock only keeps them from being deleted before the caller commits."""
    enabled = select(WebhookEndpoint).where(WebhookEndpoint.tenant_id == tenant_id, WebhookEndpoint.disabled_at.is_(None))
    rows = session.scalars(enabled.order_by(WebhookEndpoint.id).with_for_update(read=True, key_share=True))
    return [row for row in rows if row.event_types is None or event_type in row.event_types]


def find_delivery(session: Session, tenant_id: str, delivery_id: str, *, lock: bool = False) -> WebhookDelivery | None:
    query = select(WebhookDelivery).where(WebhookDelivery.tenant_id == tenant_id, WebhookDelivery.id == delivery_id)
    return session.scalar(query.with_for_update().execution_options(populate_existing=True) if lock else query)


def list_deliveries(session: Session, tenant_id: str, query: DeliveryQuery) -> tuple[Sequence[WebhookDelivery], bool]:
    deliveries = select(WebhookDelivery).where(WebhookDelivery.tenant_id == tenant_id)
    for name in ("endpoint_id", "status", "event_type", "event_id"):
        wanted = getattr(query, name)
        if wanted is not None:
            deliveries = deliveries.where(getattr(WebhookDelivery, name) == wanted)
    return newest_first(session, deliveries, WebhookDelivery.id, query)


def list_attempts(session: Session, delivery_id: str) -> Sequence[WebhookAttempt]:
    attempts = select(WebhookAttempt).where(WebhookAttempt.delivery_id == delivery_id)
    return session.scalars(attempts.order_by(WebhookAttempt.number)).all()
