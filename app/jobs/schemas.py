"""What a caller sends and sees of jobs."""

from __future__ import annotations

import re
from typing import Any, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from app.jobs.models import Artifact, Job, JobEvent
from app.jobs.states import JobStatus
from app.pagination import PageQuery
from app.schemas import InputModel, Metadata, OutputModel, Timestamp

LONGEST_DEADLINE_S = 14 * 24 * 3600.0  # below the broker's visibility timeout

_METADATA_FILTER = re.compile(r"metadata\[([^\[\]]{1,64})\]")

PublicKind = Literal["distillation", "evaluation"]


class JobCreate(InputModel):
    """A job to be run."""

    kind: PublicKind
    dataset_id: str | None = Field(None, max_length=64, description="distillation: a ready data set.")
    job_id: str | None = Field(None, max_length=64, description="evaluation: a succeeded distillation.")
    spec: dict[str, Any] = Field(default_factory=dict, description="What differs from the preset; see /v1/spec/schema.")
    deadline_s: float | None = Field(
        None, gt=0, le=LONGEST_DEADLINE_S, description="Seconds of running after which the job fails; null: none."
    )
    metadata: Metadata = Field(default_factory=dict)

    @model_validator(mode="after")
    def _source_fits_kind(self) -> Self:
        needed, other = ("dataset_id", "job_id") if self.kind == "distillation" else ("job_id", "dataset_id")
        if getattr(self, needed) is None:
            raise ValueError(f"kind {self.kind!r} needs {needed}")
        if getattr(self, other) is not None:
            raise ValueError(f"kind {self.kind!r} does not take {other}; leave it out")
        return self


class JobQuery(PageQuery):
    """Filters of the list of jobs."""

    # The filters metadata[KEY]=VALUE have names that no model can list; the validator refuses every other one.
    model_config = ConfigDict(extra="allow")

    status: JobStatus | None = None
    kind: PublicKind | None = None

    @model_validator(mode="after")
    def _only_metadata_is_extra(self) -> Self:
        unknown = [name for name in self.model_extra or {} if not _METADATA_FILTER.fullmatch(name)]
        if unknown:
            raise ValueError(f"unknown parameters: {', '.join(unknown)}; allowed: limit, cursor, status, kind, metadata[KEY]")
        return self

    @property
    def metadata(self) -> dict[str, str]:
        """What the jobs' labels have to be."""
        return {name[len("metadata[") : -1]: str(value) for name, value in (self.model_extra or {}).items()}


class ProgressOut(OutputModel):
    """How far a job is; steps take about equally long."""

    step: int
    total: int
    fraction: float
    eta_s: float | None


class JobErrorOut(OutputModel):
    """Why a job failed."""

    code: str
    message: str
    retryable: bool


class RunOut(OutputModel):
    """One attempt at a job."""

    id: str
    number: int
    started_at: Timestamp
    ended_at: Timestamp | None
    outcome: str | None


class ArtifactOut(OutputModel):
    """One published file."""

    name: str
    media_type: str
    size_bytes: int
    sha256: str

    @classmethod
    def of(cls, row: Artifact) -> Self:
        return cls.model_validate(row)


class JobOut(OutputModel):
    """A job."""

    id: str
    object: Literal["job"] = "job"
    kind: str
    status: JobStatus
    stop_requested: str | None = Field(description="`pause` or `cancel`, while a running job has not obeyed yet.")
    dataset_id: str
    spec: dict[str, Any] = Field(description="With every default resolved.")
    deadline_s: float | None
    metadata: dict[str, str]
    phase: str | None
    progress: ProgressOut
    error: JobErrorOut | None
    runs: list[RunOut]
    metrics: dict[str, float] = Field(description="Newest value of every series, and the result's headline figures.")
    artifacts: list[ArtifactOut]
    created_at: Timestamp
    updated_at: Timestamp
    started_at: Timestamp | None
    ended_at: Timestamp | None


class EventOut(OutputModel):
    """Something that happened to a job; `seq` counts from 1 without gaps."""

    seq: int
    type: str
    data: dict[str, Any]
    at: Timestamp

    @classmethod
    def of(cls, row: JobEvent) -> Self:
        return cls.model_validate(row)


class MetricPointOut(OutputModel):
    """One value of a series; `step` counts inside its phase."""

    step: int
    value: float
    at: Timestamp


def progress_of(job: Job) -> ProgressOut:
    """Return the progress of a job; one that succeeded is done, whatever its last count was."""
    done = job.status == JobStatus.SUCCEEDED
    fraction = 1.0 if done else min(1.0, job.progress_step / job.progress_total) if job.progress_total else 0.0
    step = job.progress_total if done else job.progress_step
    return ProgressOut(step=step, total=job.progress_total, fraction=fraction, eta_s=0.0 if done else job.progress_eta_s)
