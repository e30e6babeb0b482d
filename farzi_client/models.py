"""What the service answers, as frozen dataclasses.

Fields that this version does not know are kept in ``raw`` and otherwise ignored, so an older client works with a newer service.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any, ClassVar, Generic, Self, TypeVar

from farzi_client.errors import UnexpectedAnswer

Parser = Callable[[Any], Any]

TERMINAL_JOB_STATUSES = frozenset({"succeeded", "failed", "cancelled"})


@dataclass(frozen=True, kw_only=True)
class Answer:
    """Base of everything that is read from JSON.

    Attributes:
        raw: the object as the service sent it, unknown fields included.
    """

    parsers: ClassVar[Mapping[str, Parser]] = {}

    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def from_json(cls, data: Any) -> Self:
        """Build from the service's JSON.

        Raises:
            UnexpectedAnswer: a field without which nothing works is missing.
        """
        if not isinstance(data, Mapping):
            raise UnexpectedAnswer(f"expected a JSON object for {cls.__name__}, got {type(data).__name__}")
        values: dict[str, Any] = {"raw": data}
        for item in fields(cls):
            # An explicit null of a field with a default means the default: "not known yet".
            if item.name in values or data.get(item.name) is None:
                continue
            values[item.name] = cls._parser_of(item.name)(data[item.name])
        try:
            return cls(**values)
        except TypeError:
            raise UnexpectedAnswer(
                f"the answer for {cls.__name__} lacks fields; is FARZI_API_URL the address of a Farzi service?"
            ) from None

    @classmethod
    def _parser_of(cls, name: str) -> Parser:
        if name == "at" or name.endswith("_at"):
            return datetime.fromisoformat
        return cls.parsers.get(name, lambda value: value)


def _each(model: type[Answer]) -> Parser:
    return lambda items: tuple(model.from_json(item) for item in items)


@dataclass(frozen=True, kw_only=True)
class Dataset(Answer):
    """A data set; ``status`` is ``awaiting_upload``, ``validating``, ``ready`` or ``invalid``.

    ``sha256`` is of the bytes as uploaded.
    """

    id: str
    status: str
    name: str = ""
    task: str = ""
    format: str = ""
    columns: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    size_bytes: int | None = None
    sha256: str | None = None
    content_encoding: str | None = None
    num_sequences: int | None = None
    num_events: int | None = None
    vocab_size: int | None = None
    max_sequence_length: int | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class ReceivedPart(Answer):
    """A part of an upload that is there; ``sha256`` is None where the service does not know it."""

    number: int
    size_bytes: int = 0
    sha256: str | None = None


@dataclass(frozen=True, kw_only=True)
class MissingPart(Answer):
    """A part of an upload that has to be sent, and where to: a path of the API, or a URL of object storage."""

    number: int
    offset_bytes: int
    size_bytes: int
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Upload(Answer):
    """An upload in parts; ``status`` is ``open``, ``completing``, ``completed``, ``failed``, ``aborted`` or ``expired``."""

    parsers: ClassVar[Mapping[str, Parser]] = {"received_parts": _each(ReceivedPart), "missing_parts": _each(MissingPart)}

    id: str
    status: str
    size_bytes: int
    sha256: str
    part_size_bytes: int
    dataset_id: str = ""
    error_code: str | None = None
    num_parts: int = 0
    received_parts: tuple[ReceivedPart, ...] = ()
    missing_parts: tuple[MissingPart, ...] = ()
    expires_at: datetime | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class JobProgress(Answer):
    """How far a job is; ``fraction`` is between 0 and 1, ``eta_s`` in seconds."""

    step: int = 0
    total: int = 0
    fraction: float = 0.0
    eta_s: float | None = None


@dataclass(frozen=True, kw_only=True)
class JobError(Answer):
    """Why a job failed, and whether ``retry`` makes sense."""

    code: str
    message: str = ""
    retryable: bool = False


@dataclass(frozen=True, kw_only=True)
class Run(Answer):
    """One attempt at a job."""

    id: str
    number: int = 0
    started_at: datetime | None = None
    ended_at: datetime | None = None
    outcome: str | None = None


@dataclass(frozen=True, kw_only=True)
class Artifact(Answer):
    """One published file of a job, with the digest its bytes must have."""

    name: str
    sha256: str
    size_bytes: int = 0
    media_type: str = "application/octet-stream"


@dataclass(frozen=True, kw_only=True)
class Job(Answer):
    """A job; ``status`` is ``queued``, ``running``, ``cancelling``, ``paused``, ``succeeded``, ``failed`` or ``cancelled``."""

    parsers: ClassVar[Mapping[str, Parser]] = {
        "progress": JobProgress.from_json,
        "error": JobError.from_json,
        "runs": _each(Run),
        "artifacts": _each(Artifact),
    }

    id: str
    status: str
    kind: str = ""
    dataset_id: str | None = None
    source_job_id: str | None = None
    spec: Mapping[str, Any] = field(default_factory=dict)
    batch_divisor: int = 1
    deadline_s: float | None = None
    phase: str | None = None
    stop_requested: str | None = None
    progress: JobProgress = field(default_factory=JobProgress)
    error: JobError | None = None
    runs: tuple[Run, ...] = ()
    metrics: Mapping[str, float] = field(default_factory=dict)
    artifacts: tuple[Artifact, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    created_at: datetime | None = None
    updated_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None

    @property
    def is_terminal(self) -> bool:
        """Whether nothing more happens to the job unless somebody retries it."""
        return self.status in TERMINAL_JOB_STATUSES


@dataclass(frozen=True, kw_only=True)
class EstimateBasis(Answer):
    """What an estimate rests on; ``speeds`` is ``measured``, or ``reference`` where no worker has measured its machine yet."""

    speeds: str = "reference"
    machine: str | None = None
    measured_at: datetime | None = None
    num_finished_jobs: int = 0
    relative_error: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Estimate(Answer):
    """What a job would take; ``phases`` are the seconds of ``seconds_p50``."""

    parsers: ClassVar[Mapping[str, Parser]] = {"basis": EstimateBasis.from_json}

    seconds_p50: float
    seconds_p90: float
    peak_memory_bytes: int
    output_bytes: int
    would_exceed_quota: bool = False
    phases: Mapping[str, float] = field(default_factory=dict)
    basis: EstimateBasis = field(default_factory=EstimateBasis)


@dataclass(frozen=True, kw_only=True)
class ComparedJob(Answer):
    """One column of a comparison; ``seconds`` is None while the job is not over."""

    id: str
    kind: str = ""
    status: str = ""
    dataset_id: str | None = None
    source_job_id: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    seconds: float | None = None
    size_bytes: int = 0
    created_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Comparison(Answer):
    """Jobs next to each other; every list has a value for each of ``jobs``, in their order."""

    parsers: ClassVar[Mapping[str, Parser]] = {"jobs": _each(ComparedJob)}

    jobs: tuple[ComparedJob, ...]
    spec: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    metrics: Mapping[str, Sequence[float | None]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class JobEvent(Answer):
    """Something that happened to a job; ``seq`` counts from 1 without gaps."""

    seq: int
    type: str
    data: Mapping[str, Any] = field(default_factory=dict)
    at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class MetricPoint(Answer):
    """One value of a series; ``step`` counts inside its phase."""

    step: int
    value: float
    at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Preset(Answer):
    """A complete spec to start from."""

    name: str
    task: str
    spec: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Usage(Answer):
    """What a tenant stores and runs, and its limits; a limit that is None does not exist.

    ``run_seconds_by_day`` and ``run_seconds_by_month`` are seconds on ``cpu`` and ``gpu``, by UTC date.
    """

    stored_bytes: int
    reserved_bytes: int = 0
    datasets: int = 0
    active_jobs: int = 0
    jobs_by_status: Mapping[str, int] = field(default_factory=dict)
    run_seconds_by_day: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    run_seconds_by_month: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    limits: Mapping[str, float | None] = field(default_factory=dict)
    at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class AuditEvent(Answer):
    """One administrative act: what was done to what, by which key, in which request."""

    id: str
    action: str
    actor_key_id: str | None = None
    target_id: str | None = None
    request_id: str | None = None
    data: Mapping[str, Any] = field(default_factory=dict)
    at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class ApiKey(Answer):
    """A key; ``key`` is the secret itself, and only in the answer that created it."""

    parsers: ClassVar[Mapping[str, Parser]] = {"scopes": tuple}

    id: str
    name: str = ""
    scopes: tuple[str, ...] = ()
    key: str | None = field(default=None, repr=False)
    created_at: datetime | None = None
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class WebhookEndpoint(Answer):
    """A URL that is told of events; ``secret`` is only in the answers that made it, ``event_types`` None means all."""

    parsers: ClassVar[Mapping[str, Parser]] = {"event_types": tuple}

    id: str
    url: str
    description: str = ""
    event_types: tuple[str, ...] | None = None
    enabled: bool = True
    disabled_reason: str | None = None
    disabled_at: datetime | None = None
    failing_since: datetime | None = None
    secret: str | None = field(default=None, repr=False)
    previous_secret_expires_at: datetime | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class DeliveryAttempt(Answer):
    """One POST to an endpoint; ``error`` is None where it succeeded, else has ``code`` and ``message``."""

    number: int
    at: datetime | None = None
    duration_s: float = 0.0
    response_status: int | None = None
    response_body: str | None = None
    error: Mapping[str, str] | None = None


@dataclass(frozen=True, kw_only=True)
class Delivery(Answer):
    """One event on its way to one endpoint; ``status`` is ``pending``, ``succeeded`` or ``failed``.

    ``attempts`` is empty in lists; ``event_id`` is what the receiver sees as ``webhook-id``.
    """

    parsers: ClassVar[Mapping[str, Parser]] = {"attempts": _each(DeliveryAttempt)}

    id: str
    status: str
    endpoint_id: str = ""
    event_id: str = ""
    event_type: str = ""
    payload: Mapping[str, Any] = field(default_factory=dict)
    num_attempts: int = 0
    next_attempt_at: datetime | None = None
    replay_of: str | None = None
    attempts: tuple[DeliveryAttempt, ...] = ()
    created_at: datetime | None = None
    ended_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class WebhookEvent(Answer):
    """What a receiver was told: ``data`` is the job or the data set at the time of ``timestamp``."""

    parsers: ClassVar[Mapping[str, Parser]] = {"timestamp": datetime.fromisoformat}

    type: str
    timestamp: datetime
    data: Mapping[str, Any] = field(default_factory=dict)


T = TypeVar("T", bound=Answer)


@dataclass(frozen=True)
class Page(Generic[T]):
    """One page of a list; ``next_cursor`` gets the next one."""

    data: tuple[T, ...]
    has_more: bool
    next_cursor: str | None
