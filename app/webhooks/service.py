"""The life of webhook endpoints, and what can be asked of deliveries."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from app.clock import database_now
from app.db import new_id
from app.errors import FieldProblem, ServiceError
from app.tenants.audit import AuditAction, record
from app.tenants.repository import lock_tenant
from app.webhooks import repository
from app.webhooks.announcing import add_delivery
from app.webhooks.event_types import WebhookEventType
from app.webhooks.models import DeliveryStatus, DisabledReason, WebhookDelivery, WebhookEndpoint
from app.webhooks.payloads import EndpointSnapshot, render_body
from app.webhooks.schemas import SecretRotation, WebhookEndpointCreate, WebhookEndpointUpdate
from app.webhooks.sealing import SecretBox
from app.webhooks.signing import make_secret
from app.webhooks.targets import NameNotResolvedError, TargetPolicy, TargetRefusedError

MAX_ENDPOINTS = 50
RESOLVE_WITHIN_S = 3.0


def check_url(policy: TargetPolicy, url: str) -> None:
    """Refuse a URL that nothing would be sent to; the same is checked at every attempt, since a name's addresses change.

    A name that has no address yet passes: what a receiver will be called may be known before it is there.
    """
    try:
        target = policy.parse(url)
        policy.addresses_of(target.host, target.port, within_s=RESOLVE_WITHIN_S)
    except NameNotResolvedError:
        return
    except TargetRefusedError as error:
        problem = FieldProblem("/url", str(error))
        raise ServiceError("webhook_url_refused", f"/url: {error}", problems=(problem,)) from None


def create_endpoint(
    session: Session, tenant_id: str, body: WebhookEndpointCreate, box: SecretBox
) -> tuple[WebhookEndpoint, str]:
    """Make an endpoint; returns its row and its secret. The URL has been checked."""
    lock_tenant(session, tenant_id)
    if repository.count_endpoints(session, tenant_id) >= MAX_ENDPOINTS:
        raise ServiceError("too_many_webhook_endpoints", f"There are {MAX_ENDPOINTS} endpoints, the most there may be.")
    now = database_now(session)
    endpoint_id, secret = new_id("whe"), make_secret()
    row = WebhookEndpoint(
        id=endpoint_id,
        tenant_id=tenant_id,
        url=body.url,
        description=body.description,
        event_types=body.event_types,
        secret=box.seal(endpoint_id, secret),
        created_at=now,
        updated_at=now,
    )
    session.add(row)
    session.flush()
    record(session, tenant_id, AuditAction.WEBHOOK_ENDPOINT_CREATED, row.id, url=row.url)
    return row, secret


def get_endpoint(session: Session, tenant_id: str, endpoint_id: str, *, lock: bool = False) -> WebhookEndpoint:
    row = repository.find_endpoint(session, tenant_id, endpoint_id, lock=lock)
    if row is None:
        raise ServiceError("webhook_endpoint_not_found", "There is no webhook endpoint of this id.")
    return row


def update_endpoint(session: Session, tenant_id: str, endpoint_id: str, body: WebhookEndpointUpdate) -> WebhookEndpoint:
    """Change what was sent. An endpoint that is enabled starts afresh: its failures are forgotten, what waited goes on."""
    row = get_endpoint(session, tenant_id, endpoint_id, lock=True)
    now = database_now(session)
    changes = body.model_dump(exclude_unset=True)
    enabled = changes.pop("enabled", None)
    for name, value in changes.items():
        setattr(row, name, value)
    if enabled is True:
        row.disabled_at = row.disabled_reason = row.failing_since = None
    elif enabled is False and row.disabled_at is None:
        disable(row, DisabledReason.REQUESTED, at=now)
    row.updated_at = now
    record(session, tenant_id, AuditAction.WEBHOOK_ENDPOINT_CHANGED, row.id, fields=sorted(body.model_fields_set))
    return row


def disable(row: WebhookEndpoint, reason: DisabledReason, *, at: datetime) -> None:
    """Send nothing more; deliveries that wait keep waiting."""
    row.disabled_at, row.disabled_reason, row.updated_at = at, reason, at


def delete_endpoint(session: Session, tenant_id: str, endpoint_id: str) -> None:
    """Delete an endpoint with its deliveries."""
    row = get_endpoint(session, tenant_id, endpoint_id, lock=True)
    session.delete(row)
    record(session, tenant_id, AuditAction.WEBHOOK_ENDPOINT_DELETED, row.id, url=row.url)


def rotate_secret(
    session: Session, tenant_id: str, endpoint_id: str, body: SecretRotation, box: SecretBox
) -> tuple[WebhookEndpoint, str]:
    """Make a new secret; the old one signs beside it for a while, so that a receiver can change over without a gap."""
    row = get_endpoint(session, tenant_id, endpoint_id, lock=True)
    now, secret = database_now(session), make_secret()
    row.previous_secret, row.previous_secret_expires_at = None, None
    if body.overlap_s:
        row.previous_secret, row.previous_secret_expires_at = row.secret, now + timedelta(seconds=body.overlap_s)
    row.secret = box.seal(row.id, secret)
    row.updated_at = now
    record(session, tenant_id, AuditAction.WEBHOOK_SECRET_ROTATED, row.id, overlap_s=body.overlap_s)
    return row, secret


def test_endpoint(session: Session, tenant_id: str, endpoint_id: str) -> WebhookDelivery:
    """Queue an event of type ``webhook.test``, which is tried once."""
    row = get_endpoint(session, tenant_id, endpoint_id, lock=True)
    _check_enabled(row)
    now = database_now(session)
    body = render_body(WebhookEventType.WEBHOOK_TEST, EndpointSnapshot(id=row.id), at=now)
    delivery = add_delivery(session, row, new_id("evt"), WebhookEventType.WEBHOOK_TEST, body, at=now)
    session.flush()
    return delivery


def get_delivery(session: Session, tenant_id: str, delivery_id: str, *, lock: bool = False) -> WebhookDelivery:
    row = repository.find_delivery(session, tenant_id, delivery_id, lock=lock)
    if row is None:
        raise ServiceError("delivery_not_found", "There is no delivery of this id.")
    return row


def replay_delivery(session: Session, tenant_id: str, delivery_id: str) -> WebhookDelivery:
    """Send an event again, with the id it had: now if it waits for another attempt, else as a new delivery."""
    # The endpoint first: whoever deletes it, or writes down an attempt, locks in the same order.
    endpoint_id = get_delivery(session, tenant_id, delivery_id).endpoint_id
    endpoint = get_endpoint(session, tenant_id, endpoint_id, lock=True)
    old = get_delivery(session, tenant_id, delivery_id, lock=True)
    _check_enabled(endpoint)
    now = database_now(session)
    if old.status == DeliveryStatus.PENDING:
        old.next_attempt_at = now
        return old
    delivery = add_delivery(session, endpoint, old.event_id, old.event_type, old.body, at=now)
    delivery.replay_of = old.id
    session.flush()
    return delivery


def _check_enabled(endpoint: WebhookEndpoint) -> None:
    if endpoint.disabled_at is not None:
        raise ServiceError(
            "webhook_endpoint_disabled",
            f"The endpoint is disabled ({endpoint.disabled_reason}); PATCH it with 'enabled': true first.",
        )
