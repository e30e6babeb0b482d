"""What reading jobs costs the database: few statements, and none for what a job cannot have."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import event
from starlette.testclient import TestClient

from app.services import Services
from tests.app.driving import claim_job, make_ready, submit, succeed


@contextmanager
def tables_read(services: Services) -> Iterator[list[str]]:
    """Collect the table of every SELECT until the block ends, but for those of the thread that sends webhooks."""
    found: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        table = re.search(r"FROM (\w+)", statement)
        if table is not None and not table[1].startswith("webhook"):
            found.append(table[1])

    event.listen(services.engine, "before_cursor_execute", note)
    try:
        yield found
    finally:
        event.remove(services.engine, "before_cursor_execute", note)


def test_only_what_a_job_can_have_is_read(client: TestClient, services: Services, tmp_path: Path) -> None:
    dataset_id = make_ready(client, services)
    waiting, running, done = (submit(client, dataset_id) for _ in range(3))
    claim_job(services, running)
    succeed(services, claim_job(services, done), tmp_path, {"report.json": b"{}"})
    expected = {waiting: ["jobs"], running: ["jobs", "runs"], done: ["jobs", "runs", "artifacts"]}
    for job_id, tables in expected.items():
        with tables_read(services) as found:
            job = client.get(f"/v1/jobs/{job_id}").json()
        assert found == ["api_keys", *tables]
        assert [len(job["runs"]), len(job["artifacts"])] == ["runs" in tables, "artifacts" in tables]
    with tables_read(services) as found:
        listed = {job["id"]: job for job in client.get("/v1/jobs").json()["data"]}
    assert found == ["api_keys", "jobs", "runs", "artifacts"]
    assert {job_id: len(listed[job_id]["runs"]) for job_id in expected} == {waiting: 0, running: 1, done: 1}
    assert listed[done]["artifacts"] == job["artifacts"]
