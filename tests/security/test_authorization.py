"""Every operation of the OpenAPI document with every kind of key that must not open it; new ones are covered by themselves."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from app.main import create_app
from app.openapi import operations
from app.openapi_errors import NOT_FOUND
from app.services import Services
from app.settings import Settings
from app.tenants.keys import make_key
from app.tenants.models import ApiKey
from app.tenants.schemas import Scope
from tests.app.driving import ADMIN_KEY, add_tenant_with_key, claim_job, code_of, make_ready, submit, succeed

OPERATIONS = {
    operation["operationId"]: (method.upper(), path, operation)
    for method, path, operation in operations(create_app(Settings()).openapi())
    if "security" in operation
}
IDS_IN_PATHS = sorted(name for name, (_, path, _) in OPERATIONS.items() if "{" in path)
WEBHOOK = {"url": "https://93.184.215.14/hook", "event_types": ["job.succeeded"]}


@pytest.fixture(scope="module", params=["embedded", pytest.param("postgres", marks=pytest.mark.service)])
def application(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FastAPI]:
    fields: dict[str, Any] = {
        "data_dir": tmp_path_factory.mktemp("data"),
        "bootstrap_api_key": ADMIN_KEY,
        "rate_limit_per_s": 0,
    }
    if request.param == "embedded":
        application = create_app(Settings.model_validate(fields))
        with TestClient(application):
            yield application
        return
    server = request.getfixturevalue("postgres_server")
    from tests.services.postgres import TEMPLATE

    with server.fresh_database(TEMPLATE) as url:
        application = create_app(Settings.model_validate(fields | {"database_url": url}))
        with TestClient(application):
            yield application


@pytest.fixture(scope="module")
def services(application: FastAPI) -> Services:
    built: Services = application.state.services
    return built


@pytest.fixture(scope="module")
def owner(application: FastAPI) -> TestClient:
    headers = {"Authorization": f"Bearer {ADMIN_KEY}"}
    return TestClient(application, headers=headers, follow_redirects=False, raise_server_exceptions=False)


@pytest.fixture(scope="module")
def ids(owner: TestClient, services: Services, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """One resource of every kind, all of them the first tenant's."""
    dataset_id = make_ready(owner, services)
    job_id = submit(owner, dataset_id)
    directory: Path = tmp_path_factory.mktemp("files")
    succeed(services, claim_job(services, job_id), directory, {"report.json": b"{}"})
    awaiting = owner.post("/v1/datasets", json={"name": "x", "task": "language_modeling", "format": "text"}).json()["id"]
    upload = owner.post(f"/v1/datasets/{awaiting}/uploads", json={"size_bytes": 10, "sha256": "0" * 64})
    assert upload.status_code == 201, upload.text
    endpoint_id = owner.post("/v1/webhook-endpoints", json=WEBHOOK).json()["id"]
    delivery_id = owner.post(f"/v1/webhook-endpoints/{endpoint_id}/test").json()["id"]
    return {
        "dataset_id": awaiting,
        "upload_id": upload.json()["id"],
        "part_number": "1",
        "job_id": job_id,
        "name": "report.json",
        "key_id": owner.get("/v1/api-keys").json()["data"][0]["id"],
        "endpoint_id": endpoint_id,
        "delivery_id": delivery_id,
    }


def call(client: TestClient, name: str, ids: dict[str, str], key: str | None) -> Any:
    """Send the operation's own example, so that nothing but the key stands in its way."""
    method, path, operation = OPERATIONS[name]
    content = operation.get("requestBody", {}).get("content", {})
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    body: bytes | None = None
    if "application/json" in content:
        body = json.dumps(content["application/json"]["example"]).encode()
        headers["Content-Type"] = "application/json"
    elif content:
        body = b"0123456789"
    needed = [item for item in operation["parameters"] if item["in"] == "query" and item.get("required")]
    query = {item["name"]: f"{ids['job_id']},job_{'0' * 32}" for item in needed}
    return client.request(method, path.format(**ids), headers=headers, content=body, params=query)


