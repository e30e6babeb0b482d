"""States of a job and the edges between them. A failed or cancelled job may be retried."""

from __future__ import annotations

from enum import StrEnum


class JobKind(StrEnum):
    """What a job does. ``validation`` is internal: it is how an upload is checked, and is never listed."""

    DISTILLATION = "distillation"
    EVALUATION = "evaluation"
    VALIDATION = "validation"


class JobStatus(StrEnum):
    """Public states of a job."""

    QUEUED = "queued"
    RUNNING = "running"
    CANCELLING = "cancelling"
    PAUSED = "paused"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Queue(StrEnum):
    """Celery queues: ``gpu`` for training, ``cpu`` for parsing and housekeeping."""

    GPU = "gpu"
    CPU = "cpu"


class StopRequest(StrEnum):
    """What a user asked a running job to do; the supervisor polls it."""

    CANCEL = "cancel"
    PAUSE = "pause"


class RunOutcome(StrEnum):
    """How one attempt at a job ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    PAUSED = "paused"
    RELEASED = "released"  # shut down in good order; another run goes on from the checkpoint
    LOST = "lost"  # the lease ran out


class JobErrorCode(StrEnum):
    """``error.code`` of a failed job, where the service and not the core says why."""

    DEADLINE_EXCEEDED = "deadline_exceeded"
    INTERNAL = "internal"
    OUT_OF_MEMORY = "out_of_memory"
    STORAGE_UNAVAILABLE = "storage_unavailable"
    UNKNOWN_KIND = "unknown_kind"
    VALIDATION_LIMIT = "validation_limit"
    WORKER_LOST = "worker_lost"


QUEUE_OF_KIND = {
    JobKind.DISTILLATION: Queue.GPU,
    JobKind.EVALUATION: Queue.GPU,
    JobKind.VALIDATION: Queue.CPU,
}

ACTIVE_STATUSES = frozenset({JobStatus.QUEUED, JobStatus.RUNNING, JobStatus.CANCELLING, JobStatus.PAUSED})
LEASED_STATUSES = frozenset({JobStatus.RUNNING, JobStatus.CANCELLING})
TERMINAL_STATUSES = frozenset({JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED})

ALLOWED_EDGES: dict[JobStatus, frozenset[JobStatus]] = {
    JobStatus.QUEUED: frozenset({JobStatus.RUNNING, JobStatus.PAUSED, JobStatus.CANCELLED, JobStatus.FAILED}),
    JobStatus.RUNNING: frozenset(
        {
            JobStatus.QUEUED,
            JobStatus.CANCELLING,
            JobStatus.PAUSED,
            JobStatus.SUCCEEDED,
            JobStatus.FAILED,
        }
    ),
    JobStatus.CANCELLING: frozenset({JobStatus.CANCELLED, JobStatus.SUCCEEDED, JobStatus.FAILED}),
    JobStatus.PAUSED: frozenset({JobStatus.QUEUED, JobStatus.CANCELLED}),
    JobStatus.SUCCEEDED: frozenset(),
    JobStatus.FAILED: frozenset({JobStatus.QUEUED}),
    JobStatus.CANCELLED: frozenset({JobStatus.QUEUED}),
}
