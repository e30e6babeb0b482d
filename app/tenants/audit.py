"""The audit trail: who did which administrative act, written in the transaction of the act."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.clock import database_now
from app.db import new_id
from app.pagination import PageQuery, newest_first
from app.request_context import current_request
from app.tenants.models import AuditEvent


class AuditAction(StrEnum):
    """Every act that is recorded."""

    TENANT_CREATED = "tenant.created"
    QUOTA_CHANGED = "quota.changed"
    API_KEY_CREATED = "api_key.created"
    API_KEY_RENAMED = "api_key.renamed"
    API_KEY_REVOKED = "api_key.revoked"
    WEBHOOK_ENDPOINT_CREATED = "webhook_endpoint.created"
    WEBHOOK_ENDPOINT_CHANGED = "webhook_endpoint.changed"
    WEBHOOK_ENDPOINT_DELETED = "webhook_endpoint.deleted"
    WEBHOOK_SECRET_ROTATED = "webhook_endpoint.secret_rotated"  # noqa: S105  the name of an act


def record(session: Session, tenant_id: str, action: AuditAction, target_id: str, **data: Any) -> None:
    """Add one event; the caller's key and the request are those of the request at hand."""
    request = current_request()
    session.add(
        AuditEvent(
            id=new_id("audit"),
            tenant_id=tenant_id,
            action=action,
            target_id=target_id,
            actor_key_id=request.key_id,
            request_id=request.request_id,
            data=data,
            at=database_now(session),
        )
    )


def list_events(session: Session, tenant_id: str, page: PageQuery) -> tuple[Sequence[AuditEvent], bool]:
    return newest_first(session, select(AuditEvent).where(AuditEvent.tenant_id == tenant_id), AuditEvent.id, page)
