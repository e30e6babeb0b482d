"""A service in which every operation finds something: data in each state, a finished job with its files, keys and webhooks."""

from __future__ import annotations

from pathlib import Path

import httpx

from app.openapi_data_samples import example_id
from app.openapi_job_samples import OTHER_JOB_ID
from tests.app.driving import (
    ADMIN,
    RunningServer,
    claim_job,
    declare,
    make_invalid,
    make_ready,
    say_something,
    submit,
    succeed,
)
from tests.app.jobs.test_drawing import FORMS, publish

WEBHOOK = {"url": "https://93.184.215.14/hook", "event_types": ["webhook.test"]}
UPLOAD = {"size_bytes": 10, "sha256": "0" * 64}


def seed(server: RunningServer, directory: Path) -> dict[str, str]:
    """Return the ids that stand for those of the document's examples."""
    with httpx.Client(base_url=server.url, headers=ADMIN) as client:
        published = publish(client, server.services, directory, FORMS[0])
        dataset_id = make_ready(client, server.services)
        compared = submit(client, dataset_id)
        lease = claim_job(server.services, compared)
        say_something(server.services, lease)
        succeed(server.services, lease, directory, {"sequences.jsonl": b"{}\n", "report.json": b"{}"})
        make_invalid(client, server.services)
        submit(client, dataset_id)
        awaiting = declare(client)
        upload_id = _made(client.post(f"/v1/datasets/{awaiting}/uploads", json=UPLOAD))
        endpoint_id = _made(client.post("/v1/webhook-endpoints", json=WEBHOOK))
        delivery_id = _made(client.post(f"/v1/webhook-endpoints/{endpoint_id}/test"))
        (own_key,) = client.get("/v1/api-keys").json()["data"]
    return {
        example_id("ds"): dataset_id,
        example_id("job"): compared,
        OTHER_JOB_ID: published,
        example_id("key"): own_key["id"],
        example_id("upl"): upload_id,
        example_id("whe"): endpoint_id,
        example_id("whd"): delivery_id,
        "dataset of the upload": awaiting,
    }


def _made(answer: httpx.Response) -> str:
    assert answer.is_success, answer.text
    made: str = answer.json()["id"]
    return made
