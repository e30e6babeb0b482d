"""Cancel, pause, resume, retry: from every status, twice."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import func, select
from starlette.testclient import TestClient

from app.clock import database_now
from app.jobs import endings
from app.jobs.leases import Lease, lock_held
from app.jobs.models import OutboxMessage
from app.jobs.progress import JobWriter
from app.services import Services
from tests.app.driving import claim_job, code_of, make_ready, submit, succeed

REFUSED = "refused"
# From each status, the status after each action; "running+pause" is a running job that was asked to pause.
EXPECTED = {
    "queued": {"cancel": "cancelled", "pause": "paused", "resume": "queued", "retry": "queued"},
    "running": {"cancel": "cancelling", "pause": "running+pause", "resume": "running", "retry": "running"},
    "running+pause": {"cancel": "cancelling", "pause": "running+pause", "resume": "running", "retry": "running+pause"},
    "cancelling": {"cancel": "cancelling", "pause": REFUSED, "resume": REFUSED, "retry": REFUSED},
    "paused": {"cancel": "cancelled", "pause": "paused", "resume": "queued", "retry": REFUSED},
    "succeeded": {"cancel": REFUSED, "pause": REFUSED, "resume": REFUSED, "retry": REFUSED},
    "failed": {"cancel": REFUSED, "pause": REFUSED, "resume": REFUSED, "retry": "queued"},
    "cancelled": {"cancel": "cancelled", "pause": REFUSED, "resume": REFUSED, "retry": "queued"},
}


def bring_to(client: TestClient, services: Services, directory: Path, status: str) -> tuple[str, Lease | None]:
    job_id = submit(client, make_ready(client, services))
    if status in {"paused", "cancelled"}:
        client.post(f"/v1/jobs/{job_id}/{'pause' if status == 'paused' else 'cancel'}")
    if status in {"queued", "paused", "cancelled"}:
        return job_id, None
    lease = claim_job(services, job_id)
    if status == "cancelling":
        client.post(f"/v1/jobs/{job_id}/cancel")
    elif status == "running+pause":
        client.post(f"/v1/jobs/{job_id}/pause")
    elif status == "succeeded":
        succeed(services, lease, directory, {})
    elif status == "failed":
        JobWriter(services.sessions, lease).fail("out_of_memory", "too large", retryable=True)
    return job_id, lease


def shown_status(job: dict[str, str | None]) -> str:
    pausing = job["status"] == "running" and job["stop_requested"] == "pause"
    return f"{job['status']}+pause" if pausing else str(job["status"])


@pytest.mark.parametrize("status", EXPECTED)
def test_every_action_from_every_status(client: TestClient, services: Services, tmp_path: Path, status: str) -> None:
    for action, expected in EXPECTED[status].items():
        job_id, _lease = bring_to(client, services, tmp_path, status)
        before = client.get(f"/v1/jobs/{job_id}").json()
        assert shown_status(before) == status
        for _ in range(2):
            answer = client.post(f"/v1/jobs/{job_id}/{action}")
            after = client.get(f"/v1/jobs/{job_id}").json()
            if expected == REFUSED:
                assert code_of(answer, 409) == "invalid_job_status"
                assert after == before
            else:
                assert answer.status_code == 200, (status, action, answer.text)
                assert answer.json() == after
                assert shown_status(after) == expected, (status, action)


def events_of(client: TestClient, job_id: str) -> list[str]:
    return [event["type"] for event in client.get(f"/v1/jobs/{job_id}/events").json()["data"]]


def num_messages(services: Services, job_id: str) -> int:
    with services.reading_sessions() as session:
        query = select(func.count()).select_from(OutboxMessage).where(OutboxMessage.job_id == job_id)
        return session.scalar(query) or 0


def test_a_repeated_action_happens_once(client: TestClient, services: Services) -> None:
    job_id = submit(client, make_ready(client, services))
    for action in ("pause", "resume", "cancel", "retry"):
        for _ in range(2):
            client.post(f"/v1/jobs/{job_id}/{action}")
    assert events_of(client, job_id) == ["job.queued", "job.paused", "job.resumed", "job.cancelled", "job.retried"]
    assert num_messages(services, job_id) == 3, "one for each time the job was queued"


def test_a_retried_job_starts_with_a_clean_slate(client: TestClient, services: Services, tmp_path: Path) -> None:
    job_id, _lease = bring_to(client, services, tmp_path, "failed")
    assert client.get(f"/v1/jobs/{job_id}").json()["error"]["code"] == "out_of_memory"
    job = client.post(f"/v1/jobs/{job_id}/retry").json()
    assert (job["status"], job["error"], job["ended_at"]) == ("queued", None, None)
    assert claim_job(services, job_id).token == 2
    runs = client.get(f"/v1/jobs/{job_id}").json()["runs"]
    assert [(run["number"], run["outcome"]) for run in runs] == [(1, "failed"), (2, None)], "history stays"


def test_the_supervisor_finds_what_was_asked(client: TestClient, services: Services, tmp_path: Path) -> None:
    for action, ended in (("cancel", "cancelled"), ("pause", "paused")):
        job_id, lease = bring_to(client, services, tmp_path, "running")
        assert lease is not None
        client.post(f"/v1/jobs/{job_id}/{action}")
        with services.sessions.begin() as session:
            endings.release(session, lock_held(session, lease), at=database_now(session))
        assert client.get(f"/v1/jobs/{job_id}").json()["status"] == ended
        assert events_of(client, job_id)[-1] == f"job.{ended}"
