"""Tables of uploads in parts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, Integer, String
from sqlalchemy.orm import Mapped, mapped_column

import app.datasets.models  # noqa: F401  whoever uses this table needs the ones its foreign keys name
from app.db import Base, JsonObject, UtcDateTime


class UploadStatus(StrEnum):
    """Life of an upload; only ``open`` and ``completing`` lead further."""

    OPEN = "open"
    COMPLETING = "completing"
    COMPLETED = "completed"
    FAILED = "failed"
    ABORTED = "aborted"
    EXPIRED = "expired"


UNDER_WAY = (UploadStatus.OPEN, UploadStatus.COMPLETING)


class Upload(Base):
    """A file on its way into a data set. Which parts have arrived is for the object store to say."""

    __tablename__ = "uploads"
    __table_args__ = (
        CheckConstraint(f"status IN ({', '.join(repr(str(s)) for s in UploadStatus)})", name="status"),
        Index(None, "dataset_id", "id"),
        Index(None, "status", "expires_at"),
    )

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenants.id"))
    dataset_id: Mapped[str] = mapped_column(ForeignKey("datasets.id"))
    status: Mapped[str] = mapped_column(String(32))
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str] = mapped_column(String(64), doc="Of the whole file, as the client says it will be.")
    part_size_bytes: Mapped[int] = mapped_column(BigInteger)
    part_sha256s: Mapped[list[str] | None] = mapped_column(JsonObject, doc="Of each part, where the client said them.")
    content_key: Mapped[str] = mapped_column(String(500), doc="Object key of the file when it is complete.")
    store_id: Mapped[str | None] = mapped_column(String(1000), doc="The store's name for it; null: it holds nothing any more.")
    claim: Mapped[str | None] = mapped_column(String(64), doc="Who completes it now, until claimed_until.")
    claimed_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    error_code: Mapped[str | None] = mapped_column(String(64), doc="Why it failed.")
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)

    @property
    def num_parts(self) -> int:
        return -(-self.size_bytes // self.part_size_bytes)

    def offset_of(self, number: int) -> int:
        """Return where part ``number``, counted from 1, begins in the file."""
        return (number - 1) * self.part_size_bytes

    def size_of(self, number: int) -> int:
        """Return how many bytes part ``number`` has; the last one may have fewer than the others."""
        return min(self.part_size_bytes, self.size_bytes - self.offset_of(number))


@dataclass(frozen=True)
class UploadAddress:
    """Where a caller looks for an upload: his tenant, and two ids that need not fit it or each other."""

    tenant_id: str
    dataset_id: str
    upload_id: str


class UploadPart(Base):
    """What the API saw of a part that went through it; holds as long as the store's part has this etag."""

    __tablename__ = "upload_parts"

    upload_id: Mapped[str] = mapped_column(ForeignKey("uploads.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    sha256: Mapped[str] = mapped_column(String(64))
    etag: Mapped[str] = mapped_column(String(200))
