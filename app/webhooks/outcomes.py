"""What an attempt changes: the delivery's log and next attempt, and whether its endpoint is given up."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from app.webhooks.claiming import ClaimedDelivery
from app.webhooks.event_types import WebhookEventType
from app.webhooks.models import DeliveryStatus, DisabledReason, WebhookAttempt, WebhookDelivery, WebhookEndpoint
from app.webhooks.schedule import MAX_ATTEMPTS, read_retry_after, wait_s
from app.webhooks.sender import AttemptResult
from app.webhooks.service import disable

GONE = 410
GIVEN_UP_AFTER = timedelta(days=5)
KEPT_FOR = timedelta(days=30)


def conclude(session: Session, claimed: ClaimedDelivery, result: AttemptResult, *, now: datetime, spread: float) -> bool:
    """Write down one attempt; return whether it still was this dispatcher's to write.

    Args:
        session: of a transaction that the caller commits.
        claimed: what was sent.
        result: what came of it.
        now: when it was over.
        spread: from -1 to 1, drawn at random; see ``wait_s``.
    """
    # The endpoint first: whoever deletes it locks in the same order.
    endpoint = session.get(WebhookEndpoint, claimed.endpoint_id, with_for_update={"key_share": True}, populate_existing=True)
    owned = select(WebhookDelivery).where(WebhookDelivery.id == claimed.id, WebhookDelivery.lease_token == claimed.lease_token)
    delivery = session.scalar(owned.with_for_update().execution_options(populate_existing=True))
    if endpoint is None or delivery is None or delivery.status != DeliveryStatus.PENDING:
        return False
    delivery.num_attempts += 1
    delivery.lease_expires_at = None
    session.add(_attempt(delivery, claimed, result))
    if result.error is None:
        endpoint.failing_since = None
        _end(delivery, DeliveryStatus.SUCCEEDED, now)
    else:
        _judge_endpoint(endpoint, result, now)
        _plan_next(delivery, result, now, spread)
    return True


def prune(session: Session, *, now: datetime) -> None:
    """Forget deliveries that are long over; the last attempt at one comes well before."""
    session.execute(delete(WebhookDelivery).where(WebhookDelivery.created_at < now - KEPT_FOR))


def _attempt(delivery: WebhookDelivery, claimed: ClaimedDelivery, result: AttemptResult) -> WebhookAttempt:
    return WebhookAttempt(
        delivery_id=delivery.id,
        number=delivery.num_attempts,
        at=claimed.at,
        duration_s=result.duration_s,
        response_status=result.status,
        response_body=result.response_body,
        error_code=None if result.error is None else result.error.code,
        error_message=None if result.error is None else result.error.message,
    )


def _judge_endpoint(endpoint: WebhookEndpoint, result: AttemptResult, now: datetime) -> None:
    endpoint.failing_since = endpoint.failing_since or now
    if endpoint.disabled_at is not None:
        return
    if result.status == GONE:
        disable(endpoint, DisabledReason.GONE, at=now)
    elif now - endpoint.failing_since >= GIVEN_UP_AFTER:
        disable(endpoint, DisabledReason.FAILING, at=now)


def _plan_next(delivery: WebhookDelivery, result: AttemptResult, now: datetime, spread: float) -> None:
    max_attempts = 1 if delivery.event_type == WebhookEventType.WEBHOOK_TEST else MAX_ATTEMPTS
    if delivery.num_attempts >= max_attempts:
        _end(delivery, DeliveryStatus.FAILED, now)
        return
    asked_s = read_retry_after(result.retry_after, now=now)
    delivery.next_attempt_at = now + timedelta(seconds=wait_s(delivery.num_attempts, asked_s, spread))


def _end(delivery: WebhookDelivery, status: DeliveryStatus, now: datetime) -> None:
    delivery.status, delivery.ended_at, delivery.next_attempt_at = status, now, None
