"""Client of a Farzi service; imports neither the service nor the core."""

from farzi_client.client import Client
from farzi_client.errors import (
    ApiError,
    ConnectionFailed,
    DatasetInvalid,
    FarziClientError,
    IntegrityError,
    JobFailed,
    NoApiKey,
    Problem,
    UnexpectedAnswer,
    WaitTimeout,
)
from farzi_client.models import ApiKey, Artifact, Dataset, Job, JobError, JobEvent, JobProgress, MetricPoint, Page, Preset, Run

__all__ = [
    "ApiError",
    "ApiKey",
    "Artifact",
    "Client",
    "ConnectionFailed",
    "Dataset",
    "DatasetInvalid",
    "FarziClientError",
    "IntegrityError",
    "Job",
    "JobError",
    "JobEvent",
    "JobFailed",
    "JobProgress",
    "MetricPoint",
    "NoApiKey",
    "Page",
    "Preset",
    "Problem",
    "Run",
    "UnexpectedAnswer",
    "WaitTimeout",
]
