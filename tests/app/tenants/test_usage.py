"""Usage is what the rows say, in sums of the database and in sums by hand."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy.orm import Session, sessionmaker
from starlette.testclient import TestClient

from app.jobs.models import Job, Run
from app.services import Services
from app.tenants.usage import count_active_jobs, count_stored_bytes, split_run_seconds, sum_month_seconds
from tests.app.driving import CONTENT, claim_job, code_of, make_ready, submit, succeed
from tests.services.rows import add_dataset, add_job

NOW = datetime(2026, 3, 2, 6, 0, tzinfo=UTC)


def test_usage_of_a_small_history(client: TestClient, services: Services, other_tenant: TestClient, tmp_path: Path) -> None:
    dataset_id = make_ready(client, services)
    done, waiting, cancelled = (submit(client, dataset_id) for _ in range(3))
    succeed(services, claim_job(services, done), tmp_path, {"a": b"12345", "b": b"678"})
    client.post(f"/v1/jobs/{cancelled}/cancel")
    usage = client.get("/v1/usage").json()
    assert usage["stored_bytes"] == len(CONTENT) + 8
    assert (usage["datasets"], usage["active_jobs"]) == (1, 1)
    assert usage["jobs_by_status"] == {"succeeded": 1, "queued": 1, "cancelled": 1}
    assert sum(usage["run_seconds_by_month"][usage["at"][:7]].values()) > 0
    assert usage["limits"]["stored_bytes"] is None
    nothing = other_tenant.get("/v1/usage").json()
    assert (nothing["stored_bytes"], nothing["datasets"], nothing["jobs_by_status"]) == (0, 0, {})
    assert client.get(f"/v1/jobs/{waiting}").json()["status"] == "queued"


def test_usage_needs_a_scope(client: TestClient) -> None:
    key = client.post("/v1/api-keys", json={"name": "k", "scopes": ["datasets:read"]}).json()["key"]
    assert code_of(client.get("/v1/usage", headers={"Authorization": f"Bearer {key}"}), 403) == "insufficient_scope"


@pytest.fixture
def runs(session_factory: sessionmaker[Session]) -> str:
    """A tenant with runs around the turn of a month and of days; returns its id."""
    spans = [  # queue, began, ended
        ("gpu", NOW - timedelta(days=3), NOW - timedelta(days=3) + timedelta(hours=1)),  # last month
        ("gpu", datetime(2026, 2, 28, 23, 0, tzinfo=UTC), datetime(2026, 3, 1, 2, 0, tzinfo=UTC)),  # over both midnights
        ("cpu", datetime(2026, 3, 1, 12, 0, tzinfo=UTC), datetime(2026, 3, 1, 12, 0, 30, tzinfo=UTC)),
        ("gpu", NOW - timedelta(minutes=10), None),  # under way
    ]
    with session_factory.begin() as session:
        dataset = add_dataset(session)
        for number, (queue, began, ended) in enumerate(spans):
            job = add_job(session, dataset, queue=queue)
            outcome = None if ended is None else "succeeded"
            times = {"started_at": began, "ended_at": ended}
            session.add(Run(id=f"run_{number}", job_id=job.id, number=1, worker="w", outcome=outcome, **times))
        stranger = add_job(session)
        session.add(Run(id="run_x", job_id=stranger.id, number=1, worker="w", started_at=NOW - timedelta(hours=5)))
        return dataset.tenant_id


def test_run_seconds_are_split_by_day_and_month(session_factory: sessionmaker[Session], runs: str) -> None:
    with session_factory() as session:
        seconds = split_run_seconds(session, runs, NOW)
    assert seconds.by_month == {
        "2026-02": {"gpu": 3600.0 + 3600.0, "cpu": 0.0},
        "2026-03": {"gpu": 7200.0 + 600.0, "cpu": 30.0},
    }
    assert seconds.by_day == {
        "2026-02-27": {"gpu": 3600.0, "cpu": 0.0},
        "2026-02-28": {"gpu": 3600.0, "cpu": 0.0},
        "2026-03-01": {"gpu": 7200.0, "cpu": 30.0},
        "2026-03-02": {"gpu": 600.0, "cpu": 0.0},
    }


def test_the_sum_that_quotas_use_is_the_same(session_factory: sessionmaker[Session], runs: str) -> None:
    with session_factory() as session:
        by_month = split_run_seconds(session, runs, NOW).by_month["2026-03"]
        for queue in ("gpu", "cpu"):
            assert sum_month_seconds(session, runs, queue, NOW) == pytest.approx(by_month[queue], abs=0.01)


def test_sums_are_those_of_the_rows(session_factory: sessionmaker[Session], runs: str) -> None:
    with session_factory.begin() as session:
        jobs = session.query(Job).filter_by(tenant_id=runs).all()
        statuses = Counter(job.status for job in jobs)
        assert count_active_jobs(session, runs) == statuses["queued"]
        jobs[0].deleted_at = NOW
        assert count_stored_bytes(session, runs) == 0
