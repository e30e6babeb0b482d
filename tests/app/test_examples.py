"""The examples of the OpenAPI document work: the service takes every request, and answers with the fields that are shown."""

from __future__ import annotations

from typing import Any

from starlette.testclient import TestClient

from app.datasets.models import Dataset
from app.main import create_app
from app.openapi import operations
from app.services import Services
from app.settings import Settings
from tests.app.driving import CONTENT, validate

DOCUMENT = create_app(Settings()).openapi()
BODIES: dict[str, Any] = {
    operation["operationId"]: operation["requestBody"]["content"]["application/json"]["example"]
    for _, _, operation in operations(DOCUMENT)
    if "application/json" in operation.get("requestBody", {}).get("content", {})
}


def shown(operation_id: str) -> Any:
    """Return the example of the operation's success."""
    for _, _, operation in operations(DOCUMENT):
        if operation["operationId"] == operation_id:
            return next(
                response["content"]["application/json"]["example"]
                for status, response in operation["responses"].items()
                if status.startswith("2")
            )
    raise AssertionError(operation_id)


def fields_of(value: Any) -> Any:
    """Return what may be compared: the names of the fields, of a list those of its items."""
    if isinstance(value, list):
        return [fields_of(item) for item in value]
    return sorted(value) if isinstance(value, dict) else None


def test_every_request_is_taken_and_answered_as_shown(client: TestClient, services: Services) -> None:
    left = dict(BODIES)

    def send(operation_id: str, method: str, path: str, **changes: Any) -> dict[str, Any]:
        answer = client.request(method, path, json=left.pop(operation_id) | changes)
        assert answer.status_code in {200, 201, 202}, (operation_id, answer.text)
        told: dict[str, Any] = answer.json()
        assert fields_of(told) == fields_of(shown(operation_id)), operation_id
        return told

    dataset = send("create_dataset", "POST", "/v1/datasets")
    send("create_upload", "POST", f"/v1/datasets/{dataset['id']}/uploads", size_bytes=1000)
    path = f"/v1/datasets/{dataset['id']}"
    uploaded = client.put(f"{path}/content", content=CONTENT).json()
    assert fields_of(uploaded) == fields_of(shown("upload_content"))
    validate(services, dataset["id"])
    with services.sessions.begin() as session:  # as large as the one of the examples
        row, sizes = session.get_one(Dataset, dataset["id"]), shown("get_dataset")
        for size in ("num_sequences", "num_events", "vocab_size", "max_sequence_length"):
            setattr(row, size, sizes[size])
    ready, example = client.get(path).json(), shown("get_dataset")
    assert fields_of(ready) == fields_of(example)
    assert {name: ready[name] for name in ("columns", "options", "metadata")} == {
        name: example[name] for name in ("columns", "options", "metadata")
    }
    send("estimate_job", "POST", "/v1/jobs/estimate", dataset_id=dataset["id"])
    job = send("create_job", "POST", "/v1/jobs", dataset_id=dataset["id"])
    assert job["spec"] == shown("create_job")["spec"]
    send("change_job", "PATCH", f"/v1/jobs/{job['id']}")
    key = send("create_api_key", "POST", "/v1/api-keys")
    send("update_api_key", "PATCH", f"/v1/api-keys/{key['id']}")
    endpoint = send("create_webhook_endpoint", "POST", "/v1/webhook-endpoints")
    send("update_webhook_endpoint", "PATCH", f"/v1/webhook-endpoints/{endpoint['id']}")
    send("rotate_webhook_secret", "POST", f"/v1/webhook-endpoints/{endpoint['id']}/rotate-secret")
    assert sorted(left) == [], "examples of requests that were not tried"
    for operation_id, listed in (
        ("list_datasets", "/v1/datasets"),
        ("get_usage", "/v1/usage"),
        ("list_api_keys", "/v1/api-keys"),
    ):
        assert fields_of(client.get(listed).json()) == fields_of(shown(operation_id)), operation_id
