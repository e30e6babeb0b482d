"""Bases of what goes in and out over HTTP."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Any, Generic, TypeVar

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    StringConstraints,
    WithJsonSchema,
)

from farzi_core.json_types import JsonTypedModel

T = TypeVar("T")
_TIME_TEXT = re.compile(r"\d{4}-\d{2}-\d{2}[Tt ]")

MetadataKey = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[^\[\]]+$")]
MetadataValue = Annotated[str, StringConstraints(max_length=500)]
MAX_LABELS = 50
# pydantic says what a key that fits may have as its value, but not that there are no other keys.
NO_OTHER_KEYS: dict[str, Any] = {"additionalProperties": False}
Metadata = Annotated[
    dict[MetadataKey, MetadataValue],
    Field(
        max_length=MAX_LABELS,
        description="The caller's own labels; lists of jobs can be filtered by them.",
        json_schema_extra=NO_OTHER_KEYS,
    ),
]


def _format_time(value: datetime) -> str:
    return value.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


Timestamp = Annotated[
    datetime,
    PlainSerializer(_format_time, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time"}, mode="serialization"),
]


def _require_time_text(value: Any) -> Any:
    """Refuse numbers, which pydantic would take for seconds or milliseconds since 1970, whichever looks likelier."""
    if isinstance(value, datetime) or (isinstance(value, str) and _TIME_TEXT.match(value)):
        return value
    raise ValueError("not a time; give one of RFC 3339 such as 2026-01-31T12:00:00Z")


def _in_utc(value: datetime) -> datetime:
    """Return the same moment in UTC; one that its offset puts outside of the years 1 to 9999 becomes the nearest inside."""
    try:
        return value.astimezone(UTC)
    except OverflowError:
        return datetime(1, 1, 1, tzinfo=UTC) if value.year == 1 else datetime(9999, 12, 31, 23, 59, 59, 999999, UTC)


InputTime = Annotated[AwareDatetime, BeforeValidator(_require_time_text), AfterValidator(_in_utc)]


class InputModel(JsonTypedModel):
    """What a caller sends: closed to unknown fields, and to values of another JSON type."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class OutputModel(BaseModel):
    """What a caller sees; built from rows by attribute."""

    model_config = ConfigDict(from_attributes=True, frozen=True)


class Page(OutputModel, Generic[T]):
    """One page of a list."""

    data: list[T]
    has_more: bool
    next_cursor: str | None = Field(description="Give it as `cursor` to get the next page.")


class BadField(BaseModel):
    """One thing that is wrong with a request."""

    pointer: str = Field(description="JSON pointer into the body; below `/query`, `/path` or `/header` for the rest.")
    detail: str


class Problem(BaseModel):
    """An error, as RFC 9457 describes it; some codes add members of their own."""

    type: str = Field(description="`urn:farzi:error:` and the code.")
    title: str = Field(description="The same words for every error of this code.")
    status: int
    detail: str = Field(description="For people: what was given, what is allowed, what to change. It may change.")
    code: str = Field(description="Branch on this; docs/errors.md says what to do about each.")
    request_id: str = Field(description="Also in the header X-Request-Id and in the service's log.")
    retryable: bool = Field(description="Whether the same request may succeed later.")
    errors: list[BadField] = Field(default_factory=list, description="Bad fields; left out where there are none.")
