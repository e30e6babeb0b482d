"""Queries on tenants and keys."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy import ColumnElement, func, or_, select, update
from sqlalchemy.orm import Session

from app.clock import database_now, now_expression
from app.pagination import PageQuery, newest_first
from app.tenants.models import ApiKey, Tenant


def find_by_digest(session: Session, digests: Sequence[bytes]) -> tuple[ApiKey | None, datetime]:
    """Return the key that has one of the digests, and the time; every request asks for both, so it is one query."""
    return _find_with_time(session, ApiKey.digest == digests[0] if len(digests) == 1 else ApiKey.digest.in_(digests))


def find_by_id(session: Session, key_id: str) -> tuple[ApiKey | None, datetime]:
    """Return the key and the time, of whichever tenant: for an id that the service itself has signed."""
    return _find_with_time(session, ApiKey.id == key_id)


def _find_with_time(session: Session, condition: ColumnElement[bool]) -> tuple[ApiKey | None, datetime]:
    now = now_expression(session)
    if now is None:
        return session.scalar(select(ApiKey).where(condition)), database_now(session)
    found = session.execute(select(ApiKey, now).where(condition)).one_or_none()
    return (found[0], found[1].astimezone(UTC)) if found is not None else (None, database_now(session))


def find_key(session: Session, tenant_id: str, key_id: str) -> ApiKey | None:
    return session.scalar(select(ApiKey).where(ApiKey.tenant_id == tenant_id, ApiKey.id == key_id))


def list_keys(session: Session, tenant_id: str, page: PageQuery) -> tuple[Sequence[ApiKey], bool]:
    return newest_first(session, select(ApiKey).where(ApiKey.tenant_id == tenant_id), ApiKey.id, page)


def list_usable_keys(session: Session, tenant_id: str, at: datetime) -> Sequence[ApiKey]:
    usable = (ApiKey.revoked_at.is_(None), or_(ApiKey.expires_at.is_(None), ApiKey.expires_at > at))
    return session.scalars(select(ApiKey).where(ApiKey.tenant_id == tenant_id, *usable)).all()


def lock_tenant(session: Session, tenant_id: str) -> None:
    session.execute(select(Tenant.id).where(Tenant.id == tenant_id).with_for_update())


def has_keys(session: Session) -> bool:
    return bool(session.scalar(select(func.count()).select_from(ApiKey)))


def replace_digest(session: Session, key_id: str, digest: bytes) -> None:
    session.execute(update(ApiKey).where(ApiKey.id == key_id).values(digest=digest))


def mark_used(session: Session, key_id: str, at: datetime) -> None:
    session.execute(update(ApiKey).where(ApiKey.id == key_id).values(last_used_at=at))
