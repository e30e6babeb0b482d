"""Answers of a service that is newer or older than the client."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from farzi_client import Dataset, Job, UnexpectedAnswer

ANSWER = {
    "id": "job_1",
    "status": "failed",
    "kind": "distillation",
    "progress": {"step": 3, "total": 10, "fraction": 0.3, "eta_s": None, "colour": "blue"},
    "error": {"code": "numerical_failure", "message": "loss is NaN", "retryable": False},
    "runs": [{"id": "run_1", "number": 1, "started_at": "2026-01-02T03:04:05Z", "ended_at": None, "outcome": None}],
    "artifacts": [{"name": "report.json", "media_type": "application/json", "size_bytes": 2, "sha256": "00"}],
    "created_at": "2026-01-02T03:04:05.5Z",
    "from_the_future": {"a": 1},
}


def test_nested_objects_and_times_are_typed() -> None:
    job = Job.from_json(ANSWER)
    assert job.created_at == datetime(2026, 1, 2, 3, 4, 5, 500_000, tzinfo=UTC)
    assert job.runs[0].started_at == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert job.error is not None
    assert job.error.code == "numerical_failure"
    assert (job.progress.fraction, job.progress.eta_s, job.artifacts[0].name) == (0.3, None, "report.json")
    assert job.is_terminal


def test_unknown_fields_are_kept_aside() -> None:
    assert Job.from_json(ANSWER).raw["from_the_future"] == {"a": 1}


def test_missing_optional_fields_have_defaults() -> None:
    job = Job.from_json({"id": "job_1", "status": "queued"})
    assert (job.progress.step, job.runs, job.error, job.is_terminal) == (0, (), None, False)


@pytest.mark.parametrize("answer", [{"status": "ready"}, {"id": None, "status": "ready"}, [], None, "text"])
def test_an_answer_without_the_essentials_is_refused(answer: object) -> None:
    with pytest.raises(UnexpectedAnswer):
        Dataset.from_json(answer)


def test_an_answer_cannot_be_changed() -> None:
    job = Job.from_json(ANSWER)
    with pytest.raises(AttributeError):
        job.status = "succeeded"  # type: ignore[misc]
