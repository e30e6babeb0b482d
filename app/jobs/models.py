"""Tables of jobs and what belongs to them: runs, events, metrics, artifacts, the published manifest, outbox, idempotency."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, Float, ForeignKey, Index, Integer, String, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

import app.datasets.models  # noqa: F401  whoever uses this table needs the ones its foreign keys name
from app.db import Base, JsonObject, UtcDateTime
from app.jobs.states import JobKind, JobStatus


def _one_of(column: str, values: type[JobKind] | type[JobStatus]) -> str:
    return f"{column} IN ({', '.join(repr(str(value)) for value in values)})"


# What callers see: lists read these rows alone, so their indexes hold no others.
LISTED = text("kind <> 'validation' AND deleted_at IS NULL")
_KEPT = text("checkpoint_key IS NOT NULL")
_UNSWEPT = text("swept_at IS NULL")
_OPEN = text("ended_at IS NULL")
_WAITING = text("status = 'queued'")
# What a row says of itself has to agree, whoever writes it. On SQLite these are triggers: migration 0008.
_LEASED = "status IN ('running', 'cancelling')"
_OVER = "status IN ('succeeded', 'failed', 'cancelled')"


def _list_index(*columns: str) -> Index:
    return Index(f"ix_jobs_{'_'.join(columns)}", *columns, postgresql_where=LISTED, sqlite_where=LISTED)


class Job(Base):
    """A job, with its lease: whoever holds ``lease_token`` may write, until ``lease_expires_at`` (database clock)."""

    __tablename__ = "jobs"
    __table_args__ = (
        CheckConstraint(_one_of("status", JobStatus), name="status"),
        CheckConstraint(_one_of("kind", JobKind), name="kind"),
        CheckConstraint(f"(lease_expires_at IS NOT NULL) = ({_LEASED})", name="lease"),
        CheckConstraint(f"stop_requested IS NULL OR {_LEASED}", name="stop"),
        CheckConstraint(f"(ended_at IS NOT NULL) = ({_OVER})", name="end"),
        _list_index("tenant_id", "id"),
        _list_index("tenant_id", "status", "id"),
        _list_index("tenant_id", "kind", "id"),
        _list_index("tenant_id", "dataset_id", "id"),
        Index("ix_jobs_checkpoint_kept", "ended_at", postgresql_where=_KEPT, sqlite_where=_KEPT),
        Index(None, "status", "queue", "id"),
        Index("ix_jobs_waiting", "queue", "tenant_id", "id", postgresql_where=_WAITING, sqlite_where=_WAITING),
    )

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenants.id"))
    kind: Mapped[str] = mapped_column(String(32))
    queue: Mapped[str] = mapped_column(String(16))
    dataset_id: Mapped[str] = mapped_column(ForeignKey("datasets.id"), index=True)
    source_job_id: Mapped[str | None] = mapped_column(String(64), index=True, doc="The distillation that an evaluation judges.")
    spec: Mapped[dict[str, Any]] = mapped_column(JsonObject, doc="With every default resolved; {} for a validation.")
    user_metadata: Mapped[dict[str, str]] = mapped_column("metadata", JsonObject)
    status: Mapped[str] = mapped_column(String(32))
    stop_requested: Mapped[str | None] = mapped_column(String(16), doc="A StopRequest the supervisor has not carried out yet.")
    deadline_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    deadline_s: Mapped[float | None] = mapped_column(Float)
    reserved_bytes: Mapped[int] = mapped_column(
        BigInteger, default=0, server_default="0", doc="What its result is expected to have; counts while the job is not over."
    )
    available_at: Mapped[datetime | None] = mapped_column(UtcDateTime, doc="A retry after a failure is not claimed before.")
    lease_token: Mapped[int] = mapped_column(BigInteger, default=0)
    lease_expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    num_lost_runs: Mapped[int] = mapped_column(Integer, default=0)
    progress_step: Mapped[int] = mapped_column(BigInteger, default=0)
    progress_total: Mapped[int] = mapped_column(BigInteger, default=0)
    progress_eta_s: Mapped[float | None] = mapped_column(Float)
    phase: Mapped[str | None] = mapped_column(String(64))
    metrics: Mapped[dict[str, float]] = mapped_column(
        JsonObject, default=dict, server_default=text("'{}'"), doc="Newest value of each series, then the headline figures."
    )
    batch_divisor: Mapped[int] = mapped_column(
        Integer, default=1, server_default="1", doc="What batches are divided by, after a run that went out of memory."
    )
    error_code: Mapped[str | None] = mapped_column(String(64))
    error_message: Mapped[str | None] = mapped_column(Text)
    error_retryable: Mapped[bool | None]
    checkpoint_key: Mapped[str | None] = mapped_column(String(500), doc="Object key of the newest checkpoint.")
    previous_checkpoint_key: Mapped[str | None] = mapped_column(String(500), doc="The one before, for a corrupt newest.")
    next_event_seq: Mapped[int] = mapped_column(BigInteger, default=1)
    last_enqueued_at: Mapped[datetime | None] = mapped_column(UtcDateTime, doc="When the broker was last told.")
    request_id: Mapped[str | None] = mapped_column(String(128), doc="Id of the request that made the job.")
    traceparent: Mapped[str | None] = mapped_column(String(64), doc="W3C trace context of that request.")
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)
    started_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    deleted_at: Mapped[datetime | None] = mapped_column(UtcDateTime, doc="Nobody sees it any more; what it took stays counted.")


class JobLabel(Base):
    """A label of a job once more, where an index finds it.

    Row-level security lets no index on the JSON be used, because its operators may tell of rows that the tenant must not see.
    """

    __tablename__ = "job_labels"

    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenants.id"), primary_key=True)
    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    value: Mapped[str] = mapped_column(String(500), primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True, index=True)


class Run(Base):
    """One attempt at a job; its number is the lease token it holds. Of a job's runs at most one is open."""

    __tablename__ = "runs"
    __table_args__ = (
        UniqueConstraint("job_id", "number"),
        CheckConstraint("(ended_at IS NULL) = (outcome IS NULL)", name="end"),
        Index("uq_runs_open", "job_id", unique=True, postgresql_where=_OPEN, sqlite_where=_OPEN),
        Index("ix_runs_unswept", "ended_at", postgresql_where=_UNSWEPT, sqlite_where=_UNSWEPT),
    )

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    number: Mapped[int] = mapped_column(BigInteger)
    worker: Mapped[str] = mapped_column(String(200))
    started_at: Mapped[datetime] = mapped_column(UtcDateTime)
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    outcome: Mapped[str | None] = mapped_column(String(32))
    swept_at: Mapped[datetime | None] = mapped_column(UtcDateTime, doc="When objects that nobody needs of it were removed.")


