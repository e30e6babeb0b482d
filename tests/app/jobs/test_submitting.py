"""Jobs: submitted, refused, listed, shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select
from starlette.testclient import TestClient

from app.jobs.models import IdempotencyRecord, Job, JobEvent, OutboxMessage
from app.jobs.progress import JobWriter
from app.services import Services
from tests.app.driving import (
    LONGEST,
    NUM_SEQUENCES,
    SMALL_SPEC,
    claim_job,
    code_of,
    declare,
    make_invalid,
    make_ready,
    pointers_of,
    say_something,
    submit,
    succeed,
    upload,
)


def num_jobs(services: Services) -> int:
    with services.reading_sessions() as session:
        return session.scalar(select(func.count()).select_from(Job).where(Job.kind == "distillation")) or 0


def test_a_submitted_job_has_its_spec_resolved(client: TestClient, services: Services) -> None:
    dataset_id = make_ready(client, services)
    body = {"kind": "distillation", "dataset_id": dataset_id, "spec": SMALL_SPEC, "deadline_s": 60, "metadata": {"a": "b"}}
    answer = client.post("/v1/jobs", json=body)
    assert answer.status_code == 202
    job = answer.json()
    assert answer.headers["location"] == f"/v1/jobs/{job['id']}"
    assert (job["kind"], job["status"], job["dataset_id"]) == ("distillation", "queued", dataset_id)
    assert job["spec"]["synthetic"]["num_sequences"] == 10
    assert job["spec"]["inner"]["betas"] == [0.95, 0.975]
    assert job["progress"] == {"step": 0, "total": 0, "fraction": 0.0, "eta_s": None}
    assert (job["error"], job["runs"], job["metrics"], job["artifacts"]) == (None, [], {}, [])
    assert (job["deadline_s"], job["metadata"]) == (60, {"a": "b"})
    assert client.get(f"/v1/jobs/{job['id']}").json() == job
    with services.reading_sessions() as session:
        assert session.scalars(select(JobEvent.type).where(JobEvent.job_id == job["id"])).all() == ["job.queued"]
        assert session.scalar(select(OutboxMessage.queue).where(OutboxMessage.job_id == job["id"])) == "gpu"


@pytest.mark.parametrize(
    ("spec", "code", "pointer"),
    [
        ({"presett": "quick"}, "invalid_spec", "/spec/presett"),
        ({"preset": "fast"}, "invalid_spec", "/spec/preset"),
        ({"preset": ["quick"]}, "invalid_spec", "/spec/preset"),
        ({"student": {"hidden": 16}}, "invalid_spec", "/spec/student/hidden"),
        ({"student": 3}, "invalid_spec", "/spec/student"),
        ({"student": {"hidden_size": 32, "num_heads": 3}}, "invalid_spec", "/spec/student"),
        ({"inner": {"lr": "fast"}}, "invalid_spec", "/spec/inner/lr"),
        ({"outer": {"clip_norm": "mean"}}, "invalid_spec", "/spec/outer/clip_norm"),
        ({"student": {"architecture": "transformer_lm"}}, "invalid_spec", "/spec/student/architecture"),
        ({"synthetic": {"num_sequences": NUM_SEQUENCES + 1}}, "spec_exceeds_data", "/spec/synthetic/num_sequences"),
        ({"synthetic": {"sequence_length": LONGEST + 1}}, "spec_exceeds_data", "/spec/synthetic/sequence_length"),
    ],
)
def test_bad_specs(client: TestClient, services: Services, spec: dict[str, Any], code: str, pointer: str) -> None:
    base: dict[str, Any] = {"synthetic": {"num_sequences": 10, "sequence_length": 20}}
    merged = {**base, **spec, "synthetic": base["synthetic"] | spec.get("synthetic", {})}
    answer = client.post("/v1/jobs", json={"kind": "distillation", "dataset_id": make_ready(client, services), "spec": merged})
    assert code_of(answer, 422) == code
    assert set(pointers_of(answer)) == {pointer}
    assert num_jobs(services) == 0


@pytest.mark.parametrize(
    "fields",
    [
        {"kind": "validation", "dataset_id": "ds_0"},
        {"kind": "distillation"},
        {"kind": "distillation", "dataset_id": "ds_0", "job_id": "job_0"},
        {"kind": "distillation", "dataset_id": "ds_0", "priority": 1},
        {"kind": "distillation", "dataset_id": "ds_0", "deadline_s": 0},
        {"kind": "distillation", "dataset_id": "ds_0", "deadline_s": 15 * 24 * 3600},
        {"kind": "evaluation", "dataset_id": "ds_0"},
        {"kind": "distillation", "dataset_id": "ds_0", "spec": []},
        [],
        None,
    ],
)
def test_bad_submissions(client: TestClient, fields: Any) -> None:
    assert code_of(client.post("/v1/jobs", json=fields), 422) == "invalid_request"
    assert code_of(client.post("/v1/jobs"), 422) == "invalid_request"


def test_only_a_ready_data_set_can_be_distilled(client: TestClient, services: Services, other_tenant: TestClient) -> None:
    def attempt(dataset_id: str, by: TestClient = client) -> Any:
        return by.post("/v1/jobs", json={"kind": "distillation", "dataset_id": dataset_id, "spec": SMALL_SPEC})

    assert code_of(attempt("ds_0"), 404) == "dataset_not_found"
    assert code_of(attempt(make_ready(client, services), other_tenant), 404) == "dataset_not_found"
    assert code_of(attempt(declare(client)), 409) == "dataset_not_ready"
    assert code_of(attempt(upload(client)), 409) == "dataset_not_ready"
    assert code_of(attempt(make_invalid(client, services)), 422) == "dataset_invalid"
    assert num_jobs(services) == 0


def test_a_job_is_shown_as_it_goes(client: TestClient, services: Services, tmp_path: Path) -> None:
    job_id = submit(client, make_ready(client, services))
    lease = claim_job(services, job_id)
    say_something(services, lease)
    running = client.get(f"/v1/jobs/{job_id}").json()
    assert (running["status"], running["phase"]) == ("running", "distillation")
    assert running["progress"] == {"step": 25, "total": 100, "fraction": 0.25, "eta_s": None}
    assert running["metrics"] == {"outer_loss": 3.0}
    assert [(run["number"], run["ended_at"], run["outcome"]) for run in running["runs"]] == [(1, None, None)]
    series = client.get(f"/v1/jobs/{job_id}/metrics").json()
    assert [(point["step"], point["value"]) for point in series["outer_loss"]] == [(1, 4.0), (2, 3.0)]
    succeed(services, lease, tmp_path, {"report.json": b"{}"})
    done = client.get(f"/v1/jobs/{job_id}").json()
    assert (done["status"], done["progress"]["fraction"], done["runs"][0]["outcome"]) == ("succeeded", 1.0, "succeeded")
    assert done["metrics"] == {"outer_loss": 3.0, "ratio": 0.9}
    assert [artifact["name"] for artifact in done["artifacts"]] == ["report.json"]
    assert done["ended_at"] is not None


def test_a_failed_job_says_why(client: TestClient, services: Services) -> None:
    job_id = submit(client, make_ready(client, services))
    JobWriter(services.sessions, claim_job(services, job_id)).fail("numerical_failure", "NaN at step 3")
    error = client.get(f"/v1/jobs/{job_id}").json()["error"]
    assert error == {"code": "numerical_failure", "message": "NaN at step 3", "retryable": False}


def test_lists_and_filters(client: TestClient, services: Services, other_tenant: TestClient) -> None:
    dataset_id = make_ready(client, services)
    ids = [submit(client, dataset_id, metadata={"team": team, "run": "1"}) for team in ("a", "b", "a")]
    client.post(f"/v1/jobs/{ids[0]}/cancel")

    def listed(query: str, by: TestClient = client) -> list[str]:
        return [job["id"] for job in by.get(f"/v1/jobs?{query}").json()["data"]]

    assert listed("") == ids[::-1]
    assert listed("status=cancelled") == [ids[0]]
    assert listed("kind=evaluation") == []
    assert listed("metadata[team]=a") == [ids[2], ids[0]]
    assert listed("metadata[team]=a&metadata[run]=1&status=queued") == [ids[2]]
    assert listed("metadata[team]=c") == []
    assert listed("", other_tenant) == []
    page = client.get("/v1/jobs?limit=2&metadata[team]=a").json()
    assert (len(page["data"]), page["has_more"]) == (2, False)
    for query in ("status=done", "kind=validation", "meta[team]=a", "metadata[]=a"):
        assert code_of(client.get(f"/v1/jobs?{query}"), 422) == "invalid_request"


def test_unknown_and_foreign_jobs(client: TestClient, services: Services, other_tenant: TestClient) -> None:
    job_id = submit(client, make_ready(client, services))
    for suffix in ("", "/events", "/events/stream", "/metrics", "/artifacts", "/artifacts/report.json"):
        theirs, nobodys = other_tenant.get(f"/v1/jobs/{job_id}{suffix}"), other_tenant.get(f"/v1/jobs/job_0{suffix}")
        assert code_of(theirs, 404) == code_of(nobodys, 404) == "job_not_found"
        assert theirs.json()["detail"] == nobodys.json()["detail"]
    for action in ("cancel", "pause", "resume", "retry"):
        assert code_of(other_tenant.post(f"/v1/jobs/{job_id}/{action}"), 404) == "job_not_found"


class TestIdempotency:
    def test_a_repeat_is_answered_and_not_carried_out(self, client: TestClient, services: Services) -> None:
        body = {"kind": "distillation", "dataset_id": make_ready(client, services), "spec": SMALL_SPEC}
        headers = {"Idempotency-Key": "once"}
        first, second = (client.post("/v1/jobs", json=body, headers=headers) for _ in range(2))
        assert "idempotent-replayed" not in first.headers
        assert second.headers["idempotent-replayed"] == "true"
        assert (second.status_code, second.json()) == (first.status_code, first.json())
        assert second.headers["location"] == first.headers["location"]
        assert num_jobs(services) == 1

    def test_a_key_belongs_to_one_request_of_one_tenant(
        self, client: TestClient, services: Services, other_tenant: TestClient
    ) -> None:
        headers = {"Idempotency-Key": "mine"}
        body = {"name": "x", "task": "language_modeling", "format": "text"}
        assert client.post("/v1/datasets", json=body, headers=headers).status_code == 201
        other = client.post("/v1/datasets", json=body | {"name": "y"}, headers=headers)
        assert code_of(other, 422) == "idempotency_key_reused"
        assert code_of(client.post("/v1/jobs/job_0/cancel", headers=headers), 422) == "idempotency_key_reused"
        theirs = other_tenant.post("/v1/datasets", json=body, headers=headers)
        assert theirs.status_code == 201
        assert "idempotent-replayed" not in theirs.headers

    def test_an_error_changes_nothing_and_may_be_repeated(self, client: TestClient, services: Services) -> None:
        dataset_id = upload(client)
        body = {"kind": "distillation", "dataset_id": dataset_id, "spec": SMALL_SPEC}
        headers = {"Idempotency-Key": "again"}
        assert code_of(client.post("/v1/jobs", json=body, headers=headers), 409) == "dataset_not_ready"
        with services.reading_sessions() as session:
            assert session.scalar(select(func.count()).select_from(IdempotencyRecord)) == 0

    @pytest.mark.parametrize("key", ["", "x" * 256, "a\tb"])
    def test_bad_keys(self, client: TestClient, key: str) -> None:
        body = {"name": "x", "task": "language_modeling", "format": "text"}
        answer = client.post("/v1/datasets", json=body, headers={"Idempotency-Key": key})
        assert code_of(answer, 422) == "invalid_idempotency_key"

    @pytest.mark.service
    def test_a_request_in_flight_is_not_carried_out_twice(self, client: TestClient, services: Services) -> None:
        if services.engine.dialect.name == "sqlite":
            return  # one writer at a time: the second request waits for the first and is answered like it
        body = {"name": "x", "task": "language_modeling", "format": "text"}
        tenant_id = client.get("/v1/datasets").json() and _tenant_id(services)
        with services.sessions.begin() as session:
            lock = "SELECT pg_try_advisory_xact_lock(hashtextextended(%s || E'\\n' || 'busy', 0))"
            session.connection().exec_driver_sql(lock, (tenant_id,))
            busy = client.post("/v1/datasets", json=body, headers={"Idempotency-Key": "busy"})
            assert code_of(busy, 409) == "idempotency_key_in_flight"
        assert client.post("/v1/datasets", json=body, headers={"Idempotency-Key": "busy"}).status_code == 201


def _tenant_id(services: Services) -> str:
    with services.engine.connect() as connection:
        return str(connection.exec_driver_sql("SELECT id FROM tenants").scalar_one())
