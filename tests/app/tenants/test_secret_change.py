"""FARZI_SECRET_KEY can be changed: what an earlier key sealed or keyed goes over to the new one; what none fits is named."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from pydantic import SecretStr
from starlette.testclient import TestClient

from app.main import create_app
from app.serve import environment_of
from app.services import Services
from app.settings import Settings, SettingsError, load_settings
from app.tenants.secret import load_secrets
from app.webhooks.models import WebhookEndpoint
from app.webhooks.resealing import BATCH, main, reseal
from app.webhooks.sealing import SecretBox, UnreadableSecretError
from tests.app.driving import ADMIN, code_of
from tests.app.test_serve import wait_for

A, B, C = ("a" * 40, "b" * 40, "c" * 40)


@contextmanager
def running(settings: Settings, key: str | None, *previous: str) -> Iterator[tuple[TestClient, Services]]:
    """Run the service under a key."""
    application = create_app(keyed(settings, key, *previous))
    with TestClient(application, headers=ADMIN, raise_server_exceptions=False) as client:
        yield client, application.state.services


def keyed(settings: Settings, key: str | None, *previous: str) -> Settings:
    changes = {
        "secret_key": None if key is None else SecretStr(key),
        "secret_key_previous": SecretStr(", ".join(previous)) if previous else None,
    }
    return settings.model_copy(update=changes)


def make_endpoint(client: TestClient) -> tuple[str, str, str]:
    """Return an endpoint's id, its secret, and the one before it, which signs too."""
    made = client.post("/v1/webhook-endpoints", json={"url": "https://93.184.215.14/hook"}).json()
    rotated = client.post(f"/v1/webhook-endpoints/{made['id']}/rotate-secret").json()
    return made["id"], rotated["secret"], made["secret"]


def make_key(client: TestClient) -> dict[str, str]:
    key = client.post("/v1/api-keys", json={"name": "x", "scopes": ["jobs:read"]}).json()["key"]
    return {"Authorization": f"Bearer {key}"}


def sealed_in(services: Services, endpoint_id: str) -> tuple[str, str | None]:
    with services.reading_sessions() as session:
        row = session.get_one(WebhookEndpoint, endpoint_id)
        return row.secret, row.previous_secret


def test_everything_goes_over_to_the_new_key(settings: Settings) -> None:
    with running(settings, A) as (client, services):
        endpoint_id, secret, before = make_endpoint(client)
        used, unused = make_key(client), make_key(client)
    with running(settings, B, C, A) as (client, services):
        assert client.get("/v1/jobs").status_code == client.get("/v1/jobs", headers=used).status_code == 200
        newest, older = sealed_in(services, endpoint_id)
        assert older is not None
        assert [SecretBox(B.encode()).open(endpoint_id, sealed) for sealed in (newest, older)] == [secret, before]
        assert code_of(client.get("/v1/jobs", headers={"Authorization": "Bearer fz_" + "x" * 40}), 401) == "invalid_api_key"
    with running(settings, B) as (client, services):
        assert client.get("/v1/jobs").status_code == client.get("/v1/jobs", headers=used).status_code == 200
        assert services.box.open(endpoint_id, sealed_in(services, endpoint_id)[0]) == secret
        assert code_of(client.get("/v1/jobs", headers=unused), 401) == "invalid_api_key", "it was not used in time"


