"""What a caller sends and sees of webhook endpoints and deliveries."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import Field, StrictBool, StringConstraints, field_validator
from pydantic.json_schema import SkipJsonSchema

from app.pagination import PageQuery
from app.schemas import InputModel, OutputModel, Timestamp
from app.webhooks.event_types import WebhookEventType
from app.webhooks.models import DeliveryStatus, DisabledReason, WebhookAttempt, WebhookDelivery, WebhookEndpoint

DAY_S = 24 * 3600
# Of the description only: `app.webhooks.targets` takes URLs apart, and says better what is wrong with one.
_LABEL = "[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_PORT = (
    "443|102[4-9]|10[3-9][0-9]|1[1-9][0-9]{2}|[2-9][0-9]{3}"
    "|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]"
)
URL_FORM = rf"^https://({_LABEL}\.)+[A-Za-z]{{2,63}}(:({_PORT}))?([/?]([A-Za-z0-9/?._~!$&'()*+,;=:@-]|%[0-9A-F]{{2}})*)?$"

Url = Annotated[
    str,
    Field(
        description="Where to send events: https, a name that the whole internet can reach, port 443 or from 1024 on. A public "
        "address in the place of the name is taken as well.",
        examples=["https://hooks.example.com/farzi"],
        json_schema_extra={"format": "uri", "pattern": URL_FORM},
    ),
    StringConstraints(strip_whitespace=True, min_length=1, max_length=2000),
]
Description = Annotated[str, StringConstraints(max_length=500)]
SubscribedTypes = Annotated[
    list[WebhookEventType] | None,
    Field(min_length=1, max_length=len(WebhookEventType), description="Which events to send; null: all, new types included."),
]


def _without_repeats(types: list[WebhookEventType] | None) -> list[WebhookEventType] | None:
    return None if types is None else list(dict.fromkeys(types))


class WebhookEndpointCreate(InputModel):
    """An endpoint to be made."""

    url: Url
    event_types: SubscribedTypes = None
    description: Description = ""

    _no_repeats = field_validator("event_types")(_without_repeats)


class WebhookEndpointUpdate(InputModel):
    """New values for an endpoint; what is left out stays."""

    url: Url | SkipJsonSchema[None] = None
    event_types: SubscribedTypes = None
    description: Description | SkipJsonSchema[None] = None
    enabled: StrictBool | SkipJsonSchema[None] = Field(
        None, description="false stops deliveries; true lets them go on, whoever stopped them."
    )

    _no_repeats = field_validator("event_types")(_without_repeats)

    @field_validator("url", "description", "enabled")
    @classmethod
    def _no_null(cls, value: Any) -> Any:
        if value is None:
            raise ValueError("null is not allowed; leave the field out to keep its value")
        return value


class SecretRotation(InputModel):
    """How to rotate a secret."""

    overlap_s: int = Field(
        DAY_S, ge=0, le=7 * DAY_S, description="Seconds for which the old secret signs too; 0 if somebody else knows it."
    )


class WebhookEndpointOut(OutputModel):
    """An endpoint, without its secret."""

    id: str
    object: Literal["webhook_endpoint"] = "webhook_endpoint"
    url: str
    description: str
    event_types: list[WebhookEventType] | None = Field(description="null: all.")
    enabled: bool
    disabled_reason: DisabledReason | None = Field(
        description="`requested`, `gone` (it answered 410) or `failing` (five days of nothing but failures)."
    )
    disabled_at: Timestamp | None
    failing_since: Timestamp | None = Field(description="First failed attempt after the last successful one.")
    previous_secret_expires_at: Timestamp | None = Field(
        description="Until when the secret before the last rotation signs too."
    )
    created_at: Timestamp
    updated_at: Timestamp

    @classmethod
    def of(cls, row: WebhookEndpoint) -> Self:
        fields = {name: getattr(row, name) for name in WebhookEndpointOut.model_fields if name not in {"object", "enabled"}}
        return cls(**fields, enabled=row.disabled_at is None)


class NewWebhookEndpointOut(WebhookEndpointOut):
    """An endpoint whose secret was just made: the only answers that have it."""

    secret: str | None = Field(None, description="The signing secret, `whsec_...`; null in a replayed answer.")


class DeliveryQuery(PageQuery):
    """Filters of the list of deliveries."""

    endpoint_id: str | None = Field(None, max_length=64)
    status: DeliveryStatus | None = None
    event_type: WebhookEventType | None = None
    event_id: str | None = Field(None, max_length=64, description="One event, to every endpoint.")


class AttemptErrorOut(OutputModel):
    """Why an attempt failed."""

    code: str
    message: str


class AttemptOut(OutputModel):
    """One POST to the endpoint."""

    number: int
    at: Timestamp
    duration_s: float
    response_status: int | None
    response_body: str | None = Field(description="Its first kilobyte.")
    error: AttemptErrorOut | None

    @classmethod
    def of(cls, row: WebhookAttempt) -> Self:
        error = None if row.error_code is None else AttemptErrorOut(code=row.error_code, message=row.error_message or "")
        return cls(
            number=row.number,
            at=row.at,
            duration_s=row.duration_s,
            response_status=row.response_status,
            response_body=row.response_body,
            error=error,
        )


class DeliveryOut(OutputModel):
    """One event on its way to one endpoint."""

    id: str
    object: Literal["delivery"] = "delivery"
    endpoint_id: str
    event_id: str = Field(description="What the receiver sees as `webhook-id`.")
    event_type: WebhookEventType
    status: DeliveryStatus
    payload: dict[str, Any] = Field(description="The body as it is sent.")
    num_attempts: int
    next_attempt_at: Timestamp | None
    replay_of: str | None = Field(description="The delivery that this one repeats.")
    created_at: Timestamp
    ended_at: Timestamp | None

    @classmethod
    def of(cls, row: WebhookDelivery) -> Self:
        return cls(**_fields_of(row))


class DeliveryDetailOut(DeliveryOut):
    """A delivery with its log."""

    attempts: list[AttemptOut]

    @classmethod
    def with_attempts(cls, row: WebhookDelivery, attempts: Sequence[WebhookAttempt]) -> Self:
        return cls(**_fields_of(row), attempts=[AttemptOut.of(attempt) for attempt in attempts])


def _fields_of(row: WebhookDelivery) -> dict[str, Any]:
    fields = {name: getattr(row, name) for name in DeliveryOut.model_fields if name not in {"object", "payload"}}
    return {**fields, "payload": json.loads(row.body)}
