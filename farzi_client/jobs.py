"""What is said of jobs: kinds, states, and what lists of them can be filtered by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, TypedDict

JobKind = Literal["distillation", "evaluation"]
JobStatus = Literal["queued", "running", "cancelling", "paused", "succeeded", "failed", "cancelled"]


class JobFilters(TypedDict, total=False):
    """What a list of jobs can be filtered by; None and what is left out filter nothing.

    Attributes:
        status: this one, or any of several.
        kind: what the job does.
        dataset_id: of the data.
        source_job_id: evaluations of this distillation.
        created_after: created at this moment or later; needs a time zone.
        created_before: created before this moment; needs a time zone.
        metadata: labels that the job has to have.
    """

    status: JobStatus | Sequence[JobStatus] | None
    kind: JobKind | None
    dataset_id: str | None
    source_job_id: str | None
    created_after: datetime | None
    created_before: datetime | None
    metadata: Mapping[str, str] | None


def read_filters(filters: JobFilters) -> dict[str, Any]:
    """Return the query of a list of jobs.

    Raises:
        TypeError: there is no such filter.
    """
    if unknown := filters.keys() - JobFilters.__optional_keys__:
        raise TypeError(f"jobs cannot be filtered by {', '.join(sorted(unknown))}; by {', '.join(JobFilters.__annotations__)}")
    exact = {name: value for name, value in filters.items() if name not in {"status", "metadata"}}
    moments = {name: value.isoformat() for name, value in exact.items() if isinstance(value, datetime)}
    status, labels = filters.get("status"), filters.get("metadata") or {}
    statuses = [status] if isinstance(status, str) else list(status or ())
    return {"status": statuses or None, **exact, **moments, **{f"metadata[{name}]": value for name, value in labels.items()}}
