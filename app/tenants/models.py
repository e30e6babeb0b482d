"""Tables of tenants, API keys and the audit trail."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base, JsonObject, UtcDateTime


class Tenant(Base):
    """A team: the owner of data sets, jobs and keys."""

    __tablename__ = "tenants"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    name: Mapped[str] = mapped_column(String(200))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    # Overrides of the settings' quotas; null: the setting holds.
    quota_stored_bytes: Mapped[int | None] = mapped_column(BigInteger)
    quota_datasets: Mapped[int | None] = mapped_column(BigInteger)
    quota_active_jobs: Mapped[int | None] = mapped_column(BigInteger)
    quota_gpu_seconds_per_month: Mapped[int | None] = mapped_column(BigInteger)
    quota_cpu_seconds_per_month: Mapped[int | None] = mapped_column(BigInteger)


class ApiKey(Base):
    """A bearer key; only its HMAC is kept, so a copy of the database opens nothing."""

    __tablename__ = "api_keys"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenants.id"), index=True)
    name: Mapped[str] = mapped_column(String(200))
    prefix: Mapped[str] = mapped_column(String(16))
    digest: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True)
    scopes: Mapped[list[str]] = mapped_column(JsonObject)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    revoked_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    last_used_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class AuditEvent(Base):
    """An administrative act; rows are only ever added, and the database refuses to change or delete one."""

    __tablename__ = "audit_events"
    __table_args__ = (Index(None, "tenant_id", "id"),)

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenants.id"))
    action: Mapped[str] = mapped_column(String(64))
    target_id: Mapped[str] = mapped_column(String(64), doc="Id of what was acted on.")
    actor_key_id: Mapped[str | None] = mapped_column(
        String(64), doc="Key of the caller; null: the operator, at a command line."
    )
    request_id: Mapped[str | None] = mapped_column(String(128))
    data: Mapped[dict[str, Any]] = mapped_column(JsonObject)
    at: Mapped[datetime] = mapped_column(UtcDateTime)
