"""Queries on uploads; those that start from an id of the caller's name the tenant."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import and_, func, or_, select, update
from sqlalchemy.orm import Session

from app.pagination import PageQuery, newest_first
from app.uploads.models import UNDER_WAY, Upload, UploadAddress, UploadPart, UploadStatus


def find_upload(session: Session, address: UploadAddress, *, lock: bool = False) -> Upload | None:
    query = select(Upload).where(Upload.tenant_id == address.tenant_id, Upload.dataset_id == address.dataset_id)
    query = query.where(Upload.id == address.upload_id)
    return session.scalar(query.with_for_update() if lock else query)


def list_uploads(session: Session, tenant_id: str, dataset_id: str, page: PageQuery) -> tuple[Sequence[Upload], bool]:
    query = select(Upload).where(Upload.tenant_id == tenant_id, Upload.dataset_id == dataset_id)
    return newest_first(session, query, Upload.id, page)


def count_under_way(session: Session, dataset_id: str, at: datetime) -> int:
    query = select(func.count()).select_from(Upload).where(Upload.dataset_id == dataset_id, Upload.expires_at > at)
    return session.scalar(query.where(Upload.status.in_(UNDER_WAY))) or 0


def recorded_parts(session: Session, upload_id: str) -> dict[int, UploadPart]:
    """Return what the API saw of the parts that went through it, by their number."""
    rows = session.scalars(select(UploadPart).where(UploadPart.upload_id == upload_id))
    return {row.number: row for row in rows}


def renew_claim(session: Session, upload_id: str, claim: str, until: datetime) -> bool:
    """Whether the claim still held."""
    held = update(Upload).where(Upload.id == upload_id, Upload.claim == claim, Upload.status == UploadStatus.COMPLETING)
    return bool(session.execute(held.values(claimed_until=until)).rowcount)  # type: ignore[attr-defined]


def expire(session: Session, at: datetime) -> int:
    """End the uploads whose time is over, but for those that are being completed now; return how many there were."""
    idle = or_(Upload.status == UploadStatus.OPEN, and_(Upload.status == UploadStatus.COMPLETING, Upload.claimed_until < at))
    ended = update(Upload).where(idle, Upload.expires_at <= at).values(status=UploadStatus.EXPIRED, claim=None, updated_at=at)
    return int(session.execute(ended).rowcount)  # type: ignore[attr-defined]


def abandon(session: Session, dataset_id: str, at: datetime) -> None:
    """End every upload into a data set that is deleted."""
    under_way = update(Upload).where(Upload.dataset_id == dataset_id, Upload.status.in_(UNDER_WAY))
    session.execute(under_way.values(status=UploadStatus.ABORTED, claim=None, updated_at=at))


def list_unreleased(session: Session, limit: int, dataset_id: str | None = None) -> Sequence[Upload]:
    """Return uploads that are over and whose parts the store may still hold."""
    query = select(Upload).where(Upload.status.not_in(UNDER_WAY), Upload.store_id.is_not(None))
    if dataset_id is not None:
        query = query.where(Upload.dataset_id == dataset_id)
    return session.scalars(query.order_by(Upload.id).limit(limit)).all()


def mark_released(session: Session, upload_id: str) -> None:
    session.execute(update(Upload).where(Upload.id == upload_id).values(store_id=None))


def is_under_way(session: Session, key: str, store_id: str) -> bool:
    """Whether an upload that may still be completed holds these parts."""
    query = select(Upload.id).where(Upload.content_key == key, Upload.store_id == store_id, Upload.status.in_(UNDER_WAY))
    return session.scalar(query) is not None
