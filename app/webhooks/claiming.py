"""Take deliveries that are due, each by one dispatcher at a time, so that any number of them may run."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, func, or_, select
from sqlalchemy.orm import Session

from app.webhooks.models import DeliveryStatus, WebhookDelivery, WebhookEndpoint

# Several times what an attempt may take: another dispatcher sends it again only if this one is dead, or as good as.
LEASE_S = 60.0


@dataclass(frozen=True)
class DueDelivery:
    """A delivery that may be claimed."""

    id: str
    endpoint_id: str
    tenant_id: str


@dataclass(frozen=True)
class ClaimedDelivery:
    """A delivery that this dispatcher sends, with all that it takes: the database is not needed until the answer is there.

    Attributes:
        sealed_secrets: those that sign now, newest first.
        at: time of the claim, which is the time in the signature.
    """

    id: str
    lease_token: int
    endpoint_id: str
    tenant_id: str
    url: str
    event_id: str
    body: str
    sealed_secrets: tuple[str, ...]
    at: datetime


def find_due(
    session: Session,
    *,
    now: datetime,
    limit: int,
    per_endpoint: int,
    full_endpoints: Collection[str],
    full_tenants: Collection[str],
) -> Sequence[DueDelivery]:
    """Return deliveries that are due, one of each endpoint before the second of any, so that none waits behind a long queue."""
    place = func.row_number().over(
        partition_by=WebhookDelivery.endpoint_id, order_by=(WebhookDelivery.next_attempt_at, WebhookDelivery.id)
    )
    due = (
        select(
            WebhookDelivery.id,
            WebhookDelivery.endpoint_id,
            WebhookDelivery.tenant_id,
            WebhookDelivery.next_attempt_at,
            place.label("place"),
        )
        .join(WebhookEndpoint, WebhookEndpoint.id == WebhookDelivery.endpoint_id)
        .where(
            *_is_due(now),
            WebhookDelivery.endpoint_id.not_in(full_endpoints),
            WebhookDelivery.tenant_id.not_in(full_tenants),
        )
        .subquery()
    )
    first = (
        select(due.c.id, due.c.endpoint_id, due.c.tenant_id)
        .where(due.c.place <= per_endpoint)
        .order_by(due.c.place, due.c.next_attempt_at, due.c.id)
        .limit(limit)
    )
    return [DueDelivery(*row) for row in session.execute(first)]


def claim(session: Session, delivery_ids: Collection[str], *, now: datetime) -> list[ClaimedDelivery]:
    """Take those of ``delivery_ids`` that are still due and that no other dispatcher is taking; the caller commits."""
    query = (
        select(WebhookDelivery, WebhookEndpoint)
        .join(WebhookEndpoint, WebhookEndpoint.id == WebhookDelivery.endpoint_id)
        .where(WebhookDelivery.id.in_(delivery_ids), *_is_due(now))
        .with_for_update(of=WebhookDelivery, skip_locked=True)
    )
    claimed = []
    for delivery, endpoint in session.execute(query):
        delivery.lease_token += 1
        delivery.lease_expires_at = now + timedelta(seconds=LEASE_S)
        claimed.append(_describe(delivery, endpoint, now))
    return claimed


def _is_due(now: datetime) -> tuple[ColumnElement[bool], ...]:
    return (
        WebhookDelivery.status == DeliveryStatus.PENDING,
        WebhookDelivery.next_attempt_at <= now,
        or_(WebhookDelivery.lease_expires_at.is_(None), WebhookDelivery.lease_expires_at < now),
        WebhookEndpoint.disabled_at.is_(None),
    )


def _describe(delivery: WebhookDelivery, endpoint: WebhookEndpoint, now: datetime) -> ClaimedDelivery:
    secrets = [endpoint.secret]
    expires_at = endpoint.previous_secret_expires_at
    if endpoint.previous_secret is not None and expires_at is not None and now < expires_at:
        secrets.append(endpoint.previous_secret)
    return ClaimedDelivery(
        id=delivery.id,
        lease_token=delivery.lease_token,
        endpoint_id=delivery.endpoint_id,
        tenant_id=delivery.tenant_id,
        url=endpoint.url,
        event_id=delivery.event_id,
        body=delivery.body,
        sealed_secrets=tuple(secrets),
        at=now,
    )
