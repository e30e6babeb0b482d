"""Health, readiness, metrics, specs."""

from __future__ import annotations

import socket
import threading
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
from pydantic import SecretStr
from starlette.testclient import TestClient

from app.clock import database_now
from app.health import check_parts
from app.jobs.models import Job, Run
from app.jobs.reaper import reap_expired
from app.logging import configure_logging
from app.main import create_app
from app.services import Services
from app.settings import Settings
from farzi_core.config import TASK_ARCHITECTURES, Architecture, DistillationSpec, Task
from tests.app.driving import ADMIN, ADMIN_KEY, SMALL_SPEC, claim_job, code_of, make_ready, submit, upload


@pytest.fixture
def patient_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a part says, however long a busy machine takes to ask it."""
    monkeypatch.setattr("app.health.CHECK_TIMEOUT_S", 60.0)


@pytest.mark.usefixtures("patient_checks")
def test_health_and_readiness_need_no_key(anonymous: TestClient) -> None:
    assert anonymous.get("/healthz").json() == {"status": "ok"}
    ready = anonymous.get("/readyz")
    assert ready.status_code == 200
    assert ready.json()["checks"] == {"database": "ok", "migrations": "ok", "storage": "ok"}


@pytest.mark.usefixtures("patient_checks")
def test_not_ready_names_the_part(client: TestClient, services: Services) -> None:
    with services.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM alembic_version")
    answer = client.get("/readyz")
    assert code_of(answer, 503) == "not_ready"
    assert answer.json()["checks"]["migrations"] == "behind: run 'farzi db upgrade'"
    assert answer.json()["checks"]["database"] == "ok"
    assert "retry-after" in answer.headers


@pytest.mark.service
@pytest.mark.usefixtures("patient_checks")
def test_the_broker_is_one_of_the_parts(postgres_url: str, redis_url: str, settings: Settings) -> None:
    fields = {"database_url": postgres_url, "broker_url": redis_url, "secret_key": SecretStr("x" * 32)}
    for broker_url, expected in ((redis_url, "ok"), ("redis://127.0.0.1:9/0", "down: ConnectionError")):
        with TestClient(create_app(settings.model_copy(update=fields | {"broker_url": broker_url}))) as client:
            assert client.get("/readyz").json()["checks"]["broker"] == expected


@pytest.mark.service
@pytest.mark.parametrize("settings", ["servers"], indirect=True)  # SQLite has no server that could hang
def test_a_part_that_hangs_is_down_and_the_others_are_told(services: Services) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, services.engine.begin() as connection:
        connection.exec_driver_sql("LOCK TABLE alembic_version IN ACCESS EXCLUSIVE MODE")
        url = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        hanging = replace(services, settings=services.settings.model_copy(update={"broker_url": url}))
        checks = check_parts(hanging)
    for thread in threading.enumerate():
        if thread.name.startswith("check-"):
            thread.join()
    assert checks["migrations"] == "down: no answer within 2 s"
    assert checks["broker"].startswith("down: ")
    assert (checks["database"], checks["storage"]) == ("ok", "ok")


@pytest.mark.service
def test_the_outbox_reaches_the_broker(postgres_url: str, redis_url: str, tmp_path: Path) -> None:
    fields = {"database_url": postgres_url, "broker_url": redis_url, "secret_key": "x" * 32, "bootstrap_api_key": ADMIN_KEY}
    with TestClient(create_app(Settings.model_validate({"data_dir": tmp_path, **fields})), headers=ADMIN) as client:
        upload(client)
        with redis.Redis.from_url(redis_url) as broker:
            give_up_at = time.monotonic() + 20
            while broker.llen("cpu") != 1:
                assert time.monotonic() < give_up_at, "the broker was not told"
                time.sleep(0.05)
            assert b"farzi.run_job" in broker.lindex("cpu", 0)


def figures(client: TestClient) -> dict[str, float]:
    """Return every sample of the scrape by its name and labels."""
    lines = [line for line in client.get("/metrics").text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


def test_metrics_of_requests(client: TestClient, services: Services) -> None:
    submit(client, make_ready(client, services))
    client.get("/v1/jobs/job_1")
    client.get("/made/up")
    found = figures(client)
    assert found['farzi_http_requests_total{method="GET",route="/v1/jobs/{job_id}",status="404"}'] == 1
    assert found['farzi_http_requests_total{method="GET",route="unknown",status="404"}'] == 1
    assert found['farzi_http_request_duration_seconds_count{method="POST",route="/v1/jobs"}'] == 1
    assert found["farzi_db_connections_max"] > found["farzi_db_connections_in_use"] >= 0
    assert found["farzi_rate_limited_requests_total"] == 0


def test_metrics_of_jobs(client: TestClient, services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.database_metrics.KEPT_S", 0.0)
    dataset_id = make_ready(client, services)
    submit(client, dataset_id)
    lost = claim_job(services, submit(client, dataset_id))
    with services.sessions.begin() as session:
        now = database_now(session)
        session.get_one(Job, lost.job_id).lease_expires_at = now - timedelta(seconds=1)
        session.query(Run).filter_by(job_id=lost.job_id).one().started_at = now - timedelta(seconds=100)
        session.query(Job).filter_by(status="queued").one().updated_at = now - timedelta(seconds=40)
    before = figures(client)
    assert before['farzi_jobs{kind="distillation",status="queued"}'] == 1
    assert before['farzi_queue_jobs{queue="gpu"}'] == 1
    assert 40 <= before['farzi_queue_oldest_seconds{queue="gpu"}'] < 100
    assert before['farzi_queue_oldest_seconds{queue="cpu"}'] == 0
    assert before['farzi_runs_total{outcome="succeeded",queue="cpu"}'] == 1
    assert 100 <= before['farzi_run_seconds_total{queue="gpu"}'] < 200, "a run under way is counted"
    assert before["farzi_outbox_messages"] == 3
    assert before["farzi_database_up"] == 1
    assert before["farzi_webhook_deliveries_pending"] == 0
    with services.sessions.begin() as session:
        reap_expired(session, max_runs=3)
    after = figures(client)
    assert after['farzi_runs_total{outcome="lost",queue="gpu"}'] == 1
    assert after['farzi_queue_jobs{queue="gpu"}'] == 2
    assert after['farzi_run_seconds_total{queue="gpu"}'] >= before['farzi_run_seconds_total{queue="gpu"}']


def test_a_scrape_survives_the_database(client: TestClient, services: Services) -> None:
    with services.engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE outbox RENAME TO lost")
    found = figures(client)
    assert found["farzi_database_up"] == 0
    assert "farzi_db_connections_in_use" in found


def test_events_and_rows_carry_the_request(client: TestClient, services: Services) -> None:
    dataset_id = make_ready(client, services)
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    headers = {"X-Request-Id": "req-submit", "traceparent": trace}
    body = {"kind": "distillation", "dataset_id": dataset_id, "spec": SMALL_SPEC}
    job_id = client.post("/v1/jobs", json=body, headers=headers).json()["id"]
    claim_job(services, job_id)
    client.post(f"/v1/jobs/{job_id}/cancel", headers={"X-Request-Id": "req-cancel", "traceparent": "00-0-0-01"})
    events = client.get(f"/v1/jobs/{job_id}/events").json()["data"]
    asked = {event["type"]: event["data"]["request_id"] for event in events}
    assert asked == {"job.queued": "req-submit", "job.started": "req-submit", "job.cancelling": "req-cancel"}
    with services.reading_sessions() as session:
        job = session.get_one(Job, job_id)
        assert (job.request_id, job.traceparent) == ("req-submit", trace)


def test_the_schema_accepts_its_own_defaults(client: TestClient) -> None:
    defaults_of: dict[Task, Architecture] = {"sequential_recommendation": "sasrec", "language_modeling": "transformer_lm"}
    for task, architecture in defaults_of.items():
        schema = client.get("/v1/spec/schema", params={"task": task}).json()
        defaults = {name: field["default"] for name, field in schema["properties"].items()}
        assert DistillationSpec.model_validate(defaults).student.architecture == architecture
        student = schema["$defs"]["StudentConfig"]["properties"]
        assert student["hidden_size"]["default"] == defaults["student"]["hidden_size"]
        assert student["architecture"]["enum"] == list(TASK_ARCHITECTURES[task])
    assert code_of(client.get("/v1/spec/schema?task=chess"), 422) == "invalid_request"


def test_presets(client: TestClient) -> None:
    presets = client.get("/v1/presets").json()["data"]
    assert {(item["task"], item["name"]) for item in presets} == {
        (task, name)
        for task in ("sequential_recommendation", "language_modeling")
        for name in ("quick", "standard", "thorough")
    }
    assert len(client.get("/v1/presets?task=language_modeling").json()["data"]) == 3


def test_presets_come_in_pages(client: TestClient) -> None:
    presets = client.get("/v1/presets").json()["data"]
    seen: list[dict[str, object]] = []
    params: dict[str, Any] = {"limit": 4}
    for has_more in (True, False):
        page = client.get("/v1/presets", params=params).json()
        seen += page["data"]
        assert (page["has_more"], page["next_cursor"] is not None) == (has_more, has_more)
        params["cursor"] = page["next_cursor"]
    assert seen == presets
    assert client.get("/v1/presets", params={"limit": 1, "task": "language_modeling"}).json()["has_more"]
    assert code_of(client.get("/v1/presets?limit=201"), 422) == "invalid_request"


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_no_key_gets_into_the_log(
    client: TestClient, services: Services, capsys: pytest.CaptureFixture[str], log_format: str
) -> None:
    configure_logging(Settings.model_validate({"log_format": log_format, "log_level": "debug"}))
    made = client.post("/v1/api-keys", json={"name": "secretive", "scopes": ["jobs:read"]}).json()["key"]
    client.get("/v1/jobs", headers={"Authorization": f"Bearer {made}"})
    with services.engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE jobs RENAME TO lost")
        connection.exec_driver_sql("ALTER TABLE api_keys RENAME TO lost_too")
    assert client.get("/v1/jobs", headers={"Authorization": f"Bearer {made}"}).status_code >= 500
    logged = capsys.readouterr().err
    assert "/v1/api-keys" in logged, "requests are logged"
    assert "Traceback" in logged or "frames" in logged, "failures are logged with their traceback"
    for secret in (ADMIN_KEY, made):
        assert secret not in logged
