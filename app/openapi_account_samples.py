"""What examples of the OpenAPI document say of keys, usage and webhooks: those of the team whose job the others show.

Every sample is one that the service could send, or takes.
"""

from __future__ import annotations

from typing import Any

from app.openapi_data_samples import READY_DATASET, at, example_id
from app.openapi_job_samples import SUCCEEDED_JOB

KEY = {
    "id": example_id("key"),
    "name": "nightly distillation",
    "prefix": "fz_7Qm2x",
    "scopes": ["datasets:write", "jobs:read", "jobs:write"],
    "created_at": at("11:00:00"),
    "expires_at": None,
    "revoked_at": None,
    "last_used_at": at("11:55:00"),
}
ENDPOINT = {
    "id": example_id("whe"),
    "object": "webhook_endpoint",
    "url": "https://hooks.example.com/farzi",
    "description": "Builds that wait for results",
    "event_types": ["job.succeeded", "job.failed"],
    "enabled": True,
    "disabled_reason": None,
    "disabled_at": None,
    "failing_since": None,
    "previous_secret_expires_at": None,
    "created_at": at("11:30:00"),
    "updated_at": at("11:30:00"),
}
SECRET = "whsec_" + "x" * 43 + "="
JOB_SNAPSHOT = {
    "object": "job",
    **{name: SUCCEEDED_JOB[name] for name in ("id", "kind", "status", "dataset_id", "metadata", "error")},
    **{name: SUCCEEDED_JOB[name] for name in ("created_at", "started_at", "ended_at")},
}
DATASET_SNAPSHOT = {
    "object": "dataset",
    **{name: READY_DATASET[name] for name in ("id", "name", "status", "metadata", "num_sequences", "num_events", "vocab_size")},
    "num_problems": 0,
    "created_at": READY_DATASET["created_at"],
}
DELIVERY = {
    "id": example_id("whd"),
    "object": "delivery",
    "endpoint_id": example_id("whe"),
    "event_id": example_id("evt"),
    "event_type": "job.succeeded",
    "status": "succeeded",
    "payload": {"type": "job.succeeded", "timestamp": SUCCEEDED_JOB["ended_at"], "data": JOB_SNAPSHOT},
    "num_attempts": 1,
    "next_attempt_at": None,
    "replay_of": None,
    "created_at": SUCCEEDED_JOB["ended_at"],
    "ended_at": at("12:04:41"),
}
_NEW_DELIVERY = {**DELIVERY, "status": "pending", "num_attempts": 0, "next_attempt_at": at("12:10:00"), "ended_at": None}
_ATTEMPT = {
    "number": 1,
    "at": at("12:04:41"),
    "duration_s": 0.084,
    "response_status": 204,
    "response_body": "",
    "error": None,
}

OF_SCHEMA: dict[str, Any] = {
    "ApiKeyCreate": {"name": KEY["name"], "scopes": KEY["scopes"], "expires_at": None},
    "ApiKeyOut": KEY,
    "ApiKeyUpdate": {"name": KEY["name"]},
    "AuditEventOut": {
        "id": example_id("audit"),
        "action": "api_key.created",
        "target_id": example_id("key"),
        "actor_key_id": "key_01943e5b21f07c44a9d0e1f2a3b4c5d6",
        "request_id": example_id("req"),
        "data": {"scopes": KEY["scopes"], "expires_at": None},
        "at": KEY["created_at"],
    },
    "DatasetSnapshot": DATASET_SNAPSHOT,
    "DeliveryDetailOut": {**DELIVERY, "attempts": [_ATTEMPT]},
    "DeliveryOut": DELIVERY,
    "JobSnapshot": JOB_SNAPSHOT,
    "NewApiKeyOut": {**KEY, "last_used_at": None, "key": "fz_" + "x" * 38},
    "NewWebhookEndpointOut": {**ENDPOINT, "secret": SECRET},
    "WebhookEndpointCreate": {name: ENDPOINT[name] for name in ("url", "event_types", "description")},
    "WebhookEndpointOut": ENDPOINT,
    "WebhookEndpointUpdate": {"event_types": ["job.succeeded"], "enabled": True},
}
OF_OPERATION: dict[str, Any] = {
    "get_usage": {
        "stored_bytes": 2160575,
        "reserved_bytes": 180000,
        "datasets": 1,
        "active_jobs": 1,
        "jobs_by_status": {"running": 1, "succeeded": 4},
        "run_seconds_by_day": {"2026-01-31": {"cpu": 2.4, "gpu": 1190.2}},
        "run_seconds_by_month": {"2025-12": {"cpu": 0.0, "gpu": 0.0}, "2026-01": {"cpu": 2.4, "gpu": 1190.2}},
        "limits": {
            "stored_bytes": 10737418240,
            "datasets": None,
            "active_jobs": 20,
            "gpu_seconds_per_month": None,
            "cpu_seconds_per_month": None,
        },
        "at": at("12:05:00"),
    },
    "replay_delivery": {**_NEW_DELIVERY, "replay_of": "whd_01943e7a90b17d20a4f5e6d7c8b9a031"},
    "rotate_webhook_secret": {**ENDPOINT, "secret": SECRET, "previous_secret_expires_at": at("13:00:00")},
    "test_webhook_endpoint": {
        **_NEW_DELIVERY,
        "event_type": "webhook.test",
        "payload": {
            "type": "webhook.test",
            "timestamp": at("12:10:00"),
            "data": {"object": "webhook_endpoint", "id": example_id("whe")},
        },
    },
}
