"""One way to provoke each error code over HTTP. A new code gets a function here, with the decorator ``provokes``."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

from app.main import create_app
from app.services import Services
from app.settings import Settings
from app.tenants.models import ApiKey
from app.webhooks.service import MAX_ENDPOINTS
from tests.app.driving import (
    ADMIN,
    ADMIN_KEY,
    SMALL_SPEC,
    claim_job,
    make_ready,
    submit,
    succeed,
    upload,
    validate,
)

TEXT = {"name": "x", "task": "language_modeling", "format": "text"}
JSON = {"Content-Type": "application/json"}
ENDPOINT = {"url": "https://hooks.example.com/farzi"}

Answer = Any
Provocation = Callable[["World"], Answer]
PROVOCATIONS: dict[str, Provocation] = {}


@dataclass(frozen=True)
class World:
    """An embedded service and a client with its admin key."""

    client: TestClient
    services: Services

    def fresh_settings(self, **fields: Any) -> Settings:
        """Return settings of a service of its own, for what would spoil this one."""
        directory = tempfile.mkdtemp(dir=self.services.settings.data_dir)
        return Settings.model_validate({"data_dir": directory, "bootstrap_api_key": ADMIN_KEY, **fields})

    @contextmanager
    def fresh(self, **fields: Any) -> Iterator[World]:
        application = create_app(self.fresh_settings(**fields))
        with TestClient(application, headers=ADMIN, raise_server_exceptions=False) as client:
            yield World(client, application.state.services)


def provokes(code: str) -> Callable[[Provocation], Provocation]:
    """Register a function that makes a service answer with ``code``."""

    def register(provocation: Provocation) -> Provocation:
        assert code not in PROVOCATIONS, code
        PROVOCATIONS[code] = provocation
        return provocation

    return register


def distillation(dataset_id: str, **fields: Any) -> dict[str, Any]:
    return {"kind": "distillation", "dataset_id": dataset_id, "spec": SMALL_SPEC, **fields}


def _finished(world: World) -> str:
    job_id = submit(world.client, make_ready(world.client, world.services))
    with tempfile.TemporaryDirectory() as directory:
        succeed(world.services, claim_job(world.services, job_id), Path(directory), {"report.json": b"{}"})
    return job_id


def _with_key(world: World, key: str) -> Answer:
    return world.client.get("/v1/jobs", headers={"Authorization": f"Bearer {key}"})


def _new_key(world: World, scope: str = "admin") -> dict[str, str]:
    made: dict[str, str] = world.client.post("/v1/api-keys", json={"name": "key", "scopes": [scope]}).json()
    return made


@provokes("bad_request")
def _(world: World) -> Answer:
    return world.client.get("/v1/jobs/a%00b")


@provokes("malformed_json")
def _(world: World) -> Answer:
    return world.client.post("/v1/datasets", content=b"{", headers=JSON)


@provokes("missing_api_key")
def _(world: World) -> Answer:
    return world.client.get("/v1/jobs", headers={"Authorization": ""})


@provokes("invalid_api_key")
def _(world: World) -> Answer:
    return _with_key(world, "fz_wrong")


@provokes("expired_api_key")
def _(world: World) -> Answer:
    made = _new_key(world)
    with world.services.sessions.begin() as session:
        session.get_one(ApiKey, made["id"]).expires_at = datetime.now(UTC) - timedelta(seconds=1)
    return _with_key(world, made["key"])


@provokes("revoked_api_key")
def _(world: World) -> Answer:
    made = _new_key(world)
    world.client.delete(f"/v1/api-keys/{made['id']}")
    return _with_key(world, made["key"])


@provokes("insufficient_scope")
def _(world: World) -> Answer:
    return _with_key(world, _new_key(world, "datasets:read")["key"])


@provokes("quota_exceeded")
def _(world: World) -> Answer:
    with world.fresh(quota_datasets=0) as poor:
        return poor.client.post("/v1/datasets", json=TEXT)


@provokes("route_not_found")
def _(world: World) -> Answer:
    return world.client.get("/v1/nothing")


@provokes("job_not_found")
def _(world: World) -> Answer:
    return world.client.get("/v1/jobs/job_0")


@provokes("artifact_not_found")
def _(world: World) -> Answer:
    return world.client.get(f"/v1/jobs/{_finished(world)}/artifacts/nothing")


@provokes("webhook_endpoint_not_found")
def _(world: World) -> Answer:
    return world.client.get("/v1/webhook-endpoints/whe_0")


@provokes("cursor_not_found")
def _(world: World) -> Answer:
    return world.client.get("/v1/jobs", params={"cursor": "A" * 60})


@provokes("delivery_not_found")
def _(world: World) -> Answer:
    return world.client.get("/v1/deliveries/whd_0")


@provokes("api_key_not_found")
def _(world: World) -> Answer:
    return world.client.get("/v1/api-keys/key_0")


@provokes("method_not_allowed")
def _(world: World) -> Answer:
    return world.client.patch("/v1/datasets")


@provokes("job_in_use")
def _(world: World) -> Answer:
    job_id = _finished(world)
    evaluation = world.client.post("/v1/jobs", json={"kind": "evaluation", "job_id": job_id})
    assert evaluation.status_code == 202, evaluation.text
    return world.client.delete(f"/v1/jobs/{job_id}")


@provokes("job_not_succeeded")
def _(world: World) -> Answer:
    job_id = submit(world.client, make_ready(world.client, world.services))
    return world.client.post("/v1/jobs", json={"kind": "evaluation", "job_id": job_id})


@provokes("invalid_job_status")
def _(world: World) -> Answer:
    return world.client.post(f"/v1/jobs/{_finished(world)}/pause")


@provokes("idempotency_key_in_flight")
def _(world: World) -> Answer:
    tenant_id = world.services.authenticator.authenticate(ADMIN["Authorization"]).tenant_id
    with world.services.keys_in_flight.hold(tenant_id, "busy"):
        return world.client.post("/v1/datasets", json=TEXT, headers={"Idempotency-Key": "busy"})


@provokes("last_admin_key")
def _(world: World) -> Answer:
    with world.fresh() as alone:
        (only,) = alone.client.get("/v1/api-keys").json()["data"]
        return alone.client.delete(f"/v1/api-keys/{only['id']}")


@provokes("webhook_endpoint_disabled")
def _(world: World) -> Answer:
    path = f"/v1/webhook-endpoints/{world.client.post('/v1/webhook-endpoints', json=ENDPOINT).json()['id']}"
    world.client.patch(path, json={"enabled": False})
    return world.client.post(f"{path}/test")


@provokes("too_many_webhook_endpoints")
def _(world: World) -> Answer:
    with world.fresh() as alone:
        return [alone.client.post("/v1/webhook-endpoints", json=ENDPOINT) for _ in range(MAX_ENDPOINTS + 1)][-1]


@provokes("body_too_large")
def _(world: World) -> Answer:
    return world.client.post("/v1/datasets", content=b'"' + b"x" * (1 << 20) + b'"', headers=JSON)


@provokes("unsupported_media_type")
def _(world: World) -> Answer:
    return world.client.post("/v1/datasets", content=b"{}", headers={"Content-Type": "text/plain"})


@provokes("range_not_satisfiable")
def _(world: World) -> Answer:
    return world.client.get(f"/v1/jobs/{_finished(world)}/artifacts/report.json", headers={"Range": "bytes=100-200"})


@provokes("invalid_request")
def _(world: World) -> Answer:
    return world.client.get("/v1/datasets?limit=0")


@provokes("invalid_spec")
def _(world: World) -> Answer:
    dataset_id = make_ready(world.client, world.services)
    return world.client.post("/v1/jobs", json=distillation(dataset_id, spec={"preset": "fastest"}))


@provokes("spec_exceeds_data")
def _(world: World) -> Answer:
    dataset_id = make_ready(world.client, world.services)
    spec = {"preset": "quick", "synthetic": {"num_sequences": 5000}}
    return world.client.post("/v1/jobs", json=distillation(dataset_id, spec=spec))


@provokes("sequences_too_short")
def _(world: World) -> Answer:
    dataset_id = upload(world.client)
    report = {"num_problems": 0, "problems": [], "statistics": {"num_short_sequences": 0}}
    validate(world.services, dataset_id, num_sequences=60, num_events=180, max_sequence_length=3, report=report)
    return world.client.post("/v1/jobs", json=distillation(dataset_id))


@provokes("webhook_url_refused")
def _(world: World) -> Answer:
    return world.client.post("/v1/webhook-endpoints", json={"url": "https://127.0.0.1/"})


@provokes("invalid_idempotency_key")
def _(world: World) -> Answer:
    return world.client.post("/v1/datasets", json=TEXT, headers={"Idempotency-Key": "x" * 256})


@provokes("idempotency_key_reused")
def _(world: World) -> Answer:
    headers = {"Idempotency-Key": "reused"}
    world.client.post("/v1/datasets", json=TEXT, headers=headers)
    return world.client.post("/v1/datasets", json=TEXT | {"name": "y"}, headers=headers)


@provokes("rate_limited")
def _(world: World) -> Answer:
    with world.fresh(rate_limit_per_s=0.01, rate_limit_burst=1) as slow:
        return [slow.client.get("/v1/jobs") for _ in range(2)][-1]


@provokes("too_many_streams")
def _(world: World) -> Answer:
    with world.fresh() as alone:
        job_id = submit(alone.client, make_ready(alone.client, alone.services))
        while alone.services.stream_slots.acquire(blocking=False):
            pass
        return alone.client.get(f"/v1/jobs/{job_id}/events/stream")


@provokes("too_many_drawings")
def _(world: World) -> Answer:
    with world.fresh() as alone:
        job_id = submit(alone.client, make_ready(alone.client, alone.services))
        files = dict.fromkeys(("synthetic.safetensors", "vocabulary.json", "sequences.jsonl"), b"{}")
        with tempfile.TemporaryDirectory() as directory:
            succeed(alone.services, claim_job(alone.services, job_id), Path(directory), files)
        while alone.services.drawing_slots.acquire(blocking=False):
            pass
        return alone.client.get(f"/v1/jobs/{job_id}/artifacts/sequences.jsonl?draws=2")


@provokes("request_head_too_large")
def _(world: World) -> Answer:
    return world.client.get("/healthz", headers={"X-Long": "x" * 40_000})


@provokes("internal_error")
def _(world: World) -> Answer:
    with world.fresh() as broken:
        # A defect: a row that no code would have written.
        dataset_id = make_ready(broken.client, broken.services)
        with broken.services.engine.begin() as connection:
            connection.exec_driver_sql("UPDATE datasets SET options = 'not JSON'")
        return broken.client.get(f"/v1/datasets/{dataset_id}")


@provokes("session_over")
def _(world: World) -> Answer:
    return world.client.get("/dashboard/jobs")


@provokes("csrf_refused")
def _(world: World) -> Answer:
    return world.client.post("/dashboard/sign-in", headers={"Sec-Fetch-Site": "cross-site"})


@provokes("not_ready")
def _(world: World) -> Answer:
    with world.fresh() as broken:
        with broken.services.engine.begin() as connection:
            connection.exec_driver_sql("DELETE FROM alembic_version")
        return broken.client.get("/readyz")


@provokes("database_unavailable")
def _(world: World) -> Answer:
    with world.fresh() as broken:
        with broken.services.engine.begin() as connection:
            connection.exec_driver_sql("ALTER TABLE jobs RENAME TO lost")
        return broken.client.get("/v1/jobs")
