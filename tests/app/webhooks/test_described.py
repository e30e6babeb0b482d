"""The webhooks of the OpenAPI document are those that are sent: every type, body and header."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from openapi_schema_validator import OAS31Validator
from referencing import Registry
from referencing.jsonschema import DRAFT202012
from starlette.testclient import TestClient

from app.main import create_app
from app.services import Services
from app.settings import Settings
from app.webhooks.event_types import WebhookEventType
from tests.app.driving import claim_job, make_invalid, make_ready, submit, succeed
from tests.app.webhooks.dispatching import Dispatching
from tests.app.webhooks.receiver import Receiver

DOCUMENT = create_app(Settings()).openapi()
OPERATIONS: dict[str, dict[str, Any]] = {name: item["post"] for name, item in DOCUMENT["webhooks"].items()}


def body_errors(event_type: str, body: Any) -> list[str]:
    """Return what the document has against a body of this type."""
    registry: Registry[Any] = Registry().with_resource("urn:document", DRAFT202012.create_resource(DOCUMENT))
    schema = OPERATIONS[event_type]["requestBody"]["content"]["application/json"]["schema"]
    absolute = json.loads(json.dumps(schema).replace('"#/components', '"urn:document#/components'))
    return [error.message for error in OAS31Validator(absolute, registry=registry).iter_errors(body)]


def test_every_type_is_described_with_a_true_example() -> None:
    assert list(OPERATIONS) == [str(event_type) for event_type in WebhookEventType]
    for event_type, operation in OPERATIONS.items():
        example = operation["requestBody"]["content"]["application/json"]["example"]
        assert example["type"] == event_type
        assert body_errors(event_type, example) == []
        assert operation["description"]
        assert set(operation["responses"]) == {"2XX", "410", "default"}
    paths = {operation["operationId"] for item in DOCUMENT["paths"].values() for operation in item.values()}
    hooks = {operation["operationId"] for operation in OPERATIONS.values()}
    assert len(hooks) == len(OPERATIONS)
    assert hooks & paths == set()


def test_a_body_of_another_type_or_without_a_field_is_none_of_it() -> None:
    job = OPERATIONS["job.succeeded"]["requestBody"]["content"]["application/json"]["example"]
    assert body_errors("job.failed", job)
    assert body_errors("dataset.ready", job | {"type": "dataset.ready"})
    assert body_errors("job.succeeded", job | {"data": {name: job["data"][name] for name in job["data"] if name != "id"}})


def test_what_happens_is_told_as_described(client: TestClient, services: Services, tmp_path: Path) -> None:
    endpoint = client.post("/v1/webhook-endpoints", json={"url": "https://93.184.215.14/hook"}).json()
    client.post(f"/v1/webhook-endpoints/{endpoint['id']}/test")
    dataset_id = make_ready(client, services)
    make_invalid(client, services)
    succeed(services, claim_job(services, submit(client, dataset_id)), tmp_path, {"report.json": b"{}"})
    stopped = submit(client, dataset_id, deadline_s=30)
    client.post(f"/v1/jobs/{stopped}/pause")
    client.post(f"/v1/jobs/{stopped}/cancel")
    told = [delivery["payload"] for delivery in client.get("/v1/deliveries").json()["data"]]
    types = {payload["type"] for payload in told}
    assert types == set(OPERATIONS) - {"job.failed"}
    assert [errors for payload in told if (errors := body_errors(payload["type"], payload))] == []


def test_a_request_has_the_body_and_the_headers_of_the_document(dispatching: Dispatching, receiver: Receiver) -> None:
    dispatching.fail_a_job()
    dispatching.rotate(overlap_s=3600)
    dispatching.send_due()
    assert [json.loads(item.body)["type"] for item in receiver.received] == ["job.running", "job.failed"]
    for item in receiver.received:
        body = json.loads(item.body)
        assert body_errors(body["type"], body) == []
        described = {parameter["name"]: parameter for parameter in OPERATIONS[body["type"]]["parameters"]}
        assert {name for name in item.headers if name.startswith("webhook-")} == set(described)
        for name, parameter in described.items():
            assert parameter["in"] == "header"
            assert parameter["required"]
            assert re.fullmatch(parameter["schema"]["pattern"], item.headers[name]), (name, item.headers[name])
            assert re.fullmatch(parameter["schema"]["pattern"], parameter["example"]), name
        assert item.headers["content-type"] in OPERATIONS[body["type"]]["requestBody"]["content"]
