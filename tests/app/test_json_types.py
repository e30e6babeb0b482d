"""Bodies: values of another JSON type than the documented one are refused with their place, on every path."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.testclient import TestClient

from app.services import Services
from tests.app.driving import DECLARATION, code_of, declare, make_ready, pointers_of

SHA256 = "0" * 64


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"deadline_s": True}, "/deadline_s"),
        ({"deadline_s": "60"}, "/deadline_s"),
        ({"spec": {"seed": True}}, "/spec/seed"),
        ({"spec": {"outer": {"num_steps": "3"}}}, "/spec/outer/num_steps"),
        ({"spec": {"inner": {"learn_lr": "yes"}}}, "/spec/inner/learn_lr"),
        ({"spec": {"inner": {"betas": ["0.9", 0.9]}}}, "/spec/inner/betas/0"),
    ],
)
def test_jobs(client: TestClient, services: Services, fields: dict[str, Any], pointer: str) -> None:
    body = {"kind": "distillation", "dataset_id": make_ready(client, services), **fields}
    for path in ("/v1/jobs", "/v1/jobs/estimate"):
        answer = client.post(path, json=body)
        assert code_of(answer, 422) in {"invalid_request", "invalid_spec"}
        assert set(pointers_of(answer)) == {pointer}


@pytest.mark.parametrize(
    ("options", "pointer"),
    [
        ({"header": "true"}, "/options/header"),
        ({"header": 1}, "/options/header"),
        ({"min_item_events": True}, "/options/min_item_events"),
        ({"test_fraction": "0.1"}, "/options/test_fraction"),
    ],
)
def test_options_of_data_sets(client: TestClient, options: dict[str, Any], pointer: str) -> None:
    answer = client.post("/v1/datasets", json={**DECLARATION, "options": options})
    assert code_of(answer, 422) == "invalid_request"
    assert pointers_of(answer) == [pointer]


@pytest.mark.parametrize("size_bytes", [True, "4218"])
def test_sizes_of_uploads(client: TestClient, size_bytes: object) -> None:
    path = f"/v1/datasets/{declare(client)}/uploads"
    answer = client.post(path, json={"size_bytes": size_bytes, "sha256": SHA256})
    assert code_of(answer, 422) == "invalid_request"
    assert pointers_of(answer) == ["/size_bytes"]
    assert client.post(path, json={"size_bytes": 4218.0, "sha256": SHA256}).json()["size_bytes"] == 4218


def test_seconds_of_secrets(client: TestClient) -> None:
    made = client.post("/v1/webhook-endpoints", json={"url": "https://hooks.example.com/farzi"}).json()
    answer = client.post(f"/v1/webhook-endpoints/{made['id']}/rotate-secret", json={"overlap_s": "60"})
    assert code_of(answer, 422) == "invalid_request"
    assert pointers_of(answer) == ["/overlap_s"]