class JobEvent(Base):
    """Something that happened to a job; ``seq`` is dense from 1."""

    __tablename__ = "job_events"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    seq: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    type: Mapped[str] = mapped_column(String(64))
    data: Mapped[dict[str, Any]] = mapped_column(JsonObject)
    at: Mapped[datetime] = mapped_column(UtcDateTime)


class JobMetric(Base):
    """One value of a series. A resumed run writes the same steps again with the same numbers, so the key makes it harmless."""

    __tablename__ = "job_metrics"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    step: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    value: Mapped[float] = mapped_column(Float)
    at: Mapped[datetime] = mapped_column(UtcDateTime)


class Manifest(Base):
    """The published result of a job. The primary key is the promise that it is published once."""

    __tablename__ = "manifests"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    lease_token: Mapped[int] = mapped_column(BigInteger)
    content: Mapped[dict[str, Any]] = mapped_column(JsonObject)
    published_at: Mapped[datetime] = mapped_column(UtcDateTime)


class Artifact(Base):
    """One file of a published result."""

    __tablename__ = "artifacts"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    name: Mapped[str] = mapped_column(String(200), primary_key=True)
    media_type: Mapped[str] = mapped_column(String(100))
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str] = mapped_column(String(64))
    object_key: Mapped[str] = mapped_column(String(500))


class CalibrationRow(Base):
    """How fast a machine is, as its worker measured it: what estimates are made with."""

    __tablename__ = "calibrations"

    machine: Mapped[str] = mapped_column(String(200), primary_key=True)
    host: Mapped[str] = mapped_column(String(255), doc="Where it was measured: a worker there need not do it again.")
    coefficients: Mapped[dict[str, Any]] = mapped_column(JsonObject)
    measured_at: Mapped[datetime] = mapped_column(UtcDateTime)


class EstimateOutcome(Base):
    """What was predicted of a job that was done in one run, without corrections, and what it took."""

    __tablename__ = "estimate_outcomes"
    __table_args__ = (Index(None, "machine", "kind", "at"),)

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    machine: Mapped[str] = mapped_column(String(200))
    kind: Mapped[str] = mapped_column(String(32))
    predicted_seconds: Mapped[float] = mapped_column(Float)
    actual_seconds: Mapped[float] = mapped_column(Float)
    predicted_memory_bytes: Mapped[int] = mapped_column(BigInteger)
    actual_memory_bytes: Mapped[int] = mapped_column(BigInteger)
    predicted_output_bytes: Mapped[int] = mapped_column(BigInteger)
    actual_output_bytes: Mapped[int] = mapped_column(BigInteger)
    at: Mapped[datetime] = mapped_column(UtcDateTime)


class OutboxMessage(Base):
    """A message the broker has to be told after the commit; deleted once it was."""

    __tablename__ = "outbox"

    id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), index=True)
    queue: Mapped[str] = mapped_column(String(16))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class IdempotencyRecord(Base):
    """The successful answer to a POST with an ``Idempotency-Key``, written in the transaction that makes it true.

    There is no other state: a request that is being carried out is known by a lock, and one that failed has changed nothing.
    """

    __tablename__ = "idempotency_keys"
    __table_args__ = (CheckConstraint("response_status BETWEEN 200 AND 299", name="success"),)

    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenants.id"), primary_key=True)
    key: Mapped[str] = mapped_column(String(255), primary_key=True)
    fingerprint: Mapped[str] = mapped_column(String(64), doc="SHA-256 of method, path and body.")
    response_status: Mapped[int] = mapped_column(Integer)
    response_headers: Mapped[dict[str, str]] = mapped_column(JsonObject)
    response_body: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
