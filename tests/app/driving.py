"""Bring the service into the states that tests start from, with the service's own code."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from starlette.testclient import TestClient

from app.clock import database_now
from app.datasets.verdicts import ValidatedContent, accept_dataset, reject_dataset
from app.db import new_id
from app.http_protocol import ProblemProtocol
from app.jobs.events import EventType
from app.jobs.leases import Lease, claim
from app.jobs.models import Job
from app.jobs.progress import JobWriter
from app.jobs.publishing import publish, store_artifact
from app.main import create_app
from app.services import Services
from app.settings import Settings
from app.tenants.models import Tenant
from app.tenants.schemas import ApiKeyCreate, Scope
from app.tenants.service import create_key

ADMIN_KEY = "fz_tests-0123456789-0123456789-0123456789"
ADMIN = {"Authorization": f"Bearer {ADMIN_KEY}"}
DECLARATION: dict[str, Any] = {"name": "ratings", "task": "sequential_recommendation", "format": "csv"}
CONTENT = b"user,item,timestamp\n1,2,3\n1,3,4\n"
NUM_SEQUENCES, LONGEST = 60, 40


@dataclass(frozen=True)
class RunningServer:
    """A server on a port of its own."""

    url: str
    services: Services


@contextmanager
def running_in_thread(settings: Settings) -> Iterator[RunningServer]:
    """Serve the application with uvicorn until the block ends."""
    stopping = threading.Event()
    application = create_app(settings, stopping)
    config = uvicorn.Config(
        application, http=ProblemProtocol, ws="none", port=0, log_config=None, access_log=False, server_header=False
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    give_up_at = time.monotonic() + 60
    while not server.started:
        assert thread.is_alive(), "the server ended"
        assert time.monotonic() < give_up_at, "the server did not start"
        time.sleep(0.01)
    host, port = server.servers[0].sockets[0].getsockname()
    try:
        yield RunningServer(f"http://{host}:{port}", application.state.services)
    finally:
        stopping.set()
        server.should_exit = True
        thread.join(20)
        assert not thread.is_alive(), "the server did not stop"


def add_tenant_with_key(services: Services, *scopes: Scope) -> str:
    """Return the key of a new tenant."""
    with services.sessions.begin() as session:
        tenant = Tenant(id=new_id("tenant"), name="another", created_at=database_now(session))
        session.add(tenant)
        session.flush()
        body = ApiKeyCreate(name="key", scopes=list(scopes or [Scope.ADMIN]), expires_at=None)
        return create_key(session, tenant.id, body, services.secret)[1]


def declare(client: TestClient | httpx.Client, **fields: Any) -> str:
    """Return the id of a data set that awaits its upload."""
    answer = client.post("/v1/datasets", json=DECLARATION | fields)
    assert answer.status_code == 201, answer.text
    dataset_id: str = answer.json()["id"]
    return dataset_id


def upload(client: TestClient | httpx.Client, **fields: Any) -> str:
    """Return the id of a data set that is being validated."""
    dataset_id = declare(client, **fields)
    answer = client.put(f"/v1/datasets/{dataset_id}/content", content=CONTENT)
    assert answer.status_code == 202, answer.text
    return dataset_id


def claim_job(services: Services, job_id: str) -> Lease:
    with services.sessions.begin() as session:
        lease = claim(session, job_id, "tests", lease_s=60, max_runs=3)
    assert lease is not None, f"{job_id} was not to be had"
    return lease


def claim_validation(services: Services, dataset_id: str) -> Lease:
    with services.reading_sessions() as session:
        job_id = session.query(Job.id).filter_by(dataset_id=dataset_id, kind="validation").one()[0]
    return claim_job(services, job_id)


def make_ready(client: TestClient | httpx.Client, services: Services, **fields: Any) -> str:
    """Return the id of a ready data set."""
    dataset_id = upload(client, **fields)
    validate(services, dataset_id)
    return dataset_id


def validate(services: Services, dataset_id: str, **sizes: Any) -> None:
    """Let an upload be found good, with other sizes than usual where they are given."""
    lease = claim_validation(services, dataset_id)
    found = ValidatedContent(
        canonical_key=f"datasets/{dataset_id}/{lease.token}/canonical.parquet",
        num_sequences=NUM_SEQUENCES,
        num_events=NUM_SEQUENCES * LONGEST,
        vocab_size=50,
        max_sequence_length=LONGEST,
        report={"num_problems": 0, "problems": []},
        preview=[{"name": "1", "num_events": 2, "events": ["2", "3"]}],
    )
    found = replace(found, **sizes)
    with services.sessions.begin() as session:
        accept_dataset(session, dataset_id, found, at=database_now(session))
        publish(session, lease, {}, [])


def make_invalid(client: TestClient | httpx.Client, services: Services) -> str:
    """Return the id of a data set that validation refused."""
    dataset_id = upload(client)
    lease = claim_validation(services, dataset_id)
    with services.sessions.begin() as session:
        reject_dataset(session, dataset_id, "bad_row", "line 2 has 1 field", at=database_now(session))
        publish(session, lease, {}, [])
    return dataset_id


def submit(client: TestClient | httpx.Client, dataset_id: str, **fields: Any) -> str:
    """Return the id of a queued job."""
    body = {"kind": "distillation", "dataset_id": dataset_id, "spec": SMALL_SPEC, **fields}
    answer = client.post("/v1/jobs", json=body)
    assert answer.status_code == 202, answer.text
    job_id: str = answer.json()["id"]
    return job_id


SMALL_SPEC = {"preset": "quick", "synthetic": {"num_sequences": 10, "sequence_length": 20}}


def say_something(services: Services, lease: Lease) -> None:
    """Write what a run writes on its way."""
    writer = JobWriter(services.sessions, lease)
    writer.phase("distillation")
    writer.metrics(1, {"outer_loss": 4.0})
    writer.metrics(2, {"outer_loss": 3.0})
    writer.progress(25, 100)
    writer.event(EventType.VALIDATION_MEASURED, {"step": 2})


def succeed(services: Services, lease: Lease, directory: Path, files: dict[str, bytes]) -> None:
    """Publish ``files`` as the job's result."""
    artifacts = []
    for name, content in files.items():
        path = directory / name
        path.write_bytes(content)
        artifacts.append(store_artifact(services.store, lease, name, path, "application/octet-stream"))
    with services.sessions.begin() as session:
        publish(session, lease, {"summary": {"ratio": 0.9}}, artifacts)


def code_of(answer: Any, status: int) -> str:
    """Check that ``answer`` is a problem document of ``status``, and return its code."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert {"type", "title", "status", "detail", "code", "request_id", "retryable"} <= set(problem)
    assert problem["status"] == status
    assert problem["request_id"] == answer.headers["x-request-id"]
    code: str = problem["code"]
    return code


def pointers_of(answer: Any) -> list[str]:
    return [item["pointer"] for item in answer.json()["errors"]]
