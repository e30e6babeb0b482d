"""What examples of the OpenAPI document say of jobs: one distillation at several moments of its life.

Every sample is one that the service could send, or takes.
"""

from __future__ import annotations

from typing import Any

from app.openapi_data_samples import LABELS, READY_DATASET, SHA256, at, example_id
from farzi_core.config import DataSummary
from farzi_core.data_choices import fill_in
from farzi_core.presets import resolve_spec

SPEC = {"preset": "quick"}
JOB_BODY = {"kind": "distillation", "dataset_id": example_id("ds"), "spec": SPEC, "deadline_s": 3600.0, "metadata": LABELS}
_SIZES = ("num_sequences", "num_events", "vocab_size", "max_sequence_length")
_DATA = DataSummary("sequential_recommendation", *(READY_DATASET[name] for name in _SIZES))
ARTIFACT = {"name": "sequences.jsonl", "media_type": "application/jsonl", "size_bytes": 40213, "sha256": SHA256}
_RUN = {"id": example_id("run"), "number": 1, "started_at": at("12:00:01"), "ended_at": None, "outcome": None}
_OVER = {"ended_at": at("12:04:40")}
QUEUED_JOB: dict[str, Any] = {
    "id": example_id("job"),
    "object": "job",
    "kind": "distillation",
    "status": "queued",
    "stop_requested": None,
    "dataset_id": example_id("ds"),
    "source_job_id": None,
    "spec": fill_in(resolve_spec("sequential_recommendation", SPEC), _DATA).model_dump(mode="json"),
    "batch_divisor": 1,
    "deadline_s": 3600.0,
    "metadata": LABELS,
    "phase": None,
    "progress": {"step": 0, "total": 0, "fraction": 0.0, "eta_s": None},
    "error": None,
    "runs": [],
    "metrics": {},
    "artifacts": [],
    "created_at": at("12:00:00"),
    "updated_at": at("12:00:00"),
    "started_at": None,
    "ended_at": None,
}
RUNNING_JOB = {
    **QUEUED_JOB,
    "status": "running",
    "phase": "distillation",
    "progress": {"step": 250, "total": 1000, "fraction": 0.25, "eta_s": 209.0},
    "runs": [_RUN],
    "metrics": {"outer_loss": 3.91},
    "updated_at": at("12:01:10"),
    "started_at": at("12:00:01"),
}
SUCCEEDED_JOB = {
    **RUNNING_JOB,
    **_OVER,
    "status": "succeeded",
    "phase": "artifacts",
    "progress": {"step": 1000, "total": 1000, "fraction": 1.0, "eta_s": 0.0},
    "runs": [{**_RUN, **_OVER, "outcome": "succeeded"}],
    "metrics": {"outer_loss": 3.12, "ratio_ndcg@10_mean": 0.97},
    "artifacts": [ARTIFACT],
    "updated_at": _OVER["ended_at"],
}
PAUSED_JOB = {**RUNNING_JOB, "status": "paused", "runs": [{**_RUN, "ended_at": at("12:01:20"), "outcome": "paused"}]}
_COMPARED = {
    **{name: SUCCEEDED_JOB[name] for name in ("id", "kind", "status", "dataset_id", "source_job_id", "metadata", "created_at")},
    "seconds": 279.0,
    "size_bytes": 181402,
}
OTHER_JOB_ID = "job_01943e7040d17a52b3c9d8e7f6a51423"

OF_SCHEMA: dict[str, Any] = {
    "ArtifactOut": ARTIFACT,
    "ComparisonOut": {
        "object": "comparison",
        "jobs": [_COMPARED, {**_COMPARED, "id": OTHER_JOB_ID, "seconds": 412.0, "size_bytes": 260117}],
        "spec": {"synthetic.num_sequences": [20, 50]},
        "metrics": {"ratio_ndcg@10_mean": [0.97, 0.98]},
    },
    "EventOut": {"seq": 7, "type": "validation.measured", "data": {"step": 250}, "at": RUNNING_JOB["updated_at"]},
    "JobCreate": JOB_BODY,
    "JobOut": RUNNING_JOB,
    "MetricPointOut": {"step": 250, "value": 3.91, "at": RUNNING_JOB["updated_at"]},
}
OF_OPERATION: dict[str, Any] = {
    "cancel_job": {**RUNNING_JOB, "status": "cancelling", "stop_requested": "cancel"},
    "create_job": QUEUED_JOB,
    "estimate_job": {
        "object": "estimate",
        "seconds_p50": 281.0,
        "seconds_p90": 390.0,
        "peak_memory_bytes": 734003200,
        "output_bytes": 180000,
        "would_exceed_quota": False,
        "phases": {"startup": 6.0, "teacher": 55.0, "distillation": 160.0, "evaluation": 58.0, "artifacts": 2.0},
        "basis": {
            "speeds": "measured",
            "machine": "worker-1 cpu 2 threads",
            "measured_at": at("03:00:00"),
            "num_finished_jobs": 12,
            "relative_error": 0.388,
        },
    },
    "get_job": SUCCEEDED_JOB,
    "pause_job": {**RUNNING_JOB, "stop_requested": "pause"},
    "resume_job": {**PAUSED_JOB, "status": "queued"},
    "retry_job": {**PAUSED_JOB, "status": "queued", "runs": [{**_RUN, "ended_at": at("12:01:20"), "outcome": "failed"}]},
}
