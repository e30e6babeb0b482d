"""What is said of jobs: kinds, states, and what lists of them can be filtered by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

JobKind = Literal["distillation", "evaluation"]
JobStatus = Literal["queued", "running", "cancelling", "paused", "succeeded", "failed", "cancelled"]


def job_filters(*, status: str | Sequence[str] | None, metadata: Mapping[str, str] | None, **exact: Any) -> dict[str, Any]:
    """Return the query of a list of jobs."""
    labels = {f"metadata[{name}]": value for name, value in (metadata or {}).items()}
    moments = {name: value.isoformat() if isinstance(value, datetime) else value for name, value in exact.items()}
    statuses = [status] if isinstance(status, str) else status
    return {"status": list(statuses) if statuses else None, **moments, **labels}
