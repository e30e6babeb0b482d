"""What a caller sends and sees of API keys, usage and the audit trail."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import Field, StringConstraints

from app.schemas import InputModel, InputTime, OutputModel, Timestamp
from app.tenants.audit import AuditAction
from app.tenants.models import ApiKey, AuditEvent


class Scope(StrEnum):
    """What a key may do; ``admin`` may do everything, keys included."""

    DATASETS_READ = "datasets:read"
    DATASETS_WRITE = "datasets:write"
    JOBS_READ = "jobs:read"
    JOBS_WRITE = "jobs:write"
    ADMIN = "admin"


KeyName = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]


class ApiKeyCreate(InputModel):
    """A key to be made."""

    name: KeyName = Field(description="What the key is for.")
    scopes: list[Scope] = Field(min_length=1, max_length=len(Scope), description="What it may do.")
    expires_at: InputTime | None = Field(None, description="When it stops working; null: never.")


class ApiKeyUpdate(InputModel):
    """New values for a key."""

    name: KeyName = Field(description="What the key is for.")


class ApiKeyOut(OutputModel):
    """A key, without its secret."""

    id: str
    name: str
    prefix: str = Field(description="First characters, to tell keys apart.")
    scopes: list[Scope]
    created_at: Timestamp
    expires_at: Timestamp | None
    revoked_at: Timestamp | None
    last_used_at: Timestamp | None = Field(description="Accurate to five minutes.")

    @classmethod
    def of(cls, row: ApiKey) -> Self:
        return cls.model_validate(row)


class NewApiKeyOut(ApiKeyOut):
    """A key that was just made: the only answer that has the secret."""

    key: str | None = Field(None, description="The key itself; null in a replayed answer, because it is not stored.")


class QuotasOut(OutputModel):
    """Limits of the tenant; null: no limit."""

    stored_bytes: int | None
    datasets: int | None
    active_jobs: int | None
    gpu_seconds_per_month: int | None
    cpu_seconds_per_month: int | None


class UsageOut(OutputModel):
    """What the tenant uses, summed at the time of the request."""

    stored_bytes: int = Field(description="Bytes of uploads and of artifacts.")
    reserved_bytes: int = Field(
        description="Bytes that results of jobs which are not over are expected to have; the quota counts them too."
    )
    datasets: int
    active_jobs: int = Field(description="Jobs that are not over.")
    jobs_by_status: dict[str, int]
    run_seconds_by_day: dict[str, dict[str, float]] = Field(
        description="Seconds that runs took, by day (UTC, the last 31) and queue; validations count for queue cpu."
    )
    run_seconds_by_month: dict[str, dict[str, float]] = Field(description="The same for this month and the one before.")
    limits: QuotasOut
    at: Timestamp


class AuditEventOut(OutputModel):
    """An administrative act."""

    id: str
    action: AuditAction
    target_id: str = Field(description="Id of what was acted on.")
    actor_key_id: str | None = Field(description="Key of the caller; null: the operator, at a command line.")
    request_id: str | None
    data: dict[str, Any]
    at: Timestamp

    @classmethod
    def of(cls, row: AuditEvent) -> Self:
        return cls.model_validate(row)
