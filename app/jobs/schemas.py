"""What a caller sends and sees of jobs."""

from __future__ import annotations

import re
from typing import Any, Literal, Self, cast

from pydantic import ConfigDict, Field, model_validator

from app.jobs.models import Artifact, Job, JobEvent
from app.jobs.states import JobKind, JobStatus, RunOutcome, StopRequest
from app.pagination import PageQuery
from app.schemas import (
    MAX_LABELS,
    NO_OTHER_KEYS,
    InputModel,
    InputTime,
    Metadata,
    MetadataKey,
    MetadataValue,
    OutputModel,
    Timestamp,
)

SHORTEST_DEADLINE_S = 1.0
LONGEST_DEADLINE_S = 14 * 24 * 3600.0  # below the broker's visibility timeout

_METADATA_FILTER = re.compile(r"metadata\[([^\[\]]{1,64})\]")

PublicKind = Literal["distillation", "evaluation"]


def _of_kind(kind: PublicKind, needed: str, other: str) -> dict[str, Any]:
    fields = {"kind": {"const": kind}, needed: {"type": "string"}, other: {"type": "null"}}
    return {"title": kind, "properties": fields, "required": [needed]}


class JobCreate(InputModel):
    """A job to be run: a distillation of a data set, or an evaluation of a job."""

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [_of_kind("distillation", "dataset_id", "job_id"), _of_kind("evaluation", "job_id", "dataset_id")]
        }
    )

    kind: PublicKind = Field(description="Distil a data set, or judge the result of a distillation once more.")
    dataset_id: str | None = Field(None, max_length=64, description="distillation: a ready data set.")
    job_id: str | None = Field(None, max_length=64, description="evaluation: a succeeded distillation.")
    spec: dict[str, Any] = Field(
        default_factory=dict,
        description="distillation: what differs from the preset; evaluation: what differs from how the result was judged. "
        "See /v1/spec/schema.",
    )
    deadline_s: float | None = Field(
        None,
        ge=SHORTEST_DEADLINE_S,
        le=LONGEST_DEADLINE_S,
        allow_inf_nan=False,
        description="Seconds of running after which the job fails with `deadline_exceeded`; null: none.",
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


class JobPatch(InputModel):
    """What can be changed of a job: its labels, and nothing that was computed."""

    metadata: dict[MetadataKey, MetadataValue | None] = Field(
        max_length=MAX_LABELS,
        description="Labels to set; null removes one, those not named stay.",
        json_schema_extra=NO_OTHER_KEYS,
    )


class JobQuery(PageQuery):
    """Filters of the list of jobs; a job has to pass all of them."""

    # The filters metadata[KEY]=VALUE have names that no model can list; the validator refuses every other one.
    model_config = ConfigDict(extra="allow")

    status: list[JobStatus] = Field(default_factory=list, description="Any of these; repeat the parameter.")
    kind: PublicKind | None = None
    dataset_id: str | None = Field(None, max_length=64)
    source_job_id: str | None = Field(None, max_length=64, description="Evaluations of this job.")
    created_after: InputTime | None = Field(None, description="Created at this time or later, RFC 3339.")
    created_before: InputTime | None = Field(None, description="Created before this time, RFC 3339.")

    @model_validator(mode="after")
    def _only_metadata_is_extra(self) -> Self:
        unknown = [name for name in self.model_extra or {} if not _METADATA_FILTER.fullmatch(name)]
        if unknown:
            allowed = ", ".join(JobQuery.model_fields)
            raise ValueError(f"unknown parameters: {', '.join(unknown)[:200]}; allowed: {allowed}, metadata[KEY]")
        return self

    @property
    def metadata(self) -> dict[str, str]:
        """What the jobs' labels have to be."""
        return {name[len("metadata[") : -1]: str(value) for name, value in (self.model_extra or {}).items()}


class ProgressOut(OutputModel):
    """How far a job is; steps take about equally long."""

    step: int = Field(description="Steps that are done, over all phases.")
    total: int = Field(description="Steps of the whole job; 0 until they are counted.")
    fraction: float = Field(description="From 0 to 1.")
    eta_s: float | None = Field(description="Seconds that are left, by the speed so far.")


class JobErrorOut(OutputModel):
    """Why a job failed."""

    code: str = Field(description="Branch on this; docs/operations.md has every code.")
    message: str = Field(description="For people: what happened, and what to change.")
    retryable: bool = Field(description="Whether `POST .../retry` may help.")


class RunOut(OutputModel):
    """One attempt at a job."""

    id: str
    number: int = Field(description="Counts from 1; a number may be left out.")
    started_at: Timestamp
    ended_at: Timestamp | None
    outcome: RunOutcome | None = Field(description="Null while it runs.")


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
    kind: PublicKind
    status: JobStatus
    stop_requested: StopRequest | None = Field(description="`pause` or `cancel`, while a running job has not obeyed yet.")
    dataset_id: str
    source_job_id: str | None = Field(description="evaluation: the distillation that is judged.")
    spec: dict[str, Any] = Field(description="With every default resolved.")
    batch_divisor: int = Field(description="2 where a run went out of memory, and the next one has half the batches; else 1.")
    deadline_s: float | None = Field(description="Seconds after its first start at which it is stopped; null: never.")
    metadata: dict[str, str]
    phase: str | None = Field(description="What it is at: `teacher`, `distillation`, `evaluation` or `artifacts`.")
    progress: ProgressOut
    error: JobErrorOut | None = Field(description="Why it failed; null unless it did.")
    runs: list[RunOut] = Field(description="Attempts at the job, in their order.")
    metrics: dict[str, float] = Field(description="Newest value of every series, and the result's headline figures.")
    artifacts: list[ArtifactOut] = Field(description="The result; empty until it has succeeded.")
    created_at: Timestamp
    updated_at: Timestamp
    started_at: Timestamp | None
    ended_at: Timestamp | None


class EstimateBasisOut(OutputModel):
    """What an estimate rests on."""

    speeds: Literal["measured", "reference"] = Field(description="`reference`: no worker has measured its machine yet.")
    machine: str | None
    measured_at: Timestamp | None
    num_finished_jobs: int = Field(description="Jobs of the kind, done on the machine, that correct the figures.")
    relative_error: float = Field(description="Nine in ten jobs take at most so much more than `seconds_p50`: a share of it.")


class EstimateOut(OutputModel):
    """What a job would take."""

    object: Literal["estimate"] = "estimate"
    seconds_p50: float = Field(description="Seconds of running, without waiting; half of such jobs take less.")
    seconds_p90: float = Field(description="Seconds that nine in ten such jobs stay below.")
    peak_memory_bytes: int = Field(description="Memory at the peak of the run.")
    output_bytes: int = Field(description="Bytes of all artifacts.")
    would_exceed_quota: bool = Field(description="Whether it would be refused now, or end above a quota.")
    phases: dict[str, float] = Field(description="Seconds of `seconds_p50` by phase.")
    basis: EstimateBasisOut


class ComparedJobOut(OutputModel):
    """One column of a comparison."""

    id: str
    kind: PublicKind
    status: JobStatus
    dataset_id: str
    source_job_id: str | None
    metadata: dict[str, str]
    seconds: float | None = Field(description="From the first run's start to the job's end; null while it is not over.")
    size_bytes: int = Field(description="Of all artifacts.")
    created_at: Timestamp


class ComparisonOut(OutputModel):
    """Jobs next to each other; every list has a value for each job, in their order."""

    object: Literal["comparison"] = "comparison"
    jobs: list[ComparedJobOut]
    spec: dict[str, list[Any]] = Field(description="Fields that differ, by dotted name; null where a job has no such field.")
    metrics: dict[str, list[float | None]] = Field(description="Headline figures and newest values of every series, by name.")


class EventOut(OutputModel):
    """Something that happened to a job; `seq` counts from 1 without gaps."""

    seq: int = Field(description="Place in the job's log.")
    type: str = Field(description="What happened; docs/api/events.md has every type, and there may be more one day.")
    data: dict[str, Any] = Field(description="More about it, by type.")
    at: Timestamp

    @classmethod
    def of(cls, row: JobEvent) -> Self:
        return cls.model_validate(row)


class MetricPointOut(OutputModel):
    """One value of a series; `step` counts inside its phase."""

    step: int
    value: float
    at: Timestamp


def public_kind(job: Job) -> PublicKind:
    """Return the kind of a job that callers may see; validations are none."""
    assert job.kind != JobKind.VALIDATION, f"{job.id} is internal"
    return cast(PublicKind, job.kind)


def progress_of(job: Job) -> ProgressOut:
    """Return the progress of a job; one that succeeded is done, whatever its last count was."""
    done = job.status == JobStatus.SUCCEEDED
    fraction = 1.0 if done else min(1.0, job.progress_step / job.progress_total) if job.progress_total else 0.0
    step = job.progress_total if done else job.progress_step
    return ProgressOut(step=step, total=job.progress_total, fraction=fraction, eta_s=0.0 if done else job.progress_eta_s)
