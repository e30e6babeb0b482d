"""Bearer keys: their form, their life, and what they open."""

from __future__ import annotations

import re
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from app.services import Services
from app.settings import Settings, SettingsError
from app.tenants.keys import BASE62, is_mistyped, make_key
from app.tenants.models import ApiKey
from app.tenants.schemas import Scope
from app.tenants.secret import load_secret
from app.tenants.service import ensure_first_key
from tests.app.driving import ADMIN_KEY, add_tenant_with_key, code_of, declare, pointers_of


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def new_key(client: TestClient, *scopes: str, **fields: object) -> dict[str, str]:
    answer = client.post("/v1/api-keys", json={"name": "key", "scopes": list(scopes), **fields})
    assert answer.status_code == 201, answer.text
    made: dict[str, str] = answer.json()
    return made


def test_form_and_checksum() -> None:
    key = make_key()
    assert re.fullmatch(r"fz_[0-9A-Za-z]{38}", key)
    assert not is_mistyped(key)
    for index in range(3, len(key)):
        other = next(character for character in BASE62 if character != key[index])
        assert is_mistyped(key[:index] + other + key[index + 1 :])
    assert is_mistyped(key[:-1])
    assert make_key() != key


@pytest.mark.parametrize(
    ("header", "code"),
    [
        (None, "missing_api_key"),
        ("", "missing_api_key"),
        ("Basic eDp5", "missing_api_key"),
        ("Bearer", "missing_api_key"),
        ("Bearer fz_wrong", "invalid_api_key"),
        (f"Bearer {ADMIN_KEY}x", "invalid_api_key"),
    ],
)
def test_without_a_key_nothing_opens(anonymous: TestClient, header: str | None, code: str) -> None:
    headers = {} if header is None else {"Authorization": header}
    for method, path in (("GET", "/v1/jobs"), ("POST", "/v1/datasets"), ("PUT", "/v1/datasets/ds_1/content")):
        answer = anonymous.request(method, path, headers=headers, content=b"{" if method != "GET" else None)
        assert code_of(answer, 401) == code
        assert answer.headers["www-authenticate"] == "Bearer"


def test_a_mistyped_key_is_told_from_an_unknown_one(anonymous: TestClient) -> None:
    key = make_key()
    assert "not known" in anonymous.get("/v1/jobs", headers=bearer(key)).json()["detail"]
    assert "mistyped" in anonymous.get("/v1/jobs", headers=bearer(key[:-2])).json()["detail"]


def test_the_secret_is_shown_once_and_never_stored(client: TestClient, services: Services) -> None:
    body = {"name": "once", "scopes": ["jobs:read"]}
    headers = {"Idempotency-Key": "make"}
    made = client.post("/v1/api-keys", json=body, headers=headers)
    key = made.json()["key"]
    again = client.post("/v1/api-keys", json=body, headers=headers)
    assert again.headers["idempotent-replayed"] == "true"
    assert (again.json()["id"], again.json()["key"]) == (made.json()["id"], None)
    shown = client.get(f"/v1/api-keys/{made.json()['id']}").json()
    assert "key" not in shown
    assert shown["prefix"] == key[:8]
    with services.engine.connect() as connection:
        for table in ("api_keys", "idempotency_keys"):
            rows = connection.exec_driver_sql(f"SELECT * FROM {table}").all()
            assert key not in str(rows)


@pytest.mark.parametrize(
    ("scope", "allowed"),
    [("datasets:read", {"GET /v1/datasets"}), ("datasets:write", {"POST /v1/datasets"}), ("jobs:read", {"GET /v1/jobs"})],
)
def test_scopes(client: TestClient, scope: str, allowed: set[str]) -> None:
    headers = bearer(new_key(client, scope)["key"])
    for call in ("GET /v1/datasets", "POST /v1/datasets", "GET /v1/jobs", "POST /v1/jobs", "GET /v1/api-keys"):
        method, path = call.split()
        answer = client.request(method, path, headers=headers, json={} if method == "POST" else None)
        if call in allowed:
            assert answer.status_code in {200, 422}
        else:
            assert code_of(answer, 403) == "insufficient_scope"


def test_expiry(client: TestClient, services: Services) -> None:
    past = client.post("/v1/api-keys", json={"name": "x", "scopes": ["admin"], "expires_at": "2020-01-01T00:00:00Z"})
    assert code_of(past, 422) == "invalid_request"
    assert pointers_of(past) == ["/expires_at"]
    made = new_key(client, "jobs:read", expires_at=(datetime.now(UTC) + timedelta(hours=1)).isoformat())
    assert client.get("/v1/jobs", headers=bearer(made["key"])).status_code == 200
    with services.sessions.begin() as session:
        session.get_one(ApiKey, made["id"]).expires_at = datetime.now(UTC) - timedelta(seconds=1)
    assert code_of(client.get("/v1/jobs", headers=bearer(made["key"])), 401) == "expired_api_key"


