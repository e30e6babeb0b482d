"""The webhooks of the OpenAPI document: each type of event with its body, its headers, and what the receiver's answer does."""

from __future__ import annotations

from typing import Any

from pydantic.json_schema import models_json_schema

from app.openapi_data_samples import example_id
from app.openapi_examples import example_of
from app.webhooks.event_types import WebhookEventType
from app.webhooks.payloads import PAYLOADS, payload_of
from app.webhooks.sender import TIMEOUT_S

Schemas = dict[str, dict[str, Any]]

WHEN = {
    WebhookEventType.JOB_RUNNING: "A run of the job begins; again after a resume, a retry or a lost run.",
    WebhookEventType.JOB_PAUSED: "The job is paused.",
    WebhookEventType.JOB_SUCCEEDED: "The job's result is published and can be downloaded.",
    WebhookEventType.JOB_FAILED: "The job failed; `error` says why.",
    WebhookEventType.JOB_CANCELLED: "The job was cancelled.",
    WebhookEventType.DATASET_READY: "The data set was validated.",
    WebhookEventType.DATASET_INVALID: "The data set was refused; its report has `num_problems` problems.",
    WebhookEventType.WEBHOOK_TEST: "Asked for by `POST /v1/webhook-endpoints/{endpoint_id}/test`; sent to that endpoint, once.",
}
# Of Standard Webhooks.
HEADERS: dict[str, tuple[dict[str, Any], str, str]] = {
    "webhook-id": (
        {"type": "string", "pattern": "^evt_[0-9a-f]{32}$"},
        example_id("evt"),
        "The event, the same for every attempt and replay: remember it, and do nothing when it comes again.",
    ),
    "webhook-timestamp": (
        {"type": "string", "pattern": "^[0-9]+$"},
        "1769860800",
        "Seconds since 1970 of this attempt: refuse what is more than five minutes old.",
    ),
    "webhook-signature": (
        {"type": "string", "pattern": "^v1,[A-Za-z0-9+/]{43}=( v1,[A-Za-z0-9+/]{43}=)*$"},
        "v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4=",
        "`v1,` and the base64 of HMAC-SHA256 over `{webhook-id}.{webhook-timestamp}.{body}`, keyed with what follows `whsec_` "
        "in the secret, decoded from base64. While a secret is rotated there are two, a space between: one that fits will do.",
    ),
}
ANSWERS = {
    "2XX": f"Taken. It has to come within {TIMEOUT_S:g} seconds: answer first and work afterwards.",
    "410": "The endpoint is disabled.",
    "default": "Not taken, redirects included: tried again, ten times in three days. `Retry-After` is honoured.",
}
_OF_EXAMPLE: dict[str, dict[str, Any]] = {
    "job.running": {"ended_at": None},
    "job.paused": {"ended_at": None},
    "job.failed": {"error": {"code": "deadline_exceeded", "message": "the job ran longer than 3600 s", "retryable": False}},
    "dataset.invalid": {"num_sequences": None, "num_events": None, "vocab_size": None, "num_problems": 3},
}


def describe_webhooks(schemas: Schemas) -> dict[str, dict[str, Any]]:
    """Return every webhook by its type; the schemas of what they carry are added to ``schemas``."""
    _, found = models_json_schema(
        [(payload, "serialization") for payload in PAYLOADS.values()], ref_template="#/components/schemas/{model}"
    )
    for name, schema in found["$defs"].items():
        assert schemas.setdefault(name, schema) == schema, f"two schemas have the name {name}"
    return {str(event_type): {"post": _describe(event_type, schemas)} for event_type in WebhookEventType}


def _describe(event_type: WebhookEventType, schemas: Schemas) -> dict[str, Any]:
    payload = {"$ref": f"#/components/schemas/{payload_of(event_type).__name__}"}
    status = event_type.partition(".")[2]
    example = example_of(payload, schemas)
    data = example["data"]
    if "status" in data:
        data = {**data, "status": status, **_OF_EXAMPLE.get(event_type, {})}
    return {
        "operationId": f"receive_{event_type.replace('.', '_')}",
        "summary": str(event_type),
        "description": WHEN[event_type],
        "tags": ["Webhooks"],
        "parameters": [
            {"name": name, "in": "header", "required": True, "schema": schema, "example": sample, "description": text}
            for name, (schema, sample, text) in HEADERS.items()
        ],
        "requestBody": {
            "required": True,
            "description": "Verify the bytes as they arrived, before they are parsed.",
            "content": {
                "application/json": {
                    "schema": {"allOf": [payload], "properties": {"type": {"const": str(event_type)}}},
                    "example": {**example, "type": str(event_type), "data": data},
                }
            },
        },
        "responses": {status: {"description": text} for status, text in ANSWERS.items()},
    }
