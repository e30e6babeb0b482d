"""Table of data sets."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

import app.tenants.models  # noqa: F401  whoever uses this table needs the ones its foreign keys name
from app.db import Base, JsonObject, UtcDateTime


class DatasetStatus(StrEnum):
    """Life of a data set; ``ready`` and ``invalid`` are final."""

    AWAITING_UPLOAD = "awaiting_upload"
    VALIDATING = "validating"
    READY = "ready"
    INVALID = "invalid"


class Dataset(Base):
    """A data set: what the user declared, the bytes as uploaded, and what validation found in them."""

    __tablename__ = "datasets"
    __table_args__ = (
        CheckConstraint(f"status IN ({', '.join(repr(str(s)) for s in DatasetStatus)})", name="status"),
        Index(None, "tenant_id", "id"),
    )

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenants.id"))
    name: Mapped[str] = mapped_column(String(200))
    task: Mapped[str] = mapped_column(String(64))
    format: Mapped[str] = mapped_column(String(32))
    columns: Mapped[dict[str, Any] | None] = mapped_column(JsonObject)
    options: Mapped[dict[str, Any]] = mapped_column(JsonObject)
    # "metadata" is taken by the declarative base.
    user_metadata: Mapped[dict[str, str]] = mapped_column("metadata", JsonObject)
    status: Mapped[str] = mapped_column(String(32))
    content_key: Mapped[str | None] = mapped_column(String(500), doc="Object key of the bytes as uploaded.")
    canonical_key: Mapped[str | None] = mapped_column(String(500), doc="Object key of the validated sequences (parquet).")
    size_bytes: Mapped[int | None] = mapped_column(BigInteger)
    sha256: Mapped[str | None] = mapped_column(String(64))
    content_encoding: Mapped[str | None] = mapped_column(String(16), doc="How the bytes as uploaded are compressed.")
    num_sequences: Mapped[int | None] = mapped_column(BigInteger)
    num_events: Mapped[int | None] = mapped_column(BigInteger)
    vocab_size: Mapped[int | None] = mapped_column(BigInteger)
    max_sequence_length: Mapped[int | None] = mapped_column(BigInteger)
    report: Mapped[dict[str, Any] | None] = mapped_column(JsonObject, doc="Validation report: problems, histograms.")
    preview: Mapped[list[dict[str, Any]] | None] = mapped_column(JsonObject, doc="First sequences in the user's own ids.")
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)
    # Jobs keep naming the data set they were made from, so its row stays, emptied, when it is deleted.
    deleted_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