def test_the_last_times_there_are_are_taken(client: TestClient) -> None:
    for offset in ("Z", "-23:59", "+23:59"):
        made = new_key(client, "jobs:read", expires_at=f"9999-12-31T23:59:59.999999{offset}")
        shown = client.get(f"/v1/api-keys/{made['id']}").json()["expires_at"]
        assert shown == made["expires_at"]
        assert shown.startswith("9999-12-3")
    first = client.post("/v1/api-keys", json={"name": "x", "scopes": ["admin"], "expires_at": "0001-01-01T00:00:00+23:59"})
    assert pointers_of(first) == ["/expires_at"]


def test_revoking(client: TestClient) -> None:
    made = new_key(client, "jobs:read")
    assert client.delete(f"/v1/api-keys/{made['id']}").status_code == 204
    assert client.delete(f"/v1/api-keys/{made['id']}").status_code == 204
    assert code_of(client.get("/v1/jobs", headers=bearer(made["key"])), 401) == "revoked_api_key"
    assert client.get(f"/v1/api-keys/{made['id']}").json()["revoked_at"] is not None


def test_the_last_admin_key_stays(client: TestClient) -> None:
    bootstrap = client.get("/v1/api-keys").json()["data"][0]["id"]
    assert code_of(client.delete(f"/v1/api-keys/{bootstrap}"), 409) == "last_admin_key"
    new_key(client, "admin")
    assert client.delete(f"/v1/api-keys/{bootstrap}").status_code == 204


def test_renaming(client: TestClient) -> None:
    made = new_key(client, "jobs:read")
    assert client.patch(f"/v1/api-keys/{made['id']}", json={"name": " new "}).json()["name"] == "new"
    assert code_of(client.patch(f"/v1/api-keys/{made['id']}", json={"scopes": ["admin"]}), 422) == "invalid_request"


def test_use_is_noted_but_not_on_every_request(client: TestClient, services: Services) -> None:
    made = new_key(client, "jobs:read")
    assert client.get(f"/v1/api-keys/{made['id']}").json()["last_used_at"] is None
    client.get("/v1/jobs", headers=bearer(made["key"]))
    first = client.get(f"/v1/api-keys/{made['id']}").json()["last_used_at"]
    assert first is not None
    client.get("/v1/jobs", headers=bearer(made["key"]))
    assert client.get(f"/v1/api-keys/{made['id']}").json()["last_used_at"] == first
    with services.sessions.begin() as session:
        session.get_one(ApiKey, made["id"]).last_used_at = datetime.now(UTC) - timedelta(minutes=6)
    client.get("/v1/jobs", headers=bearer(made["key"]))
    assert client.get(f"/v1/api-keys/{made['id']}").json()["last_used_at"] >= first


def test_another_tenants_ids_are_unknown_ids(client: TestClient, other_tenant: TestClient) -> None:
    dataset_id = declare(client)
    key_id = client.get("/v1/api-keys").json()["data"][0]["id"]
    for path, unknown in (
        (f"/v1/datasets/{dataset_id}", "/v1/datasets/ds_0"),
        (f"/v1/api-keys/{key_id}", "/v1/api-keys/key_0"),
    ):
        for method in ("GET", "DELETE"):
            theirs, nobodys = other_tenant.request(method, path), other_tenant.request(method, unknown)
            assert theirs.status_code == nobodys.status_code == 404
            assert _without_id(theirs.json()) == _without_id(nobodys.json())
    assert other_tenant.get("/v1/datasets").json()["data"] == []
    assert client.get(f"/v1/datasets/{dataset_id}").status_code == 200


def _without_id(problem: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in problem.items() if name != "request_id"}


def test_the_first_key_is_made_once(services: Services) -> None:
    results: list[bool] = []
    threads = [
        threading.Thread(target=lambda: results.append(ensure_first_key(services.sessions, ADMIN_KEY, services.secret)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [True] * 4
    with services.reading_sessions() as session:
        assert session.query(ApiKey).count() == 1
    add_tenant_with_key(services, Scope.JOBS_READ)
    assert ensure_first_key(services.sessions, "fz_" + "y" * 40, services.secret)
    with services.reading_sessions() as session:
        assert session.query(ApiKey).count() == 2


def test_the_secret_is_made_once_and_kept_to_its_owner(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    secret = load_secret(settings)
    assert load_secret(settings) == secret
    assert (tmp_path / "secret_key").stat().st_mode & 0o077 == 0
    assert [path.name for path in tmp_path.iterdir()] == ["secret_key"]
    (tmp_path / "secret_key").write_bytes(b"short")
    with pytest.raises(SettingsError, match="damaged"):
        load_secret(settings)
