"""Health, readiness, metrics, specs."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import redis
from pydantic import SecretStr
from starlette.testclient import TestClient

from app.logging import configure_logging
from app.main import create_app
from app.services import Services
from app.settings import Settings
from farzi_core.config import TASK_ARCHITECTURES, Architecture, DistillationSpec, Task
from tests.app.driving import ADMIN, ADMIN_KEY, code_of, make_ready, submit, upload


def test_health_and_readiness_need_no_key(anonymous: TestClient) -> None:
    assert anonymous.get("/healthz").json() == {"status": "ok"}
    ready = anonymous.get("/readyz")
    assert ready.status_code == 200
    assert ready.json()["checks"] == {"database": "ok", "migrations": "ok", "storage": "ok"}


def test_not_ready_names_the_part(client: TestClient, services: Services) -> None:
    with services.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM alembic_version")
    answer = client.get("/readyz")
    assert code_of(answer, 503) == "not_ready"
    assert answer.json()["checks"]["migrations"] == "behind: run 'farzi db upgrade'"
    assert answer.json()["checks"]["database"] == "ok"
    assert "retry-after" in answer.headers


@pytest.mark.service
def test_the_broker_is_one_of_the_parts(postgres_url: str, redis_url: str, settings: Settings) -> None:
    fields = {"database_url": postgres_url, "broker_url": redis_url, "secret_key": SecretStr("x" * 32)}
    for broker_url, expected in ((redis_url, "ok"), ("redis://127.0.0.1:9/0", "down: ConnectionError")):
        with TestClient(create_app(settings.model_copy(update=fields | {"broker_url": broker_url}))) as client:
            assert client.get("/readyz").json()["checks"]["broker"] == expected


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


def test_metrics(client: TestClient, services: Services) -> None:
    submit(client, make_ready(client, services))
    client.get("/v1/jobs/job_1")
    client.get("/made/up")
    lines = client.get("/metrics").text.splitlines()
    assert 'farzi_http_requests_total{method="GET",route="/v1/jobs/{job_id}",status="404"} 1.0' in lines
    assert 'farzi_http_requests_total{method="GET",route="unknown",status="404"} 1.0' in lines
    assert 'farzi_http_request_duration_seconds_count{method="POST",route="/v1/jobs"} 1.0' in lines
    assert 'farzi_jobs{kind="distillation",status="queued"} 1.0' in lines


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
