"""What a submission is checked against is the training part of its data, not the whole of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from app.datasets.models import Dataset
from app.services import Services
from tests.app.driving import claim_job, code_of, pointers_of, submit, succeed, upload, validate

TEXT = {"task": "language_modeling", "format": "text"}


def ready(client: TestClient, services: Services, statistics: dict[str, Any], declared: dict[str, Any], **sizes: int) -> str:
    """Return the id of a data set whose report says this."""
    dataset_id = upload(client, **declared)
    report = {"num_problems": 0, "problems": [], "statistics": statistics}
    validate(services, dataset_id, num_sequences=60, report=report, **sizes)
    return dataset_id


def attempt(client: TestClient, dataset_id: str, num_sequences: int = 10, length: int = 2, path: str = "/v1/jobs") -> Any:
    spec = {"preset": "quick", "synthetic": {"num_sequences": num_sequences, "sequence_length": length}}
    return client.post(path, json={"kind": "distillation", "dataset_id": dataset_id, "spec": spec})


@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/jobs/estimate"])
def test_sequences_of_three_events_leave_nothing_to_learn_from(client: TestClient, services: Services, path: str) -> None:
    dataset_id = ready(client, services, {"num_short_sequences": 20}, {}, num_events=140, max_sequence_length=3)
    answer = attempt(client, dataset_id, path=path)
    assert code_of(answer, 422) == "sequences_too_short"
    assert pointers_of(answer) == ["/dataset_id"]
    assert "4 events" in answer.json()["detail"]


@pytest.mark.parametrize("statistics", [{"num_short_sequences": 20}, {}])
def test_a_sequence_of_two_events_is_trained_on_and_an_old_report_need_not_say(
    client: TestClient, services: Services, statistics: dict[str, Any]
) -> None:
    dataset_id = ready(client, services, statistics, {}, num_events=141, max_sequence_length=3)
    assert attempt(client, dataset_id).status_code == 202


def test_a_synthetic_sequence_is_no_longer_than_what_is_trained_on(client: TestClient, services: Services) -> None:
    dataset_id = ready(client, services, {}, {}, num_events=360, max_sequence_length=6)
    assert attempt(client, dataset_id, length=4).status_code == 202
    answer = attempt(client, dataset_id, length=5)
    assert code_of(answer, 422) == "spec_exceeds_data"
    assert pointers_of(answer) == ["/spec/synthetic/sequence_length"]
    assert "choose at most 4" in answer.json()["detail"]


def test_of_a_text_the_training_lines_count(client: TestClient, services: Services) -> None:
    dataset_id = ready(client, services, {"num_train_events": 40}, TEXT, num_events=400, max_sequence_length=6)
    assert attempt(client, dataset_id, num_sequences=10, length=4).status_code == 202
    answer = attempt(client, dataset_id, num_sequences=11, length=4)
    assert pointers_of(answer) == ["/spec/synthetic/num_sequences"]
    answer = attempt(client, dataset_id, num_sequences=1, length=41)
    assert pointers_of(answer) == ["/spec/synthetic/sequence_length"]
    old = ready(client, services, {}, TEXT, num_events=400, max_sequence_length=6)
    assert attempt(client, old, num_sequences=11, length=4).status_code == 202


def test_a_result_that_was_accepted_can_still_be_judged(client: TestClient, services: Services, tmp_path: Path) -> None:
    dataset_id = ready(client, services, {}, {}, num_events=1320, max_sequence_length=22)
    job_id = submit(client, dataset_id)
    succeed(services, claim_job(services, job_id), tmp_path, {"synthetic.safetensors": b"tensors"})
    with services.sessions.begin() as session:
        session.get_one(Dataset, dataset_id).max_sequence_length = 20
    answer = client.post("/v1/jobs", json={"kind": "evaluation", "job_id": job_id, "spec": {}})
    assert answer.status_code == 202, answer.text
