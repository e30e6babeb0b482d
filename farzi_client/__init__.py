"""Client of a Farzi service; imports neither the service nor the core, and torch only for ``train_student``."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from farzi_client._async.bound_job import AsyncBoundJob
from farzi_client._sync.bound_job import BoundJob
from farzi_client.client import AsyncClient, Client
from farzi_client.errors import (
    ApiError,
    BadRequest,
    Conflict,
    ConnectionFailed,
    DatasetInvalid,
    FarziClientError,
    IntegrityError,
    InvalidRequest,
    JobFailed,
    MissingExtra,
    NoApiKey,
    NotAllowed,
    NotAuthenticated,
    NotFound,
    Problem,
    RateLimited,
    ServiceFailed,
    TooLarge,
    UnexpectedAnswer,
    UploadInterrupted,
    WaitTimeout,
    WebhookNotVerified,
)
from farzi_client.extras import need
from farzi_client.models import (
    ApiKey,
    Artifact,
    AuditEvent,
    Comparison,
    Dataset,
    Delivery,
    DeliveryAttempt,
    Estimate,
    Job,
    JobError,
    JobEvent,
    JobProgress,
    MetricPoint,
    Page,
    Preset,
    Run,
    Upload,
    Usage,
    WebhookEndpoint,
    WebhookEvent,
)
from farzi_client.synthetic import SyntheticData

if TYPE_CHECKING:
    from farzi_client.training import Student as Student
    from farzi_client.training import train_student as train_student

__all__ = [
    "ApiError",
    "ApiKey",
    "Artifact",
    "AsyncBoundJob",
    "AsyncClient",
    "AuditEvent",
    "BadRequest",
    "BoundJob",
    "Client",
    "Comparison",
    "Conflict",
    "ConnectionFailed",
    "Dataset",
    "DatasetInvalid",
    "Delivery",
    "DeliveryAttempt",
    "Estimate",
    "FarziClientError",
    "IntegrityError",
    "InvalidRequest",
    "Job",
    "JobError",
    "JobEvent",
    "JobFailed",
    "JobProgress",
    "MetricPoint",
    "MissingExtra",
    "NoApiKey",
    "NotAllowed",
    "NotAuthenticated",
    "NotFound",
    "Page",
    "Preset",
    "Problem",
    "RateLimited",
    "Run",
    "ServiceFailed",
    "SyntheticData",
    "TooLarge",
    "UnexpectedAnswer",
    "Upload",
    "UploadInterrupted",
    "Usage",
    "WaitTimeout",
    "WebhookEndpoint",
    "WebhookEvent",
    "WebhookNotVerified",
]


def __getattr__(name: str) -> Any:
    """Load what needs torch when it is asked for."""
    if name not in {"Student", "train_student"}:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    need("torch", "torch", f"farzi_client.{name}")
    return getattr(import_module("farzi_client.training"), name)
