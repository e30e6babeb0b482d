"""Keys and signing secrets are in the answer that made them and nowhere else: no log line, no error, no table."""

from __future__ import annotations

import pytest
from sqlalchemy import MetaData, select
from starlette.testclient import TestClient

from app.logging import configure_logging
from app.services import Services
from app.settings import Settings
from tests.app.driving import ADMIN_KEY

WEBHOOK = {"url": "https://hooks.example.com/farzi"}


def dump(services: Services) -> str:
    """Return every value of every table."""
    tables = MetaData()
    tables.reflect(services.engine)
    assert len(tables.tables) > 10
    with services.engine.connect() as connection:
        return "\n".join(str(tuple(row)) for table in tables.sorted_tables for row in connection.execute(select(table)))


def test_no_secret_is_written_down(client: TestClient, services: Services, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(Settings(log_level="debug"))
    body = {"name": "secretive", "scopes": ["admin"]}
    answers = []
    key = client.post("/v1/api-keys", json=body, headers={"Idempotency-Key": "a key"}).json()["key"]
    replayed = client.post("/v1/api-keys", json=body, headers={"Idempotency-Key": "a key"})
    made = client.post("/v1/webhook-endpoints", json=WEBHOOK, headers={"Idempotency-Key": "an endpoint"}).json()
    again = client.post("/v1/webhook-endpoints", json=WEBHOOK, headers={"Idempotency-Key": "an endpoint"})
    rotated = client.post(f"/v1/webhook-endpoints/{made['id']}/rotate-secret").json()["secret"]
    secrets = [ADMIN_KEY, key, made["secret"], rotated]
    for secret in secrets:
        assert len(secret) > 30
        headers = {"Authorization": f"Bearer {secret}"}
        # Where careless callers put keys, and where the service fails.
        answers += [client.get("/v1/jobs", headers={"Authorization": f"Bearer {secret}x"})]
        answers += [client.get(f"/v1/{kind}/x", headers=headers) for kind in ("jobs", "datasets", "api-keys")]
        client.get(f"/v1/api-keys/{secret}")
        client.get(f"/v1/datasets/{secret}/preview")
        client.get(f"/{secret}")
        client.get(f"/v1/jobs?api_key={secret}")
        client.get("/healthz", headers={"X-Request-Id": "mine", "Cookie": secret, "User-Agent": secret})
    stored = dump(services)
    with services.engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE jobs RENAME TO lost")
    answers.append(client.get("/v1/jobs", headers={"Authorization": f"Bearer {key}"}))
    assert answers[-1].status_code >= 500
    # The client is in this process, too, and logs what it asks for.
    logged = "\n".join(line for line in capsys.readouterr().err.splitlines() if '"logger": "httpx' not in line)
    assert "request failed" in logged or "the database failed" in logged
    assert logged.count('"event": "request"') > 30
    for secret in secrets:
        assert secret not in logged
        assert secret not in stored
        for answer in (replayed, again, *answers):
            assert secret not in answer.text
    assert replayed.headers["idempotent-replayed"] == again.headers["idempotent-replayed"] == "true"


def test_a_failed_statement_is_logged_without_its_values(
    client: TestClient, services: Services, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither the parameters of the statement nor the row that Postgres shows of a broken constraint."""
    configure_logging(Settings())
    name = "a very private name"
    body = {"name": name, "scopes": ["admin"]}
    key = client.post("/v1/api-keys", json=body).json()
    with services.engine.begin() as connection:
        connection.exec_driver_sql("CREATE UNIQUE INDEX one_of_each_name ON api_keys (name)")
    assert client.post("/v1/api-keys", json=body).status_code == 500
    logged = capsys.readouterr().err
    assert "INSERT INTO api_keys" in logged
    assert "hide_parameters" in logged
    assert "DETAIL" not in logged
    for value in (name, key["prefix"]):
        assert value not in logged


def test_the_database_alone_opens_nothing(client: TestClient, services: Services) -> None:
    """A key that has the digest of another, as a copy of the database shows it, is not that key."""
    made = client.post("/v1/api-keys", json={"name": "x", "scopes": ["admin"]}).json()
    with services.engine.connect() as connection:
        digests = [bytes(row[0]) for row in connection.exec_driver_sql("SELECT digest FROM api_keys")]
    for digest in digests:
        for text in (digest.hex(), made["prefix"], f"fz_{digest.hex()}"):
            assert client.get("/v1/jobs", headers={"Authorization": f"Bearer {text}"}).status_code == 401