def test_a_key_that_is_not_named_is_asked_for(
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    with running(settings, A) as (client, _):
        lost_id, _, _ = make_endpoint(client)
    with running(settings, B, C) as (client, services):
        assert "FARZI_SECRET_KEY_PREVIOUS" in caplog.text
        assert lost_id in caplog.text
        assert code_of(client.get("/v1/jobs"), 401) == "invalid_api_key"
        with pytest.raises(UnreadableSecretError, match="FARZI_SECRET_KEY_PREVIOUS"):
            services.box.open(lost_id, sealed_in(services, lost_id)[0])
        as_it_was = sealed_in(services, lost_id)

    def run_command(*keys: str) -> tuple[int, str]:
        for name, value in environment_of(keyed(settings, *keys)).items():
            monkeypatch.setenv(name, value)
        return main(), capsys.readouterr().out

    code, said = run_command(B, C)
    assert code == 1
    assert lost_id in said
    assert "FARZI_SECRET_KEY_PREVIOUS" in said
    code, said = run_command(B, A)
    assert (code, said) == (0, "1 webhook endpoints; 2 secrets sealed anew under FARZI_SECRET_KEY.\n")
    assert main(as_json=True) == 0
    assert json.loads(capsys.readouterr().out) == {"num_endpoints": 1, "num_sealed_anew": 0, "unreadable": []}
    with running(settings, B, A) as (client, services):
        assert client.get("/v1/jobs").status_code == 200
        assert sealed_in(services, lost_id) != as_it_was


def test_a_delivery_says_that_its_secret_is_unreadable(settings: Settings) -> None:
    with running(settings, A) as (client, _):
        endpoint_id, _, _ = make_endpoint(client)
        assert client.get("/v1/jobs").status_code == 200
    with running(settings, B, A) as (client, services):
        lost = SecretBox(C.encode()).seal(endpoint_id, "whsec_x")
        with services.sessions.begin() as session:
            session.get_one(WebhookEndpoint, endpoint_id).secret = lost
        delivery_id = client.post(f"/v1/webhook-endpoints/{endpoint_id}/test").json()["id"]

        def attempts() -> list[dict[str, dict[str, str]]]:
            found: list[dict[str, dict[str, str]]] = client.get(f"/v1/deliveries/{delivery_id}").json()["attempts"]
            return found

        wait_for(lambda: bool(attempts()), "the attempt")
        error = attempts()[0]["error"]
        assert error["code"] == "secret_unreadable"
        assert "FARZI_SECRET_KEY_PREVIOUS" in error["message"]


def test_many_endpoints_are_gone_through(settings: Settings) -> None:
    with running(settings, A) as (client, services):
        first_id, secret, _ = make_endpoint(client)
        with services.sessions.begin() as session:
            template = session.get_one(WebhookEndpoint, first_id)
            same = {name: getattr(template, name) for name in ("tenant_id", "url", "description", "created_at", "updated_at")}
            for number in range(BATCH + 3):
                other_id = f"whe_{number:032x}"
                session.add(WebhookEndpoint(id=other_id, secret=services.box.seal(other_id, secret), **same))
        found = reseal(services.sessions, SecretBox(B.encode(), [A.encode()]))
        assert (found.num_endpoints, found.num_sealed_anew, found.unreadable) == (BATCH + 4, BATCH + 5, ())
        assert reseal(services.sessions, SecretBox(B.encode())).num_sealed_anew == 0


def test_a_key_of_ones_own_takes_over_from_the_one_in_the_directory(settings: Settings) -> None:
    with running(settings, None) as (client, _):
        endpoint_id, secret, _ = make_endpoint(client)
    with running(settings, B) as (client, services):
        assert client.get("/v1/jobs").status_code == 200
        assert services.box.open(endpoint_id, sealed_in(services, endpoint_id)[0]) == secret
    (settings.resolved_data_dir / "secret_key").unlink()
    with running(settings, B) as (client, services):
        assert client.get("/v1/jobs").status_code == 200
        assert services.box.open(endpoint_id, sealed_in(services, endpoint_id)[0]) == secret
    assert load_secrets(keyed(settings, B, A, B, A)).previous == (A.encode(),)


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({"FARZI_SECRET_KEY": A, "FARZI_SECRET_KEY_PREVIOUS": "short"}, "FARZI_SECRET_KEY_PREVIOUS must have"),
        ({"FARZI_SECRET_KEY": A, "FARZI_SECRET_KEY_PREVIOUS": f"{B},short"}, "FARZI_SECRET_KEY_PREVIOUS must have"),
        ({"FARZI_SECRET_KEY_PREVIOUS": B}, "FARZI_SECRET_KEY_PREVIOUS needs FARZI_SECRET_KEY"),
    ],
)
def test_bad_keys_stop_the_start(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], named: str) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=named) as caught:
        load_settings()
    assert B not in str(caught.value)