@pytest.fixture(scope="module")
def stranger(application: FastAPI) -> TestClient:
    """A client without a key of its own."""
    return TestClient(application, follow_redirects=False, raise_server_exceptions=False)


@pytest.fixture(scope="module")
def bad_keys(owner: TestClient, services: Services) -> dict[str, tuple[str | None, str]]:
    """Keys that open nothing, with the code that says why."""

    def new_key() -> dict[str, str]:
        made: dict[str, str] = owner.post("/v1/api-keys", json={"name": "old", "scopes": ["admin"]}).json()
        return made

    expired, revoked, whole = new_key(), new_key(), make_key()
    with services.sessions.begin() as session:
        session.get_one(ApiKey, expired["id"]).expires_at = datetime.now(UTC) - timedelta(seconds=1)
    assert owner.delete(f"/v1/api-keys/{revoked['id']}").status_code == 204
    return {
        "none": (None, "missing_api_key"),
        "of another form": ("sk-live-0123456789", "invalid_api_key"),
        "with a wrong checksum": (whole[:-1] + ("0" if whole[-1] != "0" else "1"), "invalid_api_key"),
        "unknown": (whole, "invalid_api_key"),
        "cut off": (ADMIN_KEY[:-1], "invalid_api_key"),
        "expired": (expired["key"], "expired_api_key"),
        "revoked": (revoked["key"], "revoked_api_key"),
    }


@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_no_bad_key_opens_it(
    stranger: TestClient, ids: dict[str, str], bad_keys: dict[str, tuple[str | None, str]], name: str
) -> None:
    for kind, (key, code) in bad_keys.items():
        answer = call(stranger, name, ids, key)
        assert code_of(answer, 401) == code, kind
        assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_a_key_of_every_other_scope_is_refused(owner: TestClient, stranger: TestClient, ids: dict[str, str], name: str) -> None:
    (needed,) = OPERATIONS[name][2]["security"][0].values()
    others = [str(scope) for scope in Scope if scope != Scope.ADMIN and str(scope) not in needed]
    key = owner.post("/v1/api-keys", json={"name": "others", "scopes": others}).json()["key"]
    assert code_of(call(stranger, name, ids, key), 403) == "insufficient_scope"


@pytest.mark.parametrize("name", IDS_IN_PATHS)
def test_another_tenants_id_is_an_unknown_id(stranger: TestClient, services: Services, ids: dict[str, str], name: str) -> None:
    other = add_tenant_with_key(services)
    nobodys = {field: value if field in {"part_number", "name"} else value[:-32] + "0" * 32 for field, value in ids.items()}
    theirs, unknown = call(stranger, name, ids, other), call(stranger, name, nobodys, other)
    assert code_of(theirs, 404) == code_of(unknown, 404)
    assert theirs.json()["code"] in NOT_FOUND.values()
    assert _without_ids(theirs.json()) == _without_ids(unknown.json())


def test_lists_show_a_tenant_nothing_of_another(stranger: TestClient, services: Services, ids: dict[str, str]) -> None:
    other = add_tenant_with_key(services)
    for name in ("list_datasets", "list_jobs", "list_webhook_endpoints", "list_deliveries"):
        assert call(stranger, name, ids, other).json()["data"] == []
    shown = call(stranger, "list_api_keys", ids, other).text + call(stranger, "list_audit_events", ids, other).text
    assert ids["key_id"] not in shown


def test_the_owner_is_let_in(owner: TestClient, ids: dict[str, str]) -> None:
    """Without this, the tests above would pass for a service that refuses everybody."""
    for name, (method, _, _) in OPERATIONS.items():
        if method == "GET" and name not in {"compare", "stream_events", "get_preview", "get_report"}:
            assert call(owner, name, ids, ADMIN_KEY).status_code in {200, 307}, name


def _without_ids(problem: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in problem.items() if name != "request_id"}
