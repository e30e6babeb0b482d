"""The body of a webhook: what happened, when, and to what; thin, so that it holds nothing that the API would have to guard."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Generic, Literal, Self, TypeVar

from pydantic import Field

from app.datasets.models import Dataset, DatasetStatus
from app.jobs.models import Job
from app.jobs.schemas import JobErrorOut, PublicKind, public_kind
from app.jobs.states import JobStatus
from app.schemas import OutputModel, Timestamp
from app.webhooks.event_types import WebhookEventType

T = TypeVar("T", bound=OutputModel)


class JobSnapshot(OutputModel):
    """A job at the moment of the event; `GET /v1/jobs/{job_id}` has the rest, as it is by then."""

    object: Literal["job"] = "job"
    id: str
    kind: PublicKind
    status: JobStatus
    dataset_id: str
    metadata: dict[str, str]
    error: JobErrorOut | None
    created_at: Timestamp
    started_at: Timestamp | None
    ended_at: Timestamp | None

    @classmethod
    def of(cls, job: Job) -> Self:
        error = None
        if job.error_code is not None:
            error = JobErrorOut(code=job.error_code, message=job.error_message or "", retryable=bool(job.error_retryable))
        return cls(
            id=job.id,
            kind=public_kind(job),
            status=JobStatus(job.status),
            dataset_id=job.dataset_id,
            metadata=job.user_metadata,
            error=error,
            created_at=job.created_at,
            started_at=job.started_at,
            ended_at=job.ended_at,
        )


class DatasetSnapshot(OutputModel):
    """A data set at the moment of the event; `GET /v1/datasets/{dataset_id}/report` has what validation found."""

    object: Literal["dataset"] = "dataset"
    id: str
    name: str
    status: DatasetStatus
    metadata: dict[str, str]
    num_sequences: int | None
    num_events: int | None
    vocab_size: int | None
    num_problems: int = Field(description="Problems in its report.")
    created_at: Timestamp

    @classmethod
    def of(cls, dataset: Dataset) -> Self:
        report: dict[str, Any] = dataset.report or {}
        return cls(
            id=dataset.id,
            name=dataset.name,
            status=DatasetStatus(dataset.status),
            metadata=dataset.user_metadata,
            num_sequences=dataset.num_sequences,
            num_events=dataset.num_events,
            vocab_size=dataset.vocab_size,
            num_problems=report.get("num_problems", 0),
            created_at=dataset.created_at,
        )


class EndpointSnapshot(OutputModel):
    """The endpoint that is being tested."""

    object: Literal["webhook_endpoint"] = "webhook_endpoint"
    id: str


class WebhookPayload(OutputModel, Generic[T]):
    """What an endpoint receives. The header `webhook-id` tells repeats of one event; `timestamp` is when it happened."""

    type: WebhookEventType
    timestamp: Timestamp
    data: T


class JobPayload(WebhookPayload[JobSnapshot]):
    """What a receiver is told of a job."""


class DatasetPayload(WebhookPayload[DatasetSnapshot]):
    """What a receiver is told of a data set."""


class EndpointPayload(WebhookPayload[EndpointSnapshot]):
    """What a receiver is sent to try it."""


# By the noun that a type of event begins with.
PAYLOADS: dict[str, type[WebhookPayload[Any]]] = {"job": JobPayload, "dataset": DatasetPayload, "webhook": EndpointPayload}


def payload_of(event_type: WebhookEventType) -> type[WebhookPayload[Any]]:
    """Return the form of every body of this type."""
    return PAYLOADS[event_type.partition(".")[0]]


def render_body(event_type: WebhookEventType, data: OutputModel, *, at: datetime) -> str:
    """Return the JSON text that is signed and sent."""
    return payload_of(event_type)(type=event_type, timestamp=at, data=data).model_dump_json()
