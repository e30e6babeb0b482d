"""Catalogue of what a webhook can tell of. A type is a noun and the status it has reached."""

from __future__ import annotations

from enum import StrEnum


class WebhookEventType(StrEnum):
    """Every ``type`` that a receiver can meet."""

    JOB_RUNNING = "job.running"
    JOB_PAUSED = "job.paused"
    JOB_SUCCEEDED = "job.succeeded"
    JOB_FAILED = "job.failed"
    JOB_CANCELLED = "job.cancelled"
    DATASET_READY = "dataset.ready"
    DATASET_INVALID = "dataset.invalid"
    WEBHOOK_TEST = "webhook.test"
