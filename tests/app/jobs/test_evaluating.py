"""Evaluations: submitted, refused, shown; and jobs that are deleted or labelled."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from starlette.testclient import TestClient

from app.jobs.models import Artifact, Job, JobEvent, JobMetric, Manifest, Run
from app.services import Services
from app.storage import ObjectMissingError
from tests.app.driving import claim_job, code_of, make_ready, pointers_of, say_something, submit, succeed


@pytest.fixture
def done(client: TestClient, services: Services, tmp_path: Path) -> str:
    """A distillation that succeeded."""
    job_id = submit(client, make_ready(client, services))
    lease = claim_job(services, job_id)
    say_something(services, lease)
    succeed(services, lease, tmp_path, {"synthetic.safetensors": b"tensors"})
    return job_id


def evaluate(client: TestClient, job_id: str, **fields: Any) -> Any:
    return client.post("/v1/jobs", json={"kind": "evaluation", "job_id": job_id, **fields})


def test_an_evaluation_has_its_spec_resolved(client: TestClient, done: str) -> None:
    answer = evaluate(client, done, spec={"num_seeds": 2, "seed": 5}, metadata={"why": "check"})
    assert answer.status_code == 202
    job, source = answer.json(), client.get(f"/v1/jobs/{done}").json()
    assert (job["kind"], job["status"], job["source_job_id"]) == ("evaluation", "queued", done)
    assert job["dataset_id"] == source["dataset_id"]
    assert job["spec"]["students"] == ["sasrec", "gru4rec", "fmlp", "narm"]
    assert (job["spec"]["num_seeds"], job["spec"]["seed"]) == (2, 5)
    assert job["spec"]["ks"] == source["spec"]["evaluation"]["ks"]
    assert "architecture" not in job["spec"]["student"]
    listed = client.get("/v1/jobs", params={"source_job_id": done}).json()["data"]
    assert [item["id"] for item in listed] == [job["id"]]
    assert client.get(f"/v1/jobs/{job['id']}").json() == job


@pytest.mark.parametrize(
    ("spec", "pointer"),
    [
        ({"student": {"architecture": "sasrec"}}, "/spec/student/architecture"),
        ({"students": ["lstm"]}, "/spec/students"),
        ({"students": ["sasrec", "sasrec"]}, "/spec"),
        ({"evaluation": {}}, "/spec/evaluation"),
        ({"student": {"max_length": 10}}, "/spec/student/max_length"),
        ({"ks": [0]}, "/spec/ks/0"),
    ],
)
def test_bad_specs(client: TestClient, done: str, spec: dict[str, Any], pointer: str) -> None:
    answer = evaluate(client, done, spec=spec)
    assert code_of(answer, 422) == "invalid_spec"
    assert pointers_of(answer) == [pointer]


def test_only_the_result_of_a_distillation_can_be_judged(
    client: TestClient, services: Services, other_tenant: TestClient, done: str
) -> None:
    assert code_of(evaluate(client, "job_0"), 404) == "job_not_found"
    assert code_of(evaluate(other_tenant, done), 404) == "job_not_found"
    queued = submit(client, make_ready(client, services))
    assert code_of(evaluate(client, queued), 409) == "job_not_succeeded"
    evaluation = evaluate(client, done).json()["id"]
    answer = evaluate(client, evaluation)
    assert code_of(answer, 422) == "invalid_request"
    assert pointers_of(answer) == ["/job_id"]
    client.post(f"/v1/jobs/{evaluation}/cancel")
    dataset_id = client.get(f"/v1/jobs/{done}").json()["dataset_id"]
    assert client.delete(f"/v1/datasets/{dataset_id}").status_code == 204
    assert code_of(evaluate(client, done), 409) == "dataset_deleted"


@pytest.mark.parametrize("task", ["sequential_recommendation", "language_modeling"])
def test_the_schema_of_an_evaluation_names_its_students(client: TestClient, task: str) -> None:
    schema = client.get("/v1/spec/schema", params={"kind": "evaluation", "task": task}).json()
    students = schema["properties"]["students"]
    assert students["anyOf"][0]["items"]["enum"] == students["default"]
    assert ("lstm" in students["default"]) == (task == "language_modeling")
    assert schema["properties"]["teacher"]["default"]["num_steps"] > 0


def rows_of(services: Services, job_id: str) -> dict[str, int]:
    with services.reading_sessions() as session:
        tables = (Artifact, JobEvent, JobMetric, Manifest, Run)
        return {table.__name__: len(session.scalars(select(table).where(table.job_id == job_id)).all()) for table in tables}


def test_a_job_that_is_over_can_be_deleted(client: TestClient, services: Services, other_tenant: TestClient, done: str) -> None:
    with services.reading_sessions() as session:
        key = session.scalars(select(Artifact.object_key).where(Artifact.job_id == done)).one()
    assert code_of(other_tenant.delete(f"/v1/jobs/{done}"), 404) == "job_not_found"
    assert client.delete(f"/v1/jobs/{done}").status_code == 204
    for path in (f"/v1/jobs/{done}", f"/v1/jobs/{done}/events", f"/v1/jobs/{done}/artifacts"):
        assert code_of(client.get(path), 404) == "job_not_found"
    assert code_of(client.delete(f"/v1/jobs/{done}"), 404) == "job_not_found"
    assert client.get("/v1/jobs").json()["data"] == []
    assert rows_of(services, done) == {"Artifact": 0, "JobEvent": 0, "JobMetric": 0, "Manifest": 0, "Run": 1}
    with pytest.raises(ObjectMissingError):
        services.store.stat(key)
    with services.reading_sessions() as session:
        job = session.get_one(Job, done)
        assert (job.spec, job.user_metadata, job.metrics) == ({}, {}, {})


def test_what_is_not_over_or_is_being_judged_stays(client: TestClient, services: Services, done: str) -> None:
    queued = submit(client, make_ready(client, services))
    assert code_of(client.delete(f"/v1/jobs/{queued}"), 409) == "invalid_job_status"
    evaluation = evaluate(client, done).json()["id"]
    assert code_of(client.delete(f"/v1/jobs/{done}"), 409) == "job_in_use"
    client.post(f"/v1/jobs/{evaluation}/cancel")
    assert client.delete(f"/v1/jobs/{done}").status_code == 204
    assert client.get(f"/v1/jobs/{evaluation}").json()["source_job_id"] == done


def test_labels_are_set_and_removed_one_by_one(client: TestClient, other_tenant: TestClient, done: str) -> None:
    path = f"/v1/jobs/{done}"
    assert client.patch(path, json={"metadata": {"a": "1", "b": "2"}}).json()["metadata"] == {"a": "1", "b": "2"}
    changed = client.patch(path, json={"metadata": {"a": None, "c": "3"}}).json()
    assert changed["metadata"] == {"b": "2", "c": "3"}
    again = client.patch(path, json={"metadata": {"c": "3"}}).json()
    assert again == changed == client.get(path).json()
    assert code_of(other_tenant.patch(path, json={"metadata": {}}), 404) == "job_not_found"
    refused: list[dict[str, Any]] = [
        {},
        {"metadata": {"x" * 65: "1"}},
        {"metadata": {"x": 1}},
        {"status": "queued"},
        {"metadata": {}, "spec": {}},
    ]
    for bad in refused:
        assert code_of(client.patch(path, json=bad), 422) == "invalid_request"
    labels = {f"label-{number}": "x" for number in range(49)}
    answer = client.patch(path, json={"metadata": labels})
    assert code_of(answer, 422) == "invalid_request"
    assert pointers_of(answer) == ["/metadata"]
