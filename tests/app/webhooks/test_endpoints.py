"""Webhook endpoints and deliveries over HTTP, and the whole way from a job to a receiver that verifies."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook
from starlette.testclient import TestClient

from app.jobs.control import cancel_job
from app.jobs.models import Job
from app.main import create_app
from app.services import Services
from app.settings import Settings
from app.tenants.schemas import Scope
from app.webhooks.service import MAX_ENDPOINTS
from tests.app.driving import (
    ADMIN,
    add_tenant_with_key,
    claim_job,
    code_of,
    make_invalid,
    make_ready,
    pointers_of,
    submit,
    succeed,
)
from tests.app.test_serve import wait_for
from tests.app.webhooks.receiver import Receiver

URL = "https://hooks.example.invalid/farzi"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"webhook_allow_private": True})


@pytest.fixture
def strict(settings: Settings) -> Settings:
    return settings.model_copy(update={"webhook_allow_private": False})


def add(client: TestClient, url: str = URL, **fields: Any) -> dict[str, Any]:
    answer = client.post("/v1/webhook-endpoints", json={"url": url, **fields})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def deliveries(client: TestClient, **query: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client.get("/v1/deliveries", params=query).json()["data"]
    return found


def test_life_of_an_endpoint(client: TestClient) -> None:
    made = add(client, description="search team", event_types=["job.succeeded", "job.failed", "job.failed"])
    path = f"/v1/webhook-endpoints/{made['id']}"
    assert made["id"].startswith("whe_")
    assert made["secret"].startswith("whsec_")
    assert made["event_types"] == ["job.succeeded", "job.failed"]
    shown = client.get(path).json()
    assert shown == {name: value for name, value in made.items() if name != "secret"}
    assert (shown["enabled"], shown["disabled_reason"]) == (True, None)
    changed = client.patch(path, json={"event_types": None, "enabled": False}).json()
    assert (changed["event_types"], changed["enabled"], changed["disabled_reason"]) == (None, False, "requested")
    assert (changed["url"], changed["description"]) == (URL, "search team")
    assert client.patch(path, json={"enabled": True}).json()["disabled_reason"] is None
    assert [item["id"] for item in client.get("/v1/webhook-endpoints").json()["data"]] == [made["id"]]
    assert client.delete(path).status_code == 204
    assert code_of(client.delete(path), 404) == "webhook_endpoint_not_found"


def test_secrets_are_shown_once_and_sealed(client: TestClient, services: Services) -> None:
    headers = {"Idempotency-Key": "make"}
    made = client.post("/v1/webhook-endpoints", json={"url": URL}, headers=headers)
    again = client.post("/v1/webhook-endpoints", json={"url": URL}, headers=headers)
    assert again.headers["idempotent-replayed"] == "true"
    assert (again.json()["id"], again.json()["secret"]) == (made.json()["id"], None)
    assert made.headers["cache-control"] == "no-store"
    path = f"/v1/webhook-endpoints/{made.json()['id']}/rotate-secret"
    rotated = client.post(path)
    assert rotated.json()["secret"] not in {None, made.json()["secret"]}
    assert rotated.json()["previous_secret_expires_at"] is not None
    at_once = client.post(path, json={"overlap_s": 0})
    assert at_once.json()["previous_secret_expires_at"] is None
    assert pointers_of(client.post(path, json={"overlap_s": -1})) == ["/overlap_s"]
    with services.engine.connect() as connection:
        for table in ("webhook_endpoints", "idempotency_keys", "audit_events"):
            rows = str(connection.exec_driver_sql(f"SELECT * FROM {table}").all())
            for answer in (made, rotated, at_once):
                assert answer.json()["secret"] not in rows


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({}, ["/url"]),
        ({"url": ""}, ["/url"]),
        ({"url": "https://" + "a" * 2000}, ["/url"]),
        ({"url": URL, "event_types": ["job.exploded"]}, ["/event_types/0"]),
        ({"url": URL, "event_types": []}, ["/event_types"]),
        ({"url": URL, "secret": "whsec_mine"}, ["/secret"]),
    ],
)
def test_bad_input(client: TestClient, body: dict[str, Any], pointers: list[str]) -> None:
    answer = client.post("/v1/webhook-endpoints", json=body)
    assert code_of(answer, 422) == "invalid_request"
    assert pointers_of(answer) == pointers


@pytest.mark.parametrize("field", ["url", "description", "enabled"])
def test_null_is_no_new_value(client: TestClient, field: str) -> None:
    made = add(client)
    answer = client.patch(f"/v1/webhook-endpoints/{made['id']}", json={field: None})
    assert pointers_of(answer) == [f"/{field}"]


@pytest.mark.parametrize("url", ["http://hooks.example.com/", "https://127.0.0.1/", "https://localhost/", "https://postgres/"])
def test_urls_that_are_refused(strict: Settings, url: str) -> None:
    with TestClient(create_app(strict), headers=ADMIN) as client:
        answer = client.post("/v1/webhook-endpoints", json={"url": url})
        assert code_of(answer, 422) == "webhook_url_refused"
        assert pointers_of(answer) == ["/url"]
        made = add(client)
        assert code_of(client.patch(f"/v1/webhook-endpoints/{made['id']}", json={"url": url}), 422) == "webhook_url_refused"
        assert client.get(f"/v1/webhook-endpoints/{made['id']}").json()["url"] == URL


def test_a_repeat_is_answered_whatever_has_become_of_the_url(settings: Settings, strict: Settings) -> None:
    answers = []
    for rules in (settings, strict):
        with TestClient(create_app(rules), headers=ADMIN | {"Idempotency-Key": "made-once"}) as client:
            answers.append(client.post("/v1/webhook-endpoints", json={"url": "http://127.0.0.1:9/"}))
    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[1].json()["id"] == answers[0].json()["id"]


def test_there_is_a_most_of_endpoints(client: TestClient) -> None:
    for _ in range(MAX_ENDPOINTS):
        add(client)
    assert code_of(client.post("/v1/webhook-endpoints", json={"url": URL}), 409) == "too_many_webhook_endpoints"


def test_from_a_job_to_a_receiver_that_verifies(
    client: TestClient, services: Services, receiver: Receiver, tmp_path: Path
) -> None:
    made = add(client, receiver.url)
    dataset_id = make_ready(client, services, metadata={"team": "search"})
    job_id = submit(client, dataset_id, metadata={"run": "7"})
    succeed(services, claim_job(services, job_id), tmp_path, {"report.json": b"{}"})
    make_invalid(client, services)
    wait_for(lambda: len(receiver.received) == 4, "not everything was told")
    payloads = [Webhook(made["secret"]).verify(item.body, item.headers) for item in receiver.received]
    told = {payload["type"]: payload for payload in payloads}
    assert set(told) == {"dataset.ready", "job.running", "job.succeeded", "dataset.invalid"}
    job = told["job.succeeded"]["data"]
    assert (job["object"], job["id"], job["status"], job["metadata"]) == ("job", job_id, "succeeded", {"run": "7"})
    assert (told["job.running"]["data"]["status"], told["job.running"]["data"]["ended_at"]) == ("running", None)
    dataset = told["dataset.ready"]["data"]
    assert (dataset["id"], dataset["status"], dataset["metadata"]) == (dataset_id, "ready", {"team": "search"})
    assert told["dataset.invalid"]["data"]["num_problems"] == 1
    assert job["ended_at"] == client.get(f"/v1/jobs/{job_id}").json()["ended_at"] == told["job.succeeded"]["timestamp"]


def test_only_what_was_subscribed_to(client: TestClient, services: Services, receiver: Receiver) -> None:
    some = add(client, receiver.url, event_types=["job.cancelled", "job.paused"])
    off = add(client, receiver.url)
    client.patch(f"/v1/webhook-endpoints/{off['id']}", json={"enabled": False})
    job_id = submit(client, make_ready(client, services))
    client.post(f"/v1/jobs/{job_id}/pause")
    client.post(f"/v1/jobs/{job_id}/resume")
    client.post(f"/v1/jobs/{job_id}/cancel")
    client.post(f"/v1/jobs/{job_id}/cancel")
    found = deliveries(client)
    assert [item["event_type"] for item in found] == ["job.cancelled", "job.paused"]
    assert {item["endpoint_id"] for item in found} == {some["id"]}


def test_nothing_is_told_of_what_was_rolled_back(client: TestClient, services: Services) -> None:
    add(client)
    job_id = submit(client, make_ready(client, services))
    num_before = len(deliveries(client))
    with services.sessions() as session:
        cancel_job(session, session.get_one(Job, job_id).tenant_id, job_id)
        session.flush()
        session.rollback()
    assert len(deliveries(client)) == num_before
    assert client.get(f"/v1/jobs/{job_id}").json()["status"] == "queued"


def test_a_test_event_and_its_log(client: TestClient, receiver: Receiver) -> None:
    receiver.status, receiver.answer = 500, b"no \xff way"
    made = add(client, receiver.url)
    queued = client.post(f"/v1/webhook-endpoints/{made['id']}/test")
    assert (queued.status_code, queued.json()["status"]) == (202, "pending")
    path = queued.headers["location"]
    wait_for(lambda: client.get(path).json()["status"] != "pending", "the test was not sent")
    shown = client.get(path).json()
    assert (shown["status"], shown["num_attempts"], shown["payload"]["type"]) == ("failed", 1, "webhook.test")
    (attempt,) = shown["attempts"]
    assert (attempt["response_status"], attempt["response_body"]) == (500, "no \ufffd way")
    assert attempt["error"]["code"] == "unsuccessful_status"
    assert json.loads(receiver.received[0].body) == shown["payload"]
    assert client.get(f"/v1/webhook-endpoints/{made['id']}").json()["failing_since"] is not None


def test_replay(client: TestClient, receiver: Receiver) -> None:
    made = add(client, receiver.url)
    first = client.post(f"/v1/webhook-endpoints/{made['id']}/test").json()
    wait_for(lambda: client.get(f"/v1/deliveries/{first['id']}").json()["status"] == "succeeded", "not sent")
    headers = {"Idempotency-Key": "again"}
    again = client.post(f"/v1/deliveries/{first['id']}/replay", headers=headers)
    assert again.status_code == 202
    assert client.post(f"/v1/deliveries/{first['id']}/replay", headers=headers).json() == again.json()
    second = again.json()
    assert (second["replay_of"], second["event_id"], second["payload"]) == (first["id"], first["event_id"], first["payload"])
    wait_for(lambda: len(receiver.received) == 2, "not sent again")
    assert len(set(receiver.ids)) == 1
    assert len(deliveries(client, event_id=first["event_id"])) == 2


def test_replaying_what_waits_brings_it_forward(client: TestClient, services: Services, receiver: Receiver) -> None:
    receiver.status, receiver.headers = 503, {"Retry-After": "3600"}
    add(client, receiver.url, event_types=["job.paused"])
    job_id = submit(client, make_ready(client, services))
    client.post(f"/v1/jobs/{job_id}/pause")
    wait_for(lambda: deliveries(client)[0]["num_attempts"] == 1, "not sent")
    receiver.status = 200
    (waiting,) = deliveries(client, status="pending")
    assert client.post(f"/v1/deliveries/{waiting['id']}/replay").json()["id"] == waiting["id"]
    wait_for(lambda: deliveries(client)[0]["status"] == "succeeded", "not brought forward")
    assert [item["number"] for item in client.get(f"/v1/deliveries/{waiting['id']}").json()["attempts"]] == [1, 2]


def test_a_disabled_endpoint_takes_neither_test_nor_replay(client: TestClient) -> None:
    made = add(client)
    delivery = client.post(f"/v1/webhook-endpoints/{made['id']}/test").json()
    client.patch(f"/v1/webhook-endpoints/{made['id']}", json={"enabled": False})
    for path in (f"/v1/webhook-endpoints/{made['id']}/test", f"/v1/deliveries/{delivery['id']}/replay"):
        assert code_of(client.post(path), 409) == "webhook_endpoint_disabled"


def test_list_of_deliveries(client: TestClient) -> None:
    first, second = add(client), add(client)
    for made in (first, second, first):
        client.post(f"/v1/webhook-endpoints/{made['id']}/test")
    assert len(deliveries(client, endpoint_id=first["id"])) == 2
    assert len(deliveries(client, event_type="webhook.test")) == 3
    assert deliveries(client, event_type="job.failed") == []
    assert code_of(client.get("/v1/deliveries", params={"status": "lost"}), 422) == "invalid_request"
    seen, cursor = [], None
    while True:
        page = client.get("/v1/deliveries", params={"limit": 2, **({"cursor": cursor} if cursor else {})}).json()
        seen += [item["id"] for item in page["data"]]
        cursor = page["next_cursor"]
        if not page["has_more"]:
            break
    assert seen == sorted(seen, reverse=True)
    assert len(seen) == 3


def test_another_tenant_sees_and_changes_nothing(
    client: TestClient, services: Services, other_tenant: TestClient, receiver: Receiver
) -> None:
    made = add(client)
    delivery = client.post(f"/v1/webhook-endpoints/{made['id']}/test").json()
    theirs = add(other_tenant, receiver.url)
    path = f"/v1/webhook-endpoints/{made['id']}"
    for answer in (
        other_tenant.get(path),
        other_tenant.patch(path, json={"enabled": False}),
        other_tenant.delete(path),
        other_tenant.post(f"{path}/test"),
        other_tenant.post(f"{path}/rotate-secret"),
    ):
        assert code_of(answer, 404) == "webhook_endpoint_not_found"
    assert code_of(other_tenant.get(f"/v1/deliveries/{delivery['id']}"), 404) == "delivery_not_found"
    assert code_of(other_tenant.post(f"/v1/deliveries/{delivery['id']}/replay"), 404) == "delivery_not_found"
    assert [item["id"] for item in other_tenant.get("/v1/webhook-endpoints").json()["data"]] == [theirs["id"]]
    submit(client, make_ready(client, services))
    assert deliveries(other_tenant) == []
    assert receiver.received == []


@pytest.mark.parametrize("call", ["GET /v1/webhook-endpoints", "POST /v1/webhook-endpoints", "GET /v1/deliveries"])
def test_scope(client: TestClient, services: Services, call: str) -> None:
    key = add_tenant_with_key(services, Scope.JOBS_WRITE, Scope.JOBS_READ)
    method, path = call.split()
    answer = client.request(method, path, headers={"Authorization": f"Bearer {key}"}, json={} if method == "POST" else None)
    assert code_of(answer, 403) == "insufficient_scope"
