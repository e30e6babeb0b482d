"""Lists of jobs: every filter, and that an index answers each on Postgres."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text
from starlette.testclient import TestClient

from app.db import first_id_at
from app.jobs import repository
from app.jobs.leases import next_queued
from app.jobs.models import Job
from app.jobs.schemas import JobQuery
from app.pagination import cursors_of_list, encode_cursor
from app.services import Services
from app.tenant_wall import BIND
from tests.app.driving import claim_job, code_of, make_ready, submit
from tests.app.explaining import analyze, plans
from tests.services.rows import add_dataset, add_job


def ids_of(client: TestClient, **params: Any) -> list[str]:
    answer = client.get("/v1/jobs", params=params)
    assert answer.status_code == 200, answer.text
    return [job["id"] for job in answer.json()["data"]]


def test_filters_alone_and_together(client: TestClient, services: Services) -> None:
    dataset_id, other = make_ready(client, services), make_ready(client, services)
    queued = submit(client, dataset_id, metadata={"team": "search", "run.1": "a'b\"c"})
    running = submit(client, dataset_id, metadata={"team": "search"})
    cancelled = submit(client, other, metadata={"team": "ads"})
    claim_job(services, running)
    client.post(f"/v1/jobs/{cancelled}/cancel")
    assert ids_of(client) == [cancelled, running, queued]
    assert ids_of(client, status="running") == [running]
    assert ids_of(client, status=["queued", "cancelled", "queued"]) == [cancelled, queued]
    assert ids_of(client, status=["queued", "running"], dataset_id=other) == []
    assert ids_of(client, dataset_id=dataset_id) == [running, queued]
    assert ids_of(client, kind="distillation", **{"metadata[team]": "search"}) == [running, queued]
    assert ids_of(client, **{"metadata[team]": "search", "metadata[run.1]": "a'b\"c"}) == [queued]
    assert ids_of(client, **{"metadata[team]": "sea%"}) == []
    assert ids_of(client, kind="evaluation") == []
    assert ids_of(client, source_job_id=queued) == []


def test_pages_of_several_statuses_neither_miss_nor_repeat(client: TestClient, services: Services) -> None:
    dataset_id = make_ready(client, services)
    jobs = [submit(client, dataset_id) for _ in range(7)]
    for job_id in jobs[::3]:
        client.post(f"/v1/jobs/{job_id}/pause")
    seen: list[str] = []
    params: dict[str, Any] = {"status": ["queued", "paused"], "limit": 2}
    while True:
        page = client.get("/v1/jobs", params=params).json()
        seen += [job["id"] for job in page["data"]]
        params["cursor"] = page["next_cursor"]
        if not page["has_more"]:
            break
    assert seen == jobs[::-1]


def test_times_bound_the_list(client: TestClient, services: Services) -> None:
    dataset_id = make_ready(client, services)
    first, second = submit(client, dataset_id), submit(client, dataset_id)
    created = client.get(f"/v1/jobs/{second}").json()["created_at"]
    assert ids_of(client, created_after=created) == [second]
    assert ids_of(client, created_before=created) == [first]
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    assert ids_of(client, created_after=tomorrow) == []
    assert ids_of(client, created_before=tomorrow, created_after="1970-01-01T00:00:00Z") == [second, first]
    assert ids_of(client, created_before="0001-01-01T00:00:00Z") == []


@pytest.mark.parametrize("offset", ["Z", "+23:59", "-23:59"])
def test_the_ends_of_the_calendar_bound_the_list(client: TestClient, services: Services, offset: str) -> None:
    """Times that no other time comes before or after, in UTC or by their offset."""
    first, last = f"0001-01-01T00:00:00{offset}", f"9999-12-31T23:59:59.999999{offset}"
    job_id = submit(client, make_ready(client, services))
    assert ids_of(client, created_after=first, created_before=last) == [job_id]
    assert ids_of(client, created_after=last) == ids_of(client, created_before=first) == []


@pytest.mark.parametrize(
    "params",
    [
        {"status": "done"},
        {"status": ["queued", "done"]},
        {"kind": "validation"},
        {"created_after": "yesterday"},
        {"created_after": "2026-01-01T00:00:00"},
        {"metadata": "x"},
        {"metadata[]": "x"},
        {"meta[a]": "x"},
        {"tenant_id": "x"},
    ],
)
def test_bad_filters_are_refused(client: TestClient, params: dict[str, Any]) -> None:
    assert code_of(client.get("/v1/jobs", params=params), 422) == "invalid_request"


NUM_JOBS = 3000
FILTERS: dict[str, dict[str, Any]] = {
    "none": {},
    "status": {"status": ["paused"]},
    "statuses": {"status": ["paused", "failed", "queued"]},
    "kind": {"kind": "distillation"},
    "data set": {"dataset_id": "ds_0"},
    "evaluations": {"source_job_id": "job_0"},
    "label": {"metadata[team]": "team 3"},
    "rare label": {"metadata[number]": "17"},
    "after": {"created_after": datetime.now(UTC) - timedelta(minutes=1)},
    "before": {"created_before": datetime.now(UTC) - timedelta(days=1)},
    "all": {"status": ["paused"], "kind": "distillation", "metadata[team]": "team 3"},
}


@pytest.fixture
def many_jobs(services: Services) -> tuple[str, str]:
    """A tenant with jobs enough that scanning them all would look bad, and one of the jobs."""
    with services.sessions.begin() as session:
        dataset = add_dataset(session)
        template = add_job(session, dataset)
        own = {"id", "status", "metadata", "created_at", "ended_at"}
        columns = [column.name for column in Job.__table__.columns if column.name not in own]
        names = ", ".join(columns)
        session.execute(
            text(
                f"INSERT INTO jobs (id, created_at, status, ended_at, metadata, {names}) "
                "SELECT 'job_' || lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || lpad(n::text, 20, '0'), "
                "at, (ARRAY['queued', 'succeeded', 'failed', 'cancelled', 'paused'])[1 + n % 5], "
                "CASE WHEN n % 5 BETWEEN 1 AND 3 THEN at END, "
                "jsonb_build_object('team', 'team ' || n % 10, 'number', n::text), "
                f"{names} FROM jobs, generate_series(1, {NUM_JOBS}) n, "
                "LATERAL (SELECT created_at - n * interval '1 minute' AS at) WHERE id = :id"
            ),
            {"id": template.id},
        )
        session.execute(
            text(
                "INSERT INTO job_labels (tenant_id, key, value, job_id) "
                "SELECT tenant_id, label.key, label.value, id FROM jobs, jsonb_each_text(metadata) AS label"
            )
        )
    analyze(services)
    return dataset.tenant_id, template.id


@pytest.mark.parametrize("settings", [pytest.param("servers", marks=pytest.mark.service)], indirect=True)
def test_no_list_reads_every_job(services: Services, client: TestClient, many_jobs: tuple[str, str]) -> None:
    del client
    tenant_id, job_id = many_jobs
    middle = first_id_at("job", datetime.now(UTC) - timedelta(minutes=NUM_JOBS // 2))
    with plans(services) as found, services.reading_sessions() as session, cursors_of_list(b"x" * 32, tenant_id, "/v1/jobs"):
        session.connection().exec_driver_sql(BIND, (tenant_id,))  # as a request is carried out
        for name, filters in FILTERS.items():
            for cursor in (None, encode_cursor(middle)):
                rows, _ = repository.list_jobs(session, tenant_id, JobQuery.model_validate({**filters, "cursor": cursor}))
                repository.load_details(session, rows)
                assert found, name
                assert not [plan for plan in found if "Seq Scan on job" in plan], (name, found)
                found.clear()
        assert repository.find_job(session, tenant_id, job_id) is not None
        repository.is_being_evaluated(session, job_id)
        assert not [plan for plan in found if "Seq Scan" in plan], found


@pytest.mark.parametrize("settings", [pytest.param("servers", marks=pytest.mark.service)], indirect=True)
def test_whose_turn_it_is_is_found_without_reading_the_queue(
    services: Services, client: TestClient, many_jobs: tuple[str, str]
) -> None:
    del client, many_jobs
    with plans(services) as found, services.reading_sessions() as session:
        assert next_queued(session, "gpu") is not None
    (plan,) = (plan for plan in found if "ix_jobs_waiting" in plan)
    assert "Seq Scan on jobs" not in plan, plan
