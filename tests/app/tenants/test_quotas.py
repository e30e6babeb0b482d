"""Quotas: refused where they are used up, whoever asks at the same time, and set by the operator per tenant."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from app.datasets.models import Dataset
from app.jobs.models import Artifact, Job
from app.jobs.states import Queue
from app.services import Services
from app.settings import Settings
from app.tenants.models import Tenant
from app.tenants.quotas import QUOTA_NAMES, QuotaGuard, Quotas
from app.tenants.schemas import QuotasOut
from tests.app.driving import CONTENT, SMALL_SPEC, claim_job, code_of, declare, make_ready, submit, succeed


def set_quotas(services: Services, **limits: int | None) -> None:
    """Give every tenant its own limits."""
    with services.sessions.begin() as session:
        for tenant in session.query(Tenant):
            for name, limit in limits.items():
                setattr(tenant, f"quota_{name}", limit)


def at_once(action: Callable[[], Any], count: int) -> list[Any]:
    """Return what ``count`` threads got that began together."""
    results: list[Any] = []
    barrier = threading.Barrier(count)

    def run() -> None:
        barrier.wait()
        results.append(action())

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_data_sets_are_counted(client: TestClient, services: Services) -> None:
    set_quotas(services, datasets=2)
    first = declare(client)
    declare(client)
    refused = client.post("/v1/datasets", json={"name": "x", "task": "sequential_recommendation", "format": "csv"})
    assert code_of(refused, 403) == "quota_exceeded"
    assert refused.json()["quota"] == {"name": "datasets", "limit": 2, "used": 2}
    assert "delete data sets" in refused.json()["detail"]
    assert client.delete(f"/v1/datasets/{first}").status_code == 204
    declare(client)


def test_stored_bytes_are_counted(client: TestClient, services: Services) -> None:
    set_quotas(services, stored_bytes=len(CONTENT) + 1)
    first, second = declare(client), declare(client)
    assert client.put(f"/v1/datasets/{first}/content", content=CONTENT).status_code == 202
    refused = client.put(f"/v1/datasets/{second}/content", content=CONTENT)
    assert code_of(refused, 403) == "quota_exceeded"
    assert refused.json()["quota"] == {"name": "stored_bytes", "limit": len(CONTENT) + 1, "used": len(CONTENT)}
    chunks = client.put(f"/v1/datasets/{second}/content", content=iter([CONTENT[:5], CONTENT[5:]]))
    assert code_of(chunks, 403) == "quota_exceeded", "a body without a length is counted when it has come"
    assert client.get(f"/v1/datasets/{second}").json()["status"] == "awaiting_upload"
    assert client.put(f"/v1/datasets/{second}/content", content=b"1").status_code == 202


def test_an_upload_in_parts_is_counted_when_it_begins(client: TestClient, services: Services) -> None:
    set_quotas(services, stored_bytes=1000)
    body = {"size_bytes": 600, "sha256": "0" * 64}
    first, second = declare(client), declare(client)
    assert client.post(f"/v1/datasets/{first}/uploads", json=body).status_code == 201
    assert code_of(client.post(f"/v1/datasets/{second}/uploads", json=body), 403) == "quota_exceeded"
    assert client.get("/v1/usage").json()["stored_bytes"] == 600


def test_active_jobs_are_counted(client: TestClient, services: Services) -> None:
    dataset_id = make_ready(client, services)
    set_quotas(services, active_jobs=2)
    first, second = submit(client, dataset_id), submit(client, dataset_id)
    body = {"kind": "distillation", "dataset_id": dataset_id}
    assert code_of(client.post("/v1/jobs", json=body), 403) == "quota_exceeded"
    client.post(f"/v1/jobs/{first}/cancel")
    third = submit(client, dataset_id)
    assert code_of(client.post(f"/v1/jobs/{first}/retry"), 403) == "quota_exceeded"
    assert client.get(f"/v1/jobs/{first}").json()["status"] == "cancelled"
    for job_id in (second, third):
        client.post(f"/v1/jobs/{job_id}/cancel")
    assert client.post(f"/v1/jobs/{first}/retry").json()["status"] == "queued"


def test_seconds_of_the_month_are_counted(client: TestClient, services: Services) -> None:
    dataset_id = make_ready(client, services)
    claim_job(services, submit(client, dataset_id))
    set_quotas(services, gpu_seconds_per_month=0)
    refused = client.post("/v1/jobs", json={"kind": "distillation", "dataset_id": dataset_id})
    assert code_of(refused, 403) == "quota_exceeded"
    assert refused.json()["quota"]["name"] == "gpu_seconds_per_month"
    set_quotas(services, gpu_seconds_per_month=3600)
    submit(client, dataset_id)


def test_many_at_once_do_not_pass_together(client: TestClient, services: Services) -> None:
    dataset_id = make_ready(client, services)
    set_quotas(services, active_jobs=3, datasets=4)
    body = {"kind": "distillation", "dataset_id": dataset_id, "spec": SMALL_SPEC}
    statuses = at_once(lambda: client.post("/v1/jobs", json=body).status_code, 8)
    assert sorted(statuses) == [202] * 3 + [403] * 5
    declaration = {"name": "x", "task": "sequential_recommendation", "format": "csv"}
    statuses = at_once(lambda: client.post("/v1/datasets", json=declaration).status_code, 8)
    assert sorted(statuses) == [201] * 3 + [403] * 5
    ids = [declare_without_quota(client, services) for _ in range(6)]
    set_quotas(services, datasets=None, stored_bytes=taken_bytes(client) + 3 * len(CONTENT))
    waiting = iter(ids)
    statuses = at_once(lambda: client.put(f"/v1/datasets/{next(waiting)}/content", content=CONTENT).status_code, 6)
    assert sorted(statuses) == [202] * 3 + [403] * 3


def declare_without_quota(client: TestClient, services: Services) -> str:
    set_quotas(services, datasets=None)
    return declare(client)


def taken_bytes(client: TestClient) -> int:
    """Return what counts for the quota: what is stored and what is reserved."""
    usage = client.get("/v1/usage").json()
    taken: int = usage["stored_bytes"] + usage["reserved_bytes"]
    return taken


def test_what_a_result_will_take_is_reserved(client: TestClient, services: Services, tmp_path: Path) -> None:
    dataset_id = make_ready(client, services)
    body = {"kind": "distillation", "dataset_id": dataset_id, "spec": SMALL_SPEC}

    def used() -> tuple[int, int]:
        usage = client.get("/v1/usage").json()
        check_sums(services, usage)
        return usage["stored_bytes"], usage["reserved_bytes"]

    expected = client.post("/v1/jobs/estimate", json=body).json()["output_bytes"]
    assert expected > 1000
    assert used() == (len(CONTENT), 0)
    first, second = submit(client, dataset_id), submit(client, dataset_id)
    assert used() == (len(CONTENT), 2 * expected)
    lease = claim_job(services, first)
    assert used() == (len(CONTENT), 2 * expected), "while it runs too"
    succeed(services, lease, tmp_path, {"report.json": b"x" * (expected + 7)})
    stored = len(CONTENT) + expected + 7
    assert used() == (stored, expected), "what is published counts as it is"
    client.post(f"/v1/jobs/{second}/pause")
    assert used() == (stored, expected)
    client.post(f"/v1/jobs/{second}/cancel")
    assert used() == (stored, 0)

    set_quotas(services, stored_bytes=stored + expected - 1)
    assert client.post("/v1/jobs/estimate", json=body).json()["would_exceed_quota"]
    for refused in (client.post("/v1/jobs", json=body), client.post(f"/v1/jobs/{second}/retry")):
        assert code_of(refused, 403) == "quota_exceeded"
        assert refused.json()["quota"] == {"name": "stored_bytes", "limit": stored + expected - 1, "used": stored}
    assert used() == (stored, 0), "a refusal reserves nothing"
    set_quotas(services, stored_bytes=stored + expected)
    assert not client.post("/v1/jobs/estimate", json=body).json()["would_exceed_quota"]
    assert client.post(f"/v1/jobs/{second}/retry").status_code == 200
    assert used() == (stored, expected)
    refused = client.put(f"/v1/datasets/{declare(client)}/content", content=CONTENT)
    assert code_of(refused, 403) == "quota_exceeded", "an upload cannot take what is reserved"
    assert refused.json()["quota"]["used"] == stored + expected
    assert f"{expected} of them reserved" in refused.json()["detail"]
    client.post(f"/v1/jobs/{second}/cancel")
    client.delete(f"/v1/jobs/{first}")
    assert used() == (len(CONTENT), 0)


def test_reservations_at_once_do_not_pass_together(client: TestClient, services: Services) -> None:
    dataset_id = make_ready(client, services)
    body = {"kind": "distillation", "dataset_id": dataset_id, "spec": SMALL_SPEC}
    expected = client.post("/v1/jobs/estimate", json=body).json()["output_bytes"]
    set_quotas(services, stored_bytes=len(CONTENT) + 3 * expected)
    statuses = at_once(lambda: client.post("/v1/jobs", json=body).status_code, 8)
    assert sorted(statuses) == [202] * 3 + [403] * 5
    assert client.get("/v1/usage").json()["reserved_bytes"] == 3 * expected


def check_sums(services: Services, usage: dict[str, Any]) -> None:
    """Compare what the service says with the rows, summed here."""
    with services.reading_sessions() as session:
        jobs = {job.id: job for job in session.query(Job) if job.deleted_at is None}
        published = sum(artifact.size_bytes for artifact in session.query(Artifact) if artifact.job_id in jobs)
        uploaded = sum(dataset.size_bytes or 0 for dataset in session.query(Dataset) if dataset.deleted_at is None)
        reserved = sum(job.reserved_bytes for job in jobs.values() if job.ended_at is None)
    assert (usage["stored_bytes"], usage["reserved_bytes"]) == (published + uploaded, reserved)


def test_settings_are_the_defaults_and_a_tenants_own_limits_win(client: TestClient, services: Services) -> None:
    guard = QuotaGuard(Settings(quota_datasets=7, quota_active_jobs=9))
    set_quotas(services, active_jobs=1)
    with services.reading_sessions() as session:
        tenant_id = session.query(Tenant).one().id
        assert guard.limits_of(session, tenant_id) == Quotas(None, 7, 1, None, None)


def test_the_estimate_can_ask_before(client: TestClient, services: Services) -> None:
    dataset_id = make_ready(client, services)
    submit(client, dataset_id)
    with services.reading_sessions() as session:
        tenant_id = session.query(Tenant).one().id

    def exceeds(seconds: float = 10.0, output_bytes: int = 10) -> bool:
        with services.reading_sessions() as session:
            return services.quotas.would_exceed_quota(session, tenant_id, Queue.GPU, seconds=seconds, output_bytes=output_bytes)

    assert not exceeds()
    set_quotas(services, gpu_seconds_per_month=100, stored_bytes=taken_bytes(client) + 999)
    assert not exceeds()
    assert exceeds(seconds=101.0)
    assert exceeds(output_bytes=1000)
    set_quotas(services, active_jobs=1)
    assert exceeds()


def test_every_quota_is_shown_and_has_a_setting() -> None:
    assert list(QuotasOut.model_fields) == list(QUOTA_NAMES)
    assert {f"quota_{name}" for name in QUOTA_NAMES} <= set(Settings.model_fields)


@pytest.mark.parametrize("name", QUOTA_NAMES)
def test_every_quota_has_a_column(name: str) -> None:
    assert hasattr(Tenant, f"quota_{name}")
