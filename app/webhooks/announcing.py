"""Write down what endpoints have to be told, in the transaction that makes it true: none is lost, none is told too early."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.orm import Session

from app.datasets.models import Dataset
from app.db import new_id
from app.jobs.models import Job
from app.jobs.states import JobKind
from app.schemas import OutputModel
from app.webhooks import repository
from app.webhooks.event_types import WebhookEventType
from app.webhooks.models import DeliveryStatus, WebhookDelivery, WebhookEndpoint
from app.webhooks.payloads import DatasetSnapshot, JobSnapshot, render_body


def announce_job(session: Session, job_id: str, *, at: datetime) -> None:
    """Tell of the status that a job has reached; validations are never told of, their data sets are."""
    job = session.get_one(Job, job_id)
    if job.kind != JobKind.VALIDATION:
        _announce(session, job.tenant_id, WebhookEventType(f"job.{job.status}"), JobSnapshot.of(job), at)


def announce_dataset(session: Session, dataset: Dataset, *, at: datetime) -> None:
    """Tell of the verdict on a data set."""
    event_type = WebhookEventType(f"dataset.{dataset.status}")
    _announce(session, dataset.tenant_id, event_type, DatasetSnapshot.of(dataset), at)


def add_delivery(
    session: Session, endpoint: WebhookEndpoint, event_id: str, event_type: str, body: str, *, at: datetime
) -> WebhookDelivery:
    """Add a delivery that is due at once."""
    delivery = WebhookDelivery(
        id=new_id("whd"),
        tenant_id=endpoint.tenant_id,
        endpoint_id=endpoint.id,
        event_id=event_id,
        event_type=event_type,
        body=body,
        status=DeliveryStatus.PENDING,
        next_attempt_at=at,
        created_at=at,
    )
    session.add(delivery)
    return delivery


def _announce(session: Session, tenant_id: str, event_type: WebhookEventType, data: OutputModel, at: datetime) -> None:
    endpoints = repository.lock_listening(session, tenant_id, event_type)
    if not endpoints:
        return
    event_id, body = new_id("evt"), render_body(event_type, data, at=at)
    for endpoint in endpoints:
        add_delivery(session, endpoint, event_id, event_type, body, at=at)
