"""What a caller sends and sees of API keys."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Self

from pydantic import AwareDatetime, Field, StringConstraints

from app.schemas import InputModel, OutputModel, Timestamp
from app.tenants.models import ApiKey


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
    expires_at: AwareDatetime | None = Field(None, description="When it stops working; null: never.")


class ApiKeyUpdate(InputModel):
    """New values for a key."""

    name: KeyName = Field(description="What the key is for.")


class ApiKeyOut(OutputModel):
    """A key, without its secret."""

    id: str
    name: str
    prefix: str = Field(description="First characters, to tell keys apart.")
    scopes: list[str]
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
