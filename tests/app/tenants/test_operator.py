"""``farzi tenants``: what the operator does on the service's own database, and what the API then lets in."""

from __future__ import annotations

import json

import pytest
from starlette.testclient import TestClient

from app.serve import environment_of
from app.services import Services
from tests.app.driving import code_of, declare
from tests.farzi_client.cli import Ran, run_farzi

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def machine(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let commands of this process find the service's database, as they do on its machine."""
    for name, value in environment_of(services.settings).items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def acme(machine: None, capsys: Capture) -> dict[str, str]:
    ran = run_farzi(capsys, "tenants", "create", "acme", "--json")
    assert ran.code == 0, ran.err
    made: dict[str, str] = json.loads(ran.out)
    return made


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def failed(ran: Ran, *words: str) -> bool:
    return ran.code == 2 and all(word in ran.err for word in words) and not ran.out


def test_a_second_tenant_gets_a_door_of_its_own(client: TestClient, acme: dict[str, str], capsys: Capture) -> None:
    declare(client)
    with_key = bearer(acme["key"])
    assert client.get("/v1/datasets", headers=with_key).json()["data"] == []
    assert len(client.get("/v1/datasets").json()["data"]) == 1
    actions = [event["action"] for event in client.get("/v1/audit-events", headers=with_key).json()["data"]]
    assert actions == ["api_key.created", "tenant.created"]
    listed = json.loads(run_farzi(capsys, "tenants", "list", "--json").out)
    assert [tenant["name"] for tenant in listed] == ["default", "acme"]
    assert "key" not in listed[1]
    assert failed(run_farzi(capsys, "tenants", "create", "acme"), "acme", "choose another name")


def test_quotas_are_set_and_given_back(client: TestClient, acme: dict[str, str], capsys: Capture) -> None:
    with_key = bearer(acme["key"])
    changed = json.loads(run_farzi(capsys, "tenants", "quota", "acme", "--datasets", "0", "--json").out)
    assert (changed["limits"]["datasets"], changed["own_limits"]) == (0, ["datasets"])
    body = {"name": "x", "task": "sequential_recommendation", "format": "csv"}
    assert code_of(client.post("/v1/datasets", json=body, headers=with_key), 403) == "quota_exceeded"
    declare(client)
    assert client.get("/v1/usage", headers=with_key).json()["limits"]["datasets"] == 0
    event = client.get("/v1/audit-events", headers=with_key).json()["data"][0]
    assert (event["action"], event["actor_key_id"]) == ("quota.changed", None)
    assert event["data"] == {"before": {"datasets": None}, "after": {"datasets": 0}}
    assert "0" in run_farzi(capsys, "tenants", "quota", acme["id"]).out
    reset = json.loads(run_farzi(capsys, "tenants", "quota", "acme", "--reset", "--json").out)
    assert reset["own_limits"] == []
    assert client.post("/v1/datasets", json=body, headers=with_key).status_code == 201


def test_a_key_for_a_tenant_that_lost_its_own(client: TestClient, acme: dict[str, str], capsys: Capture) -> None:
    ran = run_farzi(capsys, "keys", "create", "ci", "--tenant", "acme", "--scope", "jobs:read", "--json")
    made = json.loads(ran.out)
    assert (made["tenant_id"], made["scopes"]) == (acme["id"], ["jobs:read"])
    assert client.get("/v1/jobs", headers=bearer(made["key"])).status_code == 200
    assert code_of(client.get("/v1/api-keys", headers=bearer(made["key"])), 403) == "insufficient_scope"


def test_what_cannot_be_is_one_sentence(acme: dict[str, str], capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    assert failed(run_farzi(capsys, "tenants", "quota", "nobody"), "nobody", "farzi tenants list")
    assert failed(run_farzi(capsys, "keys", "create", "x", "--tenant", "acme", "--scope", "jobs:own"), "jobs:own", "jobs:read")
    monkeypatch.setenv("FARZI_DATABASE_URL", "postgresql+psycopg://nobody@127.0.0.1:9/none")
    unreachable = run_farzi(capsys, "tenants", "list")
    assert unreachable.code == 3
    assert "FARZI_DATABASE_URL" in unreachable.err
    monkeypatch.setenv("FARZI_DATABASE_URL", "mysql://a/b")
    assert failed(run_farzi(capsys, "tenants", "list"), "FARZI_DATABASE_URL", "mysql")
