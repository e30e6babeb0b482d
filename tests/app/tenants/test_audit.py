"""The audit trail: every administrative act leaves one event, which nobody can change."""

from __future__ import annotations

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DatabaseError as SqlDatabaseError
from starlette.testclient import TestClient

from app.services import Services
from tests.app.driving import code_of


def events(client: TestClient) -> list[dict[str, object]]:
    listed: list[dict[str, object]] = client.get("/v1/audit-events").json()["data"]
    return list(reversed(listed))


def test_the_life_of_a_key_is_recorded(client: TestClient) -> None:
    made = client.post("/v1/api-keys", json={"name": "old", "scopes": ["jobs:read"]}, headers={"X-Request-Id": "req-make"})
    key_id = made.json()["id"]
    client.patch(f"/v1/api-keys/{key_id}", json={"name": "new"})
    client.patch(f"/v1/api-keys/{key_id}", json={"name": "new"})
    client.delete(f"/v1/api-keys/{key_id}")
    client.delete(f"/v1/api-keys/{key_id}")
    own_key = client.get("/v1/api-keys").json()["data"][-1]["id"]
    found = [event for event in events(client) if event["target_id"] == key_id]
    assert [event["action"] for event in found] == ["api_key.created", "api_key.renamed", "api_key.revoked"]
    assert {event["actor_key_id"] for event in found} == {own_key}
    assert found[0]["request_id"] == "req-make"
    assert found[1]["data"] == {"before": "old", "after": "new"}
    assert made.json()["key"] not in str(found)


def test_the_first_key_has_nobody_as_its_actor(client: TestClient) -> None:
    tenant, key = events(client)[:2]
    assert (tenant["action"], key["action"]) == ("tenant.created", "api_key.created")
    assert tenant["actor_key_id"] is None


def test_only_admins_of_the_tenant_read_it(client: TestClient, other_tenant: TestClient) -> None:
    made = client.post("/v1/api-keys", json={"name": "k", "scopes": ["jobs:read"]}).json()
    answer = client.get("/v1/audit-events", headers={"Authorization": f"Bearer {made['key']}"})
    assert code_of(answer, 403) == "insufficient_scope"
    assert made["id"] not in str(events(other_tenant))


@pytest.mark.parametrize("change", ["UPDATE audit_events SET action = 'x'", "DELETE FROM audit_events"])
def test_events_are_only_added(client: TestClient, services: Services, change: str) -> None:
    with pytest.raises(SqlDatabaseError, match="only added"), services.engine.begin() as connection:
        connection.execute(text(change))
    assert events(client)
