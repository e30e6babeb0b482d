"""Lists other than that of jobs: an index of Postgres gives each its rows in order, however many there are."""

from __future__ import annotations

import re
from typing import Any

import pytest
from starlette.testclient import TestClient

from app.clock import database_now
from app.datasets.models import Dataset
from app.db import new_id
from app.jobs.models import JobEvent
from app.services import Services
from app.tenants.models import AuditEvent
from app.uploads.models import Upload
from app.webhooks.models import WebhookDelivery, WebhookEndpoint
from tests.app.driving import DECLARATION, make_ready, submit
from tests.app.explaining import analyze, multiply, plans

pytestmark = pytest.mark.parametrize("settings", [pytest.param("servers", marks=pytest.mark.service)], indirect=True)
NUM_ROWS = 3000
NUM_JOBS = 5
COPY_ID = "split_part(id, '_', 1) || '_' || lpad(n::text, 32, '0')"
BIG = ("audit_events", "datasets", "job_events", "uploads", "webhook_deliveries")
READS_ALL = re.compile(rf"Seq Scan on (?:{'|'.join(BIG)})\b")


def test_a_plan_that_reads_all_rows_is_noticed(client: TestClient, services: Services) -> None:
    fill(client, services)
    with plans(services) as found, services.reading_sessions() as session:
        assert session.query(WebhookDelivery).filter(WebhookDelivery.body == "none").all() == []
    assert [plan for plan in found if READS_ALL.search(plan)]


def test_no_list_reads_every_row(client: TestClient, services: Services) -> None:
    job_ids, dataset_id, endpoint_id = fill(client, services)
    delivery = {"endpoint_id": endpoint_id, "status": "failed", "event_type": "job.failed", "event_id": "evt_17"}
    events = f"/v1/jobs/{job_ids[2]}/events"
    lists: list[tuple[str, dict[str, Any]]] = [
        ("/v1/datasets", {}),
        (f"/v1/datasets/{dataset_id}/uploads", {}),
        (events, {}),
        (events, {"after": NUM_ROWS // 2}),
        (events, {"after": NUM_ROWS - 20}),
        ("/v1/audit-events", {}),
        ("/v1/deliveries", {}),
        *(("/v1/deliveries", {name: value}) for name, value in delivery.items()),
        ("/v1/deliveries", delivery),
    ]
    for path, params in lists:
        cursor = None
        for limit in (50, 200):
            with plans(services) as found:
                answer = client.get(path, params={**params, "limit": limit, **({"cursor": cursor} if cursor else {})})
            assert answer.status_code == 200, answer.text
            asked = [plan for plan in found if any(re.search(rf"\b{table}\b", plan) for table in BIG)]
            assert asked, (path, params, found)
            assert not [plan for plan in asked if READS_ALL.search(plan)], (path, params, asked)
            cursor = answer.json()["next_cursor"]
            if cursor is None:
                break


def fill(client: TestClient, services: Services) -> tuple[list[str], str, str]:
    """Add rows to every list; return ids of jobs, of the data set with uploads, and of the endpoint of the deliveries."""
    ready = make_ready(client, services)
    job_ids = [submit(client, ready) for _ in range(NUM_JOBS)]
    dataset_id = client.post("/v1/datasets", json=DECLARATION).json()["id"]
    upload = client.post(f"/v1/datasets/{dataset_id}/uploads", json={"size_bytes": 1, "sha256": "0" * 64}).json()["id"]
    endpoint_id = client.post("/v1/webhook-endpoints", json={"url": "https://hooks.example.com/farzi"}).json()["id"]
    statuses = "(ARRAY['succeeded', 'failed'])[1 + n % 2]"
    types = "(ARRAY['job.succeeded', 'job.failed', 'job.cancelled'])[1 + n % 3]"
    with services.sessions.begin() as session:
        tenant_id = session.get_one(WebhookEndpoint, endpoint_id).tenant_id
        delivery = {
            "endpoint_id": endpoint_id,
            "event_id": "evt_0",
            "event_type": "job.failed",
            "body": "{}",
            "status": "failed",
        }
        made = WebhookDelivery(id=new_id("whd"), tenant_id=tenant_id, created_at=database_now(session), **delivery)
        session.add(made)
        session.flush()
        copied = {"id": COPY_ID, "event_id": "'evt_' || n", "status": statuses, "event_type": types}
        multiply(session, WebhookDelivery.__table__, f"id = '{made.id}'", NUM_ROWS, **copied)
        multiply(session, Dataset.__table__, f"id = '{dataset_id}'", NUM_ROWS, id=COPY_ID)
        own_key = {"store_id": "'copy ' || n", "content_key": "'copy ' || n"}
        multiply(session, Upload.__table__, f"id = '{upload}'", NUM_ROWS, id=COPY_ID, **own_key)
        audit = session.query(AuditEvent.id).limit(1).scalar()
        multiply(session, AuditEvent.__table__, f"id = '{audit}'", NUM_ROWS, id=COPY_ID)
        for job_id in job_ids:
            multiply(session, JobEvent.__table__, f"job_id = '{job_id}' AND seq = 1", NUM_ROWS, seq="n + 1")
    analyze(services)
    return job_ids, dataset_id, endpoint_id
